//! Runs a protocol against a scripted peer, cut where it hurts. For the tests of a protocol's author.
//!
//! ```
//! use ngx_upstream::proto::memcached::{Head, Memcached};
//! use ngx_upstream::testing::{play, splits};
//!
//! for pieces in splits(b"VALUE k 0 2\r\nhi\r\nEND\r\n") {
//!     let seen = play(Memcached::get(b"k").unwrap(), &pieces, false);
//!     assert_eq!(seen.heads, [Head::Hit { flags: 0, length: 2 }]);
//!     assert_eq!(seen.body, b"hi");
//! }
//! ```

use crate::error::ProtocolError;
use crate::exchange::{Event, Exchange, Limits};
use crate::protocol::{Protocol, Reuse, Trailers};

/// What a protocol did with a response.
#[derive(Debug)]
pub struct Transcript<H> {
    /// All bytes that went to the peer.
    pub sent: Vec<u8>,
    /// The interim heads.
    pub interim: Vec<H>,
    /// The head; empty if it did not come.
    pub heads: Vec<H>,
    /// The body.
    pub body: Vec<u8>,
    /// The fields behind the body.
    pub trailers: Trailers,
    /// How it ended.
    pub end: End,
}

/// How a scripted exchange ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// The protocol wants more bytes than the script has.
    Again,
    /// The response is complete.
    Done(Reuse),
    /// The connection is a tunnel; these bytes came behind the head.
    Upgrade(Vec<u8>),
    /// A hook complained.
    Error(ProtocolError),
}

/// Feeds these pieces, one at a time, and the end of the connection if `eof`.
pub fn play<P: Protocol>(protocol: P, pieces: &[&[u8]], eof: bool) -> Transcript<P::Head> {
    let mut exchange = Exchange::new(protocol, Limits::default());
    play_on(&mut exchange, pieces, eof)
}

/// As [`play`], with an exchange of one's own: for second tries and for limits.
pub fn play_on<P: Protocol>(
    exchange: &mut Exchange<P>,
    pieces: &[&[u8]],
    eof: bool,
) -> Transcript<P::Head> {
    let mut seen = Transcript {
        sent: Vec::new(),
        interim: Vec::new(),
        heads: Vec::new(),
        body: Vec::new(),
        trailers: Trailers::new(),
        end: End::Again,
    };
    if let Err(error) = exchange.begin() {
        seen.end = End::Error(error);
        return seen;
    }
    seen.sent.extend(exchange.take_output().to_vec());
    for piece in pieces {
        exchange.feed(piece);
        drain(exchange, &mut seen);
    }
    if eof && seen.end == End::Again {
        exchange.closed();
        drain(exchange, &mut seen);
    }
    if let (End::Done(reuse), Ok(Event::Done(now))) = (&mut seen.end, exchange.poll()) {
        *reuse = now;
    }
    if let End::Upgrade(rest) = &mut seen.end {
        rest.extend_from_slice(&exchange.take_input());
    }
    seen
}

/// Every way to cut `bytes` in two, all of them byte by byte, and whole.
pub fn splits(bytes: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let halves = (0..=bytes.len()).map(move |at| {
        let (a, b) = bytes.split_at(at);
        [a, b]
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .collect()
    });
    halves.chain([bytes.chunks(1).collect()])
}

fn drain<P: Protocol>(exchange: &mut Exchange<P>, seen: &mut Transcript<P::Head>) {
    while seen.end == End::Again {
        match exchange.poll() {
            Ok(Event::Again) => break,
            Ok(Event::Interim(head)) => seen.interim.push(head),
            Ok(Event::Head(head)) => seen.heads.push(head),
            Ok(Event::Upgrade(head)) => {
                seen.heads.push(head);
                seen.end = End::Upgrade(Vec::new());
            }
            Ok(Event::Body(chain)) => seen.body.extend(chain.to_vec()),
            Ok(Event::Trailers(trailers)) => seen.trailers.extend(trailers),
            Ok(Event::Done(reuse)) => seen.end = End::Done(reuse),
            Err(error) => seen.end = End::Error(error),
        }
        seen.sent.extend(exchange.take_output().to_vec());
    }
    seen.sent.extend(exchange.take_output().to_vec());
}
