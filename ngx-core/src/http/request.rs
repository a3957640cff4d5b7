//! The request: a cheap handle to state in small cells.

mod recycle;

pub(crate) use self::recycle::Blank;

use std::any::Any;
use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;

use super::body::BodyState;
use super::conf::{HttpConf, Location, Server};
use super::core::LocationConf;
use super::ctx::{Contexts, CtxSlot, Reused};
use super::downstream::{Downstream, Peer};
use super::generation::Generation;
use super::head::Head;
use super::location::LocationId;
use super::output::Output;
use super::parse::Method;
use super::phases::Engine;
use super::regex::Captures;
use super::response::Response;
use super::server::ServerId;
use crate::module::{Conf, Slot};
use crate::script::{Cells, Context, VarId};

/// A request in work.
///
/// A clone is another handle to the same request. Nothing in it is borrowed across an await or
/// while a handler waits: every method looks, changes and returns. Handlers get a `&Request`;
/// those that wait clone it into their future.
#[derive(Clone)]
pub struct Request(Rc<Inner>);

/// The state of a request, in memory that the next one uses again.
struct Inner {
    /// None of the configuration outlives its last request: `None` once that has ended.
    generation: Option<Rc<Generation>>,
    peer: Rc<Peer>,
    /// Nobody once the response is over: the log phase must not hold the connection.
    downstream: RefCell<Option<Rc<dyn Downstream>>>,
    server: Cell<ServerId>,
    location: Cell<LocationId>,
    /// The location whose handler makes the content: an `if` without one leaves what there was.
    content: Cell<LocationId>,
    marks: Cell<Marks>,
    started: Started,
    sent: Sent,
    limit_rate: Cell<Option<u64>>,
    parts: Parts,
}

/// What has become of a request.
#[derive(Clone, Copy, Default)]
struct Marks {
    internal: bool,
    pipelined: bool,
    /// Somebody has changed the URI that the client sent.
    uri_changed: bool,
    /// Somebody has changed it since the location was looked up.
    left_location: bool,
}

/// When a request began.
#[derive(Clone, Copy)]
struct Started {
    /// Coarse monotonic milliseconds.
    monotonic: u64,
    /// Milliseconds since 1970.
    unix: u64,
}

/// What went out, as far as the downstream cannot be asked.
#[derive(Default)]
struct Sent {
    /// Bytes of the response header, 0 before it was written.
    header: Cell<u64>,
    /// Bytes of the whole response, once the downstream is gone.
    total: Cell<u64>,
    /// Whether the connection was to stay open, once the downstream is gone.
    keeps_alive: Cell<bool>,
}

/// What keeps its memory from one request to the next.
#[derive(Default)]
pub(crate) struct Parts {
    head: RefCell<Head>,
    path: RefCell<Vec<u8>>,
    args: RefCell<Vec<u8>>,
    captures: RefCell<Captures>,
    contexts: RefCell<Contexts>,
    log_upstream: RefCell<Option<Rc<dyn fmt::Display>>>,
    cells: Cells,
    pub(crate) response: Response,
    pub(crate) engine: Engine,
    pub(crate) output: Output,
    pub(crate) body: BodyState,
}

impl Started {
    #[inline]
    fn now() -> Self {
        Self {
            monotonic: crate::time::now_ms(),
            unix: crate::time::unix_ms(),
        }
    }
}

impl Parts {
    #[inline]
    pub(crate) fn head_mut(&mut self) -> &mut Head {
        self.head.get_mut()
    }

    /// Takes path and arguments over from the request line, if they are what they were sent as; both
    /// are empty before.
    #[inline]
    pub(crate) fn take_plain_uri(&mut self) -> bool {
        let Self {
            head, path, args, ..
        } = self;
        let head = head.get_mut();
        let line = head.line();
        path.get_mut().extend_from_slice(line.path.of(head.bytes()));
        if !line.args.is_empty() {
            args.get_mut().extend_from_slice(line.args.of(head.bytes()));
        }
        line.plain
    }
}

// === impl Request ===

impl Request {
    /// A request whose header was read into `head`, for the default server of its listener.
    pub(crate) fn new(
        generation: Rc<Generation>,
        downstream: Rc<dyn Downstream>,
        peer: Rc<Peer>,
        server: ServerId,
    ) -> Self {
        if let Some(blank) = Blank::take() {
            return blank.begin(generation, downstream, peer, server);
        }
        let location = generation.http().server(server).root;
        let variables = generation.http().variables.len();
        let mut parts = Parts::default();
        parts.cells.reset(variables);
        Self(Rc::new(Inner {
            generation: Some(generation),
            peer,
            downstream: RefCell::new(Some(downstream)),
            server: Cell::new(server),
            location: Cell::new(location),
            content: Cell::new(location),
            marks: Cell::default(),
            started: Started::now(),
            sent: Sent::default(),
            limit_rate: Cell::new(None),
            parts,
        }))
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0.parts
    }

    /// The response so far.
    pub fn response(&self) -> &Response {
        &self.0.parts.response
    }

    /// The configuration this request runs with, and what its thread keeps for it.
    pub fn generation(&self) -> &Rc<Generation> {
        match &self.0.generation {
            Some(generation) => generation,
            None => unreachable!("only what nobody holds has none"),
        }
    }

    /// The compiled `http` block.
    pub fn http(&self) -> &HttpConf {
        self.generation().http()
    }

    /// The server block that was chosen.
    pub fn server(&self) -> &Server {
        self.http().server(self.0.server.get())
    }

    /// Chooses the server block; the location becomes the server's own.
    pub(crate) fn set_server(&self, server: ServerId) {
        self.0.server.set(server);
        self.set_location(self.http().server(server).root);
    }

    /// The location that applies now; before one was looked up, the server's own.
    pub fn location(&self) -> &Location {
        self.http().location(self.0.location.get())
    }

    /// Whether no location applies but the server's own.
    pub(crate) fn is_outside(&self) -> bool {
        self.0.location.get() == self.server().root
    }

    pub(crate) fn set_location(&self, location: LocationId) {
        self.0.location.set(location);
        self.0.content.set(location);
    }

    /// The location that makes the content: the one that applies, or the one around it.
    pub(crate) fn content_location(&self) -> &Location {
        self.http().location(self.0.content.get())
    }

    /// The block of an `if` applies in place of the location.
    pub(crate) fn enter_if(&self, block: LocationId) {
        self.0.location.set(block);
        if self.location().handler.is_some() {
            self.0.content.set(block);
        }
        self.tell_location();
    }

    /// The core's settings for the current location.
    pub fn core(&self) -> &LocationConf {
        &self.location().core
    }

    /// A module's settings for the current location.
    pub fn conf<T: Conf>(&self, slot: &'static Slot<T>) -> &T {
        slot.of(&self.location().slots)
    }

    /// A module's settings if they were made in the current location itself: for what is not
    /// inherited, such as the directives of the rewrite phases.
    pub fn own_conf<T: Conf>(&self, slot: &'static Slot<T>) -> Option<&T> {
        slot.own(&self.location().slots)
    }

    /// The client's side of the connection's facts.
    pub fn peer(&self) -> &Rc<Peer> {
        &self.0.peer
    }

    /// Who gets the response; nobody once the response is over.
    pub fn downstream(&self) -> Option<Rc<dyn Downstream>> {
        self.0.downstream.borrow().clone()
    }

    /// The same where it is, for a look or a call: it must not end meanwhile.
    pub(crate) fn downstream_here(&self) -> Ref<'_, Option<Rc<dyn Downstream>>> {
        self.0.downstream.borrow()
    }

    /// Whether there are so many handles to it, which the caller knows of.
    pub(crate) fn is_held_by(&self, handles: usize) -> bool {
        Rc::strong_count(&self.0) == handles
    }

    /// Whether somebody has something to do in the log phase.
    pub(crate) fn is_logged(&self) -> bool {
        self.location().is_logged
    }

    /// Lets go of the downstream; what the log phase wants to know of it is kept.
    pub(crate) fn detach(&self) {
        if let Some(downstream) = self.0.downstream.take() {
            self.0.sent.total.set(downstream.sent());
            self.0.sent.keeps_alive.set(downstream.keeps_alive());
        }
        // A filter that still waits holds the request, which would hold the filter for ever.
        self.0.parts.output.release();
    }

    /// Bytes of the response that the client was sent, header included (`$bytes_sent`).
    pub fn bytes_sent(&self) -> u64 {
        match &*self.0.downstream.borrow() {
            Some(downstream) => downstream.sent(),
            None => self.0.sent.total.get(),
        }
    }

    /// Bytes of the response body that the client was sent (`$body_bytes_sent`).
    pub fn body_bytes_sent(&self) -> u64 {
        self.bytes_sent().saturating_sub(self.0.sent.header.get())
    }

    pub(crate) fn set_header_size(&self, bytes: u64) {
        self.0.sent.header.set(bytes);
    }

    /// Whether the connection is to stay open after this request.
    pub fn keeps_alive(&self) -> bool {
        match &*self.0.downstream.borrow() {
            Some(downstream) => downstream.keeps_alive(),
            None => self.0.sent.keeps_alive.get(),
        }
    }

    /// Bytes per second that the response may take, 0 for no limit: of `set $limit_rate`, else
    /// of the location.
    pub fn limit_rate(&self) -> u64 {
        let own = self.0.limit_rate.get();
        own.unwrap_or_else(|| self.core().limit_rate.of(self))
    }

    /// Limits the response of this request alone; 0 lifts the limit. Counts if the header was not
    /// sent yet.
    pub fn set_limit_rate(&self, bytes_per_second: u64) {
        self.0.limit_rate.set(Some(bytes_per_second));
    }

    /// Whether the client sent this request before it had the response to the one before.
    pub fn is_pipelined(&self) -> bool {
        self.0.marks.get().pipelined
    }

    pub(crate) fn set_pipelined(&self) {
        self.mark(|marks| marks.pipelined = true);
    }

    #[inline]
    fn mark(&self, f: impl FnOnce(&mut Marks)) {
        let mut marks = self.0.marks.get();
        f(&mut marks);
        self.0.marks.set(marks);
    }

    /// Milliseconds since the request line was seen.
    pub fn elapsed_ms(&self) -> u64 {
        crate::time::now_ms().saturating_sub(self.0.started.monotonic)
    }

    /// When the request line was seen, in milliseconds since 1970.
    pub fn started_unix_ms(&self) -> u64 {
        self.0.started.unix
    }

    /// The request header.
    pub fn head(&self) -> Ref<'_, Head> {
        self.0.parts.head.borrow()
    }

    /// The method, which a redirect to an error page makes `GET`.
    pub fn method(&self) -> Method {
        self.head().method()
    }

    /// Makes it another method, as a redirect to an error page does.
    pub fn set_method(&self, method: Method) {
        self.0.parts.head.borrow_mut().set_method(method);
    }

    /// Gives the header storage to the parser, before the first phase, and to those who change it.
    pub(crate) fn with_head_mut<R>(&self, f: impl FnOnce(&mut Head) -> R) -> R {
        f(&mut self.0.parts.head.borrow_mut())
    }

    /// The current URI without arguments: decoded, normalised, beginning with a slash.
    pub fn path(&self) -> Ref<'_, [u8]> {
        Ref::map(self.0.parts.path.borrow(), Vec::as_slice)
    }

    /// The current arguments, without the question mark, as they came.
    pub fn args(&self) -> Ref<'_, [u8]> {
        Ref::map(self.0.parts.args.borrow(), Vec::as_slice)
    }

    /// Changes the URI that locations are looked up by.
    pub fn set_path(&self, path: &[u8]) {
        let mut own = self.0.parts.path.borrow_mut();
        own.clear();
        own.extend_from_slice(path);
        self.mark(|marks| {
            marks.uri_changed = true;
            marks.left_location = true;
        });
    }

    /// Changes the arguments.
    pub fn set_args(&self, args: &[u8]) {
        let mut own = self.0.parts.args.borrow_mut();
        own.clear();
        own.extend_from_slice(args);
        self.mark(|marks| marks.uri_changed = true);
    }

    /// Whether path or arguments are others than the client has sent.
    pub fn uri_changed(&self) -> bool {
        self.0.marks.get().uri_changed
    }

    /// Whether the path has changed since the location was looked up by it: then its beginning
    /// need not be the name of the location.
    pub fn path_left_location(&self) -> bool {
        self.0.marks.get().left_location
    }

    pub(crate) fn location_looked_up(&self) {
        self.mark(|marks| marks.left_location = false);
    }

    pub(crate) fn with_uri_mut<R>(&self, f: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) -> R) -> R {
        f(
            &mut self.0.parts.path.borrow_mut(),
            &mut self.0.parts.args.borrow_mut(),
        )
    }

    /// Whether the request was redirected inside the server, and may see `internal` locations.
    pub fn is_internal(&self) -> bool {
        self.0.marks.get().internal
    }

    pub(crate) fn set_internal(&self) {
        self.mark(|marks| marks.internal = true);
    }

    /// What a module keeps for this request.
    #[inline(always)]
    pub fn ctx<T: Any>(&self, slot: &'static CtxSlot<T>) -> Option<Rc<T>> {
        self.0.parts.contexts.borrow().find(slot)
    }

    /// Whether modules keep anything for this request.
    #[inline(always)]
    pub(crate) fn has_ctx(&self) -> bool {
        !self.0.parts.contexts.borrow().is_empty()
    }

    /// Keeps something for this request. An internal redirect forgets it.
    pub fn set_ctx<T: Any>(&self, slot: &'static CtxSlot<T>, value: Rc<T>) {
        let before = self.0.parts.contexts.borrow_mut().insert(slot, value);
        drop(before);
    }

    /// What a module keeps for this request in a slot whose values serve again, made when first
    /// asked for.
    #[inline]
    pub fn ctx_or_default<T: Reused>(&self, slot: &'static CtxSlot<T>) -> Rc<T> {
        let known = self.0.parts.contexts.borrow_mut().wake(slot);
        known.unwrap_or_else(|| {
            let value = Rc::new(T::default());
            self.set_ctx(slot, Rc::clone(&value));
            value
        })
    }

    /// Nobody asks for what modules have kept any more, some of which may hold the request.
    #[inline]
    pub(crate) fn release_ctx(&self) {
        if self.has_ctx() {
            Contexts::rest(&self.0.parts.contexts);
        }
    }

    pub(crate) fn clear_ctx(&self) {
        let forgotten = self.0.parts.contexts.borrow_mut().redirected();
        drop(forgotten);
    }

    /// Says what a backend is asked while errors about it are logged: `, upstream: "..."`.
    ///
    /// It is appended to every line of the error log until it is set anew; it is asked for its
    /// text only when there is such a line.
    pub fn set_log_upstream(&self, upstream: Option<Rc<dyn fmt::Display>>) {
        self.0.parts.log_upstream.replace(upstream);
    }

    pub(crate) fn log_upstream(&self) -> Option<Rc<dyn fmt::Display>> {
        self.0.parts.log_upstream.borrow().clone()
    }

    /// What group `n` of the last match has captured; nothing of a group within the match that took
    /// no part in it, and `None` beyond the last group that did.
    pub fn captured(&self, n: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let captures = self.0.parts.captures.borrow();
        (captures.append(n, &mut out) || captures.reaches(n)).then_some(out)
    }

    pub(crate) fn captures(&self) -> &RefCell<Captures> {
        &self.0.parts.captures
    }

    /// Gives a variable a value for the rest of the request; what a variable with a setter does
    /// with it is its own affair.
    pub fn set_variable(&self, id: VarId, value: &[u8]) {
        let table = &self.http().variables;
        if !table.set(id, self, value) {
            self.0
                .parts
                .cells
                .set(id, Some(Bytes::copy_from_slice(value)));
        }
    }

    /// Forgets what is known of a variable, so that it is evaluated anew.
    pub fn forget_variable(&self, id: VarId) {
        self.0.parts.cells.forget(id);
    }

    /// The variable has no value from here on, whatever it had.
    pub fn unset_variable(&self, id: VarId) {
        if !self.http().variables.set(id, self, b"") {
            self.0.parts.cells.set(id, None);
        }
    }

    /// Whether the variable was said to have no value.
    pub fn is_variable_unset(&self, id: VarId) -> bool {
        self.0.parts.cells.is_unset(id)
    }

    /// The value of a variable as bytes of its own.
    pub fn variable_bytes(&self, id: VarId) -> Option<Bytes> {
        let mut out = Vec::new();
        self.variable(id, &mut out).then(|| Bytes::from(out))
    }
}

impl Context for Request {
    fn variable(&self, id: VarId, out: &mut Vec<u8>) -> bool {
        self.0
            .parts
            .cells
            .read(&self.http().variables, id, self, out)
    }

    fn capture(&self, n: usize, out: &mut Vec<u8>) -> bool {
        self.0.parts.captures.borrow().append(n, out)
    }
}
