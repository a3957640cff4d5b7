//! A Lua VM and the chunks that run in it.

use std::fmt;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, MultiValue};

use crate::api;
use crate::error::{Error, error_text};
use crate::ffi::{RawVm, guard_libraries, open};
use crate::name::ChunkName;
use crate::phase::Phase;
use crate::sched::{Engine, Entry, Purpose, RunKind};
use crate::settings::Settings;

/// One Lua VM: LuaJIT with the 5.2 extensions, as OpenResty builds it.
///
/// A VM belongs to one thread, and so does everything that came out of it: `Host` and [`Chunk`]
/// are neither `Send` nor `Sync`. A program with several threads makes one host in each; inside
/// tokio, keep it in a `LocalSet` or a current-thread runtime.
///
/// The libraries `debug` and `ffi` are absent, as are C modules and precompiled chunks: with any
/// of them a script could break memory safety. [`Settings::trusted`] lets them in.
///
/// ```
/// use ngx_lua::Host;
///
/// let host = Host::new()?;
/// let chunk = host.load("greet", "local name = ... return 'hello, ' .. name")?;
/// let greeting: String = chunk.run("world")?;
/// assert_eq!(greeting, "hello, world");
/// # Ok::<(), ngx_lua::Error>(())
/// ```
pub struct Host {
    engine: Rc<Engine>,
}

impl Host {
    /// Starts a VM with the standard libraries and the `ngx` table.
    ///
    /// # Errors
    /// [`Error::Vm`] when the VM cannot be set up.
    pub fn new() -> Result<Self, Error> {
        Self::with_settings(Settings::default())
    }

    /// Starts a VM with limits, timeouts and a resolver of one's own.
    ///
    /// # Errors
    /// [`Error::Vm`] when the VM cannot be set up.
    pub fn with_settings(settings: Settings) -> Result<Self, Error> {
        let lua = open(settings.trusted).map_err(vm_error)?;
        guard_libraries(&lua).map_err(vm_error)?;
        let raw = RawVm::new(lua, settings.thread_cache_size).map_err(vm_error)?;
        let engine = Engine::new(raw, settings);
        api::install(&engine).map_err(vm_error)?;
        Ok(Self { engine })
    }

    /// Compiles source text. Nothing runs yet; a chunk may be run many times.
    ///
    /// # Errors
    /// [`Error::Syntax`] with the chunk's name and the line, also for bytecode unless scripts are
    /// [trusted](Settings::trusted).
    pub fn load(
        &self,
        name: impl Into<ChunkName>,
        source: impl AsRef<[u8]>,
    ) -> Result<Chunk, Error> {
        let name = name.into();
        let source = source.as_ref();
        let trusted = self.engine.settings().trusted;
        let mode = match source.first() {
            Some(0x1b) if trusted => ChunkMode::Binary,
            _ => ChunkMode::Text,
        };
        let function = self
            .lua()
            .load(source)
            .set_name(name.as_str())
            .set_mode(mode)
            .into_function()
            .map_err(|error| Error::Syntax {
                message: error_text(&error),
            })?;
        Ok(Chunk {
            name,
            function,
            engine: Rc::clone(&self.engine),
        })
    }

    /// The VM itself, for setting globals and for making tables and functions to pass to chunks.
    ///
    /// What runs through it directly runs outside of the scheduler: there `ngx` and `coroutine`
    /// functions raise `no request found`.
    pub fn lua(&self) -> &Lua {
        self.engine.raw().lua()
    }

    #[cfg(feature = "http")]
    pub(crate) fn engine(&self) -> &Rc<Engine> {
        &self.engine
    }

    /// Tells timers that the program ends: those that wait run at once, with `premature` true, and
    /// no new ones with a delay are made (`process exiting`).
    pub fn shut_down(&self) {
        self.engine.shut_down();
    }

    /// How many timers of `ngx.timer.at` wait.
    pub fn pending_timers(&self) -> usize {
        self.engine.pending_timers()
    }

    /// How many timers of `ngx.timer.at` run.
    pub fn running_timers(&self) -> usize {
        self.engine.running_timers()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

/// A compiled piece of Lua, made by [`Host::load`].
#[derive(Clone)]
pub struct Chunk {
    name: ChunkName,
    function: Function,
    engine: Rc<Engine>,
}

impl Chunk {
    /// The name it was loaded under.
    pub fn name(&self) -> &ChunkName {
        &self.name
    }

    /// Runs the chunk to its end, waiting for whatever it waits for: the arguments are its `...`,
    /// the results what it returns. The light threads that it spawns are waited for, too.
    ///
    /// ```
    /// use ngx_lua::Host;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// let local = tokio::task::LocalSet::new();
    /// let slept: f64 = local.block_on(&runtime, async {
    ///     let host = Host::new()?;
    ///     let chunk = host.load("nap", "local s = ngx.now() ngx.sleep(...) return ngx.now() - s")?;
    ///     chunk.call(0.02).await
    /// })?;
    /// assert!(slept >= 0.01);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Runtime`] when the chunk raises, [`Error::Results`] when it returns something that
    /// does not convert to `R`, [`Error::Vm`] when the arguments cannot be handed over.
    ///
    /// # Panics
    /// A chunk that calls `ngx.thread.spawn` or `ngx.timer.at` needs a `LocalSet` or a
    /// `LocalRuntime` of tokio, one that waits needs a runtime.
    ///
    /// # Cancel safety
    /// Dropping the future ends the run: its light threads and sockets go with it, its timers stay.
    pub async fn call<A, R>(&self, arguments: A) -> Result<R, Error>
    where
        A: IntoLuaMulti,
        R: FromLuaMulti,
    {
        let entry = self.entry(RunKind::Waiting, arguments)?;
        self.convert(entry.finish().await?)
    }

    /// Runs the chunk to its end at once. Nothing in it may wait: what would raises
    /// `API disabled in the context of a run that cannot wait`.
    ///
    /// Lua runs on the calling thread and nothing else does meanwhile. An endless loop is not
    /// ended.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn run<A, R>(&self, arguments: A) -> Result<R, Error>
    where
        A: IntoLuaMulti,
        R: FromLuaMulti,
    {
        let entry = self.entry(RunKind::Blocking, arguments)?;
        self.convert(entry.block()?)
    }

    #[cfg(feature = "http")]
    pub(crate) fn into_function(self) -> Function {
        self.function
    }

    #[cfg(test)]
    pub(crate) fn busy_threads(&self) -> usize {
        self.engine.busy_threads()
    }

    fn entry<A: IntoLuaMulti>(&self, kind: RunKind, arguments: A) -> Result<Entry, Error> {
        let arguments = arguments
            .into_lua_multi(self.engine.raw().lua())
            .map_err(vm_error)?;
        Entry::new(
            &self.engine,
            Purpose::new(kind, Phase::Chunk),
            &self.function,
            arguments,
        )
        .map_err(vm_error)
    }

    fn convert<R: FromLuaMulti>(&self, results: MultiValue) -> Result<R, Error> {
        R::from_lua_multi(results, self.engine.raw().lua()).map_err(|error| Error::Results {
            chunk: self.name.to_string(),
            message: error.to_string(),
        })
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn vm_error(error: mlua::Error) -> Error {
    Error::Vm {
        message: error_text(&error),
    }
}

#[cfg(test)]
mod tests;
