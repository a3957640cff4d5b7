//! The compiled `http` block: what requests are served by.

use std::sync::Arc;

use super::core::{LocationConf, ServerConf};
use super::filter::{FilterPlan, Filters};
use super::location::{LocationId, LocationTree};
use super::module::WorkerHooks;
use super::parse::RequestOptions;
use super::phases::{PhaseTable, Places};
use super::request::Request;
use super::server::{ListenGroup, ServerId, Vhosts};
use super::step::PhaseStep;
use crate::conf::Span;
use crate::module::Slots;
use crate::net::addr::Addr;
use crate::script::VariableTable;

/// The compiled `http` block. Immutable; shared by all threads of a generation.
#[derive(Default)]
pub struct HttpConf {
    pub(crate) groups: Vec<ListenGroup>,
    pub(crate) vhosts: Vec<Vhosts>,
    pub(crate) servers: Vec<Server>,
    pub(crate) locations: Vec<Location>,
    pub(crate) phases: PhaseTable,
    pub(crate) filters: Filters,
    pub(crate) variables: VariableTable<Request>,
    pub(crate) workers: Vec<WorkerHooks>,
    /// Settings of the block itself.
    pub slots: Slots,
    nowhere: (Server, Location),
}

/// A server block.
#[derive(Default)]
pub struct Server {
    /// The first of its names; empty if it has none.
    pub name: Box<[u8]>,
    /// Its settings.
    pub slots: Slots,
    /// Those of the core, at hand.
    pub(crate) core: Arc<ServerConf>,
    /// What they say of heads of requests.
    pub(crate) options: RequestOptions,
    /// What applies where no location fits.
    pub(crate) root: LocationId,
    pub(crate) named: Vec<(Box<[u8]>, LocationId)>,
    /// Where its block begins.
    pub(crate) place: Span,
}

/// What a location does with a request instead of asking the content handlers.
pub type Handler = Arc<dyn Fn(&Request) -> PhaseStep + Send + Sync>;

/// A location, or what applies outside of all locations of a server.
#[derive(Default)]
pub struct Location {
    /// Its name; empty for the server's own.
    pub name: Box<[u8]>,
    /// Whether the name is a regular expression.
    pub is_regex: bool,
    /// Whether it is the block of an `if`; the handler of the location around it is its own, unless
    /// it has one.
    pub(crate) is_if: bool,
    /// Its settings, those of the server included.
    pub slots: Slots,
    /// Those of the core, at hand.
    pub(crate) core: Arc<LocationConf>,
    /// The places of the phase table that have something to do here.
    pub(crate) places: Places,
    /// One of them comes before the look-up of the location, and may answer.
    pub(crate) answers_first: bool,
    /// One of them is a handler of logs.
    pub(crate) is_logged: bool,
    pub(crate) tree: Option<Box<LocationTree>>,
    /// What applies instead where an `if` in it is true, in the order of these.
    pub(crate) ifs: Box<[LocationId]>,
    pub(crate) handler: Option<Handler>,
    /// Which filters have anything to do here.
    pub(crate) filters: FilterPlan,
    /// Where its block begins; that of the server for the server's own.
    pub(crate) place: Span,
}

/// Index of the names that are served at one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct VhostsId(pub(crate) u32);

impl HttpConf {
    pub(crate) fn server(&self, id: ServerId) -> &Server {
        self.servers.get(id.0 as usize).unwrap_or(&self.nowhere.0)
    }

    pub(crate) fn location(&self, id: LocationId) -> &Location {
        self.locations.get(id.0 as usize).unwrap_or(&self.nowhere.1)
    }

    /// The names served where `listener` accepts, for a connection to `local`.
    pub(crate) fn vhosts(&self, listener: &Addr, local: &Addr) -> Option<VhostsId> {
        let group = self.groups.iter().find(|group| group.bind == *listener)?;
        let exact = group.addrs.iter().find(|(addr, _)| addr == local);
        exact
            .or_else(|| group.addrs.iter().find(|(addr, _)| *addr == group.bind))
            .map(|(_, id)| *id)
    }

    pub(crate) fn vhosts_of(&self, id: VhostsId) -> &Vhosts {
        match self.vhosts.get(id.0 as usize) {
            Some(vhosts) => vhosts,
            None => unreachable!("ids are handed out by vhosts() alone"),
        }
    }

    /// The variables of the configuration, to look one up by name at run time.
    pub fn variables(&self) -> &VariableTable<Request> {
        &self.variables
    }
}

impl Server {
    pub(crate) fn named(&self, name: &[u8]) -> Option<LocationId> {
        self.named
            .iter()
            .find(|(own, _)| **own == *name)
            .map(|(_, id)| *id)
    }
}
