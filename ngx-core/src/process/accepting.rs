//! The accept loops of one worker thread.

use std::collections::HashMap;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;

use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::Service;
use crate::alert;
use crate::cycle::Cycle;
use crate::error::errno;
use crate::net::{Acceptor, Addr, ListenOptions};

/// One loop per listening socket. A socket that stays keeps its loop from one generation to the
/// next.
pub(super) struct Accepting<S> {
    service: Rc<S>,
    /// The place of the thread among the workers, which decides on its socket with `reuseport`.
    index: usize,
    loops: HashMap<Addr, Loop>,
    tasks: JoinSet<io::Result<()>>,
}

struct Loop {
    options: ListenOptions,
    workers: usize,
    task: AbortHandle,
}

impl Loop {
    /// Whether it accepts from the socket that this thread is to have. Without `reuseport` all
    /// threads have the one.
    fn fits(&self, options: &ListenOptions, workers: usize) -> bool {
        self.options.reuseport == options.reuseport
            && (!options.reuseport || self.workers == workers)
    }
}

impl<S: Service> Accepting<S> {
    pub(super) fn new(service: Rc<S>, index: usize) -> Self {
        Self {
            service,
            index,
            loops: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Accepts from the listeners of `cycle` and no others.
    pub(super) fn take(&mut self, cycle: &Cycle) -> io::Result<()> {
        let listeners = cycle.listeners();
        let workers = cycle.core().workers();
        let mut kept = std::mem::take(&mut self.loops);
        for listener in listeners.iter() {
            let options = listener.options();
            let known = kept.remove(&options.addr);
            let task = match known {
                Some(known) if known.fits(options, workers) => known.task,
                replaced => {
                    if let Some(replaced) = replaced {
                        replaced.task.abort();
                    }
                    let acceptor = Acceptor::new(listener.for_worker(self.index)?)?;
                    let service = Rc::clone(&self.service);
                    let addr = options.addr.clone();
                    self.tasks.spawn_local(accept(acceptor, addr, service))
                }
            };
            self.loops.insert(
                options.addr.clone(),
                Loop {
                    options: options.clone(),
                    workers,
                    task,
                },
            );
        }
        kept.into_values().for_each(|dropped| dropped.task.abort());
        Ok(())
    }

    /// Stops accepting. The sockets are closed when this returns.
    pub(super) async fn close(&mut self) {
        self.loops.clear();
        self.tasks.shutdown().await;
    }

    /// Waits until a loop ends without having been told to, and logs why; forever if none does.
    ///
    /// # Panics
    ///
    /// When the loop did.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub(super) async fn ended(&mut self) {
        let Some(ended) = self.tasks.join_next().await else {
            return std::future::pending().await;
        };
        match ended.map_err(JoinError::try_into_panic) {
            Ok(Ok(())) | Err(Err(_)) => {}
            Ok(Err(error)) => alert!("accept4() failed {}", errno(&error)),
            Err(Ok(panic)) => resume_unwind(panic),
        }
    }
}

async fn accept<S: Service>(acceptor: Acceptor, addr: Addr, service: Rc<S>) -> io::Result<()> {
    loop {
        let (transport, peer) = acceptor.accept().await?;
        service.serve(transport, peer, &addr);
    }
}
