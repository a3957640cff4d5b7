//! Lingering close: our last bytes must not be lost to a reset.
//!
//! A socket that is closed while the client's bytes lie unread in it sends a reset, and the
//! client may then throw the response away. So our side is closed first, and what the client
//! still sends is read and dropped for a while (`lingering_time`, `lingering_timeout`).

use std::task::{Context, Poll};

use super::http1::Http1;
use crate::time::now_ms;

/// A connection that is being closed.
pub(super) struct Linger {
    until: u64,
    timeout: u64,
}

impl Linger {
    pub(super) fn new(http1: &Http1) -> Self {
        let (timeout, total) = http1.linger_ms();
        // The client may be gone: then there is nobody to linger for, and the read says so.
        let _ = http1.transport().shutdown_write();
        http1.deadline.set(timeout.min(total));
        Self {
            until: now_ms().saturating_add(total),
            timeout,
        }
    }

    /// Ready when the client has closed its side, or has had enough time to.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, http1: &Http1) -> Poll<()> {
        loop {
            match http1.poll_read(cx, usize::MAX, <[u8]>::len) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {
                    let Some(left) = self.until.checked_sub(now_ms()) else {
                        return Poll::Ready(());
                    };
                    http1.deadline.set(left.min(self.timeout));
                }
                Poll::Pending => return http1.deadline.poll_expired(cx),
            }
        }
    }
}
