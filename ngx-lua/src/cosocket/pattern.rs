//! What `receive` waits for: pure, bytes in, bytes out.

use std::cell::RefCell;
use std::rc::Rc;

use memchr::memchr;

use super::input::Input;
use super::link::Link;
use super::until::Matcher;
use crate::ffi::Value;

/// A pattern, and what it has taken so far.
pub(super) struct Pattern {
    kind: Kind,
    taken: Vec<u8>,
    /// What it wanted lay in the input whole, and is lent there.
    in_place: bool,
}

/// What `receive` may be told to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    /// `*l`: to the line feed, without it and without any carriage return.
    Line,
    /// `*a`: to the end.
    All,
    /// So many bytes.
    Size(usize),
}

enum Kind {
    Plain(Plain),
    /// Whatever there is, up to so many bytes.
    Any(usize),
    /// To a string, at most so many bytes, 0 for any number.
    Until(Rc<RefCell<Matcher>>, usize),
}

/// What a pattern has done with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// All it wants lies in the input, and is lent there.
    InPlace,
    /// It has all it wants, copied.
    Whole,
    /// It has copied what there was, and wants more.
    Part,
}

/// Whether a pattern has what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Complete,
    Again,
}

impl Plain {
    /// Lends what is waited for in the input, if it lies there whole.
    pub(super) fn lend(self, input: &mut Input) -> bool {
        let rest = input.rest();
        match self {
            Self::Line => {
                let Some(end) = memchr(b'\n', rest) else {
                    return false;
                };
                let line = rest.get(..end).unwrap_or_default();
                let len = memchr(b'\r', line).unwrap_or(end);
                // A carriage return elsewhere is to be taken out.
                let is_plain = len + 1 >= end;
                if is_plain {
                    input.lend(len, end + 1 - len);
                }
                is_plain
            }
            Self::Size(size) => {
                let is_there = rest.len() >= size;
                if is_there {
                    input.lend(size, 0);
                }
                is_there
            }
            Self::All => false,
        }
    }
}

impl From<Plain> for Pattern {
    fn from(plain: Plain) -> Self {
        Self::of(Kind::Plain(plain))
    }
}

impl Pattern {
    pub(super) fn any(max: usize) -> Self {
        Self::of(Kind::Any(max))
    }

    pub(super) fn until(matcher: Rc<RefCell<Matcher>>, max: usize) -> Self {
        Self::of(Kind::Until(matcher, max))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            taken: Vec::new(),
            in_place: false,
        }
    }

    /// Takes from the input what belongs to it.
    pub(super) fn feed(&mut self, input: &mut Input) -> Verdict {
        let taken = &mut self.taken;
        let took = match &self.kind {
            Kind::Plain(plain) if taken.is_empty() && plain.lend(input) => Took::InPlace,
            Kind::Plain(Plain::Line) => line(taken, input),
            Kind::Plain(Plain::All) => {
                let n = input.rest().len();
                take(taken, input, n);
                Took::Part
            }
            Kind::Plain(Plain::Size(size)) => {
                let missing = size.saturating_sub(taken.len());
                if taken.is_empty() {
                    taken.reserve(missing.min(RESERVED));
                }
                take(taken, input, missing);
                whole(taken.len() >= *size)
            }
            Kind::Any(max) => {
                let n = input.rest().len().min(*max);
                input.lend(n, 0);
                if n > 0 { Took::InPlace } else { Took::Part }
            }
            Kind::Until(matcher, max) => matcher.borrow_mut().feed(input, taken, *max),
        };
        self.in_place = took == Took::InPlace;
        if took == Took::Part {
            Verdict::Again
        } else {
            Verdict::Complete
        }
    }

    /// How many bytes it would take, if it knows.
    pub(super) fn wants(&self) -> usize {
        match &self.kind {
            Kind::Plain(Plain::Size(size)) => size.saturating_sub(self.taken.len()),
            Kind::Plain(Plain::All) => usize::MAX,
            Kind::Plain(Plain::Line) | Kind::Any(_) | Kind::Until(..) => 0,
        }
    }

    /// Whether the end of the connection is what it waits for.
    pub(super) fn ends_with_the_peer(&self) -> bool {
        matches!(self.kind, Kind::Plain(Plain::All))
    }

    /// Whether all that it wants is lent in the input.
    pub(super) fn is_in_place(&self) -> bool {
        self.in_place
    }

    /// What it has taken, complete or not, for Lua; what is lent in the input of `link`, right after
    /// it was.
    pub(super) fn into_value(self, link: &Rc<Link>) -> Value {
        if self.in_place {
            let link: Rc<Link> = Rc::clone(link);
            Value::Lent(link)
        } else {
            self.taken.into()
        }
    }
}

/// Takes a line, or what there is of it. Line feeds end it, carriage returns do not belong to it.
fn line(taken: &mut Vec<u8>, input: &mut Input) -> Took {
    let rest = input.rest();
    let end = memchr(b'\n', rest);
    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    if memchr(b'\r', line).is_none() {
        taken.extend_from_slice(line);
    } else {
        taken.extend(line.iter().filter(|byte| **byte != b'\r'));
    }
    let used = end.map_or(line.len(), |end| end + 1);
    input.advance(used);
    whole(end.is_some())
}

fn take(taken: &mut Vec<u8>, input: &mut Input, most: usize) {
    let rest = input.rest();
    let n = most.min(rest.len());
    taken.extend_from_slice(rest.get(..n).unwrap_or_default());
    input.advance(n);
}

fn whole(complete: bool) -> Took {
    if complete { Took::Whole } else { Took::Part }
}

/// Bytes that are made room for in advance, at most: what a script asks for may never come.
const RESERVED: usize = 64 * 1024;
