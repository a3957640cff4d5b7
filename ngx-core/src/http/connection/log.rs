//! What a connection adds to the lines of the error log.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::rc::Rc;
use std::sync::Arc;

use super::http1::Http1;
use crate::http::downstream::Peer;
use crate::http::generation::Generation;
use crate::http::parse::Known;
use crate::http::request::Request;
use crate::log::{ErrorLog, LogScope};
use crate::main_module::error_log_of;
use crate::net::addr::Addr;

/// The connection, and the request it is at.
pub(super) struct Scope {
    peer: Rc<Peer>,
    generation: RefCell<Rc<Generation>>,
    request: RefCell<Option<Request>>,
}

impl Scope {
    pub(super) fn new(http1: &Http1, generation: &Rc<Generation>) -> Rc<Self> {
        Rc::new(Self {
            peer: Rc::clone(http1.peer_rc()),
            generation: RefCell::new(Rc::clone(generation)),
            request: RefCell::new(None),
        })
    }

    pub(super) fn set_generation(&self, generation: &Rc<Generation>) {
        self.generation.replace(Rc::clone(generation));
    }

    pub(super) fn set_request(&self, request: Option<&Request>) {
        let old = self.request.replace(request.cloned());
        drop(old);
    }

    /// A scope for a log phase that outlives its turn on the connection.
    pub(super) fn for_log_phase(&self, request: &Request) -> Rc<dyn LogScope> {
        Rc::new(Self {
            peer: Rc::clone(&self.peer),
            generation: RefCell::new(Rc::clone(&self.generation.borrow())),
            request: RefCell::new(Some(request.clone())),
        })
    }
}

/// A client's address without its port, as nginx logs it.
struct Client<'a>(&'a Addr);

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.ip() {
            Some(ip) => ip.fmt(f),
            None => f.write_str("unix:"),
        }
    }
}

impl LogScope for Scope {
    fn connection(&self) -> Option<u64> {
        Some(self.peer.number)
    }

    fn write_context(&self, out: &mut String) {
        let _ = write!(out, ", client: {}", Client(&self.peer.addr));
        let request = self.request.borrow();
        let Some(r) = &*request else {
            let _ = write!(out, ", server: {}", self.peer.local);
            return;
        };
        let _ = write!(
            out,
            ", server: {}",
            String::from_utf8_lossy(&r.server().name)
        );
        let head = r.head();
        if !head.request_line().is_empty() {
            let _ = write!(
                out,
                ", request: \"{}\"",
                String::from_utf8_lossy(head.request_line())
            );
        }
        r.write_log_context(out);
        if let Some(host) = head.get(Known::Host) {
            let _ = write!(out, ", host: \"{}\"", String::from_utf8_lossy(host));
        }
        if let Some(referer) = head.get(Known::Referer) {
            let _ = write!(out, ", referrer: \"{}\"", String::from_utf8_lossy(referer));
        }
    }

    fn sinks(&self) -> Option<Arc<ErrorLog>> {
        let request = self.request.borrow();
        match &*request {
            Some(r) => error_log_of(&r.location().slots),
            None => self.generation.borrow().cycle().error_log(),
        }
    }
}
