//! A Lua script that talks to redis through cosockets, in a tokio program without any server.
//!
//! ```sh
//! redis-server --port 6399 &
//! cargo run -p ngx-lua --example plain_tokio -- 127.0.0.1 6399
//! ```
//!
//! Without arguments it starts `redis-server` itself, on a socket in a folder of its own, if there is
//! one on this machine.

use std::error::Error;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use ngx_lua::{Chunk, Host};
use tokio::task::LocalSet;

/// Sets and gets, one by one, in one go, and from light threads that share a pool.
const SCRIPT: &str = include_str!("redis.lua");

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plain_tokio: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut arguments = std::env::args().skip(1);
    // Lua values belong to one thread: so do the tasks that hold them.
    LocalSet::new().block_on(&runtime, async {
        let host = Host::new()?;
        let script = host.load("@redis.lua", SCRIPT)?;
        if let Some(address) = arguments.next() {
            let port: Option<u16> = arguments.next().map(|port| port.parse()).transpose()?;
            return report(&script, &address, port).await;
        }
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("redis.sock");
        let Some(_redis) = Redis::start(&path)? else {
            println!("there is no redis-server here; give me an address and a port");
            return Ok(());
        };
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        report(&script, &format!("unix:{}", path.display()), None).await
    })
}

async fn report(script: &Chunk, address: &str, port: Option<u16>) -> Result<(), Box<dyn Error>> {
    let text: String = script.call((address, port)).await?;
    println!("{text}");
    Ok(())
}

/// A server that ends with the program.
struct Redis(Child);

impl Redis {
    fn start(path: &std::path::Path) -> Result<Option<Self>, Box<dyn Error>> {
        let started = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(path)
            .stdout(Stdio::null())
            .spawn();
        match started {
            Ok(child) => Ok(Some(Self(child))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}
