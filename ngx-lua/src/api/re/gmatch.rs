//! One match after another: `ngx.re.gmatch`, and the loop of replacing by functions.

use std::cell::Cell;
use std::rc::Rc;

use super::cache::Regex;
use super::{captures, subject};
use crate::ffi::{Call, Matcher, Raise, Reply, Spans, Subject, Value, function, values};

/// A walk over the matches in a text.
pub(super) struct Walk<'a> {
    regex: Rc<Regex>,
    subject: Subject<'a>,
    text: &'a [u8],
    /// Where to look next; `None` at the end.
    next: Option<usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(regex: Rc<Regex>, text: &'a [u8], next: Option<usize>) -> Self {
        Self {
            regex,
            subject: Subject::new(text),
            text,
            next,
        }
    }

    /// The next match, or the library's number of an error.
    pub(super) fn step(&mut self, matcher: &Matcher) -> Result<Option<Spans>, i32> {
        let Some(start) = self.next.take() else {
            return Ok(None);
        };
        let found = matcher.find(&self.regex.pattern, &self.subject, start)?;
        if let Some(Some((from, to))) = found.as_ref().and_then(|spans| spans.first()) {
            self.next = if from >= to {
                self.after(*to.max(&start))
            } else {
                Some(*to)
            };
        }
        Ok(found)
    }

    /// The character after the one at `at`: an empty match must not be found twice.
    fn after(&self, at: usize) -> Option<usize> {
        let mut next = at + 1;
        while self.regex.pattern.is_utf() && self.text.get(next).is_some_and(|b| b & 0xc0 == 0x80) {
            next += 1;
        }
        (next <= self.text.len()).then_some(next)
    }
}

/// What an iterator remembers.
struct Iterator {
    regex: Rc<Regex>,
    text: Vec<u8>,
    next: Cell<Option<usize>>,
}

/// `iterator, err = ngx.re.gmatch(subject, regex, options?)`
pub(super) fn gmatch(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let iterator = begin(call, 3)?;
    Ok(Reply::of(match iterator {
        Ok(iterator) => values([Value::Closure(function(next), iterator)]),
        Err(error) => values([Value::Nil, error.into()]),
    }))
}

/// As [`gmatch`], but its iterator also says where matches begin and end, and a fourth argument
/// where to begin.
pub(in crate::api) fn start(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let iterator = begin(call, 3)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "before the text means at its beginning"
    )]
    if let (Ok(iterator), Some(place)) = (&iterator, call.number(4)) {
        iterator.next.set(Some((place as usize).saturating_sub(1)));
    }
    Ok(Reply::of(match iterator {
        Ok(iterator) => values([Value::Closure(function(next_with_place), iterator)]),
        Err(error) => values([Value::Nil, error.into()]),
    }))
}

fn begin(call: &Call<'_>, options: usize) -> Result<Result<Rc<Iterator>, String>, Raise> {
    let regex = call.lane().engine().re().cache.regex(call, options)?;
    Ok(regex.map(|regex| {
        Rc::new(Iterator {
            regex,
            text: subject(call).into_owned(),
            next: Cell::new(Some(0)),
        })
    }))
}

fn next(call: &mut Call<'_>) -> Result<Reply, Raise> {
    answer(call, |captures, _| values([captures]))
}

fn next_with_place(call: &mut Call<'_>) -> Result<Reply, Raise> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    answer(call, |captures, (from, to)| {
        let (from, to) = (from as f64 + 1.0, to as f64);
        values([captures, Value::Number(from), Value::Number(to)])
    })
}

fn answer(
    call: &Call<'_>,
    with: impl FnOnce(Value, (usize, usize)) -> crate::ffi::Values,
) -> Result<Reply, Raise> {
    let own: Rc<Iterator> = call.own().ok_or("bad iterator")?;
    let engine = call.lane().engine();
    let mut walk = Walk::new(Rc::clone(&own.regex), &own.text, own.next.take());
    let found = walk.step(&engine.re().matcher);
    own.next.set(walk.next);
    Ok(Reply::of(match found {
        Ok(Some(spans)) => {
            let table = captures(&own.regex, &own.text, &spans);
            let whole = spans.first().copied().flatten();
            with(table.into(), whole.unwrap_or_default())
        }
        Ok(None) => values([Value::Nil]),
        Err(code) => {
            let error = format!("pcre_exec() failed: {code}");
            values([Value::Nil, error.into()])
        }
    }))
}
