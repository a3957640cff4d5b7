use super::*;
use crate::error::ProtocolError;
use crate::pipe::Buffers;
use crate::protocol::{BodySink, BodyStep, HeadSink, Input, Outcome, Step};

fn response(size: usize) -> Vec<u8> {
    let mut all = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
    all.extend((0..size).map(|at| (at / 7) as u8));
    all
}

/// Runs with a client that takes nothing for a minute; says how much the backend got rid of before.
async fn slow(settings: Settings, size: usize) -> (Collector, Report, usize) {
    let (mut wire, mut backends) = wire(&[]);
    wire.depth = 1024;
    let (open, opened) = tokio::sync::watch::channel(false);
    let mut client = Collector {
        open: Some(opened),
        ..Collector::default()
    };
    let mut driver = Driver::new(get(), balance(&["a"]), wire, settings);
    let backend = async {
        let (_, mut far) = backends.recv().await.unwrap();
        read_head(&mut far).await;
        let response = response(size);
        let mut written = 0;
        let minute = Duration::from_secs(30);
        while let Ok(Ok(n)) = timeout(minute, far.write(&response[written..])).await
            && n > 0
        {
            written += n;
        }
        open.send(true).unwrap();
        far.write_all(&response[written..]).await.unwrap();
        written
    };
    let (report, written) = tokio::join!(driver.run(&mut client), backend);
    (client, report, written)
}

fn buffers(memory: usize, temp_file_max: u64) -> Settings {
    let buffers = Buffers {
        memory,
        busy: 4096,
        temp_file_max,
        ..Buffers::default()
    };
    Settings {
        buffers,
        ..Settings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_without_a_file() {
    let (client, report, written) = slow(buffers(16 * 1024, 0), 200_000).await;
    assert!(report.result.is_ok());
    assert!((16_000..48_000).contains(&written), "{written}");
    assert_eq!(
        client.body,
        response(200_000)[response(200_000).len() - 200_000..]
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_takes_what_memory_does_not() {
    let (client, report, written) = slow(buffers(16 * 1024, 1 << 20), 200_000).await;
    assert!(report.result.is_ok());
    assert!(written > 200_000, "the peer was done early: {written}");
    let whole = response(200_000);
    assert_eq!(client.body, whole[whole.len() - 200_000..]);
    assert_eq!(report.tries[0].body, 200_000);
}

#[tokio::test(start_paused = true)]
async fn without_buffering_the_peer_waits_for_the_client() {
    let settings = Settings {
        mode: Mode::Unbuffered,
        ..buffers(1 << 20, 1 << 20)
    };
    let (client, report, written) = slow(settings, 200_000).await;
    assert!(report.result.is_ok());
    assert!(written < 32_000, "{written}");
    assert_eq!(client.body.len(), 200_000);
}

#[tokio::test(start_paused = true)]
async fn unbuffered_pieces_arrive_as_they_come() {
    let (wire, mut backends) = wire(&[]);
    let mut client = Collector {
        mode: Some(Mode::Unbuffered),
        ..Collector::default()
    };
    let mut driver = Driver::new(get(), balance(&["a"]), wire, Settings::default());
    let backend = async {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
        let (_, mut far) = serve(&mut backends, head).await;
        for piece in [b"ab", b"cd"] {
            tokio::time::sleep(Duration::from_secs(1)).await;
            far.write_all(piece).await.unwrap();
        }
        far
    };
    let (report, _far) = tokio::join!(driver.run(&mut client), backend);
    assert!(report.result.is_ok());
    assert_eq!((client.pieces, &client.body[..]), (2, &b"abcd"[..]));
}

#[tokio::test(start_paused = true)]
async fn the_client_leaves() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
    ] {
        let (wire, mut backends) = wire(&[]);
        let mut client = Collector::leaving_after(5);
        let mut driver = Driver::new(get(), balance(&["a", "b"]), wire, Settings::default());
        let (report, (_, mut far)) =
            tokio::join!(driver.run(&mut client), serve(&mut backends, answer));
        let error = report.result.unwrap_err();
        assert!(error.is_client() && error.status() == 499, "{error}");
        assert_eq!(report.tries.len(), 1);
        assert_eq!(
            far.read(&mut [0; 1]).await.unwrap(),
            0,
            "the connection is closed"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_discarded_body_that_is_here_keeps_its_connection() {
    for (length, kept) in [(4, 1), (9, 0)] {
        let (wire, mut backends) = wire(&[]);
        let pool = Rc::new(Pool::new(wire, PoolSettings::default()));
        let mut client = Collector {
            discard: true,
            ..Collector::default()
        };
        let mut driver = Driver::new(
            get(),
            balance(&["a"]),
            Rc::clone(&pool),
            Settings::default(),
        );
        let answer = format!("HTTP/1.1 404 No\r\nContent-Length: {length}\r\n\r\nhalf");
        let (report, _far) = tokio::join!(
            driver.run(&mut client),
            serve(&mut backends, answer.as_bytes())
        );
        assert_eq!(report.result.unwrap(), End::Discarded);
        assert_eq!((client.body.len(), pool.idle()), (0, kept));
        assert_eq!(report.tries[0].status, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_sent_while_it_arrives() {
    let (wire, mut backends) = wire(&[]);
    let pieces = ["one", "two"].map(|text| Chain::from(Buf::from(text)));
    let mut client = Collector {
        upload: pieces.into(),
        ..Collector::default()
    };
    let settings = Settings {
        stream_request: true,
        ..Settings::default()
    };
    let protocol = request(Body::Stream(Framing::Chunked));
    let mut driver = Driver::new(protocol, balance(&["a"]), wire, settings);
    let backend = async {
        let (_, mut far) = backends.recv().await.unwrap();
        read_head(&mut far).await;
        let body = read_head(&mut far).await;
        far.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
        (body, far)
    };
    let (report, (body, _far)) = tokio::join!(driver.run(&mut client), backend);
    assert!(report.result.is_ok());
    assert_eq!(body, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_began_is_not_repeated() {
    let (wire, mut backends) = wire(&[]);
    let upload = [Chain::from(Buf::from("one"))].into();
    let mut client = Collector {
        upload,
        upload_open: true,
        ..Collector::default()
    };
    let settings = Settings {
        stream_request: true,
        ..Settings::default()
    };
    let protocol = request(Body::Stream(Framing::Chunked));
    let mut driver = Driver::new(protocol, balance(&["a", "b"]), wire, settings);
    let backend = async {
        let (_, mut far) = backends.recv().await.unwrap();
        read_head(&mut far).await;
    };
    let (report, ()) = tokio::join!(driver.run(&mut client), backend);
    assert!(report.result.is_err());
    assert_eq!(report.tries.len(), 1);
}

/// Counts the last calls of its hooks.
struct Counted(Http1, Rc<std::cell::RefCell<Vec<&'static str>>>);

impl Protocol for Counted {
    type Head = Head;

    fn create_request(&mut self, out: &mut Chain) -> Result<(), ProtocolError> {
        self.0.create_request(out)
    }

    fn process_header(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut HeadSink<'_, Head>,
    ) -> Result<Step<Head>, ProtocolError> {
        self.0.process_header(input, sink)
    }

    fn input_filter(
        &mut self,
        input: &mut Input<'_>,
        sink: &mut BodySink<'_>,
    ) -> Result<BodyStep, ProtocolError> {
        self.0.input_filter(input, sink)
    }

    fn abort_request(&mut self) {
        self.1.borrow_mut().push("abort");
    }

    fn finalize_request(&mut self, _: Outcome) {
        self.1.borrow_mut().push("finalize");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_driver_aborts_and_gives_the_peer_back() {
    let (wire, mut backends) = wire(&[]);
    let calls = Rc::default();
    let addr = Addr::from(std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
    let balancer = RoundRobin::new([Server::new(Peer::new(addr))]);
    let protocol = Counted(get(), Rc::clone(&calls));
    let mut driver = Driver::new(protocol, balancer.session(b""), wire, Settings::default());
    let mut client = Collector::default();
    let run = timeout(Duration::from_secs(1), async move {
        driver.run(&mut client).await
    });
    let (timed_out, (_, mut far)) = tokio::join!(run, serve(&mut backends, b"HTTP/1.1 200"));
    assert!(timed_out.is_err());
    assert_eq!(*calls.borrow(), ["abort", "finalize"]);
    assert_eq!(
        balancer
            .servers()
            .map(|(_, fails)| fails.connections())
            .sum::<u32>(),
        0
    );
    assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_clients_side_may_refuse_a_body() {
    let (wire, mut backends) = wire(&[]);
    let mut client = Collect::new(3);
    let mut driver = Driver::new(get(), balance(&["a"]), wire, Settings::default());
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour";
    let (report, _far) = tokio::join!(driver.run(&mut client), serve(&mut backends, answer));
    assert_eq!(report.result.unwrap_err().status(), 413);
    assert_eq!(
        (client.head.map(|head| head.code()), client.body.len()),
        (Some(200), 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_made_asks_no_peer() {
    let (wire, _backends) = wire(&[]);
    let mut client = Collector::default();
    let short = Body::Whole(Framing::Length(9), Chain::from(Buf::from("short")));
    let mut driver = Driver::new(
        request(short),
        balance(&["a", "b"]),
        wire,
        Settings::default(),
    );
    let report = driver.run(&mut client).await;
    assert_eq!(
        (report.result.unwrap_err().status(), report.tries.len()),
        (500, 0)
    );
    assert_eq!(client.errors.len(), 1);
}
