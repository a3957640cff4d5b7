//! What a host can be told.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ngx_core::zone::Dict;

/// Limits, timeouts and the resolver of a [`Host`](crate::Host); the defaults are those of
/// lua-nginx-module.
///
/// ```
/// use std::time::Duration;
/// use ngx_lua::{Host, Settings};
///
/// let mut settings = Settings::default();
/// settings.connect_timeout = Duration::from_secs(1);
/// let host = Host::with_settings(settings)?;
/// # Ok::<(), ngx_lua::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Timers that may wait at once (`lua_max_pending_timers`, 1024).
    pub max_pending_timers: usize,
    /// Timers whose callbacks may run at once (`lua_max_running_timers`, 256).
    pub max_running_timers: usize,
    /// How long a cosocket may take to connect (`lua_socket_connect_timeout`, 60 s).
    pub connect_timeout: Duration,
    /// How long a cosocket may wait between two writes (`lua_socket_send_timeout`, 60 s).
    pub send_timeout: Duration,
    /// How long a cosocket may wait between two reads (`lua_socket_read_timeout`, 60 s).
    pub read_timeout: Duration,
    /// How much a cosocket reads at once (`lua_socket_buffer_size`, 4 KiB).
    pub buffer_size: usize,
    /// Connections that a pool keeps unless it is told otherwise (`lua_socket_pool_size`, 30).
    pub pool_size: usize,
    /// How long a pool keeps a connection unless it is told otherwise
    /// (`lua_socket_keepalive_timeout`, 60 s).
    pub keepalive_timeout: Duration,
    /// Whether what goes wrong on cosockets is logged (`lua_socket_log_errors`, on).
    pub log_socket_errors: bool,
    /// Compiled patterns that are kept for the option `o` (`lua_regex_cache_max_entries`, 1024).
    pub regex_cache_size: usize,
    /// After how many steps matching a pattern is given up (`lua_regex_match_limit`); 0 leaves it to
    /// PCRE2, which has ten million.
    pub regex_match_limit: u32,
    /// Finished Lua threads that are kept to be used again (`lua_thread_cache_max_entries`, 1024).
    pub thread_cache_size: usize,
    /// Whether scripts are trusted as the program itself is (not unless said so): they get `debug`,
    /// `ffi`, modules written in C, and precompiled chunks, and can do with them whatever the
    /// process can. A server whose configuration names the scripts sets it, for OpenResty's have
    /// them.
    ///
    /// Modules in C find Lua's functions in the program if it exports them: link it with
    /// `-rdynamic`.
    pub trusted: bool,
    /// Where `require` looks for Lua files (`lua_package_path`); `;;` stands for where it looks by
    /// itself.
    pub package_path: Option<String>,
    /// Where `require` looks for modules written in C (`lua_package_cpath`), if scripts are
    /// [trusted](Self::trusted).
    pub package_cpath: Option<String>,
    /// What `ngx.worker.count()` says (`worker_processes`, 1).
    pub worker_count: usize,
    /// Asked for `ngx.worker.id()` each time, for a VM may be made by another thread than the one it
    /// serves on: the number of the thread's worker, from 0, or `None` outside of workers.
    pub worker_id: fn() -> Option<usize>,
    /// What `ngx.config.prefix()` says: a folder, with a slash at its end.
    pub prefix: String,
    /// What `os.getenv` knows (`env`); without it, what the process does.
    pub environment: Option<Vec<(String, String)>>,
    /// Whose behaviour scripts may expect, for `ngx.config.nginx_version`: 1.31.5 is 1031005.
    pub nginx_version: u32,
    /// What `ngx.config.nginx_configure()` says.
    pub nginx_configure: String,
    /// What `ngx.config.debug` says.
    pub debug: bool,
    /// The dictionaries of `ngx.shared`, by name (`lua_shared_dict`, none). Hosts of several threads
    /// may have the same ones.
    pub shared_dicts: Vec<(String, Arc<Dict>)>,
    /// Who knows the addresses of names. Without one, connecting to a name fails with
    /// `no resolver defined to resolve "…"`.
    pub resolver: Option<Rc<dyn Resolve>>,
}

/// Finds the addresses of host names.
///
/// ```
/// use std::future::ready;
/// use std::net::IpAddr;
/// use std::rc::Rc;
/// use ngx_lua::{Resolve, Resolving, Settings};
///
/// struct Hosts;
///
/// impl Resolve for Hosts {
///     fn resolve(&self, name: &str) -> Resolving {
///         let answer = match name {
///             "redis.local" => Ok(vec![IpAddr::from([127, 0, 0, 1])]),
///             _ => Err(format!("{name} could not be resolved (3: Host not found)")),
///         };
///         Box::pin(ready(answer))
///     }
/// }
///
/// let mut settings = Settings::default();
/// settings.resolver = Some(Rc::new(Hosts));
/// ```
pub trait Resolve {
    /// The addresses of `name`, the one to try first; or what `sock:connect` returns as its error,
    /// in nginx's words: `example.com could not be resolved (3: Host not found)`.
    fn resolve(&self, name: &str) -> Resolving;
}

/// The answer of a [`Resolve`].
pub type Resolving = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>>>>;

impl Default for Settings {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            max_pending_timers: 1024,
            max_running_timers: 256,
            connect_timeout: MINUTE,
            send_timeout: MINUTE,
            read_timeout: MINUTE,
            buffer_size: 4096,
            pool_size: 30,
            keepalive_timeout: MINUTE,
            log_socket_errors: true,
            regex_cache_size: 1024,
            regex_match_limit: 0,
            thread_cache_size: 1024,
            trusted: false,
            package_path: None,
            package_cpath: None,
            worker_count: 1,
            worker_id: || Some(0),
            prefix: String::new(),
            environment: None,
            nginx_version: 1_031_005,
            nginx_configure: String::new(),
            debug: false,
            shared_dicts: Vec::new(),
            resolver: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("connect_timeout", &self.connect_timeout)
            .field("send_timeout", &self.send_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("pool_size", &self.pool_size)
            .field("resolver", &self.resolver.is_some())
            .finish_non_exhaustive()
    }
}
