//! HTTP/1 as a [`Downstream`]: framing of bodies, writing, timeouts.

mod send;

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use ngx_buf::{Buf, Chain, Flags, Flow, WriteError};

use super::framing::Body;
use super::log::Scope;
use super::told::{Allowed, Told};
use super::writers::{self, Out, Turn};
use crate::http::core::LocationConf;
use crate::http::downstream::{BodyError, BodyPiece, Downstream, Peer};
use crate::http::head::Head;
use crate::http::output::TIMED_OUT;
use crate::http::parse::{BodyFraming, Version};
use crate::http::request::Request;
use crate::net::deadline::Deadline;
use crate::net::transport::{Peek, Transport};
use crate::time::now_ms;

/// The connection as requests see it.
pub(crate) struct Http1 {
    transport: Transport,
    /// Whose connection this is, and what its log lines say.
    pub(super) scope: Scope,
    pub(super) deadline: Deadline,
    /// Nothing while the connection is idle: it is the largest part of all this.
    out: RefCell<Option<Box<Out>>>,
    /// Bytes that were read but not used yet: a head in parts, pipelined requests, a body.
    pub(super) unread: RefCell<BytesMut>,
    body: RefCell<Body>,
    keepalive: Cell<bool>,
    allowed: Cell<Allowed>,
    aborted: Cell<bool>,
    told: Cell<Told>,
    /// Where the settings lie that were told last, so as not to take them again: those of one
    /// location are the same for all requests of a generation.
    told_by: Cell<*const LocationConf>,
    /// The body of the response goes out in chunks.
    chunked: Cell<bool>,
    /// Bytes written since others had their turn, and how many that may be.
    turn: Cell<Turn>,
    /// Bytes that were sent when the current response began.
    sent_before: Cell<u64>,
    /// Bytes that were sent when `send_timeout` was last started; `NOT_SENDING` if it does not run.
    sent_at_timer: Cell<u64>,
}

thread_local! {
    /// Heads and bodies are read into memory of the thread; what a connection must keep it copies.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_SIZE].into_boxed_slice());
}
/// So many bytes nobody sends.
const NOT_SENDING: u64 = u64::MAX;
const SCRATCH_SIZE: usize = 64 * 1024;
/// How often an unwanted body is read from before its response.
const DISCARD_READS: usize = 16;

impl Http1 {
    pub(super) fn new(transport: Transport, scope: Scope) -> Self {
        Self {
            transport,
            scope,
            deadline: Deadline::new(),
            out: RefCell::default(),
            unread: RefCell::default(),
            body: RefCell::new(Body::Ended),
            keepalive: Cell::new(false),
            allowed: Cell::default(),
            aborted: Cell::new(false),
            told: Cell::new(Told::NOTHING),
            told_by: Cell::new(ptr::null()),
            chunked: Cell::new(false),
            turn: Cell::default(),
            sent_before: Cell::new(0),
            sent_at_timer: Cell::new(NOT_SENDING),
        }
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Another generation serves the connection: its settings may lie where those of the last did.
    pub(super) fn forget_location(&self) {
        self.told_by.set(ptr::null());
    }

    /// Prepares for the response to a request that has this `head`: framing of its body, and whether
    /// another may follow. The settings to go by are told later, by the location if nobody answers
    /// before that is looked up.
    #[inline(always)]
    pub(super) fn begin(&self, head: &Head, framing: BodyFraming, closing: bool) {
        self.body.replace(Body::from(framing));
        let wanted = match head.version() {
            version if version >= Version::HTTP_11 => !head.connection_has(b"close"),
            _ => head.connection_has(b"keep-alive"),
        };
        self.keepalive.set(wanted && !closing);
        self.allowed.set(Allowed::Unknown);
        self.chunked.set(false);
        self.sent_before.set(self.written());
    }

    /// What the server block says applies until a location is found: for requests that may be
    /// answered before.
    #[inline(never)]
    pub(super) fn set_server(&self, conf: &LocationConf) {
        let allowed = self.take_settings(conf);
        self.allowed.set(Allowed::by_server(allowed));
    }

    /// Goes by these settings from here on; whether they let the connection serve another request.
    #[inline]
    fn take_settings(&self, conf: &LocationConf) -> bool {
        if !ptr::eq(self.told_by.replace(conf), conf) {
            self.tell(conf);
        }
        let most = self.turn.get().most;
        self.turn.set(Turn { written: 0, most });
        *conf.keepalive_timeout > 0
            && self.scope.peer.requests.get() < *conf.keepalive_requests
            && now_ms().saturating_sub(self.scope.peer.since) <= *conf.keepalive_time
    }

    /// Other settings apply.
    #[cold]
    fn tell(&self, conf: &LocationConf) {
        let told = Told::from(conf);
        let turn = Turn::from(conf);
        self.told.set(told);
        self.turn.set(turn);
        if let Some(out) = &mut *self.out.borrow_mut() {
            out.set_location(told.postpone.into(), turn.most);
        }
    }

    pub(super) fn linger_ms(&self) -> (u64, u64) {
        let told = self.told.get();
        (told.linger.into(), told.linger_total.into())
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.get()
    }

    /// Whether nothing was read that waits to be parsed.
    pub(super) fn is_quiet(&self) -> bool {
        self.unread.borrow().is_empty()
    }

    /// Whether the client has sent nothing that waits for an answer, the kernel asked too.
    pub(super) fn is_silent(&self) -> bool {
        self.is_quiet() && !matches!(self.transport.peek_now(), Ok(Peek::Data))
    }

    pub(super) fn body_ended(&self) -> bool {
        matches!(&*self.body.borrow(), Body::Ended)
    }

    /// Whether the client has sent, or is about to send, what nobody will read.
    pub(super) fn has_unread(&self) -> bool {
        !self.body_ended()
            || !self.is_quiet()
            || matches!(self.transport.peek_closed(), Ok(Peek::Data))
    }

    /// Small packets are not delayed from here on, if the location says so.
    fn set_nodelay(&self) {
        if self.told.get().nodelay {
            // A client that is gone is noticed by the next read.
            let _ = self.transport.set_nodelay();
        }
    }

    #[inline(always)]
    pub(super) fn next_request(&self) {
        self.set_nodelay();
        self.sent_at_timer.set(NOT_SENDING);
        self.deadline.set(self.told.get().keepalive.into());
        // An idle connection keeps no memory for bytes that are not there.
        let mut unread = self.unread.borrow_mut();
        if unread.is_empty() && unread.capacity() > 0 {
            *unread = BytesMut::new();
        }
        self.give_out_back();
    }

    /// Sees to it that there is something to write with, which an idle connection has not.
    #[inline(always)]
    fn fill(&self, out: &mut Option<Box<Out>>) {
        if out.is_none() {
            let postpone = self.told.get().postpone.into();
            *out = Some(writers::take(postpone, self.turn.get().most));
        }
    }

    #[inline(always)]
    fn give_out_back(&self) {
        let mut out = self.out.borrow_mut();
        let Some(idle) = out.take_if(|out| out.is_empty() && !out.has_ended()) else {
            return;
        };
        writers::give_back(idle);
    }

    /// Bytes that were written since the connection was idle.
    fn written(&self) -> u64 {
        self.out.borrow().as_ref().map_or(0, |out| out.sent())
    }

    /// Reads once into the thread's memory and hands the bytes to `f`; 0 bytes are the end.
    pub(super) fn poll_read<R>(
        &self,
        cx: &mut Context<'_>,
        limit: usize,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Poll<io::Result<R>> {
        let mut f = Some(|memory: &[u8], n| f(memory.get(..n).unwrap_or_default()));
        loop {
            ready!(self.transport.poll_read_ready(cx))?;
            if let Some(read) = self.try_read(limit, &mut f) {
                return Poll::Ready(read);
            }
        }
    }

    /// The same, but tries first: for a task that was woken, as it needs not ask whether there is
    /// anything. Who reads over and over leaves nobody else a turn. `f` gets all of the memory, and
    /// how many bytes at its front were read.
    pub(super) fn poll_read_at_once<R>(
        &self,
        cx: &mut Context<'_>,
        f: impl FnOnce(&[u8], usize) -> R,
    ) -> Poll<io::Result<R>> {
        let mut f = Some(f);
        loop {
            if let Some(read) = self.try_read(usize::MAX, &mut f) {
                return Poll::Ready(read);
            }
            ready!(self.transport.poll_read_ready(cx))?;
        }
    }

    /// Reads what is there; `None` if that is nothing.
    fn try_read<R>(
        &self,
        limit: usize,
        f: &mut Option<impl FnOnce(&[u8], usize) -> R>,
    ) -> Option<io::Result<R>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let most = limit.clamp(1, scratch.len());
            let room = scratch.get_mut(..most).unwrap_or_default();
            match self.transport.try_read(room) {
                Ok(n) => {
                    let f = f.take()?;
                    Some(Ok(f(scratch, n)))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(error) => Some(Err(error)),
            }
        })
    }

    /// Skips the rest of the body; `false` if the client does not send it in time.
    pub(super) fn poll_skip(&self, cx: &mut Context<'_>, until: u64) -> Poll<bool> {
        let mut told = self.told.get();
        told.body = told.linger;
        self.told.set(told);
        self.forget_location();
        loop {
            if self.body_ended() {
                return Poll::Ready(true);
            }
            if now_ms() > until {
                return Poll::Ready(false);
            }
            match ready!(self.poll_body(cx, SCRATCH_SIZE)) {
                Ok(BodyPiece::Data(_)) => {}
                Ok(BodyPiece::End) => return Poll::Ready(true),
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Takes body bytes out of what was read already.
    fn take_body(&self, limit: usize) -> Result<Option<BodyPiece>, BodyError> {
        self.body
            .borrow_mut()
            .take(&mut self.unread.borrow_mut(), limit)
    }
}

impl Downstream for Http1 {
    fn peer(&self) -> &Peer {
        &self.scope.peer
    }

    fn send_header(&self, r: &Request) -> Result<(), WriteError> {
        self.send_head(r, &[], None).map(drop)
    }

    fn send_header_and_small(
        &self,
        r: &Request,
        bytes: &[u8],
        flags: Flags,
    ) -> Result<Option<Flow>, WriteError> {
        self.send_head(r, bytes, Some(flags))
    }

    fn send_body(&self, chain: &mut Chain) -> Result<Flow, WriteError> {
        let chunked = self.chunked.get();
        self.write(|out| {
            if out.push(chain, chunked).contains(Flags::FLUSH) {
                self.set_nodelay();
            }
        })
    }

    fn send_small(&self, bytes: &[u8], flags: Flags) -> Result<Option<Flow>, WriteError> {
        if self.aborted.get() {
            return Ok(Some(Flow::Done));
        }
        let mut out = self.out.borrow_mut();
        self.fill(&mut out);
        let Some(out) = &mut *out else {
            return Ok(None);
        };
        if !self.push_small(out, bytes, flags) {
            return Ok(None);
        }
        self.write_out(out).map(Some)
    }

    fn send_interim(&self, head: &[u8]) -> Result<(), WriteError> {
        let buf = Buf::from(Bytes::copy_from_slice(head)).with_flags(Flags::FLUSH);
        self.write(|out| {
            let _ = out.push(&mut Chain::from(buf), false);
            self.set_nodelay();
        })
        .map(|_| ())
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if self.aborted.get() {
            return Poll::Ready(Ok(()));
        }
        let turn = self.turn.get();
        if turn.is_over() {
            self.turn.set(Turn { written: 0, ..turn });
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut out = self.out.borrow_mut();
        let Some(out) = out.as_mut().filter(|out| !out.is_postponed()) else {
            // It may have gone out with what came behind it.
            self.end_send_timer();
            return Poll::Ready(Ok(()));
        };
        let polled = match out.poll_write(cx, &self.transport) {
            Poll::Pending => {
                if let Some(ngx_buf::Pause::Until(at)) = out.pause() {
                    return self.poll_limited(cx, out, at);
                }
                Poll::Pending
            }
            ready => ready,
        };
        if polled.is_ready() {
            self.end_send_timer();
            return polled;
        }
        if self.sent_at_timer.get() != out.sent() {
            self.sent_at_timer.set(out.sent());
            self.deadline.set(self.told.get().send.into());
        }
        if self.deadline.poll_expired(cx).is_ready() {
            self.abort();
            let error = io::Error::from_raw_os_error(TIMED_OUT);
            return Poll::Ready(Err(WriteError::Io(error)));
        }
        Poll::Pending
    }

    fn poll_body(&self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<BodyPiece, BodyError>> {
        loop {
            if let Some(piece) = self.take_body(limit)? {
                return Poll::Ready(Ok(piece));
            }
            let raw = matches!(&*self.body.borrow(), Body::Raw);
            let read = self.poll_read(cx, limit, |bytes| {
                self.unread.borrow_mut().extend_from_slice(bytes);
                bytes.len()
            });
            match read {
                Poll::Ready(Ok(0)) if raw => {
                    self.body.replace(Body::Ended);
                    return Poll::Ready(Ok(BodyPiece::End));
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(BodyError::Closed)),
                Poll::Ready(Ok(_)) => {
                    self.sent_at_timer.set(NOT_SENDING);
                    self.deadline.clear();
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending if raw => return Poll::Pending,
                Poll::Pending => {
                    if !self.deadline.is_set() {
                        self.deadline.set(self.told.get().body.into());
                    }
                    ready!(self.deadline.poll_expired(cx));
                    self.deadline.clear();
                    return Poll::Ready(Err(BodyError::TimedOut));
                }
            }
        }
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.unread.borrow().is_empty() {
            // A pipelined request hides the end; it is seen when its turn comes.
            return Poll::Pending;
        }
        loop {
            if ready!(self.transport.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match self.transport.peek_closed() {
                Ok(Peek::Closed) | Err(_) => return Poll::Ready(()),
                Ok(Peek::Data) => return Poll::Pending,
                Ok(Peek::Nothing) => {}
            }
        }
    }

    fn upgrade(&self) {
        self.keepalive.set(false);
        self.set_nodelay();
        self.chunked.set(false);
        self.body.replace(Body::Raw);
        self.deadline.clear();
    }

    fn set_location(&self, conf: &LocationConf) {
        let allowed = self.take_settings(conf);
        self.allowed.set(self.allowed.get().and(allowed));
    }

    fn discard_body(&self) -> Result<(), BodyError> {
        if self.body_ended() {
            return Ok(());
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // What has come already is skipped at once, within reason: a client that sends without
        // end must not keep the thread. The rest is skipped behind the response.
        for _ in 0..DISCARD_READS {
            if self.body_ended() {
                break;
            }
            match self.take_body(SCRATCH_SIZE) {
                Ok(Some(BodyPiece::Data(_))) => {}
                Ok(Some(BodyPiece::End)) => break,
                Ok(None) => {
                    let read = self.poll_read(&mut cx, SCRATCH_SIZE, |bytes| {
                        self.unread.borrow_mut().extend_from_slice(bytes);
                        bytes.len()
                    });
                    if !matches!(read, Poll::Ready(Ok(1..))) {
                        break;
                    }
                }
                Err(error) => {
                    self.keepalive.set(false);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn keeps_alive(&self) -> bool {
        self.keepalive.get() && self.allowed.get().holds()
    }

    fn forbid_keepalive(&self) {
        self.keepalive.set(false);
    }

    fn abort(&self) {
        self.aborted.set(true);
        if self.told.get().reset {
            // It is closed in either case; this only spares the kernel what lies unsent.
            let _ = self.transport.reset_on_close();
        }
    }

    fn sent(&self) -> u64 {
        self.written().saturating_sub(self.sent_before.get())
    }
}
