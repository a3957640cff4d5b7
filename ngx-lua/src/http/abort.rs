//! Clients that leave while Lua runs.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use ngx_core::http::Request;
use ngx_core::info;

use super::Guest;
use super::conf::LUA;
use crate::sched::{Ended, Failure, Waiting};

/// Runs to the end. `None` if the client leaves before and nobody else but `lua_check_client_abort`
/// wants to know: the run has ended then.
pub(super) async fn finish(guest: &Guest, waiting: Waiting) -> Option<Result<Ended, Failure>> {
    let r = &guest.request;
    if !*r.conf(&LUA).check_client_abort {
        return Some(waiting.finish().await);
    }
    let run = Rc::clone(waiting.run());
    let mut finished = pin!(waiting.finish());
    tokio::select! {
        biased;
        outcome = &mut finished => return Some(outcome),
        () = closed(r) => {}
    }
    info!("client prematurely closed connection");
    if run.begin_on_abort() {
        Some(finished.await)
    } else {
        None
    }
}

/// Waits until the client has left.
async fn closed(r: &Request) {
    match r.downstream() {
        Some(downstream) => poll_fn(|cx| downstream.poll_closed(cx)).await,
        None => std::future::pending().await,
    }
}
