//! `ngx_http_static_module`: the files of `root` and `alias`.

mod cache;

use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use ngx_buf::{Buf, Chain, FileBuf, Flags};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use self::cache::{FILE_MAX, FileCache, Identity, Kept};
use crate::error::errno;
use crate::http::core;
use crate::http::module::{HttpModule, Ordered, Phase};
use crate::http::parse::{Method, write_hex};
use crate::http::request::Request;
use crate::http::step::{PhaseStep, Step};
use crate::module::Module;
use crate::{alert, crit, error, time};

/// The content handler for files.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    phases: &[(
        Phase::Content,
        Ordered {
            name: "static",
            before: &[],
            after: &["index", "autoindex"],
            run: handler,
        },
    )],
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_static_module",
    directives: &[],
};

fn handler(r: &Request) -> PhaseStep {
    if !matches!(r.method(), Method::Get | Method::Head | Method::Post) {
        return Step::Finish(405);
    }
    if r.path().ends_with(b"/") {
        return PhaseStep::DECLINED;
    }
    core::with_name_buffer(|name| {
        r.write_file_name(name);
        serve(r, name)
    })
}

fn serve(r: &Request, name: &[u8]) -> PhaseStep {
    let cache = r.generation().local::<FileCache>();
    if let Some(kept) = cache.find(name) {
        match rustix::fs::stat(name) {
            Ok(stat) if Identity::of(&stat) == kept.identity => return respond_kept(r, &kept),
            // Whatever has become of it is found out as if it had never been kept.
            _ => cache.remove(name),
        }
    }
    match open(name) {
        Ok((file, stat)) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => r.redirect_to_slash(),
            FileType::RegularFile => respond_file(r, &cache, name, (file, stat)),
            _ => {
                crit!(
                    "\"{}\" is not a regular file",
                    String::from_utf8_lossy(name)
                );
                Step::Finish(404)
            }
        },
        Err((call, errno)) => cannot_open(r, name, call, errno),
    }
}

/// The open file and what is said of it, or the system call that failed.
fn open(name: &[u8]) -> Result<(File, Stat), (&'static str, Errno)> {
    // Without NONBLOCK, opening a pipe would wait for somebody who writes into it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(name, flags, Mode::empty()).map_err(|errno| ("open()", errno))?;
    let stat = rustix::fs::fstat(&file).map_err(|errno| ("fstat()", errno))?;
    Ok((File::from(file), stat))
}

fn cannot_open(r: &Request, name: &[u8], call: &str, error: Errno) -> PhaseStep {
    let name = String::from_utf8_lossy(name);
    let status = status_of(error);
    let error = error.into();
    let text = errno(&error);
    match status {
        404 if !*r.core().log_not_found => {}
        403 | 404 => error!("{call} \"{name}\" failed {text}"),
        _ => crit!("{call} \"{name}\" failed {text}"),
    }
    Step::Finish(status)
}

fn status_of(error: Errno) -> u16 {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => 404,
        Errno::ACCESS | Errno::MLINK | Errno::LOOP => 403,
        _ => 500,
    }
}

/// Answers with a file of its own; a small one is read, and kept for the next request.
fn respond_file(
    r: &Request,
    cache: &FileCache,
    name: &[u8],
    (file, stat): (File, Stat),
) -> PhaseStep {
    let identity = Identity::of(&stat);
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let etag = etag(stat.st_mtime, size);
    let mut file = FileBuf::new(file, PathBuf::from(os_string(name)));
    if core::file_io::direct(r, &mut file, size) || size > FILE_MAX {
        let facts = Facts {
            size,
            etag: &etag,
            modified: stat.st_mtime,
        };
        return respond(r, &facts, Buf::file(Arc::new(file), 0..size));
    }
    let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
    if let Err(error) = file.read_exact_at(&mut content, 0) {
        alert!("{error}");
        return Step::Finish(500);
    }
    let content = Bytes::from(content);
    let kept = Rc::new(Kept {
        identity,
        content,
        etag,
        modified: stat.st_mtime,
    });
    if identity.is_settled(time::unix_ms()) {
        cache.insert(name, Rc::clone(&kept));
    }
    respond_kept(r, &kept)
}

fn respond_kept(r: &Request, kept: &Kept) -> PhaseStep {
    let size = kept.content.len() as u64;
    let facts = Facts {
        size,
        etag: &kept.etag,
        modified: kept.modified,
    };
    respond(r, &facts, Buf::from(kept.content.clone()))
}

/// What the header of a response says of a file.
struct Facts<'a> {
    size: u64,
    etag: &'a Bytes,
    modified: i64,
}

fn respond(r: &Request, facts: &Facts<'_>, body: Buf) -> PhaseStep {
    if r.method() == Method::Post {
        return Step::Finish(405);
    }
    if let Err(status) = r.discard_body() {
        return Step::Finish(status);
    }
    let response = r.response();
    response.set_status(200);
    response.set_content_length(Some(facts.size));
    response.set_last_modified(Some(facts.modified));
    if *r.core().etag {
        response.set_etag(Some(facts.etag.clone()));
    }
    response.set_content_type(Some(r.media_type()));
    response.allow_ranges(true);
    let end = Flags::LAST_BUF | Flags::LAST_IN_CHAIN;
    let body = if facts.size == 0 {
        Buf::special(end)
    } else {
        body.with_flags(end)
    };
    // What an error means was noted where it happened; the request ends either way.
    if r.send_header().is_ok() {
        let _ = r.output(Chain::from(body));
    }
    Step::Done
}

/// The entity tag of a file: when it was changed, and its size.
fn etag(modified: i64, size: u64) -> Bytes {
    let mut text = Vec::with_capacity(ETAG_MAX);
    text.push(b'"');
    write_hex(&mut text, modified.cast_unsigned());
    text.push(b'-');
    write_hex(&mut text, size);
    text.push(b'"');
    Bytes::from(text)
}

/// The longest entity tag, in bytes: quotes, a dash and two numbers.
const ETAG_MAX: usize = 3 + 2 * 16;

fn os_string(name: &[u8]) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(name.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_are_hexadecimal() {
        assert_eq!(etag(0x6543_210a, 1024), "\"6543210a-400\"");
        assert_eq!(etag(0, 0), "\"0-0\"");
        for (modified, size) in [(-1, u64::MAX), (0x10, 0xf), (i64::MIN, 0x9a), (i64::MAX, 1)] {
            assert_eq!(etag(modified, size), format!("\"{modified:x}-{size:x}\""));
        }
    }

    #[test]
    fn errors_have_their_statuses() {
        assert_eq!(status_of(Errno::NOENT), 404);
        assert_eq!(status_of(Errno::NOTDIR), 404);
        assert_eq!(status_of(Errno::NAMETOOLONG), 404);
        assert_eq!(status_of(Errno::ACCESS), 403);
        assert_eq!(status_of(Errno::MFILE), 500);
    }

    #[test]
    fn what_is_opened_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let name = |file: &str| {
            folder
                .path()
                .join(file)
                .into_os_string()
                .into_encoded_bytes()
        };
        std::fs::write(folder.path().join("page"), "hello").unwrap();
        let (_, stat) = open(&name("page")).unwrap();
        assert_eq!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile);
        assert_eq!(stat.st_size, 5);
        let (_, stat) = open(&name("")).unwrap();
        assert_eq!(FileType::from_raw_mode(stat.st_mode), FileType::Directory);
        assert_eq!(
            open(&name("page/x")).unwrap_err(),
            ("open()", Errno::NOTDIR)
        );
        assert_eq!(open(&name("none")).unwrap_err(), ("open()", Errno::NOENT));
    }
}
