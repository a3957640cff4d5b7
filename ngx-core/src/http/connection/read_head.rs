//! Reading the head of a request.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;

use super::http1::Http1;
use crate::http::conf::VhostsId;
use crate::http::core;
use crate::http::downstream::Downstream;
use crate::http::generation::Generation;
use crate::http::parse::{
    BodyFraming, FieldRange, Host, Known, Progress, RequestError, RequestHead, RequestParser,
    normalize,
};
use crate::http::request::Request;
use crate::http::server::ServerId;
use crate::info;

/// The head of one request, in parts.
pub(super) struct ReadHead {
    /// Nothing of the head has come yet.
    partial: Option<Box<Partial>>,
    /// The first head of a connection has `client_header_timeout` from the start; a later one
    /// has `keepalive_timeout` to begin.
    first: bool,
}

struct Partial {
    parser: RequestParser,
    fields: Vec<FieldRange>,
}

/// What became of it.
pub(super) enum HeadRead {
    Request(Request),
    Close,
}

impl ReadHead {
    pub(super) fn first() -> Self {
        Self { partial: None, first: true }
    }

    pub(super) fn next() -> Self {
        Self { partial: None, first: false }
    }

    /// Whether nothing of a request has come yet.
    pub(super) fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        http1: &Rc<Http1>,
        generation: &Rc<Generation>,
        vhosts: VhostsId,
    ) -> Poll<HeadRead> {
        let server = generation.http().vhosts_of(vhosts).default;
        let conf = core::SERVER.of(&generation.http().server(server).slots);
        if self.first && !http1.deadline.is_set() {
            http1.deadline.set(*conf.client_header_timeout);
        }
        loop {
            if !http1.is_quiet() {
                if let Some(read) = self.parse(http1, generation, vhosts) {
                    return Poll::Ready(read);
                }
                if !self.first {
                    // The first byte of a later request ends the idle time.
                    self.first = true;
                    http1.deadline.set(*conf.client_header_timeout);
                }
            }
            let read = http1.poll_read(cx, usize::MAX, |bytes| {
                http1.unread.borrow_mut().extend_from_slice(bytes);
                bytes.len()
            });
            match read {
                Poll::Ready(Ok(0)) => {
                    if !self.is_idle() {
                        info!("client prematurely closed connection while reading client request headers");
                    }
                    return Poll::Ready(HeadRead::Close);
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    info!("recv() failed {} while reading client request headers", crate::error::errno(&error));
                    return Poll::Ready(HeadRead::Close);
                }
                Poll::Pending => {
                    ready!(http1.deadline.poll_expired(cx));
                    return Poll::Ready(self.timed_out(http1, generation, server));
                }
            }
        }
    }

    fn timed_out(&self, http1: &Rc<Http1>, generation: &Rc<Generation>, server: ServerId) -> HeadRead {
        if self.is_idle() && !self.first {
            return HeadRead::Close;
        }
        info!("client timed out (110: Connection timed out) while reading client request headers");
        if self.is_idle() {
            return HeadRead::Close;
        }
        let request = new_request(http1, generation, server);
        request.finalize(408);
        HeadRead::Request(request)
    }

    /// Goes on parsing what was read; `None` if more is needed.
    fn parse(
        &mut self,
        http1: &Rc<Http1>,
        generation: &Rc<Generation>,
        vhosts: VhostsId,
    ) -> Option<HeadRead> {
        let server = generation.http().vhosts_of(vhosts).default;
        let mut partial = self.partial.take().unwrap_or_else(|| {
            let conf = core::SERVER.of(&generation.http().server(server).slots);
            Box::new(Partial {
                parser: RequestParser::new(conf.request_options()),
                fields: Vec::new(),
            })
        });
        let mut unread = http1.unread.borrow_mut();
        let result = partial.parser.parse(&unread, &mut partial.fields);
        for line in partial.parser.ignored() {
            info!("client sent invalid header line: \"{}\"", line.of(&unread).escape_ascii());
        }
        match result {
            Ok(Progress::More) => {
                let leading = partial.parser.take_leading();
                unread.advance(leading.min(unread.len()));
                self.partial = Some(partial);
                None
            }
            Ok(Progress::Done(head)) => {
                let request = new_request(http1, generation, server);
                request.with_head_mut(|own| own.set(&unread, &head, &partial.fields));
                unread.advance(head.len.min(unread.len()));
                drop(unread);
                http1.deadline.clear();
                if let Err(error) = start(&request, http1, &head, &partial.fields, vhosts) {
                    refuse(&request, &error);
                }
                Some(HeadRead::Request(request))
            }
            Err(error) => {
                let request = new_request(http1, generation, server);
                if let Some(line) = partial.parser.request_line() {
                    let head = RequestHead {
                        line: *line,
                        seen: Default::default(),
                        len: unread.len(),
                    };
                    request.with_head_mut(|own| own.set(&unread, &head, &[]));
                }
                drop(unread);
                http1.deadline.clear();
                http1.begin(&request, BodyFraming::None, true);
                refuse(&request, &error);
                Some(HeadRead::Request(request))
            }
        }
    }
}

fn new_request(http1: &Rc<Http1>, generation: &Rc<Generation>, server: ServerId) -> Request {
    let peer = http1.peer_rc();
    peer.requests.set(peer.requests.get() + 1);
    let downstream: Rc<dyn Downstream> = Rc::clone(http1) as Rc<dyn Downstream>;
    Request::new(Rc::clone(generation), downstream, Rc::clone(peer), server)
}

fn refuse(request: &Request, error: &RequestError) {
    info!("{error} while reading client request headers");
    if let Some(downstream) = request.downstream() {
        downstream.forbid_keepalive();
    }
    request.finalize(error.status());
}

/// Checks what the header says of host, path and body, and chooses the server.
fn start(
    request: &Request,
    http1: &Http1,
    head: &RequestHead,
    fields: &[FieldRange],
    vhosts: VhostsId,
) -> Result<(), RequestError> {
    choose_server(request, vhosts)?;
    let framing = {
        let own = request.head();
        head.framing(own.bytes(), fields)
    };
    http1.begin(request, *framing.as_ref().unwrap_or(&BodyFraming::None), false);
    let framing = framing?;
    head.check_method(framing, false)?;
    request.set_body_framing(framing);
    let merge = *core::SERVER.of(&request.server().slots).merge_slashes;
    let own = request.head();
    let line = own.line();
    request.with_uri_mut(|path, args| {
        path.clear();
        args.clear();
        args.extend_from_slice(line.args.of(own.bytes()));
        let sent = line.path.of(own.bytes());
        if line.plain {
            path.extend_from_slice(sent);
            return Ok(());
        }
        normalize(sent, merge, path).map_err(|_| RequestError::InvalidRequest)
    })
}

/// Finds the server block for the host of the request line, or of the `Host` field.
fn choose_server(request: &Request, vhosts: VhostsId) -> Result<(), RequestError> {
    let mut name = Vec::new();
    {
        let own = request.head();
        let in_line = own.line().host.of(own.bytes());
        let in_field = own.get(Known::Host);
        if let Some(field) = in_field {
            Host::parse(field).map_err(|_| RequestError::InvalidHost)?;
        }
        let text = if in_line.is_empty() { in_field.unwrap_or_default() } else { in_line };
        if !text.is_empty() {
            let host = Host::parse(text).map_err(|_| RequestError::InvalidHostInRequestLine)?;
            host.write_name(&mut name);
        }
    }
    request.with_head_mut(|own| own.set_host(&name));
    if !name.is_empty()
        && let Some(server) = request.http().vhosts_of(vhosts).find(request, &name)
    {
        request.set_server(server);
    }
    Ok(())
}
