//! Small files kept in memory by one thread.
//!
//! A kept file is served only if the file system still says of its name exactly what it said when
//! the content was read; asking costs one system call instead of four. Changed rights count as
//! changes too, because they change the time of the last status change.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use rustix::fs::Stat;

/// The largest file that is kept, in bytes.
pub(super) const FILE_MAX: u64 = 16 * 1024;

/// What the file system says of a file, as far as it shows that the file is another one, has other
/// content or other rights. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    owner: (u32, u32),
    modified: i128,
    changed: i128,
}

/// A file in memory, with what its response needs.
pub(super) struct Kept {
    pub(super) identity: Identity,
    pub(super) content: Bytes,
    pub(super) etag: Bytes,
    /// Seconds since 1970.
    pub(super) modified: i64,
}

/// The files of one thread, by name.
///
/// Two halves stand in for an exact order of use: what is asked for moves into the young one; when
/// that is full, the old one is forgotten and the young one takes its place.
#[derive(Default)]
pub(super) struct FileCache(RefCell<Halves>);

#[derive(Default)]
struct Halves {
    young: Half,
    old: Half,
}

#[derive(Default)]
struct Half {
    files: HashMap<Box<[u8]>, Rc<Kept>>,
    bytes: usize,
}

/// Bounds of each half.
const HALF_FILES: usize = 1024;
const HALF_BYTES: usize = 4 * 1024 * 1024;
/// What a file takes beside its content and its name, roughly.
const OVERHEAD: usize = 256;
/// Some file systems count time in steps of this, in nanoseconds.
const TIME_STEP: i128 = 2_000_000_000;

// === impl FileCache ===

impl FileCache {
    /// The file kept under this name, which may have changed since.
    pub(super) fn find(&self, name: &[u8]) -> Option<Rc<Kept>> {
        let halves = &mut *self.0.borrow_mut();
        if let Some(kept) = halves.young.files.get(name) {
            return Some(Rc::clone(kept));
        }
        let kept = halves.old.remove(name)?;
        halves.insert(name, Rc::clone(&kept));
        Some(kept)
    }

    /// Keeps a file, in place of what had its name.
    pub(super) fn insert(&self, name: &[u8], kept: Rc<Kept>) {
        let halves = &mut *self.0.borrow_mut();
        let _ = halves.old.remove(name);
        halves.insert(name, kept);
    }

    /// Forgets a file.
    pub(super) fn remove(&self, name: &[u8]) {
        let halves = &mut *self.0.borrow_mut();
        let _ = halves.young.remove(name);
        let _ = halves.old.remove(name);
    }
}

impl Halves {
    fn insert(&mut self, name: &[u8], kept: Rc<Kept>) {
        let _ = self.young.remove(name);
        let cost = cost(name, &kept);
        if self.young.files.len() >= HALF_FILES || self.young.bytes + cost > HALF_BYTES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += cost;
        self.young.files.insert(name.into(), kept);
    }
}

impl Half {
    fn remove(&mut self, name: &[u8]) -> Option<Rc<Kept>> {
        let kept = self.files.remove(name)?;
        self.bytes -= cost(name, &kept);
        Some(kept)
    }
}

fn cost(name: &[u8], kept: &Kept) -> usize {
    kept.content.len() + name.len() + OVERHEAD
}

// === impl Identity ===

impl Identity {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Whether the file has been left alone for so long before `now` (milliseconds since 1970) that
    /// a further change must show: one right after the last may bear the same time.
    pub(super) fn is_settled(&self, now: u64) -> bool {
        let now = i128::from(now) * 1_000_000;
        self.changed.max(self.modified) + TIME_STEP < now
    }
}

fn nanoseconds(seconds: impl Into<i128>, rest: impl Into<i128>) -> i128 {
    seconds.into() * 1_000_000_000 + rest.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(content: &'static [u8]) -> Rc<Kept> {
        let identity = Identity {
            device: 1,
            inode: 2,
            size: 3,
            mode: 0o644,
            owner: (0, 0),
            modified: 5_000_000_000,
            changed: 6_000_000_000,
        };
        let content = Bytes::from_static(content);
        Rc::new(Kept {
            identity,
            content,
            etag: Bytes::new(),
            modified: 5,
        })
    }

    fn totals(cache: &FileCache) -> (usize, usize) {
        let halves = cache.0.borrow();
        for half in [&halves.young, &halves.old] {
            let sum: usize = half.files.iter().map(|(name, kept)| cost(name, kept)).sum();
            assert_eq!(half.bytes, sum);
        }
        let files = halves.young.files.len() + halves.old.files.len();
        (files, halves.young.bytes + halves.old.bytes)
    }

    #[test]
    fn a_file_is_found_until_it_is_removed() {
        let cache = FileCache::default();
        assert!(cache.find(b"/a").is_none());
        cache.insert(b"/a", kept(b"one"));
        cache.insert(b"/a", kept(b"two"));
        assert_eq!(cache.find(b"/a").unwrap().content, "two");
        assert_eq!(totals(&cache).0, 1);
        cache.remove(b"/a");
        assert!(cache.find(b"/a").is_none());
        assert_eq!(totals(&cache), (0, 0));
    }

    #[test]
    fn the_number_of_files_is_bounded_and_those_in_use_stay() {
        let cache = FileCache::default();
        cache.insert(b"hot", kept(b"hot"));
        for number in 0..10 * HALF_FILES {
            cache.insert(number.to_string().as_bytes(), kept(b"x"));
            assert!(cache.find(b"hot").is_some(), "forgotten at {number}");
        }
        assert!(totals(&cache).0 <= 2 * HALF_FILES);
        assert!(cache.find(b"0").is_none());
    }

    #[test]
    fn the_bytes_are_bounded() {
        static CONTENT: [u8; FILE_MAX as usize] = [b'x'; FILE_MAX as usize];
        let cache = FileCache::default();
        for number in 0..1000 {
            cache.insert(format!("/{number}").as_bytes(), kept(&CONTENT));
            assert!(totals(&cache).1 <= 2 * HALF_BYTES);
        }
        assert!(cache.find(b"/999").is_some() && cache.find(b"/0").is_none());
    }

    #[test]
    fn a_file_that_was_just_changed_is_not_settled() {
        let identity = kept(b"").identity;
        assert!(!identity.is_settled(6_000));
        assert!(!identity.is_settled(8_000));
        assert!(identity.is_settled(8_001));
    }

    #[test]
    fn changed_rights_are_a_change() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        let identity = || Identity::of(&rustix::fs::stat(file.path()).unwrap());
        let before = identity();
        assert_eq!(before, identity());
        let none = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(file.path(), none).unwrap();
        assert_ne!(before, identity());
    }
}
