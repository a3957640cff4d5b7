//! What a resolver knows, and what it is asking for.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::ResolveErrorKind;
use crate::time::now_ms;

/// Names may come from clients: what is kept must have an end.
const MAX_NAMES: usize = 16_384;

/// Addresses, and how long they may be used.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) addrs: Arc<[IpAddr]>,
    pub(super) valid: Duration,
}

type Outcome = Result<Answer, ResolveErrorKind>;

/// Answers by name, and the questions that are on their way. No lock is held while waiting.
#[derive(Debug, Default)]
pub(super) struct Cache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Box<str>, Known>,
    flights: HashMap<Box<str>, Arc<OnceCell<Outcome>>>,
    /// The number of names at which the old ones are thrown out.
    sweep_at: usize,
}

#[derive(Debug)]
struct Known {
    addrs: Arc<[IpAddr]>,
    until: u64,
}

impl Cache {
    /// The addresses of a name, if they are known and not too old.
    pub(super) fn get(&self, name: &str) -> Option<Arc<[IpAddr]>> {
        let state = self.lock();
        let known = state.known.get(name)?;
        (now_ms() < known.until).then(|| Arc::clone(&known.addrs))
    }

    /// Keeps an answer.
    pub(super) fn keep(&self, name: &str, answer: &Answer) {
        let now = now_ms();
        let valid = u64::try_from(answer.valid.as_millis()).unwrap_or(u64::MAX);
        if valid == 0 {
            return;
        }
        let mut state = self.lock();
        if state.known.len() >= state.sweep_at.max(64) {
            state.known.retain(|_, known| known.until > now);
            if state.known.len() >= MAX_NAMES {
                state.known.clear();
            }
            state.sweep_at = (state.known.len() * 2).min(MAX_NAMES);
        }
        let known = Known {
            addrs: Arc::clone(&answer.addrs),
            until: now.saturating_add(valid),
        };
        state.known.insert(name.into(), known);
    }

    /// Takes part in the asking for a name, which begins if nobody asks yet.
    pub(super) fn join(&self, name: &str) -> Flight<'_> {
        let mut state = self.lock();
        let cell = match state.flights.get(name) {
            Some(cell) => Arc::clone(cell),
            None => {
                let cell = Arc::default();
                state.flights.insert(name.into(), Arc::clone(&cell));
                cell
            }
        };
        Flight {
            cache: self,
            name: name.into(),
            cell,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn flights(&self) -> usize {
        self.lock().flights.len()
    }
}

/// One of those who wait for a name.
pub(super) struct Flight<'a> {
    cache: &'a Cache,
    name: Box<str>,
    cell: Arc<OnceCell<Outcome>>,
}

impl Flight<'_> {
    /// The outcome, which one of the waiters brings about with `ask`; if it goes away, the next.
    pub(super) async fn outcome<F>(&self, ask: impl FnOnce() -> F) -> Outcome
    where
        F: Future<Output = Outcome>,
    {
        self.cell.get_or_init(ask).await.clone()
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        let Some(cell) = state.flights.get(&self.name) else {
            return;
        };
        // The map and this one: nobody else waits. A finished flight takes nobody on board.
        if Arc::ptr_eq(cell, &self.cell)
            && (self.cell.initialized() || Arc::strong_count(cell) == 2)
        {
            state.flights.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(valid: Duration) -> Answer {
        Answer {
            addrs: Arc::from([IpAddr::from([127, 0, 0, 1])]),
            valid,
        }
    }

    #[test]
    fn old_names_are_swept_out_and_the_rest_is_bounded() {
        let cache = Cache::default();
        for n in 0..200 {
            cache.keep(&format!("old{n}"), &answer(Duration::from_millis(1)));
        }
        std::thread::sleep(Duration::from_millis(30));
        for n in 0..3 * MAX_NAMES {
            cache.keep(&format!("{n}"), &answer(Duration::from_secs(60)));
            assert!(cache.lock().known.len() <= MAX_NAMES);
        }
        assert!(cache.get("old1").is_none());
        assert!(cache.get(&format!("{}", 3 * MAX_NAMES - 1)).is_some());
        assert!(!cache.lock().known.contains_key("old1"));
    }

    #[test]
    fn what_is_valid_for_no_time_is_not_kept() {
        let cache = Cache::default();
        cache.keep("a", &answer(Duration::ZERO));
        assert!(cache.lock().known.is_empty());
    }
}
