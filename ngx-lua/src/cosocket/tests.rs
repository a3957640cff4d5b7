use std::cell::RefCell;
use std::future::{Future, ready};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use mlua::MultiValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::{Host, Resolve, Resolving, Settings};

mod keepalive;
mod kept;
mod soak;

/// Runs a future as a program would.
fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(30), future)
            .await
            .expect("the test hangs")
    })
}

/// Starts a server that gives each connection to `serve`.
async fn server<S, F>(serve: S) -> u16
where
    S: Fn(TcpStream) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(serve(stream));
        }
    });
    port
}

/// A server that answers with what it gets.
async fn echo() -> u16 {
    server(|mut stream| async move {
        let (mut reader, mut writer) = stream.split();
        let _gone = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await
}

/// A server that says each of these, a moment apart, and closes.
async fn says(words: &'static [&'static str]) -> u16 {
    server(move |mut stream| async move {
        for word in words {
            stream.write_all(word.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    })
    .await
}

/// A server that says nothing and does not close.
async fn silent() -> u16 {
    server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await
}

/// Runs a chunk whose arguments are ports; its results as one line.
async fn line_on(host: &Host, source: &str, port: u16) -> String {
    let results: MultiValue = match host.load("test", source).unwrap().call(port).await {
        Ok(results) => results,
        Err(error) => return error.to_string(),
    };
    let words: Vec<String> = results.iter().map(|v| v.to_string().unwrap()).collect();
    words.join("|")
}

async fn line(source: &str, port: u16) -> String {
    let source = format!(
        "local port = ... local sock = ngx.socket.tcp()
         assert(sock:connect('127.0.0.1', port))
         {source}"
    );
    line_on(&Host::new().unwrap(), &source, port).await
}

#[test]
fn what_turned_out_to_be_data_comes_without_waiting_for_more() {
    block_on(async {
        let port = echo().await;
        let source = "sock:settimeout(2000)
            sock:send('aaaX')
            local next = sock:receiveuntil('aaab')
            return next(1), next(1), next(1), next(1)";
        assert_eq!(line(source, port).await, "a|a|a|X");
    });
}

#[test]
fn everything_that_can_be_sent_is_sent() {
    block_on(async {
        let port = echo().await;
        let said = line(
            "local n = sock:send({ 'a', 1, 2.5, { -3, { 'deep' } }, 'z' })
             local m = sock:send(42) + sock:send(nil) + sock:send(true) + sock:send('')
             return n, m, sock:receive(n + m), sock:close(), select(2, sock:close())",
            port,
        );
        assert_eq!(said.await, "12|9|a12.5-3deepz42niltrue|1|closed");
    });
}

#[test]
fn lines_sizes_and_all() {
    block_on(async {
        let port = says(&["one\r\ntw", "o\nth\rree\n", "123", "45678", "rest", "!"]).await;
        let said = line(
            "return sock:receive(), sock:receive('*l'), sock:receive('*l'), sock:receive(5),
                 sock:receive('2'), sock:receive(0), sock:receive('*a'), sock:receive()",
            port,
        );
        assert_eq!(said.await, "one|two|three|12345|67||8rest!|nil|closed");
    });
}

#[test]
fn what_came_before_the_end_is_the_third_value() {
    block_on(async {
        let port = says(&["half a l", "ine"]).await;
        let said = line("return sock:receive()", port).await;
        assert_eq!(said, "nil|closed|half a line");
        let said = line("return sock:receive(100)", port).await;
        assert_eq!(said, "nil|closed|half a line");
        let said = line("sock:receive('*a') return sock:receive('*a')", port).await;
        assert_eq!(said, "nil|closed");
        let said = line("sock:receive(11) return sock:receiveany(5)", port).await;
        assert_eq!(said, "nil|closed|");
    });
}

#[test]
fn a_timeout_leaves_the_connection_usable() {
    block_on(async {
        let port = server(|mut stream| async move {
            stream.write_all(b"first").await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            stream.write_all(b" second\n").await.unwrap();
        })
        .await;
        let said = line(
            "sock:settimeout(20)
             local a, b, c = sock:receive()
             sock:settimeouts(100, 100, 5000)
             return a, b, c, sock:receive()",
            port,
        );
        assert_eq!(said.await, "nil|timeout|first| second");
    });
}

#[test]
fn a_slow_peer_is_no_silent_one() {
    block_on(async {
        let port = server(|mut stream| async move {
            for byte in b"abcdefghij\n" {
                stream.write_all(&[*byte]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let said = line("sock:settimeout(150) return sock:receive()", port).await;
        assert_eq!(said, "abcdefghij");
    });
}

#[test]
fn whatever_is_there() {
    block_on(async {
        let port = says(&["hello"]).await;
        let source = "return sock:receiveany(3), sock:receiveany(30), sock:receiveany(1)";
        assert_eq!(line(source, port).await, "hel|lo|nil|closed|");
    });
}

#[test]
fn reading_up_to_a_string() {
    block_on(async {
        let port = says(&[
            "hello, world --a",
            "b--ab",
            "--abc",
            "and more--abc",
            "tail",
        ])
        .await;
        let said = line(
            "local next = sock:receiveuntil('--abc')
             local a, b = next(), next()
             local c, err, rest = next()
             return a, b, c, err, rest",
            port,
        );
        assert_eq!(said.await, "hello, world --ab--ab|and more|nil|closed|tail");
        let said = line(
            "local next = sock:receiveuntil('--abc', { inclusive = true })
             return next(8), next(9), next(), next(4), next(100), next(1)",
            port,
        );
        let words = "hello, w|orld --ab|--ab--abc|and |more--abc|nil|nil|nil";
        assert_eq!(said.await, words);
    });
}

#[test]
fn unix_sockets_and_names() {
    struct Hosts(RefCell<Vec<String>>);
    impl Resolve for Hosts {
        fn resolve(&self, name: &str) -> Resolving {
            self.0.borrow_mut().push(name.to_owned());
            let answer = match name {
                "here.test" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
                _ => Err(format!("{name} could not be resolved (3: Host not found)")),
            };
            Box::pin(ready(answer))
        }
    }
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"by path\n").await.unwrap();
        });
        let port = says(&["by name\n"]).await;
        let hosts = Rc::new(Hosts(RefCell::default()));
        let settings = Settings {
            resolver: Some(Rc::clone(&hosts) as Rc<dyn Resolve>),
            ..Settings::default()
        };
        let host = Host::with_settings(settings).unwrap();
        let source = format!(
            "local port = ...
             local a = assert(ngx.socket.connect('unix:{}'))
             local b = assert(ngx.socket.connect('here.test', port))
             return a:receive(), b:receive(), ngx.socket.connect('gone.test', port)",
            path.display()
        );
        assert_eq!(
            line_on(&host, &source, port).await,
            "by path|by name|nil|gone.test could not be resolved (3: Host not found)"
        );
        assert_eq!(*hosts.0.borrow(), ["here.test", "gone.test"]);
        let without = Host::new().unwrap();
        assert_eq!(
            line_on(&without, "return ngx.socket.connect('here.test', 80)", port).await,
            "nil|no resolver defined to resolve \"here.test\""
        );
    });
}

#[test]
fn connecting_fails_in_the_words_of_nginx() {
    block_on(async {
        // Bound and not listening: nobody answers there.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let port = socket.local_addr().unwrap().port();
        for (arguments, said) in [
            ("'127.0.0.1', port", "nil|connection refused"),
            ("'[::1]', 1", "nil|connection refused"),
            ("'127.0.0.1'", "nil|missing the port number"),
            ("'127.0.0.1', 70000", "nil|bad port number: 70000"),
            ("'127.0.0.1', -1", "nil|bad port number: -1"),
            ("'unix:/nowhere/at/all'", "nil|no such file or directory"),
            (
                "'unix:'",
                "nil|failed to parse host name \"unix:\": no path in the unix domain socket",
            ),
            ("'', 80", "nil|failed to parse host name \"\": no host"),
        ] {
            let source = format!("local port = ... return ngx.socket.connect({arguments})");
            let host = Host::new().unwrap();
            assert_eq!(line_on(&host, &source, port).await, said, "{arguments}");
        }
    });
}

#[test]
fn arguments_are_checked() {
    block_on(async {
        let port = silent().await;
        for (source, said) in BAD_ARGUMENTS {
            let text = line(source, port).await;
            assert!(text.contains(said), "{source}: {text}");
        }
        let text = line("return sock:receiveuntil('')", port).await;
        assert_eq!(text, "nil|pattern is empty");
    });
}

/// Scripts, and what they raise.
const BAD_ARGUMENTS: &[(&str, &str)] = &[
    ("ngx.socket.tcp(1)", "expecting zero arguments, but got 1"),
    (
        "sock:connect()",
        "ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen 1",
    ),
    (
        "sock.connect(1, 2)",
        "bad argument #1 to 'connect' (table expected, got number)",
    ),
    (
        "sock.send({}, 'x')",
        "bad argument #1 to 'send' (socket expected)",
    ),
    (
        "sock:connect({}, 80)",
        "bad argument #1 to 'connect' (string expected, got table)",
    ),
    (
        "sock:connect('127.0.0.1', 80, { pool_size = 0 })",
        "bad \"pool_size\" option value: 0",
    ),
    (
        "sock:connect('127.0.0.1', 80, { pool_size = 'x' })",
        "bad \"pool_size\" option type: string",
    ),
    (
        "sock:connect('127.0.0.1', 80, { backlog = -1 })",
        "bad \"backlog\" option value: -1",
    ),
    (
        "sock:connect('127.0.0.1', 80, { pool = {} })",
        "bad \"pool\" option type: table",
    ),
    (
        "sock:send()",
        "expecting 2 arguments (including the object), but got 1",
    ),
    (
        "sock:send(print)",
        "string, number, boolean, nil, or array table expected, got function",
    ),
    ("sock:send({ a = 1 })", "non-array table found"),
    ("sock:send({ [1.5] = 1 })", "non-array table found"),
    ("sock:send({ print })", "bad data type function found"),
    (
        "local t = {} t[1] = t sock:send(t)",
        "table nested too deeply",
    ),
    (
        "sock:receive(1, 2)",
        "expecting 1 or 2 arguments (including the object), but got 3",
    ),
    ("sock:receive(-1)", "bad number argument"),
    ("sock:receive('*x')", "bad pattern argument"),
    ("sock:receive('line')", "bad pattern argument: line"),
    ("sock:receive({})", "bad argument"),
    (
        "sock:receiveany()",
        "expecting 2 arguments (including the object), but got 1",
    ),
    ("sock:receiveany(0)", "bad max argument"),
    ("sock:receiveany('x')", "bad max argument"),
    (
        "sock:receiveuntil()",
        "expecting 2 or 3 arguments (including the object), but got 1",
    ),
    (
        "sock:receiveuntil('x', { inclusive = 1 })",
        "bad \"inclusive\" option value type: number",
    ),
    (
        "sock:receiveuntil('x')(1, 2)",
        "expecting 0 or 1 argument, but seen 2",
    ),
    (
        "sock:settimeout()",
        "ngx.socket settimeout: expecting 2 arguments (including the object) but seen 1",
    ),
    ("sock:settimeout(-1)", "bad timeout value"),
    ("sock:settimeout(1e10)", "bad timeout value"),
    (
        "sock:settimeouts(1)",
        "ngx.socket settimeouts: expecting 4 arguments (including the object) but seen 2",
    ),
    ("sock:setkeepalive('x')", "number expected, got string"),
    (
        "sock:setkeepalive(1, 0)",
        "bad \"pool_size\" option value: 0",
    ),
    (
        "sock:setkeepalive(1, 2, 3)",
        "expecting 1 to 3 arguments (including the object), but got 4",
    ),
    (
        "sock:getreusedtimes(1)",
        "expecting 1 argument (including the object), but got 2",
    ),
    (
        "sock:close(1)",
        "expecting 1 argument (including the object) but seen 2",
    ),
];

#[test]
fn a_socket_that_is_not_connected_is_closed() {
    block_on(async {
        let source = "local sock = ngx.socket.tcp()
            local function why(...) return select(2, ...) end
            return why(sock:send('x')), why(sock:receive()), why(sock:receiveany(1)), why(sock:close()),
                why(sock:setkeepalive()), why(sock:getreusedtimes()), why(sock:receiveuntil('x')())";
        let host = Host::new().unwrap();
        let words = "closed|closed|closed|closed|closed|closed|closed";
        assert_eq!(line_on(&host, source, 0).await, words);
    });
}

#[test]
fn a_peer_that_resets_is_an_error() {
    block_on(async {
        let port = server(|mut stream| async move {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            // Closing resets.
            stream.set_zero_linger().unwrap();
        })
        .await;
        let said = line("sock:send('x') return sock:receive()", port).await;
        assert_eq!(said, "nil|connection reset by peer|");
    });
}

#[test]
fn one_reads_while_another_writes() {
    block_on(async {
        let port = echo().await;
        let said = line(
            "local size = 4 * 1024 * 1024
             local reader = ngx.thread.spawn(function() return sock:receive(size) end)
             local _, busy = sock:receive(1)
             local _, close = sock:close()
             local _, keep = sock:setkeepalive()
             local sent = sock:send(string.rep('x', size))
             local ok, data = ngx.thread.wait(reader)
             return busy, close, keep, sent, #data",
            port,
        );
        let busy = "socket busy reading|socket busy reading|socket busy reading";
        assert_eq!(said.await, format!("{busy}|4194304|4194304"));
    });
}

#[test]
fn a_writer_that_waits_is_busy_and_times_out() {
    block_on(async {
        let port = silent().await;
        let said = line(
            "sock:settimeouts(1000, 30, 1000)
             local data = string.rep('x', 32 * 1024 * 1024)
             local writer = ngx.thread.spawn(function() return sock:send(data) end)
             local _, busy = sock:send('y')
             local ok, none, err = ngx.thread.wait(writer)
             return busy, ok, none, err, select(2, sock:send('z'))",
            port,
        );
        assert_eq!(said.await, "socket busy writing|true|nil|timeout|closed");
    });
}

#[test]
fn connecting_twice_at_once_is_busy() {
    struct Never;
    impl Resolve for Never {
        fn resolve(&self, _: &str) -> Resolving {
            Box::pin(std::future::pending())
        }
    }
    block_on(async {
        let settings = Settings {
            resolver: Some(Rc::new(Never)),
            ..Settings::default()
        };
        let host = Host::with_settings(settings).unwrap();
        let source = "local sock = ngx.socket.tcp()
            local t = ngx.thread.spawn(function() return sock:connect('slow.test', 80) end)
            local _, busy = sock:connect('127.0.0.1', 80)
            ngx.thread.kill(t)
            return busy, select(2, sock:connect('127.0.0.1'))";
        assert_eq!(
            line_on(&host, source, 0).await,
            "socket busy connecting|missing the port number"
        );
    });
}

#[test]
fn a_socket_ends_with_its_run() {
    block_on(async {
        let port = server(|mut stream| async move {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
        })
        .await;
        let host = Host::new().unwrap();
        let source = "local port = ... s = ngx.socket.tcp() return s:connect('127.0.0.1', port)";
        assert_eq!(line_on(&host, source, port).await, "1");
        assert_eq!(
            line_on(&host, "return s:receive()", port).await,
            "nil|closed"
        );

        let owner = host
            .load(
                "x",
                "local port = ... s:connect('127.0.0.1', port) ngx.sleep(60)",
            )
            .unwrap();
        let owner = tokio::task::spawn_local(async move { owner.call::<_, ()>(port).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        for method in [
            "send('x')",
            "receive()",
            "close()",
            "setkeepalive()",
            "receiveuntil('x')()",
        ] {
            let said = line_on(&host, &format!("s:{method}"), port).await;
            assert!(said.contains("bad request"), "{method}: {said}");
        }
        owner.abort();
    });
}

#[test]
fn who_is_killed_while_it_reads_or_sends_takes_the_connection_along() {
    block_on(async {
        let port = server(|stream| async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(stream);
        })
        .await;
        for call in ["sock:receive()", "sock:send(('x'):rep(64e6))"] {
            for after in ["sock:send('x')", "sock:receive(1)", "sock:setkeepalive()"] {
                let source = format!(
                    "local thread = ngx.thread.spawn(function() return {call} end)
                     ngx.sleep(0.01)
                     assert(ngx.thread.kill(thread))
                     local ok, err = {after}
                     return tostring(ok) .. ' ' .. err"
                );
                assert_eq!(line(&source, port).await, "nil closed", "{call}, {after}");
            }
        }
    });
}

#[test]
fn a_hundred_megabytes() {
    block_on(async {
        let port = server(|mut stream| async move {
            let block = vec![b'x'; 1 << 20];
            for _ in 0..100 {
                stream.write_all(&block).await.unwrap();
            }
        })
        .await;
        assert_eq!(line("return #sock:receive('*a')", port).await, "104857600");
    });
}
