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

enum Kind {
    /// `*l`: to the line feed, without it and without any carriage return.
    Line,
    /// `*a`: to the end.
    All,
    /// So many bytes.
    Size(usize),
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

impl Pattern {
    pub(super) fn line() -> Self {
        Self::of(Kind::Line)
    }

    pub(super) fn all() -> Self {
        Self::of(Kind::All)
    }

    pub(super) fn size(size: usize) -> Self {
        Self::of(Kind::Size(size))
    }

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
            Kind::Line => line(taken, input),
            Kind::All => {
                let n = input.rest().len();
                take(taken, input, n);
                Took::Part
            }
            Kind::Size(size) => {
                if taken.is_empty() && input.rest().len() >= *size {
                    input.lend(*size, 0);
                    Took::InPlace
                } else {
                    let missing = size.saturating_sub(taken.len());
                    if taken.is_empty() {
                        taken.reserve(missing.min(RESERVED));
                    }
                    take(taken, input, missing);
                    whole(taken.len() >= *size)
                }
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
            Kind::Size(size) => size.saturating_sub(self.taken.len()),
            Kind::All => usize::MAX,
            Kind::Line | Kind::Any(_) | Kind::Until(..) => 0,
        }
    }

    /// Whether the end of the connection is what it waits for.
    pub(super) fn ends_with_the_peer(&self) -> bool {
        matches!(self.kind, Kind::All)
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
    let first_return = memchr(b'\r', line).unwrap_or(line.len());
    let is_plain = first_return + 1 >= line.len();
    if let Some(end) = end
        && is_plain
        && taken.is_empty()
    {
        input.lend(first_return, end + 1 - first_return);
        return Took::InPlace;
    }
    if first_return == line.len() {
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
