//! A dictionary in a zone: what `lua_shared_dict` is.

mod entries;
mod state;
mod value;

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

use self::state::{Key, State};
pub use self::value::{End, Found, Init, Item, Only, Refusal, Store, Stored, TimeToLive, Value};
use crate::time;

/// Values by key, shared by threads, within a size.
///
/// Entries may have a time to live. When a new value does not fit, the entries that were used
/// least recently make room for it. Keys have up to 65535 bytes.
///
/// The size is counted as nginx counts it, so that as much fits into a dictionary as into a
/// `lua_shared_dict` of that size, and somewhat more once entries have come and gone: there are no
/// gaps that are too small for anything.
///
/// There is one lock, for the order of use is one; it is held for a fraction of a microsecond. Only
/// [`flush_all`](Self::flush_all), [`flush_expired`](Self::flush_expired) and
/// [`keys`](Self::keys) look at all entries. Times are milliseconds, as exact as
/// [`time::now_ms`]; setting the clock of the machine does not change them.
///
/// ```
/// use ngx_core::zone::{Dict, Init, Store, Value};
///
/// let dict = Dict::new("hits", 1 << 20)?;
/// let hour = Store { ttl: 3_600_000, ..Store::default() };
/// dict.set(b"greeting", Value::Text(b"hello"), hour).result?;
///
/// let len = dict.get(b"greeting", |found| match found.value {
///     Value::Text(text) => text.len(),
///     _ => 0,
/// })?;
/// assert_eq!(len, Some(5));
///
/// let start = Init { value: 0.0, ttl: 0 };
/// for hits in [1.0, 2.0] {
///     assert_eq!(dict.incr(b"/index.html", 1.0, Some(start)).result, Ok(hits));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Dict {
    name: Box<str>,
    size: usize,
    state: Mutex<State>,
}

/// A zone that is too small for a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a dictionary of {size} bytes can hold nothing, it takes {least}", least = Dict::MIN_SIZE)]
pub struct TooSmall {
    /// The size that was asked for, in bytes.
    pub size: usize,
}

impl Dict {
    /// The least size of a dictionary, in bytes.
    pub const MIN_SIZE: usize = 12 << 10;

    /// An empty dictionary of `size` bytes.
    ///
    /// # Errors
    ///
    /// [`TooSmall`] below [`Dict::MIN_SIZE`].
    pub fn new(name: &str, size: usize) -> Result<Self, TooSmall> {
        let state = State::new(name, size).filter(|_| size >= Self::MIN_SIZE);
        Ok(Self {
            name: name.into(),
            size,
            state: Mutex::new(state.ok_or(TooSmall { size })?),
        })
    }

    /// The name of the zone.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The size of the zone, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.size
    }

    /// Bytes in pages of which nothing is taken. There may be room in others when this is 0.
    #[must_use]
    pub fn free_space(&self) -> usize {
        self.lock().free_space()
    }

    /// How many entries there are, those whose time is over and that still take space included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows the value of a key to `read`, and returns what that makes of it; `None` if there is
    /// none that lives.
    ///
    /// `read` runs with the dictionary locked: it must not use it again, and should be short.
    ///
    /// # Errors
    ///
    /// [`Refusal::IsAList`].
    pub fn get<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Found<'_>) -> R,
    ) -> Result<Option<R>, Refusal> {
        let key = hashed(key);
        Ok(self.lock().get(key)?.map(read))
    }

    /// The same as [`get`](Self::get), but finds entries whose time is over as long as they are
    /// there.
    ///
    /// # Errors
    ///
    /// [`Refusal::IsAList`].
    pub fn get_stale<R>(
        &self,
        key: &[u8],
        read: impl FnOnce(Found<'_>) -> R,
    ) -> Result<Option<R>, Refusal> {
        let key = hashed(key);
        Ok(self.lock().get_stale(key)?.map(read))
    }

    /// Stores a value.
    ///
    /// The result is an error for [`Refusal::Exists`] and [`Refusal::NotFound`], by
    /// [`Store::only`]; [`Refusal::KeyTooLong`]; and [`Refusal::NoMemory`], in which case what was
    /// stored under the key before is gone.
    pub fn set(&self, key: &[u8], value: Value<'_>, how: Store) -> Stored {
        if key.len() > MAX_KEY {
            return Stored::refused(Refusal::KeyTooLong);
        }
        let key = hashed(key);
        self.lock().set(key, value, how)
    }

    /// Removes an entry. Was there one?
    pub fn delete(&self, key: &[u8]) -> bool {
        let key = hashed(key);
        self.lock().delete(key)
    }

    /// Adds `by` to a number, and answers with the sum. Where there is nothing, `init` says what to
    /// begin with.
    ///
    /// The result is an error for [`Refusal::NotANumber`]; [`Refusal::NotFound`], without `init`;
    /// [`Refusal::KeyTooLong`]; [`Refusal::NoMemory`].
    pub fn incr(&self, key: &[u8], by: f64, init: Option<Init>) -> Stored<f64> {
        if key.len() > MAX_KEY {
            return Stored::refused(Refusal::KeyTooLong);
        }
        let key = hashed(key);
        self.lock().incr(key, by, init)
    }

    /// Adds an element to a list, which is made when there is none, and answers with the new
    /// length. Entries that live are not evicted for it.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAList`], [`Refusal::BadValue`] for booleans, [`Refusal::KeyTooLong`],
    /// [`Refusal::NoMemory`].
    pub fn push(&self, key: &[u8], value: Value<'_>, end: End) -> Result<usize, Refusal> {
        if key.len() > MAX_KEY {
            return Err(Refusal::KeyTooLong);
        }
        let item = match value {
            Value::Text(text) => Item::Text(text.into()),
            Value::Number(number) => Item::Number(number),
            Value::Boolean(_) => return Err(Refusal::BadValue),
        };
        let key = hashed(key);
        self.lock().push(key, item, end)
    }

    /// Takes an element from a list; `None` if there is no list. It goes with its last element.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAList`].
    pub fn pop(&self, key: &[u8], end: End) -> Result<Option<Item>, Refusal> {
        let key = hashed(key);
        self.lock().pop(key, end)
    }

    /// The length of a list, 0 if there is none.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAList`].
    pub fn list_len(&self, key: &[u8]) -> Result<usize, Refusal> {
        let key = hashed(key);
        self.lock().list_len(key)
    }

    /// How long an entry has; `None` if there is none.
    pub fn ttl(&self, key: &[u8]) -> Option<TimeToLive> {
        let key = hashed(key);
        self.lock().ttl(key)
    }

    /// Gives an entry a time to live, in milliseconds, from now on; 0 is for ever. An entry whose
    /// time was over lives again. Was there one?
    pub fn expire(&self, key: &[u8], ttl: u64) -> bool {
        let key = hashed(key);
        self.lock().expire(key, ttl)
    }

    /// Ends the time of all entries, at once. They are removed later, as others whose time is over.
    pub fn flush_all(&self) {
        self.lock().flush_all();
    }

    /// Removes up to `max` entries whose time is over, and says how many.
    pub fn flush_expired(&self, max: usize) -> usize {
        self.lock().flush_expired(max)
    }

    /// Shows up to `max` keys that live to `show`, the least recently used first.
    ///
    /// `show` runs with the dictionary locked: it must not use it again.
    pub fn keys(&self, max: usize, show: impl FnMut(&[u8])) {
        self.lock().keys(max, show);
    }

    /// Whoever panics with the lock held is a caller's closure, which can leave nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        let now = time::now_ms().max(1);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Threads may read the clock and get the lock in different orders.
        state.now = state.now.max(now);
        state
    }
}

impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dict")
            .field("name", &self.name)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Keys come from clients: with a hash that they know, all of theirs could share a chain.
fn hashed(key: &[u8]) -> Key<'_> {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);
    let mut hasher = SEED.build_hasher();
    hasher.write(key);
    let hash = hasher.finish();
    #[expect(clippy::cast_possible_truncation, reason = "the halves are folded")]
    let hash = (hash ^ (hash >> 32)) as u32;
    Key { hash, bytes: key }
}

const MAX_KEY: usize = 65_535;

#[cfg(test)]
mod tests;
