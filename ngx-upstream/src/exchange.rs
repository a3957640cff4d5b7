//! An exchange without sockets: bytes in, bytes and events out.

use std::collections::VecDeque;
use std::mem;

use bytes::{Bytes, BytesMut};
use ngx_buf::{Buf, Chain};

use crate::error::ProtocolError;
use crate::protocol::{
    BodySink, BodyStep, HeadSink, Input, Outcome, Protocol, Reuse, Step, Trailers,
};
use crate::state::State;

/// What an exchange lets through.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the head, interim heads included (`proxy_buffer_size`).
    pub head: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 16 * 1024 }
    }
}

/// What an exchange has to tell.
#[derive(Debug)]
pub enum Event<H> {
    /// Nothing until more bytes are fed.
    Again,
    /// A head that is not the last one.
    Interim(H),
    /// The head. The body follows.
    Head(H),
    /// The head; from here on both sides speak past the protocol. What the peer already sent is in
    /// [`Exchange::input`].
    Upgrade(H),
    /// A piece of the body.
    Body(Chain),
    /// Fields behind the body.
    Trailers(Trailers),
    /// The response is complete.
    Done(Reuse),
}

/// As [`Event`], but that pieces of the body are where the caller wants them.
#[derive(Debug)]
pub(crate) enum Signal<H> {
    Again,
    Interim(H),
    Head(H),
    Upgrade(H),
    /// So many bytes of the body were appended.
    Body(u64),
    Trailers(Box<Trailers>),
    Done(Reuse),
}

/// Runs the hooks of a [`Protocol`] in their order.
///
/// The exchange does no I/O. Whoever drives it moves the bytes: [`take_output`](Self::take_output) to
/// the peer, what the peer sent into [`input`](Self::input), and asks [`poll`](Self::poll) after each
/// of [`received`](Self::received) and [`closed`](Self::closed).
///
/// Dropping an exchange that was begun and not finalized runs `abort_request`, then
/// `finalize_request`.
///
/// ```
/// use ngx_upstream::proto::memcached::{Head, Memcached};
/// use ngx_upstream::exchange::{Event, Exchange, Limits};
///
/// let mut exchange = Exchange::new(Memcached::get(b"key").unwrap(), Limits::default());
/// exchange.begin()?;
/// assert_eq!(exchange.take_output().to_vec(), b"get key\r\n");
/// exchange.feed(b"VALUE key 0 2\r\nhi\r\nEND\r\n");
/// let Event::Head(Head::Hit { flags: 0, length: 2 }) = exchange.poll()? else { panic!() };
/// let Event::Body(body) = exchange.poll()? else { panic!() };
/// assert_eq!(body.to_vec(), b"hi");
/// # Ok::<(), ngx_upstream::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Exchange<P: Protocol> {
    protocol: P,
    limits: Limits,
    state: State,
    /// What `create_request` made, kept for replays.
    request: Chain,
    out: Chain,
    /// Bytes of the protocol's [`front`](Protocol::front) that are sent.
    front_sent: usize,
    input: BytesMut,
    eof: bool,
    /// Bytes or the end came since the last hook was called.
    fresh: bool,
    /// Bytes that `process_header` took, in this try.
    head_taken: usize,
    /// Pieces of a streamed request body went into `out`.
    streamed: bool,
    /// What comes next, none of it body.
    queued: VecDeque<Signal<P::Head>>,
    /// What comes when `queued` is empty.
    error: Option<ProtocolError>,
}

impl<P: Protocol> Exchange<P> {
    /// An exchange that has not begun.
    #[inline(always)]
    pub fn new(protocol: P, limits: Limits) -> Self {
        Self {
            protocol,
            limits,
            state: State::new(),
            request: Chain::new(),
            out: Chain::new(),
            front_sent: usize::MAX,
            input: BytesMut::new(),
            eof: false,
            fresh: false,
            head_taken: 0,
            streamed: false,
            queued: VecDeque::new(),
            error: None,
        }
    }

    /// Begins a try: creates the request the first time; after [`fail`](Self::fail), reinitializes the
    /// protocol and replays the request.
    ///
    /// # Errors
    /// What `create_request` or `reinit_request` say; `OutOfOrder` if a try is running or the
    /// exchange is over.
    pub fn begin(&mut self) -> Result<(), ProtocolError> {
        if self.state.is_idle() {
            self.state.create();
            self.protocol.create_request(&mut self.request)?;
        } else if self.state.is_failed() {
            self.protocol.reinit_request()?;
            self.state.retry();
        } else {
            return Err(ProtocolError::OutOfOrder("begun twice"));
        }
        self.clear();
        if !self.request.is_empty() {
            for buf in self.request.iter() {
                self.out.push(buf.clone());
            }
        }
        self.front_sent = 0;
        self.eof = false;
        self.fresh = false;
        self.head_taken = 0;
        Ok(())
    }

    /// Forgets what a try has left.
    fn clear(&mut self) {
        if !self.out.is_empty() {
            self.out.clear();
        }
        if !self.queued.is_empty() {
            self.queued.clear();
        }
        self.input.clear();
        self.error = None;
    }

    /// Sends a piece of a request body that comes as a stream, framed by `output_filter`.
    ///
    /// # Errors
    /// What `output_filter` says; `OutOfOrder` before [`begin`](Self::begin).
    pub fn push_request_body(&mut self, body: Chain, last: bool) -> Result<(), ProtocolError> {
        if self.state.is_idle() || self.state.is_failed() {
            return Err(ProtocolError::OutOfOrder("body before its request"));
        }
        self.streamed = true;
        self.protocol.output_filter(body, last, &mut self.out)
    }

    /// Whether a retry would send the same request: false once a piece of a streamed body was taken.
    pub fn is_replayable(&self) -> bool {
        !self.streamed
    }

    /// Whether there is something to send.
    pub fn has_output(&self) -> bool {
        self.front_sent < self.protocol.front().len() || !self.out.is_empty()
    }

    /// What has to be sent to the peer next. Empty when there is nothing.
    pub fn take_output(&mut self) -> Chain {
        self.outgoing().take()
    }

    /// What has to be sent to the peer next, where it waits.
    #[inline]
    pub(crate) fn outgoing(&mut self) -> Outgoing<'_> {
        Outgoing {
            front: self.protocol.front(),
            sent: &mut self.front_sent,
            chain: &mut self.out,
        }
    }

    /// Where what has to be sent to the peer is queued.
    pub(crate) fn output(&mut self) -> &mut Chain {
        &mut self.out
    }

    /// Where bytes from the peer are appended. Call [`received`](Self::received) after that.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Bytes were appended to [`input`](Self::input).
    pub fn received(&mut self) {
        self.fresh = true;
    }

    /// Appends a copy of these bytes to the input.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.fresh = true;
    }

    /// The peer closed its side.
    pub fn closed(&mut self) {
        self.eof = true;
        self.fresh = true;
    }

    /// The next event. Ask until it is [`Event::Again`], [`Event::Upgrade`] or [`Event::Done`].
    ///
    /// # Errors
    /// What the hooks say. The try has failed: [`begin`](Self::begin) again, or
    /// [`finalize`](Self::finalize).
    pub fn poll(&mut self) -> Result<Event<P::Head>, ProtocolError> {
        let mut body = Chain::new();
        Ok(match self.advance(&mut body)? {
            Signal::Again => Event::Again,
            Signal::Interim(head) => Event::Interim(head),
            Signal::Head(head) => Event::Head(head),
            Signal::Upgrade(head) => Event::Upgrade(head),
            Signal::Body(_) => Event::Body(body),
            Signal::Trailers(trailers) => Event::Trailers(*trailers),
            Signal::Done(reuse) => Event::Done(reuse),
        })
    }

    /// As [`poll`](Self::poll); what comes of the body is appended to `body`.
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub(crate) fn advance(&mut self, body: &mut Chain) -> Result<Signal<P::Head>, ProtocolError> {
        if !self.queued.is_empty() || self.error.is_some() {
            return self.advance_queued();
        }
        if !self.fresh {
            return Ok(self.done_or_again());
        }
        self.call_hook(body)
    }

    fn call_hook(&mut self, body: &mut Chain) -> Result<Signal<P::Head>, ProtocolError> {
        let advanced = if self.state.is_head() {
            self.process_header()
        } else if self.state.is_body() {
            self.input_filter(body)
        } else {
            return Ok(self.done_or_again());
        };
        match advanced {
            // Nearly always there is one event at a time, which need not be queued.
            Ok(signal) if self.queued.is_empty() => Ok(signal),
            Ok(signal @ Signal::Body(_)) => Ok(signal),
            Ok(signal) => {
                if !matches!(signal, Signal::Again) {
                    self.queued.push_back(signal);
                }
                self.advance_queued()
            }
            // What came before the error is handed out before it.
            Err(error) => {
                self.error = Some(error);
                self.advance_queued()
            }
        }
    }

    /// What has come before, then the error.
    #[cold]
    fn advance_queued(&mut self) -> Result<Signal<P::Head>, ProtocolError> {
        if let Some(signal) = self.queued.pop_front() {
            return Ok(signal);
        }
        match self.error.take() {
            Some(error) => {
                self.state.fail();
                Err(error)
            }
            None => Ok(Signal::Again),
        }
    }

    fn done_or_again(&self) -> Signal<P::Head> {
        match self.state.done() {
            // What came behind the response was not asked for.
            Some(_) if !self.input.is_empty() || self.eof => Signal::Done(Reuse::Close),
            Some(reuse) => Signal::Done(reuse),
            None => Signal::Again,
        }
    }

    /// Takes what the peer sent and no hook has taken: the first bytes of a tunnel.
    pub fn take_input(&mut self) -> Bytes {
        self.input.split().freeze()
    }

    /// Whether the head of the response is awaited.
    pub fn is_head(&self) -> bool {
        self.state.is_head()
    }

    /// Whether the connection is a tunnel.
    pub fn is_tunnel(&self) -> bool {
        self.state.is_tunnel()
    }

    /// How many bytes of the head `process_header` has taken in this try.
    pub fn head_size(&self) -> usize {
        self.head_taken
    }

    /// The try failed for a reason outside of the protocol, for example its connection.
    pub fn fail(&mut self) {
        self.state.fail();
    }

    /// The client left: `abort_request`, then `finalize_request`.
    pub fn abort(&mut self) {
        if self.state.finalize() {
            self.protocol.abort_request();
            self.protocol.finalize_request(Outcome::Aborted);
        }
    }

    /// The exchange is over: `finalize_request`, unless it was called before.
    pub fn finalize(&mut self) {
        let outcome = match self.state.done() {
            Some(reuse) => Outcome::Complete(reuse),
            None if self.state.is_tunnel() => Outcome::Tunnel,
            None => Outcome::Failed,
        };
        if self.state.finalize() {
            self.protocol.finalize_request(outcome);
        }
    }

    /// The protocol, to ask it questions of its own.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    fn process_header(&mut self) -> Result<Signal<P::Head>, ProtocolError> {
        let before = self.input.len();
        let mut input = Input::new(&mut self.input, self.eof);
        let mut sink = HeadSink::new(&mut self.out, &mut self.queued);
        let step = self.protocol.process_header(&mut input, &mut sink)?;
        self.head_taken += before - self.input.len();
        match step {
            Step::Again => {
                self.fresh = false;
                if self.head_taken + self.input.len() >= self.limits.head {
                    return Err(ProtocolError::TooBigHeader);
                }
                if self.eof {
                    return Err(ProtocolError::PrematureClose);
                }
                Ok(Signal::Again)
            }
            Step::Ready(_) | Step::Upgrade(_) if self.head_taken > self.limits.head => {
                Err(ProtocolError::TooBigHeader)
            }
            Step::Ready(head) => {
                self.state.ready();
                Ok(Signal::Head(head))
            }
            Step::Upgrade(head) => {
                self.state.upgrade();
                Ok(Signal::Upgrade(head))
            }
        }
    }

    /// What has come of the body, or what follows it. What else there is waits its turn.
    fn input_filter(&mut self, body: &mut Chain) -> Result<Signal<P::Head>, ProtocolError> {
        let mut trailers = Trailers::new();
        let mut input = Input::new(&mut self.input, self.eof);
        let mut sink = BodySink::new(&mut self.out, body, &mut trailers);
        let step = self.protocol.input_filter(&mut input, &mut sink);
        let came = sink.came();
        self.fresh = false;
        let failed = match step {
            Ok(BodyStep::Again) if self.eof => Some(ProtocolError::PrematureClose),
            Ok(BodyStep::Again) => None,
            // A connection that said more than it was asked cannot be trusted with another exchange.
            Ok(BodyStep::Keep) if self.input.is_empty() && !self.eof => {
                self.state.finish(Reuse::Keep);
                None
            }
            Ok(BodyStep::Keep | BodyStep::Close) => {
                self.state.finish(Reuse::Close);
                None
            }
            Err(error) => Some(error),
        };
        if !trailers.is_empty() {
            self.queued.push_back(Signal::Trailers(Box::new(trailers)));
        }
        match failed {
            Some(error) if came == 0 => Err(error),
            failed => {
                self.error = failed;
                Ok(if came > 0 {
                    Signal::Body(came)
                } else {
                    self.done_or_again()
                })
            }
        }
    }

    /// Takes the body if all of it has come with the head, at most `most` bytes, and says what
    /// becomes of the connection; nothing follows then.
    pub(crate) fn take_whole_body(&mut self, most: usize) -> Option<(Bytes, Reuse)> {
        let undisturbed = self.queued.is_empty() && self.error.is_none() && !self.eof;
        if !undisturbed || !self.state.is_body() {
            return None;
        }
        let mut input = Input::new(&mut self.input, false);
        let (body, reuse) = self.protocol.whole_body(&mut input, most)?;
        // A connection that said more than it was asked cannot be trusted with another exchange.
        let reuse = if self.input.is_empty() {
            reuse
        } else {
            Reuse::Close
        };
        self.fresh = false;
        self.state.finish(reuse);
        Some((body, reuse))
    }

    /// Lets go of what belonged to an exchange that is over, and is as new but for the memory.
    /// What the protocol keeps is its own business.
    #[cfg(feature = "http")]
    pub(crate) fn rest(&mut self) {
        self.finalize();
        self.state = State::new();
        self.clear();
        self.front_sent = usize::MAX;
        if !self.request.is_empty() {
            self.request.clear();
        }
        self.input = BytesMut::new();
        self.streamed = false;
    }

    /// The protocol and the limits of the next exchange, between two of them.
    #[cfg(feature = "http")]
    pub(crate) fn renew(&mut self, limits: Limits) -> &mut P {
        self.limits = limits;
        &mut self.protocol
    }
}

/// What waits to be sent: what is left of the memory of the protocol, then a chain.
pub(crate) struct Outgoing<'a> {
    front: &'a [u8],
    /// So much of `front`, or more, is sent.
    sent: &'a mut usize,
    chain: &'a mut Chain,
}

impl Outgoing<'_> {
    #[inline]
    pub(crate) fn front(&self) -> &[u8] {
        self.front.get(*self.sent..).unwrap_or_default()
    }

    pub(crate) fn chain(&self) -> &Chain {
        self.chain
    }

    /// What is left of the front, if nothing is behind it.
    #[inline]
    pub(crate) fn only_front(&self) -> Option<&[u8]> {
        Some(self.front()).filter(|front| !front.is_empty() && self.chain.is_empty())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        *self.sent >= self.front.len() && self.chain.is_empty()
    }

    pub(crate) fn has_file(&self) -> bool {
        self.chain.iter().any(Buf::is_file)
    }

    /// So many bytes are sent.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize) {
        let of_front = n.min(self.front().len());
        *self.sent += of_front;
        if n > of_front {
            self.chain.advance((n - of_front) as u64);
        }
    }

    /// Drops all of it.
    pub(crate) fn clear(&mut self) {
        *self.sent = self.front.len();
        self.chain.clear();
    }

    /// All of it as a chain.
    pub(crate) fn take(&mut self) -> Chain {
        let rest = mem::take(self.chain);
        if self.front().is_empty() {
            return rest;
        }
        let mut all = Chain::from(Buf::from(self.front().to_vec()));
        *self.sent = self.front.len();
        all.append(rest);
        all
    }
}

impl<P: Protocol> Drop for Exchange<P> {
    fn drop(&mut self) {
        if self.state.done().is_some() || self.state.is_failed() {
            self.finalize();
        } else {
            self.abort();
        }
    }
}

#[cfg(test)]
mod tests;
