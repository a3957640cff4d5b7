//! `settimeout` and `settimeouts`.

use std::cell::Cell;
use std::time::Duration;

use super::defaults::ReadingDefaults;
use super::kept::this;
use super::receive::whole;
use crate::ffi::{Call, Raise, Reply, values};
use crate::sched::Run;

/// The timeouts that Lua has given one socket, in milliseconds; those that are 0 are the defaults of
/// the run that uses it.
#[derive(Default)]
pub(super) struct Timeouts {
    connect: Cell<u32>,
    send: Cell<u32>,
    read: Cell<u32>,
}

impl Timeouts {
    /// Milliseconds to connect.
    pub(super) fn connect(&self, run: &Run) -> u64 {
        own(&self.connect).unwrap_or_else(|| run.socket_defaults().connect_timeout)
    }

    /// Milliseconds between two writes.
    pub(super) fn send(&self, run: &Run) -> u64 {
        own(&self.send).unwrap_or_else(|| run.socket_defaults().send_timeout)
    }

    /// Milliseconds between two reads.
    pub(super) fn read(&self, defaults: &ReadingDefaults) -> u64 {
        own(&self.read).unwrap_or(defaults.timeout)
    }
}

fn own(time: &Cell<u32>) -> Option<u64> {
    match time.get() {
        0 => None,
        own => Some(own.into()),
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
    let socket = this(call)?;
    let time = milliseconds(call, 2)?;
    socket.timeouts.connect.set(time);
    socket.timeouts.send.set(time);
    socket.timeouts.read.set(time);
    Ok(Reply::of(values([])))
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
    let socket = this(call)?;
    let (connect, send, read) = (
        milliseconds(call, 2)?,
        milliseconds(call, 3)?,
        milliseconds(call, 4)?,
    );
    socket.timeouts.connect.set(connect);
    socket.timeouts.send.set(send);
    socket.timeouts.read.set(read);
    Ok(Reply::of(values([])))
}

fn milliseconds(call: &Call<'_>, at: usize) -> Result<u32, Raise> {
    // What is no number counts as 0, as for nginx.
    let millis = call.number(at).unwrap_or(0.0).trunc();
    if !(0.0..2_147_483_648.0).contains(&millis) {
        return Err("bad timeout value".into());
    }
    Ok(u32::try_from(whole(millis)).unwrap_or(0))
}
