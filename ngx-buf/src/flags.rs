//! What a buf says beside its bytes.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not, Sub};

/// A small set of marks on a [`Buf`](crate::Buf).
///
/// ```text
///   +--------------+   +---------------------+   +------------------+
///   | memory       |-->| file 0..9000        |-->| memory "tail"    |
///   | FLUSH        |   | TEMP_FILE           |   | LAST_BUF         |
///   +------------^-+   +---------------------+   +----------------^-+
///                |       about the storage                        |
///     about the stream: behind the last byte            the end of the output
/// ```
///
/// Only what still means something beside the kind of the buf is kept: whether a buf is memory or
/// a file is its kind, not a mark.
///
/// ```
/// use ngx_buf::Flags;
///
/// let end = Flags::LAST_BUF | Flags::LAST_IN_CHAIN;
/// assert!(end.contains(Flags::LAST_BUF));
/// assert!(!end.intersects(Flags::FLUSH | Flags::SYNC));
/// assert_eq!(format!("{end:?}"), "LAST_BUF|LAST_IN_CHAIN");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    /// Whoever keeps bytes back (a compressor, a postponing writer) lets them go now.
    pub const FLUSH: Self = Self(1);
    /// Passes through every filter in its place and asks for nothing: it marks a position.
    pub const SYNC: Self = Self(1 << 1);
    /// The end of the whole output.
    pub const LAST_BUF: Self = Self(1 << 2);
    /// The end of this chain, of which the whole output may have many (subrequests).
    pub const LAST_IN_CHAIN: Self = Self(1 << 3);
    /// The memory is wanted back soon: it is not worth keeping to make a larger packet.
    pub const RECYCLED: Self = Self(1 << 4);
    /// The file range lies in a temporary file.
    pub const TEMP_FILE: Self = Self(1 << 5);

    /// The marks that say something about the stream at the place behind the buf. They move with
    /// the last byte of the buf; the others describe the storage and hold for every part of it.
    pub const CONTROL: Self =
        Self(Self::FLUSH.0 | Self::SYNC.0 | Self::LAST_BUF.0 | Self::LAST_IN_CHAIN.0);

    /// No mark at all.
    #[must_use]
    pub const fn empty() -> Self {
        Self(0)
    }

    /// Whether there is no mark.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether at least one of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together; `|` in a constant.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Sets all of `other`.
    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Clears all of `other`.
    pub const fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Flags {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Not for Flags {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0 & ALL)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (flag, name) in NAMES {
            if self.contains(flag) {
                if !first {
                    f.write_str("|")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        if first { f.write_str("-") } else { Ok(()) }
    }
}

const NAMES: [(Flags, &str); 6] = [
    (Flags::FLUSH, "FLUSH"),
    (Flags::SYNC, "SYNC"),
    (Flags::LAST_BUF, "LAST_BUF"),
    (Flags::LAST_IN_CHAIN, "LAST_IN_CHAIN"),
    (Flags::RECYCLED, "RECYCLED"),
    (Flags::TEMP_FILE, "TEMP_FILE"),
];

const ALL: u8 = (1 << 6) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_behave_like_sets() {
        let mut flags = Flags::empty();
        assert!(flags.is_empty());
        flags.insert(Flags::FLUSH | Flags::RECYCLED);
        assert!(flags.contains(Flags::FLUSH));
        assert!(!flags.contains(Flags::FLUSH | Flags::SYNC));
        assert!(flags.intersects(Flags::FLUSH | Flags::SYNC));
        flags.remove(Flags::FLUSH);
        assert_eq!(flags, Flags::RECYCLED);
        assert_eq!(flags - Flags::RECYCLED, Flags::empty());
        assert_eq!(
            !Flags::empty() - Flags::CONTROL,
            Flags::RECYCLED | Flags::TEMP_FILE
        );
        flags |= Flags::SYNC;
        assert_eq!(flags & Flags::CONTROL, Flags::SYNC);
    }

    #[test]
    fn every_flag_has_a_name_and_a_bit_of_its_own() {
        let all = NAMES.iter().fold(Flags::empty(), |all, (flag, _)| {
            assert!(!all.intersects(*flag));
            all | *flag
        });
        assert_eq!(all.0, ALL);
        assert_eq!(format!("{:?}", Flags::empty()), "-");
    }
}
