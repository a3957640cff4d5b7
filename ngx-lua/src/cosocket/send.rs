//! `send`.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ngx_buf::Flow;
use ngx_core::error::errno;

use super::kept::this;
use super::link::{Link, Way};
use super::socket::{Busy, Socket, Task};
use super::{error_text, refuse};
use crate::ffi::{Call, Kind, Raise, Reply, Value, Values, values};
use crate::sched::{may_wait, wait};

/// `bytes, err = tcpsock:send(data)`
pub(super) fn send(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 2 {
        let n = call.count();
        let message = format!("expecting 2 arguments (including the object), but got {n}");
        return Err(message.into());
    }
    let socket = this(call)?;
    let Some(link) = socket.link().filter(|_| !socket.write_closed.get()) else {
        if log_errors(call) {
            socket.log("attempt to send data on a closed socket:");
        }
        return Ok(refuse("closed"));
    };
    socket.check_owner(call)?;
    if let Some(busy) = socket.busy_with(&[Task::Connecting, Task::Writing]) {
        return Ok(refuse(busy));
    }
    if let Some(text) = call.plain_text(2) {
        return give(call, &socket, &link, text);
    }
    if let Some(text) = call.text(2) {
        return give(call, &socket, &link, &text);
    }
    match call.kind(2) {
        Kind::Function | Kind::Thread | Kind::Other => {
            let got = call.type_name(2);
            let message =
                format!("string, number, boolean, nil, or array table expected, got {got}");
            Err(Raise::Argument(2, message.into()))
        }
        _ => {
            let mut data = GATHERED.take();
            let given = call
                .append_array(2, &mut data)
                .and_then(|()| give(call, &socket, &link, &data));
            if data.capacity() <= GATHERED_MAX {
                data.clear();
                GATHERED.set(data);
            }
            given
        }
    }
}

/// Sends `data`, and waits if the peer does not take all of it now.
fn give(
    call: &Call<'_>,
    socket: &Rc<Socket>,
    link: &Rc<Link>,
    data: &[u8],
) -> Result<Reply, Raise> {
    if data.is_empty() {
        return Ok(sent(call, 0));
    }
    may_wait(call)?;
    let run = call.lane().run();
    ngx_core::debug!("lua tcp socket send timeout: {}", socket.timeouts.send(run));
    match link.try_send(data) {
        Ok(Flow::Done) => Ok(sent(call, data.len())),
        Ok(Flow::Again) => {
            let rest = Rest {
                len: data.len(),
                timeout: socket.timeouts.send(run),
                log_errors: log_errors(call),
                before: None,
                link: Rc::clone(link),
                busy: socket.begin(Task::Writing),
                is_over: false,
            };
            wait(call, rest)
        }
        Err(error) => Ok(Reply::of(failed(socket, &error, log_errors(call)))),
    }
}

fn log_errors(call: &Call<'_>) -> bool {
    call.lane().run().socket_defaults().log_errors
}

/// Sends what the peer did not take at once. The peer has `timeout` milliseconds for each part.
struct Rest {
    len: usize,
    timeout: u64,
    log_errors: bool,
    /// What was out when the deadline was set.
    before: Option<u64>,
    link: Rc<Link>,
    busy: Busy,
    is_over: bool,
}

impl Future for Rest {
    type Output = Values;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Values> {
        let this = self.get_mut();
        let sent = match this.link.poll_send(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => {
                // Slow is not silent.
                let now = Some(this.link.sent());
                if this.before != now {
                    this.before = now;
                    this.link.set_deadline(Way::Writing, this.timeout);
                }
                ready!(this.link.poll_expired(Way::Writing, cx));
                Err(io::ErrorKind::TimedOut.into())
            }
        };
        this.is_over = true;
        Poll::Ready(match sent {
            Ok(()) => values([number(this.len)]),
            Err(error) => failed(this.busy.socket(), &error, this.log_errors),
        })
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.link.clear_deadline(Way::Writing);
        if !self.is_over {
            // What is left would go before whatever is sent next.
            self.busy.socket().close();
        }
    }
}

thread_local! {
    /// Where the parts of a table come together.
    static GATHERED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What is kept of it from one call to the next.
const GATHERED_MAX: usize = 64 * 1024;

/// After an error, nothing more can be sent.
fn failed(socket: &Rc<Socket>, error: &io::Error, log_errors: bool) -> Values {
    if log_errors {
        match error.kind() {
            io::ErrorKind::TimedOut => socket.log("lua tcp socket write timed out"),
            _ => socket.log(format_args!("send() failed {}", errno(error))),
        }
    }
    socket.write_closed.set(true);
    if socket.read_closed.get() {
        socket.close();
    }
    let text = match error.kind() {
        io::ErrorKind::WriteZero => "closed".to_owned(),
        _ => error_text(error),
    };
    values([Value::Nil, text.into()])
}

#[expect(clippy::cast_precision_loss, reason = "no string is longer than 2^53")]
fn sent(call: &Call<'_>, len: usize) -> Reply {
    call.number_back(len as f64)
}

#[expect(clippy::cast_precision_loss, reason = "no string is longer than 2^53")]
fn number(len: usize) -> Value {
    Value::Number(len as f64)
}
