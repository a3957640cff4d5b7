//! Whose work the thread is doing: the connection or request that log lines are about.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{ErrorLog, Fields};

/// What a connection or a request adds to the lines that are logged on its behalf.
///
/// What is logged during a call is dropped: `tracing` lets no event in while it handles one.
pub trait LogScope {
    /// The connection's number, written as `*5` before the message.
    fn connection(&self) -> Option<u64> {
        None
    }

    /// Appends what follows the message, its leading comma included: `, client: 127.0.0.1`.
    ///
    /// Control characters are escaped afterwards by the logger.
    fn write_context(&self, out: &mut String);

    /// The same for logs in JSON; by default one field, `context`, with the text.
    fn write_fields(&self, fields: &mut Fields<'_>) {
        let mut context = String::new();
        self.write_context(&mut context);
        fields.add("context", context.trim_start_matches(", "));
    }

    /// Whether its logs get lines of every level, whatever their own (`debug_connection`).
    ///
    /// A [`Talkative`](super::Talkative) must be alive, else such lines are not even made.
    fn is_debugged(&self) -> bool {
        false
    }

    /// Where lines go instead of the process's log.
    fn sinks(&self) -> Option<Arc<ErrorLog>> {
        None
    }
}

/// Makes `scope` the thread's current one until the guard is dropped.
///
/// Guards are dropped in the reverse order of their making; each brings back what it replaced.
#[must_use = "the scope ends when the guard is dropped"]
pub fn enter(scope: Rc<dyn LogScope>) -> Entered {
    let previous = replace(Some(scope));
    Entered {
        previous,
        on_this_thread: PhantomData,
    }
}

/// The thread's current scope.
#[must_use]
pub fn current() -> Option<Rc<dyn LogScope>> {
    CURRENT
        .try_with(|current| {
            let scope = current.take();
            current.set(scope.clone());
            scope
        })
        .ok()
        .flatten()
}

/// Runs a future inside a scope: it is entered around each poll.
pub fn scoped<F: Future>(scope: Rc<dyn LogScope>, future: F) -> Scoped<F> {
    Scoped {
        scope,
        future: Box::pin(future),
    }
}

/// The guard that [`enter`] returns.
pub struct Entered {
    previous: Option<Rc<dyn LogScope>>,
    on_this_thread: PhantomData<*const ()>,
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered")
            .field("nested", &self.previous.is_some())
            .finish()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Dropped outside of the cell: a scope may log while it is dropped.
        drop(replace(self.previous.take()));
    }
}

/// The future that [`scoped`] returns.
pub struct Scoped<F> {
    scope: Rc<dyn LogScope>,
    future: Pin<Box<F>>,
}

impl<F> fmt::Debug for Scoped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").finish_non_exhaustive()
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _inside = enter(Rc::clone(&self.scope));
        self.future.as_mut().poll(cx)
    }
}

fn replace(scope: Option<Rc<dyn LogScope>>) -> Option<Rc<dyn LogScope>> {
    CURRENT
        .try_with(|current| current.replace(scope))
        .ok()
        .flatten()
}

thread_local! {
    static CURRENT: Cell<Option<Rc<dyn LogScope>>> = const { Cell::new(None) };
}
