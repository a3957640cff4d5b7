//! What nginx and OpenResty have, of which ngx does not have all: facts for advice and for the
//! reference.

/// One name a line, then its module and, for directives, the contexts.
static DIRECTIVES: &str = include_str!("known/directives.tsv");
#[cfg(feature = "http")]
static VARIABLES: &str = include_str!("known/variables.tsv");

/// A directive of a module of nginx or OpenResty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownDirective {
    pub(crate) name: &'static str,
    pub(crate) module: &'static str,
    /// Separated by a comma and a space.
    pub(crate) contexts: &'static str,
}

/// All directives, by name and then by module.
pub(crate) fn directives() -> impl Iterator<Item = KnownDirective> {
    DIRECTIVES.lines().filter_map(|line| {
        let (name, rest) = line.split_once('\t')?;
        let (module, contexts) = rest.split_once('\t')?;
        Some(KnownDirective {
            name,
            module,
            contexts,
        })
    })
}

/// All variables with their modules, by name; a name that ends in `_` is the beginning of many.
#[cfg(feature = "http")]
pub(crate) fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    VARIABLES.lines().filter_map(|line| line.split_once('\t'))
}

/// The contexts of a directive that nginx or OpenResty has, those of all modules together.
pub(crate) fn contexts_of(name: &str) -> Option<String> {
    let mut contexts: Vec<&str> = Vec::new();
    for directive in directives().filter(|directive| directive.name == name) {
        for context in directive.contexts.split(", ") {
            if !contexts.contains(&context) {
                contexts.push(context);
            }
        }
    }
    (!contexts.is_empty()).then(|| contexts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_of_others_are_known() {
        assert_eq!(contexts_of("mp4").as_deref(), Some("location"));
        assert_eq!(
            contexts_of("proxy_timeout").as_deref(),
            Some("mail, mail server, stream, stream server")
        );
        assert!(contexts_of("content_by_lua_block").is_some());
        assert_eq!(contexts_of("prox_pass"), None);
    }

    #[test]
    fn the_lists_are_whole_and_sorted() {
        let rows: Vec<_> = directives().map(|row| (row.name, row.module)).collect();
        assert_eq!(rows.len(), DIRECTIVES.lines().count());
        assert!(rows.is_sorted_by(|a, b| a < b), "sorted, each once");
        #[cfg(feature = "http")]
        {
            let rows: Vec<_> = variables().collect();
            assert_eq!(rows.len(), VARIABLES.lines().count());
            assert!(rows.is_sorted_by(|a, b| a < b), "sorted, each once");
        }
    }
}
