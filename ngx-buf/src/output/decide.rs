//! What to do with a buf: hand it on as it is, copy it, or drop it.

use crate::{Buf, OutputContext};

/// What becomes of a buf in the output chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It goes on as it is.
    AsIs,
    /// Its bytes go on in memory of the output chain.
    Copy,
    /// It has neither bytes nor anything to say.
    Drop,
}

/// | buf | goes on as it is |
/// | --- | --- |
/// | special | always |
/// | file | with `sendfile`, unless memory is needed or the file is under direct I/O |
/// | memory | unless it must be changeable and is shared or static |
///
/// Memory that must be changeable is not necessary where only memory is.
pub(crate) fn decide(cx: &OutputContext, buf: &Buf) -> Decision {
    let pass = if buf.is_special() {
        true
    } else if buf.is_empty() {
        return Decision::Drop;
    } else if let Some((file, _)) = buf.file_parts() {
        cx.sendfile && !cx.need_in_memory && !cx.need_in_temp && !file.is_direct()
    } else {
        !cx.need_in_temp || buf.is_unique()
    };
    if pass { Decision::AsIs } else { Decision::Copy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flags, Tag};

    fn contexts() -> impl Iterator<Item = OutputContext> {
        (0..8).map(|bits| OutputContext {
            sendfile: bits & 1 != 0,
            need_in_memory: bits & 2 != 0,
            need_in_temp: bits & 4 != 0,
            ..OutputContext::new(Tag::NONE)
        })
    }

    #[test]
    fn specials_always_pass() {
        for cx in contexts() {
            for flag in [
                Flags::FLUSH,
                Flags::SYNC,
                Flags::LAST_BUF,
                Flags::LAST_IN_CHAIN,
            ] {
                assert_eq!(decide(&cx, &Buf::special(flag)), Decision::AsIs);
            }
        }
    }

    #[test]
    fn the_empty_goes() {
        for cx in contexts() {
            for buf in [Buf::from(""), Buf::default(), Buf::special(Flags::RECYCLED)] {
                assert_eq!(decide(&cx, &buf), Decision::Drop);
            }
        }
    }

    #[test]
    fn memory_passes_unless_it_must_be_changeable_and_is_not() {
        for cx in contexts() {
            let shared = Buf::from(b"abc".to_vec());
            let other = shared.clone();
            let expected = if cx.need_in_temp {
                Decision::Copy
            } else {
                Decision::AsIs
            };
            assert_eq!(decide(&cx, &shared), expected);
            assert_eq!(decide(&cx, &Buf::from("static")), expected);
            drop(other);
            assert_eq!(decide(&cx, &shared), Decision::AsIs);
        }
    }

    #[cfg(feature = "file")]
    #[test]
    fn a_file_passes_with_sendfile_alone() {
        let file = crate::FileBuf::new(tempfile::tempfile().unwrap(), "f");
        let file = std::sync::Arc::new(file);
        for cx in contexts() {
            let buf = Buf::file(std::sync::Arc::clone(&file), 0..9);
            let pass = cx.sendfile && !cx.need_in_memory && !cx.need_in_temp;
            let expected = if pass { Decision::AsIs } else { Decision::Copy };
            assert_eq!(decide(&cx, &buf), expected, "{cx:?}");
            let empty = Buf::file(std::sync::Arc::clone(&file), 9..9);
            assert_eq!(decide(&cx, &empty), Decision::Drop);
        }
    }
}
