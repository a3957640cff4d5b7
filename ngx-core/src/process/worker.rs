//! One worker thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

use super::accepting::Accepting;
use super::rights::ThreadRights;
use super::{Command, RunError, Service};
use crate::cycle::Cycle;
use crate::{emerg, notice};

/// What a worker thread tells the main thread.
#[derive(Debug)]
pub(super) enum Event {
    /// Thread `id` serves the generation of this number.
    Serves { id: u64, number: u64 },
    /// Thread `id` has ended.
    Ended { id: u64, end: End },
    /// It is time to start a thread in place of one that died.
    Restart { index: usize },
}

/// How a thread ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to.
    Told,
    /// It could not start; the log says why.
    Failed,
    /// By a panic; the log says where.
    Panic,
}

/// A worker thread, as the main thread sees it.
pub(super) struct Worker {
    pub(super) id: u64,
    pub(super) index: usize,
    pub(super) rights: ThreadRights,
    /// The generation that it has said it serves.
    pub(super) serves: u64,
    commands: UnboundedSender<Command>,
}

impl Worker {
    /// Starts a thread that serves `cycle` and reports to `events` under this `id`.
    pub(super) fn start<S: Service>(
        id: u64,
        index: usize,
        rights: ThreadRights,
        cycle: Arc<Cycle>,
        events: UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let (commands, inbox) = unbounded_channel();
        let own = rights.clone();
        let body = move || {
            let report = events.clone();
            let post = Post {
                id,
                index,
                inbox,
                events,
            };
            let ran = catch_unwind(AssertUnwindSafe(|| run::<S>(post, &own, cycle)));
            let end = match ran {
                Ok(Ok(())) => End::Told,
                Ok(Err(error)) => {
                    emerg!("worker thread {id} cannot start: {error}");
                    End::Failed
                }
                Err(_logged) => End::Panic,
            };
            // Nobody listens when the server ends without waiting for its threads.
            let _main_thread_is_gone = report.send(Event::Ended { id, end });
        };
        thread::Builder::new()
            .name(format!("worker {index}"))
            .spawn(body)?;
        Ok(Self {
            id,
            index,
            rights,
            serves: 0,
            commands,
        })
    }

    /// Sends a command. A thread that has died says so itself.
    pub(super) fn tell(&self, command: Command) {
        let _dead_threads_are_reported = self.commands.send(command);
    }
}

/// Where a thread stands and whom it talks to.
struct Post {
    id: u64,
    index: usize,
    inbox: UnboundedReceiver<Command>,
    events: UnboundedSender<Event>,
}

impl Post {
    fn serves(&self, cycle: &Cycle) {
        let (id, number) = (self.id, cycle.number());
        let _main_thread_is_gone = self.events.send(Event::Serves { id, number });
    }
}

fn run<S: Service>(post: Post, rights: &ThreadRights, cycle: Arc<Cycle>) -> Result<(), RunError> {
    rights.apply()?;
    let system = |call| move |error| RunError::System { call, error };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("epoll_create()"))?;
    let tasks = LocalSet::new();
    let outcome = tasks.block_on(&runtime, work::<S>(post, cycle));
    {
        // What connections hold may want the runtime once more.
        let _inside = runtime.enter();
        drop(tasks);
    }
    // A blocking task that still runs keeps nobody waiting.
    runtime.shutdown_background();
    outcome.map_err(system("listening"))
}

async fn work<S: Service>(mut post: Post, cycle: Arc<Cycle>) -> io::Result<()> {
    let connections = cycle.events().worker_connections();
    let service = S::new(Arc::clone(&cycle), connections);
    let mut accepting = Accepting::new(Rc::clone(&service), post.index);
    accepting.take(&cycle)?;
    // Of the generation itself the service alone keeps a share, so that its end can be seen.
    let mut patience = cycle.core().shutdown_timeout();
    post.serves(&cycle);
    drop(cycle);
    loop {
        let command = tokio::select! {
            command = post.inbox.recv() => command,
            () = accepting.ended() => continue,
        };
        match command {
            Some(Command::Swap(next)) => {
                service.swap(Arc::clone(&next), next.events().worker_connections());
                if let Err(error) = accepting.take(&next) {
                    emerg!("worker thread {} cannot listen: {error}", post.id);
                }
                patience = next.core().shutdown_timeout();
                post.serves(&next);
            }
            Some(Command::Quit) => break,
            Some(Command::Terminate) | None => {
                notice!("exiting");
                return Ok(());
            }
        }
    }
    notice!("gracefully shutting down");
    accepting.close().await;
    service.close_gracefully();
    tokio::select! {
        () = idle(&*service, patience) => {}
        () = terminated(&mut post.inbox) => {}
    }
    notice!("exiting");
    Ok(())
}

/// Waits until the service has no connection any more, or for as long as `patience`.
async fn idle<S: Service>(service: &S, patience: Option<Duration>) {
    let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
    // Asked now and then: a thread does this once in its life, and connections need not know.
    while service.connections() > 0 {
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return;
        }
        sleep_until(now + GLANCE).await;
    }
}

/// Waits until a thread that is ending is told to end now.
async fn terminated(inbox: &mut UnboundedReceiver<Command>) {
    while let Some(command) = inbox.recv().await {
        if matches!(command, Command::Terminate) {
            return;
        }
    }
}

/// How often a thread that is ending looks whether its connections are gone.
const GLANCE: Duration = Duration::from_millis(5);
