use super::*;
use crate::error::Phase;
use std::task::Waker;

const FAILED: PeerOutcome = PeerOutcome::Failed(Phase::Connect);

fn server(name: &str, weight: u32) -> Server {
    let addr = super::super::Addr::from(std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
    let peer = Peer {
        name: name.into(),
        ..Peer::new(addr)
    };
    Server {
        weight,
        ..Server::new(peer)
    }
}

fn next(session: &mut RoundRobinSession) -> Result<String, NoLive> {
    match session.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(peer) => peer.map(|peer| peer.name.to_string()),
        Poll::Pending => panic!("round robin never waits"),
    }
}

fn serve(balancer: &RoundRobin, outcome: PeerOutcome) -> String {
    let mut session = balancer.session(b"");
    let name = next(&mut session).unwrap_or_else(|e| e.to_string());
    session.done(outcome);
    name
}

fn rounds(balancer: &RoundRobin, n: usize) -> String {
    (0..n)
        .map(|_| serve(balancer, PeerOutcome::Served))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn weights_are_spread_smoothly() {
    let balancer = RoundRobin::new([server("a", 5), server("b", 1), server("c", 1)]);
    assert_eq!(rounds(&balancer, 14), "aabacaaaabacaa");
    let balancer = RoundRobin::new([server("a", 1), server("b", 2), server("c", 3)]);
    assert_eq!(rounds(&balancer, 6), "cbacbc");
    let balancer = RoundRobin::new([server("a", 1), server("b", 1)]);
    assert_eq!(rounds(&balancer, 4), "abab");
}

#[tokio::test(start_paused = true)]
async fn positions_are_per_thread_and_counters_are_not() {
    let one = RoundRobin::new([server("a", 1), server("b", 1)]);
    let two = one.for_thread();
    assert_eq!(rounds(&one, 1) + &rounds(&two, 1), "aa");
    assert_eq!(serve(&one, FAILED), "b");
    assert_eq!(rounds(&two, 3), "aaa");
}

#[tokio::test(start_paused = true)]
async fn a_failed_server_rests_and_returns() {
    let balancer = RoundRobin::new([server("a", 1), server("b", 1)]);
    assert_eq!(serve(&balancer, FAILED), "a");
    assert_eq!(rounds(&balancer, 3), "bbb");
    tokio::time::advance(Duration::from_secs(11)).await;
    // It lost its weight with the failure and gets it back in the next round.
    let later = rounds(&balancer, 6);
    assert!(later.contains('a') && later.contains("ab"), "{later}");
}

#[tokio::test(start_paused = true)]
async fn after_its_rest_a_server_gets_one_chance() {
    let balancer = RoundRobin::new([server("a", 1), server("b", 1)]);
    serve(&balancer, FAILED);
    tokio::time::advance(Duration::from_secs(11)).await;
    let mut again = String::new();
    for _ in 0..6 {
        let mut session = balancer.session(b"");
        let name = next(&mut session).unwrap();
        session.done(if name == "a" {
            FAILED
        } else {
            PeerOutcome::Served
        });
        again += &name;
    }
    assert_eq!(again.matches('a').count(), 1, "{again}");
}

#[tokio::test(start_paused = true)]
async fn one_exchange_asks_every_server_once() {
    let balancer = RoundRobin::new([server("a", 1), server("b", 1)]);
    let mut session = balancer.session(b"");
    assert_eq!(session.tries_left(), 2);
    assert_eq!(next(&mut session), Ok("a".into()));
    assert_eq!(session.tries_left(), 1);
    session.done(FAILED);
    assert_eq!(next(&mut session), Ok("b".into()));
    assert_eq!(session.tries_left(), 0);
    session.done(FAILED);
    assert_eq!(next(&mut session), Err(NoLive));
    assert_eq!(serve(&balancer, FAILED), "no live upstreams");
}

#[tokio::test(start_paused = true)]
async fn a_refund_gives_the_try_and_the_peer_back() {
    let balancer = RoundRobin::new([server("a", 1)]);
    let mut session = balancer.session(b"");
    next(&mut session).unwrap();
    session.refund();
    session.done(PeerOutcome::Unknown);
    assert_eq!(session.tries_left(), 1);
    assert_eq!(next(&mut session), Ok("a".into()));
}

#[tokio::test(start_paused = true)]
async fn a_single_server_is_never_barred() {
    let balancer = RoundRobin::new([server("a", 1)]);
    assert_eq!(serve(&balancer, FAILED), "a");
    assert_eq!(serve(&balancer, FAILED), "a");
}

#[tokio::test(start_paused = true)]
async fn backups_and_downs() {
    let down = Server {
        down: true,
        ..server("d", 9)
    };
    let backup = Server {
        backup: true,
        ..server("z", 1)
    };
    let balancer = RoundRobin::new([server("a", 1), down, backup]);
    assert_eq!(balancer.session(b"").tries_left(), 2);
    assert_eq!(rounds(&balancer, 2), "aa");
    let mut session = balancer.session(b"");
    next(&mut session).unwrap();
    session.done(FAILED);
    assert_eq!(next(&mut session), Ok("z".into()));
    session.done(PeerOutcome::Served);
    assert_eq!(rounds(&balancer, 2), "zz");
}

#[tokio::test(start_paused = true)]
async fn connections_are_limited_and_given_back() {
    let limited = Server {
        max_conns: 1,
        ..server("a", 1)
    };
    let balancer = RoundRobin::new([limited]);
    let mut first = balancer.session(b"");
    assert!(next(&mut first).is_ok());
    assert_eq!(next(&mut balancer.session(b"")), Err(NoLive));
    drop(first);
    assert_eq!(next(&mut balancer.session(b"")), Ok("a".into()));
    assert_eq!(
        balancer
            .servers()
            .map(|(_, fails)| fails.connections())
            .sum::<u32>(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_declined_answer_is_no_failure() {
    let balancer = RoundRobin::new([server("a", 1), server("b", 1)]);
    assert_eq!(serve(&balancer, PeerOutcome::Declined), "a");
    assert_eq!(rounds(&balancer, 2), "ba");
}

#[tokio::test(start_paused = true)]
async fn the_only_server_is_asked_once_in_each_exchange_whatever_it_did() {
    let only = |server| RoundRobin::new([server]);
    let balancer = only(server("a", 1));
    assert_eq!(serve(&balancer, FAILED), "a");
    let mut session = balancer.session(b"");
    assert_eq!(next(&mut session).as_deref(), Ok("a"));
    assert_eq!(session.tries_left(), 0);
    session.refund();
    session.done(PeerOutcome::Unknown);
    assert_eq!(next(&mut session).as_deref(), Ok("a"));
    session.done(FAILED);
    assert_eq!(next(&mut session), Err(NoLive));

    let down = Server {
        down: true,
        ..server("a", 1)
    };
    assert_eq!(next(&mut only(down).session(b"")), Err(NoLive));
    let narrow = Server {
        max_conns: 1,
        backup: true,
        ..server("a", 1)
    };
    let narrow = only(narrow);
    let (mut one, mut two) = (narrow.session(b""), narrow.session(b""));
    assert_eq!(next(&mut one).as_deref(), Ok("a"));
    assert_eq!(next(&mut two), Err(NoLive));
    drop(one);
    assert_eq!(next(&mut two).as_deref(), Ok("a"));
}
