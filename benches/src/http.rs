//! Heads of HTTP messages.

/// What a load generator sends.
pub const SMALL_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// What a browser sends for a page.
pub const BROWSER_REQUEST: &[u8] = b"GET /articles/2026/light?from=front&page=2 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.com/\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=5f2c9a7be1d04c6f8a3b; theme=dark; seen=1712,1718,1733\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    If-Modified-Since: Fri, 20 Nov 2026 08:12:31 GMT\r\n\
    If-None-Match: \"6b01019d-378\"\r\n\
    \r\n";

/// What an application answers.
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: application\r\n\
    Date: Sat, 21 Nov 2026 02:14:28 GMT\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 1024\r\n\
    Cache-Control: private, max-age=0\r\n\
    ETag: \"6b01019d-400\"\r\n\
    Connection: keep-alive\r\n\
    \r\n";

/// A chunked body of `chunks` chunks with `size` bytes of data each.
pub fn chunked_body(chunks: usize, size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(chunks * (size + 16) + 8);
    for _ in 0..chunks {
        body.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        body.resize(body.len() + size, b'x');
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_well_formed() {
        assert_eq!(chunked_body(2, 3), b"3\r\nxxx\r\n3\r\nxxx\r\n0\r\n\r\n");
    }
}
