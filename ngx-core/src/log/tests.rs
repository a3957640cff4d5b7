use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use super::*;

/// Keeps lines for a test to look at.
#[derive(Default)]
struct Memory(Mutex<Vec<String>>);

impl Memory {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// The lines from behind `pid#tid: `.
    fn messages(&self) -> Vec<String> {
        let cut = |line: String| {
            line.split_once("#")
                .unwrap()
                .1
                .split_once(": ")
                .unwrap()
                .1
                .into()
        };
        self.take().into_iter().map(cut).collect()
    }
}

impl LogSink for Memory {
    fn write_line(&self, line: &[u8]) {
        self.0
            .lock()
            .unwrap()
            .push(String::from_utf8(line.to_vec()).unwrap());
    }
}

struct Client {
    number: u64,
    context: &'static str,
    log: Arc<ErrorLog>,
    chatty: bool,
}

impl LogScope for Client {
    fn connection(&self) -> Option<u64> {
        Some(self.number)
    }

    fn write_context(&self, out: &mut String) {
        if self.chatty && out.is_empty() {
            let quiet = scope(self.number, "", &self.log);
            let _inside = enter(Rc::clone(&quiet));
            crate::error!("nested");
        }
        out.push_str(self.context);
    }

    fn sinks(&self) -> Option<Arc<ErrorLog>> {
        Some(Arc::clone(&self.log))
    }
}

fn scope(number: u64, context: &'static str, log: &Arc<ErrorLog>) -> Rc<dyn LogScope> {
    Rc::new(Client {
        number,
        context,
        log: Arc::clone(log),
        chatty: false,
    })
}

fn memory(level: Level) -> (Arc<Memory>, Arc<ErrorLog>) {
    let memory = Arc::new(Memory::default());
    let log = ErrorLog::new([(level, Arc::clone(&memory) as Arc<dyn LogSink>)]);
    (memory, Arc::new(log))
}

fn subscribed(test: impl FnOnce()) {
    tracing::subscriber::with_default(LogSubscriber, test);
}

#[test]
fn a_line_is_as_nginx_writes_it() {
    let (lines, log) = memory(Level::Error);
    subscribed(|| {
        let client = scope(5, ", client: 127.0.0.1, server: localhost", &log);
        let _inside = enter(Rc::clone(&client));
        crate::error!("open() \"{}\" failed", "/x");
    });
    let line = lines.take().pop().unwrap();
    let (time, rest) = line.split_at(19);
    assert_eq!(time.matches(['/', ':', ' ']).collect::<String>(), "// ::");
    let pid = std::process::id();
    let tid = rustix::thread::gettid().as_raw_nonzero();
    assert_eq!(
        rest,
        format!(
            " [error] {pid}#{tid}: *5 open() \"/x\" failed, client: 127.0.0.1, server: localhost\n"
        )
    );
}

#[test]
fn each_sink_has_its_level() {
    let (grave, chatty) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
    let log = Arc::new(ErrorLog::new([
        (Level::Crit, Arc::clone(&grave) as Arc<dyn LogSink>),
        (Level::Info, Arc::clone(&chatty) as Arc<dyn LogSink>),
    ]));
    subscribed(|| {
        let client = scope(1, "", &log);
        let _inside = enter(Rc::clone(&client));
        for level in Level::ALL {
            write(level, format_args!("{level}"));
        }
    });
    assert_eq!(grave.messages(), ["*1 emerg\n", "*1 alert\n", "*1 crit\n"]);
    assert_eq!(
        chatty.messages().concat(),
        "*1 emerg\n*1 alert\n*1 crit\n*1 error\n*1 warn\n*1 notice\n*1 info\n"
    );
}

#[test]
fn levels_are_in_the_targets_for_strangers() {
    let (lines, log) = memory(Level::Debug);
    subscribed(|| {
        let client = scope(1, "", &log);
        let _inside = enter(Rc::clone(&client));
        tracing::warn!(answer = 42, "from elsewhere");
        tracing::trace!("never");
    });
    assert_eq!(
        lines.messages(),
        ["*1 ngx_core::log::tests: from elsewhere answer=42\n"]
    );
}

#[test]
fn scopes_nest_and_end() {
    let (lines, log) = memory(Level::Info);
    subscribed(|| {
        let outer = scope(1, "", &log);
        let inner = scope(2, "", &log);
        let outside = enter(Rc::clone(&outer));
        {
            let _inside = enter(Rc::clone(&inner));
            crate::info!("a");
        }
        crate::info!("b");
        drop(outside);
        assert!(current().is_none());
    });
    assert_eq!(lines.messages(), ["*2 a\n", "*1 b\n"]);
}

#[test]
fn what_a_scope_logs_while_it_is_asked_is_dropped() {
    let (lines, log) = memory(Level::Info);
    subscribed(|| {
        let client = Client {
            number: 3,
            context: ", c",
            log: Arc::clone(&log),
            chatty: true,
        };
        let client: Rc<dyn LogScope> = Rc::new(client);
        let _inside = enter(Rc::clone(&client));
        crate::error!("outer");
    });
    assert_eq!(lines.messages(), ["*3 outer, c\n"]);
}

#[test]
fn control_characters_are_escaped() {
    let (lines, log) = memory(Level::Info);
    subscribed(|| {
        let client = scope(1, ", request: \"GET /\u{1b}[2J\n\"", &log);
        let _inside = enter(Rc::clone(&client));
        crate::info!("a\r\nb\u{7f}");
        crate::info!(multiline = true, "a\n\tb");
    });
    assert_eq!(
        lines.messages(),
        [
            "*1 a\\x0D\\x0Ab\\x7F, request: \"GET /\\x1B[2J\\x0A\"\n",
            "*1 a\n\tb, request: \"GET /\\x1B[2J\\x0A\"\n"
        ]
    );
}

#[test]
fn long_lines_are_cut_at_2048_bytes() {
    let (lines, log) = memory(Level::Info);
    subscribed(|| {
        let client = scope(1, ", client: 1", &log);
        let _inside = enter(Rc::clone(&client));
        crate::info!("{}", "é".repeat(3000));
    });
    let line = lines.take().pop().unwrap();
    assert!((2046..=2048).contains(&line.len()), "{}", line.len());
    assert!(line.ends_with("é\n"));
}

#[tokio::test]
async fn a_future_carries_its_scope() {
    let (lines, log) = memory(Level::Info);
    let _subscribed = tracing::subscriber::set_default(LogSubscriber);
    let mut polls = 0;
    let work = poll_fn(|cx| {
        polls += 1;
        crate::info!("poll {polls}");
        cx.waker().wake_by_ref();
        if polls == 2 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    scoped(scope(7, "", &log), work).await;
    assert!(current().is_none());
    assert_eq!(lines.messages(), ["*7 poll 1\n", "*7 poll 2\n"]);
}

#[test]
fn levels_have_names() {
    for level in Level::ALL {
        assert_eq!(level.name().parse(), Ok(level));
    }
    let error = "loud".parse::<Level>().unwrap_err();
    assert_eq!(error.to_string(), "invalid log level \"loud\"");
}

#[test]
fn one_path_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let files = LogFiles::default();
    let (first, second) = (files.open(&path).unwrap(), files.open(&path).unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    drop((first, second));
    files.open(&path).unwrap().write_line(b"x\n").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"x\n");
}

#[test]
fn reopening_follows_a_renamed_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("a.log"), folder.path().join("a.log.1"));
    let files = LogFiles::default();
    let file = files.open(&path).unwrap();
    file.set_buffer(64);
    file.write_line(b"before\n").unwrap();
    std::fs::rename(&path, &old).unwrap();
    files.reopen();
    file.write_line(b"after\n").unwrap();
    files.flush();
    assert_eq!(std::fs::read(&old).unwrap(), b"before\n");
    assert_eq!(std::fs::read(&path).unwrap(), b"after\n");
}

#[test]
fn buffered_lines_are_written_when_the_buffer_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let file = LogFile::open(&path).unwrap();
    file.set_buffer(8);
    file.write_line(b"1234\n").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    file.write_line(b"5678\n").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"1234\n");
    file.write_line(b"a longer line\n").unwrap();
    file.write_line(b"9\n").unwrap();
    drop(file);
    assert_eq!(
        std::fs::read(&path).unwrap(),
        b"1234\n5678\na longer line\n9\n"
    );
}

#[test]
fn lines_of_many_threads_stay_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let file = LogFile::open(&path).unwrap();
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let file = &file;
            threads.spawn(move || {
                for _ in 0..250 {
                    file.write_line(format!("{}\n", thread.to_string().repeat(100)).as_bytes())
                        .unwrap();
                }
            });
        }
    });
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1000);
    let same = |line: &str| line.len() == 100 && line.chars().all(|c| line.starts_with(c));
    assert!(text.lines().all(same));
}

#[test]
fn lines_in_json_are_objects() {
    let (lines, objects) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
    let log = Arc::new(ErrorLog::new([
        (Level::Error, Arc::clone(&lines) as Arc<dyn LogSink>),
        (Level::Info, Arc::new(Json(Arc::clone(&objects))) as _),
    ]));
    subscribed(|| {
        let client = scope(5, ", client: 127.0.0.1", &log);
        let _inside = enter(Rc::clone(&client));
        crate::error!("a \"b\" \\ \n\t\u{1}é");
        crate::info!("{}", "é".repeat(3000));
        tracing::warn!(answer = 42, "from elsewhere");
        crate::debug!("nobody asked");
    });
    assert_eq!(lines.take().len(), 1);
    let objects = objects.take();
    assert_eq!(objects.len(), 3);
    let (start, rest) = objects[0].split_at(r#"{"time":""#.len() + 25);
    assert!(start.starts_with(r#"{"time":"20"#), "{start}");
    let (pid, tid) = (
        std::process::id(),
        rustix::thread::gettid().as_raw_nonzero(),
    );
    let expected = format!(
        r#"","level":"error","pid":{pid},"tid":{tid},"connection":5,"message":"a \"b\" \\ \n\t\u0001é","context":"client: 127.0.0.1"}}"#
    );
    assert_eq!(rest, format!("{expected}\n"));
    let long = objects[1].matches('é').count();
    assert_eq!(long, 1024);
    assert!(objects[1].ends_with(",\"context\":\"client: 127.0.0.1\"}\n"));
    let foreign = r#""target":"ngx_core::log::tests","message":"from elsewhere answer=42""#;
    assert!(objects[2].contains(foreign), "{}", objects[2]);
}

/// `debug_connection`: the levels of logs do not count for such a client.
#[test]
fn of_those_who_are_debugged_everything_is_logged() {
    struct Debugged(Arc<ErrorLog>);
    impl LogScope for Debugged {
        fn write_context(&self, _out: &mut String) {}
        fn is_debugged(&self) -> bool {
            true
        }
        fn sinks(&self) -> Option<Arc<ErrorLog>> {
            Some(Arc::clone(&self.0))
        }
    }
    let (lines, log) = memory(Level::Crit);
    let talkative = Talkative::new();
    subscribed(|| {
        let other = scope(1, "", &log);
        let inside = enter(Rc::clone(&other));
        crate::debug!("not this");
        drop(inside);
        let client: Rc<dyn LogScope> = Rc::new(Debugged(Arc::clone(&log)));
        let _inside = enter(Rc::clone(&client));
        crate::debug!("this");
    });
    drop(talkative);
    assert_eq!(lines.messages(), ["this\n"]);
}

#[test]
fn files_that_were_given_are_used_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let open = |name: &str| std::fs::File::create(folder.path().join(name)).unwrap();
    let files = LogFiles::default();
    // A path that this process could not open.
    let path = std::path::PathBuf::from("/nowhere/a.log");
    files.give([(path.clone(), open("first"))]);
    let file = files.open(&path).unwrap();
    file.write_line(b"one\n").unwrap();
    files.replace([(path.clone(), open("second"))]);
    file.write_line(b"two\n").unwrap();
    assert_eq!(
        (read("first"), read("second")),
        ("one\n".into(), "two\n".into())
    );
    drop(file);
    assert!(files.open(&path).is_err(), "it was given once");
}
