//! HTTP modules as data: directives, phase handlers, filters and variables of one file.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::LazyLock;

use ngx_buf::Chain;

use super::conf::Location;
use super::generation::Generation;
use super::request::Request;
use super::step::{PhaseStep, Step};
use crate::conf::{MemorySource, Problem};
use crate::main_module;
use crate::module::{Cx, LoadOptions, Module, Registry, RegistryError, Slots, load};
use crate::script::Variables;

/// The phases a request goes through, in their order.
///
/// `FindConfig` and `PostRewrite` belong to the engine and take no handlers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Right after the request header was read.
    PostRead,
    /// `rewrite`, `set` and `return` of the server block.
    ServerRewrite,
    /// The engine looks the location up.
    FindConfig,
    /// `rewrite`, `set` and `return` of the location.
    Rewrite,
    /// The engine goes back to `FindConfig` when the URI has changed.
    PostRewrite,
    /// Limits, before access is checked.
    Preaccess,
    /// May this client have this?
    Access,
    /// Before content is made: `try_files`, mirrors.
    Precontent,
    /// The response is made.
    Content,
    /// After the response: access logs. Cannot delay the next request of the connection.
    Log,
}

/// A function of one phase.
pub type PhaseHandler = fn(&Request) -> PhaseStep;
/// Whether the handler of this name can have anything to do in its phase at a location, which does
/// not change while the configuration is in use.
pub type HandlesAt = fn(&Location, Phase, &str) -> bool;
/// Looks at, and changes, the response header before it is sent.
pub type HeaderFilter = fn(&Request) -> Step<()>;
/// Looks at, and changes, the response body on its way to the client.
pub type BodyFilter = fn(&Request, Chain) -> Step<Chain>;

/// Checks and completes what a module's directives have left, once the `http` block is read.
pub type Finish = fn(&mut Cx<'_>) -> Result<(), Problem>;

/// What a module does in each worker thread, beside serving requests.
#[derive(Clone, Copy)]
pub struct WorkerHooks {
    /// The thread takes a generation and serves nothing yet. Called inside the thread's runtime.
    pub start: fn(&Rc<Generation>),
    /// The generation gets no new requests any more: another has taken its place, or the thread
    /// ends.
    pub retire: fn(&Rc<Generation>),
}

/// An entry of an ordered list: who it is and between whom it stands.
///
/// The order of the modules in the program's list means nothing; these constraints are all.
pub struct Ordered<F: 'static> {
    /// The name others refer to, usually the module's short name.
    pub name: &'static str,
    /// Names it must run before. A name nobody bears is ignored.
    pub before: &'static [&'static str],
    /// Names it must run after. A name nobody bears is ignored.
    pub after: &'static [&'static str],
    /// The function.
    pub run: F,
}

impl<F> Ordered<F> {
    /// The same place for another function.
    pub(crate) const fn with<G>(&self, run: G) -> Ordered<G> {
        Ordered {
            name: self.name,
            before: self.before,
            after: self.after,
            run,
        }
    }
}

/// One HTTP module: a table of directives and what it adds to the processing of requests.
pub struct HttpModule {
    /// Its name and directives.
    pub module: &'static Module,
    /// Its phase handlers.
    pub phases: &'static [(Phase, Ordered<PhaseHandler>)],
    /// Whether one of its phase handlers can have anything to do at a location: asked once for each
    /// of them and each location, while configuring. Without it they run everywhere.
    pub handles_at: Option<HandlesAt>,
    /// Its header filters.
    pub header_filters: &'static [Ordered<HeaderFilter>],
    /// Its body filters.
    pub body_filters: &'static [Ordered<BodyFilter>],
    /// Whether its filters can have anything to do where these settings apply: asked once for each
    /// location, while configuring. Without it they run everywhere.
    pub filters_at: Option<fn(&Slots) -> bool>,
    /// Whether its body filters are to see the body of this response: asked once, when the header
    /// filters have run. Without it they see all.
    pub body_wanted: Option<fn(&Request) -> bool>,
    /// Registers its variables.
    pub variables: Option<fn(&mut Variables<Request>)>,
    /// Called when the `http` block was read, before its blocks are merged.
    pub finish: Option<Finish>,
    /// Called in each worker thread.
    pub worker: Option<WorkerHooks>,
}

impl HttpModule {
    /// A module with directives alone; a base for struct update syntax in tables.
    pub const fn new(module: &'static Module) -> Self {
        Self {
            module,
            phases: &[],
            handles_at: None,
            header_filters: &[],
            body_filters: &[],
            filters_at: None,
            body_wanted: None,
            variables: None,
            finish: None,
            worker: None,
        }
    }
}

/// The HTTP modules of a program, as a registry extension.
pub struct HttpModules(pub(crate) Vec<&'static HttpModule>);

/// The registry of a server with the main module and these HTTP modules.
///
/// A program of your own is another list:
///
/// ```
/// use ngx_core::http::{HttpModule, http_registry, modules};
/// use ngx_core::module::Module;
///
/// static MINE: Module = Module { name: "ngx_http_mine_module", directives: &[] };
/// static HTTP_MINE: HttpModule = HttpModule::new(&MINE);
///
/// let registry = http_registry(modules::ALL.iter().copied().chain([&HTTP_MINE]))?;
/// assert!(registry.has_module("ngx_http_mine_module"));
/// # Ok::<(), ngx_core::module::RegistryError>(())
/// ```
///
/// # Errors
/// Two modules define the same directive.
pub fn http_registry(
    modules: impl IntoIterator<Item = &'static HttpModule>,
) -> Result<Registry, RegistryError> {
    let http: Vec<&'static HttpModule> = modules.into_iter().collect();
    let descriptors: Vec<&'static Module> = main_module::ALL
        .iter()
        .copied()
        .chain(http.iter().map(|module| module.module))
        .collect();
    Ok(Registry::new(&descriptors)?.with_extension(HttpModules(http)))
}

/// Reads arbitrary bytes as the configuration of a server and shows what is wrong with them; for
/// fuzzing.
#[doc(hidden)]
pub fn fuzz_config(data: &[u8]) {
    static REGISTRY: LazyLock<Option<Registry>> =
        LazyLock::new(|| http_registry(super::modules::ALL.iter().copied()).ok());
    let source = MemorySource::new()
        .with_file("/ngx.conf", data)
        .with_file("/mime.types", "types { text/html html; }");
    let Some(registry) = &*REGISTRY else {
        return;
    };
    let options = LoadOptions::default();
    match load(registry, &source, Path::new("/ngx.conf"), &options) {
        Ok(loaded) => assert!(!loaded.warnings.has_errors(), "an error refuses"),
        Err(problems) => {
            assert!(problems.has_errors(), "a refusal has a reason");
            assert!(!problems.to_string().is_empty(), "which can be shown");
        }
    }
}

/// Why the entries of the modules make no list.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Two of them both want to stand before the other.
    #[error("the {list} of these modules cannot be put in order: {names}")]
    Contradiction {
        /// What was to be put in order.
        list: &'static str,
        /// Those that contradict each other.
        names: String,
    },
    /// There are more of them than one server can have.
    #[error("the modules have more than {max} {list}")]
    TooMany {
        /// What there are too many of.
        list: &'static str,
        /// How many there may be.
        max: usize,
    },
}

/// Sorts entries so that every `before` and `after` holds; ties are broken by name.
///
/// # Errors
/// When the constraints contradict each other, with the names involved.
pub(crate) fn in_order<F: Copy>(
    list: &'static str,
    entries: &[&Ordered<F>],
) -> Result<Vec<F>, OrderError> {
    let mut left: BTreeMap<(&str, usize), &Ordered<F>> = entries
        .iter()
        .enumerate()
        .map(|(i, entry)| ((entry.name, i), *entry))
        .collect();
    let mut sorted = Vec::with_capacity(entries.len());
    while !left.is_empty() {
        let free = left
            .iter()
            .find(|(_, entry)| !left.values().any(|other| precedes(other, entry)));
        let Some((&key, &entry)) = free else {
            let names: Vec<&str> = left.values().map(|entry| entry.name).collect();
            return Err(OrderError::Contradiction {
                list,
                names: names.join(", "),
            });
        };
        sorted.push(entry.run);
        left.remove(&key);
    }
    Ok(sorted)
}

fn precedes<F>(one: &Ordered<F>, other: &Ordered<F>) -> bool {
    one.name != other.name && (one.before.contains(&other.name) || other.after.contains(&one.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(
        name: &'static str,
        before: &'static [&'static str],
        after: &'static [&'static str],
    ) -> Ordered<&'static str> {
        Ordered {
            name,
            before,
            after,
            run: name,
        }
    }

    #[test]
    fn constraints_hold_whatever_the_order_of_the_list() {
        let write = entry("write", &[], &["chunked", "copy"]);
        let chunked = entry("chunked", &[], &["gzip"]);
        let gzip = entry("gzip", &[], &["copy"]);
        let copy = entry("copy", &["nobody"], &["range"]);
        let range = entry("range", &[], &[]);
        let want = ["range", "copy", "gzip", "chunked", "write"];
        let lists = [
            [&write, &chunked, &gzip, &copy, &range],
            [&range, &copy, &gzip, &chunked, &write],
            [&gzip, &write, &range, &chunked, &copy],
        ];
        for list in lists {
            assert_eq!(in_order("body filters", &list).unwrap(), want);
        }
    }

    #[test]
    fn a_contradiction_is_named() {
        let one = entry("one", &["two"], &[]);
        let two = entry("two", &["one"], &[]);
        let error = in_order("header filters", &[&one, &two]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the header filters of these modules cannot be put in order: one, two"
        );
    }
}
