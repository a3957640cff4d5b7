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
#[derive(Clone)]
pub struct Buf(Kind);

/// Marks and tag lie in every variant, and so in the room beside the kind: a buf is six words, and
/// a chain of one buf no more. They are in the same place in all of them.
#[derive(Clone)]
enum Kind {
    /// `spare <= bytes.len()`
    Memory {
        flags: Flags,
        /// How many of `bytes` lie behind the window.
        spare: u32,
        tag: Tag,
        bytes: Bytes,
    },
    /// Memory that needs no counter. `spare <= bytes.len()`
    Static {
        flags: Flags,
        spare: u32,
        tag: Tag,
        bytes: &'static [u8],
    },
    /// `pos <= last`
    #[cfg_attr(
        not(feature = "file"),
        expect(
            dead_code,
            reason = "without the feature no file exists to make one of"
        )
    )]
    File {
        flags: Flags,
        tag: Tag,
        file: Arc<FileBuf>,
        pos: u64,
        last: u64,
    },
    Special {
        flags: Flags,
        tag: Tag,
    },
}

impl Buf {
    /// Memory that lives as long as the program.
    #[must_use]
    #[inline]
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        Self(Kind::Static {
            flags: Flags::empty(),
            spare: 0,
            tag: Tag::NONE,
            bytes,
        })
    }

    /// No bytes, only marks.
    #[must_use]
    #[inline]
    pub const fn special(flags: Flags) -> Self {
        Self(Kind::Special {
            flags,
            tag: Tag::NONE,
        })
    }

    /// The end of the output: a special with [`Flags::LAST_BUF`].
    #[must_use]
    pub const fn last() -> Self {
        Self::special(Flags::LAST_BUF)
    }

    /// How many bytes are unsent.
    #[must_use]
    #[inline]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kind::Memory { bytes, spare, .. } => (bytes.len() - *spare as usize) as u64,
            Kind::Static { bytes, spare, .. } => (bytes.len() - *spare as usize) as u64,
            Kind::File { pos, last, .. } => last - pos,
            Kind::Special { .. } => 0,
        }
    }

    /// Whether no byte is unsent, as it is with every special.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is neither memory nor file, and says something by its marks.
    #[must_use]
    #[inline]
    pub fn is_special(&self) -> bool {
        matches!(self.0, Kind::Special { flags, .. } if flags.intersects(Flags::CONTROL))
    }

    /// Whether this is memory.
    #[must_use]
    #[inline]
    pub fn is_memory(&self) -> bool {
        matches!(self.0, Kind::Memory { .. } | Kind::Static { .. })
    }

    /// Whether this is a range of a file.
    #[must_use]
    #[inline]
    pub fn is_file(&self) -> bool {
        matches!(self.0, Kind::File { .. })
    }

    /// The unsent bytes, if this is memory.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> Option<&[u8]> {
        let (whole, spare) = self.whole()?;
        whole.get(..whole.len() - spare)
    }

    /// The unsent bytes, refcounted, if this is memory: they are shared, not copied.
    #[must_use]
    pub fn to_bytes(&self) -> Option<Bytes> {
        self.clone().into_bytes()
    }

    /// The unsent bytes, if this is memory; the marks and the tag are dropped.
    #[must_use]
    pub fn into_bytes(self) -> Option<Bytes> {
        match self.0 {
            Kind::Memory {
                mut bytes, spare, ..
            } => {
                if spare > 0 {
                    bytes.truncate(bytes.len() - spare as usize);
                }
                Some(bytes)
            }
            Kind::Static { bytes, spare, .. } => {
                let window = bytes.get(..bytes.len() - spare as usize);
                window.map(Bytes::from_static)
            }
            Kind::File { .. } | Kind::Special { .. } => None,
        }
    }

    /// The unsent range, if this is a file.
    #[must_use]
    pub fn file_range(&self) -> Option<Range<u64>> {
        self.file_parts().map(|(_, range)| range)
    }

    /// Moves the window forward over `n` bytes, or to its end if there are fewer.
    #[inline]
    pub fn advance(&mut self, n: u64) {
        match &mut self.0 {
            Kind::Memory { bytes, spare, .. } => {
                bytes.advance(clamp(n, bytes.len() - *spare as usize));
            }
            Kind::Static { bytes, spare, .. } => {
                bytes.advance(clamp(n, bytes.len() - *spare as usize));
            }
            Kind::File { pos, last, .. } => *pos = pos.saturating_add(n).min(*last),
            Kind::Special { .. } => {}
        }
    }

    /// Keeps only the first `n` unsent bytes. The marks stay.
    pub fn truncate(&mut self, n: u64) {
        let cut = self.len().saturating_sub(n);
        match &mut self.0 {
            Kind::Memory { bytes, spare, .. } => match grown(*spare, cut) {
                Some(more) => *spare = more,
                None => {
                    bytes.truncate(clamp(n, bytes.len()));
                    *spare = 0;
                }
            },
            Kind::Static { bytes, spare, .. } => match grown(*spare, cut) {
                Some(more) => *spare = more,
                None => {
                    *bytes = bytes.get(..clamp(n, bytes.len())).unwrap_or_default();
                    *spare = 0;
                }
            },
            Kind::File { pos, last, .. } => *last = pos.saturating_add(n).min(*last),
            Kind::Special { .. } => {}
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
        let mut front = self.clone();
        front.truncate(n);
        front.remove_flags(Flags::CONTROL);
        self.advance(n);
        front
    }

    /// The marks.
    #[must_use]
    #[inline]
    pub fn flags(&self) -> Flags {
        match &self.0 {
            Kind::Memory { flags, .. }
            | Kind::Static { flags, .. }
            | Kind::File { flags, .. }
            | Kind::Special { flags, .. } => *flags,
        }
    }

    #[inline]
    fn flags_mut(&mut self) -> &mut Flags {
        match &mut self.0 {
            Kind::Memory { flags, .. }
            | Kind::Static { flags, .. }
            | Kind::File { flags, .. }
            | Kind::Special { flags, .. } => flags,
        }
    }

    /// Replaces the marks.
    #[inline]
    pub fn set_flags(&mut self, flags: Flags) {
        *self.flags_mut() = flags;
    }

    /// Sets `flags` beside what is set.
    #[inline]
    pub fn insert_flags(&mut self, flags: Flags) {
        self.flags_mut().insert(flags);
    }

    /// Clears `flags`.
    #[inline]
    pub fn remove_flags(&mut self, flags: Flags) {
        self.flags_mut().remove(flags);
    }

    /// The same buf with `flags` set beside what is set.
    #[must_use]
    #[inline]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        self.insert_flags(flags);
        self
    }

    /// Who made the buf.
    #[must_use]
    #[inline]
    pub fn tag(&self) -> Tag {
        match &self.0 {
            Kind::Memory { tag, .. }
            | Kind::Static { tag, .. }
            | Kind::File { tag, .. }
            | Kind::Special { tag, .. } => *tag,
        }
    }

    /// The same buf in the name of `tag`.
    #[must_use]
    #[inline]
    pub fn with_tag(mut self, tag: Tag) -> Self {
        let owner = tag;
        match &mut self.0 {
            Kind::Memory { tag, .. }
            | Kind::Static { tag, .. }
            | Kind::File { tag, .. }
            | Kind::Special { tag, .. } => *tag = owner,
        }
        self
    }

    /// Whether this is memory that nobody else holds, so that it may be changed in place.
    /// Static memory never is.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        matches!(&self.0, Kind::Memory { bytes, .. } if bytes.is_unique())
    }

    /// Has `change` change the unsent bytes in place, if this is memory that nobody else holds; says
    /// whether it was.
    ///
    /// ```
    /// use ngx_buf::Buf;
    ///
    /// let mut buf = Buf::from(b"hello".to_vec());
    /// assert!(buf.change(<[u8]>::make_ascii_uppercase));
    /// assert_eq!(buf.as_slice(), Some(&b"HELLO"[..]));
    ///
    /// let other = buf.clone();
    /// assert!(!buf.change(<[u8]>::make_ascii_lowercase));
    /// assert_eq!(other.as_slice(), Some(&b"HELLO"[..]));
    /// ```
    pub fn change(&mut self, change: impl FnOnce(&mut [u8])) -> bool {
        let Kind::Memory { bytes, spare, .. } = &mut self.0 else {
            return false;
        };
        match std::mem::take(bytes).try_into_mut() {
            Ok(mut memory) => {
                let unsent = memory.len() - *spare as usize;
                change(memory.get_mut(..unsent).unwrap_or_default());
                *bytes = memory.freeze();
                true
            }
            Err(held) => {
                *bytes = held;
                false
            }
        }
    }

    /// The unsent bytes with what lies behind them, and how much that is, if this is memory.
    #[inline]
    pub(crate) fn whole(&self) -> Option<(&[u8], usize)> {
        match &self.0 {
            Kind::Memory { bytes, spare, .. } => Some((bytes, *spare as usize)),
            Kind::Static { bytes, spare, .. } => Some((bytes, *spare as usize)),
            Kind::File { .. } | Kind::Special { .. } => None,
        }
    }

    /// A part of the unsent bytes, shared. Nothing if it is not a part of them.
    pub(crate) fn share(&self, part: &[u8]) -> Bytes {
        match &self.0 {
            Kind::Memory { bytes, .. } if !part.is_empty() => bytes.slice_ref(part),
            Kind::Static { bytes, .. } => {
                let from = part.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
                let to = from.saturating_add(part.len());
                bytes
                    .get(from..to)
                    .map_or_else(Bytes::new, Bytes::from_static)
            }
            _ => Bytes::new(),
        }
    }

    #[inline]
    pub(crate) fn file_parts(&self) -> Option<(&Arc<FileBuf>, Range<u64>)> {
        match &self.0 {
            Kind::File {
                file, pos, last, ..
            } => Some((file, *pos..*last)),
            _ => None,
        }
    }

    /// Appends `next` to this one if its bytes go on in the same file, or in the same memory, where
    /// this one ends, and nothing about the storage or the stream lies between. Gives `next` back
    /// otherwise.
    pub(crate) fn join(&mut self, next: Self) -> Result<(), Self> {
        if self.flags().intersects(Flags::CONTROL)
            || self.tag() != next.tag()
            || self.flags() != next.flags() - Flags::CONTROL
        {
            return Err(next);
        }
        match (&mut self.0, &next.0) {
            (
                Kind::File { file, last, .. },
                Kind::File {
                    file: other,
                    pos,
                    last: end,
                    ..
                },
            ) if Arc::ptr_eq(file, other) && last == pos => {
                *last = *end;
            }
            (Kind::Memory { bytes, spare, .. }, Kind::Memory { .. }) => {
                let Some(left) = joined(bytes, *spare, &next) else {
                    return Err(next);
                };
                *spare = left;
            }
            (Kind::Static { bytes, spare, .. }, Kind::Static { .. }) => {
                let Some(left) = joined(bytes, *spare, &next) else {
                    return Err(next);
                };
                *spare = left;
            }
            _ => return Err(next),
        }
        self.set_flags(next.flags());
        Ok(())
    }

    #[cfg(feature = "file")]
    pub(crate) fn from_file_range(file: Arc<FileBuf>, pos: u64, last: u64) -> Self {
        Self(Kind::File {
            flags: Flags::empty(),
            tag: Tag::NONE,
            file,
            pos,
            last: last.max(pos),
        })
    }
}

impl Default for Buf {
    /// Nothing at all: no bytes and no marks.
    #[inline]
    fn default() -> Self {
        Self::special(Flags::empty())
    }
}

/// How many bytes of the memory `whole` are behind its window when the bytes of `next` are taken
/// into it, if these come next.
///
/// Whoever holds memory keeps it alive, and memory that is alive is nobody else's: what lies at an
/// address within `whole` is a part of `whole`, whoever else holds it too.
fn joined(whole: &[u8], spare: u32, next: &Buf) -> Option<u32> {
    let left = spare.checked_sub(u32::try_from(next.len()).ok()?)?;
    let behind = whole.get(whole.len() - spare as usize..)?;
    std::ptr::eq(behind.as_ptr(), next.as_slice()?.as_ptr()).then_some(left)
}

/// `spare` and `cut` together, if there is room for so many.
fn grown(spare: u32, cut: u64) -> Option<u32> {
    spare.checked_add(u32::try_from(cut).ok()?)
}

// === conversions ===

impl From<Bytes> for Buf {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Memory {
            flags: Flags::empty(),
            spare: 0,
            tag: Tag::NONE,
            bytes,
        })
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
        if let Some(bytes) = self.as_slice() {
            let shown = bytes.get(..DEBUG_BYTES).unwrap_or(bytes);
            write!(f, "memory({}, \"{}\"", bytes.len(), shown.escape_ascii())?;
            f.write_str(if shown.len() < bytes.len() {
                "..)"
            } else {
                ")"
            })?;
        } else if let Some((file, Range { start, end })) = self.file_parts() {
            write!(f, "file({file:?}, {start}..{end})")?;
        } else {
            f.write_str("special")?;
        }
        if !self.flags().is_empty() {
            write!(f, " {:?}", self.flags())?;
        }
        if !self.tag().is_none() {
            write!(f, " of {}", self.tag().name())?;
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
