//! One directive: which fields become what, and for which messages.

use bytes::Bytes;

use crate::conf::{Args, Problem};
use crate::http::request::Request;
use crate::module::Cx;
use crate::script::{Template, Variables};

/// Whether a directive sets or clears.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Opcode {
    Set,
    Clear,
}

/// Which options a directive takes beside `-t`.
pub(super) struct Options {
    /// `-s`
    statuses: bool,
    /// `-r`, and `-a` while setting.
    replace: bool,
    append: bool,
}

impl Options {
    pub(super) const OUTPUT: Self = Self {
        statuses: true,
        replace: false,
        append: true,
    };
    pub(super) const INPUT: Self = Self {
        statuses: false,
        replace: true,
        append: false,
    };
}

/// One directive.
#[derive(Debug, Default)]
pub(super) struct Command {
    /// The types it is for; for all if there are none.
    pub(super) types: Vec<Bytes>,
    /// The statuses it is for; for all if there are none.
    pub(super) statuses: Vec<u16>,
    pub(super) fields: Vec<Field>,
    /// Only what is there already is set.
    pub(super) replace: bool,
    /// Fields are added beside others of their names.
    pub(super) append: bool,
}

/// One field of a directive.
#[derive(Debug)]
pub(super) struct Field {
    /// Without the asterisk of a wildcard.
    pub(super) name: Bytes,
    /// All fields whose names begin so are meant.
    pub(super) wildcard: bool,
    /// Nothing clears the field.
    pub(super) value: Option<Template>,
}

/// The fields of responses that `-a` may not add to: there can be one of each.
const SINGLE: [&str; 14] = [
    "Server",
    "Date",
    "Content-Encoding",
    "Location",
    "Refresh",
    "Last-Modified",
    "Content-Range",
    "Accept-Ranges",
    "WWW-Authenticate",
    "Expires",
    "ETag",
    "Content-Length",
    "Content-Type",
    "Cache-Control",
];

impl Command {
    /// Reads the arguments of a directive.
    ///
    /// # Errors
    /// An option is unknown or lacks its argument, or a field has no name.
    pub(super) fn parse(
        cx: &mut Cx<'_>,
        args: &Args<'_>,
        opcode: Opcode,
        options: &Options,
    ) -> Result<Self, Problem> {
        let mut command = Self::default();
        let mut at = 0;
        while let Some(word) = args.values().get(at) {
            match word.as_bytes() {
                b"" => {}
                b"-t" => {
                    at += 1;
                    command.add_types(option_value(args, at)?);
                }
                b"-s" if options.statuses => {
                    at += 1;
                    let value = option_value(args, at)?;
                    command.add_statuses(args, at, value)?;
                }
                b"-r" if options.replace => command.replace = true,
                b"-a" if options.append && opcode == Opcode::Set => command.append = true,
                [b'-', ..] => {
                    return Err(args.problem_at(at, format!("invalid option name: \"{word}\"")));
                }
                _ => {
                    let field = Field::parse(cx, args, at, opcode)?;
                    command.fields.push(field);
                }
            }
            at += 1;
        }
        command.check_append(args)?;
        Ok(command)
    }

    fn check_append(&self, args: &Args<'_>) -> Result<(), Problem> {
        let is_single = |field: &&Field| {
            SINGLE
                .iter()
                .any(|name| field.name.eq_ignore_ascii_case(name.as_bytes()))
        };
        match self.fields.iter().find(is_single) {
            Some(field) if self.append => {
                let name = field.name.escape_ascii();
                Err(args.problem(format!("can not append builtin headers \"{name}\"")))
            }
            _ => Ok(()),
        }
    }

    fn add_types(&mut self, list: &[u8]) {
        let types = list
            .split(|byte| byte.is_ascii_whitespace() || *byte == b';')
            .filter(|name| !name.is_empty());
        self.types.extend(types.map(Bytes::copy_from_slice));
    }

    fn add_statuses(&mut self, args: &Args<'_>, at: usize, list: &[u8]) -> Result<(), Problem> {
        let words = list
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        for word in words {
            let status = std::str::from_utf8(word)
                .ok()
                .filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|word| word.parse().ok());
            let status = status.ok_or_else(|| {
                let word = word.escape_ascii();
                args.problem_at(at, format!("invalid status \"{word}\" in the list"))
                    .with_help("write statuses with spaces between: -s '404 500'")
            })?;
            self.statuses.push(status);
        }
        Ok(())
    }

    /// Whether it is for messages of this type.
    pub(super) fn is_for_type(&self, media: Option<&[u8]>) -> bool {
        self.types.is_empty() || self.types.iter().any(|of| media == Some(&**of))
    }
}

fn option_value<'a>(args: &Args<'a>, at: usize) -> Result<&'a [u8], Problem> {
    match args.values().get(at) {
        Some(word) => Ok(word.as_bytes()),
        None => {
            let option = args.arg(at - 1);
            Err(args.problem_at(at - 1, format!("option {option} takes an argument")))
        }
    }
}

impl Field {
    /// `Name`, `Name: value`, `Name*`
    fn parse(cx: &mut Cx<'_>, args: &Args<'_>, at: usize, opcode: Opcode) -> Result<Self, Problem> {
        let is_gap = |c: char| c == ':' || c.is_ascii_whitespace();
        let text = args.arg(at).as_str();
        let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let end = text.find(is_gap).unwrap_or(text.len());
        let (name, value) = text.split_at(end);
        let value = value.trim_start_matches(is_gap);
        let (name, wildcard) = match name.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (name, false),
        };
        if name.is_empty() {
            let message = if wildcard {
                "the name of a field that ends in an asterisk needs a beginning"
            } else {
                "no name of a field found in the argument"
            };
            return Err(args
                .problem_at(at, message)
                .with_help("write \"Name: value\", or a name alone to clear it"));
        }
        let value = if value.is_empty() || opcode == Opcode::Clear {
            None
        } else {
            let template = Template::compile(value, cx.part::<Variables<Request>>())
                .map_err(|error| args.problem_at(at, error.to_string()))?;
            Some(template)
        };
        Ok(Self {
            name: Bytes::copy_from_slice(name.as_bytes()),
            wildcard,
            value,
        })
    }

    /// The value for a request; empty to clear.
    pub(super) fn value_for(&self, r: &Request) -> Bytes {
        self.value
            .as_ref()
            .map_or_else(Bytes::new, |value| value.eval_bytes(r))
    }

    /// Whether a wildcard means this name.
    pub(super) fn covers(&self, name: &[u8]) -> bool {
        name.get(..self.name.len())
            .is_some_and(|beginning| beginning.eq_ignore_ascii_case(&self.name))
    }
}
