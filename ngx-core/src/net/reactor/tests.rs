mod transports;

use std::cell::RefCell;
use std::fmt;
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
