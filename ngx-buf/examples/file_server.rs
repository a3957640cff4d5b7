//! A tiny file server: the head and the file leave in one piece, the file by sendfile(2).
//!
//! `cargo run -p ngx-buf --example file_server [DIRECTORY [ADDRESS]]`

use std::future::poll_fn;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ngx_buf::{Buf, Chain, ChainWriter, Cursor, FileBuf};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// A request line longer than this is refused.
const LONGEST: u64 = 8192;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let root: Arc<Path> = PathBuf::from(args.next().unwrap_or_else(|| ".".into())).into();
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8081".into());
    let listener = TcpListener::bind(&address).await?;
    println!(
        "serving {} on http://{}/",
        root.display(),
        listener.local_addr()?
    );
    loop {
        let (stream, peer) = listener.accept().await?;
        let root = Arc::clone(&root);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &root).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

/// One request, one response, and the connection is closed.
async fn serve(
    mut stream: TcpStream,
    root: &Path,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut request = Chain::new();
    let path = loop {
        if let Some(line) = head_is_whole(&request) {
            break local_path(root, &line);
        }
        let mut bytes = BytesMut::with_capacity(1024);
        if stream.read_buf(&mut bytes).await? == 0 || request.size() > LONGEST {
            return Err("no request".into());
        }
        request.push(bytes);
    };
    let mut writer = ChainWriter::new();
    writer.push(match path.map(FileBuf::open) {
        Some(Ok(file)) if file.file().metadata()?.is_file() => {
            let len = file.file().metadata()?.len();
            let mut chain = head("200 OK", len);
            chain.push(Buf::file(Arc::new(file), 0..len));
            chain.push(Buf::last());
            chain
        }
        Some(_) => text("404 Not Found"),
        None => text("400 Bad Request"),
    });
    poll_fn(|cx| writer.poll_write(cx, &mut &stream)).await?;
    Ok(())
}

/// The request line, when the empty line behind the head has come.
fn head_is_whole(request: &Chain) -> Option<Bytes> {
    let mut cursor = Cursor::new(request);
    cursor.find(b"\r\n\r\n")?;
    cursor.take_line()
}

/// The file that `GET /a/b HTTP/1.1` names, if it lies under `root`.
fn local_path(root: &Path, line: &[u8]) -> Option<PathBuf> {
    let line = std::str::from_utf8(line).ok()?;
    let path = line.strip_prefix("GET /")?.split([' ', '?']).next()?;
    let inside = Path::new(path)
        .components()
        .all(|c| matches!(c, Component::Normal(_)));
    inside.then(|| root.join(path))
}

fn head(status: &str, len: u64) -> Chain {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
    Buf::from(head).into()
}

fn text(status: &'static str) -> Chain {
    let mut chain = head(status, status.len() as u64);
    chain.push(status);
    chain.push(Buf::last());
    chain
}
