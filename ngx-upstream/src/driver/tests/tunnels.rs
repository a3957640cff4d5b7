use tokio::time::Instant;

use super::*;

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nfirst,";

#[tokio::test(start_paused = true)]
async fn bytes_pass_both_ways_until_the_peer_closes() {
    let (wire, mut backends) = wire(&[]);
    let upload = ["ping", "pong"]
        .map(|text| Chain::from(Buf::from(text)))
        .into();
    let mut client = Collector {
        upload,
        upload_open: true,
        ..Collector::default()
    };
    let mut driver = Driver::new(get(), balance(&["a"]), wire, Settings::default());
    let backend = async {
        let (_, mut far) = serve(&mut backends, SWITCH).await;
        let mut got = [0; 8];
        far.read_exact(&mut got).await.unwrap();
        far.write_all(b"second").await.unwrap();
        got
    };
    let (report, got) = tokio::join!(driver.run(&mut client), backend);
    assert_eq!(report.result.as_ref().unwrap(), &End::Tunnel);
    assert_eq!(
        (&got, &client.body[..]),
        (b"pingpong", &b"first,second"[..])
    );
    assert_eq!(
        (client.heads, statuses(&report)),
        (vec![101], vec![("a", 101)])
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_client_reaches_the_peer_who_may_go_on() {
    let (wire, mut backends) = wire(&[]);
    let upload = [Chain::from(Buf::from("bye"))].into();
    let mut client = Collector {
        upload,
        ..Collector::default()
    };
    let mut driver = Driver::new(get(), balance(&["a"]), wire, Settings::default());
    let backend = async {
        let (_, mut far) = serve(&mut backends, SWITCH).await;
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        far.write_all(b"last").await.unwrap();
        got
    };
    let (report, got) = tokio::join!(driver.run(&mut client), backend);
    assert!(report.result.is_ok());
    assert_eq!(
        (&got[..], &client.body[..]),
        (&b"bye"[..], &b"first,last"[..])
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_is_closed() {
    let (wire, mut backends) = wire(&[]);
    let mut client = Collector {
        upload_open: true,
        ..Collector::default()
    };
    let mut driver = Driver::new(get(), balance(&["a"]), wire, Settings::default());
    let begun = Instant::now();
    let backend = async {
        let (_, mut far) = serve(&mut backends, SWITCH).await;
        tokio::time::sleep(Duration::from_secs(50)).await;
        far.write_all(b"alive").await.unwrap();
        far
    };
    let (report, _far) = tokio::join!(driver.run(&mut client), backend);
    assert_eq!(
        report.result.unwrap_err().to_string(),
        "upstream timed out (110: Connection timed out) while proxying upgraded connection"
    );
    assert_eq!(begun.elapsed().as_secs(), 110);
    assert_eq!(report.tries[0].status, 101);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_holds_the_peer_back() {
    let (wire, mut backends) = wire(&[]);
    let (open, opened) = tokio::sync::watch::channel(false);
    let mut client = Collector {
        open: Some(opened),
        upload_open: true,
        ..Collector::default()
    };
    let mut driver = Driver::new(get(), balance(&["a"]), wire, Settings::default());
    let backend = async {
        let (_, mut far) = serve(&mut backends, SWITCH).await;
        let all = vec![b'x'; 1 << 20];
        let early = timeout(Duration::from_secs(5), far.write_all(&all)).await;
        assert!(early.is_err(), "a megabyte went into nowhere");
        open.send(true).unwrap();
    };
    let (report, ()) = tokio::join!(driver.run(&mut client), backend);
    assert!(report.result.is_ok());
    assert!(client.body.starts_with(b"first,xxx"));
}
