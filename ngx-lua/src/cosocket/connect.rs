//! `connect`.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ngx_core::net::Addr;
use ngx_upstream::connect::{Connect as _, Sockets};
use ngx_upstream::peer::Peer;

use super::keepalive::{NamedPool, Slot};
use super::link::Link;
use super::receive::whole;
use super::socket::{Socket, Task};
use super::{done, error_text, refuse};
use crate::ffi::{Call, Kind, Raise, Reply, Scalar, Value, Values, values};
use crate::sched::{Engine, may_wait, wait};

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
    let socket = call.object::<Socket>(1)?;
    let host = call.want_text(2)?.into_owned();
    may_wait(call)?;
    let engine = Rc::clone(call.lane().engine());
    let options = Options::read(call, count, engine.settings().pool_size)?;
    let target = match target(call, host, count) {
        Ok(target) => target,
        Err(why) => return Ok(refuse(why)),
    };
    socket.check_owner(call)?;
    if let Some(busy) = socket.busy() {
        return Ok(refuse(busy));
    }
    socket.close();
    socket.claim(call);

    let name = options.pool.unwrap_or_else(|| target.pool_name());
    let pool = match (engine.pools().find(&name), options.pool_size) {
        (Some(pool), _) => Some(pool),
        (None, Some(size)) => Some(engine.pools().make(&name, size, options.backlog)),
        (None, None) => None,
    };
    *socket.pool_name.borrow_mut() = Some(name);
    if let Some(pool) = &pool {
        if reuse(&socket, pool, &engine) {
            return Ok(done());
        }
        if pool.is_full() && pool.is_crowded() {
            return Ok(refuse("too many waiting connect operations"));
        }
    }
    wait(call, open(socket, target, pool, engine))
}

/// Where to connect to.
enum Target {
    Host(String, u16),
    Unix(String, Option<u16>),
}

impl Target {
    fn pool_name(&self) -> Vec<u8> {
        match self {
            Self::Host(host, port) | Self::Unix(host, Some(port)) => format!("{host}:{port}"),
            Self::Unix(path, None) => path.clone(),
        }
        .into_bytes()
    }
}

/// The table of options.
#[derive(Default)]
struct Options {
    pool: Option<Vec<u8>>,
    pool_size: Option<usize>,
    backlog: Option<usize>,
}

impl Options {
    fn read(call: &Call<'_>, at: usize, default_size: usize) -> Result<Self, Raise> {
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
                options.pool_size = options.pool_size.or(Some(default_size));
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
}

fn target(call: &Call<'_>, host: Vec<u8>, count: usize) -> Result<Target, String> {
    let host = String::from_utf8_lossy(&host).into_owned();
    let port = match call.number(3) {
        Some(number) if count >= 3 => {
            let number = number.trunc();
            let port = (0.0..=65535.0).contains(&number).then(|| whole(number));
            let port = port.and_then(|port| u16::try_from(port).ok());
            Some(port.ok_or_else(|| format!("bad port number: {number}"))?)
        }
        _ => None,
    };
    let scheme = host.get(..5).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("unix:") {
        if host.len() == scheme.len() {
            let why = "no path in the unix domain socket";
            return Err(format!("failed to parse host name \"{host}\": {why}"));
        }
        return Ok(Target::Unix(host, port));
    }
    let port = port.ok_or("missing the port number")?;
    if host.is_empty() {
        return Err("failed to parse host name \"\": no host".to_owned());
    }
    Ok(Target::Host(host, port))
}

/// Takes a kept connection.
fn reuse(socket: &Rc<Socket>, pool: &Rc<NamedPool>, engine: &Rc<Engine>) -> bool {
    let Some(connection) = pool.take() else {
        return false;
    };
    let link = Link::new(connection, engine.settings());
    socket.connected(link, Some(pool.place()));
    true
}

/// Makes the connection.
async fn open(
    socket: Rc<Socket>,
    target: Target,
    pool: Option<Rc<NamedPool>>,
    engine: Rc<Engine>,
) -> Values {
    let _busy = socket.begin(Task::Connecting);
    match try_open(&socket, &target, pool, &engine).await {
        Ok(()) => values([Value::Number(1.0)]),
        Err(why) => values([Value::Nil, why.into()]),
    }
}

async fn try_open(
    socket: &Rc<Socket>,
    target: &Target,
    pool: Option<Rc<NamedPool>>,
    engine: &Rc<Engine>,
) -> Result<(), String> {
    let time = socket.timeouts.connect.get();
    let slot: Option<Slot> = match &pool {
        Some(pool) => Some(
            within(time, async { Ok(pool.wait_for_place().await) })
                .await
                .map_err(|error| error_text(&error))?,
        ),
        None => None,
    };
    // While it waited, a connection may have come back.
    if let Some(pool) = &pool
        && let Some(connection) = pool.take()
    {
        socket.connected(Link::new(connection, engine.settings()), slot);
        return Ok(());
    }
    let addr = address(target, engine).await?;
    let peer = Peer::new(addr);
    match within(time, Sockets.connect(&peer, true)).await {
        Ok(connection) => {
            socket.connected(Link::new(connection, engine.settings()), slot);
            Ok(())
        }
        Err(error) => {
            if engine.settings().log_socket_errors {
                let name = &peer.name;
                if error.kind() == io::ErrorKind::TimedOut {
                    ngx_core::error!("lua tcp socket connect timed out, when connecting to {name}");
                } else {
                    ngx_core::error!("connect() failed ({error}), when connecting to {name}");
                }
            }
            Err(error_text(&error))
        }
    }
}

async fn address(target: &Target, engine: &Rc<Engine>) -> Result<Addr, String> {
    let (host, port) = match target {
        Target::Unix(path, _) => {
            return Ok(Addr::unix(path.get("unix:".len()..).unwrap_or_default()));
        }
        Target::Host(host, port) => (host, *port),
    };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(host).parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port).into());
    }
    let Some(resolver) = engine.settings().resolver.clone() else {
        return Err(format!("no resolver defined to resolve \"{host}\""));
    };
    let found = resolver.resolve(host).await?;
    let first = found.first().copied();
    first
        .map(|ip| SocketAddr::new(ip, port).into())
        .ok_or_else(|| format!("{host} could not be resolved"))
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(time, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
