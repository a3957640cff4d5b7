//! The `get` of the memcached text protocol.

use bytes::{BufMut as _, Bytes, BytesMut};
use ngx_buf::Chain;

use crate::error::ProtocolError;
use crate::protocol::{BodySink, BodyStep, HeadSink, Input, Literal, Protocol, Step};

/// The longest key that memcached takes.
const KEY_MAX: usize = 250;

/// Fetches one value.
///
/// The body of the response is the value; [`Head::Miss`] has none. A miss is a clean exchange: its
/// connection is kept.
///
/// ```
/// use ngx_upstream::proto::memcached::{Head, Memcached};
/// use ngx_upstream::testing::play;
///
/// let seen = play(Memcached::get(b"no such key").unwrap(), &[b"END\r\n"], false);
/// assert_eq!(seen.sent, b"get no%20such%20key\r\n");
/// assert_eq!(seen.heads, [Head::Miss]);
/// ```
#[derive(Clone, Debug)]
pub struct Memcached {
    key: Bytes,
    /// Bytes of the value still to come.
    left: u64,
    tail: Literal,
    found: bool,
}

/// The answer to a `get`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Head {
    /// The value follows as the body.
    Hit {
        /// The number stored with the value (`memcached_gzip_flag`).
        flags: u32,
        /// Bytes of the value.
        length: u64,
    },
    /// There is no such key.
    Miss,
}

impl Memcached {
    /// Asks for the value of `key`. Bytes that would end the key (blanks, controls) are sent as `%XX`,
    /// and so is `%` itself.
    ///
    /// # Errors
    /// When the key is empty, or longer than 250 bytes once escaped.
    pub fn get(key: &[u8]) -> Result<Self, ProtocolError> {
        let key = escape(key);
        if key.is_empty() || key.len() > KEY_MAX {
            return Err(ProtocolError::Request(
                format!(
                    "memcached key of {} bytes, 1 to {KEY_MAX} are possible",
                    key.len()
                )
                .into(),
            ));
        }
        Ok(Self {
            key,
            left: 0,
            tail: Literal::new(b"\r\nEND\r\n"),
            found: false,
        })
    }

    fn value(&mut self, line: &[u8]) -> Result<Head, ProtocolError> {
        let invalid = |what: &str| {
            ProtocolError::invalid(format!(
                "{what} in response \"{}\" for key \"{}\"",
                line.escape_ascii(),
                self.key.escape_ascii()
            ))
        };
        let mut words = line
            .strip_prefix(b"VALUE ")
            .unwrap_or_default()
            .split(|&b| b == b' ');
        if words.next() != Some(&self.key[..]) {
            return Err(invalid("invalid key"));
        }
        let flags = words
            .next()
            .and_then(number)
            .and_then(|flags| u32::try_from(flags).ok());
        let length = words
            .next()
            .and_then(number)
            .ok_or_else(|| invalid("invalid length"))?;
        let flags = flags.ok_or_else(|| invalid("invalid flags"))?;
        self.left = length;
        self.found = true;
        Ok(Head::Hit { flags, length })
    }
}

impl Protocol for Memcached {
    type Head = Head;

    fn create_request(&mut self, out: &mut Chain) -> Result<(), ProtocolError> {
        out.push("get ");
        out.push(self.key.clone());
        out.push("\r\n");
        Ok(())
    }

    fn reinit_request(&mut self) -> Result<(), ProtocolError> {
        self.left = 0;
        self.found = false;
        self.tail.reset();
        Ok(())
    }

    fn process_header(
        &mut self,
        input: &mut Input<'_>,
        _: &mut HeadSink<'_, Head>,
    ) -> Result<Step<Head>, ProtocolError> {
        let Some(line) = input.take_line() else {
            return Ok(Step::Again);
        };
        if line == "END" {
            return Ok(Step::Ready(Head::Miss));
        }
        if line.starts_with(b"VALUE ") {
            return self.value(&line).map(Step::Ready);
        }
        Err(ProtocolError::invalid(format!(
            "invalid response: \"{}\"",
            line.escape_ascii()
        )))
    }

    fn input_filter(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut BodySink<'_>,
    ) -> Result<BodyStep, ProtocolError> {
        if !self.found {
            return Ok(BodyStep::Keep);
        }
        self.left -= sink.push_upto(input, self.left);
        if self.left > 0 {
            return Ok(BodyStep::Again);
        }
        let ended = self.tail.consume(input);
        if !ended.map_err(|_| ProtocolError::invalid("invalid trailer"))? {
            return Ok(BodyStep::Again);
        }
        Ok(BodyStep::Keep)
    }
}

fn number(word: &[u8]) -> Option<u64> {
    if !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn escape(key: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(key.len());
    for &byte in key {
        if byte <= b' ' || byte == b'%' || byte == 0x7f {
            out.put_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.put_u8(byte);
        }
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Exchange, Limits};
    use crate::protocol::Reuse;
    use crate::testing::{End, play, play_on, splits};

    fn get() -> Memcached {
        Memcached::get(b"key").unwrap()
    }

    #[test]
    fn a_hit_split_everywhere() {
        for pieces in splits(b"VALUE key 7 12\r\nhello\r\nworld\r\nEND\r\n") {
            let seen = play(get(), &pieces, false);
            assert_eq!(seen.sent, b"get key\r\n");
            assert_eq!(
                seen.heads,
                [Head::Hit {
                    flags: 7,
                    length: 12
                }]
            );
            assert_eq!(seen.body, b"hello\r\nworld");
            assert_eq!(seen.end, End::Done(Reuse::Keep), "{pieces:?}");
        }
    }

    #[test]
    fn a_miss_and_an_empty_value_keep_the_connection() {
        for pieces in splits(b"END\r\n") {
            let seen = play(get(), &pieces, false);
            assert_eq!(
                (seen.heads, seen.end),
                (vec![Head::Miss], End::Done(Reuse::Keep))
            );
        }
        let seen = play(get(), &[b"VALUE key 0 0\r\n\r\nEND\r\n"], false);
        assert_eq!((seen.body.len(), seen.end), (0, End::Done(Reuse::Keep)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |response: &[u8]| match play(get(), &[response], true).end {
            End::Error(error) => error.to_string(),
            end => format!("{end:?}"),
        };
        assert_eq!(
            error(b"ERROR\r\n"),
            "upstream sent invalid response: \"ERROR\""
        );
        assert_eq!(
            error(b"VALUE kex 0 1\r\n"),
            "upstream sent invalid key in response \"VALUE kex 0 1\" for key \"key\""
        );
        for line in [
            &b"VALUE key\r\n"[..],
            b"VALUE key -1 1\r\n",
            b"VALUE key 0 99999999999999999999\r\n",
        ] {
            assert!(
                error(line).starts_with("upstream sent invalid "),
                "{}",
                error(line)
            );
        }
        assert_eq!(
            error(b"VALUE key 0 1\r\nabEND\r\n"),
            "upstream sent invalid trailer"
        );
        assert_eq!(
            error(b"VALUE key 0 9\r\nabc"),
            "upstream prematurely closed connection"
        );
        assert_eq!(error(b""), "upstream prematurely closed connection");
    }

    #[test]
    fn a_retry_starts_over() {
        let mut exchange = Exchange::new(get(), Limits::default());
        let first = play_on(&mut exchange, &[b"VALUE key 0 9\r\nab"], true);
        assert_eq!(first.end, End::Error(ProtocolError::PrematureClose));
        let second = play_on(&mut exchange, &[b"END\r\n"], false);
        assert_eq!(
            (second.sent, second.end),
            (b"get key\r\n".to_vec(), End::Done(Reuse::Keep))
        );
    }

    #[test]
    fn keys() {
        assert_eq!(Memcached::get(b"a b%\r\n").unwrap().key, "a%20b%25%0D%0A");
        assert!(Memcached::get(b"").is_err());
        assert!(Memcached::get(&[b'x'; 251]).is_err());
        assert!(Memcached::get(&[b'x'; 250]).is_ok());
    }
}
