use tokio::time::Instant;

use super::*;
use crate::retry::RetryPolicy;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn retrying(conditions: Conditions) -> Settings {
    Settings {
        retry: RetryPolicy {
            conditions,
            ..RetryPolicy::default()
        },
        ..Settings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_tried_elsewhere() {
    let (wire, mut backends) = wire(&["a"]);
    let mut client = Collector::default();
    let mut driver = Driver::new(get(), balance(&["a", "b"]), wire, Settings::default());
    let (report, (name, _)) = tokio::join!(driver.run(&mut client), serve(&mut backends, OK));
    assert!(report.result.is_ok());
    assert_eq!((&*name, &client.body[..]), ("b", &b"ok"[..]));
    assert_eq!(statuses(&report), [("a", 502), ("b", 200)]);
    let refused = "connect() failed (111: Connection refused) while connecting to upstream";
    assert_eq!(client.errors, [refused]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_left() {
    let (wire, _backends) = wire(&["a", "b"]);
    let mut client = Collector::default();
    let session = balance(&["a", "b"]);
    let report = Driver::new(get(), session, wire, Settings::default())
        .run(&mut client)
        .await;
    assert_eq!(report.result.unwrap_err().status(), 502);
    assert_eq!(client.errors.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_live_peer() {
    let (wire, _backends) = wire(&[]);
    let mut client = Collector::default();
    let mut driver = Driver::new(get(), balance(&[]), wire, Settings::default());
    let report = driver.run(&mut client).await;
    assert_eq!(
        report.result.unwrap_err().to_string(),
        "no live upstreams while connecting to upstream"
    );
    assert_eq!(client.errors.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_wait_has_its_timeout() {
    let timeouts = Timeouts {
        connect: Duration::from_secs(1),
        send: Duration::from_secs(2),
        read: Duration::from_secs(3),
    };
    let run = async |peer: &str, body: Body, depth: usize| {
        let (mut wire, _backends) = wire(&[]);
        wire.depth = depth;
        let settings = Settings {
            timeouts,
            ..retrying(Conditions::OFF)
        };
        let mut driver = Driver::new(request(body), balance(&[peer]), wire, settings);
        let begun = Instant::now();
        let report = driver.run(&mut Collector::default()).await;
        let error = report.result.unwrap_err();
        assert_eq!((error.status(), report.tries[0].status), (504, 504));
        (begun.elapsed().as_secs(), error.to_string())
    };
    let text = |during| format!("upstream timed out (110: Connection timed out) while {during}");
    let large = Chain::from(Buf::from(vec![b'x'; 4096]));
    let body = Body::Whole(Framing::Length(4096), large);
    assert_eq!(
        run("silent", Body::None, 64).await,
        (1, text("connecting to upstream"))
    );
    assert_eq!(
        run("a", body, 64).await,
        (2, text("sending request to upstream"))
    );
    let head = text("reading response header from upstream");
    assert_eq!(run("a", Body::None, 64).await, (3, head));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_a_timeout_after_what_came() {
    let (wire, mut backends) = wire(&[]);
    let mut client = Collector::default();
    let mut driver = Driver::new(get(), balance(&["a", "b"]), wire, Settings::default());
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let (report, _far) = tokio::join!(driver.run(&mut client), serve(&mut backends, half));
    let error = report.result.as_ref().unwrap_err().to_string();
    assert_eq!(
        error,
        "upstream timed out (110: Connection timed out) while reading upstream"
    );
    assert_eq!(
        (&client.body[..], &client.errors[..]),
        (&b"half"[..], &[error][..])
    );
    assert_eq!(statuses(&report), [("a", 200)]);
}

#[tokio::test(start_paused = true)]
async fn statuses_are_conditions() {
    let busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    for (conditions, expected) in [
        (Conditions::HTTP_503, vec![("a", 503), ("b", 200)]),
        (Conditions::ERROR, vec![("a", 503)]),
    ] {
        let (wire, mut backends) = wire(&[]);
        let mut client = Collector::default();
        let mut driver = Driver::new(get(), balance(&["a", "b"]), wire, retrying(conditions));
        let backend = async {
            let _first = serve(&mut backends, busy).await;
            match expected.len() {
                2 => Some(serve(&mut backends, OK).await),
                _ => None,
            }
        };
        let (report, _far) = tokio::join!(driver.run(&mut client), backend);
        assert!(report.result.is_ok());
        assert_eq!(statuses(&report), expected);
        assert_eq!(client.heads, [expected.last().unwrap().1]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_bad_answer_is_passed_on() {
    let (wire, mut backends) = wire(&[]);
    let mut client = Collector::default();
    let mut driver = Driver::new(get(), balance(&["a"]), wire, retrying(Conditions::HTTP_503));
    let busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    let (report, _) = tokio::join!(driver.run(&mut client), serve(&mut backends, busy));
    assert!(report.result.is_ok());
    assert_eq!(client.heads, [503]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_early_or_talks_nonsense() {
    let closes = "upstream prematurely closed connection";
    for (answer, text) in [
        (&b""[..], closes),
        (b"HTTP/1.1 200", closes),
        (b"what?\r\n", "no valid"),
    ] {
        let (wire, mut backends) = wire(&[]);
        let mut client = Collector::default();
        let conditions = Conditions::ERROR | Conditions::INVALID_HEADER;
        let mut driver = Driver::new(get(), balance(&["a", "b"]), wire, retrying(conditions));
        let backend = async {
            drop(serve(&mut backends, answer).await);
            serve(&mut backends, OK).await
        };
        let (report, _far) = tokio::join!(driver.run(&mut client), backend);
        assert_eq!(statuses(&report), [("a", 502), ("b", 200)]);
        assert!(client.errors[0].contains(text), "{:?}", client.errors);
        assert!(client.errors[0].ends_with(" while reading response header from upstream"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_connection_gives_its_try_back() {
    let (wire, mut backends) = wire(&[]);
    let pool = Rc::new(Pool::new(wire, PoolSettings::default()));
    let settings = Settings::default();
    let mut first = Driver::new(get(), balance(&["a"]), Rc::clone(&pool), settings.clone());
    let mut client = Collector::default();
    let (_, (_, mut far)) = tokio::join!(first.run(&mut client), serve(&mut backends, OK));
    assert_eq!(pool.idle(), 1);

    // The peer reads the second request on the kept connection and closes it.
    let mut second = Driver::new(get(), balance(&["a"]), Rc::clone(&pool), settings);
    let mut client = Collector::default();
    let backend = async {
        read_head(&mut far).await;
        drop(far);
        serve(&mut backends, OK).await
    };
    let (report, _far) = tokio::join!(second.run(&mut client), backend);
    assert!(report.result.is_ok());
    assert_eq!(statuses(&report), [("a", 502), ("a", 200)]);
    assert!(report.tries[0].reused && !report.tries[1].reused);
}

#[tokio::test(start_paused = true)]
async fn an_early_answer_counts_though_the_request_was_cut_off() {
    let (mut wire, mut backends) = wire(&[]);
    wire.depth = 64;
    let large = Chain::from(Buf::from(vec![b'x'; 4096]));
    let body = Body::Whole(Framing::Length(4096), large);
    let mut client = Collector::default();
    let mut driver = Driver::new(request(body), balance(&["a"]), wire, Settings::default());
    let backend = async {
        let (_, mut far) = backends.recv().await.unwrap();
        read_head(&mut far).await;
        far.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
    };
    let (report, ()) = tokio::join!(driver.run(&mut client), backend);
    assert!(report.result.is_ok());
    assert_eq!(client.heads, [413]);
}
