//! Media types by the endings of names of files.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::{LOCATION, LocationConf};
use crate::conf::{Args, Problem};
use crate::http::parse::exten;
use crate::http::request::Request;
use crate::module::Cx;

/// A table of media types; endings are lower case.
#[derive(Clone)]
pub struct Types(Arc<Table>);

impl Types {
    /// The type of files with this ending, in any case of letters.
    pub fn find(&self, ending: &[u8]) -> Option<&Bytes> {
        if let Some(found) = self.0.get(ending) {
            return Some(found);
        }
        if !ending.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        self.0.get(ending.to_ascii_lowercase().as_slice())
    }
}

impl Default for Types {
    /// What nginx knows without a `types` block.
    fn default() -> Self {
        // One for all: every block that says anything begins with it.
        static KNOWN: LazyLock<Arc<Table>> = LazyLock::new(|| {
            let known = [
                ("html", "text/html"),
                ("gif", "image/gif"),
                ("jpg", "image/jpeg"),
            ];
            let entries = known.map(|(ending, media)| (ending.as_bytes().into(), media.into()));
            Arc::new(FxHashMap::from_iter(entries))
        });
        Self(Arc::clone(&KNOWN))
    }
}

type Table = FxHashMap<Box<[u8]>, Bytes>;

/// A media type of the configuration. There are few, and a reload brings mostly the same; so they
/// stay for ever, and a response that has one needs not count that it does.
fn kept(media: &[u8]) -> Bytes {
    static KEPT: Mutex<BTreeSet<&[u8]>> = Mutex::new(BTreeSet::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let known = kept.get(media).copied().unwrap_or_else(|| {
        let new: &'static [u8] = Box::leak(media.into());
        kept.insert(new);
        new
    });
    Bytes::from_static(known)
}

impl Request {
    /// The media type of the current path: by its ending in `types`, else `default_type`.
    pub fn media_type(&self) -> Bytes {
        let conf = self.core();
        let path = self.path();
        match exten(&path) {
            Some(ending) => conf.media_type_of(ending).clone(),
            None => (*conf.default_type).clone(),
        }
    }
}

impl LocationConf {
    #[inline(never)]
    fn media_type_of(&self, ending: &[u8]) -> &Bytes {
        self.types.find(ending).unwrap_or(&self.default_type)
    }
}

/// `types { text/html html htm; }`
pub(super) fn set_types(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    // Blocks of one level add up; the built-in table gives way to the first of them.
    let conf = cx.conf(&LOCATION);
    let mut table = if conf.types.is_set() {
        (*conf.types.0).clone()
    } else {
        FxHashMap::default()
    };
    for node in args.block().unwrap_or_default() {
        let media = kept(node.name().as_bytes());
        for ending in node.values() {
            let ending = ending.as_bytes().to_ascii_lowercase().into_boxed_slice();
            table.insert(ending, media.clone());
        }
        if node.values().is_empty() {
            cx.report(node.args().problem(format!(
                "\"{}\" in \"types\" names no file name ending",
                node.name()
            )));
        }
    }
    *cx.conf(&LOCATION).types.set_mut(args.span()) = Types(Arc::new(table));
    Ok(())
}

/// `default_type application/octet-stream`
pub(super) fn set_default_type(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let value = kept(args.arg(0).as_bytes());
    cx.conf(&LOCATION).default_type.set(value, args.span())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_kept_once() {
        let (one, again) = (kept(b"text/x-mine"), kept(b"text/x-mine"));
        assert_eq!(one, "text/x-mine");
        assert_eq!(one.as_ptr(), again.as_ptr());
        assert_eq!(kept(b"text/x-other"), "text/x-other");
    }
}
