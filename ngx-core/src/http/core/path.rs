//! `root` and `alias`: from paths of requests to names of files.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::LOCATION;
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
    alias: bool,
}

impl Default for Root {
    /// `root html`, in the folder the process was started with.
    fn default() -> Self {
        let folder = Arc::new(Template::from_literal("html"));
        Self {
            folder,
            prefix: PathBuf::new(),
            alias: false,
        }
    }
}

/// `root html`
pub(super) fn set_root(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set(cx, args, false)
}

/// `alias /other/folder/`
pub(super) fn set_alias(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    set(cx, args, true)
}

fn set(cx: &mut Cx<'_>, args: &Args<'_>, alias: bool) -> Result<(), Problem> {
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
        Some(rest) if !alias => rest,
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
        let other = if alias { "root" } else { "alias" };
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
        if !self.has_alias() {
            name.extend_from_slice(&path);
        } else if !self.location().is_regex {
            let location = &self.location().name;
            name.extend_from_slice(path.get(location.len()..).unwrap_or_default());
        } else if self.ctx(&PATH_BEHIND_ALIAS).is_some() {
            name.extend_from_slice(&path);
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
        self.conf(&LOCATION).root.eval(self, name);
    }

    /// Whether the location has an `alias`.
    pub fn has_alias(&self) -> bool {
        self.conf(&LOCATION).root.alias
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
