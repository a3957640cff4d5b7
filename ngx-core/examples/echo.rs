//! An echo server on a listening socket of nginx's kind: one deadline per connection, and lines
//! in nginx's error log format.
//!
//! ```text
//! cargo run -p ngx-core --example echo -- 127.0.0.1:7000
//! ```

use std::cell::Cell;
use std::error::Error;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use ngx_core::error::errno;
use ngx_core::log::{self, ErrorLog, Level, LogScope, Stderr};
use ngx_core::net::addr::{parse_listen, system_lookup};
use ngx_core::net::listener::{ListenOptions, ListenRules, Listeners};
use ngx_core::net::{Acceptor, Addr, Deadline, Transport};
use tokio::task::LocalSet;

/// How long a client may be silent, in milliseconds.
const SILENCE: u64 = 60_000;

struct Client {
    number: u64,
    addr: Addr,
}

impl LogScope for Client {
    fn connection(&self) -> Option<u64> {
        Some(self.number)
    }

    fn write_context(&self, out: &mut String) {
        out.push_str(", client: ");
        out.push_str(&self.addr.to_string());
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    log::set_default(Arc::new(ErrorLog::new([(
        Level::Info,
        Arc::new(Stderr) as _,
    )])));
    log::install()?;
    let text = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:7000".into());
    let addrs = parse_listen(&text, 7000, &system_lookup)?;
    let wanted: Vec<ListenOptions> = addrs.into_iter().map(ListenOptions::new).collect();
    let set = Listeners::prepare(&Listeners::default(), &wanted, ListenRules::new(1))?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    let numbers = Rc::new(Cell::new(0));
    for listener in set.iter() {
        let socket = listener.for_worker(0)?;
        ngx_core::notice!("listening on {}", listener.local_addr()?);
        local.spawn_local(serve(socket, Rc::clone(&numbers)));
    }
    runtime.block_on(local);
    Ok(())
}

async fn serve(
    socket: ngx_core::net::listener::WorkerListener,
    numbers: Rc<Cell<u64>>,
) -> io::Result<()> {
    let acceptor = Acceptor::new(socket)?;
    loop {
        let (transport, addr) = acceptor.accept().await?;
        numbers.set(numbers.get() + 1);
        let client: Rc<dyn LogScope> = Rc::new(Client {
            number: numbers.get(),
            addr,
        });
        tokio::task::spawn_local(log::scoped(client, async move {
            match echo(&transport).await {
                Ok(()) => ngx_core::info!("client closed the connection"),
                Err(error) => ngx_core::info!("client gone {}", errno(&error)),
            }
        }));
    }
}

async fn echo(transport: &Transport) -> io::Result<()> {
    transport.set_nodelay()?;
    let deadline = Deadline::new();
    let mut buf = [0; 4096];
    loop {
        deadline.set(SILENCE);
        // Whichever comes first: something to read, or the deadline.
        poll_fn(|cx| {
            if deadline.poll_expired(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            transport.poll_read_ready(cx)
        })
        .await?;
        let mut rest = match transport.try_read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => buf.get(..n).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        while !rest.is_empty() {
            match transport.try_write_vectored(&[IoSlice::new(rest)], false) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    transport.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
