//! `require "ngx.semaphore"`: light threads and requests that wait for one another.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::sleep::duration;
use super::{Engine, RunKind, wait};
use crate::ffi::{Call, Kind, Raise, Reply, Value, Values, function, values};

/// Makes the module.
pub(crate) fn module(engine: &Rc<Engine>) -> mlua::Result<mlua::Table> {
    let raw = engine.raw();
    let module = raw.lua().create_table()?;
    module.set("new", raw.create_function(function(new))?)?;
    module.set("post", raw.create_function(function(post))?)?;
    module.set("wait", raw.create_function(function(wait_for))?)?;
    module.set("count", raw.create_function(function(count))?)?;
    let meta = raw.lua().create_table()?;
    meta.set("__index", &module)?;
    engine.set_semaphore_meta(raw.meta(meta)?);
    Ok(module)
}

/// Resources, and who waits for them: while somebody waits there are none.
#[derive(Default)]
struct Semaphore {
    free: Cell<u64>,
    queue: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Default)]
struct Waiter {
    granted: Cell<bool>,
    notify: Notify,
}

impl Semaphore {
    fn post(&self, mut n: u64) {
        let mut queue = self.queue.borrow_mut();
        while n > 0 {
            let Some(waiter) = queue.pop_front() else {
                break;
            };
            n -= 1;
            waiter.granted.set(true);
            waiter.notify.notify_one();
        }
        self.free.set(self.free.get().saturating_add(n));
    }

    fn try_take(&self) -> bool {
        let free = self.free.get();
        self.free.set(free.saturating_sub(1));
        free > 0
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn count(&self) -> f64 {
        self.free.get() as f64 - self.queue.borrow().len() as f64
    }
}

/// A place in the queue. Who leaves it early gives back what it was granted meanwhile.
struct Place {
    semaphore: Rc<Semaphore>,
    waiter: Rc<Waiter>,
}

impl Place {
    fn take(semaphore: Rc<Semaphore>) -> Self {
        let waiter = Rc::<Waiter>::default();
        semaphore.queue.borrow_mut().push_back(Rc::clone(&waiter));
        Self { semaphore, waiter }
    }

    /// Whether the resource was granted in time.
    async fn wait(self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.waiter.notify.notified() => {}
            () = tokio::time::sleep(time) => {}
        }
        // It is used now.
        self.waiter.granted.take()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.waiter.granted.get() {
            self.semaphore.post(1);
        } else {
            let mut queue = self.semaphore.queue.borrow_mut();
            queue.retain(|waiter| !Rc::ptr_eq(waiter, &self.waiter));
        }
    }
}

/// `sema, err = semaphore.new(n?)`
fn new(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.number(1).unwrap_or(0.0);
    if n < 0.0 {
        return Err("no negative number".into());
    }
    let meta = call.lane().engine().semaphore_meta().ok_or("no memory")?;
    let semaphore = Rc::<Semaphore>::default();
    semaphore.post(whole(n));
    Ok(one(Value::Wrapped(semaphore, meta)))
}

/// `sema:post(n?)`
fn post(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let semaphore = this(call)?;
    let n = call.number(2).unwrap_or(1.0);
    // Not a number is not positive.
    if !matches!(n.partial_cmp(&1.0), Some(order) if order.is_ge()) {
        return Err("positive number required".into());
    }
    semaphore.post(whole(n));
    Ok(one(Value::Boolean(true)))
}

/// `ok, err = sema:wait(timeout)`
fn wait_for(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let semaphore = this(call)?;
    let millis = (call.want_number(2)? * 1000.0).trunc();
    if millis < 0.0 {
        return Err("no negative number".into());
    }
    let time = duration(millis).ok_or_else(|| format!("invalid timeout \"{millis}\""))?;
    if semaphore.try_take() {
        return Ok(one(Value::Boolean(true)));
    }
    let run = call.lane().run();
    if run.kind() == RunKind::Blocking {
        let context = run.phase().context();
        let why = format!("API disabled in the context of {context}");
        return Ok(Reply::of(values([Value::Nil, why.into()])));
    }
    if time.is_zero() {
        return Ok(Reply::of(values([Value::Nil, "timeout".into()])));
    }
    // Asked before the place is taken: who cannot wait must not stand in the queue.
    super::may_wait(call)?;
    let place = Place::take(semaphore);
    wait(call, async move {
        if place.wait(time).await {
            values([Value::Boolean(true)])
        } else {
            values([Value::Boolean(false), "timeout".into()])
        }
    })
}

/// `count = sema:count()`: below zero, how many wait.
fn count(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let count = this(call)?.count();
    Ok(one(Value::Number(count)))
}

fn this(call: &Call<'_>) -> Result<Rc<Semaphore>, Raise> {
    let wrong = || Raise::from("not a semaphore instance");
    if call.kind(1) != Kind::Table {
        return Err(wrong());
    }
    call.object(1).map_err(|_| wrong())
}

fn whole(n: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not below zero; what is beyond is as good as the most"
    )]
    let n = n as u64;
    n
}

fn one(value: Value) -> Reply {
    let mut list = Values::new();
    list.push(value);
    Reply::of(list)
}
