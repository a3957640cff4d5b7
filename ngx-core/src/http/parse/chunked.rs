//! The chunked transfer coding (RFC 9112 §7.1).

use std::ops::Range;

use thiserror::Error;

use super::chars::hex_value;

/// Why a chunked body cannot be read on. nginx logs `client sent invalid chunked body` or
/// `upstream sent invalid chunked response`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// A chunk does not begin with a hexadecimal number.
    #[error("invalid chunk size")]
    InvalidSize,
    /// A chunk larger than the largest file offset.
    #[error("too large chunk size")]
    TooLargeSize,
    /// Something else than CR LF where only that may stand, a bare LF or a control character in an
    /// extension.
    #[error("invalid chunk framing")]
    InvalidFraming,
    /// The extensions of one chunk, or the trailer, take more bytes than anybody needs.
    #[error("too long chunk extension or trailer")]
    TooLong,
}

/// What one call of [`ChunkedDecoder::decode`] has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Which bytes of the input are data; empty if there is only framing.
    pub data: Range<usize>,
    /// How many bytes of the input are dealt with, the data included: the next call gets what
    /// follows.
    pub consumed: usize,
}

/// Takes the framing off a chunked body, a piece at a time.
///
/// Each call eats framing up to the next data and tells where the data lie, without copying.
/// Strict: lines end with CR LF, never with a bare LF, so that nobody behind or before us can see
/// other chunks than we do. Extensions are skipped; so is the trailer, unless
/// [`keep_trailer`](Self::keep_trailer) was asked for.
///
/// ```
/// use ngx_core::http::parse::ChunkedDecoder;
///
/// let input = b"5\r\nhello\r\n0\r\n\r\nnext";
/// let mut decoder = ChunkedDecoder::new();
/// let first = decoder.decode(input)?;
/// assert_eq!(&input[first.data], b"hello");
/// let rest = &input[first.consumed..];
/// let last = decoder.decode(rest)?;
/// assert!(last.data.is_empty() && decoder.is_done());
/// assert_eq!(&rest[last.consumed..], b"next");
/// # Ok::<(), ngx_core::http::parse::ChunkError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// Bytes of data left in the chunk; while its size is read, the size so far.
    remaining: u64,
    /// Bytes of the extensions of this chunk or of the trailer so far.
    skipped: u32,
    keep_trailer: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    #[default]
    Start,
    /// More digits, or what ends the number.
    Size,
    /// Up to the CR behind an extension.
    Extension,
    /// The LF behind the size and its extensions.
    SizeLf,
    Data,
    /// The CR behind the data.
    DataCr,
    DataLf,
    /// The first byte of a line of the trailer.
    Trailer,
    /// Up to the CR of a line of the trailer.
    TrailerLine,
    TrailerLineLf,
    /// The LF of the empty line behind the trailer.
    EndLf,
    Done,
}

/// The most bytes that the extensions of one chunk, or a skipped trailer, may take.
const SKIPPED_MAX: u32 = 8192;

impl ChunkedDecoder {
    /// A decoder at the beginning of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops behind the last chunk, so that the caller can read the trailer as fields, with
    /// [`ResponseParser::trailers`](super::ResponseParser::trailers).
    #[must_use]
    pub const fn keep_trailer(mut self) -> Self {
        self.keep_trailer = true;
        self
    }

    /// Takes the framing at the front of `input` and says what data follow it. Call again with what
    /// is not consumed and more, until [`is_done`](Self::is_done); with data still in `input`, each
    /// call consumes at least one byte.
    ///
    /// # Errors
    ///
    /// The body is malformed; nothing after that can be trusted.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, ChunkError> {
        let mut at = 0;

        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Data => {
                    let left = input.len() - at;
                    let len = usize::try_from(self.remaining).map_or(left, |size| size.min(left));
                    self.remaining -= len as u64;
                    if self.remaining == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Decoded {
                        data: at..at + len,
                        consumed: at + len,
                    });
                }
                State::Done => break,
                _ => self.state = self.step(byte)?,
            }
            at += 1;
        }

        Ok(Decoded {
            data: at..at,
            consumed: at,
        })
    }

    /// Bytes of data that are left in the chunk being read; 0 between chunks.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        if self.state == State::Data {
            self.remaining
        } else {
            0
        }
    }

    /// Whether the whole body was read: up to and including the trailer, or up to it if it is kept.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// One byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        Ok(match (self.state, byte) {
            (State::Start, _) => {
                self.remaining = hex_value(byte)
                    .map(u64::from)
                    .ok_or(ChunkError::InvalidSize)?;
                self.skipped = 0;
                State::Size
            }
            (State::Size, b'\r') | (State::Extension, b'\r') => State::SizeLf,
            (State::Size, b';' | b' ' | b'\t') => State::Extension,
            (State::Size, _) => self.digit(byte)?,
            (State::Extension, _) => self.skip(byte, State::Extension)?,
            (State::SizeLf, b'\n') if self.remaining > 0 => State::Data,
            (State::SizeLf, b'\n') if self.keep_trailer => State::Done,
            (State::SizeLf, b'\n') => State::Trailer,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Start,
            (State::Trailer, b'\r') => State::EndLf,
            (State::TrailerLine, b'\r') => State::TrailerLineLf,
            (State::Trailer | State::TrailerLine, _) => self.skip(byte, State::TrailerLine)?,
            (State::TrailerLineLf, b'\n') => State::Trailer,
            (State::EndLf, b'\n') => State::Done,
            _ => return Err(ChunkError::InvalidFraming),
        })
    }

    fn digit(&mut self, byte: u8) -> Result<State, ChunkError> {
        let digit = hex_value(byte).ok_or(ChunkError::InvalidSize)?;
        if self.remaining > i64::MAX as u64 / 16 {
            return Err(ChunkError::TooLargeSize);
        }
        self.remaining = self.remaining * 16 + u64::from(digit);
        Ok(State::Size)
    }

    fn skip(&mut self, byte: u8, next: State) -> Result<State, ChunkError> {
        if byte.is_ascii_control() && byte != b'\t' {
            return Err(ChunkError::InvalidFraming);
        }
        self.skipped += 1;
        if self.skipped > SKIPPED_MAX {
            Err(ChunkError::TooLong)
        } else {
            Ok(next)
        }
    }
}

/// Appends the line that begins a chunk of `size` bytes; the chunk's data and CR LF follow it. A
/// size of 0 begins the last chunk.
///
/// ```
/// let mut out = Vec::new();
/// ngx_core::http::parse::write_chunk_size(&mut out, 4096);
/// assert_eq!(out, b"1000\r\n");
/// ```
pub fn write_chunk_size(out: &mut Vec<u8>, size: u64) {
    write_hex(out, size);
    out.extend_from_slice(b"\r\n");
}

/// Appends `value` in hexadecimal digits, without zeros in front.
pub(crate) fn write_hex(out: &mut Vec<u8>, value: u64) {
    let digits = (u64::BITS - value.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (digit * 4) & 0xf) as usize]);
    }
}

/// Decodes in pieces whose length the first byte gives, and whole: both must say the same.
#[doc(hidden)]
pub fn fuzz_chunked(data: &[u8]) {
    let Some((&size, body)) = data.split_first() else {
        return;
    };
    let whole = decode_in_pieces(body, body.len().max(1));
    let split = decode_in_pieces(body, usize::from(size).max(1));
    assert_eq!(whole, split, "a split changes the verdict");
}

/// The data, and how many bytes the body took or what is wrong with it.
fn decode_in_pieces(body: &[u8], size: usize) -> (Vec<u8>, Result<(usize, bool), ChunkError>) {
    let mut decoder = ChunkedDecoder::new();
    let mut data = Vec::new();
    let mut total = 0;

    for piece in body.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() && !decoder.is_done() {
            match decoder.decode(rest) {
                Ok(decoded) => {
                    assert!(decoded.consumed > 0 && decoded.data.end == decoded.consumed);
                    data.extend_from_slice(&rest[decoded.data]);
                    total += decoded.consumed;
                    rest = &rest[decoded.consumed..];
                }
                Err(error) => return (data, Err(error)),
            }
        }
    }

    (data, Ok((total, decoder.is_done())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(body: &[u8]) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let whole = decode_in_pieces(body, body.len().max(1));
        for size in 1..body.len() {
            assert_eq!(decode_in_pieces(body, size), whole, "in pieces of {size}");
        }
        let (data, end) = whole;
        end.map(|(total, done)| (data, total, done))
    }

    #[test]
    fn good_bodies() {
        let table: &[(&[u8], &[u8], usize, bool)] = &[
            (b"0\r\n\r\n", b"", 5, true),
            (b"0\r\n\r\nGET ", b"", 5, true),
            (b"000\r\n\r\n", b"", 7, true),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello", 15, true),
            (
                b"A\r\n0123456789\r\n1;a=b;c\r\nx\r\n0;last\r\n\r\n",
                b"0123456789x",
                37,
                true,
            ),
            (
                b"5 \t\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n",
                b"hello",
                29,
                true,
            ),
            (b"5\r\nhel", b"hel", 6, false),
            (b"ffffff", b"", 6, false),
        ];
        for &(body, data, total, done) in table {
            assert_eq!(
                decode(body),
                Ok((data.to_vec(), total, done)),
                "{}",
                body.escape_ascii()
            );
        }
    }

    #[test]
    fn bad_bodies() {
        let table: &[(&[u8], ChunkError)] = &[
            (b"\r\n", ChunkError::InvalidSize),
            (b"x\r\n", ChunkError::InvalidSize),
            (b"-1\r\n", ChunkError::InvalidSize),
            (b" 1\r\n", ChunkError::InvalidSize),
            (b"0x1\r\n", ChunkError::InvalidSize),
            (b"1\n", ChunkError::InvalidSize),
            (b"1;a\nb\r\n", ChunkError::InvalidFraming),
            (b"1;a\0b\r\n", ChunkError::InvalidFraming),
            (b"1\r\r\n", ChunkError::InvalidFraming),
            (b"1\r\nab", ChunkError::InvalidFraming),
            (b"1\r\na\n", ChunkError::InvalidFraming),
            (b"1\r\na\rb", ChunkError::InvalidFraming),
            (b"0\r\n\n", ChunkError::InvalidFraming),
            (b"0\r\nA: b\n\r\n", ChunkError::InvalidFraming),
            (b"0\r\n\r\r", ChunkError::InvalidFraming),
            (b"8000000000000000\r\n", ChunkError::TooLargeSize),
            (b"10000000000000000\r\n", ChunkError::TooLargeSize),
        ];
        for &(body, error) in table {
            assert_eq!(decode(body), Err(error), "{}", body.escape_ascii());
        }
        assert!(
            ChunkedDecoder::new()
                .decode(b"7fffffffffffffff\r\n")
                .is_ok()
        );
    }

    #[test]
    fn endless_extensions_and_trailers_end() {
        for start in ["1;", "0\r\nA"] {
            let body = [start.as_bytes(), &vec![b'a'; 10_000]].concat();
            assert_eq!(
                ChunkedDecoder::new().decode(&body),
                Err(ChunkError::TooLong)
            );
        }
    }

    #[test]
    fn a_kept_trailer_is_left_to_the_caller() {
        let mut decoder = ChunkedDecoder::new().keep_trailer();
        let decoded = decoder.decode(b"0\r\nA: b\r\n\r\n");
        assert_eq!(
            decoded,
            Ok(Decoded {
                data: 3..3,
                consumed: 3
            })
        );
        assert!(decoder.is_done());
    }

    #[test]
    fn what_is_left_of_a_chunk_is_told() {
        let mut decoder = ChunkedDecoder::new();
        assert_eq!(
            decoder.decode(b"10\r\nabc").map(|decoded| decoded.data),
            Ok(4..7)
        );
        assert_eq!(decoder.remaining(), 13);
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..8),
            size in 1usize..400,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                write_chunk_size(&mut body, chunk.len() as u64);
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let (data, end) = decode_in_pieces(&body, size);
            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(end, Ok((body.len(), true)));
        }

        #[test]
        fn any_size_is_written_and_read(size in 1u64..i64::MAX as u64) {
            let mut line = Vec::new();
            write_chunk_size(&mut line, size);
            let mut decoder = ChunkedDecoder::new();
            prop_assert!(decoder.decode(&line).is_ok());
            prop_assert_eq!(decoder.remaining(), size);
        }

        #[test]
        fn never_panics(data in prop::collection::vec(prop::sample::select(b"01fF;\r\n\t aX".to_vec()), 0..80)) {
            fuzz_chunked(&data);
        }
    }
}
