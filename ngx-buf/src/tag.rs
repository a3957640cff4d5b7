//! Who made a buf.

use std::fmt;

/// The owner of a buf: whoever made it, and may take its memory back.
///
/// A producer gives its bufs a tag of its own, so that later, among the bufs that come back, it
/// knows which are its own ([`update_chains`](crate::update_chains)). Two tags are equal when
/// their names are; a buf that nobody owns has [`Tag::NONE`].
///
/// ```text
///   busy:  [ COPY | COPY | other | COPY ]   update_chains(free, busy, out, COPY)
///             |      |       |       '-- still held: stays busy, in order
///             |      |       '---------- not ours: dropped, its owner wants it back
///             '------'------------------ nobody else holds it: free, to be filled again
/// ```
///
/// ```
/// use ngx_buf::{Buf, Tag};
///
/// const COPY: Tag = Tag::new(&"copy filter");
///
/// let buf = Buf::from("data").with_tag(COPY);
/// assert_eq!(buf.tag(), COPY);
/// assert_ne!(buf.tag(), Tag::NONE);
/// assert_eq!(buf.tag().name(), "copy filter");
/// ```
// A reference to the name, not the name: one word instead of two in every buf.
#[derive(Clone, Copy, Default)]
pub struct Tag(Option<&'static &'static str>);

impl Tag {
    /// The tag of a buf that nobody wants back.
    pub const NONE: Self = Self(None);

    /// A tag with a name: `Tag::new(&"copy filter")`.
    #[must_use]
    pub const fn new(name: &'static &'static str) -> Self {
        Self(Some(name))
    }

    /// The name, `none` for [`Tag::NONE`].
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.map_or("none", |name| *name)
    }

    /// Whether this is [`Tag::NONE`].
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0.is_none()
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            // The address is the quick answer only: a constant may exist more than once.
            (Some(a), Some(b)) => std::ptr::eq(a, b) || a == b,
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Tag {}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_by_name() {
        static A: &str = "a";
        static ALSO_A: &str = "a";
        assert_eq!(Tag::new(&A), Tag::new(&ALSO_A));
        assert_ne!(Tag::new(&A), Tag::new(&"b"));
        assert_ne!(Tag::new(&"none"), Tag::NONE);
        assert_eq!(Tag::default(), Tag::NONE);
        assert_eq!(format!("{:?}", Tag::new(&A)), "Tag(a)");
    }
}
