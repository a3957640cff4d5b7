//! Chunks for bodies of unknown length (RFC 9112 §7.1).

use bytes::Bytes;
use ngx_buf::{Buf, Chain, Flags};

use crate::http::core;
use crate::http::module::{HttpModule, Ordered};
use crate::http::parse::{Method, Version, write_chunk_size};
use crate::http::request::Request;
use crate::http::step::Step;
use crate::module::Module;

/// The filter that frames bodies in chunks.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    header_filters: &[Ordered {
        name: "chunked",
        before: &[],
        after: &["range"],
        run: header,
    }],
    body_filters: &[Ordered {
        name: "chunked",
        before: &[],
        after: &["copy"],
        run: body,
    }],
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_chunked_filter_module",
    directives: &[],
};

fn header(r: &Request) -> Step<()> {
    let response = r.response();
    let status = response.status();
    if matches!(status, 204 | 304) || status < 200 {
        response.set_header_only(true);
        if status == 204 {
            // RFC 9110 §8.6: no length, and nothing that it could be the length of.
            response.set_content_length(None);
            response.set_content_type(None);
            response.set_last_modified(None);
        }
    }
    if response.is_header_only() || r.method() == Method::Head || status == 101 {
        return Step::Next(());
    }
    if response.content_length().is_none() {
        let allowed = *r.conf(&core::LOCATION).chunked_transfer_encoding;
        if allowed && r.head().version() >= Version::HTTP_11 {
            response.set_chunked(true);
        } else if let Some(downstream) = r.downstream() {
            // The end of the connection is the end of the body.
            downstream.forbid_keepalive();
        }
    }
    Step::Next(())
}

fn body(r: &Request, chain: Chain) -> Step<Chain> {
    if !r.response().is_chunked() {
        return Step::Next(chain);
    }
    let size = chain.size();
    let flags = chain.flags();
    let last = flags.contains(Flags::LAST_BUF);
    if size == 0 && !last {
        return Step::Next(chain);
    }
    let mut out = Chain::new();
    if size > 0 {
        let mut head = Vec::with_capacity(20);
        write_chunk_size(&mut head, size);
        out.push(Bytes::from(head));
        for mut buf in chain {
            if buf.is_special() {
                continue;
            }
            // The marks go behind the end of the chunk.
            buf.remove_flags(Flags::CONTROL);
            out.push(buf);
        }
        out.push(if last {
            Buf::from_static(b"\r\n0\r\n\r\n")
        } else {
            Buf::from_static(b"\r\n")
        });
    } else {
        out.push(Buf::from_static(b"0\r\n\r\n"));
    }
    if let Some(back) = out.back_mut() {
        back.insert_flags(flags & Flags::CONTROL);
    }
    Step::Next(out)
}
