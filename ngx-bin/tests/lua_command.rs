//! `ngx lua`: scripts outside of a server.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};

use support::{Backend, binary, ours};

/// What a run of the command left.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs `ngx lua` with these words and this standard input.
fn lua(words: &[&str], input: &str) -> Said {
    let mut child = Command::new(binary())
        .arg("lua")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let ended = child.wait_with_output().unwrap();
    Said {
        code: ended.status.code(),
        out: String::from_utf8(ended.stdout).unwrap(),
        err: String::from_utf8(ended.stderr).unwrap(),
    }
}

#[test]
fn code_of_the_command_line_has_its_arguments() {
    if !ours("ngx lua") {
        return;
    }
    let said = lua(&["-e", "print(arg[0], #arg, arg[2], ...)", "a", "b"], "");
    assert_eq!(said.out, "-e\t2\tb\ta\tb\n", "{}", said.err);
    assert_eq!(said.code, Some(0));
    let said = lua(&["-e", "ngx.say('a', {1, {'b'}}) ngx.print('c')"], "");
    assert_eq!(said.out, "a1b\nc", "{}", said.err);
}

#[test]
fn a_script_may_come_from_a_file_or_the_standard_input() {
    if !ours("ngx lua") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("hello.lua");
    std::fs::write(
        &script,
        "#!/usr/bin/env -S ngx lua\nprint(require('words').hello, ...)",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("words.lua"),
        "return { hello = 'hello' }",
    )
    .unwrap();
    let folder = folder.path().to_str().unwrap();
    let said = lua(&["-I", folder, script.to_str().unwrap(), "you"], "");
    assert_eq!(said.out, "hello\tyou\n", "{}", said.err);
    let said = lua(&["-", "x"], "print('from stdin', ...)");
    assert_eq!(said.out, "from stdin\tx\n", "{}", said.err);
}

#[test]
fn errors_name_the_line_and_end_with_a_code() {
    if !ours("ngx lua") {
        return;
    }
    let said = lua(&["-"], "local t\n\nreturn t.x");
    assert_eq!(said.code, Some(1));
    let begin = "ngx: stdin:3: attempt to index local 't' (a nil value)\nstack traceback:";
    assert!(said.err.starts_with(begin), "{}", said.err);
    let said = lua(&["-e", "this is not Lua"], "");
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.starts_with("ngx: (command line):1: "),
        "{}",
        said.err
    );
    let said = lua(&["/no/such.lua"], "");
    assert!(
        said.err.starts_with("ngx: cannot open /no/such.lua: "),
        "{}",
        said.err
    );
    assert_eq!(lua(&["-e", "os.exit(7)"], "").code, Some(7));
    let said = lua(&["-x"], "");
    assert!(
        said.err.starts_with("ngx: invalid option: \"-x\"\n"),
        "{}",
        said.err
    );
}

#[test]
fn sockets_threads_and_names_work() {
    if !ours("ngx lua") {
        return;
    }
    let backend = Backend::answer("HTTP/1.0 200 OK\r\n\r\nhello");
    let (_, port) = backend
        .addr()
        .rsplit_once(':')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let script = "
        local function get()
            local sock = ngx.socket.tcp()
            assert(sock:connect('localhost', tonumber(arg[1])))
            assert(sock:send('GET / HTTP/1.0\\r\\n\\r\\n'))
            return select(1, sock:receive('*l')), sock:receive('*a'):match('\\n(%a+)$')
        end
        local threads = {}
        for i = 1, 3 do threads[i] = ngx.thread.spawn(get) end
        for i = 1, 3 do print(select(2, ngx.thread.wait(threads[i]))) end";
    let said = lua(&["-", &port], script);
    assert_eq!(
        said.out,
        "HTTP/1.0 200 OK\thello\n".repeat(3),
        "{}",
        said.err
    );
}
