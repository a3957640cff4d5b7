//! What is told about a request's exchanges: in logs and variables.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use ngx_core::http::{CtxSlot, Request};
use smallvec::SmallVec;

use crate::driver::{Tries, Try};
use crate::proto::http1::Head;

/// The exchanges of a request. Outlives internal redirects, as `$upstream_addr` and its like do.
pub(super) static STATE: CtxSlot<State> = CtxSlot::lasting();

/// What is known of the exchanges of a request.
pub(super) struct State {
    /// The tries of each exchange.
    exchanges: RefCell<SmallVec<[Tries; 1]>>,
    /// The head of the last response.
    head: RefCell<Option<Head>>,
    /// None that the request says.
    site: RefCell<Option<Arc<Site>>>,
    /// Whom the running try asks.
    asked: RefCell<Asked>,
}

/// Whom a request goes to, as far as the request itself says so.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Site {
    /// `$proxy_host`
    pub(super) host: Bytes,
    /// `$proxy_port`
    pub(super) port: Bytes,
}

#[derive(Default)]
struct Asked {
    schema: &'static str,
    peer: Option<Arc<str>>,
    uri: Bytes,
}

impl State {
    /// The state of `r`, with one more exchange.
    pub(super) fn begin(r: &Request, schema: &'static str, site: Option<&Arc<Site>>) -> Rc<Self> {
        let site = site.map(Arc::clone);
        let asked = Asked {
            schema,
            ..Asked::default()
        };
        if let Some(state) = r.ctx(&STATE) {
            state.exchanges.borrow_mut().push(Tries::new());
            state.head.take();
            state.site.replace(site);
            state.asked.replace(asked);
            return state;
        }
        let state = Rc::new(Self {
            exchanges: RefCell::new(SmallVec::from_buf([Tries::new()])),
            head: RefCell::default(),
            site: RefCell::new(site),
            asked: RefCell::new(asked),
        });
        r.set_ctx(&STATE, Rc::clone(&state));
        state
    }

    /// The path and arguments of the request, for logs.
    pub(super) fn set_uri(&self, uri: Bytes) {
        self.asked.borrow_mut().uri = uri;
    }

    /// Whom the next lines of the log are about.
    pub(super) fn ask(self: &Rc<Self>, r: &Request, peer: &Arc<str>) {
        let first = self
            .asked
            .borrow_mut()
            .peer
            .replace(Arc::clone(peer))
            .is_none();
        if first {
            r.set_log_upstream(Some(Rc::clone(self) as Rc<dyn fmt::Display>));
        }
    }

    /// The tries of the last exchange, which is over.
    pub(super) fn swap_tries(&self, tries: &mut Tries) {
        if let Some(last) = self.exchanges.borrow_mut().last_mut() {
            std::mem::swap(last, tries);
        }
    }

    /// The tries of the last exchange, which goes on.
    pub(super) fn note_tries(&self, tries: &[Try]) {
        if let Some(last) = self.exchanges.borrow_mut().last_mut() {
            last.clear();
            for one in tries {
                last.push(one.clone());
            }
        }
    }

    pub(super) fn set_head(&self, head: &Head) {
        self.head.replace(Some(head.clone()));
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
        for tries in self
            .exchanges
            .borrow()
            .iter()
            .filter(|tries| !tries.is_empty())
        {
            let mut separator: &[u8] = if out.len() > start { b" : " } else { b"" };
            for one in tries {
                out.extend_from_slice(separator);
                word(one, out);
                separator = b", ";
            }
        }
        out.len() > start
    }
}

/// `http://127.0.0.1:8081/uri`
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.asked.borrow();
        let peer = asked.peer.as_deref().unwrap_or_default();
        let separator = if peer.starts_with("unix:") { ":" } else { "" };
        let uri = String::from_utf8_lossy(&asked.uri);
        write!(f, "{}{peer}{separator}{uri}", asked.schema)
    }
}
