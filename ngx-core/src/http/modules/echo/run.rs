//! Running the commands: as far as it goes without waiting, then in a future.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ngx_buf::{Buf, Chain, Flags, Flow};

use super::CONF;
use super::command::{self, Command};
use crate::http::ctx::CtxSlot;
use crate::http::parse::parse_unsafe;
use crate::http::request::Request;
use crate::http::step::{PhaseStep, Step};
use crate::script::Template;
use crate::{debug, error, time, warn};

static STATE: CtxSlot<State> = CtxSlot::new();

/// Bytes of one buf of a repeated text, and how many of them are sent at once.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 16;

/// How far a request is.
#[derive(Default)]
pub(super) struct State {
    /// The command that runs next.
    next: Cell<usize>,
    /// The loops that run, the innermost last.
    loops: RefCell<Vec<Loop>>,
    /// What is left of `echo_duplicate`.
    repeat: RefCell<Option<Repeat>>,
    /// When the timer was reset: monotonic milliseconds.
    began: Cell<Option<u64>>,
    /// How often `$echo_incr` was asked for.
    counter: Cell<u64>,
    /// The text of `echo_before_body` was sent.
    pub(super) before_sent: Cell<bool>,
    /// The text of `echo_after_body` was sent.
    pub(super) after_sent: Cell<bool>,
}

struct Loop {
    /// The first command of its body.
    body: usize,
    items: Vec<Bytes>,
    at: usize,
}

struct Repeat {
    /// Some copies of the text.
    piece: Bytes,
    /// Bytes that are still to send.
    left: u64,
}

/// What the commands wait for.
enum Pause {
    Sleep(Duration),
    /// The request body.
    Body,
    /// The client takes what was sent.
    Drain,
}

/// What follows a command; the error ends the commands.
type Outcome = Result<Option<Pause>, PhaseStep>;

impl State {
    pub(super) fn of(r: &Request) -> Rc<Self> {
        r.ctx(&STATE).unwrap_or_else(|| {
            let state = Rc::new(Self::default());
            r.set_ctx(&STATE, Rc::clone(&state));
            state
        })
    }

    /// Milliseconds since the timer was reset, or since the request began.
    pub(super) fn elapsed_ms(&self, r: &Request) -> u64 {
        time::refresh();
        match self.began.get() {
            Some(began) => time::now_ms().saturating_sub(began),
            None => r.elapsed_ms(),
        }
    }

    pub(super) fn count(&self) -> u64 {
        let count = self.counter.get() + 1;
        self.counter.set(count);
        count
    }

    /// The part of the text that the innermost loop is at.
    pub(super) fn item(&self) -> Option<Bytes> {
        let loops = self.loops.borrow();
        let inner = loops.last()?;
        inner.items.get(inner.at).cloned()
    }
}

/// The handler of a location with commands.
pub(super) fn handler(r: &Request) -> PhaseStep {
    let state = State::of(r);
    let mut pause = match advance(r, &state) {
        Err(step) => return step,
        Ok(pause) => pause,
    };
    let r = r.clone();
    Step::wait(async move {
        loop {
            if let Err(step) = pause.over(&r).await {
                return step;
            }
            match advance(&r, &state) {
                Err(step) => return step,
                Ok(next) => pause = next,
            }
        }
    })
}

impl Pause {
    async fn over(self, r: &Request) -> Result<(), PhaseStep> {
        match self {
            Self::Sleep(duration) => tokio::time::sleep(duration).await,
            Self::Body => r.read_body().await.map_err(Step::Finish)?,
            // The client has left, which is logged.
            Self::Drain => r.output_ready().await.map_err(|_| Step::Done)?,
        }
        Ok(())
    }
}

/// Runs commands until one has to wait.
fn advance(r: &Request, state: &State) -> Result<Pause, PhaseStep> {
    let commands = &r.conf(&CONF).commands;
    loop {
        if let Some(pause) = send_repeated(r, state)? {
            return Ok(pause);
        }
        let at = state.next.get();
        let Some(command) = commands.get(at) else {
            return Err(finish(r));
        };
        state.next.set(at + 1);
        if let Some(pause) = run(r, state, command)? {
            return Ok(pause);
        }
    }
}

fn run(r: &Request, state: &State, command: &Command) -> Outcome {
    match command {
        Command::Text(text) => {
            let text = text.eval_bytes(r);
            let chain = if text.is_empty() {
                Chain::new()
            } else {
                Chain::from(Buf::from(text))
            };
            send(r, chain)
        }
        Command::Duplicate { count, text } => duplicate(r, state, count, text),
        Command::Flush => send(r, Chain::from(Buf::special(Flags::FLUSH))),
        Command::Sleep(seconds) => sleep(&seconds.eval_bytes(r)),
        Command::ResetTimer => {
            time::refresh();
            state.began.set(Some(time::now_ms()));
            Ok(None)
        }
        Command::ReadBody if r.body_is_read() || !r.has_body() => Ok(None),
        Command::ReadBody => Ok(Some(Pause::Body)),
        Command::RequestBody => send_request_body(r),
        Command::Split { delimiter, text } => {
            split(r, state, &delimiter.eval_bytes(r), text.eval_bytes(r));
            Ok(None)
        }
        Command::End => end(state),
        Command::Exec { uri, args } => exec(r, &uri.eval_bytes(r), args.as_ref()),
    }
}

/// Sends a chain, and the response header in front of the first.
fn send(r: &Request, chain: Chain) -> Outcome {
    if !r.header_sent() {
        let response = r.response();
        response.set_status(*r.conf(&CONF).status);
        response.set_content_type(Some(r.media_type()).filter(|media| !media.is_empty()));
        response.set_content_length(None);
        response.allow_ranges(false);
        let _ = r.send_header().map_err(|_| Step::Done)?;
    }
    if chain.is_empty() {
        return Ok(None);
    }
    match r.output(chain).map_err(|_| Step::Done)? {
        Flow::Again => Ok(Some(Pause::Drain)),
        _ => Ok(None),
    }
}

/// The commands are over: so is the response.
fn finish(r: &Request) -> PhaseStep {
    if !r.body_is_read()
        && let Err(status) = r.discard_body()
    {
        return Step::Finish(status);
    }
    // What is wrong with the client or a filter is logged where it was found.
    let _ = send(r, Chain::from(Buf::special(Flags::LAST_BUF)));
    Step::Done
}

fn sleep(text: &[u8]) -> Outcome {
    match command::millis(text) {
        Some(0) => Ok(None),
        Some(millis) => Ok(Some(Pause::Sleep(Duration::from_millis(millis)))),
        None => {
            error!("invalid sleep duration \"{}\"", text.escape_ascii());
            Err(Step::Finish(400))
        }
    }
}

fn duplicate(r: &Request, state: &State, count: &Template, text: &Template) -> Outcome {
    let count = count.eval_bytes(r);
    let text = text.eval_bytes(r);
    let total = command::count(&count).and_then(|count| count.checked_mul(text.len() as u64));
    let Some(left) = total else {
        error!("invalid size specified: \"{}\"", count.escape_ascii());
        return Err(Step::Finish(500));
    };
    if left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let copies = most.min(PIECE.max(text.len())) / text.len();
        let piece = if copies == 1 {
            text
        } else {
            text.repeat(copies).into()
        };
        state.repeat.replace(Some(Repeat { piece, left }));
    }
    send(r, Chain::new())
}

/// Sends as much of a repeated text as the client takes: no more of it is in memory than one piece.
fn send_repeated(r: &Request, state: &State) -> Outcome {
    loop {
        let chain = match &mut *state.repeat.borrow_mut() {
            Some(repeat) if repeat.left > 0 => repeat.next(),
            _ => break,
        };
        if let Some(pause) = send(r, chain)? {
            return Ok(Some(pause));
        }
    }
    state.repeat.take();
    Ok(None)
}

impl Repeat {
    fn next(&mut self) -> Chain {
        let mut chain = Chain::new();
        for _ in 0..PIECES {
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let piece = self.piece.slice(..left.min(self.piece.len()));
            if piece.is_empty() {
                break;
            }
            self.left -= piece.len() as u64;
            chain.push(Buf::from(piece));
        }
        chain
    }
}

fn send_request_body(r: &Request) -> Outcome {
    let mut chain = Chain::new();
    for buf in r.body_bufs().iter().filter(|buf| !buf.is_special()) {
        let mut buf = buf.clone();
        buf.remove_flags(Flags::LAST_BUF | Flags::LAST_IN_CHAIN);
        chain.push(buf);
    }
    if chain.is_empty() {
        return Ok(None);
    }
    send(r, chain)
}

/// Begins a loop; without anything to go through, goes behind its end.
fn split(r: &Request, state: &State, delimiter: &[u8], text: Bytes) {
    let items = parts(delimiter, &text);
    let body = state.next.get();
    if items.is_empty() {
        let commands = &r.conf(&CONF).commands;
        let mut depth = 1;
        let end = commands.iter().skip(body).position(|command| {
            match command {
                Command::Split { .. } => depth += 1,
                Command::End => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        state
            .next
            .set(end.map_or(commands.len(), |end| body + end + 1));
        return;
    }
    let inner = Loop { body, items, at: 0 };
    state.loops.borrow_mut().push(inner);
}

/// What stands between the delimiters; nothing between two of them is no part.
fn parts(delimiter: &[u8], text: &Bytes) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut rest = text.clone();
    let find = |rest: &[u8]| {
        let mut windows = rest.windows(delimiter.len().max(1));
        windows.position(|window| window == delimiter)
    };
    while let Some(at) = find(&rest) {
        parts.push(rest.split_to(at));
        let _ = rest.split_to(delimiter.len());
    }
    parts.push(rest);
    parts.retain(|part| !part.is_empty());
    parts
}

fn end(state: &State) -> Outcome {
    let mut loops = state.loops.borrow_mut();
    let Some(inner) = loops.last_mut() else {
        error!("Found a echo_end that has no corresponding echo_foreach before it.");
        return Err(Step::Finish(500));
    };
    inner.at += 1;
    if inner.at < inner.items.len() {
        state.next.set(inner.body);
    } else {
        loops.pop();
    }
    Ok(None)
}

/// Goes to another location, for good.
fn exec(r: &Request, uri: &[u8], args: Option<&Template>) -> Outcome {
    if uri.is_empty() {
        return Err(Step::Finish(400));
    }
    let Some((path, own)) = parse_unsafe(uri) else {
        debug!("echo_exec sees unsafe uri: \"{}\"", uri.escape_ascii());
        return Err(Step::Finish(500));
    };
    if r.header_sent() {
        error!(
            "echo_exec \"{}\" after the response header was sent",
            uri.escape_ascii()
        );
        return Err(finish(r));
    }
    let args = args.map_or_else(|| Bytes::from(own), |args| args.eval_bytes(r));
    if !path.starts_with(b"@") {
        return Err(r.internal_redirect(&path, &args));
    }
    if !args.is_empty() {
        warn!(
            "querystring {} ignored when exec'ing named location {}",
            args.escape_ascii(),
            path.escape_ascii()
        );
    }
    Err(r.named_location(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_delimiters() {
        let parts = |delimiter: &str, text: &str| -> Vec<String> {
            parts(
                delimiter.as_bytes(),
                &Bytes::copy_from_slice(text.as_bytes()),
            )
            .iter()
            .map(|part| String::from_utf8(part.to_vec()).unwrap())
            .collect()
        };
        assert_eq!(parts(",", "a,b,,c,"), ["a", "b", "c"]);
        assert_eq!(parts("-a-", "cat-a-dog-a-mouse"), ["cat", "dog", "mouse"]);
        assert_eq!(parts("", "abc"), ["abc"]);
        assert!(parts(",", "").is_empty() && parts(",", ",,").is_empty());
    }

    #[test]
    fn a_repeated_text_is_sent_in_shared_pieces() {
        let mut repeat = Repeat {
            piece: Bytes::from_static(b"ababab"),
            left: 200,
        };
        let mut sent = 0;
        while repeat.left > 0 {
            let chain = repeat.next();
            assert!(chain.len() <= PIECES && chain.size() > 0);
            sent += chain.size();
        }
        assert_eq!(sent, 200);
    }
}
