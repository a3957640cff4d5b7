//! Sends a file with memory around it to a slow reader, over a real socket, and says what that cost.
//!
//! Four responses go over one connection: the file by `sendfile`, the file read into two small
//! buffers, the same read by threads, and the same past the page cache. However slow the reader is,
//! the memory stays what the buffers are.
//!
//! `cargo run -p ngx-buf --example cat_over_tcp [FILE]`

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ngx_buf::{
    Buf, Bufs, Chain, ChainWriter, FileBuf, Flow, OutputChain, OutputContext, OutputError,
    ReadThreads, Tag, WriteError,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

const TAG: Tag = Tag::new(&"cat over tcp");
/// Two of these are all the memory that a response may take for its file.
const SIZE: usize = 64 * 1024;
/// What is sent if no file is named.
const MADE_UP: usize = 8 << 20;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let made_up;
    let path = match std::env::args().nth(1) {
        Some(path) => PathBuf::from(path),
        None => {
            made_up = tempfile::NamedTempFile::new()?;
            std::fs::write(made_up.path(), vec![b'x'; MADE_UP])?;
            made_up.path().to_owned()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let client = tokio::spawn(async move { read_slowly(TcpStream::connect(address).await?).await });
    let (server, _) = listener.accept().await?;

    let threads = Arc::new(ReadThreads::new("example", 2, 100));
    for way in ["sendfile", "copied", "threads", "direct"] {
        let mut cx = OutputContext::new(TAG);
        cx.bufs = Bufs { num: 2, size: SIZE };
        cx.sendfile = way == "sendfile";
        let mut output = OutputChain::new(cx);
        if way == "threads" || way == "direct" {
            output.set_reader(Some(threads.clone()));
        }
        let file = match open(&path, way == "direct") {
            Ok(file) => file,
            Err(error) => {
                println!("{way:>8}: not on this file system: {error}");
                continue;
            }
        };
        respond(&server, way, &mut output, file).await?;
    }
    drop(server);
    println!("the reader got {} bytes", client.await??);
    println!(
        "{} threads were started, {} of the process",
        threads.started(),
        resident(Path::new("/proc/self/status")).unwrap_or_default()
    );
    Ok(())
}

fn open(path: &Path, direct: bool) -> io::Result<FileBuf> {
    let mut file = FileBuf::open(path)?;
    if direct {
        file.make_direct(512)?;
    }
    Ok(file)
}

/// Sends memory, the file, and memory again; prints what it took.
async fn respond(
    server: &TcpStream,
    way: &str,
    output: &mut OutputChain,
    file: FileBuf,
) -> Result<(), Box<dyn std::error::Error>> {
    let len = file.file().metadata()?.len();
    let mut chain = Chain::from(Buf::from(format!("--- {len} bytes, {way} ---\n")));
    chain.push(Buf::file(Arc::new(file), 0..len));
    chain.push("\n--- end ---\n");
    chain.push(Buf::last());

    let (mut writer, mut sink) = (ChainWriter::new(), server);
    let (start, mut memory, mut waits) = (Instant::now(), 0, 0);
    loop {
        let flow = output.send::<Failure>(std::mem::take(&mut chain), &mut |run| {
            writer.push(run);
            Ok(writer.try_write(&mut sink)?)
        })?;
        memory = memory.max(output.memory());
        if flow == Flow::Done {
            break;
        }
        waits += 1;
        if writer.is_empty() && output.is_reading() {
            poll_fn(|cx| output.poll_read(cx)).await;
        } else {
            poll_fn(|cx| writer.poll_write(cx, &mut sink)).await?;
        }
    }
    let stats = output.stats();
    println!(
        "{way:>8}: {} bytes in {:.1?}; waited {waits} times; {} buffers made, used again {} times; \
         {memory} bytes of memory at most",
        writer.sent(),
        start.elapsed(),
        stats.peak,
        stats.reused,
    );
    Ok(())
}

/// Reads 256 KiB and rests, until the end.
async fn read_slowly(mut client: TcpStream) -> io::Result<u64> {
    let (mut read, mut into) = (0, vec![0; 256 * 1024]);
    loop {
        match client.read(&mut into).await? {
            0 => return Ok(read),
            n => read += n as u64,
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The most memory that the process ever had, where the system tells.
fn resident(status: &Path) -> Option<String> {
    let status = std::fs::read_to_string(status).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let size = line.trim_start_matches("VmHWM:").trim();
    Some(format!("{size} at most"))
}
