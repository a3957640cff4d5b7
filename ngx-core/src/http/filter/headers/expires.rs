//! The values of `expires`, and the header lines they make.

use bytes::Bytes;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::conf::values;
use crate::time::{TimeText, http_date_of};

/// What `expires` says. Times are seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expires {
    /// No lines.
    Off,
    /// Expired long ago.
    Epoch,
    /// In ten years.
    Max,
    /// So long after now.
    Access(i64),
    /// So long after the content changed last.
    Modified(i64),
    /// At this second of the local day, today or tomorrow.
    Daily(i64),
}

/// The values of both lines.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct CacheLines {
    pub(super) expires: TimeText,
    pub(super) cache_control: Bytes,
}

impl Expires {
    /// Reads the value of the directive.
    ///
    /// # Errors
    /// What is wrong with it, in nginx's words.
    pub(super) fn parse(text: &[u8], modified: bool) -> Result<Self, &'static str> {
        match text {
            b"epoch" if !modified => return Ok(Self::Epoch),
            b"max" if !modified => return Ok(Self::Max),
            b"off" if !modified => return Ok(Self::Off),
            _ => {}
        }
        let seconds = |text| {
            let seconds = values::seconds(text)
                .map_err(|_| "invalid value")?
                .as_secs();
            i64::try_from(seconds).map_err(|_| "invalid value")
        };
        match text {
            [b'@', ..] if modified => Err("daily time cannot be used with \"modified\" parameter"),
            [b'@', time @ ..] => match seconds(time)? {
                second if second <= DAY => Ok(Self::Daily(second)),
                _ => Err("daily time value must be less than 24 hours"),
            },
            [b'-', time @ ..] => Ok(Self::after(-seconds(time)?, modified)),
            [b'+', time @ ..] | time => Ok(Self::after(seconds(time)?, modified)),
        }
    }

    /// The lines at `now`, in seconds since 1970.
    pub(super) fn lines(self, now: i64, last_modified: Option<i64>) -> Option<CacheLines> {
        let (at, age, negative) = match self {
            Self::Off => return None,
            Self::Epoch => return Some(CacheLines::new(1, NO_CACHE)),
            Self::Max => return Some(CacheLines::new(MAX, TEN_YEARS)),
            Self::Access(0) | Self::Modified(0) => (now, 0, false),
            Self::Daily(second) => {
                let at = next_daily(second, now, &TimeZone::system());
                (at, at.saturating_sub(now), false)
            }
            Self::Modified(time) if last_modified.is_some() => {
                let at = last_modified.unwrap_or(now).saturating_add(time);
                (at, at.saturating_sub(now), time < 0)
            }
            Self::Access(time) | Self::Modified(time) => (now.saturating_add(time), time, time < 0),
        };
        let cache_control = if negative || age < 0 {
            NO_CACHE
        } else {
            Bytes::from(format!("max-age={age}"))
        };
        Some(CacheLines::new(at, cache_control))
    }

    fn after(time: i64, modified: bool) -> Self {
        if modified {
            Self::Modified(time)
        } else {
            Self::Access(time)
        }
    }
}

impl CacheLines {
    fn new(at: i64, cache_control: Bytes) -> Self {
        Self {
            expires: http_date_of(at),
            cache_control,
        }
    }
}

/// The next time the clocks of `zone` show this second of the day.
fn next_daily(second: i64, now: i64, zone: &TimeZone) -> i64 {
    let find = || {
        let today = zone.to_datetime(Timestamp::from_second(now).ok()?).date();
        let on = |day: jiff::civil::Date| {
            let time = day
                .at(0, 0, 0, 0)
                .checked_add(SignedDuration::from_secs(second))
                .ok()?;
            Some(time.to_zoned(zone.clone()).ok()?.timestamp().as_second())
        };
        match on(today)? {
            at if at > now => Some(at),
            _ => on(today.tomorrow().ok()?),
        }
    };
    find().unwrap_or_else(|| now.saturating_add(DAY))
}

const DAY: i64 = 24 * 60 * 60;
/// Thu, 31 Dec 2037 23:55:55 GMT
const MAX: i64 = 2_145_916_555;
const NO_CACHE: Bytes = Bytes::from_static(b"no-cache");
const TEN_YEARS: Bytes = Bytes::from_static(b"max-age=315360000");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_nginx_does() {
        let cases: &[(&str, bool, Result<Expires, &str>)] = &[
            ("30d", false, Ok(Expires::Access(30 * DAY))),
            ("+1h30m", false, Ok(Expires::Access(5400))),
            ("-1", false, Ok(Expires::Access(-1))),
            ("24h", true, Ok(Expires::Modified(DAY))),
            ("@15h30m", false, Ok(Expires::Daily(55_800))),
            ("@24h", false, Ok(Expires::Daily(DAY))),
            ("epoch", false, Ok(Expires::Epoch)),
            ("max", false, Ok(Expires::Max)),
            ("off", false, Ok(Expires::Off)),
            ("off", true, Err("invalid value")),
            ("soon", false, Err("invalid value")),
            ("", false, Err("invalid value")),
            (
                "@25h",
                false,
                Err("daily time value must be less than 24 hours"),
            ),
            (
                "@1h",
                true,
                Err("daily time cannot be used with \"modified\" parameter"),
            ),
        ];
        for (text, modified, want) in cases {
            assert_eq!(
                Expires::parse(text.as_bytes(), *modified),
                *want,
                "{text} {modified}"
            );
        }
    }

    #[test]
    fn lines_follow_the_value() {
        let now = 784_111_777;
        let show = |expires: Expires, last_modified| {
            expires.lines(now, last_modified).map(|lines| {
                let control = String::from_utf8_lossy(&lines.cache_control).into_owned();
                (lines.expires.to_string(), control)
            })
        };
        let want = |date: &str, control: &str| Some((date.to_owned(), control.to_owned()));
        assert_eq!(show(Expires::Off, None), None);
        assert_eq!(
            show(Expires::Epoch, None),
            want("Thu, 01 Jan 1970 00:00:01 GMT", "no-cache")
        );
        assert_eq!(
            show(Expires::Max, None),
            want("Thu, 31 Dec 2037 23:55:55 GMT", "max-age=315360000")
        );
        assert_eq!(
            show(Expires::Access(10), Some(1)),
            want("Sun, 06 Nov 1994 08:49:47 GMT", "max-age=10")
        );
        assert_eq!(
            show(Expires::Access(-7), None),
            want("Sun, 06 Nov 1994 08:49:30 GMT", "no-cache")
        );
        assert_eq!(
            show(Expires::Modified(60), Some(now - 20)),
            want("Sun, 06 Nov 1994 08:50:17 GMT", "max-age=40")
        );
        assert_eq!(
            show(Expires::Modified(10), Some(now - 20)),
            want("Sun, 06 Nov 1994 08:49:27 GMT", "no-cache")
        );
        assert_eq!(
            show(Expires::Modified(10), None),
            want("Sun, 06 Nov 1994 08:49:47 GMT", "max-age=10")
        );
        assert_eq!(
            show(Expires::Modified(0), Some(1)),
            want("Sun, 06 Nov 1994 08:49:37 GMT", "max-age=0")
        );
    }

    #[test]
    fn daily_times_are_today_or_tomorrow() {
        let noon = 784_123_200; // Sun, 06 Nov 1994 12:00:00 GMT
        let utc = TimeZone::UTC;
        assert_eq!(next_daily(13 * 3600, noon, &utc), noon + 3600);
        assert_eq!(next_daily(12 * 3600, noon, &utc), noon + DAY);
        assert_eq!(next_daily(0, noon, &utc), noon + DAY / 2);
        assert_eq!(next_daily(DAY, noon, &utc), noon + DAY / 2);
        let west = TimeZone::fixed(jiff::tz::offset(-5));
        assert_eq!(next_daily(8 * 3600, noon, &west), noon + 3600);
    }
}
