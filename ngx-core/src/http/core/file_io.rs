//! How files are read: `directio`, `aio`.

use std::sync::Arc;

use ngx_buf::{FileBuf, FileReader};

use super::LOCATION;
use crate::conf::{Args, Problem, Word};
use crate::error::errno;
use crate::http::request::Request;
use crate::main_module::{ThreadPool, ThreadPools};
use crate::module::Cx;
use crate::script::{Template, Variables};
use crate::{alert, error};

/// Who reads files: `aio`.
#[derive(Debug, Clone)]
pub enum Aio {
    /// The serving thread itself.
    Off,
    /// The threads of a pool.
    Threads(Arc<ThreadPool>),
    /// Those of the pool with the name that the variables give.
    Named(Template),
}

/// Who reads files for this request, if it is not the serving thread. That has to do it too when
/// there is no pool with the name that variables give, which is logged.
pub(in crate::http) fn reader(r: &Request) -> Option<Arc<dyn FileReader>> {
    let pool = match &*r.core().aio {
        Aio::Off => return None,
        Aio::Threads(pool) => Arc::clone(pool),
        Aio::Named(template) => {
            let mut name = Vec::new();
            template.eval(r, &mut name);
            let name = String::from_utf8_lossy(&name);
            let pools = r.generation().cycle().part::<ThreadPools>();
            let pool = pools.and_then(|pools| pools.get(&name).cloned());
            if pool.is_none() {
                error!("thread pool \"{name}\" not found");
            }
            pool?
        }
    };
    Some(pool)
}

/// Turns direct I/O on for a file of `size` bytes, if the location wants that; says whether it is
/// on. A file system that cannot do it is worth an alert, and no error.
pub(in crate::http) fn direct(r: &Request, file: &mut FileBuf, size: u64) -> bool {
    let conf = r.core();
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
    let value = args.values().first().map_or("", Word::as_str);
    let named = value.strip_prefix("threads=");
    let name = match named {
        Some(name) if name.contains('$') => {
            let template = Template::compile(name, cx.part::<Variables<Request>>());
            let template = template.map_err(|error| args.problem_at(0, error.to_string()))?;
            let aio = Aio::Named(template);
            return cx.conf(&LOCATION).aio.set(aio, args.span());
        }
        Some(name) => name,
        None => match value {
            "off" => return cx.conf(&LOCATION).aio.set(Aio::Off, args.span()),
            "on" | "threads" => ThreadPools::DEFAULT,
            _ => {
                let problem = Problem::of_directive(args.arg(0).span(), "invalid value");
                let help = "it must be one of \"off\", \"on\" and \"threads\"";
                return Err(problem.with_help(help));
            }
        },
    };
    let pool = ThreadPools::named(cx, name, args.arg(0).span());
    let aio = Aio::Threads(pool);
    cx.conf(&LOCATION).aio.set(aio, args.span())
}
