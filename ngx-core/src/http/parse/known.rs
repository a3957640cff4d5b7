//! Field names that some part of the server acts on.

/// Makes the enum, the list of its members and their names out of one table.
macro_rules! known {
    ($($member:ident $name:literal)*) => {
        /// A field name that some part of the server acts on, recognised while the head is parsed.
        ///
        /// ```
        /// use ngx_core::http::parse::Known;
        ///
        /// assert_eq!(Known::from_name(b"content-LENGTH"), Known::ContentLength);
        /// assert_eq!(Known::from_name(b"X-Mine"), Known::Other);
        /// assert_eq!(Known::ContentLength.name(), "Content-Length");
        /// ```
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Known {
            /// None of the others.
            #[default]
            Other,
            $(
                #[doc = concat!("`", $name, "`")]
                $member,
            )*
        }

        impl Known {
            const ALL: &[Self] = &[Self::Other $(, Self::$member)*];
            const NAMES: &[&str] = &["" $(, $name)*];
        }
    };
}

known! {
    Accept "Accept"
    AcceptEncoding "Accept-Encoding"
    AcceptLanguage "Accept-Language"
    AcceptRanges "Accept-Ranges"
    Age "Age"
    Authorization "Authorization"
    CacheControl "Cache-Control"
    Connection "Connection"
    ContentEncoding "Content-Encoding"
    ContentLength "Content-Length"
    ContentRange "Content-Range"
    ContentType "Content-Type"
    Cookie "Cookie"
    Date "Date"
    Depth "Depth"
    Destination "Destination"
    ETag "ETag"
    Expect "Expect"
    Expires "Expires"
    Host "Host"
    IfMatch "If-Match"
    IfModifiedSince "If-Modified-Since"
    IfNoneMatch "If-None-Match"
    IfRange "If-Range"
    IfUnmodifiedSince "If-Unmodified-Since"
    KeepAlive "Keep-Alive"
    LastModified "Last-Modified"
    Link "Link"
    Location "Location"
    Overwrite "Overwrite"
    Pragma "Pragma"
    ProxyAuthenticate "Proxy-Authenticate"
    ProxyAuthorization "Proxy-Authorization"
    ProxyConnection "Proxy-Connection"
    Range "Range"
    Referer "Referer"
    Refresh "Refresh"
    Server "Server"
    SetCookie "Set-Cookie"
    Status "Status"
    Te "TE"
    Trailer "Trailer"
    TransferEncoding "Transfer-Encoding"
    Upgrade "Upgrade"
    UserAgent "User-Agent"
    Vary "Vary"
    Via "Via"
    WwwAuthenticate "WWW-Authenticate"
    XAccelBuffering "X-Accel-Buffering"
    XAccelCharset "X-Accel-Charset"
    XAccelExpires "X-Accel-Expires"
    XAccelLimitRate "X-Accel-Limit-Rate"
    XAccelRedirect "X-Accel-Redirect"
    XForwardedFor "X-Forwarded-For"
    XPad "X-Pad"
    XRealIp "X-Real-IP"
}

impl Known {
    /// The field of this name, in any case of letters.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Self {
        let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
            return Self::Other;
        };

        let slot = &SLOTS[slot(name.len(), first, last)];
        if slot.len == name.len() && slot.pattern.matches(name) {
            slot.known
        } else {
            Self::Other
        }
    }

    /// The field whose name is the first `len` bytes of what begins with `front`. As
    /// [`from_name`](Self::from_name), but needs no copy of the name.
    #[inline]
    pub(super) fn in_front(front: &Front, len: usize) -> Self {
        let (Some(&first), Some(&last)) = (front.first(), front.get(len.wrapping_sub(1))) else {
            return Self::Other;
        };

        let slot = &SLOTS[slot(len, first, last)];
        if slot.len == len && slot.pattern.matches_front(front) {
            slot.known
        } else {
            Self::Other
        }
    }

    /// The name as it is usually written; empty for [`Known::Other`].
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.get(self as usize).copied().unwrap_or_default()
    }

    /// Whether a second field of this name in a request is refused, as nginx does.
    pub(super) const fn is_single_in_requests(self) -> bool {
        matches!(
            self,
            Self::Host
                | Self::IfModifiedSince
                | Self::IfUnmodifiedSince
                | Self::IfMatch
                | Self::IfNoneMatch
                | Self::IfRange
                | Self::ContentLength
                | Self::ContentRange
                | Self::TransferEncoding
                | Self::Expect
                | Self::Authorization
                | Self::ProxyAuthorization
        )
    }

    /// Whether a second field of this name in a response is refused, as nginx does.
    pub(super) const fn is_single_in_responses(self) -> bool {
        matches!(self, Self::ContentLength | Self::TransferEncoding)
    }
}

/// Which of the [`Known`] fields a head has: one bit each.
///
/// ```
/// use ngx_core::http::parse::{Known, KnownSet};
///
/// let mut seen = KnownSet::default();
/// assert!(seen.insert(Known::Range));
/// assert!(!seen.insert(Known::Range), "it was there already");
/// assert!(seen.contains(Known::Range) && !seen.contains(Known::IfRange));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSet(u64);

impl KnownSet {
    /// No field at all.
    pub const EMPTY: Self = Self(0);

    /// Whether the head has such a field.
    #[must_use]
    pub const fn contains(self, known: Known) -> bool {
        self.0 & (1 << known as u8) != 0
    }

    /// The set of these.
    #[must_use]
    pub const fn of(fields: &[Known]) -> Self {
        let mut set = Self::EMPTY;
        let mut at = 0;
        while at < fields.len() {
            let _ = set.insert(fields[at]);
            at += 1;
        }
        set
    }

    /// Whether the two have a field in common.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Adds one; whether it was not there yet.
    pub const fn insert(&mut self, known: Known) -> bool {
        let new = !self.contains(known);
        self.0 |= 1 << known as u8;
        new
    }
}

const SLOT_COUNT: usize = 256;

/// The place of a name in [`SLOTS`]: its length and its outer letters tell all known names apart.
const fn slot(len: usize, first: u8, last: u8) -> usize {
    (len.wrapping_mul(MULTIPLIERS[0])
        ^ ((first | 0x20) as usize).wrapping_mul(MULTIPLIERS[1])
        ^ ((last | 0x20) as usize).wrapping_mul(MULTIPLIERS[2]))
        % SLOT_COUNT
}

/// Found by trying until no two names fell together.
const MULTIPLIERS: [usize; 3] = [5, 149, 385];

/// A known name, ready to be compared.
#[derive(Clone, Copy)]
struct Slot {
    known: Known,
    len: usize,
    pattern: Pattern,
}

/// The longest known name in words.
const WORDS: usize = 3;

/// As much of a line as its name takes, if it is a known one.
pub(super) type Front = [u8; WORDS * 8];

/// A name in lower case, eight bytes to a word, and the bits that count: not those behind the
/// name, nor those in which upper-case letters differ.
#[derive(Clone, Copy)]
struct Pattern {
    lower: [u64; WORDS],
    care: [u64; WORDS],
}

impl Pattern {
    const fn new(name: &[u8]) -> Self {
        assert!(
            name.len() <= WORDS * 8,
            "a known field name is longer than a pattern"
        );
        let mut this = Self {
            lower: [0; WORDS],
            care: [0; WORDS],
        };
        let mut at = 0;
        while at < name.len() {
            let shift = at % 8 * 8;
            this.lower[at / 8] |= (name[at].to_ascii_lowercase() as u64) << shift;
            let care = if name[at].is_ascii_alphabetic() {
                !0x20u8
            } else {
                !0
            };
            this.care[at / 8] |= (care as u64) << shift;
            at += 1;
        }
        this
    }

    /// Whether this is the name, in any case of letters; the lengths are equal.
    fn matches(&self, name: &[u8]) -> bool {
        let mut padded: Front = [0; WORDS * 8];
        let Some(front) = padded.get_mut(..name.len()) else {
            return false;
        };
        front.copy_from_slice(name);

        self.matches_front(&padded)
    }

    /// The same for a name with something behind it, which does not count.
    #[inline(always)]
    fn matches_front(&self, front: &Front) -> bool {
        let (words, _) = front.as_chunks::<8>();
        let patterns = self.lower.iter().zip(&self.care);
        let differ = words
            .iter()
            .zip(patterns)
            .fold(0, |differ, (word, (lower, care))| {
                differ | (u64::from_le_bytes(*word) ^ lower) & care
            });
        differ == 0
    }
}

/// The known names by [`slot`]; a length of 0 where no name falls.
static SLOTS: [Slot; SLOT_COUNT] = {
    let none = Slot {
        known: Known::Other,
        len: 0,
        pattern: Pattern::new(b""),
    };
    let mut slots = [none; SLOT_COUNT];
    let mut at = 1;
    while at < Known::NAMES.len() {
        let name = Known::NAMES[at].as_bytes();
        let slot = slot(name.len(), name[0], name[name.len() - 1]);
        assert!(
            slots[slot].len == 0,
            "two known field names fall into one slot: choose other multipliers"
        );
        slots[slot] = Slot {
            known: Known::ALL[at],
            len: name.len(),
            pattern: Pattern::new(name),
        };
        at += 1;
    }
    assert!(Known::NAMES.len() <= 64, "a KnownSet has one bit per name");
    slots
};

#[cfg(test)]
mod tests {
    use super::*;

    fn front(line: &[u8]) -> Front {
        std::array::from_fn(|at| line.get(at).copied().unwrap_or(0))
    }

    #[test]
    fn every_name_is_recognised_in_any_case() {
        for (&known, &name) in Known::ALL.iter().zip(Known::NAMES).skip(1) {
            assert_eq!(Known::from_name(name.as_bytes()), known);
            assert_eq!(
                Known::from_name(name.to_ascii_lowercase().as_bytes()),
                known
            );
            assert_eq!(
                Known::from_name(name.to_ascii_uppercase().as_bytes()),
                known
            );
            assert_eq!(known.name(), name);
            for behind in ["", ": a", ": and a value that goes on"] {
                let front = front(&format!("{name}{behind}").into_bytes());
                assert_eq!(Known::in_front(&front, name.len()), known);
                assert_eq!(Known::in_front(&front, name.len() + 1), Known::Other);
            }
        }
    }

    #[test]
    fn near_misses_are_other() {
        for name in [
            &b""[..],
            b"H",
            b"Hos",
            b"Hosts",
            b"Hxst",
            b"content_length",
            b"Content-Lenxth",
            b"\xff\xff",
        ] {
            assert_eq!(Known::from_name(name), Known::Other, "{name:?}");
            let front = front(&[name, b": and a value"].concat());
            assert_eq!(Known::in_front(&front, name.len()), Known::Other);
        }
    }
}
