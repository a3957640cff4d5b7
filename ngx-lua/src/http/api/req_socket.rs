//! `ngx.req.socket`: the body of the request, or the bare connection of the client, as a cosocket.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use ngx_buf::{Buf, Chain, Flags, Flow, WriteError};
use ngx_core::http::parse::BodyFraming;
use ngx_core::http::{BodyError, BodyPiece, Downstream, Request};

use super::req::one;
use super::{WAITING, allowed};
use crate::cosocket::{self, Stream};
use crate::ffi::{Call, Raise, Reply, Value, function, values};
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, req: &mlua::Table) -> mlua::Result<()> {
    cosocket::install_lent(engine)?;
    req.set("socket", engine.raw().create_function(function(socket))?)
}

/// `tcpsock, err = ngx.req.socket(raw?)`
fn socket(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n > 1 {
        return Err(format!("expecting 0 or 1 argument, but got {n}").into());
    }
    let raw = call.boolean(1);
    let guest = allowed(call, WAITING)?;
    let stream = if raw && guest.state.answer.is_kept() {
        Err("http 1.0 buffering".to_owned())
    } else if raw {
        raw_stream(&guest.request)
    } else {
        body_stream(&guest.request)
    };
    match stream {
        Ok(stream) => Ok(one(cosocket::lent_socket(call, stream, raw)?)),
        Err(why) => Ok(Reply::of(values([Value::Nil, why.into()]))),
    }
}

fn body_stream(r: &Request) -> Result<Rc<dyn Stream>, String> {
    let framing = r.body_framing();
    let why = if framing == BodyFraming::Chunked {
        "chunked request bodies not supported yet"
    } else if r.body_is_read() || r.body_is_being_read() {
        "request body already exists"
    } else if r.body_is_discarded() {
        "request body discarded"
    } else if !r.has_body() {
        "no body"
    } else {
        r.begin_reading_body();
        return Ok(Rc::new(Body { r: r.clone() }));
    };
    Err(why.to_owned())
}

fn raw_stream(r: &Request) -> Result<Rc<dyn Stream>, String> {
    if r.body_is_being_read() {
        return Err("pending request body reading in some other thread".to_owned());
    }
    match r.take_over() {
        Ok(downstream) => Ok(Rc::new(Raw { downstream })),
        Err(error) => Err(error.to_string()),
    }
}

/// The body of a request.
struct Body {
    r: Request,
}

impl Stream for Body {
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        _wanted: usize,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let polled = ready!(self.r.poll_body_piece(cx));
        Poll::Ready(match polled {
            Ok(Some(piece)) => {
                input.extend_from_slice(&piece);
                Ok(piece.len())
            }
            Ok(None) => Ok(0),
            Err(408) => Err(io::ErrorKind::TimedOut.into()),
            Err(_) => Err(io::Error::other("client aborted")),
        })
    }

    fn try_send(&self, _chain: Chain) -> io::Result<Flow> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn poll_send(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn sent(&self) -> u64 {
        0
    }
}

/// The connection of a client, past HTTP.
struct Raw {
    downstream: Rc<dyn Downstream>,
}

impl Stream for Raw {
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        input: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let polled = ready!(self.downstream.poll_body(cx, wanted.max(1)));
        Poll::Ready(match polled {
            Ok(BodyPiece::Data(data)) => {
                input.extend_from_slice(&data);
                Ok(data.len())
            }
            Ok(BodyPiece::End) => Ok(0),
            Err(BodyError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        })
    }

    fn try_send(&self, mut chain: Chain) -> io::Result<Flow> {
        chain.push(Buf::special(Flags::FLUSH));
        self.downstream.send_body(&mut chain).map_err(broken)
    }

    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.downstream.poll_flush(cx).map_err(broken)
    }

    fn sent(&self) -> u64 {
        self.downstream.sent()
    }
}

fn broken(error: WriteError) -> io::Error {
    match error {
        WriteError::Closed(error) | WriteError::Io(error) => error,
        error => io::Error::other(error),
    }
}
