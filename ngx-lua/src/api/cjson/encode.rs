//! Lua into JSON.

use super::config::{Config, Invalid};
use super::{EMPTY_ARRAY, Json};
use crate::ffi::{Call, Kind, Walk, number_digits};

/// Tables in tables, whatever the setting says: Lua's stack has room for no more.
const DEEPEST: usize = 2000;

/// Writes the argument at 1.
pub(super) fn encode(call: &Call<'_>, json: &Json) -> Result<Vec<u8>, String> {
    let mut writer = Writer {
        call,
        json,
        out: Vec::new(),
        open: Vec::new(),
    };
    let mut walk = Walk::new(call);
    writer.value(1, &mut walk)?;
    while let Some(level) = writer.open.last() {
        let (is_array, first) = (level.is_array, level.first);
        let Some(entry) = walk.step() else {
            writer.close(is_array);
            continue;
        };
        let mark = writer.out.len();
        writer.begin_entry(first);
        if let Some(key) = entry.key {
            writer.key(key)?;
        }
        let depth = writer.open.len();
        if writer.value(entry.value, &mut walk)? {
            if let Some(level) = writer.open.get_mut(depth - 1) {
                level.first = false;
            }
        } else {
            writer.out.truncate(mark);
        }
    }
    Ok(writer.out)
}

struct Writer<'a, 'c> {
    call: &'a Call<'c>,
    json: &'a Json,
    out: Vec<u8>,
    /// The arrays and objects that are not closed yet.
    open: Vec<Open>,
}

struct Open {
    is_array: bool,
    first: bool,
}

impl Writer<'_, '_> {
    fn config(&self) -> &Config {
        &self.json.config
    }

    /// Writes the value at `at`, or the beginning of a table that is walked then. `false` if it has
    /// to be left out.
    fn value(&mut self, at: usize, walk: &mut Walk<'_, '_>) -> Result<bool, String> {
        let call = self.call;
        match call.kind(at) {
            Kind::String => self.string(&call.text(at).unwrap_or_default()),
            Kind::Number => {
                let number = self.number(at)?;
                self.out.extend_from_slice(number.as_bytes());
            }
            Kind::Boolean if call.boolean(at) => self.out.extend_from_slice(b"true"),
            Kind::Boolean => self.out.extend_from_slice(b"false"),
            Kind::Nil | Kind::None => self.out.extend_from_slice(b"null"),
            Kind::Table => self.table(at, walk)?,
            _ => match call.light(at) {
                Some(0) => self.out.extend_from_slice(b"null"),
                Some(address) if address == (&raw const EMPTY_ARRAY).addr() => {
                    self.out.extend_from_slice(b"[]");
                }
                _ if self.config().skip_unsupported.get() => return Ok(false),
                _ => return Err(self.refuse(at, "type not supported")),
            },
        }
        Ok(true)
    }

    fn table(&mut self, at: usize, walk: &mut Walk<'_, '_>) -> Result<(), String> {
        let depth = self.open.len() + 1;
        let most = usize::try_from(self.config().encode_max_depth.get()).unwrap_or(DEEPEST);
        if depth > most.min(DEEPEST) {
            return Err(format!("Cannot serialise, excessive nesting ({depth})"));
        }
        let len = self.array_len(at)?;
        if !walk.enter(at, len) {
            return Err(format!("Cannot serialise, excessive nesting ({depth})"));
        }
        self.out.push(if len.is_some() { b'[' } else { b'{' });
        self.open.push(Open {
            is_array: len.is_some(),
            first: true,
        });
        Ok(())
    }

    /// The length of a table that is to become an array.
    fn array_len(&self, at: usize) -> Result<Option<usize>, String> {
        let (call, metas) = (self.call, &self.json.metas);
        if call.has_meta(at, metas.array) {
            return Ok(Some(call.len(at)));
        }
        let config = self.config();
        match self.greatest_index(at)? {
            Some(0) if config.empty_as_object.get() => {
                let marked = call.has_meta(at, metas.empty_array);
                Ok(marked.then_some(0))
            }
            None if call.has_meta(at, metas.empty_array) => Ok(Some(call.len(at))),
            found => Ok(found),
        }
    }

    /// The greatest key of a table that has only array keys, unless it is to be an object for all
    /// the keys that it has not.
    fn greatest_index(&self, at: usize) -> Result<Option<usize>, String> {
        let (mut greatest, mut count, mut is_array) = (0.0f64, 0u32, true);
        let walked = self.call.each(at, |key, _| {
            match self.call.number(key) {
                Some(n)
                    if self.call.kind(key) == Kind::Number
                        && n.is_finite()
                        && n >= 1.0
                        && n.floor() == n =>
                {
                    greatest = greatest.max(n);
                    count += 1;
                    Ok(())
                }
                _ => {
                    is_array = false;
                    // Enough is known.
                    Err("".into())
                }
            }
        });
        if !is_array {
            return Ok(None);
        }
        walked.map_err(|_| "Cannot serialise, excessive nesting".to_owned())?;
        let config = self.config();
        let ratio = f64::from(config.sparse_ratio.get());
        let is_sparse = ratio > 0.0
            && greatest > f64::from(count) * ratio
            && greatest > f64::from(config.sparse_safe.get());
        if is_sparse || greatest > f64::from(i32::MAX) {
            if config.sparse_convert.get() {
                return Ok(None);
            }
            return Err(self.refuse(at, "excessively sparse array"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and within range"
        )]
        let greatest = greatest as usize;
        Ok(Some(greatest))
    }

    fn begin_entry(&mut self, first: bool) {
        if !first {
            self.out.push(b',');
        }
        self.new_line(self.open.len());
    }

    fn key(&mut self, at: usize) -> Result<(), String> {
        let call = self.call;
        match call.kind(at) {
            Kind::Number => {
                let number = self.number(at)?;
                self.out
                    .extend_from_slice(format!("\"{number}\":").as_bytes());
            }
            Kind::String => {
                self.string(&call.text(at).unwrap_or_default());
                self.out.push(b':');
            }
            _ => return Err(self.refuse(at, "table key must be a number or string")),
        }
        if !self.config().indent.borrow().is_empty() {
            self.out.push(b' ');
        }
        Ok(())
    }

    fn close(&mut self, is_array: bool) {
        let level = self.open.pop();
        if level.is_some_and(|level| !level.first) {
            self.new_line(self.open.len());
        }
        self.out.push(if is_array { b']' } else { b'}' });
    }

    fn new_line(&mut self, depth: usize) {
        let indent = self.json.config.indent.borrow();
        if !indent.is_empty() {
            self.out.push(b'\n');
            for _ in 0..depth {
                self.out.extend_from_slice(&indent);
            }
        }
    }

    fn number(&self, at: usize) -> Result<String, String> {
        let number = self.call.number(at).unwrap_or_default();
        let config = self.config();
        if number.is_finite() {
            let digits = u8::try_from(config.precision.get()).unwrap_or(14);
            return Ok(number_digits(number, digits));
        }
        Ok(match config.encode_invalid.get() {
            Invalid::Refuse => return Err(self.refuse(at, "must not be NaN or Infinity")),
            Invalid::Null => "null",
            Invalid::Write if number.is_nan() => "NaN",
            Invalid::Write if number < 0.0 => "-Infinity",
            Invalid::Write => "Infinity",
        }
        .to_owned())
    }

    fn string(&mut self, text: &[u8]) {
        let slash = self.config().escape_slash.get();
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        for byte in text {
            let short = match byte {
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0c => b'f',
                b'\r' => b'r',
                b'"' | b'\\' => *byte,
                b'/' if slash => b'/',
                0..0x20 | 0x7f => {
                    self.out
                        .extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    continue;
                }
                _ => {
                    self.out.push(*byte);
                    continue;
                }
            };
            self.out.extend_from_slice(&[b'\\', short]);
        }
        self.out.push(b'"');
    }

    fn refuse(&self, at: usize, why: &str) -> String {
        let kind = self.call.type_name(at);
        format!("Cannot serialise {kind}: {why}")
    }
}
