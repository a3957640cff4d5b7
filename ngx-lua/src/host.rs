//! A Lua VM and the chunks that run in it.

use mlua::chunk::ChunkMode;
use mlua::{FromLuaMulti, Function, IntoLuaMulti, Lua, LuaOptions, MultiValue, StdLib, Value};

use crate::error::Error;
use crate::name::ChunkName;

/// One Lua VM: LuaJIT with the 5.2 extensions, as OpenResty builds it.
///
/// A VM belongs to one thread, and so does everything that came out of it: `Host` and [`Chunk`]
/// are neither `Send` nor `Sync`. A program with several threads makes one host in each; inside
/// tokio, keep it in a `LocalSet` or a current-thread runtime.
///
/// The libraries `debug` and `ffi` are absent, as are C modules and precompiled chunks: with any
/// of them a script could break memory safety.
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
#[derive(Debug)]
pub struct Host {
    lua: Lua,
    /// `xpcall` as it was when the VM started, whatever scripts do to the global later.
    xpcall: Function,
    /// The message handler of every run: turns the error object into a [`Failure`].
    on_error: Function,
}

impl Host {
    /// Starts a VM with the standard libraries.
    ///
    /// # Errors
    /// [`Error::Vm`] when the VM cannot be set up.
    pub fn new() -> Result<Self, Error> {
        let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::default()).map_err(vm_error)?;
        let xpcall = lua.globals().get("xpcall").map_err(vm_error)?;
        let on_error = lua.create_function(describe_failure).map_err(vm_error)?;
        Ok(Self {
            lua,
            xpcall,
            on_error,
        })
    }

    /// Compiles source text. Nothing runs yet; a chunk may be run many times.
    ///
    /// # Errors
    /// [`Error::Syntax`] with the chunk's name and the line, also for bytecode, which is refused.
    pub fn load(
        &self,
        name: impl Into<ChunkName>,
        source: impl AsRef<[u8]>,
    ) -> Result<Chunk, Error> {
        let name = name.into();
        let function = self
            .lua
            .load(source.as_ref())
            .set_name(name.as_str())
            .set_mode(ChunkMode::Text)
            .into_function()
            .map_err(|error| Error::Syntax {
                message: error_text(&error),
            })?;
        Ok(Chunk {
            name,
            function,
            lua: self.lua.clone(),
            xpcall: self.xpcall.clone(),
            on_error: self.on_error.clone(),
        })
    }

    /// The VM itself, for setting globals and for making tables and functions to pass to chunks.
    pub fn lua(&self) -> &Lua {
        &self.lua
    }
}

/// A compiled piece of Lua, made by [`Host::load`].
#[derive(Clone, Debug)]
pub struct Chunk {
    name: ChunkName,
    function: Function,
    lua: Lua,
    xpcall: Function,
    on_error: Function,
}

impl Chunk {
    /// The name it was loaded under.
    pub fn name(&self) -> &ChunkName {
        &self.name
    }

    /// Runs the chunk to its end: the arguments are its `...`, the results what it returns.
    ///
    /// Lua runs on the calling thread and nothing else does meanwhile. An endless loop is not
    /// ended. Endless recursion is an error where Lua's own stack is what overflows; recursion
    /// through callbacks of `string.gsub` and through nested coroutines uses the stack of the
    /// thread, and LuaJIT does not count it: the process ends when that is gone.
    ///
    /// # Errors
    /// [`Error::Runtime`] when the chunk raises, [`Error::Results`] when it returns something that
    /// does not convert to `R`, [`Error::Vm`] when the arguments cannot be handed over.
    pub fn run<A, R>(&self, arguments: A) -> Result<R, Error>
    where
        A: IntoLuaMulti,
        R: FromLuaMulti,
    {
        let mut call = arguments.into_lua_multi(&self.lua).map_err(vm_error)?;
        call.push_front(Value::Function(self.on_error.clone()));
        call.push_front(Value::Function(self.function.clone()));

        let mut results: MultiValue = self.xpcall.call(call).map_err(uncaught)?;
        if results.pop_front() == Some(Value::Boolean(true)) {
            return R::from_lua_multi(results, &self.lua).map_err(|error| Error::Results {
                chunk: self.name.to_string(),
                message: error.to_string(),
            });
        }
        Err(self.runtime_error(results.pop_front()))
    }

    fn runtime_error(&self, failure: Option<Value>) -> Error {
        if let Some(Value::Table(pair)) = &failure
            && let (Ok(message), Ok(traceback)) = (pair.get(1), pair.get(2))
        {
            return Error::Runtime { message, traceback };
        }
        // The handler itself failed: the VM was out of stack or of memory, and says so.
        let message = failure.map_or_else(String::new, |value| object_text(&value));
        Error::Runtime {
            message,
            traceback: String::new(),
        }
    }
}

/// The message handler: runs at the place of the error, while the stack still stands.
fn describe_failure(lua: &Lua, object: Value) -> mlua::Result<(mlua::Table,)> {
    let message = object_text(&object);
    // Level 1 is what called this handler: the function that raised.
    let traceback = lua.traceback(None, 1)?.to_string_lossy();
    Ok((lua.create_sequence_from([message, traceback])?,))
}

/// An error object as text; never fails, never raises.
fn object_text(object: &Value) -> String {
    match object {
        Value::Error(error) => error_text(error),
        Value::String(text) => text.to_string_lossy(),
        Value::Table(_) | Value::UserData(_) if !has_to_string(object) => unnamed(object),
        Value::Function(_) | Value::Thread(_) | Value::LightUserData(_) => unnamed(object),
        other => other.to_string().unwrap_or_else(|_| unnamed(other)),
    }
}

fn has_to_string(object: &Value) -> bool {
    match object {
        Value::Table(table) => table
            .metatable()
            .is_some_and(|meta| meta.contains_key("__tostring").unwrap_or(false)),
        Value::UserData(data) => data
            .metatable()
            .is_ok_and(|meta| meta.contains("__tostring").unwrap_or(false)),
        _ => false,
    }
}

fn unnamed(object: &Value) -> String {
    format!("(error object is a {} value)", object.type_name())
}

/// A failure that went past `xpcall`.
fn uncaught(error: mlua::Error) -> Error {
    Error::Runtime {
        message: error_text(&error),
        traceback: String::new(),
    }
}

fn vm_error(error: mlua::Error) -> Error {
    Error::Vm {
        message: error_text(&error),
    }
}

/// What the VM or a Rust function said, without the words that the bindings put before it.
fn error_text(error: &mlua::Error) -> String {
    match error {
        mlua::Error::SyntaxError { message, .. } | mlua::Error::RuntimeError(message) => {
            message.clone()
        }
        mlua::Error::CallbackError { cause, .. } => error_text(cause),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
