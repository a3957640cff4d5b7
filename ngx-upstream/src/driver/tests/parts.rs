use super::*;

type Used = Driver<Http1, RoundRobinSession, Wire>;

/// One exchange in these parts, with a backend that says this and closes.
async fn exchange(driver: Used, body: Body, answer: &[u8]) -> (Used, Collector, Report) {
    let (wire, mut backends) = wire(&[]);
    let mut client = Collector {
        upload: VecDeque::from([Chain::from(Buf::from("up"))]),
        ..Collector::default()
    };
    let nature = Nature {
        stream_request: matches!(body, Body::Stream(_)),
        idempotent: true,
    };
    let settings = Arc::new(Settings::default());
    let mut driver = driver;
    let (session, connector) = driver.peers();
    *session = balance(&["a"]);
    *connector = wire;
    let protocol = driver.renew(&settings, nature);
    let head = b"GET / HTTP/1.1\r\n\r\n";
    protocol.renew(body).extend_from_slice(head);
    protocol.announce(false, true);
    let backend = async { drop(serve(&mut backends, answer).await) };
    let (report, ()) = tokio::join!(driver.run(&mut client), backend);
    driver.rest();
    (driver, client, report)
}

/// However an exchange ends, the next one in its parts knows nothing of it.
#[tokio::test(start_paused = true)]
async fn parts_serve_one_exchange_after_the_other() {
    let settings = Settings::default();
    let mut parts = Driver::new(get(), balance(&[]), wire(&[]).0, settings);
    let endings: [(&[u8], Body); 6] = [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            Body::None,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nA: b\r\n",
            Body::Stream(Framing::Length(2)),
        ),
        (b"HTTP/1.1 200 OK\r\nConten", Body::None),
        (b"rubbish\r\n\r\n", Body::Stream(Framing::Chunked)),
        (b"HTTP/1.1 101 Switching\r\n\r\ntunnel", Body::None),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nmuch",
            Body::None,
        ),
    ];
    for (answer, body) in endings {
        let (used, _, _) = exchange(parts, body, answer).await;
        let fine = b"HTTP/1.1 201 OK\r\nContent-Length: 4\r\n\r\nfine";
        let (used, client, report) = exchange(used, Body::None, fine).await;
        assert_eq!(report.result.as_ref().unwrap(), &End::Complete);
        assert_eq!((client.heads, client.body), (vec![201], b"fine".to_vec()));
        assert!(client.trailers.is_empty() && client.errors.is_empty());
        let [attempt] = &report.tries[..] else {
            panic!("one try");
        };
        let numbers = (attempt.sent, attempt.received, attempt.body);
        assert_eq!(numbers, (18, fine.len() as u64, 4));
        assert_eq!((attempt.status, attempt.reused), (201, false));
        parts = used;
    }
}
