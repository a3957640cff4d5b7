//! The head of a response.

use bytes::Bytes;
use ngx_core::http::parse::{FieldRange, Known, ResponseFraming, ResponseHead, Span, Version};

/// Status line and fields of a response, in the memory they were read into.
#[derive(Clone, Debug)]
pub struct Head {
    bytes: Bytes,
    parsed: ResponseHead,
    fields: Vec<FieldRange>,
    framing: ResponseFraming,
}

/// A field of a [`Head`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field<'a> {
    /// The name as it was sent.
    pub name: &'a [u8],
    /// The value without the blanks around it.
    pub value: &'a [u8],
    /// Which known field it is.
    pub known: Known,
    range: FieldRange,
}

impl Head {
    pub(super) fn new(
        bytes: Bytes,
        parsed: ResponseHead,
        fields: Vec<FieldRange>,
        framing: ResponseFraming,
    ) -> Self {
        Self {
            bytes,
            parsed,
            fields,
            framing,
        }
    }

    /// The status: 100 to 999.
    pub fn code(&self) -> u16 {
        self.parsed.status.code
    }

    /// Status and reason as sent: `404 Not Found`.
    pub fn status(&self) -> Bytes {
        self.slice(self.parsed.status.text)
    }

    /// The version of the protocol.
    pub fn version(&self) -> Version {
        self.parsed.status.version
    }

    /// How the body is delimited.
    pub fn framing(&self) -> ResponseFraming {
        self.framing
    }

    /// The fields, in the order they were sent.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().map(|&range| Field {
            name: range.name.of(&self.bytes),
            value: range.value.of(&self.bytes),
            known: range.known,
            range,
        })
    }

    /// The first field of this name.
    pub fn field(&self, known: Known) -> Option<Field<'_>> {
        if known != Known::Other && !self.parsed.seen.contains(known) {
            return None;
        }
        self.fields().find(|field| field.known == known)
    }

    /// The name of a field of this head, sharing its memory.
    pub fn name_of(&self, field: &Field<'_>) -> Bytes {
        self.slice(field.range.name)
    }

    /// The value of a field of this head, sharing its memory.
    pub fn value_of(&self, field: &Field<'_>) -> Bytes {
        self.slice(field.range.value)
    }

    /// Bytes of the head, line ends included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a head has a status line.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the connection may serve another request (RFC 9112 §9.3): from HTTP/1.1 on unless the
    /// response says `Connection: close`, and never behind a body that ends with the connection.
    pub fn keeps_alive(&self) -> bool {
        let closes = self
            .fields()
            .filter(|field| field.known == Known::Connection)
            .flat_map(|field| field.value.split(|&b| b == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"));
        self.version() >= Version::HTTP_11 && !closes && self.framing != ResponseFraming::Close
    }

    fn slice(&self, span: Span) -> Bytes {
        let range = span.range();
        if range.end <= self.bytes.len() {
            self.bytes.slice(range)
        } else {
            Bytes::new()
        }
    }
}
