//! Compiled patterns, kept for those who ask for it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::options::{self, Letters};
use crate::ffi::{Call, CompileError, Pattern, Raise};

/// A pattern with what its options say about results.
pub(super) struct Regex {
    pub(super) pattern: Pattern,
    pub(super) duplicates: bool,
}

/// The patterns with the option `o`, up to a number (`lua_regex_cache_max_entries`): who was not
/// asked for the longest time goes.
pub(crate) struct Cache {
    max: usize,
    kept: RefCell<HashMap<Vec<u8>, Kept>>,
    clock: Cell<u64>,
    /// Where keys are put together.
    key: RefCell<Vec<u8>>,
}

struct Kept {
    regex: Rc<Regex>,
    used: Cell<u64>,
}

impl Cache {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            kept: RefCell::default(),
            clock: Cell::new(0),
            key: RefCell::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.borrow().is_empty()
    }

    /// The pattern at 2, with the options at `at`. The inner error is what the function returns.
    pub(super) fn regex(
        &self,
        call: &Call<'_>,
        at: usize,
    ) -> Result<Result<Rc<Regex>, String>, Raise> {
        let source = call.want_text(2)?;
        if !call.boolean(at) {
            return Ok(compile(&source, Letters::default()));
        }
        let mut key = self.key.borrow_mut();
        key.clear();
        key.extend_from_slice(&call.want_text(at)?);
        key.push(0);
        key.extend_from_slice(&source);
        let now = self.clock.get() + 1;
        self.clock.set(now);
        if let Some(kept) = self.kept.borrow().get(key.as_slice()) {
            kept.used.set(now);
            return Ok(Ok(Rc::clone(&kept.regex)));
        }
        let letters = options::read(call, at)?;
        let compiled = compile(&source, letters);
        if let (Ok(regex), true) = (&compiled, letters.once && self.max > 0) {
            self.keep(key.clone(), regex);
        }
        Ok(compiled)
    }

    fn keep(&self, key: Vec<u8>, regex: &Rc<Regex>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= self.max {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.used.get());
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                kept.remove(&key);
            }
        }
        let regex = Rc::clone(regex);
        let used = Cell::new(self.clock.get());
        kept.insert(key, Kept { regex, used });
    }
}

fn compile(source: &[u8], letters: Letters) -> Result<Rc<Regex>, String> {
    match Pattern::compile(source, letters.options) {
        Ok(pattern) => Ok(Rc::new(Regex {
            pattern,
            duplicates: letters.duplicates,
        })),
        Err(CompileError { message, offset }) => {
            let text = String::from_utf8_lossy;
            let rest = source.get(offset..).unwrap_or_default();
            let place = if rest.is_empty() {
                String::new()
            } else {
                format!(" at \"{}\"", text(rest))
            };
            let whole = text(source);
            Err(format!(
                "pcre2_compile() failed: {message} in \"{whole}\"{place}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_not_asked_for_the_longest_time_goes() {
        let cache = Cache::new(2);
        let regex = compile(b"a", Letters::default()).unwrap();
        let ask = |key: &str| {
            cache.clock.set(cache.clock.get() + 1);
            let kept = cache.kept.borrow();
            let found = kept.get(key.as_bytes());
            found
                .inspect(|kept| kept.used.set(cache.clock.get()))
                .is_some()
        };
        for key in ["a", "b"] {
            assert!(!ask(key));
            cache.keep(key.into(), &regex);
        }
        assert!(ask("a"));
        cache.keep("c".into(), &regex);
        assert!(ask("a") && !ask("b") && ask("c"));
        assert_eq!(cache.kept.borrow().len(), 2);
    }
}
