//! The letters that say how to match.

use crate::ffi::{Call, Options, Raise, bits};

/// What the letters ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Letters {
    pub(super) options: Options,
    /// `o`: remember what was compiled.
    pub(super) once: bool,
    /// `D`: names of groups may occur twice.
    pub(super) duplicates: bool,
}

/// Reads the options at `at`, if there are any.
pub(super) fn read(call: &Call<'_>, at: usize) -> Result<Letters, Raise> {
    if !call.boolean(at) {
        return Ok(Letters::default());
    }
    let text = call.want_text(at)?;
    parse(&text).map_err(|letter| {
        let letter = char::from(letter);
        let all = String::from_utf8_lossy(&text);
        format!("unknown flag \"{letter}\" (flags \"{all}\")").into()
    })
}

fn parse(text: &[u8]) -> Result<Letters, u8> {
    let mut letters = Letters::default();
    for letter in text {
        letters.options.bits |= match letter {
            b'a' => bits::ANCHORED,
            b'i' => bits::CASELESS,
            b'm' => bits::MULTILINE,
            b's' => bits::DOTALL,
            b'x' => bits::EXTENDED,
            b'u' | b'U' => bits::UTF,
            b'D' => bits::DUPNAMES,
            b'J' => bits::JAVASCRIPT,
            b'd' | b'j' | b'o' => 0,
            other => return Err(*other),
        };
        match letter {
            b'd' => letters.options.dfa = true,
            b'j' => letters.options.jit = true,
            b'U' => letters.options.invalid_utf = true,
            b'o' => letters.once = true,
            b'D' => letters.duplicates = true,
            _ => {}
        }
    }
    Ok(letters)
}
