//! The end of a block of Lua: braces that stand in Lua strings and comments do not count.

/// Why a block of Lua has no end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unclosed {
    /// A brace is missing.
    Brace,
    /// The long bracket of this level at this offset is not closed.
    LongBracket { at: usize, level: usize },
}

/// Finds the brace that closes a block whose opening brace stands right before `text`.
///
/// # Errors
///
/// [`Unclosed`] when the text ends first.
pub(super) fn block_end(text: &[u8]) -> Result<usize, Unclosed> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&ch) = text.get(at) {
        at = match ch {
            b'{' => {
                depth += 1;
                at + 1
            }
            b'}' if depth == 0 => return Ok(at),
            b'}' => {
                depth -= 1;
                at + 1
            }
            b'"' | b'\'' => string_end(text, at),
            b'[' => long_bracket_end(text, at)?.unwrap_or(at + 1),
            b'-' if text.get(at + 1) == Some(&b'-') => match long_bracket_end(text, at + 2)? {
                Some(end) => end,
                None => line_end(text, at),
            },
            _ => at + 1,
        };
    }
    Err(Unclosed::Brace)
}

/// A quoted string ends with its line too: Lua would not accept it, but then Lua says so.
fn string_end(text: &[u8], start: usize) -> usize {
    let quote = text.get(start);
    let mut at = start + 1;
    while let Some(ch) = text.get(at) {
        match ch {
            b'\\' => at += 2,
            b'\n' => return at,
            _ if Some(ch) == quote => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The position behind the long bracket that begins at `start`, if one does.
fn long_bracket_end(text: &[u8], start: usize) -> Result<Option<usize>, Unclosed> {
    let Some(rest) = text.get(start..).and_then(|rest| rest.strip_prefix(b"[")) else {
        return Ok(None);
    };
    let level = rest.iter().take_while(|&&ch| ch == b'=').count();
    if rest.get(level) != Some(&b'[') {
        return Ok(None);
    }
    let mut at = start + level + 2;
    while let Some(&ch) = text.get(at) {
        at += 1;
        if ch != b']' {
            continue;
        }
        let signs = text.iter().skip(at).take_while(|&&ch| ch == b'=').count();
        // The sign that ends the run may begin the real bracket, so it is looked at again.
        at += signs;
        if signs == level && text.get(at) == Some(&b']') {
            return Ok(Some(at + 1));
        }
    }
    Err(Unclosed::LongBracket { at: start, level })
}

fn line_end(text: &[u8], start: usize) -> usize {
    start
        + text
            .iter()
            .skip(start)
            .take_while(|&&ch| ch != b'\n')
            .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn ends(text: &str, rest: &str) {
        let end = block_end(text.as_bytes()).unwrap();
        assert_eq!(&text[end..], rest, "{text}");
    }

    #[test]
    fn braces_in_strings_and_comments_do_not_count() {
        ends("}x", "}x");
        ends(" local t = { { } } }x", "}x");
        ends(" say('}') }x", "}x");
        ends(" say(\"}\\\"}\") }x", "}x");
        ends(" say('\\\\') }x", "}x");
        ends(" say([[ } ]]) }x", "}x");
        ends(" say([==[ } ]] ]=] ]==]) }x", "}x");
        ends(" -- }\n }x", "}x");
        ends(" --[[ }\n } ]] }x", "}x");
        ends(" --[=[ } ]] } ]=] }x", "}x");
        ends(" a = b[c[1]] }x", "}x");
        ends(" a = b - c }x", "}x");
        ends(" x = 'it\n }x", "}x");
        ends(" [[ ]=]] }x", "}x");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(block_end(b" a = {} "), Err(Unclosed::Brace));
        assert_eq!(block_end(b" say('}"), Err(Unclosed::Brace));
        assert_eq!(block_end(b"a\\"), Err(Unclosed::Brace));
        let level = |at, level| Err(Unclosed::LongBracket { at, level });
        assert_eq!(block_end(b" say([[ } "), level(5, 0));
        assert_eq!(block_end(b"--[=[ }"), level(2, 1));
    }
}
