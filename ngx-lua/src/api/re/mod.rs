//! `ngx.re`: regular expressions of Perl's kind.

mod cache;
mod find;
mod gmatch;
mod options;
mod replace;

use std::rc::Rc;

pub(crate) use self::cache::Cache;
pub(super) use self::gmatch::start;

use self::cache::Regex;
use super::libraries::run_half;
use crate::ffi::{Call, Kind, Matcher, Raise, Reply, Spans, TableValue, Value, function, values};
use crate::sched::Engine;

/// What the functions of one VM share.
pub(crate) struct Re {
    cache: Cache,
    matcher: Matcher,
}

impl Re {
    pub(crate) fn new(max_cached: usize, match_limit: u32) -> Self {
        Self {
            cache: Cache::new(max_cached),
            matcher: Matcher::new(match_limit),
        }
    }
}

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let raw = engine.raw();
    let re = raw.lua().create_table()?;
    re.set("match", raw.create_function(function(find::matches))?)?;
    re.set("find", raw.create_function(function(find::find))?)?;
    re.set("gmatch", raw.create_function(function(gmatch::gmatch))?)?;
    let start = raw.create_function(function(start))?;
    let sub = raw.create_function(function(replace::sub))?;
    let gsub = raw.create_function(function(replace::gsub))?;
    let half = include_str!("../../lua/re.lua");
    run_half(raw.lua(), "re", half, (&re, start, sub, gsub))?;
    ngx.set("re", re)
}

/// `ngx_re.opt(option, value)`
pub(super) fn opt(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.text(1).as_deref() != Some(b"jit_stack_size") {
        return Err("unrecognized option name".into());
    }
    let re = call.lane().engine().re();
    if !re.cache.is_empty() {
        let why = "changing jit stack size is not allowed when some regexs have already been \
                   compiled and cached";
        return Err(why.into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is below the least that there is means the least"
    )]
    let size = call.want_number(2)? as usize;
    if !re.matcher.set_jit_stack(size.max(JIT_STACK)) {
        return Err("pcre jit stack allocation failed".into());
    }
    Ok(Reply::of(values([])))
}

/// What compiled patterns have by themselves.
const JIT_STACK: usize = 32 * 1024;

/// What a subject becomes, also one that is missing.
fn subject<'a>(call: &'a Call<'_>) -> std::borrow::Cow<'a, [u8]> {
    if call.kind(1) == Kind::None {
        return std::borrow::Cow::Borrowed(b"nil");
    }
    call.tostring(1)
}

/// The table of a match: groups by number, with false for those that matched nothing, and by name.
fn captures(regex: &Regex, subject: &[u8], spans: &Spans) -> TableValue {
    let text = |group: usize| match spans.get(group) {
        Some(Some((from, to))) => {
            // `\K` may put the end before the beginning.
            let found = subject.get(*from..*to).unwrap_or_default();
            Value::from(found.to_vec())
        }
        _ => Value::Boolean(false),
    };
    let names = regex.pattern.names();
    let mut table = TableValue {
        items: (1..spans.len()).map(text).collect(),
        fields: Vec::with_capacity(names.len() + 1),
    };
    table.fields.push((Value::Number(0.0), text(0)));
    let mut names = names;
    while let Some((group, name)) = names.first() {
        // Groups of one name stand together.
        let same = names.iter().take_while(|(_, other)| other == name).count();
        let (these, rest) = names.split_at(same);
        names = rest;
        let value = if regex.duplicates {
            let matched = these.iter().map(|(group, _)| *group);
            let matched = matched.filter(|group| matches!(spans.get(*group), Some(Some(_))));
            let items: Vec<Value> = matched.map(text).collect();
            if items.is_empty() {
                continue;
            }
            TableValue {
                items,
                fields: Vec::new(),
            }
            .into()
        } else {
            text(these.last().map_or(*group, |(group, _)| *group))
        };
        table.fields.push((Value::from(name.clone()), value));
    }
    table
}
