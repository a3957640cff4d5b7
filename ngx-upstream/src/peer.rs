//! Peers and the choice between them.

mod balancer;
mod fails;
mod round_robin;

pub use balancer::{Balancer, NoLive, Peer, PeerOutcome, Session, TlsIdentity};
pub use fails::Fails;
pub use round_robin::{RoundRobin, RoundRobinSession, Server};

pub use ngx_core::net::addr::Addr;
