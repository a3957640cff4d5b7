//! The built-in pages of redirects and errors.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use ngx_buf::{Buf, Chain};

use super::parse::reason;
use super::phases::status::HEADER_TOO_LARGE;
use super::request::Request;

/// The product's name and version as `Server:` and error pages show them.
pub const SERVER: &str = concat!("ngx/", env!("CARGO_PKG_VERSION"));
/// The same with `server_tokens off`.
pub const SERVER_SHORT: &str = "ngx";

/// The header line with [`SERVER`], and the one with [`SERVER_SHORT`].
pub(crate) const SERVER_LINES: [&[u8]; 2] = [
    concat!("Server: ngx/", env!("CARGO_PKG_VERSION"), "\r\n").as_bytes(),
    b"Server: ngx\r\n",
];

/// The version of nginx whose behaviour is the measure (`$nginx_version`).
pub const NGINX_VERSION: &str = "1.31.5";

/// A page as it is and as `server_tokens off` wants it.
struct Page {
    full: Bytes,
    short: Bytes,
}

impl Page {
    fn new(text: impl Fn(&str) -> String) -> Self {
        Self {
            full: text(SERVER).into(),
            short: text(SERVER_SHORT).into(),
        }
    }
}

static PAGES: LazyLock<HashMap<u16, Page>> = LazyLock::new(|| {
    let usual = (300..600).filter_map(|status| {
        // The status line has it otherwise, as nginx's has.
        let title = if status == 302 {
            "Found"
        } else {
            reason(status)?
        };
        Some((status, Page::new(|server| page(status, title, server))))
    });
    let too_large = (HEADER_TOO_LARGE, Page::new(header_too_large));
    usual.chain([too_large]).collect()
});

/// The page of a status, which may be one of nginx's own that are sent as another; none for statuses without a body of their own.
pub(crate) fn body(r: &Request, status: u16) -> Option<Chain> {
    let page = PAGES.get(&status)?;
    let tokens = *r.core().server_tokens;
    let bytes = if tokens { &page.full } else { &page.short };
    Some(Chain::from(Buf::from(bytes.clone())))
}

fn page(status: u16, title: &str, server: &str) -> String {
    format!(
        "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n\
         <center><h1>{status} {title}</h1></center>\r\n\
         <hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
    )
}

fn header_too_large(server: &str) -> String {
    format!(
        "<html>\r\n<head><title>400 Request Header Or Cookie Too Large</title></head>\r\n\
         <body>\r\n<center><h1>400 Bad Request</h1></center>\r\n\
         <center>Request Header Or Cookie Too Large</center>\r\n\
         <hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
    )
}
