//! Panics in the error log.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::panic::{self, PanicHookInfo};

/// Logs panics at `alert`, with their place and a backtrace, instead of printing them.
///
/// A panic ends a task or a thread, never the process; the log is where somebody looks for it.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(report));
}

fn report(info: &PanicHookInfo<'_>) {
    // Logging itself may panic; once is enough.
    if REPORTING.replace(true) {
        return;
    }
    let payload = info.payload_as_str().unwrap_or("a value that is no text");
    let place = info
        .location()
        .map_or_else(String::new, |place| format!(" at {place}"));
    crate::alert!("panic: {payload}{place}");
    let backtrace = Backtrace::force_capture().to_string();
    let mut part = String::new();
    for line in backtrace.lines() {
        if part.len() + line.len() > PART && !part.is_empty() {
            crate::alert!(multiline = true, "backtrace:{part}");
            part.clear();
        }
        part.push('\n');
        part.push_str(line);
    }
    crate::alert!(multiline = true, "backtrace:{part}");
    REPORTING.set(false);
}

/// A line of the log ends at 2048 bytes; a backtrace is longer.
const PART: usize = 1800;

thread_local! {
    static REPORTING: Cell<bool> = const { Cell::new(false) };
}
