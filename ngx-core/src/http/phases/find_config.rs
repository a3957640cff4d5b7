//! The engine's own steps: which location is it, and is it allowed to be asked.

use crate::error;
use crate::http::core::LocationConf;
use crate::http::location::{Found, LocationId, LocationTree};
use crate::http::parse::{Escape, escape_uri};
use crate::http::request::Request;
use crate::http::step::{PhaseStep, Step};

impl Request {
    /// Looks the location up by the path and checks what can be checked before any handler.
    pub(crate) fn find_config(&self) -> PhaseStep {
        self.keep_location();
        self.set_location(self.server().root);
        self.location_looked_up();
        let found = match &self.location().tree {
            Some(tree) if tree.is_flat() => self.look_up_once(tree),
            _ => self.look_up(&mut |_| {}),
        };
        let conf = self.core();
        self.tell(conf);
        if found == LookUp::SlashMissing {
            return self.redirect_to_slash();
        }
        if *conf.internal && !self.is_internal() {
            return Step::Finish(404);
        }
        let max = *conf.client_max_body_size;
        if let Some(length) = self.parts().body.content_length()
            && max != 0
            && length > max
            && !self.parts().body.is_discarded()
        {
            error!("client intended to send too large body: {length} bytes");
            // Whatever else is wrong with it, it is too large.
            let _ = self.discard_body();
            return Step::Finish(413);
        }
        PhaseStep::DECLINED
    }

    /// Tells the downstream what the current location says of it.
    pub(in crate::http) fn tell_location(&self) {
        self.tell(self.core());
    }

    #[inline(always)]
    fn tell(&self, conf: &LocationConf) {
        if let Some(downstream) = &*self.downstream_here() {
            downstream.set_location(conf);
            if conf.keepalive_disable.applies_to(self) {
                downstream.forbid_keepalive();
            }
        }
    }

    /// Goes back to the look-up when a handler of the rewrite phase has changed the path.
    pub(crate) fn post_rewrite(&self) -> PhaseStep {
        let engine = &self.parts().engine;
        if !engine.uri_changed.take() {
            return PhaseStep::DECLINED;
        }
        if !self.count_uri_change() {
            let path = String::from_utf8_lossy(&self.path()).into_owned();
            error!("rewrite or internal redirection cycle while processing \"{path}\"");
            return Step::Finish(500);
        }
        self.move_to(self.http().phases.find_config);
        Step::Done
    }

    /// Whether a handler of the rewrite phase has changed the path, so that the location is to be
    /// looked up anew.
    pub(in crate::http) fn take_uri_change(&self) -> bool {
        self.parts().engine.uri_changed.take()
    }

    /// Takes the location that fits best of a tree whose first look is final.
    #[inline]
    fn look_up_once(&self, tree: &LocationTree) -> LookUp {
        let (id, result) = match tree.find_static(&self.path()) {
            Found::Exact(id) => (id, LookUp::Final),
            Found::Prefix { id, .. } => (id, LookUp::Prefix),
            Found::SlashMissing(id) => (id, LookUp::SlashMissing),
            Found::Nothing => return LookUp::Unchanged,
        };
        self.set_location(id);
        result
    }

    /// Descends from the current location to the one that fits best; `seen` is told what was
    /// considered on the way.
    pub(in crate::http) fn look_up(&self, seen: &mut impl FnMut(Seen)) -> LookUp {
        let Some(tree) = &self.location().tree else {
            return LookUp::Unchanged;
        };
        let mut result = LookUp::Unchanged;
        let found = tree.find_static(&self.path());
        match found {
            Found::Exact(id) => {
                seen(Seen::Exact(id));
                self.set_location(id);
                return LookUp::Final;
            }
            Found::SlashMissing(id) => {
                self.set_location(id);
                return LookUp::SlashMissing;
            }
            Found::Prefix { id, no_regex } => {
                seen(Seen::Prefix { id, no_regex });
                self.set_location(id);
                let nested = match &self.location().tree {
                    Some(_) => self.look_up(seen),
                    None => LookUp::Unchanged,
                };
                if matches!(nested, LookUp::Final | LookUp::SlashMissing) {
                    return nested;
                }
                if no_regex {
                    return LookUp::Prefix;
                }
                result = LookUp::Prefix;
            }
            Found::Nothing => {}
        }
        let found = tree.find_regex(self, &mut |id, matches| seen(Seen::Regex { id, matches }));
        if let Some(id) = found {
            self.set_location(id);
            return match self.look_up(seen) {
                LookUp::SlashMissing => LookUp::SlashMissing,
                _ => LookUp::Final,
            };
        }
        result
    }

    /// `301` to the same path with a slash behind it.
    pub(crate) fn redirect_to_slash(&self) -> PhaseStep {
        let mut target = Vec::new();
        escape_uri(&self.path(), Escape::Uri, &mut target);
        target.push(b'/');
        let args = self.args();
        if !args.is_empty() {
            target.push(b'?');
            target.extend_from_slice(&args);
        }
        self.response().clear_header();
        self.response().set_location(Some(target.into()));
        Step::Finish(301)
    }
}

/// What a look-up considers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::http) enum Seen {
    /// `=`, the very path.
    Exact(LocationId),
    /// The longest prefix of its level.
    Prefix { id: LocationId, no_regex: bool },
    /// A regular expression.
    Regex { id: LocationId, matches: bool },
}

/// How a look-up ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::http) enum LookUp {
    /// Nothing fits; the location is what it was.
    Unchanged,
    /// A prefix fits; a regular expression further out may fit better.
    Prefix,
    /// Nothing can fit better.
    Final,
    /// The path lacks the final slash of a location that passes requests on.
    SlashMissing,
}
