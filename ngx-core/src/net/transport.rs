//! One connection: to a client or to a backend, over TCP or over a Unix-domain socket.

mod stream;

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use ngx_buf::Sink;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType,
};
use socket2::{SockAddr, SockRef};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::reactor::{Stage, Watched, Way};
use super::{Addr, sys};

/// The most that one `sendfile(2)` takes: what a fast client reads must not starve the others.
const SEND_FILE_MAX: u64 = 2 << 20;

/// A connected stream socket, on tokio or, where one runs, on the [reactor](super::reactor) of the
/// thread that has accepted or connected it. There it has to stay and to be dropped: elsewhere all
/// calls fail.
///
/// Everything takes `&self`, so that a connection can be read and written from different places.
/// One task may wait for reading and one for writing; a later waiter replaces an earlier one.
///
/// A read that gets less than it asked for, and a write that leaves something, are known to have
/// emptied or filled the socket: they take back the readiness that is remembered, so that no
/// second system call is made to learn the same.
///
/// ```
/// use std::time::Duration;
/// use ngx_core::net::{Addr, Transport};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let addr = Addr::from(listener.local_addr()?);
/// let transport = Transport::connect(&addr, Duration::from_secs(1)).await?;
/// let sent = transport.try_write_vectored(&[std::io::IoSlice::new(b"GET / HTTP/1.0\r\n\r\n")], false)?;
/// assert_eq!(sent, 18);
/// # Ok(())
/// # }
/// ```
pub struct Transport {
    inner: Inner,
    nodelay: AtomicBool,
}

enum Inner {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// On a thread's reactor.
    Watched(Watched, Family),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    Tcp,
    Unix,
}

/// What [`Transport::peek_closed`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peek {
    /// The peer is silent.
    Nothing,
    /// There are bytes to read.
    Data,
    /// The peer has closed its side.
    Closed,
}

impl Transport {
    /// Connects, without blocking.
    ///
    /// # Errors
    ///
    /// What `connect(2)` says; `ETIMEDOUT` after `timeout`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    pub async fn connect(addr: &Addr, timeout: Duration) -> io::Result<Self> {
        tokio::time::timeout(timeout, Self::connect_from(None, addr))
            .await
            .unwrap_or_else(|_| Err(Errno::TIMEDOUT.into()))
    }

    /// Connects, without blocking, from an address of this machine if there is one and the other is
    /// no Unix-domain socket. With port 0 the system chooses the port. Waits for as long as the
    /// system does, minutes: a caller has a timeout of its own.
    ///
    /// # Errors
    ///
    /// What `bind(2)` and `connect(2)` say.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    pub async fn connect_from(local: Option<SocketAddr>, addr: &Addr) -> io::Result<Self> {
        let (socket, stage) = connecting(local, addr)?;
        let family = match addr {
            Addr::Inet(_) => Family::Tcp,
            Addr::Unix(_) => Family::Unix,
        };
        let transport = Self::registered(socket, family, stage)?;
        if stage == Stage::Connected {
            return Ok(transport);
        }
        transport.writable().await?;
        match rustix::net::sockopt::socket_error(&transport)? {
            Ok(()) => Ok(transport),
            Err(error) => Err(error.into()),
        }
    }

    /// A socket that does not block: the reactor's of this thread if one runs, or else tokio's.
    pub(super) fn registered(socket: OwnedFd, family: Family, stage: Stage) -> io::Result<Self> {
        let inner = match (Watched::new(socket, stage), family) {
            (Ok(watched), _) => Inner::Watched(watched, family),
            (Err(socket), Family::Tcp) => Inner::Tcp(TcpStream::from_std(socket.into())?),
            (Err(socket), Family::Unix) => Inner::Unix(UnixStream::from_std(socket.into())?),
        };
        Ok(Self {
            inner,
            nodelay: AtomicBool::new(false),
        })
    }

    /// Is it a TCP connection?
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        matches!(self.inner, Inner::Tcp(_) | Inner::Watched(_, Family::Tcp))
    }

    /// Reads what is there; 0 is the end.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing; what `recv(2)` says.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len();
        self.once(Interest::READABLE, |fd| {
            let (n, _) = rustix::net::recv(fd, &mut *buf, RecvFlags::empty())?;
            Ok((n, 0 < n && n < wanted))
        })
    }

    /// Reads what is there into the spare capacity of `buf`, whose length grows by what was read;
    /// 0 is the end. A buffer without spare capacity is given some by its own rules.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is nothing; what `recv(2)` says.
    pub fn try_read_buf(&self, buf: &mut BytesMut) -> io::Result<usize> {
        self.try_read_some(buf, usize::MAX)
    }

    /// As [`try_read_buf`](Self::try_read_buf), but reads at most `most` bytes, for which `buf` has
    /// to have room.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_read_some(&self, buf: &mut BytesMut, most: usize) -> io::Result<usize> {
        self.once(Interest::READABLE, |fd| {
            let (n, wanted) = sys::recv_into(fd, buf, most)?;
            Ok((n, 0 < n && n < wanted))
        })
    }

    /// Writes what the socket takes of `buf`.
    ///
    /// # Errors
    ///
    /// As [`try_write_vectored`](Self::try_write_vectored), with `send(2)`.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.once(Interest::WRITABLE, |fd| {
            let n = rustix::net::send(fd, buf, SendFlags::NOSIGNAL)?;
            Ok((n, n < buf.len()))
        })
    }

    /// Writes several slices with one system call; less than all when the socket is full. With
    /// `more`, the kernel may hold an incomplete segment back, for something follows.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing can be written; what `sendmsg(2)` says. A closed connection is
    /// `EPIPE`, never a signal.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        // The kernel refuses longer lists.
        let bufs = bufs.get(..1024).unwrap_or(bufs);
        let wanted: usize = bufs.iter().map(|buf| buf.len()).sum();
        let flags = if more {
            SendFlags::NOSIGNAL | SendFlags::MORE
        } else {
            SendFlags::NOSIGNAL
        };
        self.once(Interest::WRITABLE, |fd| {
            let mut control = SendAncillaryBuffer::default();
            let n = rustix::net::sendmsg(fd, bufs, &mut control, flags)?;
            Ok((n, n < wanted))
        })
    }

    /// Sends a part of a file without copying it through the process: at most 2 MiB a call. 0
    /// means that the file ends before `offset`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing can be written; what `sendfile(2)` says.
    pub fn try_send_file(&self, file: impl AsFd, offset: u64, len: u64) -> io::Result<usize> {
        let count = usize::try_from(len.min(SEND_FILE_MAX)).unwrap_or(usize::MAX);
        self.once(Interest::WRITABLE, |fd| {
            let mut offset = offset;
            let n = rustix::fs::sendfile(fd, &file, Some(&mut offset), count)?;
            // Less than asked for may as well be the end of a truncated file: readiness stays.
            Ok((n, false))
        })
    }

    /// Looks whether the peer has gone, without taking anything from the socket. While nothing
    /// has happened on the connection it is no system call.
    ///
    /// # Errors
    ///
    /// The connection is broken: what `recv(2)` says.
    pub fn peek_closed(&self) -> io::Result<Peek> {
        let mut byte = [0];
        let peeked = self.once(Interest::READABLE, |fd| {
            let (n, _) = rustix::net::recv(fd, &mut byte, RecvFlags::PEEK)?;
            Ok((n, false))
        });
        match peeked {
            Ok(0) => Ok(Peek::Closed),
            Ok(_) => Ok(Peek::Data),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Peek::Nothing),
            Err(error) => Err(error),
        }
    }

    /// As [`peek_closed`](Self::peek_closed), but asks the system whatever is known of the
    /// connection: what has come this very moment is seen, too.
    ///
    /// # Errors
    ///
    /// The connection is broken: what `recv(2)` says.
    pub fn peek_now(&self) -> io::Result<Peek> {
        let mut byte = [0];
        match rustix::net::recv(self, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((0, _)) => Ok(Peek::Closed),
            Ok(_) => Ok(Peek::Data),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Peek::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until there may be something to read.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down, or the reactor's thread is another one.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.inner {
            Inner::Tcp(stream) => stream.poll_read_ready(cx),
            Inner::Unix(stream) => stream.poll_read_ready(cx),
            Inner::Watched(watched, _) => watched.poll_ready(Way::Read, cx),
        }
    }

    /// Waits until something may be written.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down, or the reactor's thread is another one.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.inner {
            Inner::Tcp(stream) => stream.poll_write_ready(cx),
            Inner::Unix(stream) => stream.poll_write_ready(cx),
            Inner::Watched(watched, _) => watched.poll_ready(Way::Write, cx),
        }
    }

    /// Waits until there may be something to read.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down, or the reactor's thread is another one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is read; the future may be dropped at any time.
    pub async fn readable(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_read_ready(cx)).await
    }

    /// Waits until something may be written.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down, or the reactor's thread is another one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is written; the future may be dropped at any time.
    pub async fn writable(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_write_ready(cx)).await
    }

    /// Tells the peer that nothing more will come (the first step of a lingering close).
    ///
    /// # Errors
    ///
    /// What `shutdown(2)` says.
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, Shutdown::Write)?)
    }

    /// Sends small segments at once (`tcp_nodelay`). Only the first call is a system call; on a
    /// Unix-domain socket there is nothing to do.
    ///
    /// # Errors
    ///
    /// What `setsockopt(2)` says.
    pub fn set_nodelay(&self) -> io::Result<()> {
        if self.is_tcp() && !self.nodelay.load(Ordering::Relaxed) {
            SockRef::from(self).set_tcp_nodelay(true)?;
            self.nodelay.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Closing will reset the connection (`reset_timedout_connection`): the kernel forgets at
    /// once what the peer has not read.
    ///
    /// # Errors
    ///
    /// What `setsockopt(2)` says.
    pub fn reset_on_close(&self) -> io::Result<()> {
        SockRef::from(self).set_linger(Some(Duration::ZERO))
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// What `getpeername(2)` says: the peer may have gone.
    pub fn peer_addr(&self) -> io::Result<Addr> {
        addr_of(&SockRef::from(self).peer_addr()?)
    }

    /// Our own address.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` says.
    pub fn local_addr(&self) -> io::Result<Addr> {
        addr_of(&SockRef::from(self).local_addr()?)
    }

    /// Makes one system call if the socket is thought ready. The call says how much it moved, and
    /// whether the socket is known to be empty or full now.
    fn once(
        &self,
        interest: Interest,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<(usize, bool)>,
    ) -> io::Result<usize> {
        let mut moved = None;
        let outcome = self.try_io(interest, || {
            loop {
                match call(self.as_fd()) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                    Ok((n, exhausted)) => {
                        moved = Some(n);
                        let blocked = io::ErrorKind::WouldBlock;
                        return if exhausted {
                            Err(blocked.into())
                        } else {
                            Ok(())
                        };
                    }
                }
            }
        });
        match moved {
            Some(n) => {
                // At most a kind, which owns nothing: no need to look for what to free.
                mem::forget(outcome);
                Ok(n)
            }
            None => outcome.map(|()| 0),
        }
    }

    fn try_io(&self, interest: Interest, call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        match &self.inner {
            Inner::Tcp(stream) => stream.try_io(interest, call),
            Inner::Unix(stream) => stream.try_io(interest, call),
            Inner::Watched(watched, _) => {
                let way = if interest.is_readable() {
                    Way::Read
                } else {
                    Way::Write
                };
                watched.try_io(way, call)
            }
        }
    }
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Self {
        Self {
            inner: Inner::Tcp(stream),
            nodelay: AtomicBool::new(false),
        }
    }
}

impl From<UnixStream> for Transport {
    fn from(stream: UnixStream) -> Self {
        Self {
            inner: Inner::Unix(stream),
            nodelay: AtomicBool::new(false),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.inner {
            Inner::Tcp(stream) => stream.as_fd(),
            Inner::Unix(stream) => stream.as_fd(),
            Inner::Watched(watched, _) => watched.as_fd(),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("fd", &self.as_fd())
            .finish()
    }
}

impl Sink for &Transport {
    fn try_write_vectored(&mut self, bufs: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        Transport::try_write_vectored(self, bufs, more)
    }

    fn sends_files(&self) -> bool {
        true
    }

    fn try_send_file(&mut self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        Transport::try_send_file(self, file, offset, len)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }
}

/// A socket that does not block and is connected, or about to be.
fn connecting(local: Option<SocketAddr>, addr: &Addr) -> io::Result<(OwnedFd, Stage)> {
    let family = match addr {
        Addr::Inet(SocketAddr::V4(_)) => AddressFamily::INET,
        Addr::Inet(SocketAddr::V6(_)) => AddressFamily::INET6,
        Addr::Unix(_) => AddressFamily::UNIX,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    let outcome = match addr {
        Addr::Inet(addr) => {
            if let Some(local) = local {
                rustix::net::bind(&socket, &local)?;
            }
            rustix::net::connect(&socket, addr)
        }
        Addr::Unix(path) => rustix::net::connect(&socket, &SocketAddrUnix::new(&**path)?),
    };
    match outcome {
        // After an interruption the system goes on connecting, too.
        Err(Errno::INPROGRESS | Errno::INTR) => Ok((socket, Stage::Connecting)),
        Ok(()) => Ok((socket, Stage::Connected)),
        Err(error) => Err(error.into()),
    }
}

/// The address of a Unix-domain socket, named or not.
pub(super) fn unix(path: Option<&Path>) -> Addr {
    path.map_or_else(Addr::unix_unnamed, |path| Addr::Unix(Arc::from(path)))
}

fn addr_of(addr: &SockAddr) -> io::Result<Addr> {
    match addr.as_socket() {
        Some(addr) => Ok(addr.into()),
        None if addr.is_unix() => Ok(unix(addr.as_pathname())),
        None => Err(Errno::AFNOSUPPORT.into()),
    }
}

#[cfg(test)]
pub(super) mod tests;
