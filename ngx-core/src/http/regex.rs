//! Regular expressions of the configuration, and what they have captured.

use pcre2::bytes::{Regex, RegexBuilder};

use super::request::Request;
use crate::script::{VarId, Variables};

/// A compiled regular expression. A clone shares what was compiled. Its named groups are variables of the request.
#[derive(Clone)]
pub struct Pattern {
    regex: Regex,
    named: Vec<(usize, VarId)>,
}

/// A regular expression that does not compile.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// The library refuses it.
    #[error("pcre2_compile() failed: {message} in \"{pattern}\"{place}")]
    Syntax {
        /// The whole expression.
        pattern: String,
        /// What the library says.
        message: String,
        /// ` at "rest"`, if the library says where.
        place: String,
    },
    /// A named group bears the name of a variable that cannot be set.
    #[error(transparent)]
    Name(#[from] crate::script::Duplicate),
}

/// What the last match has captured: a copy of the text and ranges of it.
#[derive(Default)]
pub(crate) struct Captures {
    text: Vec<u8>,
    /// `start <= end <= text.len()`; the whole match first.
    spans: Vec<Option<(u32, u32)>>,
}

impl Pattern {
    /// Compiles `pattern`; its named groups become variables that can be used in templates.
    ///
    /// # Errors
    /// The expression is malformed, or a group has the name of a built-in variable.
    pub fn compile(
        pattern: &str,
        caseless: bool,
        variables: &mut Variables<Request>,
    ) -> Result<Self, PatternError> {
        let regex = RegexBuilder::new()
            .caseless(caseless)
            .jit_if_available(true)
            .build(pattern)
            .map_err(|error| PatternError::Syntax {
                pattern: pattern.to_owned(),
                message: bare(&error),
                place: error
                    .offset()
                    .and_then(|at| pattern.get(at..))
                    .filter(|rest| !rest.is_empty())
                    .map(|rest| format!(" at \"{rest}\""))
                    .unwrap_or_default(),
            })?;
        let mut named = Vec::new();
        for (group, name) in regex.capture_names().iter().enumerate() {
            if let Some(name) = name {
                named.push((group, variables.define(name)?));
            }
        }
        Ok(Self { regex, named })
    }

    /// Whether `text` matches; if so, what was captured becomes `$1` to `$9` and the variables of
    /// the named groups.
    pub fn matches(&self, r: &Request, text: &[u8]) -> bool {
        let mut locations = self.regex.capture_locations();
        match self.regex.captures_read(&mut locations, text) {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(error) => {
                crate::alert!(
                    "pcre2_match() failed: {error} on \"{}\" using \"{}\"",
                    String::from_utf8_lossy(text),
                    self.regex.as_str()
                );
                return false;
            }
        }
        let spans = (0..locations.len()).map(|group| {
            let (from, to) = locations.get(group)?;
            Some((u32::try_from(from).ok()?, u32::try_from(to).ok()?))
        });
        r.captures().borrow_mut().set(text, spans);
        for &(group, id) in &self.named {
            let value = locations
                .get(group)
                .and_then(|(from, to)| text.get(from..to));
            r.set_variable(id, value.unwrap_or_default());
        }
        true
    }
}

/// What is wrong, without what the message puts in front of it.
fn bare(error: &pcre2::Error) -> String {
    let whole = error.to_string();
    let told = whole.split_once(error.offset().map_or(": ", |_| "at offset "));
    let told = told.and_then(|(_, told)| match error.offset() {
        Some(_) => told.split_once(": ").map(|(_, told)| told),
        None => Some(told),
    });
    told.unwrap_or(&whole).to_owned()
}

impl Captures {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
    }

    fn set(&mut self, text: &[u8], spans: impl Iterator<Item = Option<(u32, u32)>>) {
        self.clear();
        self.text.extend_from_slice(text);
        self.spans.extend(spans);
    }

    /// Whether a group behind `n` has captured something.
    pub(crate) fn reaches(&self, n: usize) -> bool {
        let mut behind = self.spans.iter().skip(n);
        behind.any(Option::is_some)
    }

    /// Appends what group `n` has captured; `false` if it has captured nothing.
    pub(crate) fn append(&self, n: usize, out: &mut Vec<u8>) -> bool {
        let Some(&Some((from, to))) = self.spans.get(n) else {
            return false;
        };
        let Some(text) = self.text.get(from as usize..to as usize) else {
            return false;
        };
        out.extend_from_slice(text);
        true
    }
}
