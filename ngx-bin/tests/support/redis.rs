//! A real redis, if there is one.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Port, tool, wait_until};

/// A redis of the test's own, which keeps nothing.
pub struct Redis {
    child: Child,
    port: Port,
    /// Where it lives; removed with it.
    _dir: TempDir,
}

impl Redis {
    /// Starts one; nothing, with a note, where none is installed.
    pub fn start() -> Option<Self> {
        let program = tool("redis-server")?;
        let port = Port::reserve();
        let dir = tempfile::tempdir().unwrap();
        let child = Command::new(program)
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--port",
            ])
            .arg(port.number().to_string())
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("start redis");
        let addr = port.addr();
        let this = Self {
            child,
            port,
            _dir: dir,
        };
        wait_until("redis to listen", || TcpStream::connect(&addr).is_ok());
        Some(this)
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
