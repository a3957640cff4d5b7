//! Reading the head of a request.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;

use super::http1::Http1;
use crate::error::errno;
use crate::http::conf::VhostsId;
use crate::http::core::ServerConf;
use crate::http::downstream::{Downstream, Peer};
use crate::http::generation::Generation;
use crate::http::head::Head;
use crate::http::parse::{
    BodyFraming, FieldRange, KnownSet, RequestError, RequestHead, RequestOptions, RequestParser,
    normalize,
};
use crate::http::request::{Blank, Parts, Request};
use crate::http::server::ServerId;
use crate::info;

/// The head of one request, in parts.
pub(super) struct ReadHead {
    /// Nothing of the head has come yet.
    partial: Option<Box<Partial>>,
    /// The first head of a connection has `client_header_timeout` from the start; a later one
    /// has `keepalive_timeout` to begin.
    first: bool,
    /// The head was there before the response to the last one was out.
    pipelined: bool,
    /// The last read has most likely taken all that was there.
    drained: bool,
}

struct Partial {
    parser: RequestParser,
    fields: Vec<FieldRange>,
    /// So many of the lines that are ignored are in the log.
    logged: usize,
}

/// For whom a head is read.
pub(super) struct Origin<'a> {
    pub(super) generation: &'a Rc<Generation>,
    pub(super) vhosts: VhostsId,
    /// The worker goes down: this request is the connection's last.
    pub(super) closing: bool,
}

/// What the parser has made of the bytes so far.
enum Parsed {
    /// A request of which all is known and right, its server too.
    Known(Request),
    Head(Request),
    Refused(Request, Box<RequestError>),
    /// The client has closed the connection.
    End,
}

/// What became of it.
pub(super) enum HeadRead {
    Request(Request),
    Close,
}

impl ReadHead {
    pub(super) fn first() -> Self {
        Self {
            partial: None,
            first: true,
            pipelined: false,
            drained: false,
        }
    }

    pub(super) fn next() -> Self {
        Self {
            partial: None,
            first: false,
            pipelined: false,
            drained: true,
        }
    }

    /// Makes it the head of the next request, of which nothing has come yet.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::next();
    }

    /// Whether nothing of a request has come yet.
    pub(super) fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        http1: &Rc<Http1>,
        from: &Origin<'_>,
    ) -> Poll<HeadRead> {
        if self.first && !http1.deadline.is_set() {
            http1.deadline.set(*from.conf().client_header_timeout);
        }
        let mut parsed = None;
        if self.is_idle() && !http1.is_quiet() {
            self.pipelined = !self.first;
            parsed = self.parse_unread(http1, from);
        }
        loop {
            if let Some(parsed) = parsed {
                return Poll::Ready(finish(http1, from, parsed, self.is_idle()));
            }
            if !self.is_idle() && !self.first {
                // The first byte of a later request ends the idle time.
                self.first = true;
                http1.deadline.set(*from.conf().client_header_timeout);
            }
            parsed = match self.poll_more(cx, http1, from) {
                Poll::Ready(Ok(parsed)) => parsed,
                Poll::Ready(Err(error)) => {
                    info!(
                        "recv() failed {} while reading client request headers",
                        errno(&error)
                    );
                    return Poll::Ready(HeadRead::Close);
                }
                Poll::Pending => {
                    ready!(http1.deadline.poll_expired(cx));
                    return Poll::Ready(self.timed_out(http1, from));
                }
            };
        }
    }

    #[cold]
    fn timed_out(&self, http1: &Rc<Http1>, from: &Origin<'_>) -> HeadRead {
        if !self.first {
            return HeadRead::Close;
        }
        info!("client timed out (110: Connection timed out) while reading client request headers");
        if self.is_idle() {
            return HeadRead::Close;
        }
        let request = from.request(http1);
        if let Some(partial) = &self.partial {
            partial.record(&request, &http1.unread.borrow());
        }
        http1.begin(&request.head(), BodyFraming::None, true);
        http1.set_server(request.core());
        request.finalize(408);
        HeadRead::Request(request)
    }

    /// Reads once and parses; `None` if more is needed.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        http1: &Rc<Http1>,
        from: &Origin<'_>,
    ) -> Poll<std::io::Result<Option<Parsed>>> {
        if std::mem::take(&mut self.drained) {
            // What has come meanwhile is known here, too.
            ready!(http1.transport().poll_read_ready(cx))?;
        }
        let pending = !http1.is_quiet();
        let take = |memory: &[u8], received: usize| {
            if received == 0 {
                return Some(Parsed::End);
            }
            if pending {
                let bytes = memory.get(..received).unwrap_or_default();
                http1.unread.borrow_mut().extend_from_slice(bytes);
                return self.parse_unread(http1, from);
            }
            // The usual case: the whole head is in the thread's memory and goes to the request
            // from there; only what is left over stays with the connection.
            let (used, parsed) = self.parse(http1, from, (memory, received));
            if used < received {
                let left = memory.get(used..received).unwrap_or_default();
                http1.unread.borrow_mut().extend_from_slice(left);
            }
            parsed
        };
        http1.poll_read_at_once(cx, take)
    }

    /// Parses bytes that were read before: the next of several pipelined requests, or more of a head
    /// that comes in parts.
    #[inline(never)]
    fn parse_unread(&mut self, http1: &Rc<Http1>, from: &Origin<'_>) -> Option<Parsed> {
        let mut unread = http1.unread.borrow_mut();
        let received = unread.len();
        let (used, parsed) = self.parse(http1, from, (&unread, received));
        unread.advance(used);
        parsed
    }

    /// Goes on parsing what was received, which may lie in front of something else; says how many
    /// bytes are done with, and what came of it.
    #[inline]
    fn parse(
        &mut self,
        http1: &Rc<Http1>,
        from: &Origin<'_>,
        (memory, received): (&[u8], usize),
    ) -> (usize, Option<Parsed>) {
        if self.partial.is_none()
            && let Some((used, parsed)) =
                from.request_at_once(http1, (memory, received), self.pipelined)
        {
            return (used, Some(parsed));
        }
        self.parse_on(http1, from, memory.get(..received).unwrap_or_default())
    }

    /// The same for a head that comes in parts, or has anything unusual in it.
    #[cold]
    fn parse_on(
        &mut self,
        http1: &Rc<Http1>,
        from: &Origin<'_>,
        bytes: &[u8],
    ) -> (usize, Option<Parsed>) {
        let mut partial = self.partial.take().unwrap_or_else(|| Partial::new(from));
        let result = partial.parser.advance(bytes, &mut partial.fields);
        if partial.parser.ignored().len() > partial.logged {
            partial.log_ignored(bytes);
        }
        let parsed = match result {
            Ok(false) => {
                let leading = partial.parser.take_leading().min(bytes.len());
                self.partial = Some(partial);
                return (leading, None);
            }
            Ok(true) => {
                let request = from.request(http1);
                request.with_head_mut(|own| own.take(bytes, &partial.parser, &mut partial.fields));
                if self.pipelined {
                    request.set_pipelined();
                }
                (
                    partial.parser.taken().min(bytes.len()),
                    Some(Parsed::Head(request)),
                )
            }
            Err(error) => {
                let request = from.request(http1);
                partial.record(&request, bytes);
                (0, Some(Parsed::Refused(request, Box::new(error))))
            }
        };
        partial.give_back();
        parsed
    }
}

impl Partial {
    /// A fresh parser, on storage that an earlier head has left.
    fn new(from: &Origin<'_>) -> Box<Self> {
        let options = from.options();
        match SPARE.take() {
            Some(mut spare) => {
                spare.parser.reset(*options);
                spare.fields.clear();
                spare.logged = 0;
                spare
            }
            None => Box::new(Self {
                parser: RequestParser::new(*options),
                fields: Vec::with_capacity(16),
                logged: 0,
            }),
        }
    }

    /// Tells the log of lines that are ignored.
    #[cold]
    fn log_ignored(&mut self, bytes: &[u8]) {
        let ignored = self.parser.ignored();
        for line in ignored.iter().skip(self.logged) {
            info!(
                "client sent invalid header line: \"{}\"",
                line.of(bytes).escape_ascii()
            );
        }
        self.logged = ignored.len();
    }

    /// Gives a request that ends here what is known of it, for the log.
    #[cold]
    fn record(&self, request: &Request, bytes: &[u8]) {
        match self.parser.request_line() {
            Some(line) => {
                let head = RequestHead {
                    line: *line,
                    seen: KnownSet::EMPTY,
                    len: bytes.len(),
                };
                request.with_head_mut(|own| own.set(bytes, &head, &[]));
            }
            None => {
                let start = bytes.trim_ascii_start();
                let line = start
                    .split(|byte| *byte == b'\n')
                    .next()
                    .unwrap_or_default();
                request.with_head_mut(|own| own.set_unparsed(line.trim_ascii_end()));
            }
        }
    }

    fn give_back(self: Box<Self>) {
        SPARE.set(Some(self));
    }
}

thread_local! {
    /// The storage of the last head that was complete: most heads need no other.
    static SPARE: Cell<Option<Box<Partial>>> = const { Cell::new(None) };
}

impl Origin<'_> {
    fn server(&self) -> ServerId {
        self.generation.http().vhosts_of(self.vhosts).default
    }

    fn conf(&self) -> &ServerConf {
        &self.generation.http().server(self.server()).core
    }

    fn options(&self) -> &RequestOptions {
        &self.generation.http().server(self.server()).options
    }

    /// A request whose head is whole and has nothing unusual in it, and how many bytes that takes:
    /// parsed right into the memory of a request that has ended.
    fn request_at_once(
        &self,
        http1: &Rc<Http1>,
        bytes: (&[u8], usize),
        pipelined: bool,
    ) -> Option<(usize, Parsed)> {
        let mut blank = Blank::take()?;
        let parts = blank.parts_mut();
        let Some(used) = parts.head_mut().parse_usual(self.options(), bytes) else {
            blank.give_back();
            return None;
        };
        let server = self.check_at_once(http1, parts);
        let request = self.begin(http1, |generation, downstream, peer| {
            let server = server.unwrap_or_else(|| self.server());
            blank.begin(generation, downstream, peer, server)
        });
        if pipelined {
            request.set_pipelined();
        }
        let parsed = match server {
            Some(_) => Parsed::Known(request),
            None => Parsed::Head(request),
        };
        Some((used, parsed))
    }

    /// As [`start`], for a usual request while nobody has a handle to it: its server. What is not
    /// known or not right is left to `start`.
    #[inline]
    fn check_at_once(&self, http1: &Http1, parts: &mut Parts) -> Option<ServerId> {
        let head = parts.head_mut();
        let sent = head.sent_host()?;
        let hosts = self.generation.hosts().borrow();
        let (name, server) = hosts.find(self.vhosts, sent.of(head.bytes()))?;
        head.host_is_front_of(sent, name);
        let framing = head.framing().ok()?;
        head.check_method(framing).ok()?;
        http1.begin(head, framing, self.closing);
        // What is refused yet has no body: `start` says of which requests that is not so.
        let is_plain = parts.take_plain_uri();
        if is_plain {
            parts.body.begin(framing);
        }
        is_plain.then_some(server)
    }

    fn request(&self, http1: &Rc<Http1>) -> Request {
        self.begin(http1, |generation, downstream, peer| {
            Request::new(generation, downstream, peer, self.server())
        })
    }

    #[inline(always)]
    fn begin(
        &self,
        http1: &Rc<Http1>,
        make: impl FnOnce(Rc<Generation>, Rc<dyn Downstream>, Rc<Peer>) -> Request,
    ) -> Request {
        let peer = &http1.scope.peer;
        peer.requests.set(peer.requests.get() + 1);
        let downstream: Rc<dyn Downstream> = Rc::clone(http1) as Rc<dyn Downstream>;
        let request = make(Rc::clone(self.generation), downstream, Rc::clone(peer));
        // What is logged from here on is about the request.
        http1.scope.set_request(request.clone());
        request
    }
}

fn finish(http1: &Rc<Http1>, from: &Origin<'_>, parsed: Parsed, idle: bool) -> HeadRead {
    match parsed {
        Parsed::End => {
            if !idle {
                info!("client prematurely closed connection while reading client request headers");
            }
            HeadRead::Close
        }
        Parsed::Known(request) => {
            http1.deadline.clear();
            if request.location().answers_first {
                http1.set_server(request.core());
            }
            HeadRead::Request(request)
        }
        Parsed::Head(request) => {
            http1.deadline.clear();
            match start(&request, http1, from) {
                Ok(()) if !request.location().answers_first => {}
                Ok(()) => http1.set_server(request.core()),
                Err(error) => refuse(&request, http1, &error),
            }
            HeadRead::Request(request)
        }
        Parsed::Refused(request, error) => {
            http1.deadline.clear();
            http1.begin(&request.head(), BodyFraming::None, true);
            refuse(&request, http1, &error);
            HeadRead::Request(request)
        }
    }
}

#[cold]
fn refuse(request: &Request, http1: &Http1, error: &RequestError) {
    info!("{error} while reading client request headers");
    http1.set_server(request.core());
    http1.forbid_keepalive();
    request.finalize(error.status());
}

/// Checks what the header says of host, path and body, and chooses the server.
fn start(request: &Request, http1: &Http1, from: &Origin<'_>) -> Result<(), RequestError> {
    let chosen = request.choose_server(from.vhosts);
    let head = request.head();
    let framing = head.framing();
    let known = *framing.as_ref().unwrap_or(&BodyFraming::None);
    http1.begin(&head, known, from.closing);
    // Before the rest, so that the log has the path of what is refused for another reason.
    set_uri(request, &head)?;
    chosen?;
    let framing = framing?;
    head.check_method(framing)?;
    request.set_body_framing(framing);
    Ok(())
}

/// Takes path and arguments over from the request line.
fn set_uri(request: &Request, own: &Head) -> Result<(), RequestError> {
    let line = own.line();
    request.with_uri_mut(|path, args| {
        path.clear();
        args.clear();
        let sent = line.path.of(own.bytes());
        if line.plain {
            path.extend_from_slice(sent);
        } else if normalize(sent, *request.server().core.merge_slashes, path).is_err() {
            // Half a path is none.
            path.clear();
            return Err(RequestError::InvalidRequest);
        }
        if !line.args.is_empty() {
            args.extend_from_slice(line.args.of(own.bytes()));
        }
        Ok(())
    })
}
