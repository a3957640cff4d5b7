//! A server inside of a test, with one module more than the crate has.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ngx_core::conf::MemorySource;
use ngx_core::cycle::{BuildOptions, Cycle};
use ngx_core::http::{HttpModule, HttpWorker, http_registry, modules};
use ngx_core::log::LogFiles;
use ngx_core::process::Workers;

/// Serves these locations, with `module` beside those of the crate; ends when the workers are
/// dropped.
pub(crate) fn serve(
    module: &'static HttpModule,
    locations: &str,
) -> (Workers<HttpWorker>, SocketAddr) {
    let addr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let text = format!(
        "events {{ worker_connections 1000; }}
         http {{ access_log off; server {{ listen {addr}; {locations} }} }}"
    );
    let source = MemorySource::new().with_file("/ngx.conf", text);
    let registry = http_registry(modules::ALL.iter().copied().chain([module]))
        .unwrap()
        .with_extension(Arc::new(LogFiles::default()));
    let options = BuildOptions::default();
    let cycle = Cycle::build(&registry, &source, Path::new("/ngx.conf"), &options, None).unwrap();
    (Workers::start(cycle).unwrap(), addr)
}

/// A client that is connected and will not wait for ever.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(addr).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client
}

/// Everything that comes for a `GET` over `client`, up to the end of the connection.
pub(crate) fn get_over(mut client: TcpStream, path: &str) -> String {
    write!(client, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    response
}

/// The same over a connection of its own.
pub(crate) fn get(addr: SocketAddr, path: &str) -> String {
    get_over(connect(addr), path)
}
