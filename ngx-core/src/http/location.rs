//! Looking locations up: exact names, prefixes, regular expressions, nested ones.

use rustc_hash::FxHashMap;

use super::regex::Pattern;
use super::request::Request;

/// Index of a location in the compiled configuration.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct LocationId(pub(crate) u32);

/// The locations directly inside a server or another location.
#[derive(Default)]
pub(crate) struct LocationTree {
    /// Asked by clients, filled by the configuration alone: no need of a hash against attackers.
    exact: FxHashMap<Box<[u8]>, LocationId>,
    /// Those of them that ask for a redirect when only their final slash is missing, without it.
    exact_redirects: FxHashMap<Box<[u8]>, LocationId>,
    prefixes: Prefixes,
    regexes: Vec<(Pattern, LocationId)>,
    /// There are no regular expressions, and nothing within the locations: what is found first is
    /// final.
    is_flat: bool,
}

/// What a level of locations has for a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// `location = /path`
    Exact(LocationId),
    /// The longest prefix; `no_regex` for `location ^~`.
    Prefix {
        id: LocationId,
        no_regex: bool,
    },
    /// The path with a slash behind it is the name of this location.
    SlashMissing(LocationId),
    Nothing,
}

/// Prefix names, sorted, each knowing the longest other name that is its prefix.
#[derive(Default)]
struct Prefixes {
    list: Vec<Prefix>,
    /// Whether one of them asks for redirects.
    auto_redirects: bool,
}

struct Prefix {
    name: Box<[u8]>,
    id: LocationId,
    no_regex: bool,
    /// A location that asks for a redirect when only its final slash is missing.
    auto_redirect: bool,
    /// Less than the own index.
    parent: Option<usize>,
}

impl Prefix {
    #[inline]
    fn is_front_of(&self, path: &[u8]) -> bool {
        match *self.name {
            // The most usual of all.
            [only] => path.first() == Some(&only),
            _ => path.starts_with(&self.name),
        }
    }

    fn found(&self) -> Found {
        Found::Prefix {
            id: self.id,
            no_regex: self.no_regex,
        }
    }
}

/// A location as the tree wants it.
pub(crate) struct Entry {
    pub(crate) name: Box<[u8]>,
    pub(crate) id: LocationId,
    pub(crate) no_regex: bool,
    pub(crate) auto_redirect: bool,
}

impl LocationTree {
    pub(crate) fn new(
        exact: Vec<Entry>,
        prefixes: Vec<Entry>,
        regexes: Vec<(Pattern, LocationId)>,
    ) -> Self {
        let redirects = exact.iter().filter(|entry| entry.auto_redirect);
        let without_slash =
            redirects.filter_map(|entry| Some((entry.name.strip_suffix(b"/")?.into(), entry.id)));
        Self {
            exact_redirects: without_slash.collect(),
            exact: exact.into_iter().map(|e| (e.name, e.id)).collect(),
            prefixes: Prefixes::new(prefixes),
            regexes,
            is_flat: false,
        }
    }

    /// Makes out whether the first look is final; `is_leaf` says which locations have none within.
    pub(crate) fn settle(&mut self, is_leaf: impl Fn(LocationId) -> bool) {
        let prefixes = self.prefixes.list.iter().map(|prefix| prefix.id);
        let mut all = self.exact.values().copied().chain(prefixes);
        self.is_flat = self.regexes.is_empty() && all.all(is_leaf);
    }

    pub(crate) fn is_flat(&self) -> bool {
        self.is_flat
    }

    /// Looks `path` up among exact and prefix names.
    #[inline(always)]
    pub(crate) fn find_static(&self, path: &[u8]) -> Found {
        if !self.exact.is_empty()
            && let Some(&id) = self.exact.get(path)
        {
            return Found::Exact(id);
        }
        if !self.exact_redirects.is_empty()
            && let Some(&id) = self.exact_redirects.get(path)
            && !self.prefixes.has(path)
        {
            return Found::SlashMissing(id);
        }
        self.prefixes.find(path)
    }

    /// The first regular expression that matches; its captures become those of the request. `seen`
    /// is told of all that are tried, and whether they match.
    pub(crate) fn find_regex(
        &self,
        r: &Request,
        seen: &mut impl FnMut(LocationId, bool),
    ) -> Option<LocationId> {
        if self.regexes.is_empty() {
            return None;
        }
        // A copy, because matching writes captures and variables of the same request.
        let path = r.path().to_vec();
        self.regexes
            .iter()
            .find(|(pattern, id)| {
                let matches = pattern.matches(r, &path);
                seen(*id, matches);
                matches
            })
            .map(|(_, id)| *id)
    }
}

impl Prefixes {
    fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut list: Vec<Prefix> = Vec::with_capacity(entries.len());
        for entry in entries {
            // The nearest prefix is an ancestor of, or is, the entry before.
            let mut parent = list.len().checked_sub(1);
            while let Some(at) = parent
                && !entry.name.starts_with(&list[at].name)
            {
                parent = list[at].parent;
            }
            let Entry {
                name,
                id,
                no_regex,
                auto_redirect,
            } = entry;
            list.push(Prefix {
                name,
                id,
                no_regex,
                auto_redirect,
                parent,
            });
        }
        let auto_redirects = list.iter().any(|prefix| prefix.auto_redirect);
        Self {
            list,
            auto_redirects,
        }
    }

    fn has(&self, name: &[u8]) -> bool {
        let found = self
            .list
            .binary_search_by(|prefix| (*prefix.name).cmp(name));
        found.is_ok()
    }

    #[inline]
    fn find(&self, path: &[u8]) -> Found {
        match self.list.as_slice() {
            [only] if only.is_front_of(path) => only.found(),
            _ => self.search(path),
        }
    }

    #[inline(never)]
    fn search(&self, path: &[u8]) -> Found {
        let list = &self.list;
        let behind = list.partition_point(|prefix| *prefix.name <= *path);
        let mut at = behind.checked_sub(1);
        let is_whole = |prefix: &Prefix| *prefix.name == *path;
        if self.auto_redirects
            && !at.and_then(|at| list.get(at)).is_some_and(is_whole)
            && let Some(with_slash) = self.find_with_slash(behind, path)
        {
            return Found::SlashMissing(with_slash.id);
        }
        while let Some(prefix) = at.and_then(|at| list.get(at)) {
            if prefix.is_front_of(path) {
                return prefix.found();
            }
            at = prefix.parent;
        }
        Found::Nothing
    }

    /// The location that is named like `path` with a slash behind it, if it asks for a redirect;
    /// it is not in front of `from`.
    ///
    /// It need not be the first one behind `path`: there are characters less than a slash.
    fn find_with_slash(&self, from: usize, path: &[u8]) -> Option<&Prefix> {
        let list = self.list.get(from..)?;
        let wanted = || path.iter().chain(b"/");
        let at = list.partition_point(|prefix| prefix.name.iter().lt(wanted()));
        list.get(at)
            .filter(|found| found.auto_redirect && found.name.iter().eq(wanted()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::script::Variables;

    fn tree(names: &[&str]) -> LocationTree {
        let entries = names
            .iter()
            .zip(0..)
            .map(|(name, id)| Entry {
                name: name.as_bytes().into(),
                id: LocationId(id),
                no_regex: false,
                auto_redirect: name.len() > 1 && name.ends_with('/'),
            })
            .collect();
        LocationTree::new(Vec::new(), entries, Vec::new())
    }

    #[test]
    fn an_exact_location_asks_for_its_slash() {
        let entry = |name: &str, id: u32| Entry {
            name: name.as_bytes().into(),
            id: LocationId(id),
            no_regex: false,
            auto_redirect: name.ends_with('/'),
        };
        let exact = vec![entry("/a/", 0), entry("/b/", 1), entry("/c", 2)];
        let tree = LocationTree::new(exact, vec![entry("/", 3), entry("/b", 4)], Vec::new());
        assert_eq!(tree.find_static(b"/a/"), Found::Exact(LocationId(0)));
        assert_eq!(tree.find_static(b"/a"), Found::SlashMissing(LocationId(0)));
        assert_eq!(tree.find_static(b"/b"), prefix(4));
        assert_eq!(tree.find_static(b"/c"), Found::Exact(LocationId(2)));
        assert_eq!(tree.find_static(b"/d"), prefix(3));
    }

    #[test]
    fn the_first_look_is_final_where_nothing_can_fit_better() {
        let mut flat = tree(&["/", "/a/"]);
        flat.settle(|_| true);
        assert!(flat.is_flat());
        flat.settle(|id| id != LocationId(1));
        assert!(!flat.is_flat(), "something lies within a prefix");
        let entry = |id| Entry {
            name: Box::from(*b"/"),
            id: LocationId(id),
            no_regex: false,
            auto_redirect: false,
        };
        let mut exact = LocationTree::new(vec![entry(0)], vec![entry(1)], Vec::new());
        exact.settle(|id| id != LocationId(0));
        assert!(!exact.is_flat(), "something lies within an exact one");
        let mut variables = Variables::<Request>::new();
        let pattern = Pattern::compile("a", false, &mut variables).unwrap();
        let mut regex =
            LocationTree::new(Vec::new(), vec![entry(0)], vec![(pattern, LocationId(1))]);
        regex.settle(|_| true);
        assert!(!regex.is_flat(), "an expression may fit better");
    }

    fn prefix(id: u32) -> Found {
        Found::Prefix {
            id: LocationId(id),
            no_regex: false,
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        let tree = tree(&["/", "/a/", "/a/b/", "/ab", "/b"]);
        assert_eq!(tree.find_static(b"/"), prefix(0));
        assert_eq!(tree.find_static(b"/zzz"), prefix(0));
        assert_eq!(tree.find_static(b"/a/x"), prefix(1));
        assert_eq!(tree.find_static(b"/a/b/c/d"), prefix(2));
        assert_eq!(tree.find_static(b"/abc"), prefix(3));
        assert_eq!(tree.find_static(b"/a/bc"), prefix(1));
        assert_eq!(tree.find_static(b"x"), Found::Nothing);
    }

    #[test]
    fn a_missing_slash_is_seen() {
        let tree = tree(&["/", "/a/"]);
        assert_eq!(tree.find_static(b"/a"), Found::SlashMissing(LocationId(1)));
        assert_eq!(tree.find_static(b"/aa"), prefix(0));
    }

    #[test]
    fn a_missing_slash_is_seen_behind_lesser_names() {
        let tree = tree(&["/", "/a b/", "/a-b", "/a/", "/a/c"]);
        assert_eq!(tree.find_static(b"/a"), Found::SlashMissing(LocationId(3)));
        assert_eq!(
            tree.find_static(b"/a b"),
            Found::SlashMissing(LocationId(1))
        );
    }

    #[test]
    fn a_location_of_that_very_name_needs_no_slash() {
        let tree = tree(&["/", "/a", "/a/"]);
        assert_eq!(tree.find_static(b"/a"), prefix(1));
    }

    proptest! {
        #[test]
        fn agrees_with_trying_them_all(names in proptest::collection::hash_set("/[ab/]{0,5}", 1..12), path in "/[ab/]{0,7}") {
            let names: Vec<String> = names.into_iter().collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let best = names.iter().enumerate().filter(|(_, n)| path.starts_with(**n)).max_by_key(|(_, n)| n.len());
            match tree(&names).find_static(path.as_bytes()) {
                Found::Prefix { id, .. } => prop_assert_eq!(Some(id.0 as usize), best.map(|(i, _)| i)),
                Found::SlashMissing(id) => {
                    prop_assert_eq!(names[id.0 as usize], format!("{path}/"));
                    prop_assert!(!names.contains(&path.as_str()));
                }
                Found::Nothing => prop_assert!(best.is_none()),
                Found::Exact(_) => prop_assert!(false, "no exact names here"),
            }
        }
    }
}
