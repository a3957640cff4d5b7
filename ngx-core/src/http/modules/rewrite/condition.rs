//! What stands between the parentheses of `if`.

use rustix::fs::FileType;
use rustix::io::Errno;

use super::{compile, matches, value_of};
use crate::conf::{Args, Problem, Word};
use crate::crit;
use crate::error::errno;
use crate::http::regex::Pattern;
use crate::http::request::Request;
use crate::module::Cx;
use crate::script::{Context as _, Template, VarId, Variables};

/// What a condition looks at, and whether it is to be the other way round.
pub(super) struct Condition {
    test: Test,
    negated: bool,
}

enum Test {
    /// `$a`: neither empty nor `0`.
    Truth(VarId),
    /// `$a = text`
    Equal { variable: VarId, value: Template },
    /// `$a ~ pattern`
    Matches {
        variable: VarId,
        pattern: Pattern,
        text: Box<str>,
    },
    /// `-f name`
    File { kind: Kind, name: Template },
}

/// What a file has to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Plain,
    Folder,
    /// Either of both.
    Exists,
    /// Its owner may execute it.
    Executable,
}

impl Condition {
    /// Whether it is true of the request. What a regular expression captures stays.
    pub(super) fn holds(&self, r: &Request, escape: bool, log: bool) -> bool {
        let is = match &self.test {
            Test::Truth(variable) => {
                let value = read(r, *variable);
                !value.is_empty() && value != b"0"
            }
            Test::Equal { variable, value } => {
                // In this order: evaluating may have effects.
                let left = read(r, *variable);
                match value.literal() {
                    Some(literal) => left == *literal,
                    None => left == value_of(r, value, escape),
                }
            }
            Test::Matches {
                variable,
                pattern,
                text,
            } => matches(r, (pattern, text), &read(r, *variable), log),
            Test::File { kind, name } => kind.fits(&value_of(r, name, escape)),
        };
        is != self.negated
    }

    /// Reads the arguments of `if`. The errors are nginx's, at the word it names.
    ///
    /// # Errors
    /// The words make no condition, or one of them is malformed.
    pub(super) fn parse(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<Self, Problem> {
        let words = inside(args)?;
        let Some((first, rest)) = words.split_first() else {
            return Err(invalid(args, args.values().len() - 1, ")").with_help(FORMS));
        };
        if first.text.len() > 1 && first.text.starts_with('$') {
            return of_variable(cx, args, first, rest);
        }
        let (negated, operator) = negation(first.text);
        let kind = match operator {
            "-f" => Kind::Plain,
            "-d" => Kind::Folder,
            "-e" => Kind::Exists,
            "-x" => Kind::Executable,
            _ => return Err(no_operator(args, first)),
        };
        let [name] = rest else {
            let problem = invalid(args, first.at, first.text);
            return Err(problem.with_help(format!("\"{}\" takes one name of a file", first.text)));
        };
        let name = compile(cx, args, name.at, name.bytes)?;
        let test = Test::File { kind, name };
        Ok(Self { test, negated })
    }
}

/// A word of a condition, without parentheses.
struct Inside<'a> {
    /// Its number among the arguments.
    at: usize,
    text: &'a str,
    /// The same, byte by byte.
    bytes: &'a [u8],
}

/// The words between the parentheses, which may stand alone.
fn inside<'a>(args: &Args<'a>) -> Result<Vec<Inside<'a>>, Problem> {
    let last = args.values().len().saturating_sub(1);
    let (open, close) = (args.arg(0).as_str(), args.arg(last).as_str());
    if !open.starts_with('(') {
        return Err(invalid(args, 0, open).with_help("a condition stands in parentheses"));
    }
    if !close.ends_with(')') {
        // nginx has taken the first parenthesis off by now.
        let shown = match close.strip_prefix('(') {
            Some(bare) if last == 0 && !bare.is_empty() => bare,
            _ => close,
        };
        return Err(invalid(args, last, shown).with_help("the condition lacks its final \")\""));
    }
    let mut words = Vec::with_capacity(last + 1);
    for (at, word) in args.values().iter().enumerate() {
        let (mut text, mut bytes) = (Word::as_str(word), word.as_bytes());
        let mut bare = false;
        if at == 0 {
            text = text.strip_prefix('(').unwrap_or(text);
            bytes = bytes.strip_prefix(b"(").unwrap_or(bytes);
            bare = text.is_empty();
        }
        if at == last && !bare {
            text = text.strip_suffix(')').unwrap_or(text);
            bytes = bytes.strip_suffix(b")").unwrap_or(bytes);
            bare = text.is_empty();
        }
        if !bare {
            words.push(Inside { at, text, bytes });
        }
    }
    Ok(words)
}

/// `$a`, or `$a operator value`
fn of_variable(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    first: &Inside<'_>,
    rest: &[Inside<'_>],
) -> Result<Condition, Problem> {
    let name = first.text.get(1..).unwrap_or_default();
    match rest {
        [] | [_, _] => check_name(args, first, name)?,
        _ => {
            let problem = invalid(args, first.at, first.text);
            return Err(problem.with_help(match rest {
                [_] => "the operator needs a value; an empty one is \"\"".to_owned(),
                _ => {
                    "a value with spaces stands in quotes; there is no \"and\" or \"or\"".to_owned()
                }
            }));
        }
    }
    let variable = cx.part::<Variables<Request>>().index(name);
    let [operator, value] = rest else {
        let test = Test::Truth(variable);
        return Ok(Condition {
            test,
            negated: false,
        });
    };
    let (negated, bare) = negation(operator.text);
    let test = match bare {
        "=" => Test::Equal {
            variable,
            value: compile(cx, args, value.at, value.bytes)?,
        },
        "~" | "~*" => {
            let variables = cx.part::<Variables<Request>>();
            let pattern = Pattern::compile(value.text, bare == "~*", variables)
                .map_err(|error| args.problem_at(value.at, error.to_string()))?;
            Test::Matches {
                variable,
                pattern,
                text: value.text.into(),
            }
        }
        _ => {
            let message = format!("unexpected \"{}\" in condition", operator.text);
            let problem = args.problem_at(operator.at, message);
            return Err(problem.with_help(match operator.text {
                "==" => "equality is \"=\"".to_owned(),
                "=~" => "a match is \"~\", or \"~*\" in any case".to_owned(),
                _ => "the operators are =, !=, ~, ~*, !~ and !~*".to_owned(),
            }));
        }
    };
    Ok(Condition { test, negated })
}

/// Whether `name` can be that of a variable: what else follows a `$` is a frequent mistake.
fn check_name(args: &Args<'_>, first: &Inside<'_>, name: &str) -> Result<(), Problem> {
    let problem = || args.problem_at(first.at, format!("unknown \"{name}\" variable"));
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        let help = format!("take it with \"set $name ${name};\" first, and test \"$name\"");
        return Err(problem().with_help(help));
    }
    if let Some(at) = name.find(['=', '~', '!']) {
        let (bare, rest) = name.split_at(at);
        let help = format!("spaces go around the operator: \"${bare} {rest}\" needs them");
        return Err(problem().with_help(help));
    }
    if name.starts_with('{') {
        return Err(problem().with_help("a condition takes the name without braces"));
    }
    Ok(())
}

fn no_operator(args: &Args<'_>, first: &Inside<'_>) -> Problem {
    let problem = invalid(args, first.at, first.text);
    if first.text == "!" || first.text.starts_with("!$") {
        return problem.with_help(
            "only operators can be negated: \"$a = ''\" and \"$a = 0\" are what is not true",
        );
    }
    problem.with_help(FORMS)
}

const FORMS: &str = "a condition is \"($a)\", \"($a = text)\", \"($a ~ regex)\" or \"(-f file)\"; \
    operators are =, !=, ~, ~*, !~, !~*, -f, -d, -e, -x and these with \"!\"";

/// Whether an operator is negated, and what it is otherwise.
fn negation(operator: &str) -> (bool, &str) {
    match operator.strip_prefix('!') {
        Some(bare) => (true, bare),
        None => (false, operator),
    }
}

fn invalid(args: &Args<'_>, at: usize, text: &str) -> Problem {
    args.problem_at(at, format!("invalid condition \"{text}\""))
}

fn read(r: &Request, variable: VarId) -> Vec<u8> {
    let mut value = Vec::new();
    r.variable(variable, &mut value);
    value
}

impl Kind {
    /// Whether the file is there and of this kind. Links are followed.
    fn fits(self, name: &[u8]) -> bool {
        let stat = match rustix::fs::stat(name) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => return false,
            Err(error) => {
                let shown = String::from_utf8_lossy(name);
                crit!("stat() \"{shown}\" failed {}", errno(&error.into()));
                return false;
            }
        };
        let is = FileType::from_raw_mode(stat.st_mode);
        match self {
            Self::Plain => is == FileType::RegularFile,
            Self::Folder => is == FileType::Directory,
            Self::Exists => matches!(is, FileType::RegularFile | FileType::Directory),
            Self::Executable => stat.st_mode & OWNER_EXECUTES != 0,
        }
    }
}

/// The bit of a mode that lets the owner execute.
const OWNER_EXECUTES: u32 = 0o100;
