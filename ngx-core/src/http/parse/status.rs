//! Statuses as nginx words them, and dates.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Makes both functions out of one table.
macro_rules! statuses {
    ($($code:literal $reason:literal)*) => {
        /// Status and reason as they stand in a status line, for the statuses that nginx knows.
        /// Programs match on these, so they are nginx's own words, not those of RFC 9110.
        ///
        /// ```
        /// assert_eq!(ngx_core::http::parse::status_line(504), Some("504 Gateway Time-out"));
        /// assert_eq!(ngx_core::http::parse::status_line(418), None);
        /// ```
        #[must_use]
        pub const fn status_line(code: u16) -> Option<&'static str> {
            Some(match code {
                $($code => concat!($code, " ", $reason),)*
                _ => return None,
            })
        }

        /// The reason alone.
        #[must_use]
        pub const fn reason(code: u16) -> Option<&'static str> {
            Some(match code {
                $($code => $reason,)*
                _ => return None,
            })
        }
    };
}

statuses! {
    100 "Continue"
    101 "Switching Protocols"
    103 "Early Hints"
    200 "OK"
    201 "Created"
    202 "Accepted"
    204 "No Content"
    206 "Partial Content"
    301 "Moved Permanently"
    302 "Moved Temporarily"
    303 "See Other"
    304 "Not Modified"
    307 "Temporary Redirect"
    308 "Permanent Redirect"
    400 "Bad Request"
    401 "Unauthorized"
    402 "Payment Required"
    403 "Forbidden"
    404 "Not Found"
    405 "Not Allowed"
    406 "Not Acceptable"
    407 "Proxy Authentication Required"
    408 "Request Time-out"
    409 "Conflict"
    410 "Gone"
    411 "Length Required"
    412 "Precondition Failed"
    413 "Request Entity Too Large"
    414 "Request-URI Too Large"
    415 "Unsupported Media Type"
    416 "Requested Range Not Satisfiable"
    421 "Misdirected Request"
    429 "Too Many Requests"
    500 "Internal Server Error"
    501 "Not Implemented"
    502 "Bad Gateway"
    503 "Service Temporarily Unavailable"
    504 "Gateway Time-out"
    505 "HTTP Version Not Supported"
    507 "Insufficient Storage"
}

/// A date in the form that every HTTP date has today (RFC 9110 §5.6.7), 29 bytes long.
pub type HttpDate = [u8; 29];

/// Writes a time as an HTTP date; what lies outside of the years 1970 to 9999 is moved to their
/// nearest end.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use ngx_core::http::parse::{format_date, parse_date};
///
/// let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
/// assert_eq!(&format_date(time), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// assert_eq!(parse_date(&format_date(time)), Some(time));
/// ```
#[must_use]
pub fn format_date(time: SystemTime) -> HttpDate {
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    // It fits to the byte, and nothing that writes to a slice fails otherwise.
    let _ = write!(
        &mut date[..],
        "{}",
        httpdate::HttpDate::from(time.clamp(UNIX_EPOCH, last))
    );
    date
}

/// Reads an HTTP date in any of its three forms.
#[must_use]
pub fn parse_date(bytes: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(str::from_utf8(bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_nginx_s() {
        assert_eq!(status_line(302), Some("302 Moved Temporarily"));
        assert_eq!(status_line(405), Some("405 Not Allowed"));
        assert_eq!(
            status_line(503),
            Some("503 Service Temporarily Unavailable")
        );
        assert_eq!(reason(408), Some("Request Time-out"));
        assert_eq!(reason(499), None);
    }

    #[test]
    fn dates_out_of_range_are_clamped() {
        assert_eq!(
            &format_date(UNIX_EPOCH - Duration::from_secs(1)),
            b"Thu, 01 Jan 1970 00:00:00 GMT"
        );
        let far = UNIX_EPOCH + Duration::from_secs(400_000_000_000);
        assert_eq!(&format_date(far), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn all_three_forms_are_read() {
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_date(date.as_bytes()), Some(time), "{date}");
        }
        assert_eq!(parse_date(b"yesterday"), None);
        assert_eq!(parse_date(b"\xff"), None);
    }
}
