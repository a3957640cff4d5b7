//! Names of chunks, as they stand in messages and tracebacks.

use std::fmt;

/// Lua keeps this many bytes of a chunk's name for messages, the terminating NUL included.
const LUA_IDSIZE: usize = 60;

/// The name of a chunk: `=content_by_lua(nginx.conf:12)`.
///
/// The leading `=` asks Lua to show the name as it is; a name that begins with `@` is a file's
/// path. Lua cuts what is longer than 59 bytes at the end, which is where the line number
/// stands, so [`ChunkName::directive`] shortens the file's name instead.
///
/// ```
/// use ngx_lua::ChunkName;
///
/// let name = ChunkName::directive("content_by_lua", "/etc/ngx/nginx.conf", 12);
/// assert_eq!(name.as_str(), "=content_by_lua(nginx.conf:12)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChunkName(String);

impl ChunkName {
    /// A name that is shown as it is.
    pub fn literal(name: &str) -> Self {
        Self(format!("={name}"))
    }

    /// The name of a Lua file: messages show its path.
    pub fn file(path: &str) -> Self {
        Self(format!("@{path}"))
    }

    /// The name of the Lua source that stands in a configuration file: the directive, the file's
    /// name without its folder, and the line on which the directive stands (from 1).
    pub fn directive(directive: &str, file: &str, line: usize) -> Self {
        let file = file.rsplit('/').next().unwrap_or(file);
        let around = directive.len() + line.to_string().len() + "(:)".len();
        let room = (LUA_IDSIZE - 1).saturating_sub(around);
        Self(format!("={directive}({}:{line})", shorten(file, room)))
    }

    /// The name as Lua takes it, with its first character.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name as messages show it.
impl fmt::Display for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(1..).unwrap_or_default())
    }
}

/// A bare string is a literal name, unless Lua would read its first character as a mark.
impl From<&str> for ChunkName {
    fn from(name: &str) -> Self {
        if name.starts_with(['=', '@']) {
            Self(name.to_owned())
        } else {
            Self::literal(name)
        }
    }
}

/// The end of a file's name tells more than its beginning.
fn shorten(file: &str, room: usize) -> String {
    const MARK: &str = "...";
    if file.len() <= room {
        return file.to_owned();
    }
    let keep = room.saturating_sub(MARK.len());
    let cut = (file.len() - keep..=file.len()).find(|at| file.is_char_boundary(*at));
    let tail = cut.and_then(|at| file.get(at..)).unwrap_or_default();
    format!("{MARK}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_is_named_by_file_and_line() {
        let name = ChunkName::directive("init_by_lua", "conf/nginx.conf", 7);
        assert_eq!(name.as_str(), "=init_by_lua(nginx.conf:7)");
        assert_eq!(name.to_string(), "init_by_lua(nginx.conf:7)");
    }

    #[test]
    fn a_long_file_name_loses_its_beginning_not_its_line() {
        let file = format!("{}-shop.example.conf", "a".repeat(80));
        let name = ChunkName::directive("header_filter_by_lua", &file, 12345).to_string();
        assert_eq!(name.len(), LUA_IDSIZE - 1);
        assert!(name.starts_with("header_filter_by_lua(..."), "{name}");
        assert!(name.ends_with("-shop.example.conf:12345)"), "{name}");
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        for extra in 0..4 {
            let file = format!("{}{}.conf", "x".repeat(extra), "é".repeat(60));
            let name = ChunkName::directive("content_by_lua", &file, 1).to_string();
            assert!(
                name.len() < LUA_IDSIZE && name.ends_with("é.conf:1)"),
                "{name}"
            );
        }
    }

    #[test]
    fn a_bare_string_is_a_literal() {
        assert_eq!(ChunkName::from("setup").as_str(), "=setup");
        assert_eq!(ChunkName::from("=setup").as_str(), "=setup");
        assert_eq!(ChunkName::from("@lib/a.lua"), ChunkName::file("lib/a.lua"));
    }
}
