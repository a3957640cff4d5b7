//! A real memcached, if there is one.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::{Client, Port, tool, wait_until};

/// A memcached of the test's own.
pub struct Memcached {
    child: Child,
    port: Port,
}

impl Memcached {
    /// Starts one; nothing, with a note, where none is installed.
    pub fn start() -> Option<Self> {
        let program = tool("memcached")?;
        let port = Port::reserve();
        let child = Command::new(program)
            .args(["-l", "127.0.0.1", "-U", "0", "-t", "1", "-u", "root", "-p"])
            .arg(port.number().to_string())
            .stderr(Stdio::null())
            .spawn()
            .expect("start memcached");
        let addr = port.addr();
        let this = Self { child, port };
        wait_until("memcached to listen", || TcpStream::connect(&addr).is_ok());
        Some(this)
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        self.port.addr()
    }

    /// Stores a value.
    pub fn set(&self, key: &str, value: &[u8]) {
        let mut client = Client::connect(&self.addr());
        client
            .send(format!("set {key} 0 0 {}\r\n", value.len()))
            .send(value)
            .send("\r\n");
        assert_eq!(client.line(), "STORED");
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
