//! A connection, with what has come and what has to go.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use ngx_buf::{Buf, Chain, Flow};
use ngx_core::net::seats::Seat;
use ngx_core::net::{Deadline, Peek, Transport};

use super::input::Input;
use super::target::Target;
use crate::ffi::Lender;

/// A connection. Pools keep it as it is.
pub(super) struct Link {
    end: End,
    /// Whom scripts have named to connect to.
    target: Option<Rc<Target>>,
    /// Bytes that came and that no pattern has taken.
    pub(super) input: RefCell<Input>,
    output: RefCell<Output>,
    /// Something was sent, and nothing was looked for since.
    asked: Cell<bool>,
    /// How often it has been taken out of a pool.
    reused: Cell<u32>,
    reading: OnceCell<Deadline>,
    writing: OnceCell<Deadline>,
}

/// What the bytes go through.
enum End {
    /// A connection of the socket's own.
    Own {
        transport: Transport,
        /// Its part of `worker_connections`.
        _seat: Option<Seat>,
    },
    /// Something that belongs to another.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "requests lend"))]
    Lent(Rc<dyn Stream>),
}

/// A stream of bytes that somebody else keeps: the client's side of a request.
pub(crate) trait Stream {
    /// Appends to `input` what is there, about `wanted` bytes; 0 is the end.
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>>;

    /// Queues `chain`, and writes what the peer takes now.
    fn try_send(&self, chain: Chain) -> io::Result<Flow>;

    /// Writes what is queued; ready when all of it is out.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Bytes written so far.
    fn sent(&self) -> u64;
}

/// What the system did not take yet.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    /// So many of them are out.
    out: usize,
    sent: u64,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Reading,
    Writing,
}

impl Link {
    pub(super) fn new(transport: Transport, seat: Option<Seat>, target: Rc<Target>) -> Self {
        let end = End::Own {
            transport,
            _seat: seat,
        };
        Self::over(end, Some(target))
    }

    /// A link through what another keeps.
    #[cfg(feature = "http")]
    pub(super) fn lent(stream: Rc<dyn Stream>) -> Self {
        Self::over(End::Lent(stream), None)
    }

    fn over(end: End, target: Option<Rc<Target>>) -> Self {
        Self {
            end,
            target,
            input: RefCell::default(),
            output: RefCell::default(),
            asked: Cell::new(false),
            reused: Cell::new(0),
            reading: OnceCell::new(),
            writing: OnceCell::new(),
        }
    }

    /// The transport, if it is the socket's own.
    pub(super) fn transport(&self) -> Option<&Transport> {
        match &self.end {
            End::Own { transport, .. } => Some(transport),
            End::Lent(_) => None,
        }
    }

    /// Whether another keeps it.
    pub(super) fn is_lent(&self) -> bool {
        matches!(self.end, End::Lent(_))
    }

    /// Whom scripts have named to connect to.
    pub(super) fn target(&self) -> Option<&Rc<Target>> {
        self.target.as_ref()
    }

    /// Whether something was sent and nothing looked for since.
    pub(super) fn take_asked(&self) -> bool {
        self.asked.take()
    }

    /// How often it has been taken out of a pool.
    pub(super) fn reused(&self) -> u32 {
        self.reused.get()
    }

    /// It goes to a pool, for a short time perhaps: it keeps its buffer, if that is not large.
    pub(super) fn put_back(&self) {
        self.reused.set(self.reused.get().saturating_add(1));
        self.input.borrow_mut().shed();
    }

    /// Nobody uses it for now: it keeps no more than an idle connection needs.
    pub(super) fn retire(&self) {
        self.input.borrow_mut().retire();
        *self.output.borrow_mut() = Output::default();
        for deadline in [&self.reading, &self.writing] {
            if let Some(deadline) = deadline.get() {
                deadline.forget();
            }
        }
    }

    /// Whether it is of no use any more, without waiting: the peer closed it, or said something.
    pub(super) fn is_stale(&self) -> bool {
        let peek = self.transport().map(Transport::peek_closed);
        !matches!(peek, Some(Ok(Peek::Nothing)))
    }

    /// Waits until it is of no use any more.
    pub(super) fn poll_stale(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(transport) = self.transport() else {
            return Poll::Ready(());
        };
        loop {
            if ready!(transport.poll_read_ready(cx)).is_err() || self.is_stale() {
                return Poll::Ready(());
            }
        }
    }

    /// Writes what the peer takes of `bytes` now and queues the rest.
    pub(super) fn try_send(&self, bytes: &[u8]) -> io::Result<Flow> {
        let transport = match &self.end {
            End::Own { transport, .. } => transport,
            End::Lent(stream) => {
                let buf = Buf::from(bytes.to_vec());
                return stream.try_send(Chain::from_iter([buf]));
            }
        };
        let output = &mut *self.output.borrow_mut();
        // What a timeout has left goes first.
        if !output.bytes.is_empty() {
            output.bytes.extend_from_slice(bytes);
            return output.write(transport);
        }
        let written = written(transport.try_write(bytes))?;
        output.sent += written as u64;
        self.asked.set(true);
        match bytes.get(written..) {
            None | Some([]) => Ok(Flow::Done),
            Some(rest) => {
                output.bytes.extend_from_slice(rest);
                Ok(Flow::Again)
            }
        }
    }

    /// Writes what is queued; ready when all of it is out.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let transport = match &self.end {
            End::Own { transport, .. } => transport,
            End::Lent(stream) => return stream.poll_send(cx),
        };
        let output = &mut *self.output.borrow_mut();
        loop {
            ready!(transport.poll_write_ready(cx))?;
            if output.write(transport)? == Flow::Done {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Bytes written so far.
    pub(super) fn sent(&self) -> u64 {
        match &self.end {
            End::Own { .. } => self.output.borrow().sent,
            End::Lent(stream) => stream.sent(),
        }
    }

    /// Reads what is there; 0 is the end.
    pub(super) fn try_read(&self, wanted: usize) -> io::Result<usize> {
        let input = &mut *self.input.borrow_mut();
        match &self.end {
            End::Own { transport, .. } => transport.try_read_buf(input.room(wanted)),
            End::Lent(stream) => {
                let mut cx = Context::from_waker(Waker::noop());
                match stream.poll_read(&mut cx, wanted, input.room(0)) {
                    Poll::Ready(read) => read,
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                }
            }
        }
    }

    /// Waits until there is something to read.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.end {
            End::Own { transport, .. } => transport.poll_read_ready(cx),
            End::Lent(stream) => {
                let input = &mut *self.input.borrow_mut();
                stream
                    .poll_read(cx, LENT_READ, input.room(0))
                    .map(|read| read.map(drop))
            }
        }
    }

    /// Gives `way` so many milliseconds from now.
    pub(super) fn set_deadline(&self, way: Way, millis: u64) {
        self.deadline(way).get_or_init(Deadline::new).set(millis);
    }

    /// Takes the deadline of `way` back.
    pub(super) fn clear_deadline(&self, way: Way) {
        if let Some(deadline) = self.deadline(way).get() {
            deadline.clear();
        }
    }

    /// Ready when the deadline of `way` has passed.
    pub(super) fn poll_expired(&self, way: Way, cx: &mut Context<'_>) -> Poll<()> {
        match self.deadline(way).get() {
            Some(deadline) => deadline.poll_expired(cx),
            None => Poll::Pending,
        }
    }

    fn deadline(&self, way: Way) -> &OnceCell<Deadline> {
        match way {
            Way::Reading => &self.reading,
            Way::Writing => &self.writing,
        }
    }
}

/// What a receive has taken in place goes into Lua from where it lies.
impl Lender for Link {
    fn lend(&self, take: &mut dyn FnMut(&[u8])) {
        take(self.input.borrow().lent());
    }
}

impl Output {
    /// Writes what the system takes.
    fn write(&mut self, transport: &Transport) -> io::Result<Flow> {
        let rest = self.bytes.get(self.out..).unwrap_or_default();
        if !rest.is_empty() {
            let written = written(transport.try_write(rest))?;
            self.out += written;
            self.sent += written as u64;
        }
        if self.out < self.bytes.len() {
            return Ok(Flow::Again);
        }
        // Large ones are rare, and not kept.
        *self = Self {
            sent: self.sent,
            ..Self::default()
        };
        Ok(Flow::Done)
    }
}

/// A socket that takes nothing now has written nothing.
fn written(outcome: io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}

/// Bytes asked for when a stream of another's is waited for: what comes then is read at once.
const LENT_READ: usize = 4096;
