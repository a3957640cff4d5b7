//! Where a directive may stand, and with how many arguments.

use std::fmt;
use std::ops::BitOr;

/// A set of blocks in which a directive may stand.
///
/// ```
/// use ngx_core::module::Contexts;
///
/// static HERE: Contexts = Contexts::HTTP.or(Contexts::SERVER);
/// assert!(HERE.intersects(Contexts::SERVER));
/// assert_eq!(HERE.to_string(), "http, server");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Contexts(u32);

impl Contexts {
    /// Nowhere.
    pub const NONE: Self = Self(0);
    /// Outside of all blocks.
    pub const MAIN: Self = Self(1);
    /// `events`.
    pub const EVENTS: Self = Self(1 << 1);
    /// `http`.
    pub const HTTP: Self = Self(1 << 2);
    /// `server` within `http`.
    pub const SERVER: Self = Self(1 << 3);
    /// `location`.
    pub const LOCATION: Self = Self(1 << 4);
    /// `upstream` within `http`.
    pub const UPSTREAM: Self = Self(1 << 5);
    /// `if` within `server`.
    pub const IF_SERVER: Self = Self(1 << 6);
    /// `if` within `location`.
    pub const IF_LOCATION: Self = Self(1 << 7);
    /// `limit_except`.
    pub const LIMIT_EXCEPT: Self = Self(1 << 8);
    /// `types`.
    pub const TYPES: Self = Self(1 << 9);
    /// `stream`.
    pub const STREAM: Self = Self(1 << 10);
    /// `server` within `stream`.
    pub const STREAM_SERVER: Self = Self(1 << 11);
    /// `upstream` within `stream`.
    pub const STREAM_UPSTREAM: Self = Self(1 << 12);
    /// Everywhere.
    pub const ANY: Self = Self(u32::MAX);

    /// Both sets together. `|` does the same outside of statics.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the sets have a block in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of the blocks, as the documentation of nginx writes them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .filter(move |(context, _)| self.intersects(*context))
            .map(|&(_, name)| name)
    }
}

impl BitOr for Contexts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl fmt::Display for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ANY {
            return f.write_str("any");
        }
        for (i, name) in self.names().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}

const NAMES: &[(Contexts, &str)] = &[
    (Contexts::MAIN, "main"),
    (Contexts::EVENTS, "events"),
    (Contexts::HTTP, "http"),
    (Contexts::SERVER, "server"),
    (Contexts::LOCATION, "location"),
    (Contexts::UPSTREAM, "upstream"),
    (Contexts::IF_SERVER, "if in server"),
    (Contexts::IF_LOCATION, "if in location"),
    (Contexts::LIMIT_EXCEPT, "limit_except"),
    (Contexts::TYPES, "types"),
    (Contexts::STREAM, "stream"),
    (Contexts::STREAM_SERVER, "stream server"),
    (Contexts::STREAM_UPSTREAM, "stream upstream"),
];

/// How many arguments a directive takes, and whether a block follows them.
///
/// ```
/// use ngx_core::module::Arity;
///
/// static LOCATION: Arity = Arity::range(1, 2).block();
/// assert!(LOCATION.accepts(2) && LOCATION.has_block());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arity {
    min: usize,
    max: usize,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Semicolon,
    Block,
    RawBlock,
}

impl Arity {
    /// No argument.
    pub const NONE: Self = Self::exact(0);
    /// One argument.
    pub const ONE: Self = Self::exact(1);
    /// Two arguments.
    pub const TWO: Self = Self::exact(2);
    /// One argument, `on` or `off`; the setter reads it with `Args::flag`.
    pub const FLAG: Self = Self::exact(1);
    /// Any number of arguments.
    pub const ANY: Self = Self::at_least(0);
    /// A block without arguments.
    pub const BLOCK: Self = Self::NONE.block();
    /// A block of foreign text, such as Lua, without arguments.
    pub const RAW_BLOCK: Self = Self::NONE.raw_block();

    /// `n` arguments.
    #[must_use]
    pub const fn exact(n: usize) -> Self {
        Self::range(n, n)
    }

    /// `min` to `max` arguments, both included.
    #[must_use]
    pub const fn range(min: usize, max: usize) -> Self {
        Self {
            min,
            max,
            end: End::Semicolon,
        }
    }

    /// `n` arguments or more.
    #[must_use]
    pub const fn at_least(n: usize) -> Self {
        Self::range(n, usize::MAX)
    }

    /// The same arguments, and a block of directives.
    #[must_use]
    pub const fn block(self) -> Self {
        Self {
            end: End::Block,
            ..self
        }
    }

    /// The same arguments, and a block that is text in another language.
    #[must_use]
    pub const fn raw_block(self) -> Self {
        Self {
            end: End::RawBlock,
            ..self
        }
    }

    /// Whether `n` arguments are right.
    #[must_use]
    pub const fn accepts(self, n: usize) -> bool {
        self.min <= n && n <= self.max
    }

    /// Whether a block follows, of either kind.
    #[must_use]
    pub const fn has_block(self) -> bool {
        !matches!(self.end, End::Semicolon)
    }

    /// Whether the block is text in another language.
    #[must_use]
    pub const fn has_raw_block(self) -> bool {
        matches!(self.end, End::RawBlock)
    }
}

impl fmt::Display for Arity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (0, 0) => f.write_str("no arguments"),
            (1, 1) => f.write_str("one argument"),
            (0, usize::MAX) => f.write_str("any number of arguments"),
            (1, usize::MAX) => f.write_str("one argument or more"),
            (min, usize::MAX) => write!(f, "{min} arguments or more"),
            (0, 1) => f.write_str("at most one argument"),
            (min, max) if min == max => write!(f, "{min} arguments"),
            (min, max) if min + 1 == max => write!(f, "{min} or {max} arguments"),
            (min, max) => write!(f, "{min} to {max} arguments"),
        }
    }
}
