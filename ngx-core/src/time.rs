//! Coarse clocks, and times as text.
//!
//! The clocks are those which the kernel advances at its own tick (1 to 10 ms): reading one costs
//! a few nanoseconds. A thread that is busy with one thing at a time can [`hold`] them still, then
//! they cost nothing. The texts are kept per thread and made anew only when the second changes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Write as _;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use rustix::time::{ClockId, clock_gettime};

/// Milliseconds on a clock that never goes back; its zero means nothing.
#[must_use]
pub fn now_ms() -> u64 {
    HELD.with(Held::monotonic)
}

/// Milliseconds since 1970-01-01 00:00 UTC.
#[must_use]
#[inline]
pub fn unix_ms() -> u64 {
    HELD.with(Held::real)
}

/// Seconds since 1970-01-01 00:00 UTC.
#[must_use]
pub fn unix_seconds() -> i64 {
    i64::try_from(unix_ms() / 1000).unwrap_or(i64::MAX)
}

/// Keeps the clocks of this thread still until the guard is dropped: each is read at most once.
///
/// For one turn of an event loop, as nginx does: not across anything that waits. Inner guards
/// change nothing.
///
/// ```
/// use ngx_core::time;
///
/// let _still = time::hold();
/// let before = time::now_ms();
/// std::thread::sleep(std::time::Duration::from_millis(20));
/// assert_eq!(time::now_ms(), before);
/// time::refresh();
/// assert!(time::now_ms() > before);
/// ```
pub fn hold() -> Hold {
    HELD.with(|held| held.depth.set(held.depth.get() + 1));
    Hold(PhantomData)
}

/// Lets held clocks go on to the present (`ngx.update_time`).
pub fn refresh() {
    HELD.with(Held::forget);
}

/// The guard that [`hold`] returns.
#[derive(Debug)]
#[must_use = "the clocks go on when the guard is dropped"]
pub struct Hold(PhantomData<*const ()>);

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.with(|held| {
            held.depth.set(held.depth.get() - 1);
            if held.depth.get() == 0 {
                held.forget();
            }
        });
    }
}

/// What the clocks of a thread said when they were last read, in milliseconds.
struct Held {
    depth: Cell<u32>,
    /// Since the clocks were held; 0 if they were not read yet.
    monotonic: Cell<u64>,
    /// The two clocks move at the same ticks: this one is read anew when the other has moved.
    real: Cell<u64>,
    /// What the other said then.
    real_at: Cell<u64>,
}

impl Held {
    #[inline]
    fn monotonic(&self) -> u64 {
        match self.monotonic.get() {
            0 => self.read_monotonic(),
            known => known,
        }
    }

    fn read_monotonic(&self) -> u64 {
        let now = millis(ClockId::MonotonicCoarse);
        if self.depth.get() > 0 {
            self.monotonic.set(now);
        }
        now
    }

    #[inline]
    fn real(&self) -> u64 {
        if self.depth.get() == 0 {
            return millis(ClockId::RealtimeCoarse);
        }
        let at = self.monotonic();
        if self.real_at.replace(at) != at {
            self.real.set(millis(ClockId::RealtimeCoarse));
        }
        self.real.get()
    }

    fn forget(&self) {
        self.monotonic.set(0);
    }
}

/// The current time as HTTP writes it ([RFC 9110 §5.6.7]): `Sat, 21 Nov 2026 02:00:33 GMT`.
///
/// [RFC 9110 §5.6.7]: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
#[must_use]
pub fn http_date() -> TimeText {
    cached(|texts| texts.http)
}

/// Hands the current [`http_date`] to `f` without copying it.
pub fn with_http_date<R>(f: impl FnOnce(&str) -> R) -> R {
    let text = http_date();
    f(&text)
}

/// The current local time as the error log writes it: `2026/11/21 02:00:33`.
#[must_use]
pub fn log_time() -> TimeText {
    cached(|texts| texts.log)
}

/// The current local time as the access log writes it (`$time_local`):
/// `21/Nov/2026:02:00:33 +0000`.
#[must_use]
pub fn access_time() -> TimeText {
    cached(|texts| texts.access)
}

/// The current local time in ISO 8601 (`$time_iso8601`): `2026-11-21T02:00:33+00:00`.
#[must_use]
pub fn iso8601() -> TimeText {
    cached(|texts| texts.iso)
}

/// The current local time as syslog has it ([RFC 3164 §4.1.2]): `Nov 21 02:00:33`, `Nov  1 ...`.
///
/// [RFC 3164 §4.1.2]: https://www.rfc-editor.org/rfc/rfc3164#section-4.1.2
#[must_use]
pub fn syslog_time() -> TimeText {
    cached(|texts| texts.syslog)
}

/// Any second since 1970 as HTTP writes it.
///
/// Seconds that no calendar of four-digit years has are moved to the nearest that one has.
///
/// ```
/// let text = ngx_core::time::http_date_of(784_111_777);
/// assert_eq!(text.as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[must_use]
pub fn http_date_of(unix_seconds: i64) -> TimeText {
    // One for each file that is sent: formatting it by `fmt` would cost more than sending it.
    let time = Offset::UTC.to_datetime(timestamp(unix_seconds));
    let weekday = usize::from(time.weekday().to_monday_zero_offset().unsigned_abs());
    let [w0, w1, w2] = *WEEKDAYS[weekday % 7];
    let [m0, m1, m2] = *month(time).as_bytes().first_chunk().unwrap_or(b"Jan");
    let [d0, d1] = two_digits(time.day().unsigned_abs());
    let year = time.year().unsigned_abs();
    let [y0, y1] = two_digits((year / 100) as u8);
    let [y2, y3] = two_digits((year % 100) as u8);
    let [h0, h1] = two_digits(time.hour().unsigned_abs());
    let [n0, n1] = two_digits(time.minute().unsigned_abs());
    let [s0, s1] = two_digits(time.second().unsigned_abs());
    let bytes = [
        w0, w1, w2, b',', b' ', d0, d1, b' ', m0, m1, m2, b' ', y0, y1, y2, y3, b' ', h0, h1, b':',
        n0, n1, b':', s0, s1, b' ', b'G', b'M', b'T', 0, 0,
    ];
    TimeText { len: 29, bytes }
}

/// A number below 100 in decimal digits.
fn two_digits(value: u8) -> [u8; 2] {
    [b'0' + value / 10 % 10, b'0' + value % 10]
}

/// A short text, kept in place: a copy costs no allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TimeText {
    len: u8,
    bytes: [u8; 31],
}

impl TimeText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only `format` makes values, from ASCII.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The text's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn format(args: fmt::Arguments<'_>) -> Self {
        let mut bytes = [0; 31];
        let mut rest = bytes.as_mut_slice();
        // What does not fit is cut; the longest form has 29 bytes.
        let _cut = rest.write_fmt(args);
        let left = rest.len();
        let len = u8::try_from(bytes.len().saturating_sub(left)).unwrap_or(0);
        Self { len, bytes }
    }
}

impl Deref for TimeText {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for TimeText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for TimeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for TimeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The texts of one second.
struct Texts {
    second: i64,
    http: TimeText,
    log: TimeText,
    access: TimeText,
    iso: TimeText,
    syslog: TimeText,
}

impl Texts {
    fn at(second: i64) -> Self {
        Self::in_zone(second, &ZONE)
    }

    fn in_zone(second: i64, zone: &TimeZone) -> Self {
        let instant = timestamp(second);
        let offset = zone.to_offset(instant);
        let time = offset.to_datetime(instant);
        let minutes = offset.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
        let (year, day) = (time.year(), time.day());
        let clock = TimeText::format(format_args!(
            "{:02}:{:02}:{:02}",
            time.hour(),
            time.minute(),
            time.second()
        ));
        Self {
            second,
            http: http_date_of(second),
            log: TimeText::format(format_args!(
                "{year:04}/{:02}/{day:02} {clock}",
                time.month()
            )),
            access: TimeText::format(format_args!(
                "{day:02}/{}/{year:04}:{clock} {sign}{hours:02}{minutes:02}",
                month(time)
            )),
            iso: TimeText::format(format_args!(
                "{year:04}-{:02}-{day:02}T{clock}{sign}{hours:02}:{minutes:02}",
                time.month()
            )),
            syslog: TimeText::format(format_args!("{} {day:2} {clock}", month(time))),
        }
    }
}

fn cached(pick: impl Fn(&Texts) -> TimeText) -> TimeText {
    let second = unix_seconds();
    let from_cache = TEXTS.try_with(|texts| {
        let mut texts = texts.borrow_mut();
        match &*texts {
            Some(current) if current.second == second => pick(current),
            _ => pick(texts.insert(Texts::at(second))),
        }
    });
    // A thread that is ending may log still.
    from_cache.unwrap_or_else(|_| pick(&Texts::at(second)))
}

fn millis(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// The instant of a second, within the years 0 to 9999.
fn timestamp(unix_seconds: i64) -> Timestamp {
    const YEAR_0: i64 = -62_167_219_200;
    let max = Timestamp::MAX.as_second();
    Timestamp::from_second(unix_seconds.clamp(YEAR_0, max)).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn month(time: DateTime) -> &'static str {
    MONTHS[usize::from(time.month().unsigned_abs()).wrapping_sub(1) % 12]
}

const WEEKDAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The local zone: from `TZ`, or from /etc/localtime; read once, as the C library does.
static ZONE: LazyLock<TimeZone> = LazyLock::new(TimeZone::system);

thread_local! {
    static HELD: Held = const {
        Held {
            depth: Cell::new(0),
            monotonic: Cell::new(0),
            real: Cell::new(0),
            real_at: Cell::new(0),
        }
    };
    static TEXTS: RefCell<Option<Texts>> = const { RefCell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(hours: i8) -> TimeZone {
        TimeZone::fixed(Offset::from_hours(hours).unwrap())
    }

    #[test]
    fn forms_of_one_second() {
        let texts = Texts::in_zone(1_795_226_433, &TimeZone::UTC);
        assert_eq!(texts.http.as_str(), "Sat, 21 Nov 2026 02:00:33 GMT");
        assert_eq!(texts.log.as_str(), "2026/11/21 02:00:33");
        assert_eq!(texts.access.as_str(), "21/Nov/2026:02:00:33 +0000");
        assert_eq!(texts.iso.as_str(), "2026-11-21T02:00:33+00:00");
        assert_eq!(texts.syslog.as_str(), "Nov 21 02:00:33");
        let early = Texts::in_zone(0, &TimeZone::UTC);
        assert_eq!(early.syslog.as_str(), "Jan  1 00:00:00");
    }

    #[test]
    fn zones_move_the_local_forms_only() {
        let texts = Texts::in_zone(1_795_226_433, &zone(-5));
        assert_eq!(texts.http.as_str(), "Sat, 21 Nov 2026 02:00:33 GMT");
        assert_eq!(texts.log.as_str(), "2026/11/20 21:00:33");
        assert_eq!(texts.access.as_str(), "20/Nov/2026:21:00:33 -0500");
        assert_eq!(texts.iso.as_str(), "2026-11-20T21:00:33-05:00");
    }

    #[test]
    fn half_hours_west_keep_their_sign() {
        let offset = Offset::from_seconds(-(30 * 60)).unwrap();
        let texts = Texts::in_zone(0, &TimeZone::fixed(offset));
        assert_eq!(texts.access.as_str(), "31/Dec/1969:23:30:00 -0030");
    }

    #[test]
    fn extremes_stay_in_the_calendar() {
        assert_eq!(http_date_of(0).as_str(), "Thu, 01 Jan 1970 00:00:00 GMT");
        let early = "Sat, 01 Jan 0000 00:00:00 GMT";
        assert_eq!(http_date_of(i64::MIN).as_str(), early);
        assert_eq!(
            http_date_of(253_402_207_200).as_str(),
            "Thu, 30 Dec 9999 22:00:00 GMT"
        );
        assert_eq!(http_date_of(i64::MAX).len(), 29);
        assert_eq!(http_date_of(i64::MIN).len(), 29);
    }

    #[test]
    fn current_texts_agree_with_the_clock() {
        let before = unix_seconds();
        let text = http_date();
        let after = unix_seconds();
        assert!((before..=after).any(|second| http_date_of(second) == text));
        assert!(unix_ms() / 1000 >= before.unsigned_abs());
        with_http_date(|date| assert_eq!(date.len(), 29));
    }

    #[test]
    fn the_monotonic_clock_moves_on() {
        let before = now_ms();
        std::thread::sleep(std::time::Duration::from_millis(30));
        let passed = now_ms() - before;
        assert!((20..10_000).contains(&passed), "{passed} ms");
    }
}
