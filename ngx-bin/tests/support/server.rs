//! The binary under test: its prefix folder, its configuration, its process.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::{Client, PATIENCE, Port, Response, binary, wait_until};

/// Where Debian keeps nginx's modules.
const MODULES: &str = "/usr/lib/nginx/modules";

/// What a server will be started with.
///
/// In the configuration `{dir}` is the prefix folder, `{port}`, `{port2}` .. `{port4}` are free
/// ports, and [`set`](Self::set) adds names of its own.
pub struct Setup {
    dir: TempDir,
    names: Vec<(String, String)>,
    ports: Vec<Port>,
    template: String,
    /// The lines by which an nginx under test loads modules; they begin the template.
    modules: String,
    allowed: Vec<&'static str>,
}

impl Setup {
    /// A configuration whose `http` block has this content.
    pub fn http(content: &str) -> Self {
        Self::main(&format!(
            "events {{ }}\n\
             http {{\n\
                 client_body_temp_path {{dir}}/body;\n\
                 proxy_temp_path {{dir}}/proxy;\n\
                 access_log {{dir}}/access.log;\n\
                 root {{dir}}/html;\n\
                 {content}\n\
             }}\n"
        ))
    }

    /// As [`http`](Self::http), for content with Lua in it: an nginx under test loads its module.
    pub fn lua(content: &str) -> Self {
        Self::with_modules(&["ndk_http", "ngx_http_lua"], content)
    }

    /// As [`http`](Self::http); an nginx under test loads these modules, named without `_module`.
    pub fn with_modules(names: &[&str], content: &str) -> Self {
        let mut setup = Self::http(content);
        if env::var_os("NGX_TEST_BINARY").is_some() {
            for name in names {
                let line = format!("load_module {MODULES}/{name}_module.so;\n");
                setup.modules.push_str(&line);
            }
            setup.template.insert_str(0, &setup.modules);
        }
        setup
    }

    /// With this many workers instead of one.
    pub fn workers(self, workers: usize) -> Self {
        self.top(&format!("worker_processes {workers};"))
    }

    /// With these directives at the top level too.
    pub fn top(mut self, directives: &str) -> Self {
        self.template.push_str(directives);
        self.template.push('\n');
        self
    }

    /// A configuration with this content at its top level, after what every test needs there.
    pub fn main(content: &str) -> Self {
        let user = if geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        Self::raw(&format!(
            "{user} daemon off; pid {{dir}}/nginx.pid; error_log {{dir}}/error.log info;\n{content}"
        ))
    }

    /// A configuration with this content and nothing else.
    pub fn raw(template: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("ngx-test-")
            .tempdir()
            .unwrap();
        let setup = Self {
            dir,
            names: Vec::new(),
            ports: Vec::new(),
            template: template.to_owned(),
            modules: String::new(),
            allowed: Vec::new(),
        };
        fs::create_dir(setup.path("html")).unwrap();
        setup
    }

    /// Puts `value` in place of `{name}`.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.names.push((format!("{{{name}}}"), value.to_string()));
        self
    }

    /// Writes a file into the prefix folder.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Sets when a file of the prefix folder was modified, in seconds since 1970.
    pub fn modified(self, name: &str, seconds: u64) -> Self {
        let file = File::options().write(true).open(self.path(name)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(time).expect("set a time");
        self
    }

    /// Lets the error log contain this `[alert]` or `[emerg]`.
    pub fn allow(mut self, message: &'static str) -> Self {
        self.allowed.push(message);
        self
    }

    /// A path inside the prefix folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes `nginx.conf`, starts the binary, and returns once it listens.
    #[track_caller]
    pub fn start(self) -> Server {
        self.start_with(&binary())
    }

    /// As [`start`](Self::start), with another binary than the one under test.
    #[track_caller]
    pub fn start_with(mut self, program: &Path) -> Server {
        self.write(&self.template.clone());
        let mut command = self.command(program, &[]);
        let child = command
            .stderr(self.output("stderr"))
            .spawn()
            .expect("start");
        let mut server = Server {
            setup: self,
            child,
            status: None,
        };
        let start = Instant::now();
        while !server.is_ready() {
            if let Some(status) = server.child.try_wait().unwrap() {
                server.status = Some(status);
                panic!(
                    "exited with {status}: {}{}",
                    server.stderr(),
                    server.error_log()
                );
            }
            assert!(
                start.elapsed() < PATIENCE,
                "no pid file: {}",
                server.error_log()
            );
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Writes `nginx.conf`, runs the binary with `args` behind `-p` and `-c`, waits for its end.
    #[track_caller]
    pub fn run(&mut self, args: &[&str]) -> Ran {
        self.write(&self.template.clone());
        let (out, err) = (self.output("stdout"), self.output("stderr"));
        Ran::of(self.command(&binary(), args).stdout(out).stderr(err), self)
    }

    /// Runs the binary with exactly `args` in the prefix folder.
    #[track_caller]
    pub fn run_plain(&self, args: &[&str]) -> Ran {
        let (out, err) = (self.output("stdout"), self.output("stderr"));
        let mut command = Command::new(binary());
        Ran::of(
            command
                .args(args)
                .current_dir(self.dir.path())
                .stdout(out)
                .stderr(err),
            self,
        )
    }

    /// Fills in the template.
    pub fn fill(&mut self, template: &str) -> String {
        let dir = self
            .dir
            .path()
            .to_str()
            .expect("a folder with a name in UTF-8");
        let mut text = template.replace("{dir}", dir);
        for (name, value) in &self.names {
            text = text.replace(name, value);
        }
        for (i, name) in ["{port}", "{port2}", "{port3}", "{port4}"]
            .iter()
            .enumerate()
        {
            while text.contains(name) && self.ports.len() <= i {
                self.ports.push(Port::reserve());
            }
            if let Some(port) = self.ports.get(i) {
                text = text.replace(name, &port.number().to_string());
            }
        }
        text
    }

    fn write(&mut self, template: &str) {
        let text = self.fill(template);
        // In one go: a server that still has a signal to look into may read it now.
        fs::write(self.path("nginx.conf.new"), text).unwrap();
        fs::rename(self.path("nginx.conf.new"), self.path("nginx.conf")).unwrap();
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(["-p", self.dir.path().to_str().unwrap(), "-c", "nginx.conf"]);
        if !args.contains(&"-e") {
            command.args(["-e", "error.log"]);
        }
        command
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    fn output(&self, name: &str) -> Stdio {
        File::create(self.path(name)).unwrap().into()
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The end of a run of the binary.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    #[track_caller]
    fn of(command: &mut Command, setup: &Setup) -> Self {
        let mut child = command.spawn().expect("run the binary");
        let status = wait(&mut child, PATIENCE).unwrap_or_else(|| {
            let _gone = child.kill();
            panic!("did not end: {command:?}: {}", setup.read("stderr"));
        });
        let (stdout, stderr) = (setup.read("stdout"), setup.read("stderr"));
        Self {
            code: status.code(),
            stdout,
            stderr,
        }
    }

    /// Fails unless the run ended with `code` and said `message` on stderr.
    #[track_caller]
    pub fn expect(&self, code: i32, message: &str) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert!(
            self.stderr.contains(message),
            "no {message:?} in: {}",
            self.stderr
        );
        self
    }
}

/// A running server. Dropping it stops it, and fails the test if it left a serious complaint.
pub struct Server {
    setup: Setup,
    child: Child,
    status: Option<ExitStatus>,
}

impl Server {
    /// Starts with an `http` block of this content.
    #[track_caller]
    pub fn start(content: &str) -> Self {
        Setup::http(content).start()
    }

    /// Connects to `{port}`.
    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(&self.addr())
    }

    /// Sends bytes on a new connection, reads one response.
    #[track_caller]
    pub fn request(&self, bytes: impl AsRef<[u8]>) -> Response {
        self.connect().send(bytes).response()
    }

    /// A GET on a new connection.
    #[track_caller]
    pub fn get(&self, uri: &str) -> Response {
        self.get_with(uri, "")
    }

    /// A GET with further header lines, each ended by CRLF, on a new connection.
    #[track_caller]
    pub fn get_with(&self, uri: &str, headers: &str) -> Response {
        self.request(format!(
            "GET {uri} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"
        ))
    }

    /// A POST with `body` on a new connection.
    #[track_caller]
    pub fn post(&self, uri: &str, body: impl AsRef<[u8]>) -> Response {
        let body = body.as_ref();
        let head = format!(
            "POST {uri} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        self.request([head.as_bytes(), body].concat())
    }

    /// The number behind `{port}` (0), `{port2}` (1) ..
    pub fn port(&self, index: usize) -> u16 {
        self.setup.ports[index].number()
    }

    /// `127.0.0.1:{port}`.
    pub fn addr(&self) -> String {
        self.setup.ports[0].addr()
    }

    /// A path inside the prefix folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.setup.path(name)
    }

    /// The content of a file in the prefix folder, empty when there is none.
    pub fn read(&self, name: &str) -> String {
        self.setup.read(name)
    }

    /// What the error log says.
    pub fn error_log(&self) -> String {
        self.read("error.log")
    }

    /// Waits until the error log contains `text`.
    #[track_caller]
    pub fn expect_error_log(&self, text: &str) {
        self.expect_in("error.log", text);
    }

    /// Waits until the access log contains `text`.
    #[track_caller]
    pub fn expect_access_log(&self, text: &str) {
        self.expect_in("access.log", text);
    }

    /// Waits until a file in the prefix folder contains `text`.
    #[track_caller]
    pub fn expect_in(&self, name: &str, text: &str) {
        let start = Instant::now();
        while !self.read(name).contains(text) {
            let late = start.elapsed() > PATIENCE / 2;
            assert!(!late, "no {text:?} in {name}: {}", self.read(name));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the binary wrote to its standard error.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process that was started.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("send a signal");
    }

    /// Puts another `http` block in place of the one the server runs.
    pub fn rewrite(&mut self, content: &str) {
        let template = Setup::http(content).template;
        self.setup
            .write(&format!("{}{template}", self.setup.modules));
    }

    /// Puts another configuration in place of the one the server runs, as [`Setup::main`] does.
    pub fn rewrite_main(&mut self, content: &str) {
        let Setup { template, .. } = Setup::main(content);
        self.setup.write(&template);
    }

    /// Rewrites the configuration, sends HUP, waits until `probe` sees the new one.
    #[track_caller]
    pub fn reload(&mut self, content: &str, probe: impl Fn(&Self) -> bool) {
        self.rewrite(content);
        self.signal(Signal::HUP);
        wait_until("the new configuration", || probe(self));
        // A server that replaces processes accepts in the old ones for a moment longer.
        thread::sleep(Duration::from_millis(250));
    }

    /// Runs the binary with `args` on the configuration of this server.
    #[track_caller]
    pub fn control(&self, args: &[&str]) -> Ran {
        let (out, err) = (
            self.setup.output("control-out"),
            self.setup.output("control-err"),
        );
        let mut command = self.setup.command(&binary(), args);
        let mut child = command
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("run the binary");
        let code = wait(&mut child, PATIENCE)
            .expect("the end of a control run")
            .code();
        Ran {
            code,
            stdout: self.read("control-out"),
            stderr: self.read("control-err"),
        }
    }

    /// Waits for the end of the process; fails when it does not come.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status = wait(&mut self.child, PATIENCE);
        let status = status.unwrap_or_else(|| panic!("still running: {}", self.error_log()));
        self.status = Some(status);
        status
    }

    /// Sends QUIT and waits for the end.
    #[track_caller]
    pub fn stop_gracefully(&mut self) -> ExitStatus {
        self.signal(Signal::QUIT);
        self.wait()
    }

    fn is_ready(&self) -> bool {
        self.read("nginx.pid").ends_with('\n')
    }

    fn stop(&mut self) -> bool {
        let steps = [
            (Signal::QUIT, Duration::from_millis(700)),
            (Signal::TERM, Duration::from_secs(3)),
            (Signal::KILL, PATIENCE),
        ];
        steps.into_iter().any(|(signal, patience)| {
            self.signal(signal);
            wait(&mut self.child, patience).is_some() && signal != Signal::KILL
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.status.is_some() || self.stop();
        let log = self.error_log() + &self.stderr();
        if thread::panicking() {
            eprintln!("--- error log\n{log}---");
            return;
        }
        assert!(stopped, "neither QUIT nor TERM ended the server");
        let serious = |line: &&str| {
            ["[alert]", "[emerg]", "panicked at"]
                .iter()
                .any(|word| line.contains(word))
                && !self
                    .setup
                    .allowed
                    .iter()
                    .any(|message| line.contains(message))
        };
        let complaints: Vec<&str> = log.lines().filter(serious).collect();
        assert!(
            complaints.is_empty(),
            "the server complained: {complaints:#?}"
        );
    }
}

fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if start.elapsed() > patience {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
