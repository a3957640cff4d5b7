//! Cosockets: TCP and Unix-domain sockets that look blocking to Lua.
//!
//! ```text
//!   send     Lua value -> peer; what it does not take now -> output -> peer
//!   receive  peer -> input -> pattern -> Lua value
//!   setkeepalive -> a named pool -> connect
//! ```
//!
//! Nothing is copied, allocated or boxed between Lua and the system unless something waits. What a
//! pool keeps is the live connection with all that belongs to it.
//!
//! A socket knows nothing of HTTP; it belongs to the run that connected it and ends with it.

mod connect;
mod defaults;
mod idle;
mod input;
mod keepalive;
mod kept;
#[cfg(feature = "http")]
mod lent;
mod link;
mod options;
mod pattern;
mod receive;
mod send;
mod socket;
mod target;
mod timeouts;
mod udp;
mod until;

use std::io;
use std::rc::Rc;

pub(crate) use self::defaults::{Defaults, Heritage, ReadingDefaults};
pub(crate) use self::keepalive::Pools;
pub(crate) use self::kept::Sockets;
#[cfg(feature = "http")]
pub(crate) use self::lent::{Metas as LentMetas, install as install_lent, socket as lent_socket};
#[cfg(feature = "http")]
pub(crate) use self::link::Stream;

use self::kept::this;
use self::socket::Socket;
use crate::ffi::{Call, Meta, Raise, Reply, Value, function, values};
use crate::phase::Phase;
use crate::sched::{Engine, may_ever_wait};

/// Puts `ngx.socket` into the VM.
pub(crate) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let lua = raw.lua();
    let methods = lua.create_table()?;
    for (name, method) in [
        ("bind", function(connect::bind)),
        ("connect", function(connect::connect)),
        ("send", function(send::send)),
        ("receive", function(receive::receive)),
        ("receiveany", function(receive::receive_any)),
        ("receiveuntil", function(until::receive_until)),
        ("settimeout", function(timeouts::set_timeout)),
        ("settimeouts", function(timeouts::set_timeouts)),
        ("setkeepalive", function(keepalive::set_keepalive)),
        ("getreusedtimes", function(keepalive::reused_times)),
        ("setoption", function(options::set_option)),
        ("getoption", function(options::get_option)),
        ("getfd", function(options::get_fd)),
        ("close", function(close)),
    ] {
        methods.set(name, raw.create_function(method)?)?;
    }
    let meta = lua.create_table()?;
    meta.set("__index", methods)?;
    engine.set_socket_meta(raw.meta(meta)?);

    let socket = lua.create_table()?;
    let tcp = raw.create_function(function(tcp))?;
    socket.set("tcp", tcp.clone())?;
    socket.set("stream", tcp)?;
    udp::install(engine, &socket)?;
    lua.load(CONNECT)
        .set_name("=ngx.socket")
        .call::<()>(&socket)?;
    ngx.set("socket", socket)
}

/// `ngx.socket.connect`: a socket that is connected already.
const CONNECT: &str = "
local socket = ...
local tcp = socket.tcp
function socket.connect(...)
    local sock = tcp()
    local ok, err = sock:connect(...)
    if not ok then return nil, err end
    return sock
end
";

/// `tcpsock = ngx.socket.tcp()`
fn tcp(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 0 {
        let message = format!("expecting zero arguments, but got {}", call.count());
        return Err(message.into());
    }
    let meta: Meta = call.lane().engine().socket_meta().ok_or("no memory")?;
    // A chunk of a program's own may hand it to a run that waits.
    if call.lane().run().phase() != Phase::Chunk {
        may_ever_wait(call)?;
        if let Some(number) = kept::new(call) {
            return Ok(Reply::Value(Value::Numbered(number, meta)));
        }
    }
    let socket = Rc::new(Socket::new());
    Ok(Reply::Value(Value::Wrapped(socket, meta)))
}

/// `ok, err = tcpsock:close()`
fn close(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 1 {
        let n = call.count();
        let message = format!("expecting 1 argument (including the object) but seen {n}");
        return Err(message.into());
    }
    let socket = this(call)?;
    if !socket.is_open() {
        return Ok(refuse("closed"));
    }
    socket.check_owner(call)?;
    if let Some(busy) = socket.busy() {
        return Ok(refuse(busy));
    }
    socket.close();
    Ok(done(call))
}

/// `1`
fn done(call: &Call<'_>) -> Reply {
    call.number_back(1.0)
}

/// `nil, why`
fn refuse(why: impl Into<Value>) -> Reply {
    Reply::of(values([Value::Nil, why.into()]))
}

/// An error of the system in LuaSocket's words: `connection refused`.
fn error_text(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut {
        return "timeout".to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}

#[cfg(test)]
mod tests;
