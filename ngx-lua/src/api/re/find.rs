//! `ngx.re.match`, `ngx.re.find`.

use std::rc::Rc;

use super::cache::Regex;
use super::{captures, subject};
use crate::ffi::{Call, Kind, Raise, Reply, Scalar, Spans, Subject, TableValue, Value, values};

/// A search, or the results of one that fails.
type Outcome = Result<Option<(Rc<Regex>, Spans)>, String>;

/// `captures, err = ngx.re.match(subject, regex, options?, ctx?, res_table?)`
pub(super) fn matches(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let table = match search(call)? {
        Ok(Some((regex, spans))) => captures(&regex, &subject(call), &spans),
        Ok(None) => return Ok(Reply::of(values([Value::Nil]))),
        Err(error) => return Ok(Reply::of(values([Value::Nil, error.into()]))),
    };
    if call.boolean(5) {
        call.fill(5, &table)?;
        return Ok(call.give_back(5));
    }
    Ok(Reply::of(values([table.into()])))
}

/// `from, to, err = ngx.re.find(subject, regex, options?, ctx?, nth?)`
pub(super) fn find(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let failed = |error: Value| Reply::of(values([Value::Nil, Value::Nil, error]));
    let spans = match search(call)? {
        Ok(Some((_, spans))) => spans,
        Ok(None) => return Ok(Reply::of(values([Value::Nil]))),
        Err(error) => return Ok(failed(error.into())),
    };
    let nth = if call.boolean(5) {
        call.want_number(5)?
    } else {
        0.0
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is below zero means zero; no pattern has so many groups"
    )]
    let Some(span) = spans.get(nth as usize) else {
        return Ok(failed("nth out of bound".into()));
    };
    Ok(Reply::of(match *span {
        Some((from, to)) => values([number(from + 1), number(to)]),
        None => values([Value::Nil, Value::Nil]),
    }))
}

/// Looks for the pattern from where the context at 4 says, which is told where the match ends.
fn search(call: &mut Call<'_>) -> Result<Outcome, Raise> {
    let engine = Rc::clone(call.lane().engine());
    let re = engine.re();
    let regex = match re.cache.regex(call, 3)? {
        Ok(regex) => regex,
        Err(error) => return Ok(Err(error)),
    };
    let has_context = call.boolean(4);
    let start = if has_context { position(call)? } else { 0 };
    let found = {
        let text = subject(call);
        re.matcher.find(&regex.pattern, &Subject::new(&text), start)
    };
    let spans = match found {
        Ok(Some(spans)) => spans,
        Ok(None) => return Ok(Ok(None)),
        Err(code) => return Ok(Err(format!("pcre_exec() failed: {code}"))),
    };
    if let (true, Some(Some((_, end)))) = (has_context, spans.first()) {
        let pos = (Value::from("pos"), number(end + 1));
        let told = TableValue {
            items: Vec::new(),
            fields: vec![pos],
        };
        call.fill(4, &told)?;
    }
    Ok(Ok(Some((regex, spans))))
}

/// Where the context says that the search begins, from 0.
fn position(call: &Call<'_>) -> Result<usize, Raise> {
    if call.kind(4) != Kind::Table {
        return Err(call.expected(4, "table"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "before the text means at its beginning"
    )]
    match call.field(4, c"pos")? {
        Scalar::Nil | Scalar::Boolean(false) => Ok(0),
        Scalar::Number(pos) => Ok((pos as usize).saturating_sub(1)),
        other => {
            let kind = other.type_name();
            let why = format!("\"pos\" in ctx is a {kind}, not a number");
            Err(Raise::Argument(4, why.into()))
        }
    }
}

fn number(n: usize) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let n = n as f64;
    Value::Number(n)
}
