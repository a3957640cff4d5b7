//! The list of phase handlers, flattened once per configuration.

use crate::http::conf::Location;
use crate::http::module::{
    HandlesAt, HttpModule, OrderError, Ordered, Phase, PhaseHandler, in_order,
};
use crate::http::request::Request;
use crate::http::step::{PhaseStep, Step};

/// One place in the list.
#[derive(Clone, Copy)]
pub(crate) enum Entry {
    Handler(PhaseHandler),
    /// The engine's own steps between phases.
    FindConfig,
    PostRewrite,
    /// The location's own handler, which nobody is asked besides.
    LocationHandler,
}

/// All handlers in the order they run in, those of the log phase last.
#[derive(Default)]
pub(crate) struct PhaseTable {
    entries: Vec<Place>,
    /// Index of the first entry of the server rewrite phase.
    pub(crate) server_rewrite: usize,
    /// Index of the entry that looks the location up.
    pub(crate) find_config: usize,
    /// Index of the first entry of the rewrite phase.
    pub(crate) rewrite: usize,
    /// Index of the first of the log handlers, which run when the response is over.
    pub(crate) log: usize,
}

struct Place {
    phase: Phase,
    name: &'static str,
    entry: Entry,
    handles_at: Option<HandlesAt>,
}

/// For each place of the table the first one from there on, among the handlers of requests or
/// among those of logs, that has something to do at a location.
#[derive(Default)]
pub(crate) struct Places(Box<[u16]>);

impl Places {
    /// Where to go on at `at`.
    #[inline]
    pub(crate) fn from(&self, at: usize) -> usize {
        self.0.get(at).map_or(at, |&place| usize::from(place))
    }
}

impl PhaseTable {
    /// Orders the handlers of all modules.
    ///
    /// # Errors
    /// When two modules both want to run before the other.
    pub(crate) fn new(modules: &[&'static HttpModule]) -> Result<Self, OrderError> {
        let mut entries = Vec::new();
        let mut add = |phase| add(&mut entries, modules, phase);
        add(Phase::PostRead)?;
        let server_rewrite = add(Phase::ServerRewrite)?;
        let find_config = add(Phase::FindConfig)?;
        let rewrite = add(Phase::Rewrite)?;
        add(Phase::PostRewrite)?;
        add(Phase::Preaccess)?;
        add(Phase::Access)?;
        add(Phase::Precontent)?;
        add(Phase::Content)?;
        let log = add(Phase::Log)?;
        Ok(Self {
            entries,
            server_rewrite,
            find_config,
            rewrite,
            log,
        })
    }

    /// The places that have something to do at `location`.
    pub(crate) fn places(&self, location: &Location) -> Places {
        let mut next: Vec<u16> = Vec::with_capacity(self.entries.len());
        let mut following = self.entries.len();
        for (at, place) in self.entries.iter().enumerate().rev() {
            if at + 1 == self.log {
                // The handlers of logs are no business of those of requests.
                following = self.log;
            }
            if !place.is_idle(location) {
                following = at;
            }
            // More than a program has modules: then all are called.
            let Ok(following) = u16::try_from(following) else {
                return Places::default();
            };
            next.push(following);
        }
        next.reverse();
        Places(next.into())
    }

    /// Whether a handler of logs has something to do there.
    pub(crate) fn logs_at(&self, places: &Places) -> bool {
        places.from(self.log) < self.entries.len()
    }

    pub(crate) fn entry(&self, at: usize) -> Option<Entry> {
        self.entries.get(at).map(|place| place.entry)
    }

    /// The first entry of the phase after the one `at` belongs to.
    pub(crate) fn next_phase(&self, at: usize) -> usize {
        let Some(Place { phase, .. }) = self.entries.get(at) else {
            return self.entries.len();
        };
        self.entries
            .iter()
            .skip(at)
            .position(|other| other.phase != *phase)
            .map_or(self.entries.len(), |further| at + further)
    }
}

/// Appends the engine's own step of a phase, or the handlers of all modules in it; the index of
/// the first.
fn add(
    entries: &mut Vec<Place>,
    modules: &[&'static HttpModule],
    phase: Phase,
) -> Result<usize, OrderError> {
    let first = entries.len();
    let own = match phase {
        Phase::FindConfig => Some(Entry::FindConfig),
        Phase::PostRewrite => Some(Entry::PostRewrite),
        Phase::Content => Some(Entry::LocationHandler),
        _ => None,
    };
    entries.extend(own.map(|entry| Place {
        phase,
        name: "",
        entry,
        handles_at: None,
    }));
    let handlers: Vec<Ordered<(PhaseHandler, &'static str, Option<HandlesAt>)>> = modules
        .iter()
        .flat_map(|module| module.phases.iter().map(|entry| (entry, module.handles_at)))
        .filter(|((at, _), _)| *at == phase)
        .map(|((_, entry), at)| entry.with((entry.run, entry.name, at)))
        .collect();
    let handlers: Vec<_> = handlers.iter().collect();
    let handlers = in_order("phase handlers", &handlers)?;
    entries.extend(handlers.into_iter().map(|(run, name, handles_at)| Place {
        phase,
        name,
        entry: Entry::Handler(run),
        handles_at,
    }));
    Ok(first)
}

impl Place {
    fn is_idle(&self, location: &Location) -> bool {
        match self.entry {
            Entry::FindConfig | Entry::PostRewrite => false,
            Entry::LocationHandler => location.handler.is_none() && !location.is_if,
            Entry::Handler(_) => self
                .handles_at
                .is_some_and(|handles| !handles(location, self.phase, self.name)),
        }
    }
}

impl Entry {
    #[inline]
    pub(crate) fn run(self, r: &Request) -> PhaseStep {
        match self {
            Self::Handler(run) => run(r),
            Self::FindConfig => r.find_config(),
            Self::PostRewrite => r.post_rewrite(),
            Self::LocationHandler => match &r.content_location().handler {
                Some(handler) => match handler(r) {
                    Step::Next(_) => r.no_content(),
                    step => step,
                },
                None => PhaseStep::DECLINED,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Module;

    static MODULE: Module = Module {
        name: "test",
        directives: &[],
    };

    const fn at(phase: Phase, name: &'static str) -> (Phase, Ordered<PhaseHandler>) {
        let run: PhaseHandler = |_| PhaseStep::DECLINED;
        let entry = Ordered {
            name,
            before: &[],
            after: &[],
            run,
        };
        (phase, entry)
    }

    static BUSY: HttpModule = HttpModule {
        phases: &[at(Phase::Access, "busy"), at(Phase::Log, "busy")],
        ..HttpModule::new(&MODULE)
    };
    static IDLE: HttpModule = HttpModule {
        phases: &[
            at(Phase::PostRead, "idle"),
            at(Phase::Access, "idle"),
            at(Phase::Access, "other"),
            at(Phase::Content, "idle"),
            at(Phase::Log, "idle"),
        ],
        handles_at: Some(|_, phase, name| name != "idle" || phase == Phase::Content),
        ..HttpModule::new(&MODULE)
    };

    #[test]
    fn what_is_idle_at_a_location_is_passed_over_there() {
        let table = PhaseTable::new(&[&BUSY, &IDLE]).unwrap();
        let places = table.places(&Location::default());
        let walk = |mut at: usize, end: usize, places: &Places| {
            let mut seen = Vec::new();
            loop {
                at = places.from(at);
                if at >= end {
                    assert_eq!(at, end, "nobody goes beyond");
                    return seen;
                }
                seen.push((table.entries[at].phase, table.entries[at].name));
                at += 1;
            }
        };
        let own = [
            (Phase::FindConfig, ""),
            (Phase::PostRewrite, ""),
            (Phase::Access, "busy"),
            (Phase::Access, "other"),
            (Phase::Content, "idle"),
        ];
        let end = table.entries.len();
        assert_eq!(walk(0, table.log, &places), own);
        assert_eq!(walk(table.log, end, &places), [(Phase::Log, "busy")]);
        assert!(table.logs_at(&places) && table.logs_at(&Places::default()));
        let idle = PhaseTable::new(&[&IDLE]).unwrap();
        assert!(!idle.logs_at(&idle.places(&Location::default())));
        // Without knowing the location, all are asked.
        assert_eq!(walk(0, end, &Places::default()).len(), end);
    }
}
