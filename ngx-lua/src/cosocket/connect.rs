//! `connect` and `bind`.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ngx_core::error::errno;
use ngx_core::net::{Addr, Transport};
use ngx_upstream::connect::{Bound, Connect as _, Connection, Sockets};
use ngx_upstream::peer::Peer;
use rustix::net::sockopt::set_tcp_nodelay;

use super::keepalive::{NamedPool, Pools, Slot, Waiting};
use super::kept::this;
use super::link::Link;
use super::receive::whole;
use super::socket::{Socket, Task};
use super::target::{PoolName, Target};
use super::{done, error_text, refuse};
use crate::ffi::{Call, Kind, Raise, Reply, Scalar, Value, values};
use crate::sched::{Run, may_wait, wait};

/// `ok, err = tcpsock:bind(address, port?)`: where the next connection comes from.
pub(super) fn bind(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 2 && n != 3 {
        return Err(format!("expecting 2 or 3 arguments, but got {n}").into());
    }
    let socket = this(call)?;
    let text = call.want_text(2)?;
    let port = match (n, call.number(3)) {
        (3, None) => {
            let got = call.type_name(3);
            let why = format!("expecting port to be anumber but got type: {got}");
            return Ok(refuse(why));
        }
        (_, port) => port.unwrap_or(0.0).trunc(),
    };
    if !(0.0..=65535.0).contains(&port) {
        return Ok(refuse(format!("bad port number: {port}")));
    }
    let ip = std::str::from_utf8(&text)
        .ok()
        .and_then(|t| t.parse::<IpAddr>().ok());
    let Some(ip) = ip else {
        return Ok(refuse("bad address"));
    };
    ngx_core::debug!("lua tcp socket bind ip: {ip}");
    let port = u16::try_from(whole(port)).unwrap_or(0);
    socket.local.set(Some(SocketAddr::new(ip, port)));
    Ok(Reply::Value(Value::Boolean(true)))
}

/// `ok, err = tcpsock:connect(host, port, options?)`, `tcpsock:connect("unix:/path", options?)`
pub(super) fn connect(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let count = call.count();
    if !(2..=4).contains(&count) {
        return Err(format!(
            "ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen \
             {count}"
        )
        .into());
    }
    let socket = this(call)?;
    // As a rule, it is a host and a port that were asked for before, and there are no options.
    if count == 3
        && let Some(host) = call.plain_text(2)
        && let Some(port) = call.number(3)
        && let Some((target, pool)) = call.lane().engine().pools().last(host, Some(port))
    {
        may_wait(call)?;
        return again(call, socket, target, pool);
    }
    anywhere(call, socket, count)
}

/// Connects to what was connected to before.
fn again(
    call: &Call<'_>,
    socket: Rc<Socket>,
    target: Rc<Target>,
    pool: Rc<NamedPool>,
) -> Result<Reply, Raise> {
    if let Some(busy) = make_ready(call, &socket)? {
        return Ok(refuse(busy));
    }
    let Some(link) = pool.take() else {
        return open(call, socket, target, Ok(pool));
    };
    socket.aim(target);
    socket.connected(link, Some(pool.into_place()));
    Ok(done(call))
}

/// Connects to whatever the arguments say.
#[inline(never)]
fn anywhere(call: &Call<'_>, socket: Rc<Socket>, count: usize) -> Result<Reply, Raise> {
    let host = call.want_text(2)?;
    may_wait(call)?;
    let options = Options::read(call, count)?;
    let pools = call.lane().engine().pools();
    if options.pool.is_none()
        && let Some((target, pool)) = pools.last(&host, call.number(3))
    {
        return again(call, socket, target, pool);
    }
    // Nearly all hosts are text; the other way is slower to say so.
    let host = match std::str::from_utf8(&host) {
        Ok(host) => Cow::Borrowed(host),
        Err(_) => String::from_utf8_lossy(&host),
    };
    let target = match Target::read(call, &host, 3) {
        Ok(target) => target,
        Err(why) => return Ok(refuse(why)),
    };
    if let Some(busy) = make_ready(call, &socket)? {
        return Ok(refuse(busy));
    }
    let is_named = options.pool.is_some();
    let pool = options.pool(pools, target);
    if let Ok(pool) = &pool
        && let Some(target) = reuse(&socket, pool, target)
    {
        if !is_named {
            pools.remember(&target, pool);
        }
        return Ok(done(call));
    }
    open(call, socket, Rc::new(target.into_owned()), pool)
}

/// Readies a socket for a connection of the caller's, or says why it cannot be.
fn make_ready(call: &Call<'_>, socket: &Rc<Socket>) -> Result<Option<&'static str>, Raise> {
    socket.check_owner(call)?;
    let busy = socket.busy();
    if busy.is_none() {
        if socket.is_connected() {
            ngx_core::debug!("lua tcp socket reconnect without shutting down");
            socket.close();
        }
        socket.claim(call);
    }
    Ok(busy)
}

/// Takes a connection that `pool` keeps, if there is one; says whom it is to.
fn reuse(socket: &Socket, pool: &Rc<NamedPool>, target: Target<&str>) -> Option<Rc<Target>> {
    let link = pool.take()?;
    // Most pools are those of one target.
    let known = link.target().filter(|known| known.borrowed() == target);
    let target = known.map_or_else(|| Rc::new(target.into_owned()), Rc::clone);
    socket.aim(Rc::clone(&target));
    socket.connected(link, Some(pool.place()));
    Some(target)
}

/// Makes a connection. In the place of a pool there may be the name of one to be made later.
fn open(
    call: &Call<'_>,
    socket: Rc<Socket>,
    target: Rc<Target>,
    pool: Result<Rc<NamedPool>, PoolName>,
) -> Result<Reply, Raise> {
    socket.aim(Rc::clone(&target));
    let place = match pool {
        Err(name) => {
            *socket.pool_name.borrow_mut() = Some(name);
            Place::Free
        }
        Ok(pool) => match pool.wait() {
            Ok(None) => Place::Taken(pool.place()),
            Ok(Some(waiting)) => Place::Queued(pool, waiting),
            Err(why) => return Ok(refuse(why)),
        },
    };
    let opening = Opening {
        socket,
        target,
        run: Rc::clone(call.lane().run()),
    };
    wait(call, async move {
        let _busy = opening.socket.begin(Task::Connecting);
        match opening.open(place).await {
            Ok(()) => values([Value::Number(1.0)]),
            Err(why) => values([Value::Nil, why.into()]),
        }
    })
}

/// The table of options.
#[derive(Default)]
struct Options {
    pool: Option<Vec<u8>>,
    pool_size: Option<usize>,
    backlog: Option<usize>,
}

impl Options {
    fn read(call: &Call<'_>, at: usize) -> Result<Self, Raise> {
        let mut options = Self::default();
        if call.kind(at) != Kind::Table {
            return Ok(options);
        }
        let bad = |name: &str, what: &str, value: &str| {
            Raise::Argument(at, format!("bad \"{name}\" option {what}: {value}").into())
        };
        match call.field(at, c"pool_size")? {
            Scalar::Nil => {}
            Scalar::Number(n) if n >= 1.0 => options.pool_size = Some(whole(n)),
            Scalar::Number(n) => return Err(bad("pool_size", "value", &n.trunc().to_string())),
            other => return Err(bad("pool_size", "type", other.type_name())),
        }
        match call.field(at, c"backlog")? {
            Scalar::Nil => {}
            Scalar::Number(n) if n >= 0.0 => {
                options.backlog = Some(whole(n));
                let default = || call.lane().run().socket_defaults().pool_size;
                options.pool_size = Some(options.pool_size.unwrap_or_else(default));
            }
            Scalar::Number(n) => return Err(bad("backlog", "value", &n.trunc().to_string())),
            other => return Err(bad("backlog", "type", other.type_name())),
        }
        match call.field(at, c"pool")? {
            Scalar::Nil => {}
            Scalar::Text(name) => options.pool = Some(name),
            Scalar::Number(n) => options.pool = Some(crate::ffi::number_text(n).into_bytes()),
            other => return Err(bad("pool", "type", other.type_name())),
        }
        Ok(options)
    }

    /// The pool of a connection, made if its size is given. The error is the name of one that is not
    /// there.
    fn pool(self, pools: &Pools, target: Target<&str>) -> Result<Rc<NamedPool>, PoolName> {
        let name = match self.pool {
            Some(name) => name.into(),
            None => target.pool_name(),
        };
        match (pools.find(&name), self.pool_size) {
            (Some(pool), _) => Ok(pool),
            (None, Some(size)) => Ok(pools.make(&name, size, self.backlog)),
            (None, None) => Err(name),
        }
    }
}

/// What a pool says to one more connection.
enum Place {
    /// There is no pool that would count it.
    Free,
    Taken(Slot),
    Queued(Rc<NamedPool>, Waiting),
}

/// A connection in the making.
struct Opening {
    socket: Rc<Socket>,
    target: Rc<Target>,
    run: Rc<Run>,
}

impl Opening {
    async fn open(&self, place: Place) -> Result<(), String> {
        let slot = match place {
            Place::Free => None,
            Place::Taken(slot) => Some(slot),
            Place::Queued(pool, waiting) => {
                let slot = self.queue(waiting).await?;
                // While it waited, a connection may have come back.
                if let Some(link) = pool.take() {
                    self.socket.connected(link, Some(slot));
                    return Ok(());
                }
                Some(slot)
            }
        };
        let addr = self.target.address(&self.run).await?;
        let connection = self.connect(addr).await?;
        self.connected(connection, slot);
        Ok(())
    }

    async fn queue(&self, waiting: Waiting) -> Result<Slot, String> {
        let time = Duration::from_millis(self.socket.timeouts.connect(&self.run));
        let turn = within(time, async { Ok(waiting.turn().await) }).await;
        turn.map_err(|error| {
            if self.run.socket_defaults().log_errors {
                let target = &self.target;
                ngx_core::error!(
                    "lua tcp socket queued connect timed out, when trying to connect to {target}"
                );
            }
            error_text(&error)
        })
    }

    async fn connect(&self, addr: Addr) -> Result<Connection<Transport>, String> {
        let time = self.socket.timeouts.connect(&self.run);
        ngx_core::debug!("lua tcp socket connect timeout: {time}");
        let time = Duration::from_millis(time);
        let peer = Peer::new(addr);
        let made = match self.socket.local.get() {
            Some(local) => within(time, Bound(local).connect(&peer, true)).await,
            None => within(time, Sockets.connect(&peer, true)).await,
        };
        made.map_err(|error| {
            if self.run.socket_defaults().log_errors {
                self.log(&error, &peer.addr);
            }
            error_text(&error)
        })
    }

    fn log(&self, error: &io::Error, addr: &Addr) {
        let failed = errno(error);
        match (error.kind(), addr) {
            (io::ErrorKind::TimedOut, _) => {
                let what = "lua tcp socket connect timed out";
                self.socket.log_about(what, Some(addr));
            }
            // The system refuses to bind.
            (io::ErrorKind::AddrNotAvailable, _) if self.socket.local.get().is_some() => {
                let ip = self.socket.local.get().map(|local| local.ip().to_string());
                ngx_core::crit!("bind({}) failed {failed}", ip.unwrap_or_default());
            }
            (io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied, Addr::Unix(_)) => {
                ngx_core::crit!("connect() to {addr} failed {failed}");
            }
            _ => self
                .socket
                .log_about(format_args!("connect() failed {failed}"), Some(addr)),
        }
    }

    fn connected(&self, connection: Connection<Transport>, slot: Option<Slot>) {
        let (transport, seat) = connection.into_parts();
        if transport.is_tcp() {
            // The connector has set it.
            if self.run.socket_defaults().nodelay {
                ngx_core::debug!("lua socket tcp_nodelay");
            } else if let Err(error) = set_tcp_nodelay(&transport, false) {
                ngx_core::alert!("setsockopt(TCP_NODELAY) failed {}", errno(&error.into()));
            }
        }
        let link = Link::new(transport, seat, Rc::clone(&self.target));
        self.socket.connected(Rc::new(link), slot);
    }
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(time, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
