//! One line of the error log, as text and as JSON.

use std::cell::RefCell;
use std::fmt::{self, Display, Write};

use rustix::process::getpid;

use super::subscriber::thread_id;
use super::{Level, LogScope};
use crate::time;

/// How the lines of a log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineFormat {
    /// As nginx writes them.
    #[default]
    Text,
    /// An object in JSON each ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259)), with the fields
    /// `time` (ISO 8601), `level`, `pid`, `tid`, `connection`, `target` (of foreign code),
    /// `message`, and those of the [`LogScope`].
    Json,
}

/// The longest line of text with its line feed, and the longest value in JSON, in bytes; what is
/// longer is cut.
const LINE_MAX: usize = 2048;

/// What a line is made of.
pub(super) struct Line<'a> {
    pub(super) level: Level,
    /// The module, if it is foreign.
    pub(super) target: Option<&'a str>,
    pub(super) message: &'a str,
    /// Whether line breaks in the message stay.
    pub(super) multiline: bool,
    pub(super) scope: Option<&'a dyn LogScope>,
}

impl Line<'_> {
    fn connection(&self) -> Option<u64> {
        self.scope.and_then(LogScope::connection)
    }

    pub(super) fn write_text(&self, out: &mut String) {
        let (pid, tid) = (getpid().as_raw_nonzero(), thread_id());
        let level = self.level;
        let _infallible = write!(out, "{} [{level}] {pid}#{tid}: ", time::log_time());
        if let Some(number) = self.connection() {
            let _infallible = write!(out, "*{number} ");
        }
        if let Some(target) = self.target {
            escape(target, false, out);
            out.push_str(": ");
        }
        escape(self.message, self.multiline, out);
        if let Some(scope) = self.scope {
            let mut context = CONTEXT.try_with(RefCell::take).unwrap_or_default();
            context.clear();
            scope.write_context(&mut context);
            escape(&context, false, out);
            let _thread_ends = CONTEXT.try_with(|kept| kept.replace(context));
        }
        if out.len() >= LINE_MAX {
            out.truncate(out.floor_char_boundary(LINE_MAX - 1));
        }
        out.push('\n');
    }

    pub(super) fn write_json(&self, out: &mut String) {
        let (pid, tid) = (getpid().as_raw_nonzero(), thread_id());
        let (time, level) = (time::iso8601(), self.level);
        let _infallible = write!(
            out,
            "{{\"time\":\"{time}\",\"level\":\"{level}\",\"pid\":{pid},\"tid\":{tid}"
        );
        if let Some(number) = self.connection() {
            let _infallible = write!(out, ",\"connection\":{number}");
        }
        let mut fields = Fields { out };
        if let Some(target) = self.target {
            fields.add("target", target);
        }
        fields.add("message", self.message);
        if let Some(scope) = self.scope {
            scope.write_fields(&mut fields);
        }
        out.push_str("}\n");
    }
}

/// The fields of a line in JSON, which a [`LogScope`] adds to.
#[derive(Debug)]
pub struct Fields<'a> {
    out: &'a mut String,
}

impl Fields<'_> {
    /// Adds a text under a name, which must be one that needs no escapes.
    ///
    /// The value is escaped here; of one that is longer than 2048 bytes the beginning is kept.
    pub fn add(&mut self, name: &str, value: impl Display) {
        let _infallible = write!(self.out, ",\"{name}\":\"");
        let mut escaped = Escaped {
            out: self.out,
            left: LINE_MAX,
        };
        // It ends early when the value is too long.
        let _cut = write!(escaped, "{value}");
        self.out.push('"');
    }
}

/// Writes the inside of a string in JSON.
struct Escaped<'a> {
    out: &'a mut String,
    left: usize,
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(c.len_utf8()).ok_or(fmt::Error)?;
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                c if c.is_control() => write!(self.out, "\\u{:04x}", u32::from(c))?,
                c => self.out.push(c),
            }
        }
        Ok(())
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

thread_local! {
    /// Kept from line to line for its memory.
    static CONTEXT: RefCell<String> = const { RefCell::new(String::new()) };
}
