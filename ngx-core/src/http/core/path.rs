//! `root` and `alias`: from paths of requests to names of files.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::LOCATION;
use crate::conf::{Args, Problem};
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
    let folder = Template::compile(text, cx.part::<Variables<Request>>())
        .map_err(|error| args.problem_at(0, error.to_string()))?;
    let prefix = cx.prefix().to_owned();
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
        let location = self.location();
        let root = &*self.conf(&LOCATION).root;
        let mut name = root.eval(self);
        let folder = name.len();
        let path = self.path();
        if !root.alias {
            name.extend_from_slice(&path);
        } else if !location.is_regex {
            name.extend_from_slice(path.get(location.name.len()..).unwrap_or_default());
        }
        (PathBuf::from(std::ffi::OsString::from_vec(name)), folder)
    }

    /// `$document_root`
    pub fn document_root(&self) -> PathBuf {
        let name = self.conf(&LOCATION).root.eval(self);
        PathBuf::from(std::ffi::OsString::from_vec(name))
    }

    /// Whether the location has an `alias`.
    pub fn has_alias(&self) -> bool {
        self.conf(&LOCATION).root.alias
    }
}

impl Root {
    fn eval(&self, cx: &impl Context) -> Vec<u8> {
        let mut folder = Vec::with_capacity(128);
        self.folder.eval(cx, &mut folder);
        if folder.starts_with(b"/") {
            return folder;
        }
        let full = self.prefix.join(OsStr::from_bytes(&folder));
        full.into_os_string().into_vec()
    }
}
