//! The programs that take part: where they are, which version, how they are told what to do.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::error::{Doing as _, Error, Result};
use crate::results::Kind;

/// Where servers are installed besides the folders of `PATH`.
const FOLDERS: &[&str] = &[
    "/usr/sbin",
    "/usr/local/sbin",
    "/sbin",
    "/usr/local/nginx/sbin",
    "/usr/local/openresty/nginx/sbin",
];

/// nginx's Lua module needs the other one to be loaded before it.
const LUA_MODULES: &[&str] = &["ndk_http_module.so", "ngx_http_lua_module.so"];

/// A server that can be started.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) kind: Kind,
    pub(crate) path: PathBuf,
    pub(crate) version: String,
    /// Modules to load for configurations with Lua.
    lua: Vec<PathBuf>,
}

impl Program {
    /// ngx, built in release mode unless its path is given.
    pub(crate) fn ngx(path: Option<&Path>, debug: bool) -> Result<Self> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => build(debug)?,
        };
        let mut version = own_version(&output(&path, &["-v"])?);
        if let Some(commit) = commit() {
            version.push_str(&format!(" ({commit})"));
        }
        Ok(Self {
            kind: Kind::Ngx,
            path,
            version,
            lua: Vec::new(),
        })
    }

    /// The nginx that is installed.
    pub(crate) fn nginx(path: Option<&Path>) -> Result<Self> {
        let path = given_or_found(path, "nginx")?;
        let text = output(&path, &["-V"])?;
        Ok(Self {
            kind: Kind::Nginx,
            version: first_line(&text).replace("nginx version: ", ""),
            lua: lua_modules(&text),
            path,
        })
    }

    /// The HAProxy that is installed.
    pub(crate) fn haproxy(path: Option<&Path>) -> Result<Self> {
        let path = given_or_found(path, "haproxy")?;
        let text = first_line(&output(&path, &["-v"])?);
        Ok(Self {
            kind: Kind::Haproxy,
            version: text
                .split(' ')
                .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
                .unwrap_or(&text)
                .to_owned(),
            lua: Vec::new(),
            path,
        })
    }

    /// The arguments that make it serve the configuration in this folder.
    pub(crate) fn arguments(&self, folder: &Path, lua: bool) -> Vec<OsString> {
        if self.kind == Kind::Haproxy {
            return vec!["-db".into(), "-f".into(), folder.join("haproxy.cfg").into()];
        }
        let mut prefix = folder.as_os_str().to_owned();
        prefix.push("/");
        let mut arguments: Vec<OsString> = vec!["-p".into(), prefix, "-c".into()];
        arguments.push(folder.join("nginx.conf").into());
        if lua && !self.lua.is_empty() {
            arguments.extend(["-g".into(), self.load_modules()]);
        }
        arguments
    }

    /// As [`arguments`](Self::arguments), in one process: a program under valgrind cannot start
    /// itself anew.
    pub(crate) fn arguments_of_one_process(&self, folder: &Path, lua: bool) -> Vec<OsString> {
        let mut arguments = self.arguments(folder, false);
        if self.kind != Kind::Haproxy {
            let mut directives = if lua {
                self.load_modules()
            } else {
                OsString::new()
            };
            directives.push("master_process off;");
            arguments.extend(["-g".into(), directives]);
        }
        arguments
    }

    fn load_modules(&self) -> OsString {
        let mut load = OsString::new();
        for module in &self.lua {
            load.push("load_module ");
            load.push(module);
            load.push("; ");
        }
        load
    }

    /// Has it check the configuration in this folder; what it does not like is the error.
    pub(crate) fn check(&self, folder: &Path, lua: bool) -> Result<()> {
        let test = match self.kind {
            Kind::Haproxy => "-c",
            Kind::Ngx | Kind::Nginx => "-t",
        };
        let mut arguments = self.arguments(folder, lua);
        arguments.push(test.into());
        let output = run(&self.path, &arguments)?;
        if output.status.success() {
            return Ok(());
        }
        Error::failed(complaint(&text_of(&output), folder))
    }
}

/// Finds an installed program.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

fn given_or_found(path: Option<&Path>, name: &str) -> Result<PathBuf> {
    match path.map(Path::to_owned).or_else(|| find(name)) {
        Some(path) => Ok(path),
        None => Error::failed(format!("{name} is not installed")),
    }
}

/// `ngx/1.2.3` out of `nginx version: nginx/1.31.5 (ngx 1.2.3)`.
fn own_version(text: &str) -> String {
    let line = first_line(text);
    let inner = line
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    inner.map_or_else(|| line.clone(), |(version, _)| version.replace(' ', "/"))
}

/// The commit of the sources, where there is a repository; `+` behind it for changed ones.
fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty=+", "--exclude", "*"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}

/// Builds ngx where this program was built; cargo says where it is.
fn build(debug: bool) -> Result<PathBuf> {
    eprintln!("building ngx");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--package", "ngx-bin", "--bin", "ngx"])
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
        .stderr(Stdio::inherit());
    if !debug {
        command.arg("--release");
    }
    // A target folder given on the command line is not in the environment of what cargo runs.
    let own = env::current_exe().doing(|| "cannot find this program".to_owned())?;
    if let Some(target) = own.ancestors().nth(2) {
        command.arg("--target-dir").arg(target);
    }
    let output = command
        .output()
        .doing(|| "cannot run cargo; --ngx takes a path".to_owned())?;
    if !output.status.success() {
        return Error::failed("ngx cannot be built");
    }
    match executable(&String::from_utf8_lossy(&output.stdout)) {
        Some(path) => Ok(path),
        None => Error::failed("cargo does not say where ngx is; --ngx takes a path"),
    }
}

/// The executable among cargo's messages.
fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(message.get("executable")?.as_str()?.into())
    })
}

/// The dynamic modules that Lua needs, from what `nginx -V` prints; none if it is built in.
fn lua_modules(text: &str) -> Vec<PathBuf> {
    let argument = |name: &str| {
        let at = text.find(name)? + name.len();
        text.get(at..)?.split_whitespace().next().map(PathBuf::from)
    };
    let folder = argument("--modules-path=")
        .or_else(|| argument("--prefix=").map(|prefix| prefix.join("modules")));
    let modules: Vec<PathBuf> = folder
        .iter()
        .flat_map(|folder| LUA_MODULES.iter().map(|name| folder.join(name)))
        .collect();
    if modules.iter().all(|module| module.is_file()) {
        modules
    } else {
        Vec::new()
    }
}

/// The line that says what is wrong, without where in which scratch file that is.
fn complaint(text: &str, folder: &Path) -> String {
    let line = text
        .lines()
        .find(|line| line.contains("[emerg]") || line.contains("[ALERT]"))
        .or_else(|| text.lines().next())
        .unwrap_or("refused without a word");
    let line = line.split_once("[emerg] ").map_or(line, |(_, rest)| rest);
    line.replace(&format!("{}/", folder.display()), "")
        .trim()
        .to_owned()
}

fn output(path: &Path, arguments: &[&str]) -> Result<String> {
    run(path, arguments).map(|output| text_of(&output))
}

fn run<A: AsRef<std::ffi::OsStr>>(path: &Path, arguments: &[A]) -> Result<Output> {
    Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .doing(|| format!("cannot run {}", path.display()))
}

fn text_of(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_one_line_without_a_folder() {
        let text = "nginx: [emerg] unknown directive \"a\" in /tmp/x/ngx/nginx.conf:7\n  |\n";
        let expected = "unknown directive \"a\" in nginx.conf:7";
        assert_eq!(complaint(text, Path::new("/tmp/x/ngx")), expected);
        assert_eq!(complaint("", Path::new("/")), "refused without a word");
    }

    #[test]
    fn modules_that_are_not_there_are_not_loaded() {
        assert!(lua_modules("configure arguments: --modules-path=/no/such/folder").is_empty());
        let folder = tempfile::tempdir().unwrap();
        for name in LUA_MODULES {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let text = format!("a --modules-path={} b", folder.path().display());
        assert_eq!(lua_modules(&text).len(), 2);
    }

    #[test]
    fn the_version_is_our_own() {
        let text = "nginx version: nginx/1.31.5 (ngx 0.1.0)\n";
        assert_eq!(own_version(text), "ngx/0.1.0");
        assert_eq!(own_version("ngx 7\n"), "ngx 7");
    }

    #[test]
    fn cargo_says_where_the_program_is() {
        let messages = "{\"executable\":null}\nnot json\n{\"executable\":\"/t/release/ngx\"}\n";
        assert_eq!(executable(messages), Some("/t/release/ngx".into()));
    }

    #[test]
    fn modules_are_loaded_only_for_lua() {
        let program = Program {
            kind: Kind::Nginx,
            path: "nginx".into(),
            version: String::new(),
            lua: vec!["/m/lua.so".into()],
        };
        let folder = Path::new("/f");
        let plain = ["-p", "/f/", "-c", "/f/nginx.conf"];
        assert_eq!(program.arguments(folder, false), plain);
        let with_lua = program.arguments(folder, true);
        assert_eq!(with_lua[4..], ["-g", "load_module /m/lua.so; "]);
    }
}
