//! Dates of HTTP: `ngx.http_time`, `ngx.cookie_time`, `ngx.parse_http_time`.

use std::rc::Rc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::ffi::{Call, Kind, Raise, Reply, Value, function, values};
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    ngx.set("http_time", raw.create_function(function(http_time))?)?;
    ngx.set("cookie_time", raw.create_function(function(cookie_time))?)?;
    ngx.set(
        "parse_http_time",
        raw.create_function(function(parse_http_time))?,
    )
}

/// `ngx.http_time(sec)`: `Thu, 18 Nov 2010 11:27:35 GMT`.
fn http_time(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let text = ngx_core::time::http_date_of(seconds(call)?);
    Ok(one(text.as_str().to_owned()))
}

/// `ngx.cookie_time(sec)`: `Thu, 18-Nov-10 11:27:35 GMT`.
fn cookie_time(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let text = ngx_core::time::http_date_of(seconds(call)?);
    Ok(one(cookie_date(&text)))
}

/// `ngx.parse_http_time(str)`: seconds, or nil.
fn parse_http_time(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.kind(1) != Kind::String {
        return Err("string argument only".into());
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let parsed = parse(&call.want_text(1)?).map(|seconds| seconds as f64);
    Ok(one(parsed.map_or(Value::Nil, Value::Number)))
}

fn seconds(call: &Call<'_>) -> Result<i64, Raise> {
    if call.kind(1) != Kind::Number {
        return Err("number argument only".into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "cut as C cuts it")]
    let seconds = call.want_number(1)? as i64;
    Ok(seconds.max(0))
}

/// Of a date of HTTP. After 2037 all four digits of the year are written, for the short form is
/// taken for the past by some.
fn cookie_date(http: &str) -> String {
    let mut words = http.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (weekday, day, month, year, clock) = (next(), next(), next(), next(), next());
    let long = year > "2037";
    let year = if long {
        year
    } else {
        year.get(2..).unwrap_or(year)
    };
    format!("{weekday} {day}-{month}-{year} {clock} GMT")
}

/// The three forms of RFC 9110 §5.6.7, and that of cookies. What names the day of the week is not
/// looked at.
fn parse(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (date, clock) = match text.split_once(',') {
        Some((_, rest)) => {
            let rest = rest.trim_start_matches(' ');
            if rest.as_bytes().get(2) == Some(&b'-') {
                short_date(rest)?
            } else {
                long_date(rest)?
            }
        }
        None => asctime(text)?,
    };
    let (year, month, day) = date;
    let (hour, minute, second) = clock;
    let civil = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let instant: Timestamp = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(instant.as_second())
}

type Parts = ((i16, i8, i8), (i8, i8, i8));

/// `18 Nov 2010 11:27:35 GMT`
fn long_date(text: &str) -> Option<Parts> {
    let mut words = text.splitn(5, ' ');
    let day = digits(words.next()?, 2)?;
    let month = month(words.next()?)?;
    let year = digits(words.next()?, 4)?;
    Some((
        (year, month, i8::try_from(day).ok()?),
        clock(words.next()?)?,
    ))
}

/// `18-Nov-10 11:27:35 GMT`
fn short_date(text: &str) -> Option<Parts> {
    let mut words = text.splitn(3, ' ');
    let mut date = words.next()?.splitn(3, '-');
    let day = digits(date.next()?, 2)?;
    let month = month(date.next()?)?;
    let year = digits(date.next()?, 2)?;
    let year = year + if year < 70 { 2000 } else { 1900 };
    Some((
        (year, month, i8::try_from(day).ok()?),
        clock(words.next()?)?,
    ))
}

/// `Thu Nov 18 11:27:35 2010`, the day with a space before it when it is one digit.
fn asctime(text: &str) -> Option<Parts> {
    let rest = text.get(3..)?.trim_start_matches(' ');
    let month = month(rest.get(..3)?)?;
    let rest = rest.get(4..)?;
    let day = digits(
        rest.get(..2)?.trim_start(),
        rest.get(..2)?.trim_start().len(),
    )?;
    let mut words = rest.get(3..)?.splitn(2, ' ');
    let clock = clock(words.next()?)?;
    let year = digits(words.next()?.get(..4)?, 4)?;
    Some(((year, month, i8::try_from(day).ok()?), clock))
}

/// `11:27:35`
fn clock(text: &str) -> Option<(i8, i8, i8)> {
    let mut parts = text.splitn(3, ':');
    let mut next = || i8::try_from(digits(parts.next()?, 2)?).ok();
    Some((next()?, next()?, next()?))
}

fn digits(text: &str, count: usize) -> Option<i16> {
    if count == 0 || text.len() != count || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn month(name: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let at = MONTHS.iter().position(|month| *month == name)?;
    i8::try_from(at + 1).ok()
}

fn one(value: impl Into<Value>) -> Reply {
    Reply::of(values([value.into()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn dates_come_back(seconds in 0i64..250_000_000_000) {
            let http = ngx_core::time::http_date_of(seconds);
            proptest::prop_assert_eq!(parse(http.as_bytes()), Some(seconds), "{}", http);
        }

        #[test]
        fn dates_of_cookies_come_back(seconds in 0i64..2_145_916_799) {
            let cookie = cookie_date(&ngx_core::time::http_date_of(seconds));
            proptest::prop_assert_eq!(parse(cookie.as_bytes()), Some(seconds), "{}", cookie);
        }

        #[test]
        fn any_text_may_be_asked(text in "[A-Za-z]{0,4},? ?[0-9 ]{0,2}[- ]?[A-Za-z]{0,3}.{0,20}") {
            let _ = parse(text.as_bytes());
        }
    }
}
