//! One worker: a thread, or a task of the main thread.

use std::cell::{Cell, OnceCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until};

use super::accepting::Accepting;
use super::rights::ThreadRights;
use super::{Command, RunError, Service};
use crate::cycle::Cycle;
use crate::net::reactor;
use crate::{emerg, notice};

/// What a worker tells the main thread.
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

impl End {
    /// How worker `id` ended that came to this; a failure is logged.
    fn of(id: u64, outcome: Result<(), RunError>) -> Self {
        match outcome {
            Ok(()) => Self::Told,
            Err(error) => {
                emerg!("worker thread {id} cannot start: {error}");
                Self::Failed
            }
        }
    }
}

/// A worker, as the main thread sees it.
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
                service: Rc::default(),
            };
            let ran = catch_unwind(AssertUnwindSafe(|| run::<S>(post, &own, cycle)));
            let end = ran.map_or(End::Panic, |outcome| End::of(id, outcome));
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

    /// Has the calling thread itself be the worker, which needs no rights of its own; it may do
    /// so once. The work is a task of the [`LocalRuntime`](tokio::runtime::LocalRuntime) that
    /// the thread runs.
    ///
    /// What a thread leaves behind ends with the thread. What this leaves behind stays with the
    /// runtime: when it is told to end, it has told everything else to before that; if it dies,
    /// all that it has begun is told to end.
    pub(super) fn start_here<S: Service>(
        id: u64,
        rights: ThreadRights,
        cycle: Arc<Cycle>,
        events: UnboundedSender<Event>,
    ) -> Self {
        let (commands, inbox) = unbounded_channel();
        let index = 0;
        INDEX.set(Some(index));
        let service = Rc::new(OnceCell::new());
        let post = Post::<S> {
            id,
            index,
            inbox,
            events: events.clone(),
            service: Rc::clone(&service),
        };
        let work = spawn_local(work::<S>(post, cycle));
        spawn_local(async move {
            let end = match work.await {
                Ok(outcome) => End::of(id, outcome.map_err(listening)),
                Err(_logged) => End::Panic,
            };
            if end != End::Told
                && let Some(service) = service.get()
            {
                abandon(&**service);
            }
            drop(service);
            // Nobody listens when the server ends.
            let _main_task_is_gone = events.send(Event::Ended { id, end });
        });
        Self {
            id,
            index,
            rights,
            serves: 0,
            commands,
        }
    }

    /// Sends a command. A thread that has died says so itself.
    pub(super) fn tell(&self, command: Command) {
        let _dead_threads_are_reported = self.commands.send(command);
    }
}

/// Where a worker stands and whom it talks to.
struct Post<S> {
    id: u64,
    index: usize,
    inbox: UnboundedReceiver<Command>,
    events: UnboundedSender<Event>,
    /// Where it leaves its service, for whoever is still there when it has died.
    service: Rc<OnceCell<Rc<S>>>,
}

impl<S> Post<S> {
    fn serves(&self, cycle: &Cycle) {
        let (id, number) = (self.id, cycle.number());
        let _main_thread_is_gone = self.events.send(Event::Serves { id, number });
    }
}

thread_local! {
    static INDEX: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number, from 0, of the worker that calls; `None` in threads that are none.
#[must_use]
pub fn worker_index() -> Option<usize> {
    INDEX.get()
}

fn run<S: Service>(
    post: Post<S>,
    rights: &ThreadRights,
    cycle: Arc<Cycle>,
) -> Result<(), RunError> {
    INDEX.set(Some(post.index));
    rights.apply()?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(|error| RunError::System {
            call: "epoll_create()",
            error,
        })?;
    let outcome = runtime.block_on(work::<S>(post, cycle));
    // Tasks end inside of the runtime, which what connections hold may want once more. A blocking
    // one that still runs keeps nobody waiting.
    runtime.shutdown_background();
    outcome.map_err(listening)
}

async fn work<S: Service>(mut post: Post<S>, cycle: Arc<Cycle>) -> io::Result<()> {
    reactor::start()?;
    let connections = cycle.events().worker_connections();
    let service = S::new(Arc::clone(&cycle), connections);
    let _first = post.service.set(Rc::clone(&service));
    let mut accepting = Accepting::new(Rc::clone(&service), post.index);
    accepting.take(&cycle)?;
    // Of the generation itself the service alone keeps a share, so that its end can be seen.
    let mut serving = Serving::of(&cycle);
    let mut replaced = Vec::new();
    post.serves(&cycle);
    drop(cycle);
    let slowly = loop {
        let command = tokio::select! {
            command = post.inbox.recv() => command,
            () = accepting.ended() => continue,
            number = overdue(&mut replaced) => {
                service.cut_off(Some(number));
                continue;
            }
        };
        match command {
            Some(Command::Swap(next)) => {
                replaced.extend(serving.replaced());
                service.swap(Arc::clone(&next), next.events().worker_connections());
                if let Err(error) = accepting.take(&next) {
                    emerg!("worker thread {} cannot listen: {error}", post.id);
                }
                serving = Serving::of(&next);
                post.serves(&next);
            }
            Some(Command::Leave) => break true,
            Some(Command::Quit) => break false,
            Some(Command::Terminate) | None => {
                notice!("exiting");
                return Ok(());
            }
        }
    };
    notice!("gracefully shutting down");
    accepting.close().await;
    // Who is about to ask on an idle connection is answered; a connection that is closed under a
    // request would be an error of the client's.
    service.leave();
    let patience = if slowly {
        serving.patience
    } else {
        Some(GRACE)
    };
    let hurried = tokio::select! {
        () = idle(&*service, patience) => !slowly,
        command = post.inbox.recv() => matches!(command, Some(Command::Quit)),
    };
    if hurried {
        service.close_gracefully();
        tokio::select! {
            () = idle(&*service, serving.patience) => {}
            () = terminated(&mut post.inbox) => {}
        }
    }
    if service.connections() > 0 {
        service.cut_off(None);
        idle(&*service, Some(LAST_WORDS)).await;
    }
    notice!("exiting");
    Ok(())
}

fn listening(error: io::Error) -> RunError {
    let call = "listening";
    RunError::System { call, error }
}

/// Ends what a worker that has died has left on a thread that lives on.
fn abandon<S: Service>(service: &S) {
    let end: [&dyn Fn(); 2] = [&|| service.close_gracefully(), &|| service.cut_off(None)];
    for part in end {
        // What made it die may do so again.
        let _logged = catch_unwind(AssertUnwindSafe(part));
    }
}

/// What is kept of the generation in use for the time after it.
struct Serving {
    number: u64,
    /// `worker_shutdown_timeout`
    patience: Option<Duration>,
}

impl Serving {
    fn of(cycle: &Cycle) -> Self {
        Self {
            number: cycle.number(),
            patience: cycle.core().shutdown_timeout(),
        }
    }

    /// When what began under it has to end, if ever, and its number.
    fn replaced(&self) -> Option<(Instant, u64)> {
        let end = Instant::now().checked_add(self.patience?)?;
        Some((end, self.number))
    }
}

/// Waits until a generation that was replaced has had its time; never if there is none.
///
/// # Cancel safety
///
/// Nothing is lost when the future is dropped.
async fn overdue(replaced: &mut Vec<(Instant, u64)>) -> u64 {
    let Some((end, number)) = replaced.iter().min().copied() else {
        return std::future::pending().await;
    };
    sleep_until(end).await;
    replaced.retain(|(_, other)| *other != number);
    number
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

/// How long idle connections stay when the server ends: those in use have a response by then that
/// says so.
const GRACE: Duration = Duration::from_millis(200);
/// How long connections that are cut off have to say so in the log.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How often a thread that is ending looks whether its connections are gone.
const GLANCE: Duration = Duration::from_millis(5);
