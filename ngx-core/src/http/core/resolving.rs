//! `resolver`

use std::sync::Arc;
use std::time::Duration;

use super::LOCATION;
use crate::conf::{Args, Problem, Word, values};
use crate::module::Cx;
use crate::resolver::{Resolver, ResolverOptions};

/// Whoever waits for a name has a `resolver_timeout` of its own; this bounds the query behind it.
const QUERY_MAX: Duration = Duration::from_secs(300);

/// `resolver 127.0.0.1 [::1]:5353 valid=30s ipv6=off`
pub(super) fn set_resolver(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let words: Vec<&str> = args.values().iter().map(Word::as_str).collect();
    if let ["off"] = words[..] {
        return cx.conf(&LOCATION).resolver.set(None, args.span());
    }
    let time = |text: &str| values::time(text.as_bytes()).ok();
    let source = cx.source();
    let lookup = |name: &str| source.lookup(name);
    let mut options = ResolverOptions::parse(&words, &lookup, &time)
        .map_err(|error| args.problem(error.to_string()))?;
    options.timeout = QUERY_MAX;
    let resolver = Arc::new(Resolver::new(options));
    cx.conf(&LOCATION).resolver.set(Some(resolver), args.span())
}
