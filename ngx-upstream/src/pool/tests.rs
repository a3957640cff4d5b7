use super::*;
use std::cell::Cell;
use std::rc::Rc;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

/// Makes connections whose far ends are kept.
#[derive(Default)]
struct Maker {
    far: RefCell<Vec<DuplexStream>>,
    made: Cell<usize>,
}

impl Connect for Maker {
    type Stream = DuplexStream;

    async fn connect(&self, _: &Peer, _: bool) -> io::Result<Connection<DuplexStream>> {
        let (near, far) = duplex(64);
        self.far.borrow_mut().push(far);
        self.made.set(self.made.get() + 1);
        Ok(Connection::new(near))
    }
}

fn pool(settings: PoolSettings) -> Pool<Maker> {
    Pool::new(Maker::default(), settings)
}

fn peer(port: u16) -> Peer {
    Peer::new(Addr::from(std::net::SocketAddr::from((
        [127, 0, 0, 1],
        port,
    ))))
}

async fn take(pool: &Pool<Maker>, port: u16) -> Connection<DuplexStream> {
    pool.connect(&peer(port), false).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_serves_its_own_address() {
    let pool = pool(PoolSettings::default());
    let connection = take(&pool, 1).await;
    assert!(!connection.is_reused());
    pool.keep(&peer(1), connection);
    assert!(!take(&pool, 2).await.is_reused());
    assert!(
        !pool.connect(&peer(1), true).await.unwrap().is_reused(),
        "fresh means new"
    );
    assert!(take(&pool, 1).await.is_reused());
    assert_eq!((pool.idle(), pool.connector.made.get()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn the_one_idle_for_longest_makes_room() {
    let pool = pool(PoolSettings {
        size: 2,
        ..PoolSettings::default()
    });
    for port in [1, 2, 3] {
        let connection = take(&pool, port).await;
        pool.keep(&peer(port), connection);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(pool.idle(), 2);
    assert!(take(&pool, 3).await.is_reused() && take(&pool, 2).await.is_reused());
    assert!(!take(&pool, 1).await.is_reused());
}

#[tokio::test(start_paused = true)]
async fn the_one_used_last_is_taken_first() {
    let pool = pool(PoolSettings::default());
    let (first, mut second) = (take(&pool, 1).await, take(&pool, 1).await);
    second.requests = 7;
    pool.keep(&peer(1), first);
    pool.keep(&peer(1), second);
    assert_eq!(take(&pool, 1).await.requests, 8);
}

#[tokio::test(start_paused = true)]
async fn what_was_closed_or_spoke_is_not_handed_out() {
    let pool = pool(PoolSettings::default());
    for speak in [false, true] {
        let connection = take(&pool, 1).await;
        pool.keep(&peer(1), connection);
        let mut far = pool.connector.far.borrow_mut().pop().unwrap();
        if speak {
            far.write_all(b"408").await.unwrap();
        }
        let _open = speak.then_some(far);
        assert_eq!(pool.idle(), 1);
        assert!(!take(&pool, 1).await.is_reused());
        assert_eq!(pool.idle(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn connections_wear_out() {
    let settings = PoolSettings {
        requests: 2,
        time: Duration::from_secs(100),
        ..PoolSettings::default()
    };
    let pool = pool(settings);
    for expected in [1, 0] {
        let connection = take(&pool, 1).await;
        pool.keep(&peer(1), connection);
        assert_eq!(pool.idle(), expected);
    }
    let old = take(&pool, 1).await;
    tokio::time::advance(settings.time).await;
    pool.keep(&peer(1), old);
    assert_eq!(pool.idle(), 0);
    let none = self::pool(PoolSettings {
        size: 0,
        ..PoolSettings::default()
    });
    let connection = take(&none, 1).await;
    none.keep(&peer(1), connection);
    assert_eq!(none.idle(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_has_its_time() {
    let pool = pool(PoolSettings::default());
    let connection = take(&pool, 1).await;
    pool.keep(&peer(1), connection);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(!take(&pool, 1).await.is_reused());
}

#[tokio::test(start_paused = true)]
async fn the_reaper_closes_what_is_closed_or_too_old() {
    let local = tokio::task::LocalSet::new();
    let pool = Rc::new(pool(PoolSettings::default()));
    let reaper = Rc::clone(&pool);
    local.spawn_local(async move { reaper.reap().await });
    local
        .run_until(async {
            tokio::task::yield_now().await;
            for port in [1, 2] {
                let connection = take(&pool, port).await;
                pool.keep(&peer(port), connection);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(pool.idle(), 2);
            pool.connector.far.borrow_mut().remove(0);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(pool.idle(), 1, "its peer closed");
            tokio::time::sleep(Duration::from_secs(59)).await;
            assert_eq!(pool.idle(), 0, "too old");

            // And again, after the reaper had nothing to wait for.
            let connection = take(&pool, 1).await;
            pool.keep(&peer(1), connection);
            tokio::time::sleep(Duration::from_secs(61)).await;
            assert_eq!(pool.idle(), 0);
        })
        .await;
}
