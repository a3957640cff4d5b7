//! Places that are taken and given back, and keys that know whose they were.

/// Where something is, in the lower half, and which of those that were there, in the upper: who
/// keeps a key for too long finds nothing. The first number of a place is 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Key(pub(super) u64);

impl Key {
    /// That of nothing.
    pub(super) const NONE: Self = Self(0);

    fn new(at: u32, number: u32) -> Self {
        Self(u64::from(number) << 32 | u64::from(at))
    }

    fn at(self) -> u32 {
        (self.0 & u64::from(u32::MAX)) as u32
    }

    fn number(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Things by place.
pub(super) struct Places<T> {
    all: Vec<Place<T>>,
    free: Vec<u32>,
}

struct Place<T> {
    /// Whose it is, or was last.
    number: u32,
    what: Option<T>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Places<T> {
    /// Finds a place for what `make` makes of its key.
    pub(super) fn insert(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        let at = self.free.pop().unwrap_or_else(|| {
            self.all.push(Place {
                number: 0,
                what: None,
            });
            u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
        });
        let Some(place) = self.all.get_mut(at as usize) else {
            return Key::NONE;
        };
        // After four thousand million of them a key that was kept for so long is another's.
        place.number = place.number.wrapping_add(1).max(1);
        let key = Key::new(at, place.number);
        place.what = Some(make(key));
        key
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let place = self.all.get(key.at() as usize)?;
        (place.number == key.number())
            .then_some(place.what.as_ref())
            .flatten()
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.all.get_mut(key.at() as usize)?;
        (place.number == key.number())
            .then_some(place.what.as_mut())
            .flatten()
    }

    /// Gives the place back. What was there is to be dropped when nothing is borrowed.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.all.get_mut(key.at() as usize)?;
        if place.number != key.number() {
            return None;
        }
        let what = place.what.take()?;
        self.free.push(key.at());
        Some(what)
    }

    /// All that there is.
    pub(super) fn into_all(self) -> impl Iterator<Item = T> {
        self.all.into_iter().filter_map(|place| place.what)
    }

    /// How many places there are, and how many of them are taken.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        (self.all.len(), self.all.len() - self.free.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_for_one() {
        let mut places = Places::default();
        let first = places.insert(|_| "first");
        let other = places.insert(|_| "other");
        assert_eq!(places.remove(first), Some("first"));
        assert_eq!(places.get(first), None);
        assert_eq!(places.remove(first), None);
        let second = places.insert(|_| "second");
        assert_eq!((places.count(), first.at()), ((2, 2), second.at()));
        assert_eq!(places.get(first), None);
        assert_eq!(places.get_mut(first), None);
        assert_eq!(places.get(second), Some(&"second"));
        assert_eq!(places.get(Key::NONE), None);
        assert_eq!(places.remove(other), Some("other"));
        assert_eq!(places.count(), (2, 1));
        assert_eq!(places.into_all().collect::<Vec<_>>(), ["second"]);
    }
}
