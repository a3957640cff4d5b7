use std::time::Duration;

use super::*;

fn queued() -> usize {
    with_deadlines(|deadlines| deadlines.heap.len()).unwrap()
}

async fn passes_within(deadline: &Deadline, ms: std::ops::Range<u128>) {
    let start = std::time::Instant::now();
    tokio::time::timeout(Duration::from_secs(10), deadline.expired())
        .await
        .unwrap();
    let took = start.elapsed().as_millis();
    assert!(ms.contains(&took), "{took} ms, not {ms:?}");
}

#[tokio::test]
async fn it_passes_at_its_time() {
    let deadline = Deadline::new();
    assert!(!deadline.is_set());
    deadline.set(50);
    assert!(deadline.is_set());
    assert!(!deadline.has_expired());
    passes_within(&deadline, 35..1000).await;
    assert!(deadline.has_expired());
}

#[tokio::test]
async fn moving_it_later_leaves_the_heap_alone() {
    let deadline = Deadline::new();
    deadline.set(30);
    for ms in 31..130 {
        deadline.set(ms);
    }
    assert_eq!(queued(), 1);
    passes_within(&deadline, 110..1000).await;
    assert_eq!(queued(), 0);
}

#[tokio::test]
async fn moving_it_earlier_wakes_earlier() {
    let deadline = Rc::new(Deadline::new());
    deadline.set(60_000);
    let local = tokio::task::LocalSet::new();
    let waits = Rc::clone(&deadline);
    let waiter = local.spawn_local(async move { waits.expired().await });
    local
        .run_until(async {
            tokio::task::yield_now().await;
            deadline.set(30);
            tokio::time::timeout(Duration::from_secs(10), waiter)
                .await
                .unwrap()
                .unwrap();
        })
        .await;
    assert!(deadline.has_expired());
}

#[tokio::test]
async fn a_cleared_one_never_passes_until_set_again() {
    let deadline = Deadline::new();
    deadline.set(10);
    deadline.clear();
    let waited = tokio::time::timeout(Duration::from_millis(60), deadline.expired()).await;
    assert!(waited.is_err());
    assert!(!deadline.is_set());
    deadline.set(10);
    passes_within(&deadline, 0..1000).await;
}

#[tokio::test]
async fn it_may_be_used_again_and_again() {
    let deadline = Deadline::new();
    for _ in 0..5 {
        deadline.set(10);
        passes_within(&deadline, 0..1000).await;
    }
}

#[tokio::test]
async fn many_pass_in_their_order() {
    let deadlines: Vec<Deadline> = (0..50).map(|_| Deadline::new()).collect();
    let order = RefCell::new(Vec::new());
    let local = tokio::task::LocalSet::new();
    let order = Rc::new(order);
    for (n, deadline) in deadlines.into_iter().enumerate() {
        let order = Rc::clone(&order);
        // Far enough apart for the coarse clock.
        deadline.set(20 + 12 * (n as u64 * 7 % 50));
        local.spawn_local(async move {
            deadline.expired().await;
            order.borrow_mut().push(n as u64 * 7 % 50);
        });
    }
    tokio::time::timeout(Duration::from_secs(20), local)
        .await
        .unwrap();
    assert!(order.borrow().is_sorted(), "{order:?}");
}

#[test]
fn a_new_runtime_starts_anew() {
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let deadline = Deadline::new();
            deadline.set(15);
            passes_within(&deadline, 0..1000).await;
        });
    }
}

#[test]
fn a_local_set_of_a_multi_thread_runtime_will_do() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let deadline = Deadline::new();
        deadline.set(15);
        passes_within(&deadline, 0..1000).await;
    });
}

#[test]
fn closed_connections_do_not_fill_the_heap() {
    for _ in 0..10_000 {
        Deadline::new().set(60_000);
    }
    assert!(queued() <= 2 * 1025, "{}", queued());
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_is_followed() {
    let deadline = Deadline::new();
    let start = std::time::Instant::now();
    deadline.set(3_600_000);
    deadline.expired().await;
    assert!(start.elapsed() < Duration::from_secs(60));
}
