//! What all threads know about a peer: its failures and its connections.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The shared counters of one peer. Times are seconds of one clock that all threads share.
///
/// The counters are independent of each other and guide a heuristic: relaxed order is enough.
#[derive(Debug, Default)]
pub struct Fails {
    fails: AtomicU32,
    /// When the peer last failed.
    accessed: AtomicU64,
    /// When the peer was last given a chance.
    checked: AtomicU64,
    conns: AtomicU32,
}

impl Fails {
    /// Whether the peer may be asked: it failed less than `max_fails` times, or its last chance was
    /// more than `fail_timeout` ago. A `max_fails` of 0 never bars a peer.
    pub fn is_live(&self, max_fails: u32, fail_timeout: u64, now: u64) -> bool {
        max_fails == 0
            || self.fails.load(Ordering::Relaxed) < max_fails
            || now.saturating_sub(self.checked.load(Ordering::Relaxed)) > fail_timeout
    }

    /// The peer is chosen: one connection more; after `fail_timeout` this is its new chance.
    pub fn chosen(&self, fail_timeout: u64, now: u64) {
        self.conns.fetch_add(1, Ordering::Relaxed);
        if now.saturating_sub(self.checked.load(Ordering::Relaxed)) > fail_timeout {
            self.checked.store(now, Ordering::Relaxed);
        }
    }

    /// The only peer there is is asked: one connection more.
    pub fn taken(&self) {
        self.conns.fetch_add(1, Ordering::Relaxed);
    }

    /// The try is over: one connection less.
    pub fn released(&self) {
        // Every call follows one of `chosen`, so this cannot wrap.
        self.conns.fetch_sub(1, Ordering::Relaxed);
    }

    /// The peer failed. True if this bars it from now on.
    pub fn failed(&self, max_fails: u32, now: u64) -> bool {
        let fails = self.fails.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.accessed.store(now, Ordering::Relaxed);
        self.checked.store(now, Ordering::Relaxed);
        max_fails != 0 && fails >= max_fails
    }

    /// The peer answered: if that was its chance after failures, they are forgotten.
    pub fn served(&self) {
        if self.accessed.load(Ordering::Relaxed) < self.checked.load(Ordering::Relaxed) {
            self.fails.store(0, Ordering::Relaxed);
        }
    }

    /// Connections in use, of all threads.
    pub fn connections(&self) -> u32 {
        self.conns.load(Ordering::Relaxed)
    }

    /// Failures that are not forgotten.
    pub fn failures(&self) -> u32 {
        self.fails.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_barred_and_gets_its_chance() {
        let peer = Fails::default();
        assert!(!peer.failed(2, 100));
        assert!(peer.is_live(2, 10, 100));
        assert!(peer.failed(2, 101));
        assert!(!peer.is_live(2, 10, 111));
        assert!(peer.is_live(2, 10, 112) && peer.is_live(0, 10, 101));

        peer.chosen(10, 112);
        assert_eq!(peer.connections(), 1);
        // One chance at a time.
        assert!(!peer.is_live(2, 10, 113));
        peer.released();
        peer.served();
        assert_eq!((peer.failures(), peer.connections()), (0, 0));
        assert!(peer.is_live(2, 10, 113));
    }

    #[test]
    fn an_answer_without_a_chance_forgets_nothing() {
        let peer = Fails::default();
        peer.failed(3, 100);
        peer.chosen(10, 105);
        peer.served();
        assert_eq!(peer.failures(), 1);
    }
}
