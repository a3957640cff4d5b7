//! What is told about a request's exchanges: in logs and variables.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use ngx_core::http::{CtxSlot, Request, Reused};
use smallvec::SmallVec;

use crate::driver::{Tries, Try};
use crate::proto::http1::Head;

/// The exchanges of a request. Outlives internal redirects, as `$upstream_addr` and its like do.
pub(super) static STATE: CtxSlot<State> = CtxSlot::reused_lasting();

/// What is known of the exchanges of a request. Its memory serves other requests after that.
#[derive(Default)]
pub(super) struct State {
    /// The exchanges; those behind the first `count` are of other requests.
    exchanges: RefCell<SmallVec<[Noted; 1]>>,
    count: Cell<usize>,
    /// The head of the last response.
    head: RefCell<Option<Head>>,
    /// None that the request says.
    site: RefCell<Option<Arc<Site>>>,
    asked: Rc<Asked>,
}

/// The tries of one exchange.
#[derive(Default)]
struct Noted {
    tries: Tries,
    /// Those behind the first `count` are of other requests.
    count: usize,
}

impl Noted {
    fn tries(&self) -> impl Iterator<Item = &Try> {
        self.tries.iter().take(self.count)
    }
}

/// Exchanges and tries whose memory is kept: few requests have more.
const KEPT: usize = 4;

impl Reused for State {
    fn forget(&mut self) {
        self.count.set(0);
        self.exchanges.get_mut().truncate(KEPT);
        for noted in self.exchanges.get_mut() {
            noted.tries.truncate(KEPT);
        }
        if let Some(head) = self.head.get_mut().take() {
            head.recycle();
        }
    }
}

/// Whom a request goes to, as far as the request itself says so.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Site {
    /// `$proxy_host`
    pub(super) host: Bytes,
    /// `$proxy_port`
    pub(super) port: Bytes,
}

/// Whom the running try asks, for lines of the log.
#[derive(Default)]
struct Asked(RefCell<Target>);

#[derive(Default)]
struct Target {
    schema: &'static str,
    peer: Option<Arc<str>>,
    /// A peer was asked in this exchange: it is `peer`.
    is_known: bool,
    uri: Vec<u8>,
}

/// As long as the memory of a URI is kept.
const URI_MAX: usize = 4096;

impl State {
    /// The state of `r`, with one more exchange.
    pub(super) fn begin(r: &Request, schema: &'static str, site: Option<&Arc<Site>>) -> Rc<Self> {
        let state = r.ctx_or_default(&STATE);
        state.begin_exchange(schema, site);
        state
    }

    #[inline]
    fn begin_exchange(&self, schema: &'static str, site: Option<&Arc<Site>>) {
        let count = self.count.get() + 1;
        self.count.set(count);
        let mut exchanges = self.exchanges.borrow_mut();
        match exchanges.get_mut(count - 1) {
            Some(noted) => noted.count = 0,
            None => exchanges.push(Noted::default()),
        }
        if count > 1
            && let Some(head) = self.head.take()
        {
            head.recycle();
        }
        let mut own = self.site.borrow_mut();
        if own.as_ref().map(Arc::as_ptr) != site.map(Arc::as_ptr) {
            *own = site.map(Arc::clone);
        }
        let mut target = self.asked.0.borrow_mut();
        target.schema = schema;
        target.is_known = false;
        target.uri.clear();
        target.uri.shrink_to(URI_MAX);
    }

    /// The path and arguments of the request, for logs.
    pub(super) fn set_uri(&self, uri: &[u8]) {
        let mut target = self.asked.0.borrow_mut();
        target.uri.extend_from_slice(uri);
    }

    /// Whom the next lines of the log are about.
    #[inline]
    pub(super) fn ask(&self, r: &Request, peer: &Arc<str>) {
        if self.name(peer) {
            r.set_log_upstream(Some(Rc::clone(&self.asked) as Rc<dyn fmt::Display>));
        }
    }

    /// Notes who is asked; whether that is the first one in this exchange.
    #[inline]
    fn name(&self, peer: &Arc<str>) -> bool {
        let mut target = self.asked.0.borrow_mut();
        let is_same = |own: &Arc<str>| Arc::ptr_eq(own, peer);
        if !target.peer.as_ref().is_some_and(is_same) {
            target.peer = Some(Arc::clone(peer));
        }
        !std::mem::replace(&mut target.is_known, true)
    }

    /// The tries of the last exchange, which may go on.
    pub(super) fn note_tries(&self, tries: &[Try]) {
        let mut exchanges = self.exchanges.borrow_mut();
        let Some(noted) = exchanges.get_mut(self.count.get().wrapping_sub(1)) else {
            return;
        };
        for (at, one) in tries.iter().enumerate() {
            match noted.tries.get_mut(at) {
                Some(own) => own.copy(one),
                None => noted.tries.push(one.clone()),
            }
        }
        noted.count = tries.len();
    }

    pub(super) fn set_head(&self, head: Head) {
        self.head.replace(Some(head));
    }

    pub(super) fn with_head<T>(&self, f: impl FnOnce(&Head) -> T) -> Option<T> {
        self.head.borrow().as_ref().map(f)
    }

    pub(super) fn with_site<T>(&self, f: impl FnOnce(&Site) -> T) -> T {
        match self.site.borrow().as_deref() {
            Some(site) => f(site),
            None => f(&Site::default()),
        }
    }

    /// Appends one word per try: commas between tries, colons between exchanges.
    pub(super) fn write_tries(&self, out: &mut Vec<u8>, word: impl Fn(&Try, &mut Vec<u8>)) -> bool {
        let start = out.len();
        let exchanges = self.exchanges.borrow();
        let exchanges = exchanges.iter().take(self.count.get());
        for noted in exchanges.filter(|noted| noted.count > 0) {
            let mut separator: &[u8] = if out.len() > start { b" : " } else { b"" };
            for one in noted.tries() {
                out.extend_from_slice(separator);
                word(one, out);
                separator = b", ";
            }
        }
        out.len() > start
    }
}

/// `http://127.0.0.1:8081/uri`
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.0.borrow();
        let peer = target.peer.as_deref().filter(|_| target.is_known);
        let peer = peer.unwrap_or_default();
        let separator = if peer.starts_with("unix:") { ":" } else { "" };
        let uri = String::from_utf8_lossy(&target.uri);
        write!(f, "{}{peer}{separator}{uri}", target.schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(peers: &[&str]) -> Tries {
        let one = |&peer: &&str| Try {
            peer: peer.into(),
            reused: false,
            connect_time: None,
            header_time: None,
            response_time: None,
            sent: 1,
            received: 2,
            body: 3,
            status: 200,
        };
        peers.iter().map(one).collect()
    }

    fn peers(state: &State) -> String {
        let mut out = Vec::new();
        let any = state.write_tries(&mut out, |one, out| {
            out.extend_from_slice(one.peer.as_bytes());
        });
        assert_eq!(any, !out.is_empty());
        String::from_utf8(out).unwrap()
    }

    fn begin(state: &State) {
        state.begin_exchange("http://", None);
    }

    #[test]
    fn what_is_told_is_of_this_request_alone() {
        let mut state = State::default();
        assert_eq!(peers(&state), "");
        for _ in 0..2 {
            begin(&state);
            assert_eq!(peers(&state), "");
            state.note_tries(&tries(&["a", "b"]));
            begin(&state);
            state.note_tries(&tries(&["c"]));
            assert_eq!(peers(&state), "a, b : c");
            state.forget();
            assert_eq!(peers(&state), "");

            begin(&state);
            state.note_tries(&tries(&["d"]));
            assert_eq!(peers(&state), "d");
            state.note_tries(&tries(&["e", "f", "g"]));
            assert_eq!(peers(&state), "e, f, g");
            state.forget();
        }
    }

    #[test]
    fn lines_of_the_log_name_who_is_asked_now() {
        let state = State::default();
        begin(&state);
        state.set_uri(b"/a");
        assert_eq!(state.asked.to_string(), "http:///a");
        assert!(state.name(&Arc::from("unix:/b")));
        assert!(!state.name(&Arc::from("10.0.0.1:80")));
        assert_eq!(state.asked.to_string(), "http://10.0.0.1:80/a");
        begin(&state);
        assert_eq!(state.asked.to_string(), "http://");
    }
}
