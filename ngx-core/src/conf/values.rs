//! Sizes, times, numbers and choices as nginx writes them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostics::Problem;
use super::directive::Args;
use super::lexer::Word;

/// Why a text is not a value of its kind. `Display` says what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a size.
    #[error("a size is a number of bytes with an optional unit \"k\" or \"m\", such as \"8k\"")]
    Size,
    /// Not an offset.
    #[error(
        "a size is a number of bytes with an optional unit \"k\", \"m\" or \"g\", such as \"1m\""
    )]
    Offset,
    /// Not a time.
    #[error(
        "a time is made of numbers with the units \"y\", \"M\", \"w\", \"d\", \"h\", \"m\", \"s\" \
         in this order, such as \"1h30m\""
    )]
    Seconds,
    /// Not a time, where milliseconds count.
    #[error(
        "a time is made of numbers with the units \"w\", \"d\", \"h\", \"m\", \"s\", \"ms\" in \
         this order, such as \"1m30s\" or \"500ms\""
    )]
    Millis,
    /// Not a number.
    #[error("a number is made of digits alone")]
    Number,
    /// No buffers.
    #[error("a number of buffers and their size, such as \"4 8k\", neither of them 0")]
    Buffers,
    /// Too large to be stored.
    #[error("the value is too large")]
    Overflow,
}

/// A number of bytes with an optional unit `k` or `m`.
///
/// # Errors
///
/// [`ValueError::Size`], [`ValueError::Overflow`].
pub fn size(text: &[u8]) -> Result<usize, ValueError> {
    let (digits, scale) = match text {
        [digits @ .., b'k' | b'K'] => (digits, 1 << 10),
        [digits @ .., b'm' | b'M'] => (digits, 1 << 20),
        digits => (digits, 1),
    };
    let bytes = scaled(digits, scale, ValueError::Size)?;
    usize::try_from(bytes).map_err(|_| ValueError::Overflow)
}

/// A number of bytes with an optional unit `k`, `m` or `g`, for what may exceed memory.
///
/// # Errors
///
/// [`ValueError::Offset`], [`ValueError::Overflow`].
pub fn offset(text: &[u8]) -> Result<u64, ValueError> {
    let (digits, scale) = match text {
        [digits @ .., b'k' | b'K'] => (digits, 1 << 10),
        [digits @ .., b'm' | b'M'] => (digits, 1 << 20),
        [digits @ .., b'g' | b'G'] => (digits, 1 << 30),
        digits => (digits, 1),
    };
    scaled(digits, scale, ValueError::Offset)
}

/// A number without sign and unit.
///
/// # Errors
///
/// [`ValueError::Number`], [`ValueError::Overflow`].
pub fn number(text: &[u8]) -> Result<u64, ValueError> {
    scaled(text, 1, ValueError::Number)
}

/// A time in which a plain number means seconds; `ms` is a unit, years and months are not.
///
/// ```
/// use std::time::Duration;
/// use ngx_core::conf::values;
///
/// assert_eq!(values::time(b"1m30s"), Ok(Duration::from_secs(90)));
/// assert_eq!(values::time(b"500ms"), Ok(Duration::from_millis(500)));
/// ```
///
/// # Errors
///
/// [`ValueError::Millis`], [`ValueError::Overflow`].
pub fn time(text: &[u8]) -> Result<Duration, ValueError> {
    units(text, MILLIS, ValueError::Millis).map(Duration::from_millis)
}

/// A time in whole seconds, for those that are told to others: years and months are units, `ms`
/// is not.
///
/// # Errors
///
/// [`ValueError::Seconds`], [`ValueError::Overflow`].
pub fn seconds(text: &[u8]) -> Result<Duration, ValueError> {
    units(text, SECONDS, ValueError::Seconds).map(Duration::from_secs)
}

/// `on` or `off`, in any case.
#[must_use]
pub fn flag(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"on") {
        Some(true)
    } else if text.eq_ignore_ascii_case(b"off") {
        Some(false)
    } else {
        None
    }
}

/// Arguments as values. All errors are nginx's, with advice added.
impl Args<'_> {
    /// Argument `i` as [`size`].
    ///
    /// # Errors
    ///
    /// `"NAME" directive invalid value`.
    pub fn size(&self, i: usize) -> Result<usize, Problem> {
        self.value(i, size)
    }

    /// Argument `i` as [`size`], for what is counted in 64 bits.
    ///
    /// # Errors
    ///
    /// `"NAME" directive invalid value`.
    pub fn bytes(&self, i: usize) -> Result<u64, Problem> {
        self.value(i, |text| size(text).map(|bytes| bytes as u64))
    }

    /// Argument `i` as [`offset`].
    ///
    /// # Errors
    ///
    /// `"NAME" directive invalid value`.
    pub fn offset(&self, i: usize) -> Result<u64, Problem> {
        self.value(i, offset)
    }

    /// Arguments `i` and `i + 1` as number and size of buffers, neither of them 0.
    ///
    /// # Errors
    ///
    /// `"NAME" directive invalid value`.
    pub fn buffers(&self, i: usize) -> Result<(usize, usize), Problem> {
        let full = |i: usize, error: ValueError| {
            Problem::of_directive(self.arg(i).span(), "invalid value").with_help(error.to_string())
        };
        let number = match number(self.arg(i).as_bytes()).map(usize::try_from) {
            Ok(Ok(number)) if number > 0 => number,
            _ => return Err(full(i, ValueError::Buffers)),
        };
        match self.size(i + 1)? {
            0 => Err(full(i + 1, ValueError::Buffers)),
            size => Ok((number, size)),
        }
    }

    /// Argument `i` as [`time`].
    ///
    /// # Errors
    ///
    /// `"NAME" directive invalid value`.
    pub fn time(&self, i: usize) -> Result<Duration, Problem> {
        self.value(i, time)
    }

    /// Argument `i` as [`seconds`].
    ///
    /// # Errors
    ///
    /// `"NAME" directive invalid value`.
    pub fn seconds(&self, i: usize) -> Result<Duration, Problem> {
        self.value(i, seconds)
    }

    /// Argument `i` as [`number`].
    ///
    /// # Errors
    ///
    /// `"NAME" directive invalid number`.
    pub fn number(&self, i: usize) -> Result<u64, Problem> {
        let word = self.arg(i);
        number(word.as_bytes()).map_err(|error| {
            Problem::of_directive(word.span(), "invalid number").with_help(error.to_string())
        })
    }

    /// Argument `i` as a number within `bounds`.
    ///
    /// # Errors
    ///
    /// `"NAME" directive invalid number`, `value must be between A and B`.
    pub fn number_in(&self, i: usize, bounds: RangeInclusive<u64>) -> Result<u64, Problem> {
        let value = self.number(i)?;
        if bounds.contains(&value) {
            return Ok(value);
        }
        let (low, high) = bounds.into_inner();
        Err(self.problem_at(
            i,
            if high == u64::MAX {
                format!("value must be equal to or greater than {low}")
            } else {
                format!("value must be between {low} and {high}")
            },
        ))
    }

    /// Argument `i` as [`flag`].
    ///
    /// # Errors
    ///
    /// `invalid value "X" in "NAME" directive, it must be "on" or "off"`.
    pub fn flag(&self, i: usize) -> Result<bool, Problem> {
        let word = self.arg(i);
        flag(word.as_bytes()).ok_or_else(|| {
            let name = self.name();
            self.problem_at(
                i,
                format!(
                    "invalid value \"{word}\" in \"{name}\" directive, it must be \"on\" or \
                     \"off\""
                ),
            )
        })
    }

    /// Argument `i` as one of `choices`, in any case.
    ///
    /// # Errors
    ///
    /// `invalid value "X"`.
    pub fn choice<T: Copy>(&self, i: usize, choices: &[(&str, T)]) -> Result<T, Problem> {
        pick(self.arg(i), choices)
    }

    /// The arguments from `first` on as a sum of `choices`, starting from `none`; `join` adds one.
    /// The problems beside the value are warnings, for values given twice.
    ///
    /// # Errors
    ///
    /// `invalid value "X"`.
    pub fn bits<T: Copy + PartialEq>(
        &self,
        first: usize,
        choices: &[(&str, T)],
        none: T,
        join: fn(T, T) -> T,
    ) -> Result<(T, Vec<Problem>), Problem> {
        let mut bits = none;
        let mut warnings = Vec::new();
        for word in self.values().iter().skip(first) {
            let bit = pick(word, choices)?;
            if bit != none && join(bits, bit) == bits {
                let message = format!("duplicate value \"{word}\"");
                warnings.push(Problem::warn(word.span(), message));
            }
            bits = join(bits, bit);
        }
        Ok((bits, warnings))
    }

    fn value<T>(&self, i: usize, read: fn(&[u8]) -> Result<T, ValueError>) -> Result<T, Problem> {
        let word = self.arg(i);
        read(word.as_bytes()).map_err(|error| {
            let help = match meant(word.as_str(), read) {
                Some(meant) => format!("did you mean \"{meant}\"? {error}"),
                None => error.to_string(),
            };
            Problem::of_directive(word.span(), "invalid value").with_help(help)
        })
    }
}

/// The value that a text with a wrong unit stands for: `10MB` is `10m`, `5 min` is `5m`.
fn meant<T>(text: &str, read: fn(&[u8]) -> Result<T, ValueError>) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (unit, digits) = (unit.trim(), digits.trim());
    let short = match unit {
        "kb" | "kib" | "ko" => "k",
        "mb" | "mib" | "mo" => "m",
        "gb" | "gib" | "go" => "g",
        "b" | "byte" | "bytes" => "",
        "msec" | "msecs" | "millis" | "milliseconds" => "ms",
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" | "hr" | "hrs" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "w",
        "month" | "months" => "M",
        "year" | "years" => "y",
        unit => unit,
    };
    let value = format!("{digits}{short}");
    (!digits.is_empty() && read(value.as_bytes()).is_ok()).then_some(value)
}

fn pick<T: Copy>(word: &Word, choices: &[(&str, T)]) -> Result<T, Problem> {
    let found = choices
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word.as_str()));
    found.map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<_> = choices
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        Problem::new(word.span(), format!("invalid value \"{word}\""))
            .with_help(format!("it must be one of {}", names.join(", ")))
    })
}

fn scaled(digits: &[u8], scale: u64, error: ValueError) -> Result<u64, ValueError> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(error);
    }
    digits
        .iter()
        .try_fold(0_u64, |value, digit| {
            value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .and_then(|value| value.checked_mul(scale))
        .filter(|&value| i64::try_from(value).is_ok())
        .ok_or(ValueError::Overflow)
}

/// A unit of time; those of one value come in the order of their table.
type Unit = (&'static [u8], u64);

/// In milliseconds.
const MILLIS: &[Unit] = &[
    (b"w", 1000 * WEEK),
    (b"d", 1000 * DAY),
    (b"h", 1000 * HOUR),
    (b"m", 1000 * MINUTE),
    (SECOND, 1000),
    (b"ms", 1),
];
/// In seconds.
const SECONDS: &[Unit] = &[
    (b"y", 365 * DAY),
    (b"M", 30 * DAY),
    (b"w", WEEK),
    (b"d", DAY),
    (b"h", HOUR),
    (b"m", MINUTE),
    (SECOND, 1),
];
const WEEK: u64 = 7 * DAY;
const DAY: u64 = 24 * HOUR;
const HOUR: u64 = 60 * MINUTE;
const MINUTE: u64 = 60;
const SECOND: &[u8] = b"s";

/// The sum of a sequence such as `1h 30m`, in the unit of the table's numbers. A number without a
/// unit counts seconds: the last one, and one with a space behind it. As in nginx a unit may lack
/// its number if there is one somewhere.
fn units(text: &[u8], table: &[Unit], error: ValueError) -> Result<u64, ValueError> {
    let second = table.iter().find(|(name, _)| *name == SECOND);
    let second = second.map_or(1, |&(_, scale)| scale);
    if !text.iter().any(u8::is_ascii_digit) {
        return Err(error);
    }
    let mut rest = text;
    let mut later = table;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (digits, tail) = split(rest, u8::is_ascii_digit);
        let (scale, tail) = match tail {
            [] => (second, tail),
            [b' ', tail @ ..] if later.iter().any(|(name, _)| *name == SECOND) => {
                later = &[];
                (second, tail)
            }
            _ => {
                let len = if tail.starts_with(b"ms") { 2 } else { 1 };
                let (name, tail) = tail.split_at(len);
                let place = later.iter().position(|(unit, _)| *unit == name);
                let (passed, others) = later.split_at(place.ok_or(error)? + 1);
                later = others;
                (passed.last().map_or(1, |&(_, scale)| scale), tail)
            }
        };
        let value = match digits {
            [] => 0,
            digits => scaled(digits, scale, error)?,
        };
        total = total.checked_add(value).ok_or(ValueError::Overflow)?;
        rest = tail.trim_ascii_start();
    }
    if i64::try_from(total).is_err() {
        return Err(ValueError::Overflow);
    }
    Ok(total)
}

fn split(text: &[u8], belongs: fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let len = text.iter().take_while(|&ch| belongs(ch)).count();
    text.split_at(len)
}

#[cfg(test)]
mod tests;
