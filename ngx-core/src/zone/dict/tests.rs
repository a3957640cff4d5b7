use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;

mod model;

const ONCE: Store = Store {
    ttl: 0,
    flags: 0,
    only: Only::Always,
    safe: true,
};

fn dict(size: usize) -> Dict {
    Dict::new("a100k", size).unwrap()
}

fn text(dict: &Dict, key: &str) -> Option<String> {
    let read = |found: Found<'_>| match found.value {
        Value::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        other => format!("{other:?}"),
    };
    dict.get(key.as_bytes(), read).unwrap()
}

fn set(dict: &Dict, key: &str, value: &str) -> Stored {
    dict.set(
        key.as_bytes(),
        Value::Text(value.as_bytes()),
        Store::default(),
    )
}

fn keys(dict: &Dict) -> Vec<String> {
    let mut keys = Vec::new();
    dict.keys(usize::MAX, |key| {
        keys.push(String::from_utf8(key.to_vec()).unwrap());
    });
    keys
}

/// A state whose clock is told.
struct Told(State);

impl Told {
    fn new() -> Self {
        let mut state = State::new("told", 102_400).unwrap();
        state.now = 1000;
        Self(state)
    }

    fn set(&mut self, key: &str, ttl: u64) {
        let how = Store {
            ttl,
            ..Store::default()
        };
        let key = hashed(key.as_bytes());
        let stored = self.0.set(key, Value::Number(1.0), how);
        assert_eq!(stored.result, Ok(()));
    }

    fn lives(&mut self, key: &str) -> bool {
        self.0.get(hashed(key.as_bytes())).unwrap().is_some()
    }
}

/// How many values of a kind fit is what an nginx 1.22 with lua-nginx-module 0.10.23 says for a
/// dictionary of this name and size.
#[test]
fn as_much_fits_as_in_nginx() {
    let texts: Vec<String> = [100, 1000, 3000, 5000]
        .map(|len| "x".repeat(len))
        .into_iter()
        .collect();
    let values = [
        (Value::Number(1.0), 735),
        (Value::Boolean(true), 735),
        (Value::Text(texts[0].as_bytes()), 352),
        (Value::Text(texts[1].as_bytes()), 44),
        (Value::Text(texts[2].as_bytes()), 22),
        (Value::Text(texts[3].as_bytes()), 11),
    ];
    for (value, fits) in values {
        let dict = dict(102_400);
        assert_eq!(dict.free_space(), 90_112);
        let stored = (0..1000)
            .take_while(|n| {
                let key = format!("a{n:06}");
                let stored = dict.set(key.as_bytes(), value, ONCE);
                stored.result.is_ok()
            })
            .count();
        assert_eq!((stored, dict.free_space()), (fits, 0), "{value:?}");

        let refused = dict.set(b"another", value, ONCE);
        assert_eq!(refused.result, Err(Refusal::NoMemory));
        assert!(!refused.forcible);
        let forced = dict.set(b"another", value, Store::default());
        assert_eq!((forced.result, forced.forcible), (Ok(()), true));
        assert_eq!(dict.len(), fits);
        assert!(!keys(&dict).contains(&"a000000".to_owned()));
    }
}

#[test]
fn what_is_larger_than_the_zone_evicts_and_fails() {
    let dict = dict(102_400);
    let huge = "helloworld".repeat(10_000);
    let stored = set(&dict, "huge", &huge);
    assert_eq!(
        (stored.result, stored.forcible),
        (Err(Refusal::NoMemory), false)
    );
    for n in 0..40 {
        assert_eq!(set(&dict, &n.to_string(), "x").result, Ok(()));
    }
    let stored = set(&dict, "huge", &huge);
    assert_eq!(
        (stored.result, stored.forcible),
        (Err(Refusal::NoMemory), true)
    );
    assert_eq!(dict.len(), 10, "thirty at most are evicted");
}

#[test]
fn the_least_recently_used_goes_first() {
    let dict = dict(Dict::MIN_SIZE);
    assert_eq!(dict.free_space(), 0);
    let mut n = 0;
    while !set(&dict, &format!("key{n}"), "x").forcible {
        if n > 0 {
            assert_eq!(text(&dict, "key0").as_deref(), Some("x"));
        }
        n += 1;
    }
    assert_eq!(n, 31, "a page, less what the dictionary has for itself");
    assert_eq!(text(&dict, "key1"), None);
    assert_eq!(text(&dict, "key0").as_deref(), Some("x"));
    assert_eq!(keys(&dict).first().unwrap(), "key2");
    assert_eq!(keys(&dict).last().unwrap(), "key0");
}

#[test]
fn values_of_one_size_share_a_place() {
    let dict = dict(Dict::MIN_SIZE);
    let kinds = [
        Value::Number(2.5),
        Value::Text(b"12345678"),
        Value::Text(b"abcdefgh"),
        Value::Number(-0.0),
        Value::Boolean(true),
        Value::Text(b"x"),
        Value::Text(b""),
    ];
    for value in kinds {
        assert_eq!(dict.set(b"key", value, ONCE).result, Ok(()));
        let same = dict.get(b"key", |found| found.value == value).unwrap();
        assert_eq!(same, Some(true), "{value:?}");
    }
    assert_eq!(dict.len(), 1);
}

#[test]
fn add_and_replace_look_first() {
    let dict = dict(Dict::MIN_SIZE);
    let add = Store {
        only: Only::IfAbsent,
        flags: 7,
        ..Store::default()
    };
    let replace = Store {
        only: Only::IfPresent,
        ..Store::default()
    };
    let one = Value::Number(1.0);
    assert_eq!(dict.set(b"k", one, replace).result, Err(Refusal::NotFound));
    assert_eq!(dict.set(b"k", one, add).result, Ok(()));
    assert_eq!(dict.set(b"k", one, add).result, Err(Refusal::Exists));
    assert_eq!(dict.get(b"k", |found| found.flags), Ok(Some(7)));
    assert_eq!(
        dict.set(b"k", Value::Text(b"longer"), replace).result,
        Ok(())
    );
    assert_eq!(dict.get(b"k", |found| found.flags), Ok(Some(0)));
    assert!(dict.delete(b"k") && !dict.delete(b"k"));
    assert_eq!(dict.set(b"k", one, add).result, Ok(()));
}

#[test]
fn numbers_count_up() {
    let dict = dict(Dict::MIN_SIZE);
    let init = Some(Init {
        value: 10.0,
        ttl: 0,
    });
    assert_eq!(dict.incr(b"n", 1.0, None).result, Err(Refusal::NotFound));
    assert_eq!(dict.incr(b"n", 1.5, init).result, Ok(11.5));
    assert_eq!(dict.incr(b"n", -1.0, init).result, Ok(10.5));
    assert_eq!(dict.incr(b"n", 1.0, None).result, Ok(11.5));
    assert_eq!(set(&dict, "text", "1").result, Ok(()));
    assert_eq!(
        dict.incr(b"text", 1.0, init).result,
        Err(Refusal::NotANumber)
    );
}

#[test]
fn time_ends_entries() {
    let mut told = Told::new();
    told.set("short", 10);
    told.set("long", 20);
    told.set("for ever", 0);
    told.0.now = 1009;
    assert!(told.lives("short"));
    let short = hashed(b"short");
    assert_eq!(told.0.ttl(short), Some(TimeToLive::Left(1)));
    told.0.now = 1010;
    assert!(told.0.get_stale(short).unwrap().unwrap().is_stale);
    assert_eq!(told.0.ttl(short), Some(TimeToLive::Left(0)));
    assert!(!told.lives("short") && told.lives("long"));
    assert_eq!(told.0.len(), 3, "it is not the oldest");
    told.0.now = 5000;
    assert_eq!(told.0.ttl(short), Some(TimeToLive::Left(-3990)));
    assert!(told.0.expire(hashed(b"long"), 0), "it lives again");
    assert!(told.lives("for ever"));
    assert_eq!((told.0.flush_expired(9), told.0.len()), (1, 2));
    assert!(told.lives("long"));
    assert_eq!(told.0.ttl(hashed(b"for ever")), Some(TimeToLive::Forever));
    assert!(!told.0.expire(hashed(b"nothing"), 1));
    assert_eq!(told.0.ttl(hashed(b"nothing")), None);
}

#[test]
fn everyone_tidies_up_a_little() {
    let mut told = Told::new();
    for key in ["a", "b", "c", "d", "e"] {
        told.set(key, 10);
    }
    told.0.now += 10;
    assert!(told.0.get_stale(hashed(b"a")).unwrap().is_some());
    assert_eq!(told.0.len(), 5, "who looks for stale entries does not");
    assert!(!told.lives("e"));
    assert_eq!(told.0.len(), 3);
    assert_eq!(told.0.list_len(hashed(b"e")), Ok(0));
    assert_eq!(told.0.len(), 1);
    told.set("e", 0);
    assert_eq!(told.0.len(), 1);
}

#[test]
fn flushing_ends_the_time_of_all() {
    let mut told = Told::new();
    for key in ["a", "b", "c", "d", "e"] {
        told.set(key, 0);
    }
    told.0.flush_all();
    assert_eq!(told.0.len(), 2, "the three oldest are gone");
    assert!(told.0.get_stale(hashed(b"e")).unwrap().unwrap().is_stale);
    let mut shown = 0;
    told.0.keys(9, |_| shown += 1);
    assert_eq!(shown, 0);
    assert_eq!((told.0.flush_expired(1), told.0.flush_expired(9)), (1, 1));
    assert_eq!(told.0.len(), 0);
    told.0.flush_all();
    assert_eq!(told.0.free_space(), Told::new().0.free_space());
}

#[test]
fn an_expired_number_begins_anew() {
    let mut told = Told::new();
    told.set("n", 10);
    told.set("barrier", 0);
    assert!(told.lives("n"));
    told.0.now += 10;
    let init = Some(Init {
        value: 5.0,
        ttl: 30,
    });
    let key = hashed(b"n");
    assert_eq!(told.0.incr(key, 1.0, None).result, Err(Refusal::NotFound));
    assert_eq!(told.0.incr(key, 1.0, init).result, Ok(6.0));
    assert_eq!(told.0.ttl(key), Some(TimeToLive::Left(30)));
    assert_eq!(told.0.incr(key, 1.0, init).result, Ok(7.0));
    assert_eq!(told.0.ttl(key), Some(TimeToLive::Left(30)));
}

#[test]
fn lists_have_two_ends() {
    let dict = dict(Dict::MIN_SIZE);
    let key = b"list".as_slice();
    assert_eq!(dict.push(key, Value::Number(1.0), End::Right), Ok(1));
    assert_eq!(dict.push(key, Value::Text(b"two"), End::Right), Ok(2));
    assert_eq!(dict.push(key, Value::Text(b"zero"), End::Left), Ok(3));
    assert_eq!(
        dict.push(key, Value::Boolean(true), End::Left),
        Err(Refusal::BadValue)
    );
    assert_eq!(dict.list_len(key), Ok(3));
    assert_eq!(dict.get(key, |_| ()), Err(Refusal::IsAList));
    assert_eq!(dict.incr(key, 1.0, None).result, Err(Refusal::NotANumber));
    let item = |text: &[u8]| Ok(Some(Item::Text(text.into())));
    assert_eq!(dict.pop(key, End::Right), item(b"two"));
    assert_eq!(dict.pop(key, End::Left), item(b"zero"));
    assert_eq!(dict.pop(key, End::Left), Ok(Some(Item::Number(1.0))));
    assert_eq!(dict.pop(key, End::Left), Ok(None));
    assert!(dict.is_empty());
    assert_eq!(dict.list_len(key), Ok(0));
    assert_eq!(set(&dict, "list", "plain").result, Ok(()));
    assert_eq!(dict.pop(key, End::Left), Err(Refusal::NotAList));
    assert_eq!(dict.list_len(key), Err(Refusal::NotAList));
    assert_eq!(
        dict.push(key, Value::Number(1.0), End::Left),
        Err(Refusal::NotAList)
    );
}

#[test]
fn lists_evict_nothing() {
    let dict = dict(Dict::MIN_SIZE);
    assert_eq!(set(&dict, "key", "x").result, Ok(()));
    let mut n = 0;
    while dict.push(b"list", Value::Number(1.0), End::Left).is_ok() {
        n += 1;
    }
    assert_eq!(n, 126, "a page of 127, less the name of the zone");
    assert_eq!(text(&dict, "key").as_deref(), Some("x"));
    assert!(dict.delete(b"list"));
    assert_eq!(
        dict.push(b"list", Value::Number(1.0), End::Left),
        Ok(1),
        "its room was given back"
    );
}

#[test]
fn a_list_whose_time_is_over_begins_anew() {
    let mut told = Told::new();
    let key = hashed(b"list");
    for n in [1.0, 2.0] {
        let pushed = told.0.push(key, Item::Number(n), End::Right);
        assert!(pushed.is_ok());
    }
    assert!(told.0.expire(key, 5));
    assert_eq!(told.0.push(key, Item::Number(3.0), End::Right), Ok(3));
    assert_eq!(told.0.ttl(key), Some(TimeToLive::Left(5)));
    told.0.now += 5;
    assert_eq!(told.0.pop(key, End::Left), Ok(None));
    assert_eq!(told.0.push(key, Item::Number(4.0), End::Right), Ok(1));
    assert_eq!(told.0.ttl(key), Some(TimeToLive::Forever));
}

#[test]
fn long_keys_and_small_zones_are_refused() {
    let dict = dict(1 << 20);
    let key = vec![b'k'; MAX_KEY + 1];
    let value = Value::Number(1.0);
    let too_long = Err(Refusal::KeyTooLong);
    assert_eq!(dict.set(&key, value, ONCE).result, too_long);
    assert_eq!(dict.push(&key, value, End::Left), Err(Refusal::KeyTooLong));
    assert_eq!(dict.get(&key, |_| ()), Ok(None));
    assert_eq!(dict.set(&key[1..], value, ONCE).result, Ok(()));
    assert_eq!(dict.get(&key[1..], |_| ()), Ok(Some(())));

    let refused = Dict::new("small", Dict::MIN_SIZE - 1).unwrap_err();
    assert_eq!(refused, TooSmall { size: 12_287 });
    assert!(refused.to_string().ends_with("it takes 12288"));
}

#[test]
fn a_reader_that_panics_leaves_the_dictionary_usable() {
    let dict = dict(Dict::MIN_SIZE);
    assert_eq!(set(&dict, "key", "x").result, Ok(()));
    let reader = || dict.get(b"key", |_| panic!("on purpose"));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(reader));
    assert!(caught.is_err());
    assert_eq!(text(&dict, "key").as_deref(), Some("x"));
}

/// Four threads count, fill, pop and flush: no count is lost, and what is read was written.
#[test]
fn threads_share_a_dictionary() {
    const ROUNDS: usize = 5000;
    let dict = dict(64 << 10);
    let pushed = AtomicUsize::new(0);
    let popped = AtomicUsize::new(0);
    let start = Some(Init { value: 0.0, ttl: 0 });
    let work = |thread: usize| {
        for n in 0..ROUNDS {
            assert!(dict.incr(b"count", 1.0, start).result.is_ok());
            let key = format!("{}", n * 7 % 1000);
            let value = key.repeat(1 + thread);
            let _full = set(&dict, &key, &value);
            if let Some(read) = text(&dict, &key) {
                let times = read.len() / key.len();
                assert_eq!(read, key.repeat(times));
            }
            if dict.push(b"list", Value::Number(1.0), End::Left).is_ok() {
                pushed.fetch_add(1, Ordering::Relaxed);
            }
            if n % 3 == 0 && matches!(dict.pop(b"list", End::Right), Ok(Some(_))) {
                popped.fetch_add(1, Ordering::Relaxed);
            }
            dict.expire(key.as_bytes(), 1);
        }
    };
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || work(thread));
        }
    });
    let count = dict.incr(b"count", 0.0, None).result.unwrap();
    assert!((count - 4.0 * ROUNDS as f64).abs() < 0.5, "{count}");
    let left = pushed.into_inner() - popped.into_inner();
    assert_eq!(dict.list_len(b"list"), Ok(left));
}
