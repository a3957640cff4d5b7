//! Entries, found by key and ordered by use.
//!
//! ```text
//!   buckets  [ 0 | 3 | 0 | 1 ]          first entry of a chain, by hash; 0 is none
//!                  |       |
//!   entries  [ * | 1 | 2 | 3 | ... ]    chained by `chain`, the free ones too
//!              ^-> 2 -> 3 -> 1 -^       a ring by `older`, from the newest to the oldest
//! ```
//!
//! The number of buckets is fixed: the size of the zone bounds the number of entries. So there is
//! no rehashing, with the lock held, of a million entries; and buckets that are not used yet cost
//! no memory, for the system gives zeroed pages when they are first touched.
//!
//! Entry 0 is no entry: it closes the ring, and its number ends chains.

use super::value::{Held, Value};

/// An entry, in one cache line.
///
/// Invariant: `data` begins with `key_len` bytes of key; if `held` is `Text`, the rest is the text.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) data: Box<[u8]>,
    pub(super) held: Held,
    /// When its time is over, on [`now_ms`](crate::time::now_ms)'s clock; 0 is never.
    pub(super) expires: u64,
    hash: u32,
    pub(super) flags: i32,
    newer: u32,
    older: u32,
    chain: u32,
    key_len: u16,
}

const _: () = assert!(size_of::<Entry>() == 64);

impl Entry {
    pub(super) fn key(&self) -> &[u8] {
        self.data.get(..self.key_len()).unwrap_or_default()
    }

    pub(super) fn text(&self) -> &[u8] {
        self.data.get(self.key_len()..).unwrap_or_default()
    }

    pub(super) fn key_len(&self) -> usize {
        usize::from(self.key_len)
    }

    pub(super) fn is_expired(&self, now: u64) -> bool {
        self.expires != 0 && self.expires <= now
    }

    /// Puts a value in the place of the one it has.
    pub(super) fn put(&mut self, value: Value<'_>) {
        self.held = match value {
            Value::Number(number) => Held::Number(number),
            Value::Boolean(yes) => Held::Boolean(yes),
            Value::Text(text) => {
                let key_len = self.key_len();
                match self.data.get_mut(key_len..) {
                    Some(old) if old.len() == text.len() => old.copy_from_slice(text),
                    _ => self.data = join(self.key(), text),
                }
                Held::Text
            }
        };
    }
}

/// All entries of a dictionary.
#[derive(Debug)]
pub(super) struct Entries {
    buckets: Box<[u32]>,
    entries: Vec<Entry>,
    /// The first of a chain of unused entries.
    unused: u32,
    len: usize,
}

impl Entries {
    /// For about `expected` entries; more become slower, not impossible.
    pub(super) fn new(expected: usize) -> Self {
        let buckets = expected.next_power_of_two().clamp(16, 1 << 31);
        Self {
            buckets: vec![NONE; buckets].into_boxed_slice(),
            entries: vec![Entry {
                data: Box::default(),
                held: Held::Text,
                expires: 0,
                hash: 0,
                flags: 0,
                newer: NONE,
                older: NONE,
                chain: NONE,
                key_len: 0,
            }],
            unused: NONE,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, at: u32) -> &Entry {
        &self.entries[at as usize]
    }

    pub(super) fn get_mut(&mut self, at: u32) -> &mut Entry {
        &mut self.entries[at as usize]
    }

    /// The entry of a key.
    pub(super) fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        let mut at = self.buckets[self.bucket(hash)];
        while at != NONE {
            let entry = self.get(at);
            if entry.hash == hash && entry.key() == key {
                return Some(at);
            }
            at = entry.chain;
        }
        None
    }

    /// The least recently used entry.
    pub(super) fn oldest(&self) -> Option<u32> {
        some(self.get(NONE).newer)
    }

    /// The one that was used next after this one.
    pub(super) fn newer_than(&self, at: u32) -> Option<u32> {
        some(self.get(at).newer)
    }

    /// Makes an entry the most recently used one.
    pub(super) fn touch(&mut self, at: u32) {
        if self.get(NONE).older != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    /// Adds an entry, the most recently used one; `None` if there are as many as can be numbered.
    /// The key is not there yet.
    pub(super) fn insert(&mut self, hash: u32, key: &[u8], value: Value<'_>) -> Option<u32> {
        let (held, text): (_, &[u8]) = match value {
            Value::Text(text) => (Held::Text, text),
            Value::Number(number) => (Held::Number(number), &[]),
            Value::Boolean(yes) => (Held::Boolean(yes), &[]),
        };
        let key_len = u16::try_from(key.len()).ok()?;
        let bucket = self.bucket(hash);
        let entry = Entry {
            data: join(key, text),
            held,
            expires: 0,
            hash,
            flags: 0,
            newer: NONE,
            older: NONE,
            chain: self.buckets[bucket],
            key_len,
        };
        let at = if self.unused == NONE {
            let at = u32::try_from(self.entries.len()).ok()?;
            self.entries.push(entry);
            at
        } else {
            let at = self.unused;
            self.unused = self.get(at).chain;
            *self.get_mut(at) = entry;
            at
        };
        self.buckets[bucket] = at;
        self.link_newest(at);
        self.len += 1;
        Some(at)
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, at: u32) {
        self.unlink(at);
        let bucket = self.bucket(self.get(at).hash);
        let next = self.get(at).chain;
        if self.buckets[bucket] == at {
            self.buckets[bucket] = next;
        } else {
            let mut before = self.buckets[bucket];
            while self.get(before).chain != at {
                before = self.get(before).chain;
            }
            self.get_mut(before).chain = next;
        }
        let unused = self.unused;
        let entry = self.get_mut(at);
        entry.data = Box::default();
        entry.held = Held::Text;
        entry.key_len = 0;
        entry.chain = unused;
        self.unused = at;
        self.len -= 1;
    }

    fn link_newest(&mut self, at: u32) {
        let newest = self.get(NONE).older;
        self.get_mut(at).newer = NONE;
        self.get_mut(at).older = newest;
        self.get_mut(newest).newer = at;
        self.get_mut(NONE).older = at;
    }

    fn unlink(&mut self, at: u32) {
        let (newer, older) = (self.get(at).newer, self.get(at).older);
        self.get_mut(newer).older = older;
        self.get_mut(older).newer = newer;
    }

    fn bucket(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }
}

fn some(at: u32) -> Option<u32> {
    (at != NONE).then_some(at)
}

fn join(key: &[u8], text: &[u8]) -> Box<[u8]> {
    let mut data = Vec::with_capacity(key.len() + text.len());
    data.extend_from_slice(key);
    data.extend_from_slice(text);
    data.into_boxed_slice()
}

/// No entry: the end of a chain, and both ends of the ring.
const NONE: u32 = 0;
