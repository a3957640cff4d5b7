//! Connections that the reactor watches.

use super::*;
use crate::net::transport::tests::speaks_as_a_stream;

#[test]
fn a_short_read_takes_the_readiness_back_and_the_end_stays() {
    run(async {
        let (transport, mut peer) = pair().await;
        assert!(blocked(transport.try_read(&mut [0])));
        as_task(async move {
            let mut buf = [0; 8];
            peer.write_all(b"abc").unwrap();
            transport.readable().await.unwrap();
            assert_eq!(transport.try_read(&mut buf).unwrap(), 3);
            assert!(!thought_readable(&transport));
            assert!(blocked(transport.try_read(&mut buf)));
            peer.write_all(b"defgh").unwrap();
            transport.readable().await.unwrap();
            assert_eq!(transport.try_read(&mut buf[..4]).unwrap(), 4);
            assert!(thought_readable(&transport));
            let mut spare = bytes::BytesMut::with_capacity(4);
            assert_eq!(transport.try_read_buf(&mut spare).unwrap(), 1);
            peer.write_all(b"i").unwrap();
            drop(peer);
            sleep(Duration::from_millis(20)).await;
            // Data and the end in one event.
            assert_eq!(transport.try_read(&mut buf).unwrap(), 1);
            transport.readable().await.unwrap();
            assert_eq!(transport.try_read(&mut buf).unwrap(), 0);
            assert_eq!(transport.try_read(&mut buf).unwrap(), 0);
            assert_eq!(transport.peek_closed().unwrap(), crate::net::Peek::Closed);
        })
        .await;
    });
}

#[test]
fn a_full_socket_is_waited_for() {
    run(async {
        let (transport, mut peer) = pair().await;
        let reader = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all.len()
        });
        let most = 32 << 20;
        as_task(async move {
            let block = vec![b'x'; 1 << 20];
            let mut sent = 0;
            let mut waits = 0;
            while sent < most {
                match transport.try_write(&block) {
                    Ok(n) => sent += n,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        waits += 1;
                        transport.writable().await.unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(waits > 0);
            assert!(most <= sent);
        })
        .await;
        let got = tokio::task::spawn_blocking(move || reader.join().unwrap());
        assert!(most <= got.await.unwrap());
    });
}

#[test]
fn others_wait_for_it_too() {
    run(async {
        let (transport, mut peer) = pair().await;
        let transport = Rc::new(transport);
        // A task of tokio's, and one of the reactor's that has another waker.
        let reader = Rc::clone(&transport);
        let waits = tokio::task::spawn_local(async move { reader.readable().await.unwrap() });
        tokio::task::yield_now().await;
        peer.write_all(b"x").unwrap();
        waits.await.unwrap();
        assert_eq!(transport.try_read(&mut [0; 8]).unwrap(), 1);
        let reader = Rc::clone(&transport);
        let waits = as_task(async move {
            let mut set = tokio::task::JoinSet::new();
            set.spawn_local(async move { reader.readable().await.unwrap() });
            set.join_next().await.unwrap().unwrap();
        });
        let write = async {
            sleep(Duration::from_millis(10)).await;
            peer.write_all(b"y").unwrap();
        };
        tokio::join!(waits, write);
    });
}

#[test]
fn a_later_waiter_replaces_an_earlier_one() {
    run(async {
        let (transport, mut peer) = pair().await;
        let transport = Rc::new(transport);
        let woken = Rc::new(Cell::new(0));
        let (earlier, counted) = (Rc::clone(&transport), Rc::clone(&woken));
        let stale = tokio::task::spawn_local(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            if counted.get() == 1 {
                assert!(earlier.poll_read_ready(cx).is_pending());
            }
            Poll::<()>::Pending
        }));
        tokio::task::yield_now().await;
        let later = Rc::clone(&transport);
        let waits = as_task(async move { later.readable().await.unwrap() });
        let write = async {
            sleep(Duration::from_millis(10)).await;
            peer.write_all(b"x").unwrap();
        };
        tokio::join!(waits, write);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(woken.get(), 1);
        stale.abort();
    });
}

#[test]
fn one_reads_while_another_writes() {
    run(async {
        let (transport, mut peer) = pair().await;
        let transport = Rc::new(transport);
        let (reader, writer) = (Rc::clone(&transport), transport);
        let reads = as_task(async move { reader.readable().await.unwrap() });
        let writes = as_task(async move {
            while !blocked(writer.try_write(&[b'x'; 65536])) {}
            writer.writable().await.unwrap();
        });
        let both = async { tokio::join!(reads, writes) };
        let talk = async {
            sleep(Duration::from_millis(10)).await;
            peer.write_all(b"x").unwrap();
            let mut room = vec![0; 64 << 20];
            peer.set_read_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            while peer.read(&mut room).is_ok_and(|n| n > 0) {}
        };
        tokio::join!(both, talk);
    });
}

#[test]
fn who_always_has_something_to_read_lets_others_have_their_turn() {
    run(async {
        let (transport, mut peer) = pair().await;
        peer.write_all(b"x").unwrap();
        transport.readable().await.unwrap();
        // The byte stays: it is always readable.
        spawn(async move {
            loop {
                transport.readable().await.unwrap();
            }
        });
        sleep(Duration::from_millis(10)).await;
        as_task(sleep(Duration::from_millis(10))).await;
        drop(peer);
    });
}

#[test]
fn more_connections_than_events_at_once() {
    const COUNT: usize = EVENTS_MAX + 100;
    run(async {
        let (acceptor, addr) = acceptor(local());
        let mut peers = Vec::new();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for n in 0..COUNT {
            peers.push(TcpStream::connect(addr.to_string()).unwrap());
            let (transport, _) = acceptor.accept().await.unwrap();
            let sender = sender.clone();
            spawn(async move {
                transport.readable().await.unwrap();
                assert_eq!(transport.try_read(&mut [0; 8]).unwrap(), 1);
                sender.send(n).unwrap();
            });
        }
        for peer in &mut peers {
            peer.write_all(b"x").unwrap();
        }
        let mut seen = vec![false; COUNT];
        for _ in 0..COUNT {
            seen[receiver.recv().await.unwrap()] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
        let reactor = here().unwrap();
        // The listener is left.
        assert_eq!(reactor.sources.borrow().count().1, 1);
        drop(acceptor);
        assert_eq!(reactor.sources.borrow().count().1, 0);
    });
}

#[test]
fn a_listener_that_is_gone_is_not_watched_though_others_have_it() {
    run(async {
        let wanted = [ListenOptions::new(local())];
        let set = Listeners::prepare(&Listeners::default(), &wanted, ListenRules::new(1)).unwrap();
        let listener = set.iter().next().unwrap();
        drop(Acceptor::new(listener.for_worker(0).unwrap()).unwrap());
        let _peer = TcpStream::connect(listener.local_addr().unwrap().to_string()).unwrap();
        let reactor = here().unwrap();
        assert_eq!(reactor.collect(), 0);
        let again = Acceptor::new(listener.for_worker(0).unwrap()).unwrap();
        again.accept().await.unwrap();
    });
}

#[test]
fn it_belongs_to_its_thread() {
    run(async {
        let (transport, mut peer) = pair().await;
        peer.write_all(b"x").unwrap();
        transport.readable().await.unwrap();
        let elsewhere = tokio::task::spawn_blocking(move || {
            let mut cx = Context::from_waker(Waker::noop());
            let Poll::Ready(Err(ready)) = transport.poll_read_ready(&mut cx) else {
                panic!("it seems to be of use");
            };
            let read = transport.try_read(&mut [0]).unwrap_err();
            (ready.to_string(), read.to_string())
        });
        let (ready, read) = elsewhere.await.unwrap();
        assert!(ready.contains("belongs to"), "{ready}");
        assert_eq!(ready, read);
    });
}

#[test]
fn connecting_waits_and_fails_as_the_system_does() {
    run(async {
        let (acceptor, addr) = acceptor(local());
        let from = std::net::SocketAddr::from(([127, 0, 0, 5], 0));
        let connected = as_task(async move {
            let time = Duration::from_secs(5);
            let plain = Transport::connect(&addr, time).await.unwrap();
            let bound = Transport::connect_from(Some(from), &addr).await.unwrap();
            (plain, bound)
        });
        let accepted = async {
            let one = acceptor.accept().await.unwrap().1;
            (one, acceptor.accept().await.unwrap().1)
        };
        let ((plain, bound), (first, second)) = tokio::join!(connected, accepted);
        assert_eq!(plain.local_addr().unwrap(), first);
        assert_eq!(bound.local_addr().unwrap(), second);
        assert!(second.to_string().starts_with("127.0.0.5:"));

        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refuses = Addr::from(gone.local_addr().unwrap());
        drop(gone);
        let error = Transport::connect_from(None, &refuses).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let missing = Addr::unix("/nonexistent/socket");
        let error = Transport::connect_from(None, &missing).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let unix = Addr::unix(path.to_str().unwrap());
        let transport = Transport::connect_from(None, &unix).await.unwrap();
        assert_eq!(transport.peer_addr().unwrap(), unix);
    });
}

#[test]
fn it_is_an_async_stream_too() {
    run(async {
        let (transport, peer) = pair().await;
        speaks_as_a_stream(transport, peer).await;
    });
}

#[test]
fn addresses_and_options_are_those_of_the_socket() {
    run(async {
        let (transport, peer) = pair().await;
        assert!(transport.is_tcp());
        transport.set_nodelay().unwrap();
        assert!(socket2::SockRef::from(&transport).tcp_nodelay().unwrap());
        assert_eq!(
            transport.peer_addr().unwrap(),
            peer.local_addr().unwrap().into()
        );
        assert_eq!(
            transport.local_addr().unwrap(),
            peer.peer_addr().unwrap().into()
        );

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut longest = folder.path().join("x").into_os_string();
        longest.push("x".repeat(108 - longest.len()));
        let wanted = [ListenOptions::new(Addr::unix(path.to_str().unwrap()))];
        // The file goes with the set.
        let set = Listeners::prepare(&Listeners::default(), &wanted, ListenRules::new(1)).unwrap();
        let listener = set.iter().next().unwrap();
        let acceptor = Acceptor::new(listener.for_worker(0).unwrap()).unwrap();
        let mut peer = UnixStream::connect(&path).unwrap();
        let (transport, from) = acceptor.accept().await.unwrap();
        assert_eq!(from, Addr::unix_unnamed());
        assert!(!transport.is_tcp());
        transport.set_nodelay().unwrap();
        assert_eq!(transport.local_addr().unwrap(), wanted[0].addr);
        assert_eq!(transport.peer_addr().unwrap(), Addr::unix_unnamed());
        peer.write_all(b"x").unwrap();
        transport.readable().await.unwrap();
        assert_eq!(transport.try_read(&mut [0; 4]).unwrap(), 1);
        // A client with an address of its own, as long as the system takes: no zero behind it.
        let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
        let named = rustix::net::socket(family, kind, None).unwrap();
        rustix::net::bind(&named, &SocketAddrUnix::new(&*longest).unwrap()).unwrap();
        rustix::net::connect(&named, &SocketAddrUnix::new(&*path).unwrap()).unwrap();
        let (_transport, from) = acceptor.accept().await.unwrap();
        assert_eq!(from, Addr::unix(longest.to_str().unwrap()));
    });
}
