//! The list of phase handlers, flattened once per configuration.

use crate::http::module::{HttpModule, OrderError, Ordered, Phase, PhaseHandler, in_order};
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

/// All handlers in the order they run in.
#[derive(Default)]
pub(crate) struct PhaseTable {
    entries: Vec<(Phase, Entry)>,
    /// Index of the first entry of the server rewrite phase.
    pub(crate) server_rewrite: usize,
    /// Index of the entry that looks the location up.
    pub(crate) find_config: usize,
    /// Index of the first entry of the rewrite phase.
    pub(crate) rewrite: usize,
    /// The log handlers, which run when the response is over.
    pub(crate) log: Vec<PhaseHandler>,
}

impl PhaseTable {
    /// Orders the handlers of all modules.
    ///
    /// # Errors
    /// When two modules both want to run before the other.
    pub(crate) fn new(modules: &[&'static HttpModule]) -> Result<Self, OrderError> {
        let of = |phase: Phase| -> Result<Vec<PhaseHandler>, OrderError> {
            let handlers: Vec<&Ordered<PhaseHandler>> = modules
                .iter()
                .flat_map(|module| module.phases.iter())
                .filter(|(at, _)| *at == phase)
                .map(|(_, entry)| entry)
                .collect();
            in_order("phase handlers", &handlers)
        };
        let mut entries = Vec::new();
        let add = |entries: &mut Vec<(Phase, Entry)>, phase| -> Result<usize, OrderError> {
            let first = entries.len();
            entries.extend(
                of(phase)?
                    .into_iter()
                    .map(|run| (phase, Entry::Handler(run))),
            );
            Ok(first)
        };
        add(&mut entries, Phase::PostRead)?;
        let server_rewrite = add(&mut entries, Phase::ServerRewrite)?;
        let find_config = entries.len();
        entries.push((Phase::FindConfig, Entry::FindConfig));
        let rewrite = add(&mut entries, Phase::Rewrite)?;
        entries.push((Phase::PostRewrite, Entry::PostRewrite));
        add(&mut entries, Phase::Preaccess)?;
        add(&mut entries, Phase::Access)?;
        add(&mut entries, Phase::Precontent)?;
        entries.push((Phase::Content, Entry::LocationHandler));
        add(&mut entries, Phase::Content)?;
        Ok(Self {
            entries,
            server_rewrite,
            find_config,
            rewrite,
            log: of(Phase::Log)?,
        })
    }

    pub(crate) fn entry(&self, at: usize) -> Option<Entry> {
        self.entries.get(at).map(|(_, entry)| *entry)
    }

    /// The first entry of the phase after the one `at` belongs to.
    pub(crate) fn next_phase(&self, at: usize) -> usize {
        let Some((phase, _)) = self.entries.get(at) else {
            return self.entries.len();
        };
        self.entries
            .iter()
            .skip(at)
            .position(|(other, _)| other != phase)
            .map_or(self.entries.len(), |further| at + further)
    }
}

impl Entry {
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
