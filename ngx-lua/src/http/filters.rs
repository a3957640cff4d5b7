//! `header_filter_by_lua` and `body_filter_by_lua`.

use bytes::Bytes;
use ngx_buf::{Buf, Chain, Flags};
use ngx_core::error;
use ngx_core::http::{BodyFilter, HeaderFilter, Ordered, Request, Step};
use ngx_core::module::Slots;

use super::Guest;
use super::conf::LUA;
use super::phases::begin;
use super::state::{Arg, Piece};
use crate::phase::Phase;
use crate::sched::{Begun, Ended, Failure};

pub(super) static HEADER_FILTERS: &[Ordered<HeaderFilter>] = &[Ordered {
    name: "lua",
    before: &["headers", "range", "chunked"],
    after: &["not_modified"],
    run: header,
}];

pub(super) static BODY_FILTERS: &[Ordered<BodyFilter>] = &[Ordered {
    name: "lua",
    before: &["chunked"],
    after: &["copy"],
    run: body,
}];

/// Whether there is Lua for one of them.
pub(super) fn is_at(slots: &Slots) -> bool {
    let conf = LUA.of(slots);
    conf.header_filter.is_some() || conf.body_filter.is_some()
}

fn header(r: &Request) -> Step<()> {
    let conf = r.conf(&LUA);
    if conf.body_filter.is_some() {
        r.need_body_in_memory();
    }
    let Some(code) = &*conf.header_filter else {
        return Step::Next(());
    };
    let guest = Guest::of(r);
    // The page that follows a failure of this filter passes.
    if guest.state.header_failed.get() {
        return Step::Next(());
    }
    match begin(r, guest.clone(), Phase::HeaderFilter, code) {
        Err(_logged) => give_up(&guest, 500),
        Ok(Begun::Over(outcome)) => header_done(&guest, outcome),
        Ok(Begun::Waiting(waiting)) => Step::wait(async move {
            let outcome = waiting.finish().await;
            header_done(&guest, outcome)
        }),
    }
}

fn header_done(guest: &Guest, outcome: Result<Ended, Failure>) -> Step<()> {
    match outcome {
        Err(failure) => {
            let text = failure.text();
            error!(
                multiline = true,
                "failed to run header_filter_by_lua*: {text}"
            );
            give_up(guest, 500)
        }
        // `ngx.exit` has only noted its status: what stands behind it has run.
        Ok(Ended::Returned | Ended::Exited) => match guest.state.exit.take() {
            None | Some(0) => Step::Next(()),
            Some(code) => give_up(guest, u16::try_from(code).unwrap_or(500)),
        },
    }
}

/// Another response takes the place of this one.
fn give_up(guest: &Guest, status: u16) -> Step<()> {
    guest.state.header_failed.set(true);
    Step::Finish(status)
}

fn body(r: &Request, chain: Chain) -> Step<Chain> {
    let Some(code) = &*r.conf(&LUA).body_filter else {
        return Step::Next(chain);
    };
    let guest = Guest::of(r);
    if guest.state.body_ended.get() {
        // Lua has ended the body before its end.
        return Step::Next(Chain::new());
    }
    guest
        .state
        .arg
        .replace(Arg::Body(Box::new(Piece::of(chain))));
    match begin(r, guest.clone(), Phase::BodyFilter, code) {
        Err(status) => Step::Finish(status),
        Ok(Begun::Over(outcome)) => body_done(&guest, outcome),
        Ok(Begun::Waiting(waiting)) => Step::wait(async move {
            let outcome = waiting.finish().await;
            body_done(&guest, outcome)
        }),
    }
}

fn body_done(guest: &Guest, outcome: Result<Ended, Failure>) -> Step<Chain> {
    let arg = guest.state.arg.take();
    match outcome {
        Err(failure) => {
            let text = failure.text();
            error!(
                multiline = true,
                "failed to run body_filter_by_lua*: {text}"
            );
            Step::Finish(500)
        }
        Ok(Ended::Exited) if guest.state.exit.take().unwrap_or(0) < 0 => Step::Finish(500),
        Ok(_) => match arg {
            Arg::Body(piece) => {
                guest.state.body_ended.set(piece.eof);
                Step::Next(piece.into_chain())
            }
            Arg::None | Arg::Set(_) => Step::Next(Chain::new()),
        },
    }
}

impl Piece {
    fn of(chain: Chain) -> Self {
        Self {
            eof: chain.has_last_buf(),
            chain,
            data: None,
            eof_set: false,
        }
    }

    /// `ngx.arg[1]`
    pub(super) fn text(&self) -> Bytes {
        match &self.data {
            Some(data) => data.clone(),
            None => self.chain.copy_to_bytes(),
        }
    }

    /// What goes on to the next filter.
    fn into_chain(self) -> Chain {
        if self.data.is_none() && !self.eof_set {
            return self.chain;
        }
        let mut flags = Flags::empty();
        for buf in self.chain.iter() {
            flags |= buf.flags() & (Flags::FLUSH | Flags::SYNC);
        }
        if self.eof {
            flags |= Flags::LAST_BUF;
        }
        let text = self.text();
        if text.is_empty() {
            return if flags.is_empty() {
                Chain::new()
            } else {
                Chain::from(Buf::special(flags))
            };
        }
        Chain::from(Buf::from(text).with_flags(flags))
    }
}
