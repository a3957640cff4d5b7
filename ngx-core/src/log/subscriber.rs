//! The subscriber that turns events into nginx's lines.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};

use rustix::process::getpid;
use rustix::thread::gettid;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Metadata};

use super::level::TARGET_PREFIX;
use super::{ErrorLog, Level, current, sink};
use crate::time;

/// The longest line with its line feed, in bytes; what is longer is cut.
const LINE_MAX: usize = 2048;

/// Makes [`LogSubscriber`] the subscriber of the process.
///
/// # Errors
///
/// The process has one already.
pub fn install() -> Result<(), InstallError> {
    tracing::dispatcher::set_global_default(tracing::Dispatch::new(LogSubscriber))
        .map_err(|_| InstallError(()))
}

/// The process had a tracing subscriber before [`install`].
#[derive(Debug, thiserror::Error)]
#[error("the process has a tracing subscriber already")]
pub struct InstallError(());

/// Writes events as lines of the error log.
///
/// It knows no spans: a line's context is that of the current [`LogScope`](super::LogScope).
#[derive(Debug, Clone, Copy, Default)]
pub struct LogSubscriber;

impl Subscriber for LogSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && Level::of(metadata).is_some_and(|level| level <= sink::max_level())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(sink::max_level().filter())
    }

    fn event(&self, event: &Event<'_>) {
        let Some(level) = Level::of(event.metadata()) else {
            return;
        };
        let scope = current();
        let own = scope.as_ref().and_then(|scope| scope.sinks());
        let log = own.unwrap_or_else(sink::default_log);
        if !log.wants(level) {
            return;
        }
        // Taken, not borrowed: foreign code runs while the line is formatted.
        let mut line = LINE.try_with(RefCell::take).unwrap_or_default();
        line.clear();
        let mut rest = LINE_REST.try_with(RefCell::take).unwrap_or_default();
        rest.clear();
        start(
            &mut line,
            level,
            scope.as_ref().and_then(|scope| scope.connection()),
        );
        if !event.metadata().target().starts_with(TARGET_PREFIX) {
            let _infallible = write!(rest, "{}: ", event.metadata().target());
        }
        let mut message = Message {
            text: &mut rest,
            multiline: false,
        };
        event.record(&mut message);
        let multiline = message.multiline;
        escape(&rest, multiline, &mut line);
        rest.clear();
        if let Some(scope) = scope {
            scope.write_context(&mut rest);
            escape(&rest, false, &mut line);
        }
        finish(&mut line, &log, level);
        let _thread_ends = LINE.try_with(|kept| kept.replace(line));
        let _thread_ends = LINE_REST.try_with(|kept| kept.replace(rest));
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// Tells the log that the calling thread is the only one of a new process.
#[cfg(feature = "conf")]
pub(crate) fn forked() {
    TID.set(tid());
}

fn tid() -> i32 {
    gettid().as_raw_nonzero().get()
}

/// Collects an event's message and its other fields.
struct Message<'a> {
    text: &'a mut String,
    multiline: bool,
}

impl Visit for Message<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "multiline" {
            self.multiline = value;
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.text.push_str(value);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _infallible = if field.name() == "message" {
            write!(self.text, "{value:?}")
        } else {
            write!(self.text, " {}={value:?}", field.name())
        };
    }
}

fn start(line: &mut String, level: Level, connection: Option<u64>) {
    let pid = getpid().as_raw_nonzero();
    let tid = TID.try_with(Cell::get).unwrap_or_default();
    let _infallible = write!(line, "{} [{level}] {pid}#{tid}: ", time::log_time());
    if let Some(number) = connection {
        let _infallible = write!(line, "*{number} ");
    }
}

/// Control characters would let a client forge lines, or speak to the reader's terminal.
fn escape(text: &str, multiline: bool, line: &mut String) {
    for c in text.chars() {
        if !c.is_control() || (multiline && matches!(c, '\n' | '\t')) {
            line.push(c);
        } else {
            let _infallible = write!(line, "\\x{:02X}", u32::from(c));
        }
        if line.len() >= LINE_MAX {
            return;
        }
    }
}

fn finish(line: &mut String, log: &ErrorLog, level: Level) {
    if line.len() >= LINE_MAX {
        line.truncate(line.floor_char_boundary(LINE_MAX - 1));
    }
    line.push('\n');
    log.write_line(level, line.as_bytes());
}

thread_local! {
    /// Kept from line to line for their memory.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    static LINE_REST: RefCell<String> = const { RefCell::new(String::new()) };
    static TID: Cell<i32> = Cell::new(tid());
}
