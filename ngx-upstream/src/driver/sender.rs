//! The request on its way to the peer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ngx_buf::Chain;
use tokio::io::AsyncWrite;

/// Queues and writes.
#[derive(Debug, Default)]
pub(super) struct Sender {
    out: Chain,
    sent: u64,
}

impl Sender {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn push(&mut self, chain: Chain) {
        self.out.append(chain);
    }

    pub(super) fn clear(&mut self) {
        self.out.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while let Some(buf) = self.out.front() {
            let bytes = buf.as_slice().unwrap_or_default();
            let n = ready!(Pin::new(&mut *stream).poll_write(cx, bytes))?;
            self.sent += n as u64;
            self.out.advance(n as u64);
        }
        Poll::Ready(Ok(()))
    }
}
