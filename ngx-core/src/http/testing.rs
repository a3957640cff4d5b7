//! A client that is made up, for tests of whole requests without sockets.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ngx_buf::{Chain, Flow, WriteError};

use super::filter::header;
use super::parse::{Progress, RequestOptions, RequestParser, split_args};
use super::server::ServerId;
use super::{BodyError, BodyPiece, Downstream, Generation, LocationConf, Peer, Request};
use crate::cycle::Cycle;
use crate::net::addr::Addr;

/// A client that keeps what it gets.
pub(super) struct Client {
    peer: Rc<Peer>,
    got: RefCell<Vec<u8>>,
    aborted: Cell<bool>,
}

impl Client {
    /// A client at `addr` that has sent two requests before this one.
    pub(super) fn at(addr: &str) -> Rc<Self> {
        let inet = |text: &str| Addr::Inet(text.parse().unwrap());
        Rc::new(Self {
            peer: Rc::new(Peer {
                number: 7,
                addr: inet(addr),
                local: inet("127.0.0.1:80"),
                requests: Cell::new(3),
                since: crate::time::now_ms(),
            }),
            got: RefCell::default(),
            aborted: Cell::new(false),
        })
    }

    /// Sends a request without a body to the first server, and sees it through up to the log
    /// phase.
    pub(super) fn send(self: &Rc<Self>, cycle: Arc<Cycle>, text: &str) -> Request {
        let request = Request::new(
            Rc::new(Generation::new(cycle)),
            Rc::clone(self) as Rc<dyn Downstream>,
            Rc::clone(&self.peer),
            ServerId(0),
        );
        let mut fields = Vec::new();
        let mut parser = RequestParser::new(RequestOptions::default());
        let Ok(Progress::Done(head)) = parser.parse(text.as_bytes(), &mut fields) else {
            panic!("not a head: {text}");
        };
        request.with_head_mut(|own| own.set(text.as_bytes(), &head, &fields));
        let target = request.head().target().to_vec();
        let (path, args) = split_args(&target);
        request.set_path(path);
        request.set_args(args.unwrap_or_default());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(request.poll_response(&mut cx).is_ready());
        request
    }

    /// Everything it got; nothing if the connection was aborted.
    pub(super) fn got(&self) -> Option<String> {
        let text = || String::from_utf8(self.got.borrow().clone()).unwrap();
        (!self.aborted.get()).then(text)
    }
}

impl Downstream for Client {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send_header(&self, r: &Request) -> Result<(), WriteError> {
        let mut got = self.got.borrow_mut();
        header::write(r, true, &mut got);
        r.set_header_size(got.len() as u64);
        Ok(())
    }

    fn send_body(&self, chain: &mut Chain) -> Result<Flow, WriteError> {
        self.got.borrow_mut().extend_from_slice(&chain.to_vec());
        chain.clear();
        Ok(Flow::Done)
    }

    fn send_interim(&self, _: &[u8]) -> Result<(), WriteError> {
        Ok(())
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_body(&self, _: &mut Context<'_>, _: usize) -> Poll<Result<BodyPiece, BodyError>> {
        Poll::Ready(Ok(BodyPiece::End))
    }

    fn poll_closed(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn upgrade(&self) {}

    fn set_location(&self, _: &LocationConf) {}

    fn discard_body(&self) -> Result<(), BodyError> {
        Ok(())
    }

    fn keeps_alive(&self) -> bool {
        true
    }

    fn forbid_keepalive(&self) {}

    fn abort(&self) {
        self.aborted.set(true);
    }

    fn sent(&self) -> u64 {
        self.got.borrow().len() as u64
    }
}
