//! The head of a response.

#[cfg(feature = "http")]
use std::cell::RefCell;

use bytes::Bytes;
use ngx_core::http::parse::{FieldRange, Known, ResponseFraming, ResponseHead, Span, Version};

/// Status line and fields of a response, in the memory they were read into.
#[derive(Clone, Debug)]
pub struct Head(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    bytes: Bytes,
    parsed: ResponseHead,
    fields: Vec<FieldRange>,
    framing: ResponseFraming,
}

#[cfg(feature = "http")]
thread_local! {
    /// The memory of heads that are gone, for others. Their lists of fields are empty.
    static SPARE: RefCell<Vec<Head>> = const { RefCell::new(Vec::new()) };
}
#[cfg(feature = "http")]
const SPARE_MAX: usize = 64;
/// As long as a list is kept.
#[cfg(feature = "http")]
const FIELDS_MAX: usize = 64;
/// As long as a list is at first.
pub(super) const FIELDS: usize = 16;

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
    /// A head with these `fields`, in place of which an empty list is left.
    #[inline]
    pub(super) fn new(
        bytes: Bytes,
        parsed: ResponseHead,
        fields: &mut Vec<FieldRange>,
        framing: ResponseFraming,
    ) -> Self {
        #[cfg(feature = "http")]
        if let Some(mut head) = SPARE.with_borrow_mut(Vec::pop) {
            let inner = &mut *head.0;
            std::mem::swap(&mut inner.fields, fields);
            inner.bytes = bytes;
            inner.parsed = parsed;
            inner.framing = framing;
            return head;
        }
        Self(Box::new(Inner {
            bytes,
            parsed,
            fields: std::mem::replace(fields, Vec::with_capacity(FIELDS)),
            framing,
        }))
    }

    /// Keeps the memory of a head that nobody needs any more, for others.
    #[cfg(feature = "http")]
    pub(crate) fn recycle(mut self) {
        self.0.bytes = Bytes::new();
        self.0.fields.clear();
        // The thread may be ending.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX && self.0.fields.capacity() <= FIELDS_MAX {
                spare.push(self);
            }
        });
    }

    /// The status: 100 to 999.
    pub fn code(&self) -> u16 {
        self.0.parsed.status.code
    }

    /// Status and reason as sent: `404 Not Found`.
    pub fn status(&self) -> Bytes {
        self.slice(self.0.parsed.status.text)
    }

    /// Status and reason where they are.
    pub fn status_text(&self) -> &[u8] {
        self.0.parsed.status.text.of(&self.0.bytes)
    }

    /// The version of the protocol.
    pub fn version(&self) -> Version {
        self.0.parsed.status.version
    }

    /// How the body is delimited.
    pub fn framing(&self) -> ResponseFraming {
        self.0.framing
    }

    /// The fields, in the order they were sent.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields_of(|_| true)
    }

    /// The fields whose names are wanted, which is cheaper to ask before they are looked at.
    pub(crate) fn fields_of(
        &self,
        wanted: impl Fn(Known) -> bool,
    ) -> impl Iterator<Item = Field<'_>> {
        let ranges = self.0.fields.iter();
        ranges
            .filter(move |range| wanted(range.known))
            .map(|&range| Field {
                name: range.name.of(&self.0.bytes),
                value: range.value.of(&self.0.bytes),
                known: range.known,
                range,
            })
    }

    /// Whether there is a field of one of these names.
    #[cfg(feature = "http")]
    pub(crate) fn has_any(&self, names: ngx_core::http::parse::KnownSet) -> bool {
        self.0.parsed.seen.meets(names)
    }

    /// The first field of this name.
    pub fn field(&self, known: Known) -> Option<Field<'_>> {
        if known != Known::Other && !self.0.parsed.seen.contains(known) {
            return None;
        }
        self.fields_of(|own| own == known).next()
    }

    /// The name of a field of this head, sharing its memory.
    pub fn name_of(&self, field: &Field<'_>) -> Bytes {
        // Most names are written as they usually are: those need no count of who uses them.
        let usual = field.known.name();
        if field.name == usual.as_bytes() {
            return Bytes::from_static(usual.as_bytes());
        }
        self.slice(field.range.name)
    }

    /// The value of a field of this head, sharing its memory.
    pub fn value_of(&self, field: &Field<'_>) -> Bytes {
        self.slice(field.range.value)
    }

    /// Bytes of the head, line ends included.
    pub fn len(&self) -> usize {
        self.0.bytes.len()
    }

    /// Never: a head has a status line.
    pub fn is_empty(&self) -> bool {
        self.0.bytes.is_empty()
    }

    /// Whether the connection may serve another request (RFC 9112 §9.3): from HTTP/1.1 on unless the
    /// response says `Connection: close`, and never behind a body that ends with the connection.
    pub fn keeps_alive(&self) -> bool {
        self.version() >= Version::HTTP_11
            && self.framing() != ResponseFraming::Close
            && !(self.0.parsed.seen.contains(Known::Connection) && self.says_close())
    }

    fn says_close(&self) -> bool {
        let is_close = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"close");
        self.fields_of(|known| known == Known::Connection)
            .any(|field| {
                // As most say it.
                field.value != b"keep-alive" && field.value.split(|&b| b == b',').any(is_close)
            })
    }

    fn slice(&self, span: Span) -> Bytes {
        let range = span.range();
        if range.end <= self.0.bytes.len() {
            self.0.bytes.slice(range)
        } else {
            Bytes::new()
        }
    }
}
