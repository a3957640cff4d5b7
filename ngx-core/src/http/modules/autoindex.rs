//! `ngx_http_autoindex_module`: the contents of folders.

mod render;

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::{Metadata, ReadDir};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bytes::Bytes;
use ngx_buf::{Buf, Chain, Flags};
use rustix::io::Errno;

use self::render::{Listing, Sizes};
use crate::conf::{Args, Problem};
use crate::error::errno;
use crate::http::core;
use crate::http::module::{HttpModule, Ordered, Phase};
use crate::http::parse::{Method, arg};
use crate::http::request::Request;
use crate::http::step::{PhaseStep, Step};
use crate::module::{Arity, Contexts, Cx, Directive, Level, Module, Slot};
use crate::{crit, error, info, setter, settings};

/// The content handler for folders without an index.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    phases: &[(
        Phase::Content,
        Ordered {
            name: "autoindex",
            before: &[],
            after: &["index"],
            run: handler,
        },
    )],
    handles_at: Some(|location, _, _| *CONF.of(&location.slots).enabled),
    ..HttpModule::new(&DESCRIPTOR)
};

const CONTEXTS: Contexts = Contexts::HTTP.or(Contexts::SERVER).or(Contexts::LOCATION);

static DESCRIPTOR: Module = Module {
    name: "ngx_http_autoindex_module",
    directives: &[
        Directive {
            name: "autoindex",
            contexts: CONTEXTS,
            arity: Arity::FLAG,
            set: setter!(CONF, enabled, flag),
            default: "off",
            doc: "Show the contents of folders.",
        },
        Directive {
            name: "autoindex_format",
            contexts: CONTEXTS,
            arity: Arity::ONE,
            set: set_format,
            default: "html",
            doc: "As what they are shown: html, xml, json or jsonp.",
        },
        Directive {
            name: "autoindex_localtime",
            contexts: CONTEXTS,
            arity: Arity::FLAG,
            set: setter!(CONF, local_time, flag),
            default: "off",
            doc: "Show local time in HTML.",
        },
        Directive {
            name: "autoindex_exact_size",
            contexts: CONTEXTS,
            arity: Arity::FLAG,
            set: setter!(CONF, exact_size, flag),
            default: "on",
            doc: "Show sizes in bytes in HTML, not rounded.",
        },
    ],
};

static CONF: Slot<AutoindexConf> = Slot::new(Level::Location);

settings! {
    /// Settings of `autoindex`.
    struct AutoindexConf {
        /// Folders are shown.
        enabled: bool = false,
        /// As this.
        format: Format = Format::Html,
        /// With local time.
        local_time: bool = false,
        /// And with sizes in bytes.
        exact_size: bool = true,
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    Html,
    Xml,
    Json,
    Jsonp,
}

fn set_format(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let choices = [
        ("html", Format::Html),
        ("json", Format::Json),
        ("jsonp", Format::Jsonp),
        ("xml", Format::Xml),
    ];
    let format = args.choice(0, &choices)?;
    cx.conf(&CONF).format.set(format, args.span())
}

fn handler(r: &Request) -> PhaseStep {
    let conf = r.conf(&CONF);
    let wanted = *conf.enabled && matches!(r.method(), Method::Get | Method::Head);
    if !wanted || !r.path().ends_with(b"/") {
        return PhaseStep::DECLINED;
    }
    if let Err(status) = r.discard_body() {
        return Step::Finish(status);
    }
    let callback = match callback(r, *conf.format) {
        Ok(callback) => callback,
        Err(status) => return Step::Finish(status),
    };
    let entries = match read(r) {
        Ok(entries) => entries,
        Err(status) => return Step::Finish(status),
    };
    let format = if callback.is_empty() && *conf.format == Format::Jsonp {
        Format::Json
    } else {
        *conf.format
    };
    set_header(r, format);
    if r.send_header().is_err() {
        return Step::Done;
    }
    let page = render(r, format, &entries, &callback);
    let end = Flags::LAST_BUF | Flags::LAST_IN_CHAIN;
    // What an error means was noted where it happened; the request ends either way.
    let _ = r.output(Chain::from(Buf::from(page).with_flags(end)));
    Step::Done
}

fn set_header(r: &Request, format: Format) {
    let response = r.response();
    response.set_status(200);
    let media = match format {
        Format::Html => "text/html",
        Format::Xml => "text/xml",
        Format::Json => "application/json",
        Format::Jsonp => "application/javascript",
    };
    response.set_content_type(Some(Bytes::from_static(media.as_bytes())));
    if format == Format::Xml {
        response.set_charset(Some(Bytes::from_static(b"utf-8")));
    }
}

fn render(r: &Request, format: Format, entries: &[Entry], callback: &[u8]) -> Vec<u8> {
    let conf = r.conf(&CONF);
    match format {
        Format::Xml => render::xml(entries),
        Format::Json | Format::Jsonp => render::json(entries, callback),
        Format::Html => {
            let path = r.path();
            render::html(
                entries,
                &Listing {
                    path: &path,
                    utf8: r
                        .response()
                        .charset()
                        .is_some_and(|c| c.eq_ignore_ascii_case(b"utf-8")),
                    offset: if *conf.local_time {
                        render::local_offset()
                    } else {
                        0
                    },
                    sizes: if *conf.exact_size {
                        Sizes::Exact
                    } else {
                        Sizes::Rounded
                    },
                },
            )
        }
    }
}

/// What a folder contains.
struct Entry {
    name: Vec<u8>,
    kind: Kind,
    size: u64,
    /// Seconds since 1970.
    modified: i64,
}

/// In the order of listings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Folder,
    File,
    Other,
}

impl Entry {
    fn new(name: Vec<u8>, metadata: &Metadata) -> Self {
        let kind = if metadata.is_dir() {
            Kind::Folder
        } else if metadata.is_file() {
            Kind::File
        } else {
            Kind::Other
        };
        Self {
            name,
            kind,
            size: metadata.size(),
            modified: metadata.mtime(),
        }
    }

    /// Folders first, then by the bytes of their names.
    fn order(&self, other: &Self) -> Ordering {
        let folders = (other.kind == Kind::Folder).cmp(&(self.kind == Kind::Folder));
        folders.then_with(|| self.name.cmp(&other.name))
    }
}

/// The entries of the folder of the current path; a status if there are none to be had.
fn read(r: &Request) -> Result<Vec<Entry>, u16> {
    core::with_name_buffer(|name| {
        r.write_file_name(name);
        if name.len() > 1 {
            name.pop();
        }
        let folder = Path::new(OsStr::from_bytes(name));
        let shown = folder.display();
        let entries = folder
            .read_dir()
            .map_err(|error| cannot_open(folder, &error))?;
        // Only the header of the listing is asked for.
        if r.method() == Method::Head {
            return Ok(Vec::new());
        }
        read_entries(folder, entries).map_err(|(call, error)| {
            crit!("{call} \"{shown}\" failed {}", errno(&error));
            500
        })
    })
}

fn cannot_open(folder: &Path, error: &io::Error) -> u16 {
    let status = match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => 404,
        Some(Errno::ACCESS) => 403,
        _ => 500,
    };
    let shown = folder.display();
    let text = errno(error);
    if status == 500 {
        crit!("opendir() \"{shown}\" failed {text}");
    } else {
        error!("opendir() \"{shown}\" failed {text}");
    }
    status
}

fn read_entries(folder: &Path, entries: ReadDir) -> Result<Vec<Entry>, (&'static str, io::Error)> {
    let mut list = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| ("readdir()", error))?.file_name();
        if name.as_bytes().starts_with(b".") {
            continue;
        }
        let path = folder.join(&name);
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) => match Errno::from_io_error(&error) {
                // A link that leads nowhere is shown as what it is.
                Some(Errno::NOENT | Errno::LOOP) => match path.symlink_metadata() {
                    Ok(metadata) => metadata,
                    // It was removed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(("lstat()", error)),
                },
                Some(Errno::ACCESS) => {
                    crit!("stat() \"{}\" failed {}", path.display(), errno(&error));
                    continue;
                }
                _ => return Err(("stat()", error)),
            },
        };
        list.push(Entry::new(name.into_vec(), &metadata));
    }
    list.sort_unstable_by(Entry::order);
    Ok(list)
}

/// The function that JSONP calls; empty for plain JSON.
fn callback(r: &Request, format: Format) -> Result<Vec<u8>, u16> {
    if format != Format::Jsonp {
        return Ok(Vec::new());
    }
    let args = r.args();
    let name = arg(&args, b"callback").unwrap_or_default();
    let shown = String::from_utf8_lossy(name);
    if name.len() > 128 {
        info!("client sent too long callback name: \"{shown}\"");
        return Err(400);
    }
    if !is_callback(name) {
        info!("client sent invalid callback name: \"{shown}\"");
        return Err(400);
    }
    Ok(name.to_vec())
}

fn is_callback(name: &[u8]) -> bool {
    name.iter()
        .all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::write(path.join("b"), "12345").unwrap();
        std::fs::write(path.join("a"), "").unwrap();
        std::fs::write(path.join(".hidden"), "").unwrap();
        std::fs::create_dir(path.join("z")).unwrap();
        std::os::unix::fs::symlink("nowhere", path.join("link")).unwrap();
        std::os::unix::fs::symlink("z", path.join("y")).unwrap();
        let entries = read_entries(path, path.read_dir().unwrap()).unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|e| (e.name.as_slice(), e.kind))
            .collect();
        let want: [(&[u8], Kind); 5] = [
            (b"y", Kind::Folder),
            (b"z", Kind::Folder),
            (b"a", Kind::File),
            (b"b", Kind::File),
            (b"link", Kind::Other),
        ];
        assert_eq!(seen, want);
        assert_eq!(entries[3].size, 5);
    }

    #[test]
    fn callbacks_are_names() {
        assert!(is_callback(b"jQuery.cb_1"));
        assert!(!is_callback(b"alert(1)"));
        assert!(is_callback(b""));
    }
}
