//! Addresses, listening sockets, connections and their deadlines.
//!
//! ```text
//! addr      what `listen`, `server` and `proxy_pass` name
//! listener  the listening sockets of a process, shared by generations of the configuration
//! accept    connections out of a listening socket
//! seats     how many connections a thread may have (`worker_connections`)
//! transport one connection, to a client or to a backend
//! reactor   the event loop of a thread's connections
//! deadline  one coarse timer per connection, moved lazily
//! ```

pub mod accept;
pub mod addr;
pub mod deadline;
pub mod listener;
pub mod reactor;
pub mod seats;
#[expect(
    unsafe_code,
    reason = "descriptors of any kind in tokio's epoll, reading into fresh memory; no other room needs it"
)]
pub(crate) mod sys;
pub mod transport;

pub use self::accept::Acceptor;
pub use self::addr::Addr;
pub use self::deadline::Deadline;
pub use self::listener::{ListenOptions, Listeners};
pub use self::transport::{Peek, Transport};
