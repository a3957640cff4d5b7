//! How files are read: `directio`, `directio_alignment`, `aio`.

mod support;

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use support::{Server, Setup, ours, pattern};

/// `O_DIRECT` on the machines that Linux has in common.
const O_DIRECT: i32 = if cfg!(any(target_arch = "aarch64", target_arch = "arm")) {
    0o200_000
} else {
    0o40_000
};

/// A server with a file of ten mebibytes and one of ten bytes; `None` if the file system of the
/// test cannot read past its cache.
fn server(how: &str) -> Option<(Server, Vec<u8>)> {
    server_with("", how)
}

/// With further directives outside of all blocks; they stand behind `http`.
fn server_with(main: &str, how: &str) -> Option<(Server, Vec<u8>)> {
    let bytes = pattern(10 << 20);
    let server = Setup::http(&format!("{how} server {{ listen 127.0.0.1:{{port}}; }}"))
        .top(main)
        .file("html/big", &bytes)
        .file("html/small", "0123456789")
        .start();
    let mut options = fs::File::options();
    let path = server.path("html/big");
    match options.read(true).custom_flags(O_DIRECT).open(&path) {
        Ok(_) => Some((server, bytes)),
        Err(error) => {
            println!("skipped: no direct I/O for {}: {error}", path.display());
            None
        }
    }
}

/// All of the file, twice on one connection, and ranges that are not aligned to anything.
fn arrives_whole(how: &str) {
    let Some((server, bytes)) = server(how) else {
        return;
    };
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(
            client.response().expect(200).body == bytes,
            "other bytes than the file's"
        );
    }
    for (from, to) in [(5_000_001, 8_999_998), (511, 512), (10_485_759, 10_485_759)] {
        let range = server.get_with("/big", &format!("Range: bytes={from}-{to}\r\n"));
        assert!(
            range.expect(206).body == bytes[from..=to],
            "other bytes than the range's"
        );
    }
    assert_eq!(server.get("/small").expect(200).text(), "0123456789");
}

#[test]
fn past_the_page_cache() {
    arrives_whole("directio 1m;");
}

#[test]
fn past_the_page_cache_with_sendfile_for_the_rest() {
    arrives_whole("sendfile on; directio 4m; directio_alignment 4k; output_buffers 1 128k;");
}

#[test]
fn everything_past_the_page_cache() {
    arrives_whole("directio 1;");
}

#[test]
fn by_threads() {
    arrives_whole("aio threads;");
}

#[test]
fn by_threads_past_the_page_cache() {
    arrives_whole("sendfile on; aio threads; directio 512k; output_buffers 2 64k;");
}

/// What the server's processes say of the files and threads that they have while a client takes a
/// response slowly.
fn while_it_is_sent(server: &Server, uri: &str, wanted: impl Fn(u32) -> bool) {
    let mut client = support::Client::connect_narrow(&server.addr(), 4096);
    client.send(format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.head().expect(200);
    let end = Instant::now() + Duration::from_secs(10);
    while !processes(server.pid()).into_iter().any(&wanted) {
        assert!(Instant::now() < end, "it never was");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The server and its children.
fn processes(server: u32) -> Vec<u32> {
    let mut all = vec![server];
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid: Option<u32> = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if status
            .lines()
            .any(|line| line == format!("PPid:\t{server}"))
        {
            all.extend(pid);
        }
    }
    all
}

/// Whether the process has the file open, and with `O_DIRECT` or without, as `direct` says.
fn has_open(pid: u32, path: &std::path::Path, direct: bool) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        if fs::read_link(file.path()).ok().as_deref() != Some(path) {
            return false;
        }
        let number = file.file_name().to_string_lossy().into_owned();
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
        flags.is_some_and(|flags| (flags & O_DIRECT != 0) == direct)
    })
}

#[test]
fn the_size_decides_who_passes_the_cache() {
    for (how, direct) in [
        ("directio 10m;", true),
        ("directio 10485761;", false),
        ("directio off;", false),
    ] {
        let Some((server, _)) = server(how) else {
            return;
        };
        let path = server.path("html/big");
        while_it_is_sent(&server, "/big", |pid| has_open(pid, &path, direct));
    }
}

#[test]
fn threads_are_started_when_a_file_must_be_waited_for() {
    threads_are_started("", "aio threads; directio 1m;", "default");
}

#[test]
fn threads_of_the_pool_that_is_named() {
    let pool = "thread_pool slow_disks threads=2 max_queue=8;";
    threads_are_started(pool, "aio threads=slow_disks; directio 1m;", "slow_disks");
    let by_variable = "aio threads=$arg_pool; directio 1m;";
    threads_are_started(pool, by_variable, "slow_disks");
}

#[track_caller]
fn threads_are_started(main: &str, how: &str, name: &str) {
    let Some((server, _)) = server_with(main, how) else {
        return;
    };
    // Of nginx's threads all have its name; a worker has no other than those of the pool.
    let ours = std::env::var_os("NGX_TEST_BINARY").is_none();
    let reads = |pid: u32| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        let mut names = tasks
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        if ours {
            names.any(|comm| comm.trim_end() == name)
        } else {
            names.count() > 1
        }
    };
    while_it_is_sent(&server, &format!("/big?pool={name}"), reads);
}

#[test]
fn a_pool_without_room_says_so_and_loses_nothing() {
    if !ours("a read that finds no room is done by the serving thread") {
        return;
    }
    let main = "worker_processes 2; thread_pool small threads=1 max_queue=1;";
    let Some((server, bytes)) = server_with(main, "aio threads=small; directio 1m;") else {
        return;
    };
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| assert!(server.get("/big").expect(200).body == bytes));
        }
    });
    server.expect_error_log("thread pool \"small\" queue overflow: 1 tasks waiting");
    server.expect_error_log("request: \"GET /big HTTP/1.1\"");
}

#[test]
fn a_pool_that_a_variable_does_not_name_is_not_needed() {
    if !ours("a request whose pool is missing is served") {
        return;
    }
    let Some((server, bytes)) = server("aio threads=$arg_pool; directio 1m;") else {
        return;
    };
    assert!(server.get("/big?pool=none").expect(200).body == bytes);
    server.expect_error_log("thread pool \"none\" not found");
}

#[test]
fn what_is_configured_is_checked() {
    let check = |how: &str| Setup::http(&format!("{how} server {{ }}")).run(&["-t"]);
    // Debian's nginx has no asynchronous I/O of the kernel; here it is threads.
    if std::env::var_os("NGX_TEST_BINARY").is_none() {
        check("aio on;").expect(0, "successful");
    }
    for fine in [
        "aio off;",
        "aio threads;",
        "aio threads=default;",
        "directio 0;",
        "directio_alignment 4096;",
    ] {
        check(fine).expect(0, "successful");
    }
    check("aio perhaps;").expect(1, "invalid value");
    check("aio threads=mine;").expect(1, "unknown thread pool \"mine\" in ");
    check("directio much;").expect(1, "\"directio\" directive invalid value");
}

#[test]
fn pools_are_checked() {
    let check = |main: &str| {
        Setup::http("aio threads=mine; server { }")
            .top(main)
            .run(&["-t"])
    };
    check("thread_pool mine threads=2;").expect(0, "successful");
    check("thread_pool mine threads=2 max_queue=0;").expect(0, "successful");
    check("thread_pool mine max_queue=1 threads=64; thread_pool default threads=1;")
        .expect(0, "successful");
    for (wrong, message) in [
        (
            "thread_pool other threads=2;",
            "unknown thread pool \"mine\" in ",
        ),
        (
            "thread_pool mine max_queue=2;",
            "\"thread_pool\" must have \"threads\" parameter in ",
        ),
        (
            "thread_pool mine threads=0;",
            "invalid threads value \"threads=0\" in ",
        ),
        (
            "thread_pool mine threads=x;",
            "invalid threads value \"threads=x\" in ",
        ),
        (
            "thread_pool mine threads=1 max_queue=-1;",
            "invalid max_queue value \"max_queue=-1\" in ",
        ),
        (
            "thread_pool mine threads=1; thread_pool mine threads=2;",
            "duplicate thread pool \"mine\" in ",
        ),
        (
            "thread_pool mine;",
            "invalid number of arguments in \"thread_pool\" directive in ",
        ),
    ] {
        check(wrong).expect(1, message);
    }
}
