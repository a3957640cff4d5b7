//! The HTTP half of a worker thread without a process around it: a configuration, one connection.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to measure"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use ngx_core::conf::MemorySource;
use ngx_core::cycle::BuildOptions;
use ngx_core::http::{HttpModule, HttpWorker, http_registry, modules};
use ngx_core::module::Registry;
use ngx_core::net::Addr;
use ngx_core::process::{Origin, Service as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::LocalRuntime;

/// Requests that are sent in one go, so that the system calls for them are few.
pub const PIPELINED: usize = 64;

/// How much a client reads at once.
const READ: usize = 64 * 1024;

/// A worker with one client, on the thread that made it.
///
/// What a request costs here is everything from the parser to the writer, and a small share of the
/// system calls for a socket pair. Rows of a bench that differ in nothing but the configuration
/// show what that costs.
pub struct Worker {
    runtime: LocalRuntime,
    client: UnixStream,
    /// Kept: connections end with their worker.
    _service: Rc<HttpWorker>,
    answers: Vec<u8>,
}

impl Worker {
    /// A worker under `http { … }` with these contents; servers listen on `127.0.0.1:80`.
    pub fn new(http: &str, extra: &[&'static HttpModule]) -> Self {
        let listener = Addr::Inet(([127, 0, 0, 1], 80).into());
        let cycle = origin(http, extra).build(None).unwrap();
        let runtime = LocalRuntime::new().unwrap();
        let service = HttpWorker::new(cycle, 16);
        let client = runtime.block_on(async {
            let (client, served) = UnixStream::pair().unwrap();
            service.serve(served.into(), listener.clone(), &listener);
            client
        });
        Self {
            runtime,
            client,
            _service: service,
            answers: Vec::new(),
        }
    }

    /// Sends requests and reads answers until there are so many bytes.
    pub fn ask(&mut self, requests: &[u8], bytes: usize) -> &[u8] {
        let Self {
            runtime,
            client,
            answers,
            ..
        } = self;
        answers.clear();
        runtime.block_on(async {
            client.write_all(requests).await.unwrap();
            while answers.len() < bytes {
                answers.reserve(READ);
                assert!(client.read_buf(answers).await.unwrap() > 0, "closed");
            }
        });
        answers
    }

    /// Bytes of the answer to one request, whose status has to be this one.
    pub fn measure(&mut self, request: &[u8], status: u16) -> usize {
        let mut length = self.ask(request, 1).len();
        // A head without a body comes in one piece, a body may come behind it.
        let text = String::from_utf8_lossy(&self.answers).into_owned();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        let head = text.find("\r\n\r\n").unwrap() + 4;
        let body = text
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let whole = head + body.map_or(0, |body| body.parse::<usize>().unwrap());
        if length < whole {
            length += self.ask(b"", whole - length).len();
        }
        assert_eq!(length, whole, "more than one answer");
        whole
    }
}

/// The same request [`PIPELINED`] times.
pub fn pipeline(request: &[u8]) -> Vec<u8> {
    request.repeat(PIPELINED)
}

/// A request for this path of this host.
pub fn get(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// Where a configuration with this `http` block comes from.
pub fn origin(http: &str, extra: &[&'static HttpModule]) -> Origin {
    let mut text = String::from("events {}\nhttp {\n    keepalive_requests 1000000000;\n");
    let _ = writeln!(text, "{http}}}");
    Origin {
        log: None,
        predecessor: None,
        registry: Arc::new(registry(extra)),
        source: Arc::new(MemorySource::new().with_file("/ngx.conf", text)),
        file: Path::new("/ngx.conf").to_owned(),
        // No sockets: the connection is there already.
        options: BuildOptions {
            test: true,
            ..BuildOptions::default()
        },
    }
}

fn registry(extra: &[&'static HttpModule]) -> Registry {
    let own = modules::ALL.iter().copied();
    http_registry(own.chain(extra.iter().copied())).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_one_by_one_and_in_a_pipeline() {
        let server = "access_log off; server { listen 127.0.0.1:80; return 200 hello; }\n";
        let mut worker = Worker::new(server, &[]);
        let request = get("a", "/");
        let bytes = worker.measure(&request, 200);
        assert!(worker.ask(&request, bytes).ends_with(b"\r\n\r\nhello"));
        let answers = worker.ask(&pipeline(&request), bytes * PIPELINED);
        assert_eq!(answers.len(), bytes * PIPELINED);
    }
}
