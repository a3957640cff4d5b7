//! A dictionary behind its lock: entries within a budget. Time is told, not read.

use super::entries::{Entries, Entry};
use super::value::{End, Found, Held, Init, Item, Only, Refusal, Store, Stored, TimeToLive, Value};
use crate::zone::budget::Budget;

#[derive(Debug)]
pub(super) struct State {
    /// What time it is, in milliseconds, from 1.
    pub(super) now: u64,
    budget: Budget,
    entries: Entries,
}

/// A key and its hash.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) hash: u32,
    pub(super) bytes: &'a [u8],
}

impl State {
    /// `None` if the zone cannot hold anything.
    pub(super) fn new(name: &str, size: usize) -> Option<Self> {
        let mut budget = Budget::new(size);
        if !budget.take(HEAD) || !budget.take(LABEL + name.len()) {
            return None;
        }
        let expected = budget.pages().saturating_mul(ENTRIES_PER_PAGE);
        Some(Self {
            now: 1,
            budget,
            entries: Entries::new(expected),
        })
    }

    pub(super) fn free_space(&self) -> usize {
        self.budget.free_bytes()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What lives under a key, which is then the most recently used one.
    pub(super) fn get(&mut self, key: Key<'_>) -> Result<Option<Found<'_>>, Refusal> {
        self.drop_expired(2);
        match self.live(key) {
            Some(at) => found(self.entries.get(at), false).map(Some),
            None => Ok(None),
        }
    }

    /// The same for entries whose time is over, too.
    pub(super) fn get_stale(&mut self, key: Key<'_>) -> Result<Option<Found<'_>>, Refusal> {
        let live = self.live(key);
        let Some(at) = live.or_else(|| self.find(key)) else {
            return Ok(None);
        };
        found(self.entries.get(at), live.is_none()).map(Some)
    }

    pub(super) fn set(&mut self, key: Key<'_>, value: Value<'_>, how: Store) -> Stored {
        self.drop_expired(2);
        let live = self.live(key);
        match (how.only, live) {
            (Only::IfPresent, None) => return Stored::refused(Refusal::NotFound),
            (Only::IfAbsent, Some(_)) => return Stored::refused(Refusal::Exists),
            _ => {}
        }
        let old = live.or_else(|| self.find(key));
        let placed = self.place(key, old, value, how.safe);
        let expires = self.deadline(how.ttl);
        placed.map(|at| {
            let entry = self.entries.get_mut(at);
            entry.expires = expires;
            entry.flags = how.flags;
        })
    }

    /// Removes an entry, whether it lives or not. Was there one?
    pub(super) fn delete(&mut self, key: Key<'_>) -> bool {
        self.drop_expired(2);
        let found = self.find(key);
        found.inspect(|&at| self.remove(at)).is_some()
    }

    pub(super) fn incr(&mut self, key: Key<'_>, by: f64, init: Option<Init>) -> Stored<f64> {
        self.drop_expired(2);
        if let Some(at) = self.live(key) {
            let Held::Number(number) = &mut self.entries.get_mut(at).held else {
                return Stored::refused(Refusal::NotANumber);
            };
            *number += by;
            return Stored::quietly(*number);
        }
        let Some(init) = init else {
            return Stored::refused(Refusal::NotFound);
        };
        let sum = init.value + by;
        let old = self.find(key);
        let placed = self.place(key, old, Value::Number(sum), false);
        let expires = self.deadline(init.ttl);
        placed.map(|at| {
            let entry = self.entries.get_mut(at);
            entry.expires = expires;
            entry.flags = 0;
            sum
        })
    }

    /// Adds to a list, which is made if there is none. Evicts nothing that lives.
    pub(super) fn push(&mut self, key: Key<'_>, item: Item, end: End) -> Result<usize, Refusal> {
        self.drop_expired(2);
        let at = match self.live(key) {
            Some(at) => at,
            None => self.new_list(key)?,
        };
        let Held::List(list) = &mut self.entries.get_mut(at).held else {
            return Err(Refusal::NotAList);
        };
        if self.budget.take(item.footprint()) {
            match end {
                End::Left => list.push_front(item),
                End::Right => list.push_back(item),
            }
            return Ok(list.len());
        }
        if list.is_empty() {
            self.remove(at);
        }
        Err(Refusal::NoMemory)
    }

    /// Takes from a list, which is removed with its last element.
    pub(super) fn pop(&mut self, key: Key<'_>, end: End) -> Result<Option<Item>, Refusal> {
        self.drop_expired(2);
        let Some(at) = self.live(key) else {
            return Ok(None);
        };
        let Held::List(list) = &mut self.entries.get_mut(at).held else {
            return Err(Refusal::NotAList);
        };
        let item = match end {
            End::Left => list.pop_front(),
            End::Right => list.pop_back(),
        };
        let is_empty = list.is_empty();
        if let Some(item) = &item {
            self.budget.give_back(item.footprint());
        }
        if is_empty {
            self.remove(at);
        }
        Ok(item)
    }

    /// The length of a list; 0 if there is none.
    pub(super) fn list_len(&mut self, key: Key<'_>) -> Result<usize, Refusal> {
        self.drop_expired(2);
        match self.live(key).map(|at| &self.entries.get(at).held) {
            None => Ok(0),
            Some(Held::List(list)) => Ok(list.len()),
            Some(_) => Err(Refusal::NotAList),
        }
    }

    pub(super) fn ttl(&self, key: Key<'_>) -> Option<TimeToLive> {
        let expires = self.entries.get(self.find(key)?).expires;
        let left = || expires.cast_signed().saturating_sub(self.now.cast_signed());
        Some(match expires {
            0 => TimeToLive::Forever,
            _ => TimeToLive::Left(left()),
        })
    }

    /// Gives an entry another time, also one whose time is over. Was there one?
    pub(super) fn expire(&mut self, key: Key<'_>, ttl: u64) -> bool {
        let expires = self.deadline(ttl);
        let found = self.find(key);
        found
            .inspect(|&at| self.entries.get_mut(at).expires = expires)
            .is_some()
    }

    /// Ends the time of all entries. Some are removed, the others are as those that expire.
    pub(super) fn flush_all(&mut self) {
        let mut next = self.entries.oldest();
        while let Some(at) = next {
            self.entries.get_mut(at).expires = LONG_AGO;
            next = self.entries.newer_than(at);
        }
        self.evict();
    }

    /// Removes up to `max` entries whose time is over, the least recently used first.
    pub(super) fn flush_expired(&mut self, max: usize) -> usize {
        let mut flushed = 0;
        let mut next = self.entries.oldest();
        while let Some(at) = next.filter(|_| flushed < max) {
            next = self.entries.newer_than(at);
            if self.entries.get(at).is_expired(self.now) {
                self.remove(at);
                flushed += 1;
            }
        }
        flushed
    }

    /// Shows up to `max` keys that live, the least recently used first.
    pub(super) fn keys(&self, max: usize, mut show: impl FnMut(&[u8])) {
        let mut shown = 0;
        let mut next = self.entries.oldest();
        while let Some(at) = next.filter(|_| shown < max) {
            next = self.entries.newer_than(at);
            let entry = self.entries.get(at);
            if !entry.is_expired(self.now) {
                show(entry.key());
                shown += 1;
            }
        }
    }

    fn find(&self, key: Key<'_>) -> Option<u32> {
        self.entries.find(key.hash, key.bytes)
    }

    /// The entry of a key, if it lives; it is the most recently used one then.
    fn live(&mut self, key: Key<'_>) -> Option<u32> {
        let at = self.find(key)?;
        if self.entries.get(at).is_expired(self.now) {
            return None;
        }
        self.entries.touch(at);
        Some(at)
    }

    fn deadline(&self, ttl: u64) -> u64 {
        match ttl {
            0 => 0,
            ttl => self.now.saturating_add(ttl),
        }
    }

    /// Stores a value in the place of `old`, or in a new entry; where that takes evicting and is
    /// not to be `safe`, it evicts.
    fn place(
        &mut self,
        key: Key<'_>,
        old: Option<u32>,
        value: Value<'_>,
        safe: bool,
    ) -> Stored<u32> {
        let footprint = plain_footprint(key.bytes.len(), value.size());
        if let Some(at) = old {
            let entry = self.entries.get_mut(at);
            if !matches!(entry.held, Held::List(_)) && footprint_of(entry) == footprint {
                entry.put(value);
                self.entries.touch(at);
                return Stored::quietly(at);
            }
            self.remove(at);
        }
        let mut evicted = 0;
        let mut room = self.budget.take(footprint);
        while !room && !safe && evicted < MAX_EVICTED && self.evict() {
            evicted += 1;
            room = self.budget.take(footprint);
        }
        let result = if room {
            self.insert(key, value, footprint)
        } else {
            Err(Refusal::NoMemory)
        };
        Stored {
            result,
            forcible: evicted > 0,
        }
    }

    fn new_list(&mut self, key: Key<'_>) -> Result<u32, Refusal> {
        if let Some(stale) = self.find(key) {
            self.remove(stale);
        }
        let footprint = list_footprint(key.bytes.len());
        if !self.budget.take(footprint) {
            return Err(Refusal::NoMemory);
        }
        let at = self.insert(key, Value::Text(&[]), footprint)?;
        self.entries.get_mut(at).held = Held::List(Box::default());
        Ok(at)
    }

    /// Adds an entry for which `footprint` has been taken.
    fn insert(&mut self, key: Key<'_>, value: Value<'_>, footprint: usize) -> Result<u32, Refusal> {
        let inserted = self.entries.insert(key.hash, key.bytes, value);
        inserted.ok_or_else(|| {
            self.budget.give_back(footprint);
            Refusal::NoMemory
        })
    }

    /// Removes the oldest entries as long as their time is over, but no more than `max`: everyone
    /// who uses the dictionary tidies up a little.
    fn drop_expired(&mut self, max: usize) {
        for _ in 0..max {
            match self.entries.oldest() {
                Some(at) if self.entries.get(at).is_expired(self.now) => self.remove(at),
                _ => return,
            }
        }
    }

    /// Removes the oldest entry, and two more if their time is over. Was there one?
    fn evict(&mut self) -> bool {
        let Some(oldest) = self.entries.oldest() else {
            return false;
        };
        self.remove(oldest);
        self.drop_expired(2);
        true
    }

    fn remove(&mut self, at: u32) {
        let entry = self.entries.get(at);
        let footprint = footprint_of(entry);
        if let Held::List(list) = &entry.held {
            for item in &**list {
                self.budget.give_back(item.footprint());
            }
        }
        self.budget.give_back(footprint);
        self.entries.remove(at);
    }
}

fn found(entry: &Entry, is_stale: bool) -> Result<Found<'_>, Refusal> {
    let value = match entry.held {
        Held::Text => Value::Text(entry.text()),
        Held::Number(number) => Value::Number(number),
        Held::Boolean(yes) => Value::Boolean(yes),
        Held::List(_) => return Err(Refusal::IsAList),
    };
    Ok(Found {
        value,
        flags: entry.flags,
        is_stale,
    })
}

/// What an entry takes of the zone, the elements of a list aside.
fn footprint_of(entry: &Entry) -> usize {
    let value = match entry.held {
        Held::Text => Value::Text(entry.text()),
        Held::Number(number) => Value::Number(number),
        Held::Boolean(yes) => Value::Boolean(yes),
        Held::List(_) => return list_footprint(entry.key_len()),
    };
    plain_footprint(entry.key_len(), value.size())
}

const fn plain_footprint(key: usize, value: usize) -> usize {
    NODE + key + value
}

const fn list_footprint(key: usize) -> usize {
    const QUEUE: usize = 16;
    (NODE + key + QUEUE).next_multiple_of(8)
}

/// What lua-nginx-module keeps beside key and value.
const NODE: usize = 68;
/// What it keeps about the dictionary.
const HEAD: usize = 80;
/// What it keeps of the dictionary's name: ` in lua_shared_dict zone ""`.
const LABEL: usize = 27;
/// The least that an entry takes is a 32nd of a page; most take more.
const ENTRIES_PER_PAGE: usize = 16;
/// How often a value that does not fit has the oldest entry evicted.
const MAX_EVICTED: usize = 30;
/// A time that is over.
const LONG_AGO: u64 = 1;
