//! The VM of a thread and a generation.

use std::cell::{OnceCell, RefCell};
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ngx_core::cycle::Cycle;
use ngx_core::error;
use ngx_core::error::errno;
use ngx_core::http::{Generation, Request};
use rustc_hash::FxHashMap;

use super::code::{Code, Source};
use super::conf::{LuaConf, MainConf};
use super::{Guest, api, globals};
use crate::ffi::{Exhausted, Kept, Parcel};
use crate::phase::Phase;
use crate::sched::{Engine, Entry, Failure, Purpose, RunKind, Spare};
use crate::{ChunkName, Error, Host};

/// A VM with the code of the configuration that it has compiled.
pub(super) struct Vm {
    host: Host,
    /// By the numbers of the pieces.
    inline: RefCell<Vec<Option<Rc<Kept>>>>,
    /// By the names of the files.
    files: RefCell<FxHashMap<Vec<u8>, Rc<Kept>>>,
    /// What runs are made of.
    spare: Rc<Spare>,
}

/// Why code cannot run.
pub(super) enum LoadError {
    /// The file is not there.
    NoFile(String),
    Other(String),
}

/// The VM of a generation on this thread, or why there is none.
#[derive(Default)]
struct Local(OnceCell<Result<Rc<Vm>, String>>);

/// VMs in which `init_by_lua` has run and which no thread has taken yet: a part of the
/// configuration.
#[derive(Default)]
pub(super) struct Prepared(Mutex<Vec<Parcel<Vm>>>);

/// Makes the VMs of all worker threads and runs `init_by_lua` in each, before the generation may
/// serve: it may take its time without anybody waiting for it.
///
/// # Errors
/// What went wrong, for the log.
pub(super) fn prepare(cycle: &Arc<Cycle>) -> Result<(), String> {
    let count = if cycle.is_test() {
        1
    } else {
        cycle.core().workers()
    };
    let prepared = cycle.part::<Prepared>().unwrap_or_default();
    for at in 0..count {
        let init = if at == 0 { Init::First } else { Init::Again };
        let vm = Vm::new(cycle, init)?;
        // One that cannot be handed over is made anew by the thread that needs it.
        if let Some(parcel) = vm.into_parcel() {
            prepared.lock().push(parcel);
        }
    }
    Ok(())
}

/// A worker thread takes a generation.
pub(super) fn start(generation: &Rc<Generation>) {
    let Some(conf) = wanted(generation) else {
        return;
    };
    match (of(generation), &conf.init_worker) {
        (Ok(vm), Some(code)) => vm.in_worker(code, Phase::InitWorker),
        (Ok(_), None) => {}
        (Err(message), _) => error!(multiline = true, "{message}"),
    }
}

/// A generation gets no new requests: timers are told, and `exit_worker_by_lua` runs.
pub(super) fn retire(generation: &Rc<Generation>) {
    let Some(conf) = wanted(generation) else {
        return;
    };
    if let Ok(vm) = of(generation) {
        vm.host.shut_down();
        if let Some(code) = &conf.exit_worker {
            vm.in_worker(code, Phase::ExitWorker);
        }
    }
}

/// The VM for a request, with what its location says about Lua.
#[inline]
pub(super) fn of_request(guest: &Guest, conf: &LuaConf) -> Result<Rc<Vm>, String> {
    if *conf.code_cache {
        return of(guest.request.generation());
    }
    of_its_own(guest)
}

/// The VM that a request has for itself.
#[cold]
fn of_its_own(guest: &Guest) -> Result<Rc<Vm>, String> {
    if let Some(vm) = &*guest.state.vm.borrow() {
        return Ok(Rc::clone(vm));
    }
    let cycle = guest.request.generation().cycle();
    let vm = Rc::new(Vm::new(cycle, Init::Again)?);
    guest.state.vm.replace(Some(Rc::clone(&vm)));
    Ok(vm)
}

thread_local! {
    /// The generation whose VM was asked for last, and that VM: as a rule, it is asked for again.
    static LAST: RefCell<(Weak<Generation>, Weak<Vm>)> = const {
        RefCell::new((Weak::new(), Weak::new()))
    };
}

/// The VM of a generation on this thread.
#[inline]
fn of(generation: &Rc<Generation>) -> Result<Rc<Vm>, String> {
    let known = LAST.with_borrow(|(last, vm)| {
        // While it is pointed to, its place is nobody else's.
        let is_last = ptr::eq(last.as_ptr(), Rc::as_ptr(generation));
        is_last.then(|| vm.upgrade()).flatten()
    });
    match known {
        Some(vm) => Ok(vm),
        None => found(generation),
    }
}

#[cold]
fn found(generation: &Rc<Generation>) -> Result<Rc<Vm>, String> {
    let vm = made_for(generation)?;
    LAST.replace((Rc::downgrade(generation), Rc::downgrade(&vm)));
    Ok(vm)
}

fn wanted(generation: &Generation) -> Option<Arc<MainConf>> {
    generation
        .cycle()
        .part::<MainConf>()
        .filter(|conf| conf.is_wanted())
}

fn made_for(generation: &Generation) -> Result<Rc<Vm>, String> {
    let local = generation.local::<Local>();
    local
        .0
        .get_or_init(|| {
            let cycle = generation.cycle();
            let parcel = cycle.part::<Prepared>().and_then(|all| all.lock().pop());
            match parcel {
                Some(parcel) => Ok(Rc::new(parcel.open())),
                None => Vm::new(cycle, Init::Again).map(Rc::new),
            }
        })
        .clone()
}

/// Whether `init_by_lua` has run for this generation before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Init {
    First,
    /// It fills the tables of one more VM: what it wants logged was logged.
    Again,
}

impl Prepared {
    fn lock(&self) -> MutexGuard<'_, Vec<Parcel<Vm>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vm {
    /// A VM in which `init_by_lua` has run.
    fn new(cycle: &Cycle, init: Init) -> Result<Self, String> {
        let conf = cycle.part::<MainConf>().unwrap_or_default();
        let host = Host::with_settings(conf.settings(cycle)).map_err(|error| error.to_string())?;
        api::install(host.engine()).map_err(|error| error.to_string())?;
        let vm = Self {
            host,
            inline: RefCell::default(),
            files: RefCell::default(),
            spare: Rc::default(),
        };
        if let Some(code) = &conf.init {
            vm.engine().set_replay(init == Init::Again);
            let ran = vm.run_blocking(code, Phase::Init);
            vm.engine().set_replay(false);
            ran.map_err(|message| format!("init_by_lua error: {message}"))?;
        }
        globals::guard(vm.engine()).map_err(|error| error.to_string())?;
        Ok(vm)
    }

    /// Packs the VM for another thread, if nothing here refers to it.
    fn into_parcel(self) -> Option<Parcel<Self>> {
        self.spare.clear();
        let engine = Rc::clone(self.engine());
        // This one, and the one inside.
        let alone = Rc::strong_count(&engine) == 2;
        drop(engine);
        alone.then(|| Parcel::seal(self))
    }

    pub(super) fn engine(&self) -> &Rc<Engine> {
        self.host.engine()
    }

    /// The compiled code, for `r` if the name of its file has variables.
    #[inline]
    pub(super) fn function(&self, code: &Code, r: Option<&Request>) -> Result<Rc<Kept>, LoadError> {
        // Files are not here, their names may have variables.
        if let Some(Some(known)) = self.inline.borrow().get(code.id) {
            return Ok(Rc::clone(known));
        }
        self.function_of(code, r)
    }

    #[inline(never)]
    fn function_of(&self, code: &Code, r: Option<&Request>) -> Result<Rc<Kept>, LoadError> {
        match &code.source {
            Source::Inline { text, name } => {
                let function = self.compile(name.clone(), text).map_err(|message| {
                    LoadError::Other(format!("failed to load inlined Lua code: {message}"))
                })?;
                let mut inline = self.inline.borrow_mut();
                if inline.len() <= code.id {
                    inline.resize(code.id + 1, None);
                }
                if let Some(place) = inline.get_mut(code.id) {
                    *place = Some(function.clone());
                }
                Ok(function)
            }
            Source::File { name, prefix } => {
                let name = match (name.literal(), r) {
                    (Some(name), _) => name.clone(),
                    (None, Some(r)) => name.eval_bytes(r),
                    (None, None) => {
                        let message = "the name of the file needs a request";
                        return Err(LoadError::Other(message.to_owned()));
                    }
                };
                if let Some(known) = self.files.borrow().get(&*name) {
                    return Ok(known.clone());
                }
                let path = prefix.join(ngx_core::conf::path_of(&name));
                let function = self.compile_file(&path)?;
                let known = function.clone();
                self.files.borrow_mut().insert(name.to_vec(), known);
                Ok(function)
            }
        }
    }

    fn compile_file(&self, path: &std::path::Path) -> Result<Rc<Kept>, LoadError> {
        let shown = path.display();
        let failed = format!("failed to load external Lua file \"{shown}\": ");
        let text = std::fs::read(path).map_err(|error| {
            let why = errno(&error);
            LoadError::NoFile(format!("{failed}cannot open {shown} {why}"))
        })?;
        self.compile(ChunkName::file(&shown.to_string()), without_shebang(&text))
            .map_err(|message| LoadError::Other(failed + &message))
    }

    fn compile(&self, name: ChunkName, text: &[u8]) -> Result<Rc<Kept>, String> {
        match self.host.load(name, text) {
            Ok(chunk) => {
                let kept = self.engine().raw().keep_function(chunk.into_function());
                kept.map_err(|error| error.to_string())
            }
            Err(Error::Syntax { message }) => Err(message),
            Err(other) => Err(other.to_string()),
        }
    }

    /// Runs code that must not wait and has no request.
    fn run_blocking(&self, code: &Code, phase: Phase) -> Result<(), String> {
        let function = self.function(code, None).map_err(LoadError::into_message)?;
        let purpose = Purpose::new(RunKind::Blocking, phase);
        let entry = Entry::of_kept(self.engine(), &self.spare, purpose, &function)
            .map_err(|_| "not enough memory")?;
        entry.block().map(drop).map_err(|failure| failure.text())
    }

    /// Runs code of a worker thread, which may wait; what is wrong with it is logged.
    fn in_worker(self: &Rc<Self>, code: &Arc<Code>, phase: Phase) {
        let function = match self.function(code, None) {
            Ok(function) => function,
            Err(error) => {
                error!("{}", error.into_message());
                return;
            }
        };
        let purpose = Purpose::new(RunKind::Waiting, phase);
        let Ok(entry) = Entry::of_kept(self.engine(), &self.spare, purpose, &function) else {
            error!("{} error: not enough memory", phase.context());
            return;
        };
        let context = phase.context();
        match entry.begin() {
            crate::sched::Begun::Over(outcome) => log_outcome(outcome.map(drop), context),
            crate::sched::Begun::Waiting(waiting) => {
                let vm = Rc::clone(self);
                tokio::task::spawn_local(async move {
                    let outcome = waiting.finish().await;
                    log_outcome(outcome.map(drop), context);
                    drop(vm);
                });
            }
        }
    }

    /// Prepares a run for a request.
    #[inline]
    pub(super) fn entry(
        &self,
        guest: Guest,
        kind: RunKind,
        phase: Phase,
        function: &Kept,
    ) -> Result<Entry, Exhausted> {
        let purpose = Purpose {
            kind,
            phase,
            guest: Some(guest),
            heritage: None,
        };
        Entry::of_kept(self.engine(), &self.spare, purpose, function)
    }
}

impl LoadError {
    pub(super) fn into_message(self) -> String {
        match self {
            Self::NoFile(message) | Self::Other(message) => message,
        }
    }
}

fn log_outcome(outcome: Result<(), Failure>, context: &str) {
    if let Err(failure) = outcome {
        error!(multiline = true, "{context} error: {}", failure.text());
    }
}

/// A first line that begins with `#` is for the shell.
fn without_shebang(text: &[u8]) -> &[u8] {
    if !text.starts_with(b"#") {
        return text;
    }
    let end = text.iter().position(|&byte| byte == b'\n');
    // The end of the line stays, so that lines keep their numbers.
    end.and_then(|end| text.get(end..)).unwrap_or_default()
}
