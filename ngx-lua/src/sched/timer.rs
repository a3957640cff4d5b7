//! `ngx.timer.at`, `ngx.timer.every`: runs of their own, later.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ngx_core::log::{self, ErrorLog, LogScope};

use super::sleep::duration;
use super::{Engine, Entry, Purpose, RunKind};
use crate::cosocket::Heritage;
use crate::ffi::{Call, Raise, Reply, Thread, Value, function, values};
use crate::phase::Phase;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let timer = raw.lua().create_table()?;
    timer.set("at", raw.create_function(function(at))?)?;
    timer.set("every", raw.create_function(function(every))?)?;
    timer.set(
        "running_count",
        raw.create_function(function(running_count))?,
    )?;
    timer.set(
        "pending_count",
        raw.create_function(function(pending_count))?,
    )?;
    ngx.set("timer", timer)
}

/// `hdl, err = ngx.timer.at(delay, callback, ...)`
fn at(call: &mut Call<'_>) -> Result<Reply, Raise> {
    begin(call, Again::No)
}

/// `hdl, err = ngx.timer.every(delay, callback, ...)`
fn every(call: &mut Call<'_>) -> Result<Reply, Raise> {
    begin(call, Again::Yes)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Yes,
}

fn begin(call: &mut Call<'_>, again: Again) -> Result<Reply, Raise> {
    if call.count() < 2 {
        let message = format!("expecting at least 2 arguments but got {}", call.count());
        return Err(message.into());
    }
    let delay = duration((call.want_number(1)? * 1000.0).trunc())
        .ok_or_else(|| Raise::Argument(1, "delay out of range".into()))?;
    if again == Again::Yes && delay.is_zero() {
        return Err("delay cannot be zero".into());
    }
    if !call.is_lua_function(2) {
        return Err(Raise::Argument(2, "Lua function expected".into()));
    }
    let engine = Rc::clone(call.lane().engine());
    if engine.timers.exiting.get() && !delay.is_zero() {
        return refuse("process exiting");
    }
    if engine.timers.pending.get() >= engine.settings().max_pending_timers {
        return refuse("too many pending timers");
    }
    let place = call.place();
    let heritage = call.lane().run().heritage();
    let sinks = log::current().and_then(|scope| scope.sinks());
    let scope: Rc<dyn LogScope> = Rc::new(Scope { sinks });
    let thread = engine.raw().thread().map_err(|_| "not enough memory")?;
    call.move_arguments(2, &thread)?;
    let pending = Counted::new(Rc::clone(&engine), |engine| &engine.timers.pending);
    let timer = Timer {
        engine,
        thread,
        place,
        heritage,
        scope,
    };
    match again {
        Again::No => drop(tokio::task::spawn_local(timer.run(delay, pending))),
        Again::Yes => drop(tokio::task::spawn_local(timer.run_again(delay, pending))),
    }
    Ok(Reply::Value(Value::Number(1.0)))
}

fn running_count(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(count(call.lane().engine().running_timers()))
}

fn pending_count(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(count(call.lane().engine().pending_timers()))
}

struct Timer {
    engine: Rc<Engine>,
    /// Holds the callback and its arguments.
    thread: Thread,
    /// Where it was made.
    place: Option<(String, i32)>,
    heritage: Option<Rc<Heritage>>,
    scope: Rc<dyn LogScope>,
}

/// What log lines of a timer are about.
struct Scope {
    /// Where the one who made it logs.
    sinks: Option<Arc<ErrorLog>>,
}

impl LogScope for Scope {
    fn write_context(&self, out: &mut String) {
        out.push_str(", context: ngx.timer");
    }

    fn sinks(&self) -> Option<Arc<ErrorLog>> {
        self.sinks.clone()
    }
}

impl Timer {
    async fn run(self, delay: Duration, pending: Counted) {
        self.wait(delay).await;
        drop(pending);
        self.fire().await;
    }

    /// Fires again and again, until the program ends; a callback that takes longer than the delay
    /// does not put the next one off.
    async fn run_again(self, delay: Duration, _pending: Counted) {
        loop {
            self.wait(delay).await;
            // Asked now: the callback may be what ends the program.
            let exiting = self.engine.timers.exiting.get();
            match self.copy() {
                Some(once) => drop(tokio::task::spawn_local(once.fire())),
                None => self.complain(),
            }
            if exiting {
                return;
            }
        }
    }

    /// The same callback and arguments on another thread.
    fn copy(&self) -> Option<Self> {
        let thread = self.engine.raw().thread().ok()?;
        self.thread.copy_all_to(&thread).ok()?;
        Some(Self {
            engine: Rc::clone(&self.engine),
            thread,
            place: self.place.clone(),
            heritage: self.heritage.clone(),
            scope: Rc::clone(&self.scope),
        })
    }

    async fn wait(&self, delay: Duration) {
        let timers = &self.engine.timers;
        if !timers.exiting.get() {
            tokio::select! {
                () = timers.exit.notified() => {}
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    fn complain(&self) {
        let unknown = ("(unknown)".to_owned(), 0);
        let (source, line) = self.place.as_ref().unwrap_or(&unknown);
        ngx_core::error!(
            "lua failed to run timer with function defined at {source}:{line}: no memory"
        );
    }

    async fn fire(self) {
        let scope = Rc::clone(&self.scope);
        log::scoped(scope, async move {
            ngx_core::debug!("lua ngx.timer expired");
            self.call_back().await;
            ngx_core::debug!("http lua close fake http connection");
        })
        .await;
    }

    async fn call_back(self) {
        let timers = &self.engine.timers;
        let most = self.engine.settings().max_running_timers;
        if timers.running.get() >= most {
            ngx_core::alert!("{most} lua_max_running_timers are not enough");
            return;
        }
        let _running = Counted::new(Rc::clone(&self.engine), |engine| &engine.timers.running);
        let premature = timers.exiting.get();
        if self.thread.insert_boolean(2, premature).is_err() {
            self.complain();
            return;
        }
        let mut purpose = Purpose::new(RunKind::Waiting, Phase::Timer);
        purpose.heritage = self.heritage;
        let entry = Entry::with_thread(&self.engine, purpose, self.thread);
        if let Err(failure) = entry.finish().await {
            ngx_core::error!(
                multiline = true,
                "lua entry thread aborted: runtime error: {}",
                failure.text()
            );
        }
    }
}

/// One more, as long as it lives.
struct Counted {
    engine: Rc<Engine>,
    counter: fn(&Engine) -> &Cell<usize>,
}

impl Counted {
    fn new(engine: Rc<Engine>, counter: fn(&Engine) -> &Cell<usize>) -> Self {
        let cell = counter(&engine);
        cell.set(cell.get() + 1);
        Self { engine, counter }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let cell = (self.counter)(&self.engine);
        cell.set(cell.get().saturating_sub(1));
    }
}

fn count(n: usize) -> Reply {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let n = n as f64;
    Reply::Value(Value::Number(n))
}

fn refuse(why: &'static str) -> Result<Reply, Raise> {
    Ok(Reply::of(values([Value::Nil, why.into()])))
}
