//! `ngx.socket.udp`: datagrams to one peer, over UDP and over Unix-domain sockets.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::rc::{Rc, Weak};
use std::time::Duration;

use ngx_core::error::errno;
use ngx_core::net::Addr;
use ngx_core::net::seats::{self, Seat};
use rustix::net::{RecvFlags, SocketAddrUnix};
use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixDatagram};

use super::receive::whole;
use super::socket::Owner;
use super::target::{Target, Upstream};
use super::{done, error_text, refuse};
use crate::ffi::{Call, Kind, Meta, Raise, Reply, Value, Values, function, values};
use crate::sched::{Ending, EndingsId, Engine, Run, may_ever_wait, may_wait, wait};

/// The largest datagram.
const MAX_DATAGRAM: usize = 65_536;

/// That a peer is not there comes as an error, without anything to read.
const RECEIVING: Interest = Interest::READABLE.add(Interest::ERROR);

/// Puts `udp` into the table of `ngx.socket`.
pub(super) fn install(engine: &Rc<Engine>, socket: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let lua = raw.lua();
    let methods = lua.create_table()?;
    for (name, method) in [
        ("bind", function(bind)),
        ("setpeername", function(set_peer_name)),
        ("send", function(send)),
        ("receive", function(receive)),
        ("settimeout", function(set_timeout)),
        ("close", function(close)),
    ] {
        methods.set(name, raw.create_function(method)?)?;
    }
    let meta = lua.create_table()?;
    meta.set("__index", methods)?;
    engine.set_udp_meta(raw.meta(meta)?);
    socket.set("udp", raw.create_function(function(udp))?)
}

/// A datagram socket as Lua holds it.
struct Udp {
    owner: Owner,
    link: RefCell<Option<Rc<Datagrams>>>,
    target: RefCell<Option<Target>>,
    local: Cell<Option<IpAddr>>,
    /// How long receiving may take.
    timeout: Cell<Option<Duration>>,
    default_timeout: Duration,
    busy: Cell<bool>,
}

/// The socket of the system, and its part of `worker_connections`.
enum Datagrams {
    Inet { socket: UdpSocket, _seat: Seat },
    Unix { socket: UnixDatagram, _seat: Seat },
}

/// `udpsock = ngx.socket.udp()`
fn udp(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 0 {
        let message = format!("expecting zero arguments, but got {}", call.count());
        return Err(message.into());
    }
    may_ever_wait(call)?;
    let meta: Meta = call.lane().engine().udp_meta().ok_or("no memory")?;
    let socket = Rc::new(Udp {
        owner: Owner::default(),
        link: RefCell::default(),
        target: RefCell::default(),
        local: Cell::new(None),
        timeout: Cell::new(None),
        default_timeout: Duration::from_millis(call.lane().run().socket_defaults().read_timeout),
        busy: Cell::new(false),
    });
    Ok(Reply::Value(Value::Wrapped(socket, meta)))
}

/// `ok, err = udpsock:bind(address)`
fn bind(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 2 {
        return Err(format!("expecting 2 arguments, but got {n}").into());
    }
    let socket = call.object::<Udp>(1)?;
    let text = call.want_text(2)?;
    let ip = std::str::from_utf8(&text).ok().and_then(|t| t.parse().ok());
    let Some(ip) = ip else {
        return Ok(refuse("bad address"));
    };
    ngx_core::debug!("lua udp socket bind ip: {ip}");
    socket.local.set(Some(ip));
    Ok(Reply::Value(Value::Boolean(true)))
}

/// `ok, err = udpsock:setpeername(host, port)`, `udpsock:setpeername("unix:/path")`
fn set_peer_name(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 2 && n != 3 {
        return Err(format!(
            "ngx.socket.udp setpeername: expecting 2 or 3 arguments (including the object), but \
             seen {n}"
        )
        .into());
    }
    let socket = call.object::<Udp>(1)?;
    may_wait(call)?;
    let host = call.want_text(2)?;
    if n == 3 {
        call.want_number(3)?;
    }
    let host = String::from_utf8_lossy(&host);
    let target = match Target::read(call, &host, 3) {
        Ok(target) => target.into_owned(),
        Err(why) => return Ok(refuse(why)),
    };
    socket.owner.check(call)?;
    if socket.busy.get() {
        return Ok(refuse("socket busy"));
    }
    let old = socket.link.borrow_mut().take();
    if old.is_some() {
        ngx_core::debug!("lua udp socket reconnect without shutting down");
    }
    drop(old);
    if socket.target.replace(Some(target.clone())).is_some() {
        ngx_core::debug!("lua reuse socket upstream ctx");
    }
    if socket.owner.claim(call) {
        let weak: Weak<Udp> = Rc::downgrade(&socket);
        call.lane().run().endings().adopt(weak);
    }
    if let Some(addr) = target.literal() {
        let outcome = socket.connect(&addr, call.lane().run());
        return Ok(Reply::of(outcome));
    }
    let run = Rc::clone(call.lane().run());
    wait(call, async move {
        let _busy = Busy::new(&socket);
        match target.address(&run).await {
            Ok(addr) => socket.connect(&addr, &run),
            Err(why) => values([Value::Nil, why.into()]),
        }
    })
}

/// `ok, err = udpsock:send(data)`: one datagram.
fn send(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 2 {
        let message = format!("expecting 2 arguments (including the object), but got {n}");
        return Err(message.into());
    }
    let socket = call.object::<Udp>(1)?;
    let Some(link) = socket.ready(call, "send")? else {
        return Ok(refuse("closed"));
    };
    if socket.busy.get() {
        return Ok(refuse("socket busy"));
    }
    if matches!(call.kind(2), Kind::Function | Kind::Thread | Kind::Other) {
        let got = call.type_name(2);
        let message = format!("string, number, boolean, nil, or array table expected, got {got}");
        return Err(Raise::Argument(2, message.into()));
    }
    may_wait(call)?;
    let mut data = Vec::new();
    call.append_array(2, &mut data)?;
    let log_errors = call.lane().run().socket_defaults().log_errors;
    match link.try_send(&data) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        sent => return Ok(Reply::of(socket.sent(sent, &data, log_errors))),
    }
    wait(call, async move {
        let _busy = Busy::new(&socket);
        let sent = link.send(&data).await;
        socket.sent(sent, &data, log_errors)
    })
}

/// `data, err = udpsock:receive(size?)`: one datagram.
fn receive(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 1 && n != 2 {
        let message = format!("expecting 1 or 2 arguments (including the object), but got {n}");
        return Err(message.into());
    }
    let socket = call.object::<Udp>(1)?;
    let Some(link) = socket.ready(call, "receive")? else {
        return Ok(refuse("closed"));
    };
    if socket.busy.get() {
        return Ok(refuse("socket busy"));
    }
    let size = if call.is_given(2) {
        let size = call.want_number(2)?;
        if size >= 1.0 {
            whole(size).min(MAX_DATAGRAM)
        } else {
            MAX_DATAGRAM
        }
    } else {
        MAX_DATAGRAM
    };
    may_wait(call)?;
    let timeout = socket.timeout.get().unwrap_or(socket.default_timeout);
    ngx_core::debug!("lua udp socket read timeout: {}", timeout.as_millis());
    ngx_core::debug!("lua udp socket receive buffer size: {size}");
    let log_errors = call.lane().run().socket_defaults().log_errors;
    match link.try_receive(size) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        got => return Ok(Reply::of(socket.received(got, log_errors))),
    }
    wait(call, async move {
        let _busy = Busy::new(&socket);
        let got = tokio::time::timeout(timeout, link.receive(size)).await;
        let got = got.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        socket.received(got, log_errors)
    })
}

/// `udpsock:settimeout(milliseconds)`
fn set_timeout(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n < 2 {
        return Err(format!(
            "ngx.socket settimeout: expecting at least 2 arguments (including the object) but seen \
             {n}"
        )
        .into());
    }
    let socket = call.object::<Udp>(1)?;
    let millis = call.number(2).unwrap_or(0.0).trunc();
    if !(0.0..2_147_483_648.0).contains(&millis) {
        return Err("bad timeout value".into());
    }
    let time = (millis > 0.0).then(|| Duration::from_secs_f64(millis / 1000.0));
    socket.timeout.set(time);
    Ok(Reply::of(values([])))
}

/// `ok, err = udpsock:close()`
fn close(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 1 {
        let message = format!("expecting 1 argument (including the object) but seen {n}");
        return Err(message.into());
    }
    let socket = call.object::<Udp>(1)?;
    if socket.link.borrow().is_none() {
        return Ok(refuse("closed"));
    }
    socket.owner.check(call)?;
    if socket.busy.get() {
        return Ok(refuse("socket busy"));
    }
    socket.close();
    Ok(done(call))
}

impl Udp {
    fn close(&self) {
        if let Some(link) = self.link.take() {
            ngx_core::debug!("lua finalize socket");
            drop(link);
        }
    }

    /// The socket, if there is a peer.
    fn ready(&self, call: &Call<'_>, verb: &str) -> Result<Option<Rc<Datagrams>>, Raise> {
        let link = self.link.borrow().clone();
        if link.is_some() {
            self.owner.check(call)?;
        } else if call.lane().run().socket_defaults().log_errors {
            ngx_core::error!("attempt to {verb} data on a closed socket: udp");
        }
        Ok(link)
    }

    fn connect(&self, addr: &Addr, run: &Run) -> Values {
        match Datagrams::connect(addr, self.local.get()) {
            Ok(link) => {
                self.link.replace(Some(Rc::new(link)));
                values([Value::Number(1.0)])
            }
            Err(error) => {
                if run.socket_defaults().log_errors {
                    let failed = errno(&error);
                    match (addr, self.local.get()) {
                        (_, Some(ip)) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                            ngx_core::crit!("bind({ip}) failed {failed}");
                        }
                        _ => ngx_core::crit!("connect() to {addr} failed {failed}"),
                    }
                }
                values([Value::Nil, error_text(&error).into()])
            }
        }
    }

    fn sent(&self, sent: io::Result<usize>, data: &[u8], log_errors: bool) -> Values {
        match sent {
            Ok(n) => {
                let link = self.link.borrow();
                let fd = link.as_ref().map_or(-1, |link| link.fd().as_raw_fd());
                ngx_core::debug!("send: fd:{fd} {n} of {}", data.len());
                values([Value::Number(1.0)])
            }
            Err(error) => self.failed("send", &error, log_errors),
        }
    }

    fn received(&self, got: io::Result<Vec<u8>>, log_errors: bool) -> Values {
        match got {
            Ok(data) => values([data.into()]),
            Err(error) => self.failed("recv", &error, log_errors),
        }
    }

    fn failed(&self, call: &str, error: &io::Error, log_errors: bool) -> Values {
        if log_errors {
            let target = self.target.borrow();
            let link = self.link.borrow();
            let addr = link.as_ref().and_then(|link| link.peer());
            let upstream = Upstream {
                target: target.as_ref(),
                addr: addr.as_ref(),
            };
            if error.kind() == io::ErrorKind::TimedOut {
                ngx_core::error!("lua udp socket read timed out{upstream}");
            } else {
                ngx_core::error!("{call}() failed {}{upstream}", errno(error));
            }
        }
        values([Value::Nil, error_text(error).into()])
    }
}

impl Ending for Udp {
    fn end(self: Rc<Self>, of: EndingsId) {
        if self.owner.leave(of) {
            self.close();
        }
    }
}

impl Datagrams {
    fn connect(addr: &Addr, local: Option<IpAddr>) -> io::Result<Self> {
        let seat = seats::take()?;
        match addr {
            Addr::Inet(addr) => {
                let any: IpAddr = match addr {
                    SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = std::net::UdpSocket::bind((local.unwrap_or(any), 0))?;
                socket.connect(addr)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Inet {
                    socket: UdpSocket::from_std(socket)?,
                    _seat: seat,
                })
            }
            Addr::Unix(path) => {
                let socket = std::os::unix::net::UnixDatagram::unbound()?;
                // The system gives it a name, so that the peer can answer.
                rustix::net::bind(&socket, &SocketAddrUnix::new_unnamed())?;
                socket.connect(path)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Unix {
                    socket: UnixDatagram::from_std(socket)?,
                    _seat: seat,
                })
            }
        }
    }

    fn try_send(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Inet { socket, .. } => socket.try_send(data),
            Self::Unix { socket, .. } => socket.try_send(data),
        }
    }

    async fn send(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Inet { socket, .. } => socket.send(data).await,
            Self::Unix { socket, .. } => socket.send(data).await,
        }
    }

    fn try_receive(&self, size: usize) -> io::Result<Vec<u8>> {
        let mut data = Vec::with_capacity(size);
        // One call takes but one of the two: of both together it knows nothing.
        match self.receive_if(Interest::READABLE, &mut data) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.receive_if(Interest::ERROR, &mut data)?;
            }
            received => received?,
        }
        Ok(data)
    }

    fn receive_if(&self, interest: Interest, data: &mut Vec<u8>) -> io::Result<()> {
        let receive = || {
            let room = rustix::buffer::spare_capacity(data);
            Ok(rustix::net::recv(self.fd(), room, RecvFlags::empty()).map(drop)?)
        };
        match self {
            Self::Inet { socket, .. } => socket.try_io(interest, receive),
            Self::Unix { socket, .. } => socket.try_io(interest, receive),
        }
    }

    async fn receive(&self, size: usize) -> io::Result<Vec<u8>> {
        loop {
            match self {
                Self::Inet { socket, .. } => socket.ready(RECEIVING).await?,
                Self::Unix { socket, .. } => socket.ready(RECEIVING).await?,
            };
            match self.try_receive(size) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                got => return got,
            }
        }
    }

    fn peer(&self) -> Option<Addr> {
        match self {
            Self::Inet { socket, .. } => socket.peer_addr().ok().map(Addr::from),
            Self::Unix { socket, .. } => {
                let peer = socket.peer_addr().ok()?;
                peer.as_pathname().map(|path| Addr::Unix(path.into()))
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Inet { socket, .. } => socket.as_fd(),
            Self::Unix { socket, .. } => socket.as_fd(),
        }
    }
}

/// A socket that somebody waits for.
struct Busy(Rc<Udp>);

impl Busy {
    fn new(socket: &Rc<Udp>) -> Self {
        socket.busy.set(true);
        Self(Rc::clone(socket))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(false);
    }
}
