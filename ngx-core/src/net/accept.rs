//! Connections out of a listening socket.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::task::{Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags};
use tokio::net::{TcpListener, UnixListener};

use super::listener::WorkerListener;
use super::reactor::{Stage, Watched, Way};
use super::transport::{Family, unix};
use super::{Addr, Transport};
use crate::error::errno;
use crate::{alert, crit};

/// How long nobody is accepted when the system is out of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(500);

/// A listening socket in the runtime of a worker.
///
/// ```
/// use ngx_core::net::listener::{ListenOptions, ListenRules, Listeners};
/// use ngx_core::net::Acceptor;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let wanted = [ListenOptions::new(std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())];
/// let set = Listeners::prepare(&Listeners::default(), &wanted, ListenRules::new(1))?;
/// let listener = set.iter().next().ok_or("no listener")?;
/// let acceptor = Acceptor::new(listener.for_worker(0)?)?;
/// let client = std::net::TcpStream::connect(listener.local_addr()?.to_string())?;
/// let (_transport, peer) = acceptor.accept().await?;
/// assert_eq!(peer, client.local_addr()?.into());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Acceptor {
    inner: Inner,
    /// Accepting fails, and the log says so already.
    failing: Cell<bool>,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    Unix(UnixListener),
    /// On the thread's reactor.
    Watched(Watched, Family),
}

impl Acceptor {
    /// Registers the socket with the reactor of this thread or, where none runs, the current
    /// runtime.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl(2)` says.
    ///
    /// # Panics
    ///
    /// Where no reactor runs, outside of a tokio runtime with its I/O driver on.
    pub fn new(listener: WorkerListener) -> io::Result<Self> {
        let (socket, family) = match listener {
            WorkerListener::Tcp(listener) => (OwnedFd::from(listener), Family::Tcp),
            WorkerListener::Unix(listener) => (OwnedFd::from(listener), Family::Unix),
        };
        rustix::io::ioctl_fionbio(&socket, true)?;
        let inner = match (Watched::new(socket, Stage::Listening), family) {
            (Ok(watched), _) => Inner::Watched(watched, family),
            (Err(socket), Family::Tcp) => Inner::Tcp(TcpListener::from_std(socket.into())?),
            (Err(socket), Family::Unix) => Inner::Unix(UnixListener::from_std(socket.into())?),
        };
        Ok(Self {
            inner,
            failing: Cell::new(false),
        })
    }

    /// The next connection, and its peer's address.
    ///
    /// A client that went away before it was accepted is skipped. When the system is out of
    /// descriptors or memory, that is logged once, and the next try is half a second later: the
    /// loop never spins.
    ///
    /// # Errors
    ///
    /// The socket is not one to accept from.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost when the future is dropped.
    pub async fn accept(&self) -> io::Result<(Transport, Addr)> {
        loop {
            let error = match self.accept_one().await {
                Ok(accepted) => {
                    self.failing.set(false);
                    return Ok(accepted);
                }
                Err(error) => error,
            };
            match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP) => {
                    return Err(error);
                }
                Some(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => continue,
                _ => {}
            }
            if !self.failing.replace(true) {
                report(&error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn accept_one(&self) -> io::Result<(Transport, Addr)> {
        match &self.inner {
            Inner::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((stream.into(), peer.into()))
            }
            Inner::Unix(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((stream.into(), unix(peer.as_pathname())))
            }
            Inner::Watched(listener, family) => {
                let (socket, peer) = next(listener).await?;
                let transport = Transport::registered(socket, *family, Stage::Connected)?;
                let peer = match (family, peer) {
                    (Family::Tcp, Some(peer)) => SocketAddr::try_from(peer)?.into(),
                    (Family::Tcp, None) => transport.peer_addr()?,
                    // Asked for anew: a path may be a byte longer than what there is room for.
                    (Family::Unix, _) => transport
                        .peer_addr()
                        .unwrap_or_else(|_| Addr::unix_unnamed()),
                };
                Ok((transport, peer))
            }
        }
    }
}

/// The next connection, which does not block, out of a listening socket that a reactor watches.
async fn next(listener: &Watched) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    poll_fn(|cx| {
        loop {
            ready!(listener.poll_ready(Way::Read, cx))?;
            let mut accepted = None;
            let outcome = listener.try_io(Way::Read, || {
                accepted = Some(rustix::net::acceptfrom_with(listener, flags)?);
                Ok(())
            });
            match (outcome, accepted) {
                (Ok(()), Some(accepted)) => return Poll::Ready(Ok(accepted)),
                (Err(error), _) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                _ => {}
            }
        }
    })
    .await
}

fn report(error: &io::Error) {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE) => crit!("accept4() failed {}", errno(error)),
        _ => alert!("accept4() failed {}", errno(error)),
    }
}
