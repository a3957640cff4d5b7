//! `send`.

use std::rc::Rc;

use ngx_buf::{Chain, Flow};
use ngx_core::error::errno;

use super::link::Link;
use super::socket::{Socket, Task};
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
    let socket = call.object::<Socket>(1)?;
    let Some(link) = socket.link().filter(|_| !socket.write_closed.get()) else {
        if call.lane().run().socket_defaults().log_errors {
            socket.log("attempt to send data on a closed socket:");
        }
        return Ok(refuse("closed"));
    };
    socket.check_owner(call)?;
    for task in [Task::Connecting, Task::Writing] {
        if let Some(busy) = socket.busy_with(task) {
            return Ok(refuse(busy));
        }
    }
    let mut data = Vec::new();
    if matches!(call.kind(2), Kind::Function | Kind::Thread | Kind::Other) {
        let got = call.type_name(2);
        let message = format!("string, number, boolean, nil, or array table expected, got {got}");
        return Err(Raise::Argument(2, message.into()));
    }
    call.append_array(2, &mut data)?;
    if data.is_empty() {
        return Ok(sent(0));
    }
    may_wait(call)?;
    let len = data.len();
    let log_errors = call.lane().run().socket_defaults().log_errors;
    let timeout = socket.timeouts.send.get();
    ngx_core::debug!("lua tcp socket send timeout: {}", timeout.as_millis());
    match link.try_send(Chain::from_iter([data.into()])) {
        Ok(Flow::Done) => Ok(sent(len)),
        Err(error) => Ok(Reply::Values(failed(&socket, &error, log_errors))),
        Ok(Flow::Again) => wait(call, rest(socket, link, len, log_errors)),
    }
}

/// Sends what the peer did not take at once.
async fn rest(socket: Rc<Socket>, link: Rc<Link>, len: usize, log_errors: bool) -> Values {
    let _busy = socket.begin(Task::Writing);
    match link.flush(socket.timeouts.send.get()).await {
        Ok(()) => values([number(len)]),
        Err(error) => failed(&socket, &error, log_errors),
    }
}

/// After an error, nothing more can be sent.
fn failed(socket: &Rc<Socket>, error: &std::io::Error, log_errors: bool) -> Values {
    if log_errors {
        match error.kind() {
            std::io::ErrorKind::TimedOut => socket.log("lua tcp socket write timed out"),
            _ => socket.log(format_args!("send() failed {}", errno(error))),
        }
    }
    socket.write_closed.set(true);
    if socket.read_closed.get() {
        socket.close();
    }
    let text = match error.kind() {
        std::io::ErrorKind::WriteZero => "closed".to_owned(),
        _ => error_text(error),
    };
    values([Value::Nil, text.into()])
}

fn sent(len: usize) -> Reply {
    Reply::Values(values([number(len)]))
}

#[expect(clippy::cast_precision_loss, reason = "no string is longer than 2^53")]
fn number(len: usize) -> Value {
    Value::Number(len as f64)
}
