//! Clients that leave while Lua runs.

use std::task::{Context, Poll};

use ngx_core::http::Request;
use ngx_core::info;

use super::conf::LuaConf;
use crate::sched::{Ended, Failure, Waiting};

/// What the client of a run that waits means to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Nobody looks whether it is there.
    Unwatched,
    /// It is to be seen when it leaves (`lua_check_client_abort`).
    Watched,
    /// It has left, and something else goes on.
    Gone,
}

impl Client {
    /// What it means where `conf` applies.
    pub(super) fn of(conf: &LuaConf) -> Self {
        if *conf.check_client_abort {
            Self::Watched
        } else {
            Self::Unwatched
        }
    }

    /// Runs to the end. `None` if the client leaves before and nobody else but
    /// `lua_check_client_abort` wants to know: the run is to end then.
    #[inline]
    pub(super) fn poll(
        &mut self,
        r: &Request,
        waiting: &mut Waiting,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Ended, Failure>>> {
        if let Poll::Ready(outcome) = waiting.poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        if *self != Self::Watched {
            return Poll::Pending;
        }
        self.look(r, waiting, cx)
    }

    /// As [`poll`](Self::poll), when the run waits and the client is watched.
    fn look(
        &mut self,
        r: &Request,
        waiting: &mut Waiting,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Ended, Failure>>> {
        if !has_left(r, cx) {
            return Poll::Pending;
        }
        *self = Self::Gone;
        info!("client prematurely closed connection");
        if waiting.run().begin_on_abort() {
            waiting.poll(cx).map(Some)
        } else {
            Poll::Ready(None)
        }
    }
}

/// Whether the client has left; the task is woken when it does.
fn has_left(r: &Request, cx: &mut Context<'_>) -> bool {
    r.downstream()
        .is_some_and(|downstream| downstream.poll_closed(cx).is_ready())
}
