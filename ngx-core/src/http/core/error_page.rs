//! `error_page`

use std::sync::Arc;

use bytes::Bytes;

use super::LOCATION;
use crate::conf::{Args, Problem};
use crate::http::request::Request;
use crate::module::Cx;
use crate::script::{Template, Variables};

/// What is answered instead of one status.
#[derive(Clone)]
pub struct ErrorPage {
    /// The status that is replaced.
    pub status: u16,
    /// `=code`: the status the client gets; 0 for `=`, the status of the page itself; without
    /// either the one that is replaced.
    pub answer: Option<u16>,
    /// Where the page is.
    pub target: ErrorTarget,
}

/// Where an error page is.
#[derive(Clone)]
pub enum ErrorTarget {
    /// A named location of the server.
    Named(Bytes),
    /// A path of the server, or an address elsewhere.
    Uri(Arc<Template>),
}

/// `error_page 404 500 =200 /page`
pub(super) fn set_error_page(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let Some((target, mut statuses)) = args.values().split_last() else {
        return Ok(());
    };
    let mut answer = None;
    if let Some((last, before)) = statuses.split_last()
        && let Some(code) = last.as_bytes().strip_prefix(b"=")
    {
        answer = Some(match code {
            b"" => 0,
            code => parse_status(code).ok_or_else(|| {
                args.problem_at(before.len(), format!("invalid value \"{last}\""))
                    .with_help("write = and a status between 100 and 999, such as =200")
            })?,
        });
        statuses = before;
    }
    if statuses.is_empty() {
        return Err(args.problem("\"error_page\" directive names no status"));
    }
    let target = match target.as_bytes() {
        name @ [b'@', ..] => ErrorTarget::Named(Bytes::copy_from_slice(name)),
        _ => {
            let variables = cx.part::<Variables<Request>>();
            let template = Template::compile(target.as_bytes(), variables)
                .map_err(|error| args.problem_at(args.values().len() - 1, error.to_string()))?;
            ErrorTarget::Uri(Arc::new(template))
        }
    };
    let mut pages = Vec::with_capacity(statuses.len());
    for (i, word) in statuses.iter().enumerate() {
        let status = match parse_status(word.as_bytes()) {
            Some(499) => {
                let help = "499 is logged when the client has left: nobody would get the page";
                return Err(invalid(args, i).with_help(help));
            }
            Some(status @ 300..=599) => status,
            None if !word.as_bytes().iter().all(u8::is_ascii_digit) || word.is_empty() => {
                return Err(invalid(args, i).with_help("the page or address comes last"));
            }
            _ => {
                let message = format!("value \"{word}\" must be between 300 and 599");
                return Err(args.problem_at(i, message));
            }
        };
        let answer = match (answer, status) {
            // nginx's own statuses have an answer of their own.
            (None, 494..=497) => Some(400),
            (answer, _) => answer,
        };
        pages.push(ErrorPage {
            status,
            answer,
            target: target.clone(),
        });
    }
    let list = cx.conf(&LOCATION).error_pages.set_mut(args.span());
    let list = Arc::make_mut(list);
    // As few as they are: there may be many blocks.
    list.reserve_exact(pages.len());
    list.extend(pages);
    Ok(())
}

fn invalid(args: &Args<'_>, i: usize) -> Problem {
    args.problem_at(i, format!("invalid value \"{}\"", args.arg(i)))
}

fn parse_status(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
