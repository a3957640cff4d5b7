//! The bytes that came from the peer.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::error::ProtocolError;

/// What the peer has sent and nobody has taken yet.
///
/// Taking is free of copies: the pieces share the memory that the driver read into.
#[derive(Debug)]
pub struct Input<'a> {
    bytes: &'a mut BytesMut,
    eof: bool,
}

impl<'a> Input<'a> {
    /// Makes an input of these bytes; `eof` says that nothing will follow them.
    pub fn new(bytes: &'a mut BytesMut, eof: bool) -> Self {
        Self { bytes, eof }
    }

    /// The bytes, untaken.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to take now.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the peer has closed its side: nothing will follow what is here.
    pub fn eof(&self) -> bool {
        self.eof
    }

    /// Takes at most `n` bytes.
    pub fn take(&mut self, n: usize) -> Bytes {
        let n = n.min(self.bytes.len());
        self.bytes.split_to(n).freeze()
    }

    /// Takes at most `n` bytes; for lengths that may be larger than the memory.
    pub fn take_upto(&mut self, n: u64) -> Bytes {
        self.take(usize::try_from(n).unwrap_or(usize::MAX))
    }

    /// Takes exactly `n` bytes, or nothing if there are fewer.
    pub fn take_exact(&mut self, n: usize) -> Option<Bytes> {
        (self.bytes.len() >= n).then(|| self.take(n))
    }

    /// Takes one byte.
    pub fn take_byte(&mut self) -> Option<u8> {
        let byte = self.bytes.first().copied()?;
        self.bytes.advance(1);
        Some(byte)
    }

    /// Takes everything.
    pub fn take_all(&mut self) -> Bytes {
        // The memory goes along: it need not be counted as shared.
        std::mem::take(self.bytes).freeze()
    }

    /// Takes a line that ends in LF, without its LF or CR LF. Nothing is taken while the LF is
    /// missing.
    pub fn take_line(&mut self) -> Option<Bytes> {
        let at = self.bytes.iter().position(|&b| b == b'\n')?;
        let mut line = self.bytes.split_to(at);
        self.bytes.advance(1);
        if line.last() == Some(&b'\r') {
            line.truncate(at - 1);
        }
        Some(line.freeze())
    }

    /// Drops at most `n` bytes.
    pub fn skip(&mut self, n: usize) {
        self.bytes.advance(n.min(self.bytes.len()));
    }

    /// The whole input as the buffer it lives in, for parsers that work on one.
    pub fn as_mut_bytes(&mut self) -> &mut BytesMut {
        self.bytes
    }
}

/// Text that has to come next, matched as its bytes arrive.
///
/// ```
/// use bytes::BytesMut;
/// use ngx_upstream::{Input, Literal};
///
/// let mut end = Literal::new(b"END\r\n");
/// let mut bytes = BytesMut::from("EN");
/// assert!(!end.consume(&mut Input::new(&mut bytes, false)).unwrap());
/// bytes.extend_from_slice(b"D\r\nrest");
/// assert!(end.consume(&mut Input::new(&mut bytes, false)).unwrap());
/// assert_eq!(bytes, "rest");
/// ```
#[derive(Clone, Debug)]
pub struct Literal {
    text: &'static [u8],
    /// Invariant: `matched <= text.len()`.
    matched: usize,
}

impl Literal {
    /// A text nothing of which has come yet.
    pub fn new(text: &'static [u8]) -> Self {
        Self { text, matched: 0 }
    }

    /// Starts over, for a retry.
    pub fn reset(&mut self) {
        self.matched = 0;
    }

    /// Takes what matches; true when the whole text has come.
    ///
    /// # Errors
    /// [`ProtocolError::Invalid`] at the first byte that differs.
    pub fn consume(&mut self, input: &mut Input<'_>) -> Result<bool, ProtocolError> {
        let rest = self.text.get(self.matched..).unwrap_or_default();
        let n = rest.len().min(input.len());
        if input.as_slice().get(..n) != rest.get(..n) {
            return Err(ProtocolError::invalid(format!(
                "invalid data where \"{}\" was expected",
                self.text.escape_ascii()
            )));
        }
        input.skip(n);
        self.matched += n;
        Ok(self.matched == self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mut bytes = BytesMut::from("one\r\ntwo\n\nthree");
        let mut input = Input::new(&mut bytes, true);
        assert_eq!(input.take_line().unwrap(), "one");
        assert_eq!(input.take_line().unwrap(), "two");
        assert_eq!(input.take_line().unwrap(), "");
        assert_eq!(input.take_line(), None);
        assert_eq!(input.take_exact(6), None);
        assert_eq!(input.take_exact(2).unwrap(), "th");
        assert_eq!(input.take_byte(), Some(b'r'));
        assert_eq!(input.take(99), "ee");
        assert!(input.is_empty() && input.eof());
    }

    #[test]
    fn a_literal_that_differs_is_an_error() {
        let mut bytes = BytesMut::from("ENX");
        let error = Literal::new(b"END\r\n").consume(&mut Input::new(&mut bytes, false));
        assert_eq!(
            error.unwrap_err().to_string(),
            "upstream sent invalid data where \"END\\r\\n\" was expected"
        );
    }
}
