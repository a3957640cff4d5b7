//! A client that keeps the response.

use std::task::{Context, Poll};

use ngx_buf::{Chain, Flow};

use super::client::{Client, ClientError, Disposition};
use super::report::Try;

/// Keeps the head and the body of a response in memory, for programs that want nothing else.
///
/// ```
/// use ngx_upstream::connect::Sockets;
/// use ngx_upstream::driver::{Collect, Driver, Settings};
/// use ngx_upstream::peer::{Addr, Balancer, Peer, RoundRobin, Server};
/// use ngx_upstream::proto::memcached::{Head, Memcached};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let addr: std::net::SocketAddr = "127.0.0.1:11211".parse().unwrap();
/// let balancer = RoundRobin::new([Server::new(Peer::new(Addr::from(addr)))]);
/// let protocol = Memcached::get(b"key").unwrap();
/// let mut driver = Driver::new(protocol, balancer.session(b""), Sockets, Settings::default());
/// let mut value = Collect::new(1 << 20);
/// if driver.run(&mut value).await.result.is_ok() {
///     match value.head {
///         Some(Head::Hit { .. }) => println!("{} bytes", value.body.len()),
///         _ => println!("no such key"),
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Collect<H> {
    /// The head, if it has come.
    pub head: Option<H>,
    /// The body, as far as it has come.
    pub body: Vec<u8>,
    max: usize,
}

impl<H> Collect<H> {
    /// Keeps at most `max` bytes of body; a longer one ends the exchange with 413.
    pub fn new(max: usize) -> Self {
        Self {
            head: None,
            body: Vec::new(),
            max,
        }
    }
}

impl<H> Client<H> for Collect<H> {
    fn head(&mut self, head: H, _: &[Try]) -> Disposition {
        self.head = Some(head);
        // Never slow, so that no piece of the body ever lies in a file.
        Disposition::Pass
    }

    fn body(&mut self, chain: Chain) -> Result<Flow, ClientError> {
        for bytes in chain.iter().filter_map(ngx_buf::Buf::as_slice) {
            if self.body.len().saturating_add(bytes.len()) > self.max {
                return Err(ClientError::Code(413));
            }
            self.body.extend_from_slice(bytes);
        }
        Ok(Flow::Done)
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }
}
