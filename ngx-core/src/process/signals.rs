//! The signals that the server listens to.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::notice;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Terminate,
    Quit,
    Reload,
    Reopen,
    Upgrade,
    DismissWorkers,
}

/// All of them: what is not handled would end the process.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
    winch: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            winch: signal(SignalKind::window_change())?,
        })
    }

    /// The next signal, logged.
    ///
    /// # Cancel safety
    ///
    /// No signal is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Ask {
        let (number, name, then, ask) = tokio::select! {
            biased;
            _ = self.term.recv() => (15, "SIGTERM", ", exiting", Ask::Terminate),
            _ = self.int.recv() => (2, "SIGINT", ", exiting", Ask::Terminate),
            _ = self.quit.recv() => (3, "SIGQUIT", ", shutting down", Ask::Quit),
            _ = self.hup.recv() => (1, "SIGHUP", ", reconfiguring", Ask::Reload),
            _ = self.usr1.recv() => (10, "SIGUSR1", ", reopening logs", Ask::Reopen),
            _ = self.usr2.recv() => (12, "SIGUSR2", ", changing binary", Ask::Upgrade),
            _ = self.winch.recv() => (28, "SIGWINCH", "", Ask::DismissWorkers),
        };
        notice!("signal {number} ({name}) received{then}");
        ask
    }

    /// The next signal that means something to a worker process, logged; the others are its
    /// master's business.
    ///
    /// # Cancel safety
    ///
    /// No signal is lost when the future is dropped.
    pub(super) async fn next_of_worker(&mut self) -> Ask {
        let (number, name, then, ask) = tokio::select! {
            biased;
            _ = self.term.recv() => (15, "SIGTERM", ", exiting", Ask::Terminate),
            _ = self.int.recv() => (2, "SIGINT", ", exiting", Ask::Terminate),
            _ = self.quit.recv() => (3, "SIGQUIT", ", shutting down", Ask::Quit),
        };
        notice!("signal {number} ({name}) received{then}");
        ask
    }
}
