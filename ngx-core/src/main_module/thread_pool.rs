//! `thread_pool`: threads that read files, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use ngx_buf::{FileReader, ReadJob, ReadThreads};

use crate::conf::{Args, Problem, Span, values};
use crate::error;
use crate::module::{Arity, Contexts, Cx, Directive, Module};

/// A pool of threads of the whole process, as a configuration names it (`aio threads=NAME`).
///
/// It has no thread before there is something to read, and ends with the generation of the
/// configuration.
pub struct ThreadPool {
    name: String,
    /// Missing until the directive has been read, if there is one.
    sizes: OnceLock<Sizes>,
    threads: OnceLock<ReadThreads>,
}

#[derive(Debug, Clone, Copy)]
struct Sizes {
    threads: usize,
    max_queue: usize,
}

/// The pools of a configuration, by name: a part of it.
#[derive(Debug, Default)]
pub struct ThreadPools(BTreeMap<String, Arc<ThreadPool>>);

impl ThreadPools {
    /// The pool with a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<ThreadPool>> {
        self.0.get(name)
    }

    /// The pool that is there without a directive.
    pub const DEFAULT: &str = "default";

    /// The pool that the directive at `place` names. `thread_pool` may declare it before or behind
    /// that place; if it does not, and it is not the default one, that is reported.
    pub fn named(cx: &mut Cx<'_>, name: &str, place: Span) -> Arc<ThreadPool> {
        if let Some(pool) = cx.part::<Self>().get(name) {
            return Arc::clone(pool);
        }
        let pool = Arc::new(ThreadPool::new(name));
        let named = Arc::clone(&pool);
        cx.part::<Self>().0.insert(name.to_owned(), pool);
        let declared = Arc::clone(&named);
        cx.defer(move |cx| {
            let is_known = declared.sizes.get().is_some() || declared.name == Self::DEFAULT;
            if !is_known {
                let names = cx.part::<Self>().declared();
                let message = format!("unknown thread pool \"{}\"", declared.name);
                cx.report(Problem::new(place, message).with_help(format!(
                    "there is {names}; another one takes \"thread_pool {} threads=32;\" outside \
                     of all blocks",
                    declared.name
                )));
            }
        });
        named
    }

    fn declared(&self) -> String {
        let declared = self.0.values().filter(|pool| pool.sizes.get().is_some());
        let names = declared.map(|pool| format!("\"{}\"", pool.name));
        let mut names: Vec<String> = names.collect();
        let default = format!("\"{}\"", Self::DEFAULT);
        if !names.contains(&default) {
            names.push(default);
        }
        names.join(", ")
    }
}

impl ThreadPool {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            sizes: OnceLock::new(),
            threads: OnceLock::new(),
        }
    }

    fn threads(&self) -> &ReadThreads {
        self.threads.get_or_init(|| {
            let Sizes { threads, max_queue } = *self.sizes.get().unwrap_or(&DEFAULT_SIZES);
            ReadThreads::new(self.name.clone(), threads, max_queue)
        })
    }
}

impl FileReader for ThreadPool {
    fn submit(&self, job: ReadJob) -> Result<(), ReadJob> {
        let threads = self.threads();
        threads.submit(job).inspect_err(|_done_by_the_caller| {
            let (name, waiting) = (&self.name, threads.waiting());
            error!("thread pool \"{name}\" queue overflow: {waiting} tasks waiting");
        })
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadPool({}, {:?})", self.name, self.sizes.get())
    }
}

pub(super) static MODULE: Module = Module {
    name: "ngx_thread_pool_module",
    directives: &[Directive {
        name: "thread_pool",
        contexts: Contexts::MAIN,
        arity: Arity::range(2, 3),
        set: set_thread_pool,
        default: "default threads=32 max_queue=65536",
        doc: "A pool of threads that read files for all serving threads (\"aio threads=NAME\"): how \
              many there may be, and how many reads may wait for one. A read that finds no room is \
              logged and done by the serving thread.",
    }],
};

fn set_thread_pool(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let (mut threads, mut max_queue) = (None, DEFAULT_SIZES.max_queue);
    for (i, word) in args.values().iter().enumerate().skip(1) {
        let text = word.as_str();
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let number = || {
            let number = values::number(value.as_bytes()).ok();
            let invalid = || args.problem_at(i, format!("invalid {name} value \"{text}\""));
            number
                .and_then(|number| usize::try_from(number).ok())
                .ok_or_else(invalid)
        };
        match name {
            "threads" => {
                let count = number()?;
                if count == 0 {
                    return Err(args.problem_at(i, format!("invalid threads value \"{text}\"")));
                }
                threads = Some(count);
            }
            "max_queue" => max_queue = number()?,
            _ => {
                let problem = args.problem_at(i, format!("invalid parameter \"{text}\""));
                return Err(problem.with_help("\"threads=NUMBER\" and \"max_queue=NUMBER\""));
            }
        }
    }
    let Some(threads) = threads else {
        return Err(args.problem("\"thread_pool\" must have \"threads\" parameter"));
    };
    let name = args.arg(0).as_str();
    let pools = &mut cx.part::<ThreadPools>().0;
    let pool = pools
        .entry(name.to_owned())
        .or_insert_with(|| Arc::new(ThreadPool::new(name)));
    pool.sizes
        .set(Sizes { threads, max_queue })
        .map_err(|_| args.problem_at(0, format!("duplicate thread pool \"{name}\"")))
}

const DEFAULT_SIZES: Sizes = Sizes {
    threads: 32,
    max_queue: 65_536,
};
