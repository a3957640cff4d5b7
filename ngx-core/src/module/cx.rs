//! The evaluation of directives.

use std::any::Any;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::contexts::Contexts;
use super::load::LoadOptions;
use super::parts::Parts;
use super::registry::{Registry, Row};
use super::scope::Scope;
use super::slots::{Conf, Level, Slot};
use crate::conf::{
    Args, Body, ConfigSource, Diagnostics, Node, Problem, Span, Word, known, path_of, suggest,
};

/// What a setter works with: the configurations it fills, the machine it may ask, and the rest of
/// the run.
pub struct Cx<'a> {
    registry: &'a Registry,
    source: &'a dyn ConfigSource,
    options: &'a LoadOptions,
    folder: &'a Path,
    diagnostics: Diagnostics,
    context: Contexts,
    /// The name of the directive that is being run.
    current: String,
    /// Where it stands.
    place: Span,
    global: Scope,
    scopes: Vec<Scope>,
    parts: Parts,
    warned: HashSet<String>,
    watch: Option<Watch>,
    deferred: Vec<Deferred>,
}

/// What is done once everything is read.
type Deferred = Box<dyn FnOnce(&mut Cx<'_>)>;

/// Is told of each directive before it runs, and may keep its place.
pub type Watch = fn(&mut Parts, Span);

impl<'a> Cx<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        source: &'a dyn ConfigSource,
        options: &'a LoadOptions,
        folder: &'a Path,
        diagnostics: Diagnostics,
    ) -> Self {
        Self {
            registry,
            source,
            options,
            folder,
            diagnostics,
            context: Contexts::NONE,
            current: String::new(),
            place: Span::NOWHERE,
            global: Scope::new(Level::Global),
            scopes: Vec::new(),
            parts: Parts::default(),
            warned: HashSet::new(),
            watch: None,
            deferred: Vec::new(),
        }
    }

    pub(super) fn into_results(self) -> (Scope, Parts, Diagnostics) {
        (self.global, self.parts, self.diagnostics)
    }

    /// Runs the directives of a block, which is a `context`. What is wrong with one is reported
    /// and does not keep the next from being run.
    pub fn evaluate(&mut self, nodes: &[Node], context: Contexts) {
        let outer = std::mem::replace(&mut self.context, context);
        for node in nodes {
            self.directive(&node.args());
        }
        self.context = outer;
    }

    /// Runs `f` with a scope in which [`Cx::conf`] finds configurations, and returns the scope.
    pub fn with_scope(&mut self, scope: Scope, f: impl FnOnce(&mut Self)) -> Scope {
        let depth = self.scopes.len();
        self.scopes.push(scope);
        f(self);
        let scope = self.scopes.pop();
        debug_assert_eq!(
            self.scopes.len(),
            depth,
            "scopes are pushed and popped here alone"
        );
        scope.unwrap_or_else(|| Scope::new(Level::Global))
    }

    /// The configuration of a module in the innermost block that has configurations of the slot's
    /// level.
    pub fn conf<T: Conf>(&mut self, slot: &Slot<T>) -> &mut T {
        let mut scopes = self.scopes.iter_mut().rev();
        scopes
            .find(|scope| scope.owns(slot.level()))
            .unwrap_or(&mut self.global)
            .conf(slot)
    }

    /// The one value of type `T` of this run. It ends up in
    /// [`Loaded::parts`](super::Loaded::parts).
    pub fn part<T: Any + Send + Sync + Default>(&mut self) -> &mut T {
        self.parts.get_or_default()
    }

    /// The block whose directives are being run.
    #[must_use]
    pub const fn context(&self) -> Contexts {
        self.context
    }

    /// Where the directive stands that is being run.
    #[must_use]
    pub const fn place(&self) -> Span {
        self.place
    }

    /// The machine, as far as this configuration may see it. All reading of files goes through it.
    #[must_use]
    pub const fn source(&self) -> &'a dyn ConfigSource {
        self.source
    }

    /// The modules.
    #[must_use]
    pub const fn registry(&self) -> &'a Registry {
        self.registry
    }

    /// The folder that relative names of files start from (`-p`).
    #[must_use]
    pub fn prefix(&self) -> &'a Path {
        &self.options.prefix
    }

    /// The folder of the main configuration file, where names of keys and other parts of the
    /// configuration start from.
    #[must_use]
    pub const fn conf_prefix(&self) -> &'a Path {
        self.folder
    }

    /// A name of a file, made absolute with [`Cx::prefix`].
    #[must_use]
    pub fn full_path(&self, name: &Word) -> PathBuf {
        self.options.prefix.join(path_of(name.as_bytes()))
    }

    /// A name of a file, made absolute with [`Cx::conf_prefix`].
    #[must_use]
    pub fn full_conf_path(&self, name: &Word) -> PathBuf {
        self.folder.join(path_of(name.as_bytes()))
    }

    /// Adds a problem beside the one that a setter may return.
    pub fn report(&mut self, mut problem: Problem) {
        problem.complete(&self.current);
        self.diagnostics.report(problem);
    }

    /// Adds a problem unless there was one with this key.
    pub fn warn_once(&mut self, key: &str, problem: Problem) {
        if self.warned.insert(key.to_owned()) {
            self.report(problem);
        }
    }

    /// Has `watch` told of each directive that is not a block of others.
    pub fn watch(&mut self, watch: Watch) {
        self.watch = Some(watch);
    }

    /// Has `run` called when all directives have been run and what they were read from is gone: for
    /// large blocks to be compiled in the memory that their text took.
    pub fn defer(&mut self, run: impl FnOnce(&mut Cx<'_>) + 'static) {
        self.deferred.push(Box::new(run));
    }

    pub(super) fn run_deferred(&mut self) {
        for run in std::mem::take(&mut self.deferred) {
            run(self);
        }
    }

    /// The problems so far, for [`Scope::finish`].
    pub fn diagnostics(&mut self) -> &mut Diagnostics {
        &mut self.diagnostics
    }

    fn directive(&mut self, args: &Args<'_>) {
        let mut rest = self.first_directive(args);
        while let Some((name, values)) = rest.and_then(<[Word]>::split_first) {
            rest = self.first_directive(&Args::new(name, values, args.body()));
        }
    }

    /// Runs a directive. If it turns out that a semicolon is missing, the words behind it are
    /// returned, to be run for themselves.
    fn first_directive<'w>(&mut self, args: &Args<'w>) -> Option<&'w [Word]> {
        let name = args.name().as_str();
        let outer = std::mem::replace(&mut self.current, name.to_owned());
        let outer_place = std::mem::replace(&mut self.place, args.span());
        if let (Some(watch), None) = (self.watch, args.block()) {
            watch(&mut self.parts, args.span());
        }
        let swallowed = self.swallowed(args);
        let row = self
            .row(args)
            .and_then(|row| check(row, args).map(|()| row));
        let understood = row.is_ok();
        let outcome = row.and_then(|row| (row.directive.set)(self, args));
        let swallowed = match &outcome {
            // What is wrong may be what follows, and that may be misspelt.
            Err(_) => swallowed.or_else(|| self.nearly_swallowed(args)),
            Ok(()) => swallowed,
        };
        match (outcome, swallowed) {
            (Ok(()), None) => {}
            (Ok(()), Some(i)) => {
                let next = args.arg(i);
                let message = format!("\"{next}\" is an argument of \"{name}\" directive");
                self.report(missing_semicolon(
                    Problem::warn(next.span(), message),
                    args,
                    i,
                ));
            }
            (Err(problem), None) => self.report(problem),
            (Err(problem), Some(i)) => self.report(missing_semicolon(problem, args, i)),
        }
        self.current = outer;
        self.place = outer_place;
        swallowed
            .filter(|_| !understood)
            .and_then(|i| args.values().get(i..))
    }

    fn row(&self, args: &Args<'_>) -> Result<Row, Problem> {
        let word = args.name();
        let name = word.as_str();
        if let Some(row) = self.registry.find(name, self.context) {
            return Ok(row);
        }
        let contexts = self.registry.contexts_of(name);
        if contexts != Contexts::NONE {
            let problem = args.problem(format!("\"{name}\" directive is not allowed here"));
            return Err(problem.with_help(format!("allowed in: {contexts}")));
        }
        let problem = args.problem(format!("unknown directive \"{name}\""));
        Err(match self.advice(name) {
            Some(help) => problem.with_help(help),
            None => problem,
        })
    }

    fn advice(&self, name: &str) -> Option<String> {
        if name.starts_with('\u{feff}') {
            return Some("the file begins with a byte order mark, save it without".to_owned());
        }
        if let Some(contexts) = known::contexts_of(name) {
            return Some(format!(
                "nginx has \"{name}\" (in {contexts}), ngx does not implement it yet"
            ));
        }
        let here = self.registry.names(self.context).chain(["include"]);
        if let Some(meant) = suggest::nearest(name, here) {
            return Some(format!("did you mean \"{meant}\"?"));
        }
        let meant = suggest::nearest(name, self.registry.names(Contexts::ANY))?;
        let contexts = self.registry.contexts_of(meant);
        Some(format!(
            "did you mean \"{meant}\"? It is allowed in: {contexts}"
        ))
    }

    /// The place of an argument that looks like a misspelt directive.
    fn nearly_swallowed(&self, args: &Args<'_>) -> Option<usize> {
        suggest::swallowed(args.name(), args.values(), |word| {
            suggest::nearest(word, self.registry.names(self.context)).is_some()
        })
    }

    fn swallowed(&self, args: &Args<'_>) -> Option<usize> {
        suggest::swallowed(args.name(), args.values(), |word| {
            self.registry.find(word, self.context).is_some()
        })
    }
}

/// Whether the directive has the arguments and the end that its row asks for.
fn check(row: Row, args: &Args<'_>) -> Result<(), Problem> {
    let name = args.name();
    let arity = row.directive.arity;
    let has_block = !matches!(args.body(), Body::Simple);
    if has_block && !arity.has_block() {
        let message = format!("directive \"{name}\" is not terminated by \";\"");
        return Err(args
            .problem(message)
            .with_help(format!("\"{name}\" takes no block")));
    }
    if !has_block && arity.has_block() {
        let message = format!("directive \"{name}\" has no opening \"{{\"");
        return Err(args
            .problem(message)
            .with_help(format!("\"{name}\" needs a block")));
    }
    let given = args.values().len();
    if !arity.accepts(given) {
        let message = format!("invalid number of arguments in \"{name}\" directive");
        let help = format!("\"{name}\" takes {arity}, {given} given");
        return Err(args.problem(message).with_help(help));
    }
    Ok(())
}

/// Points at the end of the word before argument `i`, with which a line begins.
fn missing_semicolon(mut problem: Problem, args: &Args<'_>, i: usize) -> Problem {
    let before = i
        .checked_sub(1)
        .map_or_else(|| args.name(), |before| args.arg(before));
    problem
        .help
        .get_or_insert_with(|| "a directive ends with \";\"".to_owned());
    problem.with_note(before.span().after(), "a \";\" may be missing")
}
