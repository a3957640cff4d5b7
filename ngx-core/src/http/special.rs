//! The built-in pages of redirects and errors.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use ngx_buf::{Buf, Chain};

use super::core;
use super::parse::reason;
use super::request::Request;

/// The product's name and version as `Server:` and error pages show them.
pub const SERVER: &str = concat!("ngx/", env!("CARGO_PKG_VERSION"));
/// The same with `server_tokens off`.
pub const SERVER_SHORT: &str = "ngx";

/// The version of nginx whose behaviour is the measure (`$nginx_version`).
pub const NGINX_VERSION: &str = "1.31.5";

/// A page as it is and as `server_tokens off` wants it.
struct Page {
    full: Bytes,
    short: Bytes,
}

static PAGES: LazyLock<HashMap<u16, Page>> = LazyLock::new(|| {
    (300..600)
        .filter_map(|status| {
            let title = reason(status)?;
            let page = |server| Bytes::from(page(status, title, server));
            Some((
                status,
                Page {
                    full: page(SERVER),
                    short: page(SERVER_SHORT),
                },
            ))
        })
        .collect()
});

/// The page of a status; none for statuses without a body of their own.
pub(crate) fn body(r: &Request, status: u16) -> Option<Chain> {
    // nginx has pages of its own for statuses that are sent as 400.
    let page = PAGES.get(&status)?;
    let tokens = *r.conf(&core::LOCATION).server_tokens;
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
