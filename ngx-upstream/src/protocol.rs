//! The hooks: what the author of a protocol writes.

mod input;
mod sinks;

pub use input::{Input, Literal};
pub use sinks::{BodySink, HeadSink, Trailers};

use bytes::Bytes;
use ngx_buf::Chain;

use crate::error::ProtocolError;

/// The protocol's half of one exchange with an upstream peer.
///
/// Hooks are synchronous: they do no I/O, read no clock and never wait. They read [`Input`], write
/// into sinks and return a verdict; sockets, timers, retries and pools are the driver's.
///
/// # Order
///
/// 1. [`create_request`](Self::create_request), once.
/// 2. [`process_header`](Self::process_header), again and again as bytes come, until it says
///    [`Step::Ready`] or [`Step::Upgrade`].
/// 3. [`input_filter`](Self::input_filter), until it says [`BodyStep::Keep`] or
///    [`BodyStep::Close`]. Its first call follows `Ready` at once, so that a response without a body
///    ends there.
/// 4. [`reinit_request`](Self::reinit_request) before every retry; the chain that `create_request`
///    made is replayed, and the list goes on at 2.
/// 5. [`abort_request`](Self::abort_request), only if the client left.
/// 6. [`finalize_request`](Self::finalize_request), exactly once and last, if `create_request` was
///    called.
///
/// [`output_filter`](Self::output_filter) is called between 1 and 6 if the request body is sent while
/// it arrives.
///
/// # What `Again`, empty input and the end mean
///
/// `Again` says: took what could be taken, call again when there is more. What was left in the input
/// is there again next time, followed by the new bytes. A hook is called when bytes came, or once when
/// the peer closed its side ([`Input::eof`]); it may find the input empty in both cases. A hook that
/// says `Again` when `eof` is true gets no more calls: the exchange ends with
/// [`ProtocolError::PrematureClose`], so most hooks need not look at `eof` at all.
///
/// ```
/// use ngx_buf::Chain;
/// use ngx_upstream::{BodySink, BodyStep, HeadSink, Input, Protocol, ProtocolError, Step};
///
/// /// Sends `ping`, expects a line, has no body.
/// struct Ping;
///
/// impl Protocol for Ping {
///     type Head = String;
///
///     fn create_request(&mut self, out: &mut Chain) -> Result<(), ProtocolError> {
///         out.push("ping\n");
///         Ok(())
///     }
///
///     fn process_header(
///         &mut self,
///         input: &mut Input<'_>,
///         _: &mut HeadSink<'_, String>,
///     ) -> Result<Step<String>, ProtocolError> {
///         Ok(match input.take_line() {
///             Some(line) => Step::Ready(String::from_utf8_lossy(&line).into_owned()),
///             None => Step::Again,
///         })
///     }
///
///     fn input_filter(
///         &mut self,
///         _: &mut Input<'_>,
///         _: &mut BodySink<'_>,
///     ) -> Result<BodyStep, ProtocolError> {
///         Ok(BodyStep::Keep)
///     }
/// }
/// ```
pub trait Protocol {
    /// What the head of a response is in this protocol.
    type Head;

    /// Pushes the request, or its head if the body is sent while it arrives.
    ///
    /// # Errors
    /// [`ProtocolError::Request`] when the request cannot be expressed.
    fn create_request(&mut self, out: &mut Chain) -> Result<(), ProtocolError>;

    /// What goes out in front of everything that [`create_request`](Self::create_request) has pushed,
    /// from when that was called until the exchange is over. It need not be memory that can be
    /// shared, so a protocol that serves many exchanges can keep it. Nothing by default.
    fn front(&self) -> &[u8] {
        &[]
    }

    /// Reads the head of the response. May send bytes to the peer on the way (handshakes) and hand
    /// out interim heads.
    ///
    /// # Errors
    /// [`ProtocolError::Invalid`] when the peer does not speak the protocol.
    fn process_header(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut HeadSink<'_, Self::Head>,
    ) -> Result<Step<Self::Head>, ProtocolError>;

    /// Moves body bytes from the input to the sink, without the protocol's framing.
    ///
    /// # Errors
    /// [`ProtocolError::Invalid`] when the framing is broken.
    fn input_filter(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut BodySink<'_>,
    ) -> Result<BodyStep, ProtocolError>;

    /// Takes the body if all of it is in the input, at most `most` bytes of it, and it is not empty:
    /// as most small bodies are as soon as their head is known. What is not taken goes through
    /// [`input_filter`](Self::input_filter), as by default everything does.
    fn whole_body(&mut self, input: &mut Input<'_>, most: usize) -> Option<(Bytes, Reuse)> {
        let _ = (input, most);
        None
    }

    /// Forgets everything about the response seen so far: the request is about to go to another
    /// connection.
    ///
    /// # Errors
    /// When the exchange cannot be repeated.
    fn reinit_request(&mut self) -> Result<(), ProtocolError> {
        Ok(())
    }

    /// The client left. The connection will be closed.
    fn abort_request(&mut self) {}

    /// The exchange is over.
    fn finalize_request(&mut self, outcome: Outcome) {
        let _ = outcome;
    }

    /// Frames a piece of a request body that is sent while it arrives: chunks, FastCGI records.
    /// `last` comes with the last piece, which may be empty. The default adds nothing.
    ///
    /// # Errors
    /// When the body does not fit what the head announced.
    fn output_filter(
        &mut self,
        body: Chain,
        last: bool,
        out: &mut Chain,
    ) -> Result<(), ProtocolError> {
        let _ = last;
        out.append(body);
        Ok(())
    }
}

/// The verdict of [`Protocol::process_header`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step<H> {
    /// More bytes are needed.
    Again,
    /// This is the head; the rest of the input belongs to the body.
    Ready(H),
    /// This is the head, and from here on the connection is a tunnel.
    Upgrade(H),
}

/// The verdict of [`Protocol::input_filter`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyStep {
    /// More bytes are needed.
    Again,
    /// The body is complete, the connection can serve another exchange.
    Keep,
    /// The body is complete, the connection must be closed.
    Close,
}

/// Whether a connection may serve another exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reuse {
    /// It may go to the pool.
    Keep,
    /// It has to be closed.
    Close,
}

/// How an exchange ended, as its protocol is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The response was read to its end.
    Complete(Reuse),
    /// The protocol was switched and the tunnel is over.
    Tunnel,
    /// The peers failed, or the driver had no use for the rest of the response.
    Failed,
    /// The client left; `abort_request` was called.
    Aborted,
}
