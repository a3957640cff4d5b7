use super::{block_on, echo, line, line_on, says};
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
