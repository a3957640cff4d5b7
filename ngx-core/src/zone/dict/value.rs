//! What a dictionary holds, and what its operations take and answer.

use std::collections::VecDeque;

/// A value on its way in or out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A string of bytes.
    Text(&'a [u8]),
    /// A number, as Lua has them.
    Number(f64),
    /// `true` or `false`.
    Boolean(bool),
}

impl Value<'_> {
    /// Its bytes in a zone.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(_) => NUMBER,
            Self::Boolean(_) => 1,
        }
    }
}

/// What is found under a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found<'a> {
    /// The value.
    pub value: Value<'a>,
    /// The number that was stored with it.
    pub flags: i32,
    /// Whether its time is over; only [`Dict::get_stale`](super::Dict::get_stale) finds such.
    pub is_stale: bool,
}

/// An element of a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A string of bytes.
    Text(Box<[u8]>),
    /// A number, as Lua has them.
    Number(f64),
}

impl Item {
    /// What it takes of the zone.
    pub(super) fn footprint(&self) -> usize {
        const NODE: usize = 21;
        NODE + match self {
            Self::Text(text) => text.len(),
            Self::Number(_) => NUMBER,
        }
    }
}

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The first element.
    Left,
    /// The last element.
    Right,
}

/// How [`Dict::set`](super::Dict::set) stores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Store {
    /// How long the entry lives, in milliseconds; 0 is for ever.
    pub ttl: u64,
    /// A number that is kept with the value.
    pub flags: i32,
    /// Whether there must be an entry already.
    pub only: Only,
    /// Whether to fail rather than to evict entries that still live.
    pub safe: bool,
}

/// A condition on storing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Only {
    /// In any case.
    #[default]
    Always,
    /// If no entry lives under the key, else [`Refusal::Exists`].
    IfAbsent,
    /// If an entry lives under the key, else [`Refusal::NotFound`].
    IfPresent,
}

/// With what [`Dict::incr`](super::Dict::incr) begins where there is nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Init {
    /// What is counted from.
    pub value: f64,
    /// How long the new entry lives, in milliseconds; 0 is for ever.
    pub ttl: u64,
}

/// What came of storing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Stored<T = ()> {
    /// What it gave, or why nothing was stored.
    pub result: Result<T, Refusal>,
    /// Whether entries that still lived were evicted.
    pub forcible: bool,
}

impl<T> Stored<T> {
    /// Without evicting anything.
    pub(super) fn quietly(value: T) -> Self {
        Self {
            result: Ok(value),
            forcible: false,
        }
    }

    pub(super) fn refused(why: Refusal) -> Self {
        Self {
            result: Err(why),
            forcible: false,
        }
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Stored<U> {
        Stored {
            result: self.result.map(f),
            forcible: self.forcible,
        }
    }
}

/// How long an entry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeToLive {
    /// It does not end by itself.
    Forever,
    /// Milliseconds; less than zero if its time is over and it is still there.
    Left(i64),
}

/// Why an operation does nothing; displays the words of lua-nginx-module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing lives under the key.
    #[error("not found")]
    NotFound,
    /// Something lives under the key.
    #[error("exists")]
    Exists,
    /// Only numbers can be counted up.
    #[error("not a number")]
    NotANumber,
    /// The entry has a plain value.
    #[error("value not a list")]
    NotAList,
    /// The entry is a list.
    #[error("value is a list")]
    IsAList,
    /// Lists hold strings and numbers.
    #[error("bad value type")]
    BadValue,
    /// The key is longer than 65535 bytes.
    #[error("key too long")]
    KeyTooLong,
    /// It does not fit into the zone, not even after evicting.
    #[error("no memory")]
    NoMemory,
}

/// A value at rest.
#[derive(Debug)]
pub(super) enum Held {
    /// It stands behind the key.
    Text,
    Number(f64),
    Boolean(bool),
    #[expect(clippy::box_collection, reason = "an entry stays within a cache line")]
    List(Box<VecDeque<Item>>),
}

/// Bytes of a number.
const NUMBER: usize = 8;
