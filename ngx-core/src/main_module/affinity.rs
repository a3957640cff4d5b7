//! `worker_cpu_affinity`: which processors a thread may run on.

use crate::conf::{Args, Problem};

/// The processors of worker threads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Affinity {
    /// Whatever the system chooses.
    #[default]
    Any,
    /// One set of processors per thread, the last one for all threads that follow.
    Masks(Vec<Vec<usize>>),
    /// One processor per thread, in turn: out of these, or out of all when there is no mask.
    Auto(Option<Vec<usize>>),
}

impl Affinity {
    /// The processors for thread `index` of a machine with `count` of them; `None` when the
    /// system is to choose.
    #[must_use]
    pub fn of_worker(&self, index: usize, count: usize) -> Option<Vec<usize>> {
        match self {
            Self::Any => None,
            Self::Masks(masks) => masks.get(index).or_else(|| masks.last()).cloned(),
            Self::Auto(mask) => {
                let all: Vec<usize> = match mask {
                    Some(mask) => mask.iter().copied().filter(|cpu| *cpu < count).collect(),
                    None => (0..count).collect(),
                };
                let turn = index.checked_rem(all.len())?;
                all.get(turn).map(|cpu| vec![*cpu])
            }
        }
    }

    /// How many sets there are, if each thread is to have its own.
    pub(super) fn masks(&self) -> Option<usize> {
        match self {
            Self::Masks(masks) => Some(masks.len()),
            Self::Any | Self::Auto(_) => None,
        }
    }

    pub(super) fn parse(args: &Args<'_>) -> Result<Self, Problem> {
        if args.arg(0).as_str() == "auto" {
            return match args.values().len() {
                1 => Ok(Self::Auto(None)),
                2 => Ok(Self::Auto(Some(mask(args, 1)?))),
                _ => Err(args.problem_at(
                    2,
                    "invalid number of arguments in \"worker_cpu_affinity\" directive",
                )),
            };
        }
        let masks = (0..args.values().len()).map(|i| mask(args, i));
        Ok(Self::Masks(masks.collect::<Result<_, _>>()?))
    }
}

/// The processors of a mask such as `0101`, in which the last digit stands for the first one.
fn mask(args: &Args<'_>, i: usize) -> Result<Vec<usize>, Problem> {
    let digits = args.arg(i).as_str();
    if digits.chars().count() > MOST {
        let message = format!("\"worker_cpu_affinity\" directive supports up to {MOST} CPUs only");
        return Err(args.problem_at(i, message));
    }
    let mut cpus = Vec::new();
    for (cpu, digit) in digits.chars().rev().enumerate() {
        match digit {
            '1' => cpus.push(cpu),
            '0' => {}
            other => {
                let message = format!("invalid character \"{other}\" in \"worker_cpu_affinity\"");
                return Err(args.problem_at(i, message));
            }
        }
    }
    Ok(cpus)
}

/// How many processors a set of the system can name.
const MOST: usize = rustix::thread::CpuSet::MAX_CPU;
