//! Formats of lines, compiled once.

use std::cell::RefCell;

use bytes::Bytes;

use super::escape::Escape;
use crate::script::{Context, Part, Template, TemplateError, VarId, Variables};

/// A `log_format`: the pieces of a line.
#[derive(Debug)]
pub(super) struct Format {
    pieces: Box<[Piece]>,
    escape: Escape,
}

#[derive(Debug)]
enum Piece {
    Literal(Bytes),
    Variable(VarId),
    Capture(usize),
}

/// The format that is used when none is named.
pub(super) const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" \
     $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

thread_local! {
    /// The line being made. Taken out meanwhile, so that a line within a line gets one of its own.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A longer line gives its memory back.
const KEPT: usize = 64 * 1024;

impl Format {
    /// Compiles the text of a format; the variables in it are marked as used.
    ///
    /// # Errors
    /// As [`Template::compile`].
    pub(super) fn compile<C: ?Sized + 'static>(
        text: &str,
        escape: Escape,
        variables: &mut Variables<C>,
    ) -> Result<Self, TemplateError> {
        let template = Template::compile(text, variables)?;
        let pieces = template.parts().map(|part| match part {
            Part::Literal(bytes) => Piece::Literal(bytes),
            Part::Variable(id) => Piece::Variable(id),
            Part::Capture(n) => Piece::Capture(usize::from(n)),
        });
        Ok(Self {
            pieces: pieces.collect(),
            escape,
        })
    }

    /// Makes the line for `cx`, line feed included, and hands it to `f`.
    pub(super) fn with_line<R>(&self, cx: &impl Context, f: impl FnOnce(&[u8]) -> R) -> R {
        let mut line = LINE.take();
        line.clear();
        self.append(cx, &mut line);
        line.push(b'\n');
        let result = f(&line);
        if line.capacity() <= KEPT {
            LINE.set(line);
        }
        result
    }

    fn append(&self, cx: &impl Context, line: &mut Vec<u8>) {
        for piece in &self.pieces {
            let start = line.len();
            let found = match piece {
                Piece::Literal(bytes) => {
                    line.extend_from_slice(bytes);
                    continue;
                }
                Piece::Variable(id) => cx.variable(*id, line),
                Piece::Capture(n) => cx.capture(*n, line),
            };
            if found {
                self.escape.apply(line, start);
            } else {
                line.extend_from_slice(self.escape.missing());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Variable, VariableTable};

    struct Fake(VariableTable<Self>);

    impl Context for Fake {
        fn variable(&self, id: VarId, out: &mut Vec<u8>) -> bool {
            self.0.eval(id, self, out)
        }

        fn capture(&self, _: usize, _: &mut Vec<u8>) -> bool {
            false
        }
    }

    fn line(text: &str, escape: Escape) -> String {
        let mut variables = Variables::<Fake>::new();
        for (name, value) in [
            ("nasty", Some("a\"b\\c\u{e4}\n")),
            ("empty", Some("")),
            ("none", None),
        ] {
            let variable = Variable::new(name, move |_: &Fake, out: &mut Vec<u8>| {
                out.extend_from_slice(value.unwrap_or_default().as_bytes());
                value.is_some()
            });
            variables.register(variable).unwrap();
        }
        let format = Format::compile(text, escape, &mut variables).unwrap();
        let fake = Fake(variables.freeze().unwrap());
        format.with_line(&fake, |line| String::from_utf8_lossy(line).into_owned())
    }

    #[test]
    fn values_are_escaped_and_literals_are_not() {
        let text = "\"\\\u{e4}|$nasty|${empty}|$none|";
        assert_eq!(
            line(text, Escape::Default),
            "\"\\\u{e4}|a\\x22b\\x5Cc\\xC3\\xA4\\x0A||-|\n"
        );
        assert_eq!(
            line(text, Escape::Json),
            "\"\\\u{e4}|a\\\"b\\\\c\u{e4}\\n|||\n"
        );
        assert_eq!(line(text, Escape::None), "\"\\\u{e4}|a\"b\\c\u{e4}\n|||\n");
    }

    #[test]
    fn a_line_within_a_line_has_a_buffer_of_its_own() {
        let mut variables = Variables::<Fake>::new();
        let format = Format::compile("outer", Escape::None, &mut variables).unwrap();
        let fake = Fake(variables.freeze().unwrap());
        format.with_line(&fake, |outer| {
            assert_eq!(line("inner", Escape::None), "inner\n");
            assert_eq!(outer, b"outer\n");
        });
    }

    #[test]
    fn a_dollar_without_a_name_is_refused() {
        let mut variables = Variables::<Fake>::new();
        let error = Format::compile("$", Escape::None, &mut variables).unwrap_err();
        assert_eq!(error, TemplateError::InvalidName("$".to_owned()));
    }
}
