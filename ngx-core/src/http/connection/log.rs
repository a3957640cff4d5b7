//! What a connection adds to the lines of the error log.
//!
//! The scope lies inside the connection, for one allocation less where there are very many.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::rc::Rc;
use std::sync::Arc;

use super::http1::Http1;
use crate::http::downstream::Peer;
use crate::http::generation::Generation;
use crate::http::parse::Known;
use crate::http::request::Request;
use crate::log::{ErrorLog, Fields, LogScope};
use crate::main_module::error_log_of;
use crate::net::addr::Addr;

/// The connection, and the request it is at.
pub(super) struct Scope {
    pub(super) peer: Rc<Peer>,
    generation: Cell<Option<Rc<Generation>>>,
    request: Cell<Option<Request>>,
    /// `debug_connection`
    debugged: bool,
}

/// What is in the cell, and stays there.
fn look<T: Clone>(cell: &Cell<Option<T>>) -> Option<T> {
    let value = cell.take();
    cell.set(value.clone());
    value
}

/// Takes the name of something, its value, and whether the value stands in quotes.
type Visit<'a> = dyn FnMut(&str, &dyn fmt::Display, bool) + 'a;

impl Scope {
    pub(super) fn new(peer: Peer, generation: &Rc<Generation>) -> Self {
        Self {
            generation: Cell::new(Some(Rc::clone(generation))),
            request: Cell::new(None),
            debugged: generation.cycle().events().debugs(&peer.addr),
            peer: Rc::new(peer),
        }
    }

    /// What is known of the client and of its request, in nginx's order.
    fn each(&self, visit: &mut Visit<'_>) {
        visit("client", &Client(&self.peer.addr), false);
        let Some(r) = look(&self.request) else {
            return visit("server", &self.peer.local, false);
        };
        visit("server", &String::from_utf8_lossy(&r.server().name), false);
        let head = r.head();
        if !head.request_line().is_empty() {
            visit(
                "request",
                &String::from_utf8_lossy(head.request_line()),
                true,
            );
        }
        if let Some(upstream) = r.log_upstream() {
            visit("upstream", &upstream, true);
        }
        if let Some(host) = head.get(Known::Host) {
            visit("host", &String::from_utf8_lossy(host), true);
        }
        if let Some(referer) = head.get(Known::Referer) {
            visit("referrer", &String::from_utf8_lossy(referer), true);
        }
    }

    pub(super) fn set_generation(&self, generation: &Rc<Generation>) {
        self.generation.set(Some(Rc::clone(generation)));
    }

    /// What is logged from here on is about this request.
    pub(super) fn set_request(&self, request: Request) {
        let old = self.request.replace(Some(request));
        drop(old);
    }

    /// The request is over.
    pub(super) fn take_request(&self) -> Option<Request> {
        self.request.take()
    }

    /// A scope for a log phase that outlives its turn on the connection.
    pub(super) fn for_log_phase(&self, request: &Request) -> Rc<dyn LogScope> {
        Rc::new(Self {
            peer: Rc::clone(&self.peer),
            generation: Cell::new(look(&self.generation)),
            request: Cell::new(Some(request.clone())),
            debugged: self.debugged,
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
        self.each(&mut |name, value, quoted| {
            let quote = if quoted { "\"" } else { "" };
            let _infallible = write!(out, ", {name}: {quote}{value}{quote}");
        });
    }

    fn write_fields(&self, fields: &mut Fields<'_>) {
        self.each(&mut |name, value, _quoted| fields.add(name, value));
    }

    fn is_debugged(&self) -> bool {
        self.debugged
    }

    fn sinks(&self) -> Option<Arc<ErrorLog>> {
        match look(&self.request) {
            Some(r) => error_log_of(&r.location().slots),
            None => look(&self.generation)?.cycle().error_log(),
        }
    }
}

impl LogScope for Http1 {
    fn connection(&self) -> Option<u64> {
        self.scope.connection()
    }

    fn write_context(&self, out: &mut String) {
        self.scope.write_context(out);
    }

    fn write_fields(&self, fields: &mut Fields<'_>) {
        self.scope.write_fields(fields);
    }

    fn is_debugged(&self) -> bool {
        self.scope.is_debugged()
    }

    fn sinks(&self) -> Option<Arc<ErrorLog>> {
        self.scope.sinks()
    }
}
