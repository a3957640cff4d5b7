//! Light threads: `ngx.thread.spawn`, `wait` and `kill`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ngx_core::log;

use super::entry::failure;
use super::lane::{Ended, Lane, LocalFuture, Op};
use super::run::Run;
use super::{Engine, may_wait};
use crate::ffi::{Call, Raise, Reply, Thread, Value, function, values};

/// A light thread.
pub(crate) struct Light {
    run: Rc<Run>,
    thread: RefCell<Option<Rc<Thread>>>,
    /// The coroutine that made it: it alone may wait for it or kill it.
    parent: usize,
    state: Cell<State>,
    /// What it left: whether it ended well, and its results or the error.
    outcome: RefCell<Option<Thread>>,
    /// What it does; taken out while it is polled.
    work: RefCell<Option<LocalFuture<()>>>,
    started: Cell<bool>,
    /// Who waits for the start or for the end.
    watcher: Cell<Option<Waker>>,
    task: Cell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// It has ended and nobody has asked for its results.
    Zombie,
    /// Its results are taken, or it was killed.
    Dead,
}

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let thread = raw.lua().create_table()?;
    thread.set("spawn", raw.create_function(function(spawn))?)?;
    thread.set("wait", raw.create_function(function(wait))?)?;
    thread.set("kill", raw.create_function(function(kill))?)?;
    ngx.set("thread", thread)
}

/// Ready as soon as one has ended.
pub(super) fn poll_ended(lights: &[Rc<Light>], cx: &mut Context<'_>) -> Poll<Rc<Light>> {
    for light in lights {
        if light.state.get() != State::Running {
            return Poll::Ready(Rc::clone(light));
        }
        light.watcher.set(Some(cx.waker().clone()));
    }
    Poll::Pending
}

impl Light {
    /// A light thread of `run` that has not begun; `thread` has its function and the arguments.
    pub(super) fn new(run: &Rc<Run>, thread: Thread, parent: usize) -> Rc<Self> {
        thread.show();
        let thread = Rc::new(thread);
        let light = Rc::new(Self {
            run: Rc::clone(run),
            thread: RefCell::new(Some(Rc::clone(&thread))),
            parent,
            state: Cell::new(State::Running),
            outcome: RefCell::new(None),
            work: RefCell::new(None),
            started: Cell::new(false),
            watcher: Cell::new(None),
            task: Cell::new(None),
        });
        run.light_began();
        let alive = Alive {
            light: Rc::clone(&light),
            lane: Lane::new(Rc::clone(run), Rc::clone(&thread)),
        };
        *light.work.borrow_mut() = Some(Box::pin(async move {
            let alive = alive;
            // Dropped first: what the lane waits for goes before the lane does.
            let mut step = None;
            let ended = poll_fn(|cx| alive.lane.poll_end(&mut step, cx)).await;
            alive.light.leave(ended);
        }));
        let old = run
            .lights
            .borrow_mut()
            .insert(thread.id(), Rc::clone(&light));
        drop(old);
        light
    }

    /// Lets it run, as a task of its own.
    pub(super) fn begin(self: Rc<Self>) {
        let scope = log::current();
        let task = poll_fn(move |cx| self.poll(cx));
        match scope {
            Some(scope) => drop(tokio::task::spawn_local(log::scoped(scope, task))),
            None => drop(tokio::task::spawn_local(task)),
        }
    }

    /// Lets it run until it waits for the first time or ends.
    pub(super) async fn start(self: Rc<Self>) -> Rc<Thread> {
        let Some(thread) = self.thread.borrow().clone() else {
            // It is new: nobody can have ended it.
            return std::future::pending().await;
        };
        Rc::clone(&self).begin();
        poll_fn(|cx| {
            if self.started.get() {
                return Poll::Ready(());
            }
            self.watcher.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        thread
    }

    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    /// Moves what it left to `to`.
    pub(super) fn hand_over(&self, to: &Thread) -> bool {
        self.state.set(State::Dead);
        let Some(outcome) = self.outcome.borrow_mut().take() else {
            return to
                .push(values([Value::Nil, "already waited or killed".into()]))
                .is_ok();
        };
        let moved = outcome.move_to(to, outcome.count()).is_ok();
        outcome.recycle();
        moved
    }

    /// Ends it at once, wherever it stands.
    pub(super) fn end(&self) {
        self.state.set(State::Dead);
        let outcome = self.outcome.borrow_mut().take();
        drop(outcome);
        // While it is polled there is nothing here: `poll` sees the state.
        let work = self.work.borrow_mut().take();
        drop(work);
        if let Some(task) = self.task.take() {
            task.wake();
        }
        self.wake_watcher();
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let taken = self.work.borrow_mut().take();
        let Some(mut work) = taken else {
            return Poll::Ready(());
        };
        self.task.set(Some(cx.waker().clone()));
        let polled = work.as_mut().poll(cx);
        if !self.started.replace(true) {
            self.wake_watcher();
        }
        if polled.is_pending() && self.state.get() == State::Running {
            *self.work.borrow_mut() = Some(work);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn leave(&self, ended: Ended) {
        let Ok(outcome) = self.run.engine().raw().thread() else {
            return;
        };
        let filled = match ended {
            Ended::Finished(thread) => outcome
                .push(values([Value::Boolean(true)]))
                .and_then(|()| thread.move_to(&outcome, thread.count())),
            Ended::Failed(thread) => {
                // The object itself goes to whoever waits; the text of it into the log.
                let kept = outcome
                    .push(values([Value::Boolean(false)]))
                    .and_then(|()| thread.copy_top_to(&outcome));
                let failure = failure(&thread);
                ngx_core::error!(
                    multiline = true,
                    "lua user thread aborted: runtime error: {}",
                    failure.text()
                );
                kept
            }
            // Nobody is left to wait for it.
            Ended::Exited => return,
            Ended::Exhausted => {
                outcome.push(values([Value::Boolean(false), "not enough memory".into()]))
            }
        };
        if filled.is_ok() {
            *self.outcome.borrow_mut() = Some(outcome);
        }
    }

    fn wake_watcher(&self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }
}

/// Counts a light thread as alive, and tidies up when it no longer is, for whatever reason.
struct Alive {
    light: Rc<Light>,
    lane: Rc<Lane>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.lane.close();
        if self.light.state.get() == State::Running {
            self.light.state.set(State::Zombie);
        }
        let thread = self.light.thread.borrow_mut().take();
        drop(thread);
        self.light.run.light_ended();
        self.light.wake_watcher();
    }
}

/// `co = ngx.thread.spawn(func, ...)`
fn spawn(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if !call.is_lua_function(1) {
        return Err(Raise::Argument(1, "Lua function expected".into()));
    }
    may_wait(call)?;
    let run = Rc::clone(call.lane().run());
    let thread = run
        .engine()
        .raw()
        .thread()
        .map_err(|_| "not enough memory")?;
    call.move_arguments(1, &thread)?;
    let light = Light::new(&run, thread, call.thread_id());
    call.lane().ask(Op::Spawn(light));
    Ok(Reply::Yield)
}

/// `ok, res1, ... = ngx.thread.wait(thread1, ...)`: the results of the first that ends.
fn wait(call: &mut Call<'_>) -> Result<Reply, Raise> {
    may_wait(call)?;
    let count = call.count();
    if count == 0 {
        return Err("at least one coroutine should be specified".into());
    }
    let mut lights = Vec::with_capacity(count);
    for at in 1..=count {
        let light = light_at(call, at)?
            .ok_or("attempt to wait on a coroutine that is not a user thread")?;
        if light.parent != call.thread_id() {
            return Err("only the parent coroutine can wait on the thread".into());
        }
        match light.state.get() {
            State::Running => lights.push(light),
            State::Dead => {}
            State::Zombie => {
                light.state.set(State::Dead);
                let outcome = light.outcome.borrow_mut().take();
                let Some(outcome) = outcome else { continue };
                let reply = call.take_results(&outcome);
                outcome.recycle();
                return reply;
            }
        }
    }
    if lights.is_empty() {
        return refuse("already waited or killed");
    }
    call.lane().ask(Op::Join(lights));
    Ok(Reply::Yield)
}

/// `ok, err = ngx.thread.kill(thread)`
fn kill(call: &mut Call<'_>) -> Result<Reply, Raise> {
    may_wait(call)?;
    let Some(light) = light_at(call, 1)? else {
        return refuse("not user thread");
    };
    if light.parent != call.thread_id() {
        return refuse("killer not parent");
    }
    let state = light.state.get();
    light.end();
    match state {
        State::Running => Ok(Reply::Value(Value::Number(1.0))),
        State::Zombie => refuse("already terminated"),
        State::Dead => refuse("already waited or killed"),
    }
}

fn light_at(call: &Call<'_>, at: usize) -> Result<Option<Rc<Light>>, Raise> {
    let id = call
        .thread_id_at(at)
        .ok_or_else(|| Raise::Argument(at, "lua thread expected".into()))?;
    Ok(call.lane().run().lights.borrow().get(&id).cloned())
}

fn refuse(why: &'static str) -> Result<Reply, Raise> {
    Ok(Reply::of(values([Value::Nil, why.into()])))
}
