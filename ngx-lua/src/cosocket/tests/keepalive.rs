use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{block_on, echo, line, line_on, says, server};
use crate::Host;

#[test]
fn kept_connections_are_found_by_name() {
    block_on(async {
        let port = echo().await;
        let host = Host::new().unwrap();
        let source = "local port = ...
            local function use(options)
                local sock = ngx.socket.tcp()
                assert(sock:connect('127.0.0.1', port, options))
                local times = sock:getreusedtimes()
                sock:send('ping\\n')
                assert(sock:receive() == 'ping')
                assert(sock:setkeepalive(10000, 10))
                return times .. select(2, sock:send('x'))
            end
            return use(), use(), use({ pool = 'mine' }), use({ pool = 'mine' }), use()";
        assert_eq!(
            line_on(&host, source, port).await,
            "0closed|1closed|0closed|1closed|2closed"
        );
        assert_eq!(line_on(&host, source, port).await.chars().next(), Some('3'));
    });
}

#[test]
fn targets_may_alternate() {
    block_on(async {
        let (one, other) = (echo().await, echo().await);
        let source = format!(
            "local said = {{}}
             for i, port in ipairs {{ {one}, {other}, {one}, {other}, {other}, {one} }} do
                 local sock = ngx.socket.tcp()
                 assert(sock:connect('127.0.0.1', port))
                 assert(sock:send(port == {one} and 'one\\n' or 'other\\n'))
                 said[i] = assert(sock:receive()) .. sock:getreusedtimes()
                 assert(sock:setkeepalive(10000, 10))
             end
             return table.concat(said, ' ')"
        );
        let said = line_on(&Host::new().unwrap(), &source, 0).await;
        assert_eq!(said, "one0 other0 one1 other1 other2 one2");
    });
}

#[test]
fn what_cannot_be_kept() {
    block_on(async {
        let port = says(&["ab\ncd"]).await;
        let said = line("sock:receive() return sock:setkeepalive()", port).await;
        assert_eq!(said, "nil|unread data in buffer");
        let said = line(
            "sock:receive(5) ngx.sleep(0.02) return sock:setkeepalive()",
            port,
        )
        .await;
        assert_eq!(said, "nil|closed");
        let said = line("ngx.sleep(0.01) return sock:setkeepalive()", port).await;
        assert_eq!(said, "nil|connection in dubious state");
    });
}

#[test]
fn a_pool_makes_room_for_the_latest_and_forgets_the_old() {
    block_on(async {
        let port = echo().await;
        let host = Host::new().unwrap();
        let source = "local port = ...
            local a, b = ngx.socket.tcp(), ngx.socket.tcp()
            local options = { pool = 'one', pool_size = 1 }
            assert(a:connect('127.0.0.1', port, options))
            assert(b:connect('127.0.0.1', port, options))
            a:setkeepalive(200) b:setkeepalive(200)
            local c, d = ngx.socket.tcp(), ngx.socket.tcp()
            c:connect('127.0.0.1', port, options) d:connect('127.0.0.1', port, options)
            local first, second = c:getreusedtimes(), d:getreusedtimes()
            c:setkeepalive(50)
            ngx.sleep(0.2)
            d:connect('127.0.0.1', port, options)
            return first, second, d:getreusedtimes()";
        assert_eq!(line_on(&host, source, port).await, "1|0|0");
    });
}

#[test]
fn a_backlog_queues_connects() {
    block_on(async {
        let port = echo().await;
        let host = Host::new().unwrap();
        let source = "local port = ...
            local options = { pool = 'queue', pool_size = 1, backlog = 1 }
            local function connect()
                local sock = ngx.socket.tcp()
                sock:settimeout(100)
                local ok, err = sock:connect('127.0.0.1', port, options)
                return ok and sock, err
            end
            local first = connect()
            local second = ngx.thread.spawn(connect)
            local _, crowded = connect()
            local _, none, late = ngx.thread.wait(second)
            local third = ngx.thread.spawn(connect)
            first:setkeepalive()
            local _, sock = ngx.thread.wait(third)
            return crowded, late, sock:getreusedtimes()";
        assert_eq!(
            line_on(&host, source, port).await,
            "too many waiting connect operations|timeout|1"
        );
    });
}

/// A server that answers a line, ends its side after `patience`, and counts the connections that the
/// other side has closed too, by how many lines came on them.
async fn fleeting(patience: Duration) -> (u16, Rc<Cell<[usize; 3]>>) {
    let closed = Rc::new(Cell::new([0; 3]));
    let count = Rc::clone(&closed);
    let port = server(move |mut stream| {
        let count = Rc::clone(&count);
        async move {
            let (mut bytes, mut lines) = ([0; 16], 0);
            loop {
                match tokio::time::timeout(patience, stream.read(&mut bytes)).await {
                    Ok(Ok(0)) => break,
                    Ok(_) => {
                        lines += 1;
                        stream.write_all(b"pong\n").await.unwrap();
                    }
                    Err(_) => stream.shutdown().await.unwrap(),
                }
            }
            let mut counts = count.get();
            counts[lines] += 1;
            count.set(counts);
        }
    })
    .await;
    (port, closed)
}

/// Uses a connection and keeps it for so many milliseconds; how often it was used before.
async fn use_and_keep(host: &Host, port: u16, millis: u32) -> String {
    let source = format!(
        "local sock = ngx.socket.tcp()
         assert(sock:connect('127.0.0.1', ...))
         local times = sock:getreusedtimes()
         sock:send({{ 'pi', {{ 'ng\\n' }} }})
         assert(sock:receive() == 'pong')
         assert(sock:setkeepalive({millis}))
         return times"
    );
    line_on(host, &source, port).await
}

async fn until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it never happens"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn idle_connections_are_closed_when_their_peers_do() {
    block_on(async {
        // Before they are settled, and after that.
        for patience in [30, 250] {
            let (port, closed) = fleeting(Duration::from_millis(patience)).await;
            let host = Host::new().unwrap();
            for n in 1..=2 {
                assert_eq!(use_and_keep(&host, port, 0).await, "0");
                let begun = Instant::now();
                until(|| closed.get() == [0, n, 0]).await;
                assert!(begun.elapsed() < Duration::from_millis(patience + 2000));
            }
        }
    });
}

#[test]
fn idle_connections_are_closed_when_their_time_is_over() {
    block_on(async {
        let (port, closed) = fleeting(Duration::from_secs(60)).await;
        let host = Host::new().unwrap();
        // The later, shorter time counts.
        assert_eq!(use_and_keep(&host, port, 60_000).await, "0");
        assert_eq!(use_and_keep(&host, port, 50).await, "1");
        until(|| closed.get() == [0, 0, 1]).await;
    });
}

#[test]
fn a_kept_connection_waits_as_long_as_its_new_user_says() {
    block_on(async {
        let port = echo().await;
        let host = Host::new().unwrap();
        let source = "local port = ...
            local function use(millis, word)
                local sock = ngx.socket.tcp()
                assert(sock:connect('127.0.0.1', port))
                sock:settimeout(millis)
                if word then sock:send(word) end
                local data, err, partial = sock:receive()
                if data then sock:setkeepalive() end
                return table.concat({ data or err, sock:getreusedtimes() or '-', partial or '-' }, ',')
            end
            return use(60000, 'one\\n'), use(60000, 'two\\n'), use(30), use(40, 'half'),
                use(60000, 'three\\r\\n')";
        let begun = Instant::now();
        assert_eq!(
            line_on(&host, source, port).await,
            "one,-,-|two,-,-|timeout,2,|timeout,0,half|three,-,-"
        );
        assert!(begun.elapsed() < Duration::from_secs(20));
    });
}
