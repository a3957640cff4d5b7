//! The reference of directives, made from the tables of the modules and the list of all that
//! nginx and OpenResty have.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::descriptor::Directive;
use super::registry::Registry;
use crate::conf::known::{self, KnownDirective};

impl Registry {
    /// The reference of directives as a page of Markdown: those of the modules of this registry
    /// with what they take and do, and those of nginx and OpenResty that are refused by name.
    #[must_use]
    pub fn reference(&self) -> String {
        let page = Page::new(self);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = page.write(&mut text);
        text
    }
}

/// A line of the page.
struct Line {
    name: &'static str,
    status: Status,
    contexts: String,
    default: &'static str,
    doc: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Done,
    /// Accepted with a warning.
    Pending,
    Refused,
}

/// Lines by module and name.
struct Page(BTreeMap<&'static str, Vec<Line>>);

impl Page {
    fn new(registry: &Registry) -> Self {
        let mut modules: BTreeMap<&str, Vec<Line>> = BTreeMap::new();
        for module in registry.modules() {
            for directive in module.directives {
                let name = known_module(directive).unwrap_or(module.name);
                modules.entry(name).or_default().push(Line::of(directive));
            }
        }
        modules
            .entry("ngx_conf_module")
            .or_default()
            .push(include());
        for known in known::directives().filter(|known| !has(registry, known)) {
            modules.entry(known.module).or_default().push(Line {
                name: known.name,
                status: Status::Refused,
                contexts: known.contexts.to_owned(),
                default: "",
                doc: "",
            });
        }
        for lines in modules.values_mut() {
            lines.sort_by_key(|line| line.name);
        }
        Self(modules)
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let count = |status| {
            let lines = self.0.values().flatten();
            lines.filter(|line| line.status == status).count()
        };
        let (done, pending, refused) = (
            count(Status::Done),
            count(Status::Pending),
            count(Status::Refused),
        );
        let total = done + pending + refused;
        writeln!(out, "{HEAD}")?;
        writeln!(
            out,
            "| status | directives | meaning |\n| --- | ---: | --- |"
        )?;
        writeln!(out, "| done | {done} | does what it says |")?;
        writeln!(
            out,
            "| warns | {pending} | accepted so that stock configurations pass, with a warning that \
             it has no effect so far |"
        )?;
        writeln!(
            out,
            "| refused | {refused} | known by name: an error that says so |"
        )?;
        writeln!(out, "| | {total} | |")?;
        for (module, lines) in &self.0 {
            writeln!(out, "\n## {module}\n")?;
            writeln!(out, "| directive | status | contexts | default | |")?;
            writeln!(out, "| --- | --- | --- | --- | --- |")?;
            for line in lines {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }
}

impl Line {
    fn of(directive: &Directive) -> Self {
        let pending = directive.is_pending();
        Self {
            name: directive.name,
            status: if pending {
                Status::Pending
            } else {
                Status::Done
            },
            contexts: directive.contexts.to_string(),
            default: directive.default,
            doc: if pending { "" } else { directive.doc },
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Done => "done",
            Status::Pending => "warns",
            Status::Refused => "refused",
        };
        write!(f, "| `{}` | {status} | {} | ", self.name, self.contexts)?;
        if !self.default.is_empty() {
            write!(f, "`{}` ", escaped(self.default))?;
        }
        write!(f, "| {}", escaped(self.doc))?;
        f.write_str(if self.doc.is_empty() { "|" } else { " |" })
    }
}

/// Whether a module of the registry has the directive, in a context where nginx has it. Modules
/// may be cut differently; contexts tell `http` from `stream`.
fn has(registry: &Registry, known: &KnownDirective) -> bool {
    if known.name == INCLUDE {
        return true;
    }
    let mut contexts = known.contexts.split(", ");
    registry.lookup(known.name).iter().any(|row| {
        let ours = row.directive.contexts;
        contexts.any(|context| ours.names().any(|name| name == context))
    })
}

/// The module that nginx has the directive in.
fn known_module(directive: &Directive) -> Option<&'static str> {
    let mut known = known::directives().filter(|known| known.name == directive.name);
    let here = |known: &KnownDirective| {
        let mut contexts = known.contexts.split(", ");
        contexts.any(|context| directive.contexts.names().any(|name| name == context))
    };
    known.find(here).map(|known| known.module)
}

/// Text in a cell of a table.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The parser's own: no module has it in a table.
fn include() -> Line {
    Line {
        name: INCLUDE,
        status: Status::Done,
        contexts: "any".to_owned(),
        default: "",
        doc: "Other files in this place: one by name, or all that a pattern matches.",
    }
}

const INCLUDE: &str = "include";

const HEAD: &str = "\
# Directives

All directives of nginx and OpenResty, by module, and what becomes of them. This page is made by
`ngx --directives` from the tables that the parser reads; `.ci/run docs` checks that it is fresh.
";

#[cfg(test)]
mod tests {
    use crate::module::{Arity, Contexts, Directive, Module, Registry};

    static MODULE: Module = Module {
        name: "ngx_http_mine_module",
        directives: &[
            Directive {
                name: "mine",
                contexts: Contexts::HTTP,
                arity: Arity::ONE,
                set: |_, _| Ok(()),
                default: "a | b",
                doc: "Of this program alone.",
            },
            Directive {
                name: "error_log",
                contexts: Contexts::HTTP.or(Contexts::SERVER),
                arity: Arity::ONE,
                set: |_, _| Ok(()),
                default: "",
                doc: "A log.",
            },
            Directive::pending("gzip", Contexts::HTTP),
        ],
    };

    #[test]
    fn every_directive_has_one_line_with_its_status() {
        let page = Registry::new(&[&MODULE]).unwrap().reference();
        for line in [
            "| `mine` | done | http | `a \\| b` | Of this program alone. |",
            "| `error_log` | done | http, server | | A log. |",
            // The same name in other modules.
            "| `error_log` | refused | main | | |",
            "| `error_log` | refused | stream, stream server | | |",
            "| `gzip` | warns | http | | |",
            "| `gzip_static` | refused | http, server, location | | |",
            "| warns | 1 | ",
        ] {
            assert_eq!(
                page.matches(&format!("\n{line}")).count(),
                1,
                "{line}\n{page}"
            );
        }
        let section = |name: &str| page.find(&format!("\n## {name}\n")).unwrap();
        let at = page.find("| `error_log` | done").unwrap();
        assert!(section("ngx_http_core_module") < at && at < section("ngx_http_dav_module"));
        assert!(section("ngx_http_mine_module") < page.find("| `mine`").unwrap());
    }
}
