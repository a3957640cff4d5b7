//! `root` and `alias`: from paths of requests to names of files.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use super::LOCATION;
use super::block::{LocationKind, current_location};
use crate::conf::{Args, Problem};
use crate::http::ctx::CtxSlot;
use crate::http::request::Request;
use crate::module::Cx;
use crate::script::{Context, Template, Variables};

/// Where the files of a location are.
#[derive(Clone)]
pub struct Root {
    folder: Arc<Template>,
    prefix: PathBuf,
    alias: Alias,
}

/// How names of files follow from paths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Alias {
    /// There is a `root`: the path is appended.
    None,
    /// So many bytes of the path, the name of the location with the `alias`, are replaced.
    Prefix(usize),
    /// That location has a regular expression: the whole path is replaced.
    Whole,
}

impl Default for Root {
    /// `root html`, in the folder the process was started with.
    fn default() -> Self {
        // One for all: every block that says anything begins with it.
        static HTML: LazyLock<Arc<Template>> =
            LazyLock::new(|| Arc::new(Template::from_literal("html")));
        Self {
            folder: Arc::clone(&HTML),
            prefix: PathBuf::new(),
            alias: Alias::None,
        }
    }
}

/// Where files are in an `http` block that does not say so: in the folder `html` of the prefix.
pub(super) fn set_default_root(cx: &mut Cx<'_>) {
    let folder = cx.prefix().join("html").into_os_string().into_vec();
    let folder = Arc::new(Template::from_literal(folder));
    let root = Root {
        folder,
        prefix: PathBuf::new(),
        alias: Alias::None,
    };
    cx.conf(&LOCATION).root.adjust(root);
}

/// `root html`
pub(super) fn set_root(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set(cx, args, Alias::None)
}

/// `alias /other/folder/`
pub(super) fn set_alias(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let alias = match current_location(cx) {
        (LocationKind::Named, _) => {
            let message = "the \"alias\" directive cannot be used inside the named location";
            return Err(args.problem(message));
        }
        (LocationKind::Regex, _) => Alias::Whole,
        (kind, name) => {
            if kind != LocationKind::Exact {
                warn_of_slashes(cx, args, &name);
            }
            Alias::Prefix(name.len())
        }
    };
    set(cx, args, alias)
}

/// What is behind the name of the location is put behind the alias as it is: both end with a slash,
/// or names run together, or requests leave the folder.
fn warn_of_slashes(cx: &mut Cx<'_>, args: &Args<'_>, location: &[u8]) {
    let alias = args.arg(0).as_str();
    let name = String::from_utf8_lossy(location);
    if alias.is_empty() || alias.contains('$') || name.len() <= 1 {
        return;
    }
    let (message, help) = match (name.ends_with('/'), alias.ends_with('/')) {
        (true, false) => (
            format!("location \"{name}\" ends with \"/\" and its alias \"{alias}\" does not"),
            format!("write \"alias {alias}/;\": now \"{name}x\" is the file \"{alias}x\""),
        ),
        (false, true) => (
            format!("alias \"{alias}\" ends with \"/\" and its location \"{name}\" does not"),
            format!(
                "write \"location {name}/\": now \"{name}../x\" is \"{alias}../x\", outside of the \
                 folder"
            ),
        ),
        _ => return,
    };
    cx.report(Problem::warn(args.arg(0).span(), message).with_help(help));
}

fn set(cx: &mut Cx<'_>, args: &Args<'_>, alias: Alias) -> Result<(), Problem> {
    let text = args.arg(0).as_str();
    for name in [
        "$document_root",
        "${document_root}",
        "$realpath_root",
        "${realpath_root}",
    ] {
        if text.contains(name) {
            let directive = args.name();
            return Err(args.problem_at(
                0,
                format!("the \"{name}\" variable cannot be used in the \"{directive}\" directive"),
            ));
        }
    }
    // A slash at the end of a root would be doubled; that of an alias counts.
    let text = match text.strip_suffix('/') {
        Some(rest) if alias == Alias::None => rest,
        _ => text,
    };
    let mut folder = Template::compile(text, cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(0, error.to_string()))?;
    let prefix = cx.prefix().to_owned();
    if let Some(literal) = folder.literal() {
        let full = prefix.join(OsStr::from_bytes(literal));
        folder = Template::from_literal(full.into_os_string().into_vec());
    }
    let conf = cx.conf(&LOCATION);
    if conf.root.is_set() && conf.root.alias != alias {
        let other = if alias == Alias::None {
            "alias"
        } else {
            "root"
        };
        return Err(args.problem(format!(
            "\"{}\" directive is duplicate, \"{other}\" directive was specified earlier",
            args.name()
        )));
    }
    conf.root.set(
        Root {
            folder: Arc::new(folder),
            prefix,
            alias,
        },
        args.span(),
    )
}

/// `client_body_temp_path folder`
pub(super) fn set_temp_path(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let path = cx.full_path(args.arg(0));
    cx.conf(&LOCATION)
        .client_body_temp_path
        .set(path, args.span())
}

/// Lets the folders that no directive has named start from the prefix of the configuration.
pub(super) fn place_defaults(cx: &mut Cx<'_>) -> Result<(), Problem> {
    let prefix = cx.prefix().to_owned();
    let conf = cx.conf(&LOCATION);
    if !conf.client_body_temp_path.is_set() {
        let path = prefix.join(&*conf.client_body_temp_path);
        conf.client_body_temp_path.adjust(path);
    }
    if !conf.root.is_set() {
        conf.root.adjust(Root {
            prefix,
            ..Root::default()
        });
    }
    Ok(())
}

impl Request {
    /// The name of the file for the current path (`$request_filename`), and how many of its bytes
    /// are the folder.
    pub fn file_name(&self) -> (PathBuf, usize) {
        let mut name = Vec::with_capacity(128);
        let folder = self.write_file_name(&mut name);
        (PathBuf::from(OsString::from_vec(name)), folder)
    }

    /// The bytes of [`file_name`](Self::file_name), in place of what `name` holds; its result is
    /// how many of them are the folder.
    pub(crate) fn write_file_name(&self, name: &mut Vec<u8>) -> usize {
        self.write_document_root(name);
        let folder = name.len();
        let path = self.path();
        match self.alias() {
            Alias::None => name.extend_from_slice(&path),
            Alias::Prefix(len) => name.extend_from_slice(path.get(len..).unwrap_or_default()),
            Alias::Whole if self.ctx(&PATH_BEHIND_ALIAS).is_some() => name.extend_from_slice(&path),
            Alias::Whole => {}
        }
        folder
    }

    /// The alias of a location with a regular expression is a whole name as a rule; from here on
    /// the path is appended to it, until the request is redirected.
    pub(crate) fn put_path_behind_alias(&self) {
        self.set_ctx(&PATH_BEHIND_ALIAS, Rc::new(()));
    }

    /// `$document_root`
    pub fn document_root(&self) -> PathBuf {
        let mut name = Vec::with_capacity(128);
        self.write_document_root(&mut name);
        PathBuf::from(OsString::from_vec(name))
    }

    /// The bytes of [`document_root`](Self::document_root), in place of what `name` holds.
    pub(crate) fn write_document_root(&self, name: &mut Vec<u8>) {
        self.core().root.eval(self, name);
    }

    /// Whether the location has an `alias`.
    pub fn has_alias(&self) -> bool {
        self.alias() != Alias::None
    }

    pub(crate) fn alias(&self) -> Alias {
        self.core().root.alias
    }
}

/// Runs `f` with an empty buffer for the name of a file, which the thread uses again and again.
pub(crate) fn with_name_buffer<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut name = NAME.take();
    name.clear();
    let result = f(&mut name);
    if name.capacity() <= NAME_MAX {
        NAME.set(name);
    }
    result
}

impl Root {
    fn eval(&self, cx: &impl Context, name: &mut Vec<u8>) {
        name.clear();
        self.folder.eval(cx, name);
        if !name.starts_with(b"/") {
            let full = self.prefix.join(OsStr::from_bytes(name));
            name.clear();
            name.extend_from_slice(full.as_os_str().as_bytes());
        }
    }
}

static PATH_BEHIND_ALIAS: CtxSlot<()> = CtxSlot::new();

thread_local! {
    static NAME: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
/// A buffer that has grown beyond this is not kept.
const NAME_MAX: usize = 16 * 1024;
