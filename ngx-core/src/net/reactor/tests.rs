use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use tokio::runtime::{Builder, LocalRuntime};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::*;
use crate::net::listener::{ListenOptions, ListenRules};
use crate::net::{Acceptor, Addr, Listeners, Transport};

fn runtime() -> LocalRuntime {
    Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap()
}

/// Runs a test on a thread with a reactor.
fn run(test: impl Future<Output = ()>) {
    runtime().block_on(async {
        start().unwrap();
        timeout(Duration::from_secs(20), test).await.unwrap();
    });
}

fn acceptor(addr: Addr) -> (Acceptor, Addr) {
    let wanted = [ListenOptions::new(addr)];
    let set = Listeners::prepare(&Listeners::default(), &wanted, ListenRules::new(1)).unwrap();
    let listener = set.iter().next().unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = Acceptor::new(listener.for_worker(0).unwrap()).unwrap();
    (acceptor, addr)
}

fn local() -> Addr {
    std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()
}

/// A connection that the reactor watches, and its peer as a blocking socket.
async fn pair() -> (Transport, TcpStream) {
    let (acceptor, addr) = acceptor(local());
    let peer = TcpStream::connect(addr.to_string()).unwrap();
    let (transport, from) = acceptor.accept().await.unwrap();
    assert_eq!(from, peer.local_addr().unwrap().into());
    (transport, peer)
}

/// Runs a future as a task of the reactor's, to its end.
async fn as_task<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    spawn(async move {
        let _ = sender.send(future.await);
    });
    receiver.await.unwrap()
}

fn blocked<T: fmt::Debug>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn thought_readable(transport: &Transport) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    transport.poll_read_ready(&mut cx).is_ready()
}

#[test]
fn a_task_waits_for_whatever_there_is() {
    run(async {
        let (sender, receiver) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        spawn(async move {
            // A timer of tokio's, a task of tokio's, a thread.
            sleep(Duration::from_millis(5)).await;
            tokio::task::spawn_local(sleep(Duration::from_millis(5)))
                .await
                .unwrap();
            let thread = tokio::task::spawn_blocking(|| {
                std::thread::sleep(Duration::from_millis(20));
                7
            });
            assert_eq!(thread.await.unwrap(), 7);
            let said: &str = receiver.await.unwrap();
            answer.send(said).unwrap();
        });
        sleep(Duration::from_millis(60)).await;
        sender.send("now").unwrap();
        assert_eq!(answered.await.unwrap(), "now");
    });
}

#[test]
fn a_task_that_ends_leaves_its_place() {
    run(async {
        for _ in 0..1000 {
            as_task(async {}).await;
        }
        let reactor = here().unwrap();
        assert!(reactor.tasks.borrow().places() <= 2);
    });
}

#[test]
fn a_waker_outlives_its_task_in_vain() {
    run(async {
        let kept = Rc::new(RefCell::new(None));
        let keep = Rc::clone(&kept);
        as_task(poll_fn(move |cx| {
            *keep.borrow_mut() = Some(cx.waker().clone());
            Poll::Ready(())
        }))
        .await;
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        spawn(poll_fn(move |_| {
            counted.set(counted.get() + 1);
            Poll::<()>::Pending
        }));
        sleep(Duration::from_millis(10)).await;
        let waker: Waker = kept.take().unwrap();
        let there = waker.clone();
        std::thread::spawn(move || there.wake()).join().unwrap();
        waker.wake();
        sleep(Duration::from_millis(10)).await;
        // It has the place of the first one.
        assert_eq!(polls.get(), 1);
    });
}

#[test]
fn a_task_that_wakes_itself_lets_others_have_their_turn() {
    run(async {
        spawn(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        let before = Instant::now();
        sleep(Duration::from_millis(10)).await;
        as_task(sleep(Duration::from_millis(10))).await;
        assert!(before.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_task_that_wakes_itself_has_a_turn_between_those_of_others() {
    run(async {
        let (transport, mut peer) = pair().await;
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        spawn(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }));
        let seen = Rc::clone(&polls);
        let (sender, receiver) = oneshot::channel();
        spawn(async move {
            transport.readable().await.unwrap();
            sender.send(seen.get()).unwrap();
        });
        tokio::task::yield_now().await;
        let before = polls.get();
        peer.write_all(b"x").unwrap();
        let turns = receiver.await.unwrap() - before;
        assert!(turns < 4, "{turns}");
    });
}

#[test]
fn tasks_that_wake_each_other_need_no_turn_of_everybody() {
    run(async {
        let (there, mut hear) = tokio::sync::mpsc::unbounded_channel();
        let (back, mut answer) = tokio::sync::mpsc::unbounded_channel();
        spawn(async move {
            while let Some(n) = hear.recv().await {
                back.send(n).unwrap();
            }
        });
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        let counts = tokio::task::spawn_local(async move {
            loop {
                counted.set(counted.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        tokio::task::yield_now().await;
        let before = turns.get();
        let after = as_task(async move {
            for n in 0..10 {
                there.send(n).unwrap();
                assert_eq!(answer.recv().await, Some(n));
            }
            turns.get()
        });
        assert!(after.await - before <= 2);
        counts.abort();
    });
}

#[test]
fn a_panic_ends_one_task() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose, too");
        }
    }
    run(async {
        let (transport, mut peer) = pair().await;
        spawn(async { panic!("on purpose") });
        spawn(async { drop(Bomb) });
        let bomb = Bomb;
        spawn(poll_fn(move |_| {
            let _keep = &bomb;
            Poll::Ready(())
        }));
        peer.write_all(b"x").unwrap();
        as_task(async move { transport.readable().await.unwrap() }).await;
    });
}

#[test]
fn tasks_end_with_the_runtime() {
    struct Late(Rc<Cell<usize>>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            let count = Rc::clone(&self.0);
            // Nobody runs it; it is dropped.
            spawn(async move { count.set(count.get() + 100) });
        }
    }
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let count = Rc::new(Cell::new(0));
    let runtime = runtime();
    let waker = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&waker);
    let (held, peer) = runtime.block_on(async {
        start().unwrap();
        start().unwrap();
        for _ in 0..2 {
            let bomb = Bomb;
            spawn(async move {
                std::future::pending::<()>().await;
                drop(bomb);
            });
        }
        spawn(poll_fn(move |cx| {
            *keep.lock().unwrap() = Some(cx.waker().clone());
            Poll::Pending
        }));
        for _ in 0..3 {
            let late = Late(Rc::clone(&count));
            spawn(async move {
                std::future::pending::<()>().await;
                drop(late);
            });
        }
        tokio::task::yield_now().await;
        pair().await
    });
    drop(runtime);
    assert_eq!(count.get(), 3);
    assert_eq!(HOME.get(), 0);
    // What is held outlives it, and is of no use.
    assert!(!blocked(held.try_read(&mut [0])));
    drop((held, peer));
    let waker: Waker = waker.lock().unwrap().take().unwrap();
    waker.wake_by_ref();
    std::thread::spawn(move || waker.wake()).join().unwrap();
}

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
        assert_eq!(reactor.sources.borrow().watched(), 1);
        drop(acceptor);
        assert_eq!(reactor.sources.borrow().watched(), 0);
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    run(async {
        let (mut transport, mut peer) = pair().await;
        transport.write_all(b"ping").await.unwrap();
        let parts = [io::IoSlice::new(b"a"), io::IoSlice::new(b"b")];
        assert_eq!(transport.write_vectored(&parts).await.unwrap(), 2);
        transport.shutdown().await.unwrap();
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        assert_eq!(text, "pingab");
        peer.write_all(b"pong").unwrap();
        drop(peer);
        text.clear();
        transport.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "pong");
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
