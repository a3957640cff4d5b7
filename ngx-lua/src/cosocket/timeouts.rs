//! `settimeout` and `settimeouts`.

use std::cell::Cell;
use std::time::Duration;

use super::defaults::Defaults;
use super::receive::whole;
use super::socket::Socket;
use crate::ffi::{Call, Raise, Reply, values};

/// The timeouts of one socket; what Lua has not set is the host's.
pub(super) struct Timeouts {
    pub(super) connect: Timeout,
    pub(super) send: Timeout,
    pub(super) read: Timeout,
}

/// One timeout, in milliseconds.
pub(super) struct Timeout {
    default: u64,
    /// 0 if Lua has set none.
    own: Cell<u32>,
}

impl Timeouts {
    pub(super) fn new(defaults: &Defaults) -> Self {
        Self {
            connect: Timeout::new(defaults.connect_timeout),
            send: Timeout::new(defaults.send_timeout),
            read: Timeout::new(defaults.read_timeout),
        }
    }
}

impl Timeout {
    fn new(default: Duration) -> Self {
        Self {
            default: millis(default),
            own: Cell::new(0),
        }
    }

    /// Milliseconds.
    pub(super) fn get(&self) -> u64 {
        match self.own.get() {
            0 => self.default,
            own => own.into(),
        }
    }
}

/// Whole milliseconds, at most some thousand years.
pub(super) fn millis(time: Duration) -> u64 {
    const LONG: u64 = 1 << 47;
    let millis = time.as_secs().saturating_mul(1000);
    millis.saturating_add(time.subsec_millis().into()).min(LONG)
}

/// `tcpsock:settimeout(milliseconds)`; 0 is the default again.
pub(super) fn set_timeout(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 2 {
        let n = call.count();
        return Err(format!(
            "ngx.socket settimeout: expecting 2 arguments (including the object) but seen {n}"
        )
        .into());
    }
    let socket = call.object::<Socket>(1)?;
    let time = milliseconds(call, 2)?;
    socket.timeouts.connect.own.set(time);
    socket.timeouts.send.own.set(time);
    socket.timeouts.read.own.set(time);
    Ok(Reply::Values(values([])))
}

/// `tcpsock:settimeouts(connect, send, read)`
pub(super) fn set_timeouts(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 4 {
        let n = call.count();
        return Err(format!(
            "ngx.socket settimeouts: expecting 4 arguments (including the object) but seen {n}"
        )
        .into());
    }
    let socket = call.object::<Socket>(1)?;
    let (connect, send, read) = (
        milliseconds(call, 2)?,
        milliseconds(call, 3)?,
        milliseconds(call, 4)?,
    );
    socket.timeouts.connect.own.set(connect);
    socket.timeouts.send.own.set(send);
    socket.timeouts.read.own.set(read);
    Ok(Reply::Values(values([])))
}

fn milliseconds(call: &Call<'_>, at: usize) -> Result<u32, Raise> {
    // What is no number counts as 0, as for nginx.
    let millis = call.number(at).unwrap_or(0.0).trunc();
    if !(0.0..2_147_483_648.0).contains(&millis) {
        return Err("bad timeout value".into());
    }
    Ok(u32::try_from(whole(millis)).unwrap_or(0))
}
