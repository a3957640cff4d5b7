//! `ngx_http_try_files_module`: the first of several files that exists.

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::conf::{Args, Problem, Setting, Span};
use crate::error::errno;
use crate::http::core::{self, Alias};
use crate::http::module::{HttpModule, Ordered, Phase};
use crate::http::parse::split_args;
use crate::http::request::Request;
use crate::http::step::{PhaseStep, Step};
use crate::module::{Arity, Conf, Contexts, Cx, Directive, Level, Module, Slot};
use crate::script::{Template, Variables};
use crate::{crit, debug};

/// The handler before content is made.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    phases: &[(
        Phase::Precontent,
        Ordered {
            name: "try_files",
            before: &[],
            after: &[],
            run: handler,
        },
    )],
    handles_at: Some(|location, _, _| CONF.own(&location.slots).is_some()),
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_try_files_module",
    directives: &[Directive {
        name: "try_files",
        contexts: Contexts::SERVER.or(Contexts::LOCATION),
        arity: Arity::at_least(2),
        set: set_try_files,
        default: "",
        doc: "The files to look for, and what is done if none of them exists.",
    }],
};

static CONF: Slot<TryFilesConf> = Slot::new(Level::Location);

/// Belongs to one block alone.
#[derive(Default)]
struct TryFilesConf(Setting<TryFiles>);

impl Conf for TryFilesConf {
    fn merge(&mut self, _: &Self) -> Result<(), Problem> {
        Ok(())
    }
}

#[derive(Default)]
struct TryFiles {
    tries: Vec<Try>,
    fallback: Fallback,
}

struct Try {
    name: Template,
    /// It must be a folder; else it must not.
    folder: bool,
}

enum Fallback {
    /// `=404`
    Status(u16),
    /// `/path?args` or `@name`
    Target(Template),
}

impl Default for Fallback {
    fn default() -> Self {
        Self::Status(404)
    }
}

fn set_try_files(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let last = args.values().len() - 1;
    let mut tries = Vec::with_capacity(last);
    for i in 0..last {
        let text = args.arg(i).as_bytes();
        let (text, folder) = match text.strip_suffix(b"/") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        tries.push(Try {
            name: template(cx, args, (i, text))?,
            folder,
        });
    }
    let text = args.arg(last).as_str();
    let fallback = match text.strip_prefix('=') {
        Some(digits) => match digits.parse() {
            Ok(status @ 0..=999) if !digits.starts_with('+') => Fallback::Status(status),
            _ => return Err(args.problem_at(last, format!("invalid code \"{text}\""))),
        },
        None => Fallback::Target(template(cx, args, (last, args.arg(last).as_bytes()))?),
    };
    cx.conf(&CONF)
        .0
        .set(TryFiles { tries, fallback }, args.span())
}

fn template(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    (i, text): (usize, &[u8]),
) -> Result<Template, Problem> {
    Template::compile(text, cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(i, error.to_string()))
}

fn handler(r: &Request) -> PhaseStep {
    let Some(conf) = r.own_conf(&CONF) else {
        return PhaseStep::DECLINED;
    };
    core::with_name_buffer(|name| {
        r.write_document_root(name);
        run(r, &conf.0, name)
    })
}

/// Looks for the files under the folder in `name`.
fn run(r: &Request, conf: &TryFiles, name: &mut Vec<u8>) -> PhaseStep {
    let root = name.len();
    let alias = r.alias();
    for attempt in &conf.tries {
        append(r, &attempt.name, alias, name, root);
        let shown = String::from_utf8_lossy(name);
        let kind = if attempt.folder { "dir" } else { "file" };
        debug!("trying to use {kind}: \"{shown}\"");
        match rustix::fs::stat(name.as_slice()) {
            Ok(stat) => {
                let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                if is_folder == attempt.folder {
                    found(
                        r,
                        alias,
                        name.get(root..).unwrap_or_default(),
                        attempt.folder,
                    );
                    return PhaseStep::DECLINED;
                }
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => {}
            Err(error) => crit!("stat() \"{shown}\" failed {}", errno(&error.into())),
        }
    }
    match &conf.fallback {
        Fallback::Status(status) => Step::Finish(*status),
        Fallback::Target(target) => {
            append(r, target, alias, name, root);
            fall_back(r, name.get(root..).unwrap_or_default())
        }
    }
}

/// What `try_files` of the current location does with a request, for `--explain`.
pub(in crate::http) enum Traced {
    /// There is none, or a file was found.
    Serves,
    /// It answers with this status.
    Status(u16),
    /// It goes to a named location.
    Named(Vec<u8>),
    /// It goes to another URI.
    Target(Vec<u8>),
}

/// Looks for the files as a request would, and tells of each.
pub(in crate::http) fn trace(r: &Request, tell: &mut dyn FnMut(Span, String)) -> Traced {
    let Some(conf) = r.own_conf(&CONF) else {
        return Traced::Serves;
    };
    let place = conf.0.set_at().unwrap_or_default();
    let alias = r.alias();
    let mut name = Vec::new();
    r.write_document_root(&mut name);
    let root = name.len();
    for attempt in &conf.0.tries {
        append(r, &attempt.name, alias, &mut name, root);
        let is_folder = rustix::fs::stat(name.as_slice())
            .map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        let (is, found) = match (is_folder, attempt.folder) {
            (Ok(true), true) => ("is a folder", true),
            (Ok(false), false) => ("exists", true),
            (Ok(true), false) => ("is a folder, not a file", false),
            (Ok(false), true) => ("is a file, not a folder", false),
            (Err(_), _) => ("is not there", false),
        };
        tell(place, format!("{} {is}", String::from_utf8_lossy(&name)));
        if found {
            let path = name.get(root..).unwrap_or_default();
            self::found(r, alias, path, attempt.folder);
            return Traced::Serves;
        }
    }
    match &conf.0.fallback {
        Fallback::Status(status) => Traced::Status(*status),
        Fallback::Target(target) => {
            append(r, target, alias, &mut name, root);
            let target = name.get(root..).unwrap_or_default().to_vec();
            if target.starts_with(b"@") {
                Traced::Named(target)
            } else {
                Traced::Target(target)
            }
        }
    }
}

/// Puts what the template makes behind the first `root` bytes of `name`.
fn append(r: &Request, template: &Template, alias: Alias, name: &mut Vec<u8>, root: usize) {
    name.truncate(root);
    template.eval(r, name);
    if template.literal().is_none()
        && let Alias::Prefix(len) = alias
    {
        strip_location(name, root, r.path().get(..len).unwrap_or_default());
    }
}

/// Variables such as `$uri` bring the name of the location along, which the alias replaces.
fn strip_location(name: &mut Vec<u8>, root: usize, location: &[u8]) {
    if name
        .get(root..)
        .is_some_and(|rest| rest.starts_with(location))
    {
        name.drain(root..root + location.len());
    }
}

/// The request goes on with the path of what was found.
fn found(r: &Request, alias: Alias, path: &[u8], folder: bool) {
    match alias {
        Alias::None => r.set_path(path),
        Alias::Prefix(len) => {
            let mut whole = r.path().get(..len).unwrap_or_default().to_vec();
            whole.extend_from_slice(path);
            r.set_path(&whole);
        }
        Alias::Whole if folder => {}
        Alias::Whole => {
            r.set_path(path);
            r.put_path_behind_alias();
        }
    }
}

fn fall_back(r: &Request, target: &[u8]) -> PhaseStep {
    if target.starts_with(b"@") {
        return r.named_location(target);
    }
    let (path, args) = split_args(target);
    r.internal_redirect(path, args.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(name: &str, root: usize, location: &str) -> String {
        let mut name = name.as_bytes().to_vec();
        strip_location(&mut name, root, location.as_bytes());
        String::from_utf8(name).unwrap()
    }

    #[test]
    fn an_alias_replaces_the_name_of_the_location() {
        assert_eq!(stripped("/data//img/a.png", 6, "/img/"), "/data/a.png");
        assert_eq!(stripped("/data/a.png", 6, "/img/"), "/data/a.png");
        assert_eq!(stripped("/data//img", 6, "/img/"), "/data//img");
        assert_eq!(stripped("/data", 5, ""), "/data");
    }
}
