//! The example's protocol against backends that misbehave.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "../examples/character.rs"]
#[expect(
    dead_code,
    reason = "the example's main and backend are not called here"
)]
mod character;

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use character::Character;
use ngx_buf::{Chain, Flow};
use ngx_upstream::connect::Sockets;
use ngx_upstream::driver::{Client, ClientError, Disposition, Driver, Report, Settings, Try};
use ngx_upstream::exchange::{Exchange, Limits};
use ngx_upstream::peer::{Addr, Balancer, Peer, RoundRobin, Server};
use ngx_upstream::testing::{End, play, play_on, splits};
use ngx_upstream::{
    BodySink, BodyStep, HeadSink, Input, Outcome, Protocol, ProtocolError, Reuse, Step,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn ask(ask: u8) -> Character {
    Character(ask, false)
}

#[test]
fn fed_split_at_every_byte() {
    for (answer, status, body) in [(b" b", 200, &b"b"[..]), (b"?b", 404, b"")] {
        for pieces in splits(answer) {
            let seen = play(ask(b'a'), &pieces, false);
            assert_eq!((seen.sent, seen.heads), (b"a".to_vec(), vec![status]));
            assert_eq!(
                (&seen.body[..], seen.end),
                (body, End::Done(Reuse::Keep)),
                "{pieces:?}"
            );
        }
    }
}

#[test]
fn cut_off_at_every_byte() {
    for pieces in [&[][..], &[&b" "[..]], &[&b"?"[..]]] {
        let seen = play(ask(b'a'), pieces, true);
        assert_eq!(seen.end, End::Error(ProtocolError::PrematureClose));
    }
    let seen = play(ask(b'a'), &[b"!b"], false);
    assert_eq!(
        seen.end,
        End::Error(ProtocolError::invalid("invalid status character"))
    );
}

#[test]
fn a_second_try_knows_nothing_of_the_first() {
    let mut exchange = Exchange::new(ask(b'a'), Limits::default());
    assert_eq!(play_on(&mut exchange, &[b" "], true).heads, [200]);
    let second = play_on(&mut exchange, &[b"?b"], false);
    assert_eq!(
        (second.sent, second.heads, second.body),
        (b"a".to_vec(), vec![404], Vec::new())
    );
}

/// Notes the calls of the hooks around those of the example.
struct Noted(Character, Rc<RefCell<Vec<String>>>);

impl Noted {
    fn note(&self, call: impl Into<String>) {
        self.1.borrow_mut().push(call.into());
    }
}

impl Protocol for Noted {
    type Head = u16;

    fn create_request(&mut self, out: &mut Chain) -> Result<(), ProtocolError> {
        self.note("create");
        self.0.create_request(out)
    }

    fn process_header(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut HeadSink<'_, u16>,
    ) -> Result<Step<u16>, ProtocolError> {
        self.0.process_header(input, sink)
    }

    fn input_filter(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut BodySink<'_>,
    ) -> Result<BodyStep, ProtocolError> {
        self.0.input_filter(input, sink)
    }

    fn reinit_request(&mut self) -> Result<(), ProtocolError> {
        self.note("reinit");
        self.0.reinit_request()
    }

    fn abort_request(&mut self) {
        self.note("abort");
    }

    fn finalize_request(&mut self, outcome: Outcome) {
        self.note(format!("finalize {outcome:?}"));
    }
}

#[derive(Default)]
struct Seen {
    status: Option<u16>,
    body: Vec<u8>,
    leaves: bool,
}

impl Client<u16> for Seen {
    fn head(&mut self, status: u16, _: &[Try]) -> Disposition {
        self.status = Some(status);
        Disposition::Pass
    }

    fn body(&mut self, chain: Chain) -> Result<Flow, ClientError> {
        self.body.extend(chain.to_vec());
        Ok(Flow::Done)
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(Ok(()))
    }

    /// Leaves when it has the head.
    fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<()> {
        if self.leaves && self.status.is_some() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// A backend that reads a character, sends this to its only connection, and holds it open until the
/// other side closes if there is something to send; else closes at once.
async fn backend(answer: &'static [u8]) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer::new(Addr::from(listener.local_addr().unwrap()));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_all(answer).await.unwrap();
        if !answer.is_empty() {
            let _ = stream.read_u8().await;
        }
    });
    peer
}

async fn run(peers: Vec<Peer>, seen: &mut Seen) -> (Report, Vec<String>) {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let balancer = RoundRobin::new(peers.into_iter().map(Server::new));
    let protocol = Noted(ask(b'a'), Rc::clone(&calls));
    let mut driver = Driver::new(
        protocol,
        balancer.session(b""),
        Sockets,
        Settings::default(),
    );
    let report = driver.run(seen).await;
    let calls = calls.take();
    (report, calls)
}

#[tokio::test]
async fn retried_on_another_peer() {
    let mut seen = Seen::default();
    let peers = vec![backend(b"").await, backend(b" b").await];
    let (report, calls) = run(peers, &mut seen).await;
    report.result.unwrap();
    assert_eq!((seen.status, &seen.body[..]), (Some(200), &b"b"[..]));
    assert_eq!(calls, ["create", "reinit", "finalize Complete(Keep)"]);
    assert_eq!(report.tries.len(), 2);
}

#[tokio::test]
async fn aborted_in_the_middle() {
    let mut seen = Seen {
        leaves: true,
        ..Seen::default()
    };
    let (report, calls) = run(vec![backend(b" ").await], &mut seen).await;
    assert_eq!(report.result.unwrap_err().status(), 499);
    assert_eq!(calls, ["create", "abort", "finalize Aborted"]);
}
