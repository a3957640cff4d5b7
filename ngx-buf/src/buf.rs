//! The buf: one piece of the output.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::file::FileBuf;
use crate::{Flags, Tag};

/// One piece of the output: memory, or a range of a file, or nothing but marks.
///
/// ```text
///   memory    start      pos            last         end
///               |---sent--|----unsent----|---spare----|      refcounted, shared with whoever
///                         '---- len() ---'                   wants it back
///
///   file        0     file_pos      file_last      size
///               |---------|----unsent----|------------|      an open file, shared
///                         '---- len() ---'
///
///   special     no bytes at all: FLUSH, SYNC, LAST_BUF, LAST_IN_CHAIN
/// ```
///
/// A buf is one of the three; bytes that wait in a kernel pipe may become a fourth, so do not
/// conclude from two answers of [`is_memory`](Self::is_memory), [`is_file`](Self::is_file) and
/// [`is_special`](Self::is_special) what the third would be. (In nginx a buf may be memory and a file range with the same
/// data at once, so that a filter looks at the memory while sendfile sends the file. Here a filter
/// that wants to look says `need_in_memory` in the [`OutputContext`](crate::OutputContext) and gets
/// a copy, which is then what is sent; a filter that can do without gets the file itself.)
///
/// Memory is refcounted: cloning a buf, or splitting it, copies no byte. The window moves forward
/// with [`advance`](Self::advance) as bytes are sent.
///
/// ```
/// use ngx_buf::{Buf, Flags};
///
/// let mut buf = Buf::from("hello, world").with_flags(Flags::LAST_BUF);
/// let hello = buf.split_to(5);
/// assert_eq!(hello.as_slice(), Some(&b"hello"[..]));
/// assert!(hello.flags().is_empty()); // the end is behind the last byte
/// buf.advance(2);
/// assert_eq!(buf.as_slice(), Some(&b"world"[..]));
/// assert!(buf.flags().contains(Flags::LAST_BUF));
/// ```
#[derive(Clone, Default)]
pub struct Buf {
    kind: Kind,
    tag: Tag,
    flags: Flags,
}

#[derive(Clone, Default)]
enum Kind {
    Memory(Bytes),
    /// `pos <= last`
    #[cfg_attr(
        not(feature = "file"),
        expect(
            dead_code,
            reason = "without the feature no file exists to make one of"
        )
    )]
    File {
        file: Arc<FileBuf>,
        pos: u64,
        last: u64,
    },
    #[default]
    Special,
}

impl Buf {
    /// Memory that lives as long as the program.
    #[must_use]
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Self {
            kind: Kind::Memory(Bytes::from_static(bytes)),
            tag: Tag::NONE,
            flags: Flags::empty(),
        }
    }

    /// No bytes, only marks.
    #[must_use]
    pub const fn special(flags: Flags) -> Self {
        Self {
            kind: Kind::Special,
            tag: Tag::NONE,
            flags,
        }
    }

    /// The end of the output: a special with [`Flags::LAST_BUF`].
    #[must_use]
    pub const fn last() -> Self {
        Self::special(Flags::LAST_BUF)
    }

    /// How many bytes are unsent.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.kind {
            Kind::Memory(bytes) => bytes.len() as u64,
            Kind::File { pos, last, .. } => last - pos,
            Kind::Special => 0,
        }
    }

    /// Whether no byte is unsent, as it is with every special.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is neither memory nor file, and says something by its marks.
    #[must_use]
    pub fn is_special(&self) -> bool {
        matches!(self.kind, Kind::Special) && self.flags.intersects(Flags::CONTROL)
    }

    /// Whether this is memory.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        matches!(self.kind, Kind::Memory(_))
    }

    /// Whether this is a range of a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File { .. })
    }

    /// The unsent bytes, if this is memory.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[u8]> {
        self.as_bytes().map(|bytes| &bytes[..])
    }

    /// The unsent bytes, refcounted, if this is memory.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match &self.kind {
            Kind::Memory(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The unsent bytes, if this is memory; the marks and the tag are dropped.
    #[must_use]
    pub fn into_bytes(self) -> Option<Bytes> {
        match self.kind {
            Kind::Memory(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The unsent range, if this is a file.
    #[must_use]
    pub fn file_range(&self) -> Option<Range<u64>> {
        self.file_parts().map(|(_, range)| range)
    }

    /// Moves the window forward over `n` bytes, or to its end if there are fewer.
    pub fn advance(&mut self, n: u64) {
        match &mut self.kind {
            Kind::Memory(bytes) => bytes.advance(clamp(n, bytes.len())),
            Kind::File { pos, last, .. } => *pos = pos.saturating_add(n).min(*last),
            Kind::Special => {}
        }
    }

    /// Keeps only the first `n` unsent bytes. The marks stay.
    pub fn truncate(&mut self, n: u64) {
        match &mut self.kind {
            Kind::Memory(bytes) => bytes.truncate(clamp(n, bytes.len())),
            Kind::File { pos, last, .. } => *last = pos.saturating_add(n).min(*last),
            Kind::Special => {}
        }
    }

    /// Takes the first `n` bytes off as a buf of their own, sharing the storage.
    ///
    /// The [`CONTROL`](Flags::CONTROL) marks belong behind the last byte: they stay with the rest.
    /// With `n` not less than the length everything is taken, marks included, and an empty buf
    /// without marks remains.
    #[must_use = "the bytes are taken off"]
    pub fn split_to(&mut self, n: u64) -> Self {
        if n >= self.len() {
            return std::mem::take(self);
        }
        let kind = match &mut self.kind {
            Kind::Memory(bytes) => Kind::Memory(bytes.split_to(clamp(n, bytes.len()))),
            Kind::File { file, pos, .. } => {
                let from = *pos;
                *pos += n;
                Kind::File {
                    file: Arc::clone(file),
                    pos: from,
                    last: *pos,
                }
            }
            Kind::Special => Kind::Special,
        };
        Self {
            kind,
            tag: self.tag,
            flags: self.flags - Flags::CONTROL,
        }
    }

    /// The marks.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Replaces the marks.
    pub fn set_flags(&mut self, flags: Flags) {
        self.flags = flags;
    }

    /// Sets `flags` beside what is set.
    pub fn insert_flags(&mut self, flags: Flags) {
        self.flags.insert(flags);
    }

    /// Clears `flags`.
    pub fn remove_flags(&mut self, flags: Flags) {
        self.flags.remove(flags);
    }

    /// The same buf with `flags` set beside what is set.
    #[must_use]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        self.flags.insert(flags);
        self
    }

    /// Who made the buf.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// The same buf in the name of `tag`.
    #[must_use]
    pub fn with_tag(mut self, tag: Tag) -> Self {
        self.tag = tag;
        self
    }

    /// Whether this is memory that nobody else holds, so that it may be changed in place.
    /// Static memory never is.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.as_bytes().is_some_and(Bytes::is_unique)
    }

    pub(crate) fn file_parts(&self) -> Option<(&Arc<FileBuf>, Range<u64>)> {
        match &self.kind {
            Kind::File { file, pos, last } => Some((file, *pos..*last)),
            _ => None,
        }
    }

    /// Appends `next` to this range if it goes on in the same file where this one ends, and
    /// nothing about the storage or the stream lies between. Gives `next` back otherwise.
    pub(crate) fn join_file(&mut self, next: Self) -> Result<(), Self> {
        if self.flags.intersects(Flags::CONTROL)
            || self.tag != next.tag
            || self.flags != next.flags - Flags::CONTROL
        {
            return Err(next);
        }
        match (&mut self.kind, &next.kind) {
            (
                Kind::File { file, last, .. },
                Kind::File {
                    file: other,
                    pos,
                    last: end,
                },
            ) if Arc::ptr_eq(file, other) && last == pos => {
                *last = *end;
            }
            _ => return Err(next),
        }
        self.flags = next.flags;
        Ok(())
    }

    #[cfg(feature = "file")]
    pub(crate) fn from_file_range(file: Arc<FileBuf>, pos: u64, last: u64) -> Self {
        Self {
            kind: Kind::File {
                file,
                pos,
                last: last.max(pos),
            },
            tag: Tag::NONE,
            flags: Flags::empty(),
        }
    }
}

// === conversions ===

impl From<Bytes> for Buf {
    fn from(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Memory(bytes),
            tag: Tag::NONE,
            flags: Flags::empty(),
        }
    }
}

impl From<BytesMut> for Buf {
    fn from(bytes: BytesMut) -> Self {
        bytes.freeze().into()
    }
}

impl From<&'static [u8]> for Buf {
    fn from(bytes: &'static [u8]) -> Self {
        Self::from_static(bytes)
    }
}

impl<const N: usize> From<&'static [u8; N]> for Buf {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::from_static(bytes)
    }
}

impl From<&'static str> for Buf {
    fn from(text: &'static str) -> Self {
        Self::from_static(text.as_bytes())
    }
}

impl From<Vec<u8>> for Buf {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Buf {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Memory(bytes) => {
                let shown = bytes.get(..DEBUG_BYTES).unwrap_or(bytes);
                write!(f, "memory({}, \"{}\"", bytes.len(), shown.escape_ascii())?;
                f.write_str(if shown.len() < bytes.len() {
                    "..)"
                } else {
                    ")"
                })?;
            }
            Kind::File { file, pos, last } => write!(f, "file({file:?}, {pos}..{last})")?,
            Kind::Special => f.write_str("special")?,
        }
        if !self.flags.is_empty() {
            write!(f, " {:?}", self.flags)?;
        }
        if !self.tag.is_none() {
            write!(f, " of {}", self.tag.name())?;
        }
        Ok(())
    }
}

/// How much memory `Debug` shows.
const DEBUG_BYTES: usize = 32;

fn clamp(n: u64, len: usize) -> usize {
    usize::try_from(n).map_or(len, |n| n.min(len))
}

#[cfg(test)]
mod tests;
