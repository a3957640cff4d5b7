//! Every operation against a model: a vector in the order of use, which counts the room that is
//! taken anew each time.

use super::*;

const SIZE: usize = 20 << 10;

#[derive(Debug, Clone, PartialEq)]
enum Thing {
    Text(usize),
    Number(f64),
    Boolean(bool),
    List(Vec<f64>),
}

#[derive(Debug, Clone)]
struct Line {
    key: u8,
    thing: Thing,
    flags: i32,
    expires: u64,
}

/// Oldest first.
#[derive(Default)]
struct Model {
    lines: Vec<Line>,
    now: u64,
}

fn key_text(key: u8) -> String {
    // Of two classes.
    format!("key{}", "k".repeat(usize::from(key) * 3))
}

impl Model {
    /// Pages that these sizes take, packed.
    fn fits(&self, more: Option<usize>) -> bool {
        let name = "a100k".len();
        let mut sizes = vec![80, 27 + name];
        sizes.extend(more);
        for line in &self.lines {
            let node = 68 + key_text(line.key).len();
            match &line.thing {
                Thing::Text(len) => sizes.push(node + len),
                Thing::Number(_) => sizes.push(node + 8),
                Thing::Boolean(_) => sizes.push(node + 1),
                Thing::List(items) => {
                    sizes.push((node + 16).div_ceil(8) * 8);
                    sizes.extend(items.iter().map(|_| 29));
                }
            }
        }
        let mut pages = 0;
        for (size, per_page) in [
            (8, 504),
            (16, 254),
            (32, 127),
            (64, 64),
            (128, 32),
            (256, 16),
            (512, 8),
            (1024, 4),
            (2048, 2),
        ] {
            let of_class = sizes.iter().filter(|&&s| s <= size && 2 * s > size);
            pages += of_class.count().div_ceil(per_page);
        }
        let large = sizes.iter().filter(|&&s| s > 2048);
        pages += large.map(|s| s.div_ceil(4096)).sum::<usize>();
        pages <= 4
    }

    fn expired(&self, line: &Line) -> bool {
        line.expires != 0 && line.expires <= self.now
    }

    fn tidy(&mut self) {
        for _ in 0..2 {
            match self.lines.first() {
                Some(line) if self.expired(line) => drop(self.lines.remove(0)),
                _ => return,
            }
        }
    }

    fn find(&self, key: u8) -> Option<usize> {
        self.lines.iter().position(|line| line.key == key)
    }

    fn live(&mut self, key: u8) -> Option<&mut Line> {
        let at = self.find(key)?;
        if self.expired(&self.lines[at]) {
            return None;
        }
        let line = self.lines.remove(at);
        self.lines.push(line);
        self.lines.last_mut()
    }

    fn evict(&mut self) -> bool {
        if self.lines.is_empty() {
            return false;
        }
        self.lines.remove(0);
        self.tidy();
        true
    }

    fn place(&mut self, line: Line, safe: bool) -> (Result<(), Refusal>, bool) {
        if let Some(at) = self.find(line.key) {
            self.lines.remove(at);
        }
        let mut evicted = false;
        for tries in 0.. {
            self.lines.push(line.clone());
            if self.fits(None) {
                return (Ok(()), evicted);
            }
            self.lines.pop();
            if safe || tries == 30 || !self.evict() {
                break;
            }
            evicted = true;
        }
        (Err(Refusal::NoMemory), evicted)
    }

    fn set(&mut self, key: u8, thing: Thing, how: Store) -> (Result<(), Refusal>, bool) {
        self.tidy();
        match (how.only, self.live(key).is_some()) {
            (Only::IfAbsent, true) => return (Err(Refusal::Exists), false),
            (Only::IfPresent, false) => return (Err(Refusal::NotFound), false),
            _ => {}
        }
        let expires = if how.ttl == 0 { 0 } else { self.now + how.ttl };
        let line = Line {
            key,
            thing,
            flags: how.flags,
            expires,
        };
        self.place(line, how.safe)
    }

    fn incr(&mut self, key: u8, init: Option<Init>) -> (Result<f64, Refusal>, bool) {
        self.tidy();
        if let Some(line) = self.live(key) {
            let Thing::Number(number) = &mut line.thing else {
                return (Err(Refusal::NotANumber), false);
            };
            *number += 1.0;
            return (Ok(*number), false);
        }
        let Some(init) = init else {
            return (Err(Refusal::NotFound), false);
        };
        let sum = init.value + 1.0;
        let line = Line {
            key,
            thing: Thing::Number(sum),
            flags: 0,
            expires: if init.ttl == 0 {
                0
            } else {
                self.now + init.ttl
            },
        };
        let (result, forcible) = self.place(line, false);
        (result.map(|()| sum), forcible)
    }

    fn push(&mut self, key: u8, number: f64, end: End) -> Result<usize, Refusal> {
        self.tidy();
        if self.live(key).is_none() {
            let line = Line {
                key,
                thing: Thing::List(Vec::new()),
                flags: 0,
                expires: 0,
            };
            self.place(line, true).0?;
        }
        let fits = self.fits(Some(29));
        let Some(Line {
            thing: Thing::List(list),
            ..
        }) = self.lines.last_mut()
        else {
            return Err(Refusal::NotAList);
        };
        if fits {
            list.insert(if end == End::Left { 0 } else { list.len() }, number);
            return Ok(list.len());
        }
        if list.is_empty() {
            self.lines.pop();
        }
        Err(Refusal::NoMemory)
    }

    fn pop(&mut self, key: u8, end: End) -> Result<Option<Item>, Refusal> {
        self.tidy();
        let Some(line) = self.live(key) else {
            return Ok(None);
        };
        let Thing::List(list) = &mut line.thing else {
            return Err(Refusal::NotAList);
        };
        let at = if end == End::Left { 0 } else { list.len() - 1 };
        let number = list.remove(at);
        if list.is_empty() {
            self.lines.pop();
        }
        Ok(Some(Item::Number(number)))
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, Thing, Store),
    Get(u8),
    GetStale(u8),
    Delete(u8),
    Incr(u8, Option<Init>),
    Push(u8, f64, End),
    Pop(u8, End),
    Expire(u8, u64),
    FlushAll,
    FlushExpired(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let key = 0_u8..40;
    let ttl = prop_oneof![Just(0_u64), 1..50_u64];
    let thing = prop_oneof![
        (0_usize..300).prop_map(Thing::Text),
        (1000_usize..6000).prop_map(Thing::Text),
        (0_u32..9).prop_map(|n| Thing::Number(n.into())),
        any::<bool>().prop_map(Thing::Boolean),
    ];
    let only = prop_oneof![
        3 => Just(Only::Always),
        1 => Just(Only::IfAbsent),
        1 => Just(Only::IfPresent)
    ];
    let how =
        (ttl.clone(), any::<i32>(), only, any::<bool>()).prop_map(|(ttl, flags, only, safe)| {
            Store {
                ttl,
                flags,
                only,
                safe,
            }
        });
    let init = proptest::option::of((0_u32..9, ttl.clone()).prop_map(|(value, ttl)| Init {
        value: value.into(),
        ttl,
    }));
    let end = prop_oneof![Just(End::Left), Just(End::Right)];
    prop_oneof![
        8 => (key.clone(), thing, how).prop_map(|(k, t, h)| Step::Set(k, t, h)),
        4 => key.clone().prop_map(Step::Get),
        2 => key.clone().prop_map(Step::GetStale),
        1 => key.clone().prop_map(Step::Delete),
        3 => (key.clone(), init).prop_map(|(k, i)| Step::Incr(k, i)),
        6 => (key.clone(), 0_u32..9, end.clone()).prop_map(|(k, n, e)| Step::Push(k, n.into(), e)),
        2 => (key.clone(), end).prop_map(|(k, e)| Step::Pop(k, e)),
        2 => (key, ttl).prop_map(|(k, t)| Step::Expire(k, t)),
        1 => Just(Step::FlushAll),
        1 => (0_usize..9).prop_map(Step::FlushExpired),
        3 => (1_u64..20).prop_map(Step::Wait),
    ]
}

fn seen(found: Found<'_>) -> (Thing, i32, bool) {
    let thing = match found.value {
        Value::Text(text) => Thing::Text(text.len()),
        Value::Number(number) => Thing::Number(number),
        Value::Boolean(yes) => Thing::Boolean(yes),
    };
    (thing, found.flags, found.is_stale)
}

fn expected(line: &Line, is_stale: bool) -> Result<Option<(Thing, i32, bool)>, Refusal> {
    match &line.thing {
        Thing::List(_) => Err(Refusal::IsAList),
        thing => Ok(Some((thing.clone(), line.flags, is_stale))),
    }
}

fn agree(step: Step, real: &mut State, model: &mut Model) {
    match step {
        Step::Set(key, thing, how) => {
            let bytes = key_text(key);
            let long = "x".repeat(6000);
            let value = match thing {
                Thing::Text(len) => Value::Text(&long.as_bytes()[..len]),
                Thing::Number(number) => Value::Number(number),
                Thing::Boolean(yes) => Value::Boolean(yes),
                Thing::List(_) => unreachable!("not among the steps"),
            };
            let stored = real.set(hashed(bytes.as_bytes()), value, how);
            let wanted = model.set(key, thing, how);
            assert_eq!((stored.result, stored.forcible), wanted);
        }
        Step::Get(key) => {
            let bytes = key_text(key);
            let got = real.get(hashed(bytes.as_bytes())).map(|f| f.map(seen));
            model.tidy();
            let wanted = model.live(key).map(|line| expected(line, false));
            assert_eq!(got, wanted.unwrap_or(Ok(None)));
        }
        Step::GetStale(key) => {
            let bytes = key_text(key);
            let got = real.get_stale(hashed(bytes.as_bytes()));
            let is_stale = model.live(key).is_none();
            let at = model.find(key);
            let wanted = at.map(|at| expected(&model.lines[at], is_stale));
            assert_eq!(got.map(|f| f.map(seen)), wanted.unwrap_or(Ok(None)));
        }
        Step::Delete(key) => {
            model.tidy();
            let removed = model.find(key).map(|at| model.lines.remove(at)).is_some();
            assert_eq!(real.delete(hashed(key_text(key).as_bytes())), removed);
        }
        Step::Incr(key, init) => {
            let stored = real.incr(hashed(key_text(key).as_bytes()), 1.0, init);
            assert_eq!((stored.result, stored.forcible), model.incr(key, init));
        }
        Step::Push(key, number, end) => {
            let bytes = key_text(key);
            let pushed = real.push(hashed(bytes.as_bytes()), Item::Number(number), end);
            assert_eq!(pushed, model.push(key, number, end));
        }
        Step::Pop(key, end) => {
            let popped = real.pop(hashed(key_text(key).as_bytes()), end);
            assert_eq!(popped, model.pop(key, end));
        }
        Step::Expire(key, ttl) => {
            let there = real.expire(hashed(key_text(key).as_bytes()), ttl);
            let expires = if ttl == 0 { 0 } else { model.now + ttl };
            let at = model.find(key);
            at.inspect(|&at| model.lines[at].expires = expires);
            assert_eq!(there, at.is_some());
        }
        Step::FlushAll => {
            real.flush_all();
            model.lines.iter_mut().for_each(|line| line.expires = 1);
            model.evict();
        }
        Step::FlushExpired(max) => {
            let before = model.lines.len();
            let (now, mut left) = (model.now, max);
            model.lines.retain(|line| {
                let goes = left > 0 && line.expires != 0 && line.expires <= now;
                left -= usize::from(goes);
                !goes
            });
            assert_eq!(real.flush_expired(max), before - model.lines.len());
        }
        Step::Wait(ms) => {
            model.now += ms;
            real.now = model.now;
        }
    }
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(steps in proptest::collection::vec(steps(), 1..250)) {
        let mut real = State::new("a100k", SIZE).unwrap();
        let mut model = Model { now: 100, ..Model::default() };
        real.now = model.now;
        for step in steps {
            agree(step, &mut real, &mut model);
            assert_eq!(real.len(), model.lines.len());
        }
        let mut keys = Vec::new();
        real.keys(usize::MAX, |key| keys.push(key.to_vec()));
        let live = model.lines.iter().filter(|line| !model.expired(line));
        let wanted: Vec<_> = live.map(|line| key_text(line.key).into_bytes()).collect();
        assert_eq!(keys, wanted);
        real.flush_all();
        real.flush_expired(usize::MAX);
        assert_eq!(real.len(), 0);
        let empty = State::new("a100k", SIZE).unwrap();
        assert_eq!(real.free_space(), empty.free_space());
    }
}
