//! `receiveuntil`: reading up to a string, however it is cut into packets.

use std::cell::RefCell;
use std::rc::Rc;

use memchr::{memchr, memmem::Finder};

use super::input::Input;
use super::kept::this;
use super::pattern::{Pattern, Took};
use super::receive::{read, ready, whole};
use super::refuse;
use super::socket::Socket;
use crate::ffi::{Call, Kind, Raise, Reply, Scalar, Value, function, values};

/// `iterator, err = tcpsock:receiveuntil(pattern, options?)`
pub(super) fn receive_until(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 2 && n != 3 {
        let message = format!("expecting 2 or 3 arguments (including the object), but got {n}");
        return Err(message.into());
    }
    let socket = this(call)?;
    let pattern = call.want_text(2)?.into_owned();
    let mut inclusive = false;
    if n == 3 {
        if call.kind(3) != Kind::Table {
            return Err(call.expected(3, "table"));
        }
        inclusive = match call.field(3, c"inclusive")? {
            Scalar::Nil => false,
            Scalar::Boolean(yes) => yes,
            other => {
                let got = other.type_name();
                let message = format!("bad \"inclusive\" option value type: {got}");
                return Err(Raise::Argument(3, message.into()));
            }
        };
    }
    if pattern.is_empty() {
        return Ok(refuse("pattern is empty"));
    }
    let iterator = Iterator {
        socket,
        matcher: Rc::new(RefCell::new(Matcher::new(pattern, inclusive))),
    };
    let next = Value::Closure(function(next), Rc::new(iterator));
    Ok(Reply::Value(next))
}

struct Iterator {
    socket: Rc<Socket>,
    matcher: Rc<RefCell<Matcher>>,
}

/// `data, err, partial = iterator(size?)`
fn next(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n > 1 {
        return Err(format!("expecting 0 or 1 argument, but seen {n}").into());
    }
    let size = if n == 1 { call.want_number(1)? } else { 0.0 };
    let iterator = call.own::<Iterator>().ok_or("no memory")?;
    let socket = &iterator.socket;
    let link = match ready(call, socket)? {
        Ok(link) => link,
        Err(why) => return Ok(refuse(why)),
    };
    if iterator.matcher.borrow_mut().take_end() {
        return Ok(Reply::of(values([Value::Nil, Value::Nil, Value::Nil])));
    }
    let pattern = Pattern::until(Rc::clone(&iterator.matcher), whole(size.max(0.0)));
    read(call, socket, link, pattern)
}

/// Looks for a string in a stream, remembering where it stands (Knuth, Morris, Pratt). Where nothing
/// of it has come yet, it is searched for instead.
pub(super) struct Matcher {
    pattern: Vec<u8>,
    /// Made when there is enough to search in.
    finder: Option<Finder<'static>>,
    inclusive: bool,
    /// `shorter[i]`: how long the longest proper prefix of the pattern is that ends its first `i + 1`
    /// bytes.
    shorter: Vec<usize>,
    /// So many bytes of the pattern have come last. Invariant: less than all.
    matched: usize,
    /// Bytes that belong to the data and did not fit into what was asked for.
    carry: Vec<u8>,
    /// The pattern has come, but the data before it has not all been returned.
    found: bool,
    /// The last piece was returned: the next answer is that there are no more.
    end: bool,
}

impl Matcher {
    pub(super) fn new(pattern: Vec<u8>, inclusive: bool) -> Self {
        let mut shorter = vec![0; pattern.len()];
        let mut len = 0;
        for i in 1..pattern.len() {
            while len > 0 && pattern.get(i) != pattern.get(len) {
                len = shorter.get(len - 1).copied().unwrap_or(0);
            }
            if pattern.get(i) == pattern.get(len) {
                len += 1;
            }
            if let Some(place) = shorter.get_mut(i) {
                *place = len;
            }
        }
        Self {
            pattern,
            finder: None,
            inclusive,
            shorter,
            matched: 0,
            carry: Vec::new(),
            found: false,
            end: false,
        }
    }

    /// Appends data to `out`, up to the pattern or, unless it is 0, up to `max` bytes. What `input`
    /// has whole is lent there.
    pub(super) fn feed(&mut self, input: &mut Input, out: &mut Vec<u8>, max: usize) -> Took {
        let is_new = self.matched == 0 && self.carry.is_empty() && !self.found;
        if is_new && max == 0 {
            let found = self.search(input.rest());
            if let Some(at) = found
                && out.is_empty()
            {
                let n = if self.inclusive {
                    at + self.pattern.len()
                } else {
                    at
                };
                input.lend(n, at + self.pattern.len() - n);
                return Took::InPlace;
            }
            // All before it, or before what may be its beginning, is data.
            let rest = input.rest();
            let n = found.unwrap_or_else(|| rest.len().saturating_sub(self.pattern.len() - 1));
            out.extend_from_slice(rest.get(..n).unwrap_or_default());
            input.advance(n);
        }
        let limit = if max == 0 { usize::MAX } else { max };
        self.go_on(input, limit.saturating_sub(out.len()));

        let n = self.carry.len().min(limit - out.len().min(limit));
        out.extend(self.carry.drain(..n));
        if self.found && self.carry.is_empty() {
            self.found = false;
            // It comes with the last piece, however small pieces have to be.
            if self.inclusive {
                out.extend_from_slice(&self.pattern);
            }
            // Only who asks for pieces has to be told that there are no more.
            self.end = max > 0;
            return Took::Whole;
        }
        if out.len() >= limit {
            return Took::Whole;
        }
        Took::Part
    }

    /// Goes through the input, to the end of the pattern or until there are `limit` bytes to return.
    fn go_on(&mut self, input: &mut Input, limit: usize) {
        let rest = input.rest();
        let first = self.pattern.first().copied().unwrap_or_default();
        let mut used = 0;
        while let Some(byte) = rest.get(used) {
            let room = limit.saturating_sub(self.carry.len());
            if self.found || room == 0 {
                break;
            }
            if self.matched > 0 || *byte == first {
                used += 1;
                self.step(*byte);
                continue;
            }
            // Nothing begins here: all up to where it may is data.
            let end = rest.len().min(used.saturating_add(room));
            let plain = rest.get(used..end).unwrap_or_default();
            let plain = match memchr(first, plain) {
                Some(at) => plain.get(..at).unwrap_or_default(),
                None => plain,
            };
            self.carry.extend_from_slice(plain);
            used += plain.len();
        }
        input.advance(used);
    }

    /// Where the pattern is in `rest`.
    fn search(&mut self, rest: &[u8]) -> Option<usize> {
        if rest.len() < SEARCHED {
            let len = self.pattern.len();
            return rest.windows(len).position(|w| w == self.pattern);
        }
        let pattern = &self.pattern;
        let finder = self
            .finder
            .get_or_insert_with(|| Finder::new(pattern).into_owned());
        finder.find(rest)
    }

    /// Whether the last answer was the last piece.
    fn take_end(&mut self) -> bool {
        std::mem::take(&mut self.end)
    }

    fn step(&mut self, byte: u8) {
        while self.matched > 0 && self.pattern.get(self.matched) != Some(&byte) {
            let shorter = self.shorter.get(self.matched - 1).copied().unwrap_or(0);
            let given_up = self.pattern.get(..self.matched - shorter);
            self.carry.extend_from_slice(given_up.unwrap_or_default());
            self.matched = shorter;
        }
        if self.pattern.get(self.matched) != Some(&byte) {
            self.carry.push(byte);
            return;
        }
        self.matched += 1;
        if self.matched == self.pattern.len() {
            self.matched = 0;
            self.found = true;
        }
    }
}

/// Below so many bytes preparing a search costs more than it saves.
const SEARCHED: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All pieces, of a stream that comes in packets of `cut` bytes.
    fn pieces(matcher: &mut Matcher, stream: &[u8], cut: usize, max: usize) -> Vec<Vec<u8>> {
        let (mut input, mut out, mut all) = (Input::default(), Vec::new(), Vec::new());
        for packet in stream.chunks(cut) {
            input.room(packet.len()).extend_from_slice(packet);
            loop {
                match matcher.feed(&mut input, &mut out, max) {
                    Took::InPlace => all.push(input.lent().to_vec()),
                    Took::Whole => all.push(std::mem::take(&mut out)),
                    Took::Part => break,
                }
                if matcher.take_end() {
                    all.push(b"<end>".to_vec());
                }
            }
        }
        all.push(out);
        all
    }

    #[test]
    fn patterns_that_overlap_themselves() {
        for (pattern, stream, before) in [
            ("ab1ab2", "ab1ab1ab2!", "ab1"),
            ("aaab", "aaaaaab!", "aaa"),
            ("abcabd", "xabcabcabd!", "xabc"),
            ("--abc", "----abc!", "--"),
            ("\r\n\r\n", "h\r\n\r\r\n\r\n!", "h\r\n\r"),
        ] {
            for cut in 1..=stream.len() {
                let mut matcher = Matcher::new(pattern.into(), false);
                let all = pieces(&mut matcher, stream.as_bytes(), cut, 0);
                assert_eq!(all, [before.as_bytes(), b"!"], "{pattern} cut at {cut}");
            }
        }
    }

    #[test]
    fn pieces_are_no_larger_than_asked_for() {
        for cut in 1..=12 {
            let mut matcher = Matcher::new(b"--".to_vec(), false);
            let all = pieces(&mut matcher, b"hello, -w--x--", cut, 4);
            let words: Vec<_> = all.iter().map(|b| String::from_utf8_lossy(b)).collect();
            assert_eq!(
                words.join("|"),
                "hell|o, -|w|<end>|x|<end>|",
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn an_inclusive_pattern_comes_whole_with_the_last_piece() {
        for cut in 1..=14 {
            let mut matcher = Matcher::new(b"--abc".to_vec(), true);
            let all = pieces(&mut matcher, b"world ----abc!", cut, 4);
            let words: Vec<_> = all.iter().map(|b| String::from_utf8_lossy(b)).collect();
            assert_eq!(words.join("|"), "worl|d --|--abc|<end>|!", "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn it_finds_what_a_search_finds(
            stream in proptest::collection::vec(b'a'..=b'c', 0..200),
            pattern in proptest::collection::vec(b'a'..=b'c', 1..6),
            cut in 1usize..20,
            inclusive: bool,
        ) {
            let mut matcher = Matcher::new(pattern.clone(), inclusive);
            let found = pieces(&mut matcher, &stream, cut, 0);
            let mut wanted = Vec::new();
            let mut rest = &stream[..];
            while let Some(at) = rest.windows(pattern.len()).position(|w| w == pattern) {
                let end = if inclusive { at + pattern.len() } else { at };
                wanted.push(rest[..end].to_vec());
                rest = &rest[at + pattern.len()..];
            }
            let (last, complete) = found.split_last().unwrap();
            prop_assert_eq!(complete, wanted);
            prop_assert!(rest.starts_with(last));
        }

        #[test]
        fn it_does_not_matter_how_a_stream_is_cut(
            stream in proptest::collection::vec(b'a'..=b'c', 0..300),
            pattern in proptest::collection::vec(b'a'..=b'b', 1..6),
            cut in 2usize..300,
            max in 0usize..8,
            inclusive: bool,
        ) {
            let all = pieces(&mut Matcher::new(pattern.clone(), inclusive), &stream, cut, max);
            let bytewise = pieces(&mut Matcher::new(pattern, inclusive), &stream, 1, max);
            prop_assert_eq!(all, bytewise);
        }
    }
}
