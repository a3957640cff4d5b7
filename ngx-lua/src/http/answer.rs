//! The response that Lua makes: header when it is needed, body, end.

use std::cell::{Cell, RefCell};

use bytes::{Bytes, BytesMut};
use ngx_buf::{Buf, Chain, Flags, Flow};
use ngx_core::debug;
use ngx_core::http::SendError;
use ngx_core::http::parse::{Method, Version};

use super::Guest;
use super::conf::LUA;

/// How far the response has come.
#[derive(Default)]
pub(crate) struct Answer {
    /// Lua has set or removed the media type: it gets no other.
    pub(super) type_set: Cell<bool>,
    /// Lua has set header lines: a length that is there is meant for its body.
    pub(super) fields_set: Cell<bool>,
    /// There was body to send.
    pub(super) body_seen: Cell<bool>,
    /// The end of the response was sent.
    ended: Cell<bool>,
    /// The body for a client of HTTP/1.0, kept until its length is known.
    kept: RefCell<Option<Chain>>,
}

/// The response cannot go on; why is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken;

impl Answer {
    /// Makes it one of a response that was not begun.
    pub(super) fn forget(&mut self) {
        let Self {
            type_set,
            fields_set,
            body_seen,
            ended,
            kept,
        } = self;
        for flag in [type_set, fields_set, body_seen, ended] {
            *flag.get_mut() = false;
        }
        *kept.get_mut() = None;
    }

    /// Whether the end of the response was sent.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Whether the body is kept until its length is known.
    pub(super) fn is_kept(&self) -> bool {
        self.kept.borrow().is_some()
    }
}

impl Guest {
    /// Whether Lua has begun the response, so that nobody else can make one.
    pub(super) fn has_answered(&self) -> bool {
        self.request.header_sent() || self.state.answer.is_kept()
    }

    /// Sends the header unless that was done, or has to wait for the length of the body.
    #[inline]
    pub(super) fn send_header(&self) -> Result<(), Broken> {
        let (r, answer) = (&self.request, &self.state.answer);
        if r.header_sent() {
            return Ok(());
        }
        let response = r.response();
        if response.status() == 0 {
            response.set_status(200);
        }
        let wants_type = !answer.type_set.get() && *r.conf(&LUA).use_default_type;
        if wants_type && response.content_type().is_none() {
            response.set_content_type(Some(r.media_type()));
        }
        if !answer.fields_set.get() {
            response.set_content_length(None);
            response.allow_ranges(false);
        }
        if answer.is_kept() {
            return Ok(());
        }
        self.checked(r.send_header()).map(drop)
    }

    /// Sends a piece of the body. What is not copied is cut off `body`.
    pub(super) fn send(&self, body: &mut BytesMut) -> Result<Flow, Broken> {
        self.begin()?;
        let answer = &self.state.answer;
        if answer.has_ended() {
            return Ok(Flow::Done);
        }
        answer.body_seen.set(true);
        if let Some(kept) = &mut *answer.kept.borrow_mut() {
            debug!("lua buffering output bufs for the HTTP 1.0 request");
            kept.push(Buf::from(body.split().freeze()));
            return Ok(Flow::Done);
        }
        let r = &self.request;
        if let Some(flow) = self.checked(r.output_small(body, Flags::empty()))? {
            return Ok(flow);
        }
        let piece = Buf::from(body.split().freeze());
        self.checked(r.output(Chain::from(piece)))
    }

    /// Sends what was kept back on the way.
    pub(super) fn flush(&self) -> Result<Flow, Broken> {
        self.checked(self.request.output_bytes(&Bytes::new(), Flags::FLUSH))
    }

    /// Ends the response, if that was not done.
    pub(super) fn end(&self) -> Result<Flow, Broken> {
        let (r, answer) = (&self.request, &self.state.answer);
        if answer.has_ended() {
            return Ok(Flow::Done);
        }
        self.begin()?;
        if answer.has_ended() {
            return Ok(Flow::Done);
        }
        // A malformed body spoils the connection, not the response.
        let _ = r.discard_body();
        answer.ended.set(true);
        let kept = answer.kept.take();
        if kept.is_none() && r.header_sent() {
            return self.checked(r.output_bytes(&Bytes::new(), Flags::LAST_BUF));
        }
        let mut chain = kept.unwrap_or_default();
        if !r.header_sent() {
            debug!("lua sending HTTP 1.0 response headers");
            if r.response().content_length().is_none() {
                r.response().set_content_length(Some(chain.size()));
            }
            let _ = self.checked(r.send_header())?;
        }
        chain.push(Buf::special(Flags::LAST_BUF));
        self.checked(r.output(chain))
    }

    /// Sends the header if it is time for it. A response without a body has ended then.
    #[inline]
    fn begin(&self) -> Result<(), Broken> {
        let r = &self.request;
        if r.header_sent() && !r.response().is_header_only() {
            return Ok(());
        }
        self.begin_now()
    }

    #[inline(never)]
    fn begin_now(&self) -> Result<(), Broken> {
        let (r, answer) = (&self.request, &self.state.answer);
        if !r.header_sent()
            && r.head().version() < Version::HTTP_11
            && *r.conf(&LUA).http10_buffering
            && r.response().content_length().is_none()
            && r.method() != Method::Head
            && !answer.is_kept()
        {
            answer.kept.replace(Some(Chain::new()));
        }
        self.send_header()?;
        if r.response().is_header_only() && r.header_sent() {
            answer.ended.set(true);
            // A malformed body spoils the connection, not the response.
            let _ = r.discard_body();
        }
        Ok(())
    }

    fn checked<T>(&self, sent: Result<T, SendError>) -> Result<T, Broken> {
        sent.map_err(|error| {
            error.log();
            Broken
        })
    }
}
