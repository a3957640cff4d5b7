//! `echo_before_body` and `echo_after_body`: text around the body of whatever module.

use ngx_buf::{Buf, Chain, Flags};

use super::run::State;
use super::{CONF, EchoConf};
use crate::http::request::Request;
use crate::http::step::Step;
use crate::script::Template;

/// Whether there is text to be put around bodies.
pub(super) fn is_wanted(conf: &EchoConf) -> bool {
    conf.before.is_set() || conf.after.is_set()
}

pub(super) fn header(r: &Request) -> Step<()> {
    // The body will be longer than whoever makes it has said.
    r.response().set_content_length(None);
    r.response().allow_ranges(false);
    Step::Next(())
}

pub(super) fn body(r: &Request, chain: Chain) -> Step<Chain> {
    let conf = r.conf(&CONF);
    if chain.is_empty() {
        return Step::Next(chain);
    }
    let state = State::of(r);
    let mut out = Chain::new();
    if !state.before_sent.replace(true) {
        append(r, &conf.before, &mut out);
    }
    if !conf.after.is_set() || !chain.has_last_buf() || state.after_sent.replace(true) {
        out.append(chain);
        return Step::Next(out);
    }
    for buf in chain.iter() {
        let mut buf = buf.clone();
        buf.remove_flags(Flags::LAST_BUF);
        if !buf.is_special() || !buf.flags().is_empty() {
            out.push(buf);
        }
    }
    append(r, &conf.after, &mut out);
    out.push(Buf::special(Flags::LAST_BUF));
    Step::Next(out)
}

fn append(r: &Request, texts: &[Template], out: &mut Chain) {
    for text in texts {
        let text = text.eval_bytes(r);
        if !text.is_empty() {
            out.push(Buf::from(text));
        }
    }
}
