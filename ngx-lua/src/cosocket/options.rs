//! `setoption`, `getoption` and `getfd`.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::sockopt;

use super::kept::this;
use super::link::Link;
use super::socket::Socket;
use super::{error_text, refuse};
use crate::ffi::{Call, Kind, Raise, Reply, Value};

/// `ok, err = tcpsock:setoption(option, value)`
pub(super) fn set_option(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let socket = this(call)?;
    if !call.is_given(2) {
        return Ok(refuse("missing the \"option\" argument"));
    }
    if !call.is_given(3) {
        return Ok(refuse("missing the \"value\" argument"));
    }
    let Some(option) = Opt::named(call)? else {
        return Ok(unsupported(call));
    };
    let value = match call.kind(3) {
        Kind::Boolean => u32::from(call.boolean(3)),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is out of range saturates; the system judges it"
        )]
        _ => call.want_number(3)? as u32,
    };
    let link = match live(call, &socket)? {
        Ok(link) => link,
        Err(reply) => return Ok(reply),
    };
    match option.set(&link, value) {
        Ok(()) => Ok(Reply::Value(Value::Boolean(true))),
        Err(error) => Ok(refuse(error_text(&error.into()))),
    }
}

/// `value, err = tcpsock:getoption(option)`
pub(super) fn get_option(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let socket = this(call)?;
    if !call.is_given(2) {
        return Ok(refuse("missing the \"option\" argument"));
    }
    let Some(option) = Opt::named(call)? else {
        return Ok(unsupported(call));
    };
    let link = match live(call, &socket)? {
        Ok(link) => link,
        Err(reply) => return Ok(reply),
    };
    Ok(match option.get(&link) {
        Ok(value) => Reply::Value(Value::Number(value)),
        Err(error) => refuse(error_text(&io::Error::from(error))),
    })
}

/// `fd, err = tcpsock:getfd()`
pub(super) fn get_fd(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let socket = this(call)?;
    Ok(match live(call, &socket)? {
        Ok(link) => {
            let fd = link.transport().map_or(-1, |t| t.as_fd().as_raw_fd());
            Reply::Value(Value::Number(fd.into()))
        }
        Err(reply) => reply,
    })
}

fn live(call: &Call<'_>, socket: &Rc<Socket>) -> Result<Result<Rc<Link>, Reply>, Raise> {
    let link = socket.link().filter(|_| socket.is_open());
    let Some(link) = link.filter(|link| link.transport().is_some()) else {
        return Ok(Err(refuse("closed")));
    };
    socket.check_owner(call)?;
    Ok(Ok(link))
}

fn unsupported(call: &Call<'_>) -> Reply {
    let name = call.text(2).unwrap_or_default();
    let name = String::from_utf8_lossy(&name);
    refuse(format!("unsupported option {name}"))
}

/// An option of the system.
#[derive(Clone, Copy)]
enum Opt {
    KeepAlive,
    ReuseAddr,
    NoDelay,
    SendBuffer,
    ReceiveBuffer,
    KeepInterval,
    KeepCount,
}

impl Opt {
    fn named(call: &Call<'_>) -> Result<Option<Self>, Raise> {
        Ok(match &*call.want_text(2)? {
            b"keepalive" => Some(Self::KeepAlive),
            b"reuseaddr" => Some(Self::ReuseAddr),
            b"tcp-nodelay" => Some(Self::NoDelay),
            b"sndbuf" => Some(Self::SendBuffer),
            b"rcvbuf" => Some(Self::ReceiveBuffer),
            b"keepintvl" => Some(Self::KeepInterval),
            b"keepcnt" => Some(Self::KeepCount),
            _ => None,
        })
    }

    fn set(self, link: &Link, value: u32) -> rustix::io::Result<()> {
        let fd = link.transport().ok_or(rustix::io::Errno::BADF)?.as_fd();
        let size = usize::try_from(value).unwrap_or(usize::MAX);
        match self {
            Self::KeepAlive => sockopt::set_socket_keepalive(fd, value != 0),
            Self::ReuseAddr => sockopt::set_socket_reuseaddr(fd, value != 0),
            Self::NoDelay => sockopt::set_tcp_nodelay(fd, value != 0),
            Self::SendBuffer => sockopt::set_socket_send_buffer_size(fd, size),
            Self::ReceiveBuffer => sockopt::set_socket_recv_buffer_size(fd, size),
            Self::KeepInterval => sockopt::set_tcp_keepintvl(fd, Duration::from_secs(value.into())),
            Self::KeepCount => sockopt::set_tcp_keepcnt(fd, value),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn get(self, link: &Link) -> rustix::io::Result<f64> {
        let fd = link.transport().ok_or(rustix::io::Errno::BADF)?.as_fd();
        Ok(match self {
            Self::KeepAlive => f64::from(u8::from(sockopt::socket_keepalive(fd)?)),
            Self::ReuseAddr => f64::from(u8::from(sockopt::socket_reuseaddr(fd)?)),
            Self::NoDelay => f64::from(u8::from(sockopt::tcp_nodelay(fd)?)),
            Self::SendBuffer => sockopt::socket_send_buffer_size(fd)? as f64,
            Self::ReceiveBuffer => sockopt::socket_recv_buffer_size(fd)? as f64,
            Self::KeepInterval => sockopt::tcp_keepintvl(fd)?.as_secs() as f64,
            Self::KeepCount => f64::from(sockopt::tcp_keepcnt(fd)?),
        })
    }
}
