//! How files are read: `directio`, `aio`.

use std::sync::{Arc, OnceLock};

use ngx_buf::{FileBuf, ReadThreads};

use super::LOCATION;
use crate::alert;
use crate::conf::{Args, Problem, Word};
use crate::error::errno;
use crate::http::request::Request;
use crate::module::Cx;

/// The threads that read files for the whole process: nginx's pool `default`.
pub(in crate::http) fn threads() -> Arc<ReadThreads> {
    static DEFAULT: OnceLock<Arc<ReadThreads>> = OnceLock::new();
    let threads = DEFAULT.get_or_init(|| Arc::new(ReadThreads::new(POOL, THREADS, MAX_QUEUE)));
    Arc::clone(threads)
}

/// Turns direct I/O on for a file of `size` bytes, if the location wants that; says whether it is
/// on. A file system that cannot do it is worth an alert, and no error.
pub(in crate::http) fn direct(r: &Request, file: &mut FileBuf, size: u64) -> bool {
    let conf = r.conf(&LOCATION);
    if size < *conf.directio {
        return false;
    }
    let alignment = usize::try_from(*conf.directio_alignment).unwrap_or(usize::MAX);
    file.make_direct(alignment)
        .inspect_err(|error| {
            let name = file.name().display();
            alert!("fcntl(O_DIRECT) \"{name}\" failed {}", errno(error));
        })
        .is_ok()
}

pub(super) fn set_directio(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let size = match args.choice(0, &[("off", u64::MAX)]) {
        Ok(off) => off,
        Err(_) => args.offset(0)?,
    };
    cx.conf(&LOCATION).directio.set(size, args.span())
}

pub(super) fn set_aio(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let value = args.values().first().map(Word::as_bytes);
    if let Some(name) = value.and_then(|value| value.strip_prefix(b"threads=")) {
        if name != POOL.as_bytes() {
            let name = String::from_utf8_lossy(name);
            return Err(args.problem_at(
                0,
                format!("unknown thread pool \"{name}\": there is only \"{POOL}\""),
            ));
        }
        return cx.conf(&LOCATION).aio.set(true, args.span());
    }
    let aio = match value {
        Some(b"off") => false,
        Some(b"on" | b"threads") => true,
        _ => {
            let problem = Problem::of_directive(args.arg(0).span(), "invalid value");
            return Err(problem.with_help("it must be one of \"off\", \"on\" and \"threads\""));
        }
    };
    cx.conf(&LOCATION).aio.set(aio, args.span())
}

/// nginx's `thread_pool default threads=32 max_queue=65536`.
const POOL: &str = "default";
const THREADS: usize = 32;
const MAX_QUEUE: usize = 65_536;
