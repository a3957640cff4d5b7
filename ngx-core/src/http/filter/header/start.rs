//! What most responses of one second begin with, kept as it goes out. Often enough the next one of
//! the same type has the same length too.

use std::cell::RefCell;
use std::io::Write as _;

use super::{decimal, server_line};
use crate::http::parse::are_equal;
use crate::time;

/// Status line, `Server`, `Date` and `Content-Type` of a response that has nothing of its own in
/// them.
struct Start {
    /// When its second began, in milliseconds since 1970.
    since: u64,
    tokens: bool,
    len: usize,
    /// Where the media type begins, and how long it is.
    media: (usize, usize),
    /// How long it is with the framing and what becomes of the connection behind it, without the
    /// empty line that follows; 0 if that is not there.
    whole: usize,
    framing: Framing,
    bytes: [u8; START_MAX],
}

const START_MAX: usize = 304;
/// The longest media type that a start is kept of; all else that is in one has a known length.
const MEDIA_MAX: usize = 96;
/// How many starts are kept: a page and what belongs to it have a few types.
const STARTS: usize = 8;

thread_local! {
    static KEPT: RefCell<[Start; STARTS]> = const {
        RefCell::new([const { Start::NONE }; STARTS])
    };
}

/// How a response says where it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// What may follow at once.
#[derive(Clone, Copy)]
pub(super) struct Rest {
    /// This, and that the connection stays open.
    pub(super) framing: Framing,
    /// Then the header ends.
    pub(super) ends: bool,
}

/// Appends the start of responses of this second with this media type, or none, and the `rest`.
/// `false` if that is not kept.
#[inline(never)]
pub(super) fn append(
    tokens: bool,
    media: Option<&[u8]>,
    rest: Option<Rest>,
    out: &mut Vec<u8>,
) -> bool {
    let media = match media {
        None => &[],
        Some(media @ [_, ..]) if media.len() <= MEDIA_MAX => media,
        Some(_) => return false,
    };
    let now = time::unix_ms();
    let place = media.len() ^ usize::from(media.last().copied().unwrap_or(0));
    KEPT.with_borrow_mut(|kept| {
        let start = &mut kept[place % STARTS];
        let known = now.wrapping_sub(start.since) < 1000
            && start.tokens == tokens
            && are_equal(start.media(), media);
        if !known {
            start.render(now, tokens, media);
        }
        let len = match rest {
            None => start.len,
            Some(Rest { framing, ends }) => {
                if start.framing != framing || start.whole == 0 {
                    start.frame(framing);
                }
                // The empty line lies behind it.
                start.whole + 2 * usize::from(ends)
            }
        };
        out.extend_from_slice(start.bytes.get(..len).unwrap_or_default());
    });
    true
}

impl Start {
    const NONE: Self = Self {
        since: 0,
        tokens: false,
        len: 0,
        media: (0, 0),
        whole: 0,
        framing: Framing::Chunked,
        bytes: [0; START_MAX],
    };

    fn media(&self) -> &[u8] {
        let (at, len) = self.media;
        self.bytes.get(at..at + len).unwrap_or_default()
    }

    #[cold]
    fn render(&mut self, now: u64, tokens: bool, media: &[u8]) {
        let second = now / 1000;
        (self.since, self.tokens) = (second * 1000, tokens);
        self.whole = 0;
        let date = time::http_date_of(i64::try_from(second).unwrap_or(i64::MAX));
        let mut rest = self.bytes.as_mut_slice();
        // It all fits: a test looks.
        let mut put = |part: &[u8]| {
            let _ = rest.write_all(part);
            START_MAX - rest.len()
        };
        put(b"HTTP/1.1 200 OK\r\n");
        put(server_line(tokens));
        put(b"Date: ");
        put(date.as_bytes());
        self.len = put(b"\r\n");
        self.media = (self.len, 0);
        if !media.is_empty() {
            self.media = (put(b"Content-Type: "), media.len());
            put(media);
            self.len = put(b"\r\n");
        }
    }

    /// Puts the framing behind the start, that the connection stays open, and the empty line.
    #[inline(never)]
    fn frame(&mut self, framing: Framing) {
        let mut rest = self.bytes.get_mut(self.len..).unwrap_or_default();
        let mut put = |part: &[u8]| {
            let _ = rest.write_all(part);
            START_MAX - rest.len()
        };
        self.whole = match framing {
            Framing::Length(length) => {
                put(b"Content-Length: ");
                put(decimal(length, &mut [0; 20]));
                put(b"\r\nConnection: keep-alive\r\n")
            }
            Framing::Chunked => put(b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n"),
        };
        put(b"\r\n");
        self.framing = framing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_that_of_its_second() {
        let mut start = Start::NONE;
        start.render(784_111_777_999, true, b"text/plain");
        assert_eq!(start.since, 784_111_777_000);
        assert_eq!(start.media(), b"text/plain");
        let end = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n";
        assert!(start.bytes[..start.len].ends_with(end.as_bytes()));
    }

    #[test]
    fn a_framing_is_that_of_its_response() {
        let _still = time::hold();
        let end = |rest| {
            let mut out = Vec::new();
            assert!(append(true, Some(b"text/plain"), rest, &mut out));
            let text = String::from_utf8(out).unwrap();
            text.split_once("text/plain\r\n").unwrap().1.to_owned()
        };
        let rest = |framing, ends| Some(Rest { framing, ends });
        for length in [13, 13, 4, 123_456] {
            let sent = format!("Content-Length: {length}\r\nConnection: keep-alive\r\n");
            assert_eq!(end(rest(Framing::Length(length), false)), sent);
            assert_eq!(end(rest(Framing::Length(length), true)), sent + "\r\n");
            assert_eq!(end(None), "");
        }
        let chunked = "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n";
        assert_eq!(end(rest(Framing::Chunked, false)), chunked);
        assert_eq!(
            end(rest(Framing::Length(0), true)),
            "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n"
        );
    }

    #[test]
    fn the_longest_start_fits() {
        let mut start = Start::NONE;
        start.render(0, true, &[b'm'; MEDIA_MAX]);
        for framing in [Framing::Length(u64::MAX), Framing::Chunked] {
            start.frame(framing);
            assert!(start.len < start.whole && start.whole + 2 < START_MAX);
        }
        let longer = [b'm'; MEDIA_MAX + 1];
        assert!(!append(true, Some(&longer), None, &mut Vec::new()));
    }
}
