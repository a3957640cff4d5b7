//! `ngx lua`: runs a Lua script outside of a server, with cosockets, light threads and timers.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use ngx_core::log::{self, ErrorLog, Level, Stderr};
use ngx_core::resolver::{Resolver, ResolverOptions};
use ngx_lua::mlua::{self, Lua, MultiValue};
use ngx_lua::{Chunk, ChunkName, Error, Host, Resolve, Resolving, Settings};

/// What `ngx lua -h` prints.
const HELP: &str = "\
Usage: ngx lua [-I folder]... script.lua [argument]...
       ngx lua [-I folder]... -e code [argument]...

Runs Lua with ngx.socket, ngx.thread, ngx.timer and what else works without a request.
The script - is read from the standard input. The table arg has the arguments.

  -e code    Runs this piece of Lua instead of a file
  -I folder  Looks for modules in this folder, too
  -h         Shows this help";

/// What the scripts of a command line have besides: results go to the standard output.
const PRELUDE: &[u8] = b"
local out, tostring, select, type = io.stdout, tostring, select, type
local concat = table.concat

local function flat(value, into)
    if type(value) ~= 'table' then
        into[#into + 1] = tostring(value)
        return
    end
    for i = 1, #value do flat(value[i], into) end
end

local function write(last, ...)
    local into = {}
    for i = 1, select('#', ...) do flat((select(i, ...)), into) end
    into[#into + 1] = last
    local ok, err = out:write(concat(into))
    if not ok then return nil, err end
    return 1
end

function print(...)
    local words = {}
    for i = 1, select('#', ...) do words[i] = tostring((select(i, ...))) end
    out:write(concat(words, '\\t'), '\\n')
end

function ngx.say(...) return write('\\n', ...) end
function ngx.print(...) return write('', ...) end
function ngx.flush() out:flush() return 1 end
";

/// Runs `ngx lua` with the arguments behind these words.
pub(crate) fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = match Order::read(args) {
        Ok(Some(order)) => serve(&order),
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(complaint) => Err(format!("{complaint}\nngx lua -h lists the options")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("ngx: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    folders: Vec<OsString>,
    script: Script,
    arguments: Vec<OsString>,
}

#[derive(Debug, PartialEq, Eq)]
enum Script {
    Code(OsString),
    File(OsString),
    Stdin,
}

impl Order {
    /// `None` asks for help.
    fn read(mut args: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut folders = Vec::new();
        let script = loop {
            let Some(word) = args.next() else {
                return Err("no script is given".to_owned());
            };
            match word.as_bytes() {
                b"-h" | b"--help" => return Ok(None),
                b"-" => break Script::Stdin,
                b"-e" => match args.next() {
                    Some(code) => break Script::Code(code),
                    None => return Err("option \"-e\" requires code".to_owned()),
                },
                b"-I" => match args.next() {
                    Some(folder) => folders.push(folder),
                    None => return Err("option \"-I\" requires a folder".to_owned()),
                },
                [b'-', ..] => {
                    return Err(format!("invalid option: \"{}\"", word.to_string_lossy()));
                }
                _ => break Script::File(word),
            }
        };
        Ok(Some(Self {
            folders,
            script,
            arguments: args.collect(),
        }))
    }
}

impl Script {
    /// How `arg[0]` and messages call it.
    fn name(&self) -> (OsString, ChunkName) {
        match self {
            Self::Code(_) => ("-e".into(), ChunkName::literal("(command line)")),
            Self::Stdin => ("-".into(), ChunkName::literal("stdin")),
            Self::File(path) => (path.clone(), ChunkName::file(&path.to_string_lossy())),
        }
    }

    fn text(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Code(code) => Ok(code.clone().into_vec()),
            Self::Stdin => {
                let mut text = Vec::new();
                let read = io::stdin().read_to_end(&mut text);
                read.map_err(|error| format!("cannot read the standard input: {error}"))?;
                Ok(text)
            }
            Self::File(path) => fs::read(path)
                .map_err(|error| format!("cannot open {}: {error}", path.to_string_lossy())),
        }
    }
}

fn serve(order: &Order) -> Result<(), String> {
    let text = order.script.text()?;
    log::set_default(Arc::new(ErrorLog::new([(
        Level::Warn,
        Arc::new(Stderr) as _,
    )])));
    log::install().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let host = Host::with_settings(settings()).map_err(|error| error.to_string())?;
        let prelude = host.load(ChunkName::literal("ngx lua"), PRELUDE);
        let prelude: Result<(), Error> = prelude.and_then(|chunk| chunk.run(()));
        prelude.map_err(|error| said(&error))?;
        let globals = set_up(host.lua(), order);
        globals.map_err(|error| error.to_string())?;
        let chunk = host.load(order.script.name().1, without_shebang(&text));
        call(&chunk.map_err(|error| said(&error))?, order).await
    })
}

async fn call(chunk: &Chunk, order: &Order) -> Result<(), String> {
    let arguments = order.arguments.iter().map(|word| word.as_bytes().to_vec());
    let arguments: mlua::Variadic<Bytes> = arguments.map(Bytes).collect();
    let ended: Result<MultiValue, Error> = chunk.call(arguments).await;
    ended.map(drop).map_err(|error| said(&error))
}

/// Bytes as a string of Lua.
struct Bytes(Vec<u8>);

impl mlua::IntoLua for Bytes {
    fn into_lua(self, lua: &Lua) -> mlua::Result<mlua::Value> {
        lua.create_string(self.0).map(mlua::Value::String)
    }
}

/// The table `arg`, and where modules are looked for.
fn set_up(lua: &Lua, order: &Order) -> mlua::Result<()> {
    let arg = lua.create_table()?;
    arg.set(0, Bytes(order.script.name().0.into_vec()))?;
    for word in &order.arguments {
        arg.push(Bytes(word.as_bytes().to_vec()))?;
    }
    lua.globals().set("arg", arg)?;
    let package: mlua::Table = lua.globals().get("package")?;
    for folder in order.folders.iter().rev() {
        let usual: String = package.get("path")?;
        let folder = folder.to_string_lossy();
        let path = format!("{folder}/?.lua;{folder}/?/init.lua;{usual}");
        package.set("path", path)?;
    }
    Ok(())
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    // Whoever starts the script could as well start any other program.
    settings.trusted = true;
    settings.resolver = Some(Rc::new(Names::of_the_system()));
    settings
}

/// An error as the command prints it.
fn said(error: &Error) -> String {
    match error {
        Error::Syntax { message } => message.clone(),
        Error::Runtime { message, traceback } if traceback.is_empty() => message.clone(),
        Error::Runtime { message, traceback } => format!("{message}\n{traceback}"),
        other => other.to_string(),
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

/// The names of this machine: `/etc/hosts`, and the servers of `/etc/resolv.conf`.
struct Names {
    hosts: HashMap<String, Vec<IpAddr>>,
    resolver: Option<Rc<Resolver>>,
}

impl Names {
    fn of_the_system() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let servers = name_servers(&read("/etc/resolv.conf"));
        let resolver =
            (!servers.is_empty()).then(|| Rc::new(Resolver::new(ResolverOptions::new(servers))));
        Self {
            hosts: hosts(&read("/etc/hosts")),
            resolver,
        }
    }
}

impl Resolve for Names {
    fn resolve(&self, name: &str) -> Resolving {
        let name = name.to_owned();
        let known = self.hosts.get(&name.to_ascii_lowercase()).cloned();
        let resolver = self.resolver.clone();
        Box::pin(async move {
            match (known, resolver) {
                (Some(known), _) => Ok(known),
                (None, Some(resolver)) => match resolver.resolve(&name).await {
                    Ok(found) => Ok(found.to_vec()),
                    Err(error) => Err(error.to_string()),
                },
                (None, None) => Err(format!("no resolver defined to resolve \"{name}\"")),
            }
        })
    }
}

/// The lines `nameserver 192.0.2.1` of `/etc/resolv.conf`.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let addrs = text.lines().filter_map(|line| {
        let addr = line.trim_start().strip_prefix("nameserver")?;
        addr.trim().parse::<IpAddr>().ok()
    });
    addrs.map(|ip| SocketAddr::new(ip, 53)).collect()
}

/// The lines `192.0.2.1 name other.name # remark` of `/etc/hosts`.
fn hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let Some(ip) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        for name in words {
            hosts.entry(name.to_ascii_lowercase()).or_default().push(ip);
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(words: &[&str]) -> Result<Option<Order>, String> {
        Order::read(words.iter().map(OsString::from))
    }

    #[test]
    fn what_stands_behind_the_script_is_its_own() {
        let order = order(&["-I", "lib", "a.lua", "-e", "x"]).unwrap().unwrap();
        assert_eq!(order.folders, ["lib"]);
        assert_eq!(order.script, Script::File("a.lua".into()));
        assert_eq!(order.arguments, ["-e", "x"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(order(&[]), Err("no script is given".to_owned()));
        assert_eq!(order(&["-z"]), Err("invalid option: \"-z\"".to_owned()));
        assert!(order(&["-e"]).is_err());
        assert_eq!(order(&["-h"]), Ok(None));
    }

    #[test]
    fn the_names_of_the_machine() {
        let servers = name_servers("# a\nsearch x\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n");
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53"]);
        let hosts = hosts("127.0.0.1 localhost Here # there\n::1 localhost\nrubbish\n");
        assert_eq!(hosts["localhost"].len(), 2);
        assert_eq!(hosts["here"], [IpAddr::from([127, 0, 0, 1])]);
        assert!(!hosts.contains_key("there"));
    }
}
