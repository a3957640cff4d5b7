//! What `receive` waits for: pure, bytes in, bytes out.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::{Buf, BytesMut};

use super::until::Matcher;

/// A pattern, and what it has taken so far.
pub(super) struct Pattern {
    kind: Kind,
    taken: Vec<u8>,
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
        }
    }

    /// Takes from the input what belongs to it.
    pub(super) fn feed(&mut self, input: &mut BytesMut) -> Verdict {
        let taken = &mut self.taken;
        match &self.kind {
            Kind::Line => {
                let end = input.iter().position(|byte| *byte == b'\n');
                let line = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
                taken.extend(line.iter().filter(|byte| **byte != b'\r'));
                input.advance(end.map_or(input.len(), |end| end + 1));
                verdict(end.is_some())
            }
            Kind::All => {
                taken.extend_from_slice(input);
                input.clear();
                Verdict::Again
            }
            Kind::Size(size) => {
                take(taken, input, size.saturating_sub(taken.len()));
                verdict(taken.len() >= *size)
            }
            Kind::Any(max) => {
                take(taken, input, *max);
                verdict(!taken.is_empty())
            }
            Kind::Until(matcher, max) => matcher.borrow_mut().feed(input, taken, *max),
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

    /// What it has taken, complete or not.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.taken
    }
}

fn take(taken: &mut Vec<u8>, input: &mut BytesMut, most: usize) {
    let n = most.min(input.len());
    taken.extend_from_slice(input.get(..n).unwrap_or_default());
    input.advance(n);
}

fn verdict(complete: bool) -> Verdict {
    if complete {
        Verdict::Complete
    } else {
        Verdict::Again
    }
}
