//! Programs that run while something is measured, each in a process group of its own: Ctrl-C is for
//! this program, which stops them in order.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::cgroup::Quota;
use crate::error::{Doing as _, Error, Result};
use crate::interrupt;
use crate::proc;

/// How long a program may take to end when asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// After how long it is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// A running program; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
}

/// A command that runs with at most this share of a core.
pub(crate) fn command(program: &Path, quota: Option<&Quota>) -> Command {
    let Some(quota) = quota else {
        return Command::new(program);
    };
    // A shell joins the control group before it becomes the program: so do all its children.
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo $$ >\"$0\" && exec \"$@\""])
        .arg(quota.members())
        .arg(program);
    command
}

impl Process {
    /// Starts a program on this core. Its standard output is as the command says, or nowhere.
    pub(crate) fn start(name: &str, mut command: Command, core: Option<usize>) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        command.stdin(Stdio::null()).process_group(0);
        // A child inherits the cores of the thread that starts it, so that thread is a new one.
        let started = thread::scope(|scope| {
            let start = || {
                if let Some(core) = core {
                    let mut cores = CpuSet::new();
                    cores.set(core);
                    sched_setaffinity(None, &cores)?;
                }
                command.spawn()
            };
            scope.spawn(start).join()
        });
        let Ok(child) = started else {
            return Error::failed(format!("cannot start {name}"));
        };
        Ok(Self {
            name: name.to_owned(),
            child: child.doing(|| format!("cannot start {name}"))?,
            ended: None,
        })
    }

    /// As [`start`](Self::start), with what the program prints going to a file.
    pub(crate) fn start_logged(
        name: &str,
        mut command: Command,
        core: Option<usize>,
        log: &Path,
    ) -> Result<Self> {
        let doing = || format!("cannot write {}", log.display());
        let file = File::create(log).doing(doing)?;
        let copy = file.try_clone().doing(doing)?;
        command.stdout(file).stderr(copy);
        Self::start(name, command, core)
    }

    /// CPU seconds used so far by the whole group.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        proc::cpu_seconds(self.child.id())
    }

    /// Bytes of memory in use by the whole group.
    pub(crate) fn resident_bytes(&self) -> u64 {
        proc::resident_bytes(self.child.id())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            let name = &self.name;
            self.ended = self
                .child
                .try_wait()
                .doing(|| format!("cannot wait for {name}"))?;
        }
        Ok(self.ended)
    }

    /// Waits for the end and gives what it printed to its piped standard output. For programs that
    /// print less than a pipe holds.
    pub(crate) fn output(mut self, most: Duration) -> Result<String> {
        let Some(status) = interrupt::wait_for(most, || self.ended())? else {
            return Error::failed(format!("{} does not end", self.name));
        };
        let mut text = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout
                .read_to_string(&mut text)
                .doing(|| format!("cannot read what {} says", self.name))?;
        }
        if !status.success() {
            return Error::failed(format!("{} ended with {status}: {text}", self.name));
        }
        Ok(text)
    }

    /// Asks those of the group to end that are not its leader, and waits for the leader: for a
    /// program that runs another one and sums up when that ends.
    pub(crate) fn stop_inner(self) -> Result<()> {
        let leader = self.child.id();
        self.stop_by(|| {
            for (pid, _) in proc::group(leader) {
                if pid != leader {
                    signal(pid, Signal::TERM);
                }
            }
        })
    }

    /// Asks it to end and waits for that.
    pub(crate) fn stop(self) -> Result<()> {
        let leader = self.child.id();
        self.stop_by(|| signal(leader, Signal::TERM))
    }

    /// Asks again every second: nginx misses a signal that arrives just before it waits for
    /// events, and under valgrind that happens.
    fn stop_by(mut self, ask: impl Fn()) -> Result<()> {
        for _ in 0..PATIENCE.as_secs() {
            ask();
            if interrupt::wait_for(AGAIN, || self.ended())?.is_some() {
                return Ok(());
            }
        }
        Error::failed(format!("{} does not end", self.name))
    }

    /// For the way out: asks, waits a moment, insists. Leaves nobody of the group behind.
    fn end(&mut self) {
        let Some(group) = pid(self.child.id()) else {
            return;
        };
        if self.ended.is_none() {
            signal(self.child.id(), Signal::TERM);
            let until = Instant::now() + Duration::from_secs(1);
            while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(10));
            }
        }
        if test_kill_process_group(group).is_ok() {
            // Whoever ends by itself meanwhile is as welcome.
            let _gone = kill_process_group(group, Signal::KILL);
        }
        let _reaped = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(id.try_into().ok()?)
}

fn signal(id: u32, signal: Signal) {
    if let Some(pid) = pid(id) {
        // Gone already is as good.
        let _gone = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        command
    }

    #[test]
    fn what_a_program_prints_comes_back() {
        let process = Process::start("sh", shell("echo hello"), None).unwrap();
        assert_eq!(process.output(PATIENCE).unwrap(), "hello\n");
    }

    #[test]
    fn a_program_that_fails_is_an_error() {
        let process = Process::start("sh", shell("echo no; exit 3"), None).unwrap();
        let error = process.output(PATIENCE).unwrap_err().to_string();
        assert!(error.contains("exit status: 3: no"), "{error}");
    }

    #[test]
    fn dropping_ends_the_whole_group() {
        // Neither of the two listens to a polite request.
        let script = "trap '' TERM; sleep 60 & echo started; wait";
        let mut process = Process::start("sh", shell(script), None).unwrap();
        let mut line = [0; 8];
        process
            .child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut line)
            .unwrap();
        let leader = process.child.id();
        assert_eq!(proc::group(leader).len(), 2);
        drop(process);
        let gone = || Ok(proc::group(leader).is_empty().then_some(()));
        assert_eq!(interrupt::wait_for(PATIENCE, gone).unwrap(), Some(()));
    }

    #[test]
    fn a_panic_ends_what_was_started() {
        let process = Process::start("sleep", shell("exec sleep 60"), None).unwrap();
        let leader = process.child.id();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _process = process;
            panic!("for the test");
        }));
        assert!(ended.is_err());
        assert!(proc::group(leader).is_empty());
    }
}
