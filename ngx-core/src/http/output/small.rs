//! Small bodies, which are copied to where they leave from.

use bytes::Bytes;
use ngx_buf::{Buf, Chain, Flags, Flow};

use super::{Header, Output, SendError};
use crate::http::filter::is_usual;
use crate::http::parse::Method;
use crate::http::request::Request;

impl Request {
    /// Sends bytes with these marks as [`output`](Self::output) does with a chain, if they can be
    /// copied to where they leave from, as with most small responses. If nothing was taken,
    /// there is no flow, and they are to be sent as a chain.
    ///
    /// # Errors
    /// As [`send_header`](Self::send_header).
    pub fn output_small(&self, bytes: &[u8], flags: Flags) -> Result<Option<Flow>, SendError> {
        let output = &self.parts().output;
        let is_straight = output.header.get() == Header::Sent
            && output.straight.get()
            && !output.held.get()
            && !self.response().is_header_only();
        if !is_straight {
            return Ok(None);
        }
        let downstream = self.downstream_here();
        let Some(downstream) = &*downstream else {
            return Ok(None);
        };
        let flow = downstream
            .send_small(bytes, flags)
            .inspect_err(|_| output.header.set(Header::Failed))?;
        output.took_small(flow, flags);
        Ok(flow)
    }

    /// Sends bytes with these marks: copies them if they are few, else shares them.
    ///
    /// # Errors
    /// As [`send_header`](Self::send_header).
    pub fn output_bytes(&self, bytes: &Bytes, flags: Flags) -> Result<Flow, SendError> {
        if let Some(flow) = self.output_small(bytes, flags)? {
            return Ok(flow);
        }
        let buf = if bytes.is_empty() {
            Buf::special(flags)
        } else {
            Buf::from(bytes.clone()).with_flags(flags)
        };
        self.output(Chain::from(buf))
    }

    /// Header and whole body in one go, as [`send_header`](Self::send_header) and then
    /// [`output_bytes`](Self::output_bytes) do it.
    ///
    /// # Errors
    /// As [`send_header`](Self::send_header).
    pub fn respond_bytes(&self, body: &Bytes) -> Result<Flow, SendError> {
        const END: Flags = Flags::LAST_BUF.union(Flags::LAST_IN_CHAIN);
        let output = &self.parts().output;
        let plan = &self.location().filters;
        let is_straight = plan.is_usual
            && plan.plain
            && output.header.get() == Header::Unsent
            && self.parts().engine.error_status() == 0
            && self.method() != Method::Head
            && !self.response().is_header_only()
            && is_usual(self);
        if is_straight && let Some(downstream) = &*self.downstream_here() {
            output.body.set(plan.body.without(plan.asked));
            output.straight.set(true);
            output.header.set(Header::Sent);
            let flow = downstream
                .send_header_and_small(self, body, END)
                .inspect_err(|_| output.header.set(Header::Failed))?;
            output.took_small(flow, END);
            if let Some(flow) = flow {
                return Ok(flow);
            }
        } else {
            let _ = self.send_header()?;
        }
        self.output_bytes(body, END)
    }
}

impl Output {
    /// The downstream has taken bytes that bear these marks, if there is a flow.
    #[inline]
    fn took_small(&self, flow: Option<Flow>, flags: Flags) {
        if let Some(flow) = flow
            && flags.contains(Flags::LAST_BUF)
        {
            self.last_seen.set(true);
            self.is_out.set(flow == Flow::Done);
        }
    }
}
