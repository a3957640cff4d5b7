//! HTTP/1 messages as the tests read them: strict, and with everything left to look at.

use std::io::{self, Read};

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// A request, as a backend received it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub uri: String,
    pub version: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// Header fields in order.
#[derive(Debug, Clone, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The value of the only field with this name; fails when there are several.
    #[track_caller]
    pub fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "several {name}: {all:?}");
        all.first().copied()
    }

    /// The values of every field with this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    fn chunked(&self) -> bool {
        self.one("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    fn content_length(&self) -> Option<usize> {
        self.one("content-length")
            .map(|value| value.parse().expect("a content length"))
    }
}

impl Response {
    /// The header field called `name`.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.one(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails unless the status is `status`; returns the response for more.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Request {
    /// The header field called `name`.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.one(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Bytes from a peer, with those read too early kept for later.
pub struct Reader<R> {
    pub inner: R,
    kept: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            kept: Vec::new(),
        }
    }

    /// Reads once; `Ok(false)` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 16384];
        let n = self.inner.read(&mut bytes)?;
        self.kept.extend_from_slice(&bytes[..n]);
        Ok(n > 0)
    }

    /// One line without its CRLF; an error when the peer ends before it.
    pub fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.kept.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.kept.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.fill()? {
                return Err(end_of_input("in a line", &self.kept));
            }
        }
    }

    /// Exactly `len` bytes.
    pub fn exact(&mut self, len: usize) -> io::Result<Vec<u8>> {
        while self.kept.len() < len {
            if !self.fill()? {
                return Err(end_of_input("in a body", &self.kept));
            }
        }
        Ok(self.kept.drain(..len).collect())
    }

    /// At least one byte, or nothing at the end.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.kept.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.kept))
    }

    /// Everything up to the end.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.kept))
    }

    /// A response to a request of `method`. A 1xx is a response of its own, 101 included.
    pub fn response(&mut self, method: &str) -> io::Result<Response> {
        let mut response = self.response_head()?;
        let bodiless = method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304);
        if !bodiless {
            response.body = if response.headers.chunked() {
                assert_eq!(response.header("content-length"), None, "both framings");
                self.chunks()?
            } else if let Some(len) = response.headers.content_length() {
                self.exact(len)?
            } else {
                self.rest()?
            };
        }
        Ok(response)
    }

    /// The head of a response alone; its body stays to be read.
    pub fn response_head(&mut self) -> io::Result<Response> {
        let line = self.line()?;
        let mut words = line.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        assert!(
            version.starts_with("HTTP/1."),
            "not a status line: {line:?}"
        );
        let status = words.next().and_then(|word| word.parse().ok());
        Ok(Response {
            version,
            status: status.unwrap_or_else(|| panic!("not a status line: {line:?}")),
            reason: words.next().unwrap_or_default().to_owned(),
            headers: self.headers()?,
            body: Vec::new(),
        })
    }

    /// A request with its body.
    pub fn request(&mut self) -> io::Result<Request> {
        let mut request = self.request_head()?;
        if request.headers.chunked() {
            request.body = self.chunks()?;
        } else if let Some(len) = request.headers.content_length() {
            request.body = self.exact(len)?;
        }
        Ok(request)
    }

    /// The head of a request alone; its body stays to be read.
    pub fn request_head(&mut self) -> io::Result<Request> {
        let line = self.line()?;
        let words: Vec<&str> = line.split(' ').collect();
        let &[method, uri, version] = words.as_slice() else {
            panic!("not a request line: {line:?}");
        };
        let (method, uri, version) = (method.to_owned(), uri.to_owned(), version.to_owned());
        Ok(Request {
            method,
            uri,
            version,
            headers: self.headers()?,
            body: Vec::new(),
        })
    }

    fn headers(&mut self) -> io::Result<Headers> {
        let mut headers = Headers::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(headers);
            }
            let Some((name, value)) = line.split_once(':') else {
                panic!("not a header field: {line:?}");
            };
            headers.0.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let Ok(size) = usize::from_str_radix(&line, 16) else {
                panic!("not a chunk size: {line:?}");
            };
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exact(size)?);
            assert_eq!(self.line()?, "", "the end of a chunk");
        }
    }
}

fn end_of_input(place: &str, kept: &[u8]) -> io::Error {
    let kept = String::from_utf8_lossy(&kept[..kept.len().min(200)]);
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the peer closed {place} after {kept:?}"),
    )
}
