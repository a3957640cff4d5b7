//! The reference of variables, made from what modules register and the list of all that nginx
//! has.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::module::HttpModules;
use super::request::Request;
use crate::conf::known;
use crate::module::Registry;
use crate::script::Variables;

/// The reference of variables as a page of Markdown: those of the modules of `registry`, and those
/// of nginx that no module has.
#[must_use]
pub fn reference_of_variables(registry: &Registry) -> String {
    let mut modules: BTreeMap<&str, BTreeMap<String, bool>> = BTreeMap::new();
    for (name, module) in known::variables() {
        let names = modules.entry(module).or_default();
        names.insert(name.to_owned(), false);
    }
    let http = registry.extension::<HttpModules>();
    for module in http.iter().flat_map(|http| &http.0) {
        let mut variables = Variables::<Request>::new();
        if let Some(register) = module.variables {
            register(&mut variables);
        }
        for name in variables.offered() {
            let known = known::variables()
                .find(|(known, module)| *known == name && module.starts_with("ngx_http_"));
            let module = known.map_or(module.module.name, |(_, module)| module);
            let names = modules.entry(module).or_default();
            names.insert(name.to_owned(), true);
        }
    }
    page(&modules)
}

fn page(modules: &BTreeMap<&str, BTreeMap<String, bool>>) -> String {
    let mut out = HEAD.to_owned();
    for (module, names) in modules {
        // Writing to a string does not fail.
        let _ = writeln!(out, "\n## {module}\n\n| variable | status |\n| --- | --- |");
        for (name, done) in names {
            let more = if name.ends_with('_') { "*name*" } else { "" };
            let status = if *done { "done" } else { "refused" };
            let _ = writeln!(out, "| `${name}`{more} | {status} |");
        }
    }
    out
}

const HEAD: &str = "\
# Variables

All variables of nginx, by module, and those that ngx adds. This page is made by `ngx --variables`
from what the modules register; `.ci/run docs` checks that it is fresh. A variable that is refused
is `unknown` where a configuration uses it.
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{http_registry, modules};

    #[test]
    fn variables_are_listed_with_their_status() {
        let registry = http_registry(modules::ALL.iter().copied()).unwrap();
        let page = reference_of_variables(&registry);
        for line in [
            "| `$uri` | done |",
            "| `$arg_`*name* | done |",
            "| `$geoip_city` | refused |",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        let section = |name: &str| page.find(&format!("\n## {name}\n")).unwrap();
        let uri = page.find("| `$uri` |").unwrap();
        assert!(section("ngx_http_core_module") < uri && uri < section("ngx_http_geoip_module"));
    }
}
