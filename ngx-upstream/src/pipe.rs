//! The pipe between a peer and a client: memory, then a temporary file.

mod temp_file;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use ngx_buf::{Buf, Chain, Flags, Flow};

use crate::driver::{Client, ClientError};
use temp_file::TempFile;

/// Whether the peer may be ahead of the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// The response is read as fast as it comes, within [`Buffers`], so that the peer is free early.
    Buffered,
    /// Each read is passed on at once, with a flush; the next one waits until the client took it.
    Unbuffered,
}

/// What a response that is read ahead of its client may occupy.
#[derive(Clone, Debug)]
pub struct Buffers {
    /// Bytes of memory (`proxy_buffers`, number times size).
    pub memory: usize,
    /// Bytes passed to the client at a time (`proxy_busy_buffers_size`).
    pub busy: usize,
    /// Bytes of the temporary file; 0 for none (`proxy_max_temp_file_size`).
    pub temp_file_max: u64,
    /// Where temporary files are made (`proxy_temp_path`).
    pub temp_path: Arc<Path>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            memory: 512 * 1024,
            busy: 256 * 1024,
            temp_file_max: 1024 * 1024 * 1024,
            temp_path: std::env::temp_dir().into(),
        }
    }
}

/// What has come from the peer and not gone to the client.
///
/// ```text
///   push --> [ file 0..n | memory | memory ] --poll_pass--> client.body(at most `busy` bytes)
///                ^-- spilled while the client was slow
/// ```
#[derive(Debug)]
pub(crate) struct Pipe {
    mode: Mode,
    buffers: Buffers,
    queue: Chain,
    /// Bytes of the memory bufs in `queue`.
    memory: u64,
    file: Option<TempFile>,
    /// The client keeps what it was given last.
    blocked: bool,
}

impl Pipe {
    pub(crate) fn new(mode: Mode, buffers: Buffers) -> Self {
        Self {
            mode,
            buffers,
            queue: Chain::new(),
            memory: 0,
            file: None,
            blocked: false,
        }
    }

    /// Sets an empty pipe up for another response.
    pub(crate) fn begin(&mut self, mode: Mode, buffers: &Buffers) {
        self.mode = mode;
        self.buffers.memory = buffers.memory;
        self.buffers.busy = buffers.busy;
        self.buffers.temp_file_max = buffers.temp_file_max;
        if !Arc::ptr_eq(&self.buffers.temp_path, &buffers.temp_path) {
            self.buffers.temp_path = Arc::clone(&buffers.temp_path);
        }
        self.blocked = false;
    }

    /// The client has been given something past the pipe, and keeps it.
    pub(crate) fn block(&mut self) {
        self.blocked = true;
    }

    /// Where what comes is appended, in memory. Call [`grew`](Self::grew) after that.
    pub(crate) fn queue(&mut self) -> &mut Chain {
        &mut self.queue
    }

    /// So many bytes were appended to the [`queue`](Self::queue).
    pub(crate) fn grew(&mut self, bytes: u64) {
        self.memory += bytes;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether what is here should go to the client before more is read.
    pub(crate) fn is_enough(&self) -> bool {
        match self.mode {
            Mode::Unbuffered => !self.queue.is_empty(),
            Mode::Buffered => self.memory >= self.buffers.busy as u64,
        }
    }

    /// How many bytes may be read ahead now. Makes room by writing memory to the temporary file if
    /// the client is slow.
    ///
    /// # Errors
    /// The temporary file could not be made or written.
    pub(crate) fn room(&mut self) -> io::Result<usize> {
        let limit = match self.mode {
            Mode::Unbuffered if self.blocked || !self.queue.is_empty() => 0,
            Mode::Unbuffered => return Ok(usize::MAX),
            Mode::Buffered => self.buffers.memory as u64,
        };
        if self.blocked && self.memory >= limit && limit > 0 {
            self.spill()?;
        }
        Ok(usize::try_from(limit.saturating_sub(self.memory)).unwrap_or(usize::MAX))
    }

    pub(crate) fn push(&mut self, chain: Chain) {
        self.memory += chain.size();
        self.queue.append(chain);
    }

    /// Drops what is here, and the temporary file.
    pub(crate) fn clear(&mut self) {
        if !self.queue.is_empty() {
            self.queue.clear();
        }
        self.memory = 0;
        self.file = None;
    }

    /// Passes on what the client takes; whether it took something, or has room again. With `last`,
    /// nothing follows what is here.
    ///
    /// # Errors
    /// What the client says.
    pub(crate) fn poll_pass<H, R: Client<H>>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut R,
        last: bool,
    ) -> Result<bool, ClientError> {
        let mut passed = false;
        loop {
            if self.blocked {
                match client.poll_ready(cx)? {
                    // There may be room to read again: whoever reads has to be told.
                    Poll::Ready(()) => {
                        self.blocked = false;
                        passed = true;
                    }
                    Poll::Pending => return Ok(passed),
                }
            }
            if self.queue.is_empty() {
                return Ok(passed);
            }
            let chain = self.next_piece();
            passed = true;
            let flow = if last && self.queue.is_empty() {
                client.last_body(chain)?
            } else {
                client.body(chain)?
            };
            self.blocked = flow == Flow::Again;
        }
    }

    /// Bytes of one piece.
    fn busy(&self) -> u64 {
        self.buffers.busy.max(1) as u64
    }

    fn next_piece(&mut self) -> Chain {
        // Nearly always it is all there is.
        if self.mode == Mode::Buffered && self.file.is_none() && self.memory <= self.busy() {
            self.memory = 0;
            return std::mem::take(&mut self.queue);
        }
        let mut piece = match self.mode {
            Mode::Buffered => self.queue.split_to(self.busy()),
            Mode::Unbuffered => std::mem::take(&mut self.queue),
        };
        self.memory -= memory_of(&piece);
        if self.mode == Mode::Unbuffered {
            piece.push(Buf::special(Flags::FLUSH));
        }
        piece
    }

    /// Writes the memory to the temporary file, if there is one and it has room.
    fn spill(&mut self) -> io::Result<()> {
        let used = self.file.as_mut().map_or(0, TempFile::rewind);
        if used.saturating_add(self.memory) > self.buffers.temp_file_max {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                ngx_core::warn!(
                    "an upstream response is buffered to a temporary file while reading upstream"
                );
                self.file.insert(TempFile::create(&self.buffers.temp_path)?)
            }
        };
        let mut queue = Chain::new();
        for buf in std::mem::take(&mut self.queue) {
            match buf.as_slice() {
                Some(bytes) => queue.push_coalesced(file.append(bytes)?),
                None => queue.push(buf),
            }
        }
        self.queue = queue;
        self.memory = 0;
        Ok(())
    }
}

fn memory_of(chain: &Chain) -> u64 {
    chain
        .iter()
        .filter(|buf| buf.is_memory())
        .map(Buf::len)
        .sum()
}

#[cfg(test)]
mod tests;
