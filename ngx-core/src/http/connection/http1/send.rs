//! Writing: heads, bodies, and the limit of their speed.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use ngx_buf::{Flags, Flow, Limit, WriteError};

use super::super::writers::Out;
use super::{Http1, NOT_SENDING};
use crate::http::downstream::Downstream as _;
use crate::http::filter::header;
use crate::http::request::Request;

impl Http1 {
    /// Writes the header of the response of `r`, and behind it, if they have `flags` and can be copied,
    /// these bytes; what has become of them.
    #[inline(never)]
    pub(super) fn send_head(
        &self,
        r: &Request,
        bytes: &[u8],
        flags: Option<Flags>,
    ) -> Result<Option<Flow>, WriteError> {
        // What it depends on may ask the connection.
        let rate = r.limit_rate();
        let limit = (rate > 0).then(|| limit_of(r, rate));
        let response = r.response();
        self.chunked.set(response.is_chunked());
        if self.aborted.get() {
            return Ok(Some(Flow::Done));
        }
        let mut out = self.out.borrow_mut();
        self.fill(&mut out);
        let Some(out) = &mut *out else {
            return Ok(None);
        };
        if limit.is_some() || out.is_limited() {
            // The limit of the response before on this connection is none of this one.
            out.set_limit(limit, Instant::now());
        }
        let stays = self.keeps_alive();
        let len = out.push_head(response.is_header_only(), |head| {
            header::write(r, stays, head);
        });
        r.set_header_size(len as u64);
        let pushed = flags.is_some_and(|flags| self.push_small(out, bytes, flags));
        let flow = self.write_out(out)?;
        Ok(pushed.then_some(flow))
    }

    /// Queues bytes that bear `flags`, if they can be copied.
    #[inline]
    pub(super) fn push_small(&self, out: &mut Out, bytes: &[u8], flags: Flags) -> bool {
        let pushed = out.push_small(bytes, flags, self.chunked.get());
        if pushed && flags.contains(Flags::FLUSH) {
            self.set_nodelay();
        }
        pushed
    }

    /// Queues what `push` does, and writes what the client takes.
    pub(super) fn write(&self, push: impl FnOnce(&mut Out)) -> Result<Flow, WriteError> {
        if self.aborted.get() {
            return Ok(Flow::Done);
        }
        let mut out = self.out.borrow_mut();
        self.fill(&mut out);
        let Some(out) = &mut *out else {
            return Ok(Flow::Done);
        };
        push(out);
        self.write_out(out)
    }

    /// Writes what the client takes, if it is time for that.
    #[inline]
    pub(super) fn write_out(&self, out: &mut Out) -> Result<Flow, WriteError> {
        if !out.may_wait() {
            return self.write_now(out);
        }
        Ok(self.turn.get().flow(Flow::Done))
    }

    fn write_now(&self, out: &mut Out) -> Result<Flow, WriteError> {
        let before = out.sent();
        let flow = out.try_write(&self.transport)?;
        let mut turn = self.turn.get();
        turn.written += out.sent() - before;
        self.turn.set(turn);
        if flow == Flow::Done {
            self.end_send_timer();
        }
        Ok(turn.flow(flow))
    }

    /// Nothing waits for the client to take it.
    #[inline]
    pub(super) fn end_send_timer(&self) {
        if self.sent_at_timer.replace(NOT_SENDING) != NOT_SENDING {
            self.deadline.clear();
        }
    }

    /// Waits until `limit_rate` allows more.
    pub(super) fn poll_limited(
        &self,
        cx: &mut Context<'_>,
        out: &mut Out,
        at: Instant,
    ) -> Poll<Result<(), WriteError>> {
        let now = Instant::now();
        if let Some(wait) = at
            .checked_duration_since(now)
            .filter(|wait| !wait.is_zero())
        {
            let wait = u64::try_from(wait.as_millis())
                .unwrap_or(u64::MAX)
                .saturating_add(1);
            self.sent_at_timer.set(NOT_SENDING);
            self.deadline.set(wait);
            ready!(self.deadline.poll_expired(cx));
        }
        self.deadline.clear();
        out.set_now(Instant::now());
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The speed of this response: `rate` bytes a second.
#[cold]
fn limit_of(r: &Request, rate: u64) -> Limit {
    Limit::new(rate, r.core().limit_rate_after.of(r), Instant::now())
}
