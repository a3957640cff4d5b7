//! Whether a failed try is followed by another one (`proxy_next_upstream`).

use std::ops::{BitOr, BitOrAssign};
use std::time::Duration;

use crate::error::{Error, ErrorKind, ProtocolError};

/// A set of conditions under which the next peer is asked: the words of `proxy_next_upstream`.
///
/// ```
/// use ngx_upstream::retry::Conditions;
///
/// let set = Conditions::from_word("error").unwrap() | Conditions::from_word("http_503").unwrap();
/// assert!(set.contains(Conditions::HTTP_503) && !set.contains(Conditions::TIMEOUT));
/// assert_eq!(Conditions::from_word("http_418"), None);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Conditions(u16);

impl Conditions {
    /// The connection failed or broke.
    pub const ERROR: Self = Self(1);
    /// A timeout expired.
    pub const TIMEOUT: Self = Self(1 << 1);
    /// The response is empty or invalid.
    pub const INVALID_HEADER: Self = Self(1 << 2);
    /// The response says 500.
    pub const HTTP_500: Self = Self(1 << 3);
    /// The response says 502.
    pub const HTTP_502: Self = Self(1 << 4);
    /// The response says 503.
    pub const HTTP_503: Self = Self(1 << 5);
    /// The response says 504.
    pub const HTTP_504: Self = Self(1 << 6);
    /// The response says 403.
    pub const HTTP_403: Self = Self(1 << 7);
    /// The response says 404. Protocols without HTTP call it `not_found`.
    pub const HTTP_404: Self = Self(1 << 8);
    /// The response says 429.
    pub const HTTP_429: Self = Self(1 << 9);
    /// Requests that must not be repeated are repeated all the same.
    pub const NON_IDEMPOTENT: Self = Self(1 << 10);
    /// `off`: no second try, whatever happens.
    pub const OFF: Self = Self(1 << 15);

    const WORDS: [(&'static str, Self); 13] = [
        ("error", Self::ERROR),
        ("timeout", Self::TIMEOUT),
        ("invalid_header", Self::INVALID_HEADER),
        ("invalid_response", Self::INVALID_HEADER),
        ("http_500", Self::HTTP_500),
        ("http_502", Self::HTTP_502),
        ("http_503", Self::HTTP_503),
        ("http_504", Self::HTTP_504),
        ("http_403", Self::HTTP_403),
        ("http_404", Self::HTTP_404),
        ("not_found", Self::HTTP_404),
        ("http_429", Self::HTTP_429),
        ("non_idempotent", Self::NON_IDEMPOTENT),
    ];

    /// No condition.
    pub const fn none() -> Self {
        Self(0)
    }

    /// The condition that a word of the directive stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        if word == "off" {
            return Some(Self::OFF);
        }
        Self::WORDS
            .iter()
            .find(|(name, _)| *name == word)
            .map(|&(_, condition)| condition)
    }

    /// The condition that a status of a response is, if it is one.
    pub fn from_status(status: u16) -> Option<Self> {
        Some(match status {
            500 => Self::HTTP_500,
            502 => Self::HTTP_502,
            503 => Self::HTTP_503,
            504 => Self::HTTP_504,
            403 => Self::HTTP_403,
            404 => Self::HTTP_404,
            429 => Self::HTTP_429,
            _ => return None,
        })
    }

    /// The condition that an error is; none if another peer would not help.
    pub fn from_error(error: &Error) -> Option<Self> {
        match error.kind() {
            ErrorKind::TimedOut => Some(Self::TIMEOUT),
            ErrorKind::Connect(_) | ErrorKind::Recv(_) | ErrorKind::Send(_) => Some(Self::ERROR),
            ErrorKind::Protocol(ProtocolError::PrematureClose) => Some(Self::ERROR),
            ErrorKind::Protocol(ProtocolError::Invalid(_) | ProtocolError::TooBigHeader) => {
                Some(Self::INVALID_HEADER)
            }
            _ => None,
        }
    }

    /// Whether every condition of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether a peer that answers so is none the worse for it: 403 and 404 are answers, not failures.
    pub const fn is_answer(self) -> bool {
        self.0 & (Self::HTTP_403.0 | Self::HTTP_404.0) != 0
    }
}

impl BitOr for Conditions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Conditions {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The directives that rule retries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RetryPolicy {
    /// When to try again (`proxy_next_upstream`).
    pub conditions: Conditions,
    /// At most so many tries, 0 for as many as the balancer offers (`proxy_next_upstream_tries`).
    pub tries: u32,
    /// No new try after this time, zero for no limit (`proxy_next_upstream_timeout`).
    pub timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            conditions: Conditions::ERROR | Conditions::TIMEOUT,
            tries: 0,
            timeout: Duration::ZERO,
        }
    }
}

/// What is known when a try has failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What happened.
    pub condition: Conditions,
    /// Tries that the balancer and the policy still allow.
    pub tries_left: u32,
    /// Time since the exchange began.
    pub elapsed: Duration,
    /// Whether the request may be repeated by its nature.
    pub idempotent: bool,
    /// Whether a byte of the request reached the connection.
    pub sent: bool,
    /// Whether the same request body can be sent again.
    pub replayable: bool,
    /// Whether the connection came from the pool.
    pub reused: bool,
    /// Whether the head went to the client: too late for anything.
    pub head_passed: bool,
}

/// What follows a failed try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Another try. `refund` says that this one does not count: the connection came from the pool and
    /// the peer had closed it, which says nothing about the peer.
    Next {
        /// Give the try back.
        refund: bool,
    },
    /// No other try: report the error, or pass the answer on.
    Stop,
}

/// Decides.
///
/// ```
/// use ngx_upstream::retry::{Conditions, Decision, Failure, RetryPolicy, decide};
///
/// let refused = Failure {
///     condition: Conditions::ERROR,
///     tries_left: 1,
///     elapsed: std::time::Duration::ZERO,
///     idempotent: false,
///     sent: false,
///     replayable: true,
///     reused: false,
///     head_passed: false,
/// };
/// let policy = RetryPolicy::default();
/// assert_eq!(decide(&policy, &refused), Decision::Next { refund: false });
/// // A POST that was on its way may have had its effect.
/// assert_eq!(decide(&policy, &Failure { sent: true, ..refused }), Decision::Stop);
/// ```
pub fn decide(policy: &RetryPolicy, failure: &Failure) -> Decision {
    let stale = failure.reused && failure.condition == Conditions::ERROR;
    let mut needed = failure.condition;
    if failure.sent && !failure.idempotent {
        needed |= Conditions::NON_IDEMPOTENT;
    }
    let late = !policy.timeout.is_zero() && failure.elapsed >= policy.timeout;
    let impossible = failure.head_passed || !failure.replayable;
    let forbidden =
        policy.conditions.contains(Conditions::OFF) || !policy.conditions.contains(needed);
    if impossible || forbidden || late || (failure.tries_left == 0 && !stale) {
        return Decision::Stop;
    }
    Decision::Next { refund: stale }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Phase;

    const FAILURE: Failure = Failure {
        condition: Conditions::ERROR,
        tries_left: 1,
        elapsed: Duration::from_secs(1),
        idempotent: true,
        sent: true,
        replayable: true,
        reused: false,
        head_passed: false,
    };
    const NEXT: Decision = Decision::Next { refund: false };

    fn with(conditions: Conditions, failure: Failure) -> Decision {
        decide(
            &RetryPolicy {
                conditions,
                ..RetryPolicy::default()
            },
            &failure,
        )
    }

    #[test]
    fn the_mask_rules() {
        assert_eq!(with(Conditions::ERROR, FAILURE), NEXT);
        assert_eq!(with(Conditions::TIMEOUT, FAILURE), Decision::Stop);
        assert_eq!(
            with(Conditions::ERROR | Conditions::OFF, FAILURE),
            Decision::Stop
        );
        let busy = Failure {
            condition: Conditions::HTTP_503,
            ..FAILURE
        };
        assert_eq!(with(Conditions::ERROR, busy), Decision::Stop);
        assert_eq!(with(Conditions::HTTP_503, busy), NEXT);
    }

    #[test]
    fn requests_with_effects_are_repeated_only_on_demand() {
        let post = Failure {
            idempotent: false,
            ..FAILURE
        };
        assert_eq!(with(Conditions::ERROR, post), Decision::Stop);
        assert_eq!(
            with(Conditions::ERROR | Conditions::NON_IDEMPOTENT, post),
            NEXT
        );
        assert_eq!(
            with(
                Conditions::ERROR,
                Failure {
                    sent: false,
                    ..post
                }
            ),
            NEXT
        );
    }

    #[test]
    fn too_late_is_too_late() {
        assert_eq!(
            with(
                Conditions::ERROR,
                Failure {
                    head_passed: true,
                    ..FAILURE
                }
            ),
            Decision::Stop
        );
        assert_eq!(
            with(
                Conditions::ERROR,
                Failure {
                    replayable: false,
                    ..FAILURE
                }
            ),
            Decision::Stop
        );
        let policy = RetryPolicy {
            timeout: Duration::from_secs(1),
            ..RetryPolicy::default()
        };
        assert_eq!(decide(&policy, &FAILURE), Decision::Stop);
        let early = Failure {
            elapsed: Duration::from_millis(999),
            ..FAILURE
        };
        assert_eq!(decide(&policy, &early), NEXT);
    }

    #[test]
    fn a_stale_connection_gives_its_try_back() {
        let last = Failure {
            tries_left: 0,
            ..FAILURE
        };
        assert_eq!(with(Conditions::ERROR, last), Decision::Stop);
        let stale = Failure {
            reused: true,
            ..last
        };
        assert_eq!(
            with(Conditions::ERROR, stale),
            Decision::Next { refund: true }
        );
        let slow = Failure {
            condition: Conditions::TIMEOUT,
            ..stale
        };
        assert_eq!(
            with(Conditions::ERROR | Conditions::TIMEOUT, slow),
            Decision::Stop
        );
    }

    #[test]
    fn conditions_of_errors() {
        let condition = |kind| Conditions::from_error(&Error::new(kind, Phase::Head));
        assert_eq!(condition(ErrorKind::TimedOut), Some(Conditions::TIMEOUT));
        let early = ErrorKind::Protocol(ProtocolError::PrematureClose);
        assert_eq!(condition(early), Some(Conditions::ERROR));
        let garbage = ErrorKind::Protocol(ProtocolError::invalid("invalid header"));
        assert_eq!(condition(garbage), Some(Conditions::INVALID_HEADER));
        assert_eq!(condition(ErrorKind::NoLive), None);
        assert_eq!(condition(ErrorKind::ClientClosed), None);
    }
}
