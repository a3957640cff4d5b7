//! Listening sockets, shared by the generations of a configuration.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::Addr;
use crate::error::errno;
use crate::{emerg, notice};

/// What the `listen` directives of one address ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Where.
    pub addr: Addr,
    /// `backlog=`: how many connections may wait to be accepted. 511.
    pub backlog: u32,
    /// `reuseport`: one socket per worker, among which the kernel shares out connections. Off.
    pub reuseport: bool,
    /// `ipv6only=`: an IPv6 wildcard does not take IPv4 connections. On.
    pub ipv6only: bool,
    /// `rcvbuf=`, in bytes: the kernel's choice unless set.
    pub rcvbuf: Option<usize>,
    /// `sndbuf=`, in bytes: the kernel's choice unless set.
    pub sndbuf: Option<usize>,
}

impl ListenOptions {
    /// nginx's defaults for an address.
    #[must_use]
    pub fn new(addr: Addr) -> Self {
        Self {
            addr,
            backlog: 511,
            reuseport: false,
            ipv6only: true,
            rcvbuf: None,
            sndbuf: None,
        }
    }
}

/// How [`Listeners::prepare`] goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenRules {
    /// How many workers there are, each of which has a socket of its own with `reuseport`.
    pub workers: usize,
    /// How often an address in use is tried.
    pub tries: u32,
    /// How long to wait between two tries.
    pub pause: Duration,
}

impl ListenRules {
    /// nginx's rules: five tries, half a second apart.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            workers,
            tries: 5,
            pause: Duration::from_millis(500),
        }
    }
}

/// The listening sockets of one generation.
///
/// The next generation takes over those whose address stays; a socket is closed when the last
/// generation that has it is dropped.
///
/// ```
/// use ngx_core::net::listener::{ListenOptions, ListenRules, Listeners};
///
/// let wanted = [ListenOptions::new(std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())];
/// let rules = ListenRules::new(1);
/// let first = Listeners::prepare(&Listeners::default(), &wanted, rules).unwrap();
/// let second = Listeners::prepare(&first, &wanted, rules).unwrap();
/// let addr = |set: &Listeners| set.iter().next().unwrap().local_addr().unwrap();
/// assert_eq!(addr(&first), addr(&second));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Listeners {
    list: Vec<Arc<Listener>>,
}

impl Listeners {
    /// Makes the set that `wanted` asks for, with what it can from `old`; `old` stays as it is.
    ///
    /// An address in use is tried several times, see [`ListenRules`]; the thread sleeps between
    /// the tries. Each failure is logged at `emerg` in nginx's words.
    ///
    /// # Errors
    ///
    /// All addresses that could not be had; whatever was opened is closed again.
    pub fn prepare(
        old: &Self,
        wanted: &[ListenOptions],
        rules: ListenRules,
    ) -> Result<Self, ListenError> {
        let kept: HashMap<&Addr, &Arc<Listener>> = old
            .list
            .iter()
            .map(|listener| (&listener.options.addr, listener))
            .collect();
        let mut slots: Vec<Option<Arc<Listener>>> = vec![None; wanted.len()];
        for attempt in 1.. {
            let mut failures = Vec::new();
            for (slot, options) in slots.iter_mut().zip(wanted) {
                if slot.is_some() {
                    continue;
                }
                match Listener::prepare(kept.get(&options.addr).copied(), options, rules.workers) {
                    Ok(listener) => *slot = Some(Arc::new(listener)),
                    Err(failure) => failures.push(failure),
                }
            }
            if failures.is_empty() {
                break;
            }
            for failure in &failures {
                emerg!("{failure}");
            }
            let hopeless = failures.iter().any(|failure| !failure.is_in_use());
            if hopeless || attempt >= rules.tries {
                if !hopeless {
                    emerg!("still could not bind()");
                }
                return Err(ListenError { failures });
            }
            notice!("try again to bind() after {}ms", rules.pause.as_millis());
            thread::sleep(rules.pause);
        }
        Ok(Self {
            list: slots.into_iter().flatten().collect(),
        })
    }

    /// The set that `wanted` asks for out of sockets that another process has opened for it, in
    /// the same order. Files of Unix-domain sockets stay that process's.
    ///
    /// # Errors
    ///
    /// There are not as many sockets as wanted, or what `dup(2)` says.
    pub fn adopt(wanted: &[ListenOptions], sockets: &[Vec<OwnedFd>]) -> io::Result<Self> {
        if wanted.len() != sockets.len() {
            let (want, have) = (wanted.len(), sockets.len());
            let text = format!("{want} listening sockets are wanted, and {have} were handed over");
            return Err(io::Error::other(text));
        }
        let adopt = |(options, sockets): (&ListenOptions, &Vec<OwnedFd>)| {
            let bound = |fd: &OwnedFd| {
                Ok(Arc::new(Bound {
                    socket: fd.try_clone()?.into(),
                    addr: options.addr.clone(),
                    owned: false,
                    shared: AtomicBool::new(false),
                }))
            };
            let sockets = sockets.iter().map(bound).collect::<io::Result<_>>()?;
            Ok(Arc::new(Listener {
                options: options.clone(),
                sockets,
            }))
        };
        let list = wanted.iter().zip(sockets).map(adopt);
        Ok(Self {
            list: list.collect::<io::Result<_>>()?,
        })
    }

    /// A set out of listening sockets that another program has left to this one, to begin with.
    /// What is no listening socket is logged and closed.
    ///
    /// `owned` says whether files of Unix-domain sockets are this program's once the other is
    /// gone, see [`share_files`](Self::share_files).
    #[must_use]
    pub fn inherit(sockets: impl IntoIterator<Item = OwnedFd>, owned: bool) -> Self {
        let mut list: Vec<Listener> = Vec::new();
        for fd in sockets {
            let socket = Socket::from(fd);
            let addr = match inherited_addr(&socket) {
                Ok(addr) => addr,
                Err(error) => {
                    emerg!(
                        "an inherited descriptor is no listening socket {}",
                        errno(&error)
                    );
                    continue;
                }
            };
            let bound = Arc::new(Bound {
                socket,
                addr: addr.clone(),
                owned,
                shared: AtomicBool::new(owned),
            });
            match list.iter_mut().find(|known| known.options.addr == addr) {
                Some(known) => known.sockets.push(bound),
                None => list.push(Listener {
                    options: ListenOptions::new(addr),
                    sockets: vec![bound],
                }),
            }
        }
        Self {
            list: list.into_iter().map(Arc::new).collect(),
        }
    }

    /// Whether another program listens on the same sockets: the files of Unix-domain ones must
    /// not go with this one then.
    pub fn share_files(&self, shared: bool) {
        for bound in self.list.iter().flat_map(|listener| &listener.sockets) {
            bound.shared.store(shared, Ordering::Relaxed);
        }
    }

    /// The listeners in the order in which they were asked for.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.list.iter()
    }

    /// The listener of this address.
    #[must_use]
    pub fn get(&self, addr: &Addr) -> Option<&Arc<Listener>> {
        self.list
            .iter()
            .find(|listener| listener.options.addr == *addr)
    }
}

/// The socket of one address, or with `reuseport` the sockets, one per worker.
#[derive(Debug)]
pub struct Listener {
    options: ListenOptions,
    sockets: Vec<Arc<Bound>>,
}

impl Listener {
    /// What was asked for.
    #[must_use]
    pub fn options(&self) -> &ListenOptions {
        &self.options
    }

    /// The sockets, for another process.
    pub fn descriptors(&self) -> impl ExactSizeIterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(|bound| bound.socket.as_fd())
    }

    /// The address that the system bound, which has a port where 0 was asked for.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` says.
    pub fn local_addr(&self) -> io::Result<Addr> {
        let bound = self.sockets.first().ok_or(io::ErrorKind::NotFound)?;
        let addr = bound.socket.local_addr()?;
        Ok(addr
            .as_socket()
            .map_or_else(|| self.options.addr.clone(), Addr::from))
    }

    /// The socket that worker `index` accepts from: a descriptor of its own, and with `reuseport`
    /// a socket of its own.
    ///
    /// # Errors
    ///
    /// What `dup(2)` says.
    pub fn for_worker(&self, index: usize) -> io::Result<WorkerListener> {
        let of_its_own = index.checked_rem(self.sockets.len()).unwrap_or(0);
        let bound = self
            .sockets
            .get(of_its_own)
            .ok_or(io::ErrorKind::NotFound)?;
        let fd: OwnedFd = bound.socket.try_clone()?.into();
        Ok(match self.options.addr {
            Addr::Inet(_) => WorkerListener::Tcp(fd.into()),
            Addr::Unix(_) => WorkerListener::Unix(fd.into()),
        })
    }

    /// Would worker `index` accept from the same socket with `other`, of another generation? Then
    /// its [`Acceptor`](super::Acceptor) may stay.
    #[must_use]
    pub fn is_same_socket(&self, other: &Self, index: usize) -> bool {
        let both = self.bound(index).zip(other.bound(index));
        both.is_some_and(|(one, two)| Arc::ptr_eq(one, two))
    }

    fn bound(&self, index: usize) -> Option<&Arc<Bound>> {
        self.sockets.get(index.checked_rem(self.sockets.len())?)
    }

    /// Takes over what `old` has and opens the rest.
    fn prepare(
        old: Option<&Arc<Self>>,
        options: &ListenOptions,
        workers: usize,
    ) -> Result<Self, ListenFailure> {
        let reuseport = options.reuseport && matches!(options.addr, Addr::Inet(_));
        let count = if reuseport { workers.max(1) } else { 1 };
        let mut sockets: Vec<Arc<Bound>> = old
            .map(|old| old.sockets.iter().take(count).cloned().collect())
            .unwrap_or_default();
        let fail = |call| {
            move |error| ListenFailure {
                addr: options.addr.clone(),
                call,
                error,
            }
        };
        if sockets.is_empty() && reuseport {
            // With SO_REUSEPORT the system lets two servers of one user share an address.
            Bound::open(options, false)?;
        }
        for kept in &sockets {
            if reuseport {
                kept.socket
                    .set_reuse_port(true)
                    .map_err(fail("setsockopt(SO_REUSEPORT)"))?;
            }
            if old.is_some_and(|old| old.options.backlog != options.backlog) {
                kept.listen(options)?;
            }
        }
        while sockets.len() < count {
            // Port 0 is the system's choice, the same for all workers.
            let mut options = options.clone();
            if let (Some(first), Addr::Inet(addr)) = (sockets.first(), &mut options.addr) {
                let bound = first.socket.local_addr().map_err(fail("getsockname()"))?;
                *addr = bound.as_socket().unwrap_or(*addr);
            }
            let bound = Bound::open(&options, reuseport)?;
            bound.listen(&options)?;
            sockets.push(Arc::new(bound));
        }
        Ok(Self {
            options: options.clone(),
            sockets,
        })
    }
}

/// A listening socket on its way into a worker's runtime, in non-blocking mode.
#[derive(Debug)]
pub enum WorkerListener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix-domain socket.
    Unix(UnixListener),
}

/// The addresses that [`Listeners::prepare`] could not have.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ListenError {
    failures: Vec<ListenFailure>,
}

impl ListenError {
    /// One failure per address.
    #[must_use]
    pub fn failures(&self) -> &[ListenFailure] {
        &self.failures
    }
}

/// Why an address could not be had; displays as nginx does:
/// `bind() to 0.0.0.0:80 failed (98: Address already in use)`.
#[derive(Debug, thiserror::Error)]
pub struct ListenFailure {
    addr: Addr,
    call: &'static str,
    #[source]
    error: io::Error,
}

impl ListenFailure {
    /// The address.
    #[must_use]
    pub fn addr(&self) -> &Addr {
        &self.addr
    }

    /// What the system said.
    #[must_use]
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// Is the address taken by somebody else?
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

impl fmt::Display for ListenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addr, call, error } = self;
        let to = if matches!(*call, "bind()" | "listen()") {
            "to "
        } else {
            ""
        };
        write!(f, "{call} {to}{addr} failed {}", errno(error))
    }
}

/// A bound socket; the file of a Unix-domain one goes with it.
#[derive(Debug)]
struct Bound {
    socket: Socket,
    addr: Addr,
    /// The file of the socket goes with it, ...
    owned: bool,
    /// ... unless another program listens on it too.
    shared: AtomicBool,
}

impl Bound {
    fn open(options: &ListenOptions, reuseport: bool) -> Result<Self, ListenFailure> {
        let fail = |call| {
            move |error| ListenFailure {
                addr: options.addr.clone(),
                call,
                error,
            }
        };
        let domain = match &options.addr {
            Addr::Inet(addr) => Domain::for_address(*addr),
            Addr::Unix(_) => Domain::UNIX,
        };
        let socket = Socket::new(domain, Type::STREAM, None).map_err(fail("socket()"))?;
        socket
            .set_nonblocking(true)
            .map_err(fail("ioctl(FIONBIO)"))?;
        if let Some(size) = options.rcvbuf {
            socket
                .set_recv_buffer_size(size)
                .map_err(fail("setsockopt(SO_RCVBUF)"))?;
        }
        if let Some(size) = options.sndbuf {
            socket
                .set_send_buffer_size(size)
                .map_err(fail("setsockopt(SO_SNDBUF)"))?;
        }
        match &options.addr {
            Addr::Inet(addr) => {
                socket
                    .set_reuse_address(true)
                    .map_err(fail("setsockopt(SO_REUSEADDR)"))?;
                if reuseport {
                    socket
                        .set_reuse_port(true)
                        .map_err(fail("setsockopt(SO_REUSEPORT)"))?;
                }
                if addr.is_ipv6() {
                    let only = options.ipv6only;
                    socket
                        .set_only_v6(only)
                        .map_err(fail("setsockopt(IPV6_V6ONLY)"))?;
                }
                socket
                    .bind(&SockAddr::from(*addr))
                    .map_err(fail("bind()"))?;
                Ok(Self {
                    socket,
                    addr: options.addr.clone(),
                    owned: true,
                    shared: AtomicBool::new(false),
                })
            }
            Addr::Unix(path) => {
                let addr = SockAddr::unix(path).map_err(fail("bind()"))?;
                socket.bind(&addr).map_err(fail("bind()"))?;
                let bound = Self {
                    socket,
                    addr: options.addr.clone(),
                    owned: true,
                    shared: AtomicBool::new(false),
                };
                open_to_all(path).map_err(fail("chmod()"))?;
                Ok(bound)
            }
        }
    }

    fn listen(&self, options: &ListenOptions) -> Result<(), ListenFailure> {
        let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
        self.socket.listen(backlog).map_err(|error| ListenFailure {
            addr: options.addr.clone(),
            call: "listen()",
            error,
        })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Addr::Unix(path) = &self.addr
            && self.owned
            && !self.shared.load(Ordering::Relaxed)
            && let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            emerg!("unlink() {} failed {}", path.display(), errno(&error));
        }
    }
}

/// The address of a stream socket that listens.
fn inherited_addr(socket: &Socket) -> io::Result<Addr> {
    if !socket.is_listener()? {
        return Err(Errno::INVAL.into());
    }
    socket.set_nonblocking(true)?;
    let addr = socket.local_addr()?;
    let inet = addr.as_socket().map(Addr::from);
    let unix = || addr.as_pathname().map(Addr::unix);
    inet.or_else(unix).ok_or_else(|| Errno::AFNOSUPPORT.into())
}

/// Who may connect is the business of the folder's rights.
fn open_to_all(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
}

#[cfg(test)]
mod tests;
