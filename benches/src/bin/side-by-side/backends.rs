//! What proxies and cosockets speak to: started when first needed, on the load generator's core, with
//! no quota. Not measured.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing as _, Error, Result};
use crate::interrupt;
use crate::process::Process;
use crate::programs::{self, Program};
use crate::rows::KIBIBYTE;
use crate::server::{Server, Start};
use crate::site::{Site, free_port};

const PATIENCE: Duration = Duration::from_secs(10);

/// The backends that run.
#[derive(Debug, Default)]
pub(crate) struct Backends {
    http: Option<Server>,
    redis: Option<(Process, u16)>,
}

impl Backends {
    /// The port of an HTTP server with the files: nginx where there is one, else ngx.
    pub(crate) fn http(
        &mut self,
        site: &Site,
        programs: &[Program],
        core: Option<usize>,
    ) -> Result<u16> {
        if let Some(server) = &self.http {
            return Ok(server.port);
        }
        let servers = || {
            programs
                .iter()
                .filter(|p| p.kind != crate::results::Kind::Haproxy)
        };
        let Some(program) = servers().max_by_key(|program| program.kind) else {
            return Error::failed("there is no server to proxy to");
        };
        let port = free_port()?;
        let server = Server::start(Start {
            program,
            folder: &site.write_backend(program.kind, port)?,
            lua: false,
            port,
            core,
            quota: None,
            under: None,
        })?;
        self.http = Some(server);
        Ok(port)
    }

    /// The port of a redis that has the key `bench`.
    pub(crate) fn redis(&mut self, site: &Site, core: Option<usize>) -> Result<u16> {
        if let Some((_, port)) = &self.redis {
            return Ok(*port);
        }
        let Some(path) = programs::find("redis-server") else {
            return Error::failed("redis-server is not installed");
        };
        let port = free_port()?;
        let mut command = Command::new(path);
        command
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--port",
            ])
            .arg(port.to_string())
            .arg("--dir")
            .arg(site.path());
        let log = site.path().join("redis.log");
        let process = Process::start_logged("redis-server", command, core, &log)?;
        let answers = interrupt::wait_for(PATIENCE, || Ok(set_value(port).ok()))?;
        if answers.is_none() {
            return Error::failed(format!("redis-server does not answer, see {}", show(&log)));
        }
        self.redis = Some((process, port));
        Ok(port)
    }
}

/// Stores the value that is asked for.
fn set_value(port: u16) -> Result<()> {
    let doing = || "speaking to redis".to_owned();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).doing(doing)?;
    stream.set_read_timeout(Some(PATIENCE)).doing(doing)?;
    let value = "x".repeat(KIBIBYTE);
    let request = format!("*3\r\n$3\r\nSET\r\n$5\r\nbench\r\n${KIBIBYTE}\r\n{value}\r\n");
    stream.write_all(request.as_bytes()).doing(doing)?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).doing(doing)?;
    if answer == *b"+OK\r\n" {
        return Ok(());
    }
    Error::failed("redis does not store the value")
}

fn show(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
