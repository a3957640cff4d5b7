//! `ngx.req`: the body, read, left, looked at, replaced.

use std::future::pending;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use ngx_buf::{Buf, Chain};
use ngx_core::error;
use ngx_core::error::errno;
use ngx_core::http::Request;

use super::req::{nothing, one};
use super::req_args::whole;
use super::{WAITING, allowed, live};
use crate::ffi::{Call, Function, Kind, Raise, Reply, Value, Values, function};
use crate::sched::{self, Engine};

pub(super) fn install(engine: &Rc<Engine>, req: &mlua::Table) -> mlua::Result<()> {
    let functions: [(&str, Function); 9] = [
        ("read_body", function(read_body)),
        ("discard_body", function(discard_body)),
        ("get_body_data", function(get_body_data)),
        ("get_body_file", function(get_body_file)),
        ("set_body_data", function(set_body_data)),
        ("set_body_file", function(set_body_file)),
        ("init_body", function(init_body)),
        ("append_body", function(append_body)),
        ("finish_body", function(finish_body)),
    ];
    for (name, function) in functions {
        req.set(name, engine.raw().create_function(function)?)?;
    }
    Ok(())
}

/// `ngx.req.read_body()`: waits until all of it is there. A body that cannot be read ends the
/// request.
fn read_body(call: &mut Call<'_>) -> Result<Reply, Raise> {
    count(call, 0..=0, "0 arguments")?;
    let guest = allowed(call, WAITING)?;
    let r = &guest.request;
    if r.body_is_read() || r.body_is_discarded() {
        return Ok(nothing());
    }
    let (run, guest) = (Rc::clone(call.lane().run()), guest.clone());
    r.want_body_file_name();
    sched::wait(call, async move {
        if let Err(status) = guest.request.read_body().await {
            guest.state.exit.set(Some(status.into()));
            run.exit();
            // Nothing of the run goes on behind this call.
            return pending().await;
        }
        Values::new()
    })
}

/// `ngx.req.discard_body()`
fn discard_body(call: &mut Call<'_>) -> Result<Reply, Raise> {
    count(call, 0..=0, "0 arguments")?;
    let guest = live(call)?;
    guest
        .request
        .discard_body()
        .map_err(|_| "failed to discard request body")?;
    Ok(nothing())
}

/// `data = ngx.req.get_body_data(max?)`: nil when there is none, when it was not read, and when it
/// is in a file.
fn get_body_data(call: &mut Call<'_>) -> Result<Reply, Raise> {
    count(call, 0..=1, "0 or 1 arguments")?;
    let max = match call.count() {
        0 => usize::MAX,
        _ => match whole(call.want_number(1)?) {
            0 => usize::MAX,
            max => max,
        },
    };
    let guest = live(call)?;
    let body = guest.request.body_bufs();
    if body.iter().any(Buf::is_file) {
        return Ok(one(Value::Nil));
    }
    let mut data = Vec::new();
    for bytes in body.iter().filter_map(Buf::as_slice) {
        let left = max - data.len();
        data.extend_from_slice(bytes.get(..left).unwrap_or(bytes));
    }
    Ok(one(if data.is_empty() {
        Value::Nil
    } else {
        data.into()
    }))
}

/// `name = ngx.req.get_body_file()`: nil when the body is not in a file.
fn get_body_file(call: &mut Call<'_>) -> Result<Reply, Raise> {
    count(call, 0..=0, "0 arguments")?;
    let guest = live(call)?;
    let r = &guest.request;
    if let Some(path) = r.body_file() {
        return Ok(one(path.as_os_str().as_bytes().to_vec().into()));
    }
    let body = r.body_bufs();
    let Some(file) = body.iter().find_map(Buf::shared_file) else {
        return Ok(one(Value::Nil));
    };
    // It was read before Lua could ask for a name: this one leads to it.
    let (pid, fd) = (std::process::id(), file.file().as_raw_fd());
    Ok(one(format!("/proc/{pid}/fd/{fd}").into()))
}

/// `ngx.req.set_body_data(data)`
fn set_body_data(call: &mut Call<'_>) -> Result<Reply, Raise> {
    count(call, 1..=1, "1 arguments")?;
    let data = Bytes::copy_from_slice(&call.want_text(1)?);
    let guest = live(call)?;
    check_read(&guest.request)?;
    guest.request.set_body(if data.is_empty() {
        Chain::new()
    } else {
        Chain::from(Buf::from(data))
    });
    Ok(nothing())
}

/// `ngx.req.set_body_file(name, auto_clean?)`
fn set_body_file(call: &mut Call<'_>) -> Result<Reply, Raise> {
    count(call, 1..=2, "1 or 2 arguments")?;
    let name = call.want_text(1)?.into_owned();
    let guest = live(call)?;
    let r = &guest.request;
    check_read(r)?;
    let clean = match call.kind(2) {
        Kind::None => false,
        Kind::Boolean => call.boolean(2),
        _ => return Err(call.expected(2, "boolean")),
    };
    let path = Path::new(std::ffi::OsStr::from_bytes(&name));
    let failed = |call: &str, why: &io::Error| {
        let shown = path.display();
        error!("{call}() \"{shown}\" failed {}", errno(why));
        Raise::from(format!("{call}() \"{shown}\" failed"))
    };
    path.metadata().map_err(|why| failed("stat", &why))?;
    r.set_body_file(path, clean)
        .map_err(|why| failed("open", &why))?;
    Ok(nothing())
}

/// `ngx.req.init_body(buffer_size?)`: begins another body.
fn init_body(call: &mut Call<'_>) -> Result<Reply, Raise> {
    count(call, 0..=1, "0 or 1 argument")?;
    let guest = live(call)?;
    let r = &guest.request;
    check_read(r)?;
    let size = if call.count() == 1 {
        let number = call.want_number(1)?.trunc();
        if number < 0.0 {
            return Err(format!("bad size argument: {number}").into());
        }
        whole(number)
    } else {
        *r.core().client_body_buffer_size
    };
    r.begin_body(size);
    Ok(nothing())
}

/// `ngx.req.append_body(data)`
fn append_body(call: &mut Call<'_>) -> Result<Reply, Raise> {
    count(call, 1..=1, "1 arguments")?;
    let guest = live(call)?;
    let data = call.want_text(1)?;
    let appended = guest.request.append_body(&data);
    appended.map_err(|why| Raise::from(why.to_string()))?;
    Ok(nothing())
}

/// `ngx.req.finish_body()`
fn finish_body(call: &mut Call<'_>) -> Result<Reply, Raise> {
    count(call, 0..=0, "0 argument")?;
    let guest = live(call)?;
    let finished = guest.request.finish_body();
    finished.map_err(|why| Raise::from(why.to_string()))?;
    Ok(nothing())
}

/// A body can be replaced when the client's own was read.
fn check_read(r: &Request) -> Result<(), Raise> {
    if r.body_is_discarded() {
        return Err("request body already discarded asynchronously".into());
    }
    if !r.body_is_read() {
        return Err("request body not read yet".into());
    }
    Ok(())
}

fn count(
    call: &Call<'_>,
    wanted: std::ops::RangeInclusive<usize>,
    text: &str,
) -> Result<(), Raise> {
    let n = call.count();
    if wanted.contains(&n) {
        return Ok(());
    }
    Err(format!("expecting {text} but seen {n}").into())
}
