//! Connections to peers, and what a driver asks of them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{BufMut as _, BytesMut};
use ngx_core::net::seats::{self, Seat};
use ngx_core::net::{Addr, Transport};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::driver::Alarm;
use crate::now::now_ms;
use crate::peer::Peer;

/// A connection a driver can use.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Waits until the connection, on which nothing was asked, is of no use any more: the peer closed
    /// it, or said something. Registers the waker as `poll_read` does. The default reads into a small
    /// buffer, which is lost.
    fn poll_stale(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0; 1];
        Pin::new(self)
            .poll_read(cx, &mut ReadBuf::new(&mut byte))
            .map(|_| ())
    }

    /// Waits until there may be something to read; cheaper than an attempt to read if there is
    /// nothing yet. By default there always may be.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// Appends what is there to `buf`, which has room for `most` bytes, and not more than those; 0 is
    /// the end.
    fn poll_read_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        most: usize,
    ) -> Poll<io::Result<usize>>
    where
        Self: Sized,
    {
        pin!(self.read_buf(&mut buf.limit(most))).poll(cx)
    }

    /// Writes what the connection takes of `bytes`.
    fn poll_write_some(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    /// Whether an idle connection is of no use any more, without waiting.
    fn is_stale(&mut self) -> bool {
        self.poll_stale(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }
}

impl Stream for Transport {
    fn poll_stale(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let watched = ready!(self.poll_read_ready(cx));
            // What was readable only seemingly is not remembered as such any more.
            if watched.is_err() || self.is_stale() {
                return Poll::Ready(());
            }
        }
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // An error is for the attempt to read.
        self.poll_read_ready(cx).map(|_| ())
    }

    // What is remembered of the socket says whether there is something to do: it need not be asked first.

    fn poll_read_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_read_some(buf, most) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_read_ready(cx))?;
                }
                read => return Poll::Ready(read),
            }
        }
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_stale(&mut self) -> bool {
        // Reads what is remembered: costs neither a system call nor a share of the task's budget.
        let mut byte = [0; 1];
        !matches!(self.try_read(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }
}

#[cfg(test)]
impl Stream for tokio::io::DuplexStream {}

impl Stream for TcpStream {}

impl Stream for UnixStream {}

impl<S: Stream> Stream for &mut S {
    fn poll_stale(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        (**self).poll_stale(cx)
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        (**self).poll_readable(cx)
    }

    fn poll_read_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut BytesMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        (**self).poll_read_some(cx, buf, most)
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (**self).poll_write_some(cx, bytes)
    }

    fn is_stale(&mut self) -> bool {
        (**self).is_stale()
    }
}

/// Makes connections, and takes back those that may serve again.
pub trait Connect {
    /// The connections.
    type Stream: Stream;

    /// A connection to `peer`, kept or new. With `fresh` it has to be new: a kept one has just failed.
    ///
    /// # Errors
    /// Why no connection could be made.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection it was making: so ends a connection that takes too
    /// long.
    fn connect(
        &self,
        peer: &Peer,
        fresh: bool,
    ) -> impl Future<Output = io::Result<Connection<Self::Stream>>>;

    /// A connection to `peer` that was kept and is still of use, at once. None by default.
    fn take(&self, peer: &Peer) -> Option<Connection<Self::Stream>> {
        let _ = peer;
        None
    }

    /// Takes a connection whose last exchange ended cleanly. The default closes it.
    fn keep(&self, peer: &Peer, connection: Connection<Self::Stream>) {
        let _ = (peer, connection);
    }
}

/// A connection and its history. It is handed around much, so it stays in one place.
#[derive(Debug)]
pub struct Connection<S>(Box<Known<S>>);

/// What a [`Connection`] is made of.
#[derive(Debug)]
pub struct Known<S> {
    /// The connection.
    pub stream: S,
    /// Exchanges it has served before.
    pub requests: u64,
    /// When it was made, in milliseconds of `now_ms`.
    pub(crate) begun: u64,
    /// What the timers of the last exchange have left.
    pub(crate) alarm: Option<Alarm>,
    /// Its part of `worker_connections`.
    seat: Option<Seat>,
}

impl<S> Connection<S> {
    /// A connection that was made now.
    pub fn new(stream: S) -> Self {
        Self(Box::new(Known {
            stream,
            requests: 0,
            begun: now_ms(),
            alarm: None,
            seat: None,
        }))
    }

    /// The stream and its part of `worker_connections`, for who keeps connections in a way of its
    /// own.
    pub fn into_parts(self) -> (S, Option<Seat>) {
        let Known { stream, seat, .. } = *self.0;
        (stream, seat)
    }

    /// A connection that was made now, and counts among those that the thread may have.
    fn seated(stream: S, seat: Seat) -> Self {
        let mut connection = Self::new(stream);
        connection.seat = Some(seat);
        connection
    }

    /// Whether it has served before: then a peer that closes it says nothing about itself.
    pub fn is_reused(&self) -> bool {
        self.requests > 0
    }
}

impl<S> Deref for Connection<S> {
    type Target = Known<S>;

    fn deref(&self) -> &Known<S> {
        &self.0
    }
}

impl<S> DerefMut for Connection<S> {
    fn deref_mut(&mut self) -> &mut Known<S> {
        &mut self.0
    }
}

impl<P> Connect for P
where
    P: Deref,
    P::Target: Connect,
{
    type Stream = <P::Target as Connect>::Stream;

    fn connect(
        &self,
        peer: &Peer,
        fresh: bool,
    ) -> impl Future<Output = io::Result<Connection<Self::Stream>>> {
        (**self).connect(peer, fresh)
    }

    fn take(&self, peer: &Peer) -> Option<Connection<Self::Stream>> {
        (**self).take(peer)
    }

    fn keep(&self, peer: &Peer, connection: Connection<Self::Stream>) {
        (**self).keep(peer, connection);
    }
}

/// Connects over TCP from an address of this machine, over Unix-domain sockets as [`Sockets`]. Keeps
/// nothing. Each connection takes one of the thread's [seats].
#[derive(Clone, Copy, Debug)]
pub struct Bound(
    /// Where connections come from; with port 0 the system chooses one.
    pub SocketAddr,
);

impl Connect for Bound {
    type Stream = Transport;

    async fn connect(&self, peer: &Peer, fresh: bool) -> io::Result<Connection<Transport>> {
        if let Addr::Unix(_) = &peer.addr {
            return Sockets.connect(peer, fresh).await;
        }
        let seat = seats::take()?;
        let transport = Transport::connect_from(Some(self.0), &peer.addr).await?;
        transport.set_nodelay()?;
        Ok(Connection::seated(transport, seat))
    }
}

/// Connects over TCP and Unix-domain sockets. Keeps nothing. Each connection takes one of the thread's
/// [seats].
#[derive(Clone, Copy, Debug, Default)]
pub struct Sockets;

impl Connect for Sockets {
    type Stream = Transport;

    async fn connect(&self, peer: &Peer, _fresh: bool) -> io::Result<Connection<Transport>> {
        let seat = seats::take()?;
        let transport = Transport::connect_from(None, &peer.addr).await?;
        // Bodies that are sent as they arrive, and tunnels, must not wait for acknowledgements.
        transport.set_nodelay()?;
        Ok(Connection::seated(transport, seat))
    }
}
