//! The way of a response through the filters to the client.
//!
//! ```text
//!  send_header          output(chain)
//!      │                     │ queued while the header waits
//!      ▼                     ▼
//!  header filters ──▶ body filters up to "copy" ──▶ OutputChain ──▶ body filters ──▶ Downstream
//! ```
//!
//! A filter that waits keeps its place: what comes behind it is queued in front of it, so that
//! order holds, and [`Request::output`] answers [`Flow::Again`] so that the producer waits too.

mod body;
mod small;
mod take;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll};

use ngx_buf::{Buf, Chain, Flags, Flow, OutputChain, OutputError, WriteError};

pub use self::take::TakeError;
use super::filter::{FilterSet, copy, is_usual};
use super::parse::Method;
use super::request::Request;
use super::step::{Step, Waiting};
use crate::error::errno;
use crate::{alert, info};

/// `ETIMEDOUT`: the client has not taken anything for `send_timeout`.
pub(crate) const TIMED_OUT: i32 = 110;

/// How often in a row the copy filter may be asked to go on in vain.
const STUCK_MAX: u32 = 3;

/// Why a response cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Writing to the client, or reading a file for it, failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The output chain could not copy what it was given.
    #[error(transparent)]
    Copy(#[from] OutputError),
    /// A filter has ended the response with this status; what the handler still sends is dropped.
    #[error("a filter has ended the response with status {0}")]
    Replaced(u16),
    /// The response has already failed.
    #[error("the response has already failed")]
    Failed,
    /// Somebody else speaks to the client: see [`Request::take_over`].
    #[error("the connection of the client was taken over")]
    Taken,
}

impl SendError {
    /// Whether the client has taken nothing for `send_timeout`.
    fn is_timeout(&self) -> bool {
        matches!(self, Self::Write(WriteError::Io(error)) if error.raw_os_error() == Some(TIMED_OUT))
    }

    /// Writes it to the error log, once: what follows from it is not worth a line.
    pub fn log(&self) {
        match self {
            Self::Replaced(_) | Self::Failed | Self::Taken | Self::Write(WriteError::Ended) => {}
            Self::Copy(error) => alert!("{error} while sending response to client"),
            Self::Write(error @ WriteError::File(_)) => {
                alert!("{error} while sending response to client");
            }
            Self::Write(WriteError::Io(error)) if error.raw_os_error() == Some(TIMED_OUT) => {
                info!(
                    "client timed out {} while sending response to client",
                    errno(error)
                );
            }
            Self::Write(WriteError::Closed(error) | WriteError::Io(error)) => {
                info!(
                    "writev() failed {} while sending response to client",
                    errno(error)
                );
            }
            Self::Write(error) => info!("{error} while sending response to client"),
        }
    }
}

/// Where the response header is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Header {
    #[default]
    Unsent,
    /// Some header filter waits.
    Waiting,
    Sent,
    /// A filter wants another response instead.
    Replaced(u16),
    Failed,
    /// Somebody speaks to the client past all filters.
    Taken,
}

/// The output state of one request.
#[derive(Default)]
pub(crate) struct Output {
    header: Cell<Header>,
    /// The body filters of this response.
    body: Cell<FilterSet>,
    /// There are none: memory goes straight to the client.
    straight: Cell<bool>,
    /// Something was kept in one of those that follow: most responses keep nothing.
    held: Cell<bool>,
    header_wait: RefCell<Option<(usize, Waiting<()>)>>,
    /// Body that came while the header waited.
    early: RefCell<Chain>,
    waits: RefCell<Vec<BodyWait>>,
    copy: RefCell<Option<OutputChain>>,
    /// The copy filter, at this index, has kept input that it could not hand on yet.
    copy_pending: Cell<Option<usize>>,
    last_seen: Cell<bool>,
    /// That and all in front of it is with the client: nothing is left to wait for.
    is_out: Cell<bool>,
    /// A filter behind the copy filter looks at the bytes.
    needs_memory: Cell<bool>,
    /// The client has taken nothing for `send_timeout`.
    timed_out: Cell<bool>,
}

impl Output {
    pub(crate) fn needs_memory(&self) -> bool {
        self.needs_memory.get()
    }

    /// Forgets everything.
    pub(crate) fn reset(&mut self) {
        let Self {
            header,
            body: _,
            straight,
            held,
            header_wait,
            early,
            waits,
            copy,
            copy_pending,
            last_seen,
            is_out,
            needs_memory,
            timed_out,
        } = self;
        header.set(Header::Unsent);
        straight.set(false);
        if held.replace(false) {
            *header_wait.get_mut() = None;
            early.get_mut().clear();
            waits.get_mut().clear();
            if let Some(copy) = copy.get_mut().take() {
                copy::give_back(copy);
            }
            copy_pending.set(None);
        }
        last_seen.set(false);
        is_out.set(false);
        needs_memory.set(false);
        timed_out.set(false);
    }

    /// Drops what waits, which may hold the request itself.
    pub(crate) fn release(&self) {
        if !self.held.replace(false) {
            return;
        }
        let header_wait = self.header_wait.take();
        let (early, waits) = (self.early.take(), self.waits.take());
        let copy = self.copy.take();
        self.copy_pending.set(None);
        // Only now: futures that end may look at the output.
        drop((header_wait, early, waits));
        if let Some(copy) = copy {
            copy::give_back(copy);
        }
    }

    /// Whether the client has the whole response.
    pub(crate) fn is_out(&self) -> bool {
        self.is_out.get()
    }

    /// Whether nothing is kept here, and no filter waits.
    fn is_idle(&self) -> bool {
        !self.held.get()
            || self.early.borrow().is_empty()
                && self.waits.borrow().is_empty()
                && self.copy_pending.get().is_none()
    }

    /// Waits for the file that somebody reads for the copy filter.
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<()> {
        let copy = self.copy.borrow();
        copy.as_ref()
            .map_or(Poll::Ready(()), |copy| copy.poll_read(cx))
    }

    /// Whether a filter with a higher index than `at` waits.
    fn waits_behind(&self, at: usize) -> bool {
        self.waits.borrow().iter().any(|wait| wait.filter > at)
    }
}

/// A body filter that waits, and what has come for it meanwhile.
struct BodyWait {
    filter: usize,
    future: Option<Waiting<Chain>>,
    queue: Chain,
}

impl Request {
    /// Runs the header filters and writes the response header.
    ///
    /// # Errors
    /// When the client is gone, or a filter ends the response with a status of its own: the
    /// handler just returns then, what it sends is dropped.
    pub fn send_header(&self) -> Result<Flow, SendError> {
        let output = &self.parts().output;
        match output.header.get() {
            Header::Unsent => {
                // Before the filters, which decide by the status.
                match self.parts().engine.error_status() {
                    0 => {}
                    status => {
                        self.response().set_status(status);
                        self.response().set_reason(None);
                    }
                }
                self.run_header_filters(0)
            }
            Header::Replaced(status) => Err(SendError::Replaced(status)),
            Header::Failed => Err(SendError::Failed),
            Header::Taken => Err(SendError::Taken),
            Header::Waiting | Header::Sent => {
                alert!("header already sent");
                Err(SendError::Failed)
            }
        }
    }

    /// Asks for the body in memory: for header filters whose body filter looks at the bytes.
    pub fn need_body_in_memory(&self) {
        self.parts().output.needs_memory.set(true);
    }

    /// Whether the response header has begun to go out.
    pub fn header_sent(&self) -> bool {
        matches!(
            self.parts().output.header.get(),
            Header::Waiting | Header::Sent | Header::Taken
        )
    }

    /// Whether the response has failed because the client took nothing for `send_timeout`.
    pub fn output_timed_out(&self) -> bool {
        self.parts().output.timed_out.get()
    }

    /// The status that the response has, or will have: what `error_page` has made of it, if that is
    /// something else. 0 as long as there is none.
    pub fn status(&self) -> u16 {
        match self.parts().engine.error_status() {
            0 => self.response().status(),
            status => status,
        }
    }

    /// Gives the response this status whatever `error_page` says, with its usual reason phrase.
    pub fn set_status(&self, status: u16) {
        self.parts().engine.forget_error_status();
        self.response().set_status(status);
        self.response().set_reason(None);
    }

    /// Whether a response can still be made.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.parts().output.header.get() == Header::Unsent
    }

    /// Sends body bufs through the filters. The last buf of a response bears
    /// [`Flags::LAST_BUF`].
    ///
    /// [`Flow::Again`] means that something is kept: wait with [`output_ready`](Self::output_ready)
    /// before producing more.
    ///
    /// # Errors
    /// As [`send_header`](Self::send_header).
    pub fn output(&self, mut chain: Chain) -> Result<Flow, SendError> {
        let output = &self.parts().output;
        if output.header.get() != Header::Sent {
            return self.output_early(chain);
        }
        if chain.has_last_buf() {
            output.last_seen.set(true);
        }
        if self.response().is_header_only() {
            return Ok(Flow::Done);
        }
        let flow = self
            .run_body(0, &mut chain)
            .inspect_err(|_| output.header.set(Header::Failed))?;
        if output.last_seen.get() && output.straight.get() && !output.held.get() {
            output.is_out.set(flow == Flow::Done);
        }
        Ok(flow)
    }

    /// Body for a response whose header is not out.
    #[cold]
    fn output_early(&self, chain: Chain) -> Result<Flow, SendError> {
        let output = &self.parts().output;
        match output.header.get() {
            Header::Waiting => {
                output.held.set(true);
                output.early.borrow_mut().append(chain);
                Ok(Flow::Again)
            }
            Header::Replaced(status) => Err(SendError::Replaced(status)),
            Header::Taken => Err(SendError::Taken),
            Header::Sent | Header::Failed => Err(SendError::Failed),
            Header::Unsent => {
                alert!("body sent before the header");
                Err(SendError::Failed)
            }
        }
    }

    /// Header and whole body in one go: the common case of a small response.
    ///
    /// # Errors
    /// As [`send_header`](Self::send_header).
    pub fn respond(&self, mut body: Chain) -> Result<Flow, SendError> {
        body.push(Buf::special(Flags::LAST_BUF));
        let _ = self.send_header()?;
        self.output(body)
    }

    /// Waits until everything given to [`output`](Self::output) has been taken.
    ///
    /// # Errors
    /// As [`send_header`](Self::send_header).
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn output_ready(&self) -> Result<(), SendError> {
        poll_fn(|cx| self.poll_output(cx)).await
    }

    /// The poll form of [`output_ready`](Self::output_ready); also what moves waiting filters and
    /// unwritten bytes on.
    pub fn poll_output(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let output = &self.parts().output;
        if output.is_out.get() {
            return Poll::Ready(Ok(()));
        }
        let polled = match output.header.get() {
            Header::Sent if output.is_idle() => {
                let downstream = self.downstream_here();
                let flushed = downstream.as_ref().map(|to| to.poll_flush(cx));
                match flushed {
                    Some(Poll::Pending) => return Poll::Pending,
                    Some(Poll::Ready(Err(error))) => Poll::Ready(Err(error.into())),
                    Some(Poll::Ready(Ok(()))) | None => return Poll::Ready(Ok(())),
                }
            }
            Header::Waiting | Header::Sent => self.poll_output_kept(cx),
            // Who has taken it writes all that is his before he ends.
            Header::Unsent | Header::Taken => return Poll::Ready(Ok(())),
            Header::Replaced(status) => return Poll::Ready(Err(SendError::Replaced(status))),
            Header::Failed => return Poll::Ready(Err(SendError::Failed)),
        };
        if let Poll::Ready(Err(error)) = &polled {
            self.output_failed(error);
        }
        polled
    }

    #[cold]
    fn output_failed(&self, error: &SendError) {
        let output = &self.parts().output;
        if !matches!(error, SendError::Replaced(_)) {
            output.timed_out.set(error.is_timeout());
            output.header.set(Header::Failed);
        }
    }

    /// Whether the end of the response was given to [`output`](Self::output).
    pub(crate) fn last_sent(&self) -> bool {
        self.parts().output.last_seen.get()
    }

    /// The status of a filter that wants another response, which the engine makes now.
    pub(crate) fn take_replacement(&self) -> Option<u16> {
        let output = &self.parts().output;
        let Header::Replaced(status) = output.header.get() else {
            return None;
        };
        output.header.set(Header::Unsent);
        output.last_seen.set(false);
        Some(status)
    }

    /// The same where a filter waits, or something is kept on the way.
    fn poll_output_kept(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let output = &self.parts().output;
        let mut stuck = 0;
        loop {
            self.poll_header_wait(cx)?;
            // Every time round: what was sent on may have made a filter wait.
            let waiting = self.poll_body_waits(cx)?;
            let Some(downstream) = self.downstream() else {
                return Poll::Ready(Ok(()));
            };
            if downstream.poll_flush(cx)?.is_pending() {
                return Poll::Pending;
            }
            match output.copy_pending.get() {
                // The client has taken what there was: the buffers should be free again.
                Some(at) if !output.waits_behind(at) => {
                    if output.poll_read(cx).is_pending() {
                        return Poll::Pending;
                    }
                    stuck = if self.resume_copy(at)? { 0 } else { stuck + 1 };
                    if stuck > STUCK_MAX {
                        alert!("a body filter keeps all buffers of the output");
                        return Poll::Ready(Err(SendError::Failed));
                    }
                }
                Some(_) => return Poll::Pending,
                None if waiting || output.header.get() != Header::Sent => return Poll::Pending,
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Goes on with what the copy filter has kept; whether that was of any use.
    fn resume_copy(&self, at: usize) -> Result<bool, SendError> {
        let output = &self.parts().output;
        let pending = || output.copy.borrow().as_ref().map(OutputChain::pending);
        let before = pending();
        let _ = self.run_copy(at, &mut Chain::new())?;
        Ok(output.copy_pending.get().is_none() || pending() != before)
    }

    fn run_header_filters(&self, from: usize) -> Result<Flow, SendError> {
        let plan = &self.location().filters;
        if plan.is_usual && is_usual(self) {
            let output = &self.parts().output;
            output.body.set(plan.body.without(plan.asked));
            output.straight.set(plan.plain);
            return self.write_header();
        }
        let filters = &self.http().filters.header;
        let mut left = plan.header.from(from);
        while let Some(at) = left.pop_first() {
            let Some(filter) = filters.get(at) else { break };
            match filter(self) {
                Step::Next(()) => {}
                other => return self.header_step(at, other),
            }
        }
        self.choose_body_filters();
        self.write_header()
    }

    fn header_step(&self, at: usize, step: Step<()>) -> Result<Flow, SendError> {
        let output = &self.parts().output;
        match step {
            Step::Next(()) => self.run_header_filters(at + 1),
            // The filter has written a header of its own.
            Step::Done => {
                self.choose_body_filters();
                output.header.set(Header::Sent);
                Ok(Flow::Done)
            }
            Step::Finish(status) => {
                output.header.set(Header::Replaced(status));
                output.early.take();
                Err(SendError::Replaced(status))
            }
            Step::Wait(future) => {
                output.header.set(Header::Waiting);
                output.held.set(true);
                output.header_wait.replace(Some((at, future)));
                Ok(Flow::Again)
            }
        }
    }

    /// The header filters have run: body may follow, through those that want to see it.
    fn choose_body_filters(&self) {
        let output = &self.parts().output;
        let filters = &self.http().filters;
        let (body, plain) = filters.body_of(self, self.location().filters);
        output.body.set(body);
        output.straight.set(plain);
    }

    #[inline]
    fn write_header(&self) -> Result<Flow, SendError> {
        let output = &self.parts().output;
        output.header.set(Header::Sent);
        // The filters have seen what a GET would have been answered (RFC 9110 §9.3.2).
        if self.method() == Method::Head {
            self.response().set_header_only(true);
        }
        if let Some(downstream) = &*self.downstream_here() {
            downstream
                .send_header(self)
                .inspect_err(|_| output.header.set(Header::Failed))?;
        }
        Ok(Flow::Done)
    }

    fn poll_header_wait(&self, cx: &mut Context<'_>) -> Result<(), SendError> {
        let output = &self.parts().output;
        // Taken out while it is polled: a filter may look at the output it waits in.
        while let Some((at, mut future)) = output.header_wait.take() {
            match future.as_mut().poll(cx) {
                Poll::Pending => {
                    output.header_wait.replace(Some((at, future)));
                    return Ok(());
                }
                Poll::Ready(step) => {
                    let _ = self.header_step(at, step)?;
                }
            }
        }
        if output.header.get() == Header::Sent && !output.early.borrow().is_empty() {
            let early = output.early.take();
            let _ = self.output(early)?;
        }
        Ok(())
    }
}
