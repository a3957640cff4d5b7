//! The subscriber that turns events into nginx's lines.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};

use rustix::thread::gettid;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Metadata};

use super::level::TARGET_PREFIX;
use super::line::Line;
use super::{ErrorLog, Level, LineFormat, current, sink};

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
        let debugged = scope.as_ref().is_some_and(|scope| scope.is_debugged());
        if !log.wants(level) && !debugged {
            return;
        }
        // Taken, not borrowed: foreign code runs while the line is formatted.
        let mut text = MESSAGE.try_with(RefCell::take).unwrap_or_default();
        text.clear();
        let mut message = Message {
            text: &mut text,
            multiline: false,
        };
        event.record(&mut message);
        let multiline = message.multiline;
        let target = event.metadata().target();
        emit(
            &log,
            debugged,
            &Line {
                level,
                target: (!target.starts_with(TARGET_PREFIX)).then_some(target),
                message: &text,
                multiline,
                scope: scope.as_deref(),
            },
        );
        let _thread_ends = MESSAGE.try_with(|kept| kept.replace(text));
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

/// Writes a line to the log of the process, past `tracing`: for what happens while it handles an
/// event.
pub(super) fn write_plain(level: Level, message: fmt::Arguments<'_>) {
    let line = Line {
        level,
        target: None,
        message: &message.to_string(),
        multiline: false,
        scope: None,
    };
    emit(&sink::default_log(), false, &line);
}

/// Formats a line in the ways that the log's sinks want, and hands it out.
fn emit(log: &ErrorLog, debugged: bool, line: &Line<'_>) {
    for format in [LineFormat::Text, LineFormat::Json] {
        if !log.wants_as(format, line.level, debugged) {
            continue;
        }
        let mut out = LINE.try_with(RefCell::take).unwrap_or_default();
        out.clear();
        match format {
            LineFormat::Text => line.write_text(&mut out),
            LineFormat::Json => line.write_json(&mut out),
        }
        log.write_as(format, (line.level, debugged), out.as_bytes());
        let _thread_ends = LINE.try_with(|kept| kept.replace(out));
    }
}

pub(super) fn thread_id() -> i32 {
    TID.try_with(Cell::get).unwrap_or_default()
}

thread_local! {
    /// Kept from line to line for their memory.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
    static TID: Cell<i32> = Cell::new(tid());
}
