//! `ngx.print`, `ngx.say`, `ngx.flush`, `ngx.eof`, `ngx.send_headers`.

use std::cell::Cell;
use std::rc::Rc;

use bytes::{BufMut, BytesMut};
use ngx_buf::Flow;
use ngx_core::debug;

use super::{WAITING, allowed, done, guest, refuse};
use crate::ffi::{Call, Kind, Raise, Reply, Value, function, values};
use crate::http::Guest;
use crate::http::answer::Broken;
use crate::sched::{self, Engine, Run};

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    ngx.set("print", raw.create_function(function(print))?)?;
    ngx.set("say", raw.create_function(function(say))?)?;
    ngx.set("flush", raw.create_function(function(flush))?)?;
    ngx.set("eof", raw.create_function(function(eof))?)?;
    ngx.set("send_headers", raw.create_function(function(send_headers))?)
}

/// What a broken response is answered with.
const BROKEN: &str = "nginx output filter error";

/// `ok, err = ngx.print(...)`
fn print(call: &mut Call<'_>) -> Result<Reply, Raise> {
    send(call, false)
}

/// `ok, err = ngx.say(...)`: with a newline behind.
fn say(call: &mut Call<'_>) -> Result<Reply, Raise> {
    send(call, true)
}

fn send(call: &Call<'_>, newline: bool) -> Result<Reply, Raise> {
    let guest = allowed(call, WAITING)?;
    if let Some(why) = is_over(guest) {
        return refuse(why);
    }
    // Taken out: the header may have Lua of its own run.
    let mut block = BLOCK.take().unwrap_or_default();
    let sent = match call.only_string() {
        // As a rule, it is one string.
        Some(text) if text.len() < PIECE_MAX => {
            make_room(&mut block, text.len() + 1);
            block.extend_from_slice(text);
            if newline {
                block.extend_from_slice(b"\n");
            }
            Ok(send_block(guest, &mut block))
        }
        _ => send_all(call, newline, guest, &mut block),
    };
    block.clear();
    BLOCK.set(Some(block));
    match sent? {
        Ok(flow) => {
            keep_moving(call, flow);
            done(call)
        }
        Err(_) => refuse(BROKEN),
    }
}

/// Sends all arguments.
#[inline(never)]
fn send_all(
    call: &Call<'_>,
    newline: bool,
    guest: &Guest,
    block: &mut BytesMut,
) -> Result<Result<Flow, Broken>, Raise> {
    Ok(match gather(call, newline, block)? {
        Some(mut own) => guest.send(&mut own),
        None => send_block(guest, block),
    })
}

/// Sends what was gathered, or the header alone if that is nothing.
#[inline(always)]
fn send_block(guest: &Guest, block: &mut BytesMut) -> Result<Flow, Broken> {
    if block.is_empty() {
        return guest.send_header().map(|()| Flow::Done);
    }
    guest.send(block)
}

/// Why there can be no more output.
fn is_over(guest: &Guest) -> Option<&'static str> {
    if guest.request.is_taken_over() {
        Some("raw request socket acquired")
    } else if guest.request.header_sent() && guest.request.response().is_header_only() {
        Some("header only")
    } else if guest.state.answer.has_ended() {
        Some("seen eof")
    } else {
        None
    }
}

/// The request's own task is to write what the client did not take at once: the caller may be a
/// light thread.
fn keep_moving(call: &Call<'_>, flow: Flow) {
    if flow == Flow::Again {
        call.lane().run().nudge();
    }
}

thread_local! {
    /// Small pieces of output are made here. What cannot be copied on at once is cut off; the block
    /// serves again when all of that is sent.
    static BLOCK: Cell<Option<Box<BytesMut>>> = const { Cell::new(None) };
}
const BLOCK_SIZE: usize = 16 * 1024;
/// What is larger has memory of its own.
const PIECE_MAX: usize = 4 * 1024;

/// Puts the arguments into `block`, or into memory of their own, which is the answer then.
fn gather(call: &Call<'_>, newline: bool, block: &mut BytesMut) -> Result<Option<BytesMut>, Raise> {
    let expected = call.text_len() + usize::from(newline);
    if expected > PIECE_MAX {
        let mut own = BytesMut::with_capacity(expected);
        append_all(call, newline, &mut own)?;
        return Ok(Some(own));
    }
    make_room(block, expected);
    append_all(call, newline, block)?;
    Ok(None)
}

/// Makes room for so many bytes in a block, which is to be cut many times.
fn make_room(block: &mut BytesMut, expected: usize) {
    if block.capacity() < expected {
        block.reserve(BLOCK_SIZE);
    }
}

fn append_all(call: &Call<'_>, newline: bool, out: &mut BytesMut) -> Result<(), Raise> {
    for at in 1..=call.count() {
        call.append_output(at, out)?;
    }
    if newline {
        out.put_u8(b'\n');
    }
    Ok(())
}

/// `ok, err = ngx.flush(wait?)`
fn flush(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let count = call.count();
    if count > 1 {
        return Err(format!("attempt to pass {count} arguments, but accepted 0 or 1").into());
    }
    if count == 1 && call.kind(1) != Kind::Boolean {
        return Err(call.expected(1, "boolean"));
    }
    let wait = call.boolean(1);
    let guest = allowed(call, WAITING)?;
    if let Some(why) = is_over(guest) {
        return refuse(why);
    }
    let answer = &guest.state.answer;
    if answer.is_kept() {
        debug!("lua http 1.0 buffering makes ngx.flush() a no-op");
        return refuse("buffering");
    }
    if !guest.request.header_sent() || (!answer.body_seen.get() && !wait) {
        return refuse("nothing to flush");
    }
    match guest.flush() {
        Err(_) => refuse(BROKEN),
        Ok(Flow::Again) if wait => {
            let (run, guest) = (Rc::clone(call.lane().run()), guest.clone());
            sched::wait(call, async move {
                let _back = HandBack(run);
                let r = &guest.request;
                match r.output_ready().await {
                    Ok(()) => values([Value::Number(1.0)]),
                    Err(error) => {
                        error.log();
                        let timeout = r.output_timed_out();
                        let why = if timeout { "timeout" } else { "client aborted" };
                        values([Value::Nil, why.into()])
                    }
                }
            })
        }
        Ok(flow) => {
            keep_moving(call, flow);
            done(call)
        }
    }
}

/// Whoever waits for the client last is told when it is ready: when a light thread no longer does,
/// the request's own task has to again.
struct HandBack(Rc<Run>);

impl Drop for HandBack {
    fn drop(&mut self) {
        self.0.nudge();
    }
}

/// `ok, err = ngx.eof()`
fn eof(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 0 {
        return Err("no argument is expected".into());
    }
    // Wherever the response is over, it is: even where it could not be ended.
    let guest = guest(call)?;
    if guest.state.answer.has_ended() {
        return refuse("seen eof");
    }
    let _ = allowed(call, WAITING)?;
    match guest.end() {
        Ok(flow) => {
            keep_moving(call, flow);
            done(call)
        }
        Err(_) => refuse(BROKEN),
    }
}

/// `ok, err = ngx.send_headers()`
fn send_headers(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let guest = allowed(call, WAITING)?;
    match guest.send_header() {
        Ok(()) => done(call),
        Err(_) => refuse(BROKEN),
    }
}
