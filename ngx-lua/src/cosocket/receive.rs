//! `receive` and `receiveany`.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ngx_core::error::errno;

use super::kept::this;
use super::link::{Link, Way};
use super::pattern::{Pattern, Plain, Verdict};
use super::socket::{Socket, Task};
use super::{error_text, refuse};
use crate::ffi::{Call, Kind, Raise, Reply, Thread, Value, Values, values};
use crate::sched::{Waits, may_wait, stay};

/// `data, err, partial = tcpsock:receive(size | pattern?)`
pub(super) fn receive(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 1 && n != 2 {
        let message = format!("expecting 1 or 2 arguments (including the object), but got {n}");
        return Err(message.into());
    }
    ngx_core::debug!("lua tcp socket calling receive() method");
    let socket = this(call)?;
    let link = match ready(call, &socket)? {
        Ok(link) => link,
        Err(why) => return Ok(refuse(why)),
    };
    let pattern = if n == 1 {
        Plain::Line
    } else if let Some(size) = call.number(2) {
        if size < 0.0 || size.is_nan() {
            return Err(Raise::Argument(2, "bad number argument".into()));
        }
        match whole(size) {
            0 => return Ok(Reply::Value("".into())),
            size => Plain::Size(size),
        }
    } else {
        by_name(call)?
    };
    may_wait(call)?;
    // As a rule, what a protocol asks for has come with what it asked for before, or nothing has come.
    if link.input.borrow().is_empty() {
        return read_more(call, &socket, link, pattern.into());
    }
    let is_there = pattern.lend(&mut link.input.borrow_mut());
    if is_there {
        return Ok(Reply::Lent(link));
    }
    read(call, &socket, link, pattern.into())
}

/// `data, err = tcpsock:receiveany(max)`
pub(super) fn receive_any(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 2 {
        let n = call.count();
        let message = format!("expecting 2 arguments (including the object), but got {n}");
        return Err(message.into());
    }
    let socket = this(call)?;
    let link = match ready(call, &socket)? {
        Ok(link) => link,
        Err(why) => return Ok(refuse(why)),
    };
    let max = call.number(2).filter(|max| *max >= 1.0);
    let max = max.ok_or_else(|| Raise::Argument(2, "bad max argument".into()))?;
    let max = whole(max);
    ngx_core::debug!("lua tcp socket calling receiveany() method to read at most {max} bytes");
    ngx_core::debug!("lua tcp socket read any");
    read(call, &socket, link, Pattern::any(max))
}

/// The connection of a socket that may be read now, or what to answer.
#[inline(always)]
pub(super) fn ready(
    call: &Call<'_>,
    socket: &Socket,
) -> Result<Result<Rc<Link>, &'static str>, Raise> {
    let Some(link) = socket.link().filter(|_| !socket.read_closed.get()) else {
        if call.lane().run().socket_defaults().log_errors {
            socket.log("attempt to receive data on a closed socket");
        }
        return Ok(Err("closed"));
    };
    socket.check_owner(call)?;
    if let Some(busy) = socket.busy_with(&[Task::Connecting, Task::Reading]) {
        return Ok(Err(busy));
    }
    Ok(Ok(link))
}

/// Reads until the pattern has what it wants, at once if it can be.
pub(super) fn read(
    call: &Call<'_>,
    socket: &Rc<Socket>,
    link: Rc<Link>,
    mut pattern: Pattern,
) -> Result<Reply, Raise> {
    may_wait(call)?;
    // Some patterns keep bytes themselves: they are asked even if there are none here.
    let fed = pattern.feed(&mut link.input.borrow_mut());
    if fed == Verdict::Complete {
        return Ok(Reply::Value(pattern.into_value(&link)));
    }
    read_more(call, socket, link, pattern)
}

/// As [`read`], when all that had come belongs to the pattern, and the call may wait.
fn read_more(
    call: &Call<'_>,
    socket: &Rc<Socket>,
    link: Rc<Link>,
    mut pattern: Pattern,
) -> Result<Reply, Raise> {
    let defaults = call.lane().run().reading_defaults();
    let timeout = socket.timeouts.read(&defaults);
    ngx_core::debug!("lua tcp socket read timeout: {timeout}");
    let (buffer_size, log_errors) = (defaults.buffer_size.max(1), defaults.log_errors);
    // A peer that was just asked has not answered yet: it is not looked at before it is waited for.
    let at_once = if link.take_asked() { 0 } else { READS_AT_ONCE };
    for _ in 0..at_once {
        match turn(&link, &mut pattern, buffer_size) {
            Turn::More => {}
            Turn::Wait => break,
            Turn::Over(end) => {
                log_end(socket, &end, log_errors);
                return Ok(Reply::of(finish(socket, &link, pattern, end)));
            }
        }
    }
    socket.set_busy(Task::Reading);
    let reading = Reading {
        pattern,
        buffer_size,
        timeout,
        log_errors,
        is_asked: false,
        is_timed: false,
        link,
    };
    *socket.reading.borrow_mut() = Some(reading);
    let socket: Rc<Socket> = Rc::clone(socket);
    Ok(stay(call, socket))
}

/// A receive that waits. The peer has `timeout` milliseconds for each part.
pub(super) struct Reading {
    pattern: Pattern,
    buffer_size: usize,
    timeout: u64,
    log_errors: bool,
    /// The connection was asked to tell when there is something to read.
    is_asked: bool,
    /// The deadline is set for this part.
    is_timed: bool,
    link: Rc<Link>,
}

/// A receive waits in its socket, which is busy meanwhile.
impl Waits for Socket {
    fn poll_answer(&self, cx: &mut Context<'_>, to: &Thread) -> Poll<bool> {
        let mut place = self.reading.borrow_mut();
        let Some(reading) = &mut *place else {
            return Poll::Pending;
        };
        let end = ready!(reading.poll(cx));
        let ended = place.take();
        drop(place);
        let Some(ended) = ended else {
            return Poll::Pending;
        };
        self.set_idle(Task::Reading);
        Poll::Ready(ended.answer(self, end, to))
    }

    /// Where it has come to in what the peer says nobody knows any more: the connection is of no
    /// more use, as in OpenResty.
    fn leave(&self) {
        let left = self.reading.borrow_mut().take();
        if let Some(left) = left {
            left.link.clear_deadline(Way::Reading);
            self.set_idle(Task::Reading);
            self.close();
        }
    }
}

impl Reading {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        // It has told, as a rule: there is something to read.
        if self.is_asked && !self.link.is_lent() {
            match turn(&self.link, &mut self.pattern, self.buffer_size) {
                Turn::More => self.is_timed = false,
                Turn::Wait => {}
                Turn::Over(end) => return Poll::Ready(end),
            }
        }
        self.is_asked = true;
        let end = loop {
            match self.link.poll_readable(cx) {
                Poll::Ready(Ok(())) => {
                    self.is_timed = false;
                    // What another keeps is read by waiting for it.
                    if self.link.is_lent() && self.feed() {
                        break End::Complete;
                    }
                    match turn(&self.link, &mut self.pattern, self.buffer_size) {
                        Turn::More | Turn::Wait => {}
                        Turn::Over(end) => break end,
                    }
                }
                Poll::Ready(Err(error)) => break End::Failed(error),
                Poll::Pending => {
                    if !self.is_timed {
                        self.is_timed = true;
                        self.link.set_deadline(Way::Reading, self.timeout);
                    }
                    ready!(self.link.poll_expired(Way::Reading, cx));
                    break End::Failed(io::ErrorKind::TimedOut.into());
                }
            }
        };
        Poll::Ready(end)
    }

    /// Answers the call.
    fn answer(self, socket: &Socket, end: End, to: &Thread) -> bool {
        self.link.clear_deadline(Way::Reading);
        if matches!(end, End::Complete) && self.pattern.is_in_place() {
            return to.answer_lent(&*self.link);
        }
        log_end(socket, &end, self.log_errors);
        to.answer(finish(socket, &self.link, self.pattern, end))
    }

    /// Whether what has come is enough.
    fn feed(&mut self) -> bool {
        self.pattern.feed(&mut self.link.input.borrow_mut()) == Verdict::Complete
    }
}

/// How reading ended.
enum End {
    Complete,
    Closed,
    Failed(io::Error),
}

/// Logs that reading failed.
fn log_end(socket: &Socket, end: &End, log_errors: bool) {
    match end {
        End::Failed(error) if log_errors => match error.kind() {
            io::ErrorKind::TimedOut => socket.log("lua tcp socket read timed out"),
            _ => socket.log(format_args!("recv() failed {}", errno(error))),
        },
        _ => {}
    }
}

/// What came of one look at the input and at the connection.
enum Turn {
    More,
    Wait,
    Over(End),
}

/// Reads what is there. All that had come before belongs to the pattern already.
fn turn(link: &Link, pattern: &mut Pattern, buffer_size: usize) -> Turn {
    let wanted = pattern
        .wants()
        .clamp(buffer_size, buffer_size.max(READ_MAX));
    match link.try_read(wanted) {
        Ok(0) => Turn::Over(End::Closed),
        Ok(_) => match pattern.feed(&mut link.input.borrow_mut()) {
            Verdict::Complete => Turn::Over(End::Complete),
            Verdict::Again => Turn::More,
        },
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Turn::Wait,
        Err(error) => Turn::Over(End::Failed(error)),
    }
}

fn finish(socket: &Socket, link: &Rc<Link>, pattern: Pattern, end: End) -> Values {
    let error = match end {
        End::Complete => return values([pattern.into_value(link)]),
        End::Closed if pattern.ends_with_the_peer() => {
            no_more(socket);
            return values([pattern.into_value(link)]);
        }
        End::Closed => {
            no_more(socket);
            "closed".to_owned()
        }
        End::Failed(error) => {
            // A timeout leaves the connection as it is: the caller may try again.
            if error.kind() != io::ErrorKind::TimedOut {
                no_more(socket);
            }
            error_text(&error)
        }
    };
    values([Value::Nil, error.into(), pattern.into_value(link)])
}

fn no_more(socket: &Socket) {
    socket.read_closed.set(true);
    if socket.write_closed.get() {
        socket.close();
    }
}

fn by_name(call: &Call<'_>) -> Result<Plain, Raise> {
    if call.kind(2) != Kind::String {
        return Err(Raise::Argument(2, "bad argument".into()));
    }
    let text = call.want_text(2)?;
    match &*text {
        b"*l" => Ok(Plain::Line),
        b"*a" => Ok(Plain::All),
        [b'*', _] => Err(Raise::Argument(2, "bad pattern argument".into())),
        other => {
            let other = String::from_utf8_lossy(other);
            Err(Raise::Argument(
                2,
                format!("bad pattern argument: {other}").into(),
            ))
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what is too large saturates, and no size is as large"
)]
pub(super) fn whole(number: f64) -> usize {
    // Signed numbers are the quicker ones to convert to.
    let signed = (number as i64).max(0);
    usize::try_from(signed).unwrap_or(usize::MAX)
}

/// Reads before others get their turn.
const READS_AT_ONCE: usize = 16;
/// Bytes of one read.
const READ_MAX: usize = 64 * 1024;
