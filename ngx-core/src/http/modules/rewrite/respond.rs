//! `return`

use bytes::Bytes;

use super::{compile, is_elsewhere};
use crate::conf::{Args, Problem, values};
use crate::http::request::Request;
use crate::http::step::{PhaseStep, Step};
use crate::module::Cx;
use crate::script::Template;

/// What `return` answers.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Return {
    /// A status that may have an `error_page`.
    Status(u16),
    /// The text is the whole answer.
    Text {
        status: u16,
        text: Template,
    },
    Redirect {
        status: u16,
        target: Template,
    },
}

impl Return {
    /// Reads the arguments of the directive.
    ///
    /// # Errors
    /// The status is none, or a template is malformed.
    pub(super) fn parse(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<Self, Problem> {
        let word = args.arg(0);
        let Ok(status) = values::number(word.as_bytes()) else {
            if args.values().len() == 1 && is_elsewhere(word.as_bytes()) {
                let target = compile(cx, args, 0, word.as_bytes())?;
                return Ok(Self::Redirect {
                    status: 302,
                    target,
                });
            }
            return Err(invalid(args));
        };
        let status = u16::try_from(status)
            .ok()
            .filter(|status| (100..=999).contains(status));
        let status = status.ok_or_else(|| invalid(args))?;
        let text = compile(cx, args, 1, args.arg(1).as_bytes())?;
        let is_empty = text.literal().is_some_and(Bytes::is_empty);
        Ok(match status {
            301 | 302 | 303 | 307 | 308 => Self::Redirect {
                status,
                target: text,
            },
            400.. if is_empty => Self::Status(status),
            _ => Self::Text { status, text },
        })
    }

    #[inline]
    pub(super) fn run(&self, r: &Request) -> PhaseStep {
        match self {
            Self::Status(status) => Step::Finish(*status),
            Self::Text { status, text } => send(r, *status, text),
            Self::Redirect { status, target } => {
                let target = target.eval_bytes(r);
                r.response()
                    .set_location((!target.is_empty()).then_some(target));
                Step::Finish(*status)
            }
        }
    }
}

fn invalid(args: &Args<'_>) -> Problem {
    args.problem_at(0, format!("invalid return code \"{}\"", args.arg(0)))
        .with_help("a status is a number from 100 to 999; a redirect begins with http://, https:// or $scheme")
}

/// The whole response. A literal text is shared with the configuration, not copied.
fn send(r: &Request, status: u16, text: &Template) -> PhaseStep {
    if let Err(status) = r.discard_body() {
        return Step::Finish(status);
    }
    let response = r.response();
    response.set_status(status);
    let evaluated;
    let text = match text.literal() {
        Some(text) => text,
        None => {
            evaluated = text.eval_bytes(r);
            &evaluated
        }
    };
    if status != 304 {
        response.set_content_length(Some(text.len() as u64));
        response.set_content_type(Some(r.media_type()).filter(|media| !media.is_empty()));
    }
    if let Err(error) = r.respond_bytes(text) {
        error.log();
    }
    Step::Done
}
