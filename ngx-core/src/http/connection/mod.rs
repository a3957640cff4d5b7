//! One client connection over HTTP/1: heads in, requests through the engine, bytes out.
//!
//! ```text
//!            head complete              response sent
//!   Idle ─▶ Head ──────────▶ Request ──────────────▶ Idle        kept alive
//!    │       │                  │                      Skip       rest of a body to be skipped
//!    └───────┴──────────────────┴────────────────────▶ Linger     close without losing the end
//! ```
//!
//! While it is idle a connection holds no buffer and no request: its future is a few words.

mod framing;
mod http1;
mod linger;
mod log;
mod read_head;
mod told;
mod writers;

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http1::Http1;
use linger::Linger;
use read_head::{HeadRead, Origin, ReadHead};

use super::conf::VhostsId;
use super::core;
use super::downstream::{Downstream as _, Peer};
use super::generation::Generation;
use super::phases::Ended;
use super::request::Request;
use super::worker::Place;
use crate::net::addr::Addr;
use crate::net::transport::Transport;
use crate::time::{hold, now_ms};
use crate::{alert, info, log as error_log};

/// The task of one connection.
pub(crate) struct Serve {
    http1: Rc<Http1>,
    state: State,
    place: Place,
    /// The number of the news that were looked at, and were none for this connection; 0 at first.
    heard: u32,
    listener: Addr,
    generation: Rc<Generation>,
    vhosts: Option<VhostsId>,
}

enum State {
    /// Between requests, or in the middle of a head.
    Head(ReadHead),
    /// A request is being answered.
    Request(Request),
    /// The response is sent; the rest of the body is skipped before the next request.
    Skip {
        /// When the client has had enough time, in coarse monotonic milliseconds.
        until: u64,
    },
    /// Our side is closed; what the client still sends is read away, so that it gets our end.
    Linger(Linger),
    Closed,
}

/// What is done with the connection after a request.
enum After {
    Next,
    Skip,
    Linger,
    Close,
}

impl Serve {
    pub(crate) fn new(
        place: Place,
        transport: Transport,
        peer: Addr,
        listener: Addr,
        number: u64,
    ) -> Self {
        let generation = place.worker().current();
        let peer = Peer {
            number,
            addr: peer,
            local: transport.local_addr().unwrap_or_else(|_| listener.clone()),
            requests: Cell::new(0),
            since: now_ms(),
        };
        let vhosts = generation.http().vhosts(&listener, &peer.local);
        let scope = log::Scope::new(peer, &generation);
        Self {
            state: State::Head(ReadHead::first()),
            place,
            heard: 0,
            listener,
            generation,
            vhosts,
            http1: Rc::new(Http1::new(transport, scope)),
        }
    }

    /// Ends the request of a configuration whose time is up, and the connection with it.
    fn cut_off(&mut self) {
        if let State::Request(request) = &self.state {
            let request = request.clone();
            info!("worker_shutdown_timeout is over, the request is ended");
            request.cancel();
            log_request(&request, &self.http1.scope);
            drop(self.http1.scope.take_request());
        }
        self.state = State::Closed;
    }

    /// One step of the connection's life; `Ready(true)` to go on at once.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match &mut self.state {
            State::Head(_) => return self.poll_head(cx),
            State::Request(_) => return self.poll_request(cx),
            State::Skip { until } => {
                let skipped = ready!(self.http1.poll_skip(cx, *until));
                if skipped {
                    self.next_request();
                } else {
                    self.state = State::Linger(Linger::new(&self.http1));
                }
            }
            State::Linger(linger) => {
                ready!(linger.poll(cx, &self.http1));
                self.state = State::Closed;
            }
            State::Closed => return Poll::Ready(false),
        }
        Poll::Ready(true)
    }

    #[inline]
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if let State::Head(head) = &self.state
            && head.is_idle()
            && self.has_news()
            && self.ends_by_news()
        {
            self.state = State::Closed;
            return Poll::Ready(true);
        }
        let (State::Head(head), Some(vhosts)) = (&mut self.state, self.vhosts) else {
            self.state = State::Closed;
            return Poll::Ready(true);
        };
        let from = Origin {
            generation: &self.generation,
            vhosts,
            closing: self.place.worker().is_closing(),
        };
        let read = head.poll(cx, &self.http1, &from);
        self.place.set_idle(read.is_pending() && head.is_idle());
        match ready!(read) {
            HeadRead::Request(request) => self.answer(request, cx),
            HeadRead::Close => {
                self.state = State::Closed;
                Poll::Ready(true)
            }
        }
    }

    /// Begins a request. Most have their answer at once; those that wait become the state.
    #[inline]
    fn answer(&mut self, request: Request, cx: &mut Context<'_>) -> Poll<bool> {
        match request.poll_response(cx) {
            Poll::Ready(ended) => self.answered(request, ended),
            Poll::Pending => {
                self.state = State::Request(request);
                return Poll::Pending;
            }
        }
        Poll::Ready(true)
    }

    /// Goes on with a request that waits.
    #[inline(never)]
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let State::Request(request) = &self.state else {
            return Poll::Ready(true);
        };
        if self.place.worker().is_closing() {
            // In time for the header, if that was not sent yet.
            self.http1.forbid_keepalive();
        }
        let ended = ready!(request.poll_response(cx));
        let waited = std::mem::replace(&mut self.state, State::Head(ReadHead::next()));
        if let State::Request(request) = waited {
            self.answered(request, ended);
        }
        Poll::Ready(true)
    }

    /// Ends a request whose response is sent.
    #[inline]
    fn answered(&mut self, request: Request, ended: Ended) {
        let after = self.after(&request, ended);
        if request.is_held_by(HOLDERS) && !request.is_logged() {
            // What goes with it finds it still in the scope.
            request.release_ctx();
        } else {
            log_request(&request, &self.http1.scope);
        }
        drop(self.http1.scope.take_request());
        drop(request);
        match after {
            After::Next => self.next_request(),
            other => self.state = self.close(other),
        }
    }

    /// The state of a connection that does not just go on.
    #[cold]
    fn close(&self, after: After) -> State {
        match after {
            After::Skip => {
                let (_, total) = self.http1.linger_ms();
                // A reader that has given up may have left its own.
                self.http1.deadline.clear();
                State::Skip {
                    until: now_ms().saturating_add(total),
                }
            }
            After::Linger => State::Linger(Linger::new(&self.http1)),
            After::Next | After::Close => State::Closed,
        }
    }

    /// As many steps as a connection takes in one turn.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..STEPS_MAX {
            if !ready!(self.step(cx)) {
                return Poll::Ready(());
            }
        }
        // A client with a great many pipelined requests must not keep the thread.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether something has happened since this connection has last found that all is as usual.
    fn has_news(&self) -> bool {
        self.heard != self.place.worker().news()
    }

    /// A connection between requests looks at what has happened; whether it is to end.
    #[cold]
    fn ends_by_news(&mut self) -> bool {
        let news = self.place.worker().news();
        let unwanted = self.place.worker().ends_idle() || self.place.is_wanted();
        if unwanted && self.http1.is_silent() {
            return true;
        }
        if !self.place.worker().is_current(&self.generation) {
            self.take_current_generation();
        }
        let worker = self.place.worker();
        let ends = unwanted || worker.is_closing() || worker.is_overdue(&self.generation);
        if !ends && worker.is_current(&self.generation) {
            self.heard = news;
        }
        false
    }

    /// Takes the newest generation. If that does not serve the address of the connection any more, a
    /// request that has come already is answered by the old one.
    fn take_current_generation(&mut self) {
        let current = self.place.worker().current();
        let vhosts = current
            .http()
            .vhosts(&self.listener, &self.http1.peer().local);
        if vhosts.is_none() && !self.http1.is_silent() {
            return;
        }
        self.vhosts = vhosts;
        self.http1.scope.set_generation(&current);
        self.http1.forget_location();
        self.generation = current;
    }

    fn after(&self, request: &Request, ended: Ended) -> After {
        if self.http1.is_aborted() {
            return After::Close;
        }
        if ended == Ended::Whole && self.http1.keeps_alive() {
            return if self.http1.body_ended() {
                After::Next
            } else {
                After::Skip
            };
        }
        let mode = *request.core().lingering_close;
        match mode {
            core::LingeringClose::Off => After::Close,
            core::LingeringClose::Always => After::Linger,
            core::LingeringClose::On if self.http1.has_unread() => After::Linger,
            core::LingeringClose::On => After::Close,
        }
    }

    #[inline(always)]
    fn next_request(&mut self) {
        self.http1.next_request();
        match &mut self.state {
            State::Head(head) => head.begin_anew(),
            other => *other = State::Head(ReadHead::next()),
        }
    }

    /// A panic ends the request and this connection, never the thread.
    fn panicked(&mut self) -> Poll<()> {
        alert!("a request was ended by a panic; this is a bug, please report it");
        // Where it is depends on how far it came; the scope knows it from its first moment on.
        if let Some(request) = self.http1.scope.take_request() {
            request.cancel();
            if !request.header_sent() {
                self.http1.forbid_keepalive();
                let _ = self.http1.send_interim(
                    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
            }
            log_request(&request, &self.http1.scope);
        }
        self.state = State::Closed;
        Poll::Ready(())
    }
}

impl Future for Serve {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let _still = hold();
        let _entered = error_log::enter(Rc::clone(&this.http1) as _);
        if this.has_news() {
            // The first time there always are.
            this.place.set_waker(cx.waker());
            if this.place.worker().is_overdue(&this.generation) {
                this.cut_off();
            }
        }
        match catch_unwind(AssertUnwindSafe(|| this.turn(cx))) {
            Ok(polled) => polled,
            Err(_) => this.panicked(),
        }
    }
}

impl Drop for Serve {
    /// What a request waits for holds the request, which holds the connection: without this,
    /// neither would end when the thread does.
    fn drop(&mut self) {
        if let State::Request(request) = &self.state {
            let request = request.clone();
            request.cancel();
            request.detach();
            request.release_ctx();
            drop(self.http1.scope.take_request());
        }
    }
}

/// Who holds a request that nobody else has to do with: the connection, and the scope of its log.
const HOLDERS: usize = 2;

/// How many steps a connection takes in one turn.
const STEPS_MAX: usize = 32;

/// Runs the log handlers. If one waits, it does so in a task of its own: the log phase never
/// delays the next request.
fn log_request(request: &Request, scope: &log::Scope) {
    request.detach();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    if request.poll_log(&mut cx).is_pending() {
        let request = request.clone();
        let scope = scope.for_log_phase(&request);
        tokio::task::spawn_local(async move {
            std::future::poll_fn(|cx| {
                let _entered = error_log::enter(Rc::clone(&scope));
                request.poll_log(cx)
            })
            .await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Http1, Serve};

    /// With the counts of an `Rc` the connection just fills a class of 272 bytes of glibc's
    /// allocator; the task of the reactor's, one of 144.
    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Http1>() <= 248, "{}", size_of::<Http1>());
        assert!(size_of::<Serve>() <= 128, "{}", size_of::<Serve>());
    }
}
