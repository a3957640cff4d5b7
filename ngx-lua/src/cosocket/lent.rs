//! Sockets whose connections are another's: the client of a request.

use std::rc::Rc;

use super::link::{Link, Stream};
use super::socket::Socket;
use super::{receive, send, timeouts, until};
use crate::ffi::{Call, Function, Meta, Raise, Value, function};
use crate::sched::Engine;

/// The metatables: what can be read alone, and what can be written too.
#[derive(Clone, Copy)]
pub(crate) struct Metas {
    readable: Meta,
    duplex: Meta,
}

/// Makes the metatables.
pub(crate) fn install(engine: &Rc<Engine>) -> mlua::Result<()> {
    let raw = engine.raw();
    let readable: [(&str, Function); 5] = [
        ("receive", function(receive::receive)),
        ("receiveany", function(receive::receive_any)),
        ("receiveuntil", function(until::receive_until)),
        ("settimeout", function(timeouts::set_timeout)),
        ("settimeouts", function(timeouts::set_timeouts)),
    ];
    let meta = |more: &[(&str, Function)]| -> mlua::Result<Meta> {
        let methods = raw.lua().create_table()?;
        for (name, method) in readable.iter().chain(more) {
            methods.set(*name, raw.create_function(*method)?)?;
        }
        let meta = raw.lua().create_table()?;
        meta.set("__index", methods)?;
        raw.meta(meta)
    };
    let metas = Metas {
        readable: meta(&[])?,
        duplex: meta(&[("send", function(send::send))])?,
    };
    engine.lent_metas.set(Some(metas));
    Ok(())
}

/// A socket over `stream`, for the run of the call. It can be written to if it is `duplex`.
pub(crate) fn socket(
    call: &Call<'_>,
    stream: Rc<dyn Stream>,
    duplex: bool,
) -> Result<Value, Raise> {
    let engine = call.lane().engine();
    let metas = engine.lent_metas.get().ok_or("no memory")?;
    let socket = Rc::new(Socket::new());
    socket.claim(call);
    socket.connected(Rc::new(Link::lent(stream)), None);
    let meta = if duplex { metas.duplex } else { metas.readable };
    Ok(Value::Wrapped(socket, meta))
}
