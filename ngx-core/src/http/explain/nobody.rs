//! A client that asks and wants no answer.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use ngx_buf::{Chain, Flow, WriteError};

use crate::http::core::LocationConf;
use crate::http::downstream::{BodyError, BodyPiece, Downstream, Peer};
use crate::http::request::Request;
use crate::net::addr::Addr;

pub(super) struct Nobody {
    peer: Rc<Peer>,
}

impl Nobody {
    /// Somebody on this machine who has connected to `local`.
    pub(super) fn at(local: Addr) -> Rc<Self> {
        let addr = match local.ip() {
            Some(ip) => Addr::from(std::net::SocketAddr::from((ip, 0))),
            None => Addr::unix_unnamed(),
        };
        let peer = Rc::new(Peer {
            number: 0,
            addr,
            local,
            requests: Cell::new(1),
            since: crate::time::now_ms(),
        });
        Rc::new(Self { peer })
    }

    pub(super) fn peer(&self) -> Rc<Peer> {
        Rc::clone(&self.peer)
    }
}

impl Downstream for Nobody {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send_header(&self, _: &Request) -> Result<(), WriteError> {
        Ok(())
    }

    fn send_body(&self, chain: &mut Chain) -> Result<Flow, WriteError> {
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

    fn abort(&self) {}

    fn sent(&self) -> u64 {
        0
    }
}
