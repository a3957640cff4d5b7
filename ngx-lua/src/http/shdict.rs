//! `lua_shared_dict`.

use std::sync::Arc;

use ngx_core::conf::{Args, Problem, values};
use ngx_core::cycle::Cycle;
use ngx_core::module::Cx;
use ngx_core::zone::{Dict, ZoneConflict, ZoneSpec, Zones};

/// `lua_shared_dict name size`: declares a zone, whose contents a reload keeps.
pub(super) fn set_shared_dict(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let name = args.arg(0).as_str();
    if name.is_empty() {
        let message = format!("invalid lua shared dict name \"{name}\"");
        return Err(args.problem_at(0, message));
    }
    let dict = dict(args, name)?;
    let spec = ZoneSpec {
        name,
        size: dict.capacity(),
        owner: OWNER,
        key: "",
    };
    let zone = cx.part::<Zones>().declare(spec, dict);
    zone.map_err(|conflict| match conflict {
        ZoneConflict::Repeated { name } => args.problem_at(
            0,
            format!("lua_shared_dict \"{name}\" is already defined as \"{name}\""),
        ),
        other => args.problem_at(0, other.to_string()),
    })?;
    cx.part::<Names>().0.push(name.to_owned());
    Ok(())
}

/// The dictionaries of a configuration, for [`Settings`](crate::Settings).
pub(super) fn of(cycle: &Cycle) -> Vec<(String, Arc<Dict>)> {
    let names = cycle.part::<Names>().unwrap_or_default();
    let dict = |name: &String| Some((name.clone(), cycle.zones().get(name)?));
    names.0.iter().filter_map(dict).collect()
}

/// The names of the dictionaries: a part of the configuration.
#[derive(Debug, Default)]
struct Names(Vec<String>);

/// A dictionary of the size that is asked for. The zones may have another by this name: then this
/// one is dropped, and has cost nothing that was used.
fn dict(args: &Args<'_>, name: &str) -> Result<Dict, Problem> {
    let invalid = |help: String| {
        let message = format!("invalid lua shared dict size \"{}\"", args.arg(1));
        args.problem_at(1, message).with_help(help)
    };
    let size = values::size(args.arg(1).as_bytes()).map_err(|error| invalid(error.to_string()))?;
    Dict::new(name, size).map_err(|error| invalid(error.to_string()))
}

const OWNER: &str = "ngx_http_lua_module";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ngx_core::conf::MemorySource;
    use ngx_core::cycle::BuildOptions;
    use ngx_core::http::{http_registry, modules};
    use ngx_core::log::LogFiles;
    use ngx_core::zone::{Store, Value};

    use super::*;
    use crate::http::MODULES;

    fn build(http: &str, old: Option<&Cycle>) -> Result<Arc<Cycle>, String> {
        let all = modules::ALL.iter().chain(MODULES).copied();
        let registry = http_registry(all)
            .unwrap()
            .with_extension(Arc::new(LogFiles::default()));
        let text = format!("events {{ }} http {{ {http} }}");
        let source = MemorySource::new().with_file("/ngx.conf", text);
        let options = BuildOptions::default();
        let file = Path::new("/ngx.conf");
        Cycle::build(&registry, &source, file, &options, old).map_err(|error| error.to_string())
    }

    fn refused(http: &str) -> String {
        let text = build(http, None).unwrap_err();
        text.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn dictionaries_are_declared() {
        let cycle = build("lua_shared_dict b 1m; lua_shared_dict a 12k;", None).unwrap();
        let dicts: Vec<_> = of(&cycle)
            .iter()
            .map(|(name, dict)| format!("{name} {} {}", dict.name(), dict.capacity()))
            .collect();
        assert_eq!(dicts, ["b b 1048576", "a a 12288"]);
        assert!(of(&build("", None).unwrap()).is_empty());
    }

    /// The words are those of Debian's lua-nginx-module.
    #[test]
    fn mistakes_are_told() {
        for (http, message) in [
            (
                "lua_shared_dict \"\" 1m;",
                "invalid lua shared dict name \"\"",
            ),
            (
                "lua_shared_dict a 8191;",
                "invalid lua shared dict size \"8191\"",
            ),
            ("lua_shared_dict a x;", "invalid lua shared dict size \"x\""),
            (
                "lua_shared_dict a 1g;",
                "invalid lua shared dict size \"1g\"",
            ),
            (
                "lua_shared_dict a 1m; lua_shared_dict a 1m;",
                "lua_shared_dict \"a\" is already defined as \"a\"",
            ),
            (
                "lua_shared_dict a 1m; lua_shared_dict a 2m;",
                "the size 2097152 of shared memory zone \"a\" conflicts with already declared \
                 size 1048576",
            ),
            (
                "lua_shared_dict a;",
                "invalid number of arguments in \"lua_shared_dict\" directive",
            ),
            (
                "server { lua_shared_dict a 1m; }",
                "\"lua_shared_dict\" directive is not allowed here",
            ),
        ] {
            let text = refused(http);
            assert!(text.contains(message), "{http}: {text}");
        }
    }

    /// nginx starts and cannot store anything below 12k, or says that there is no memory.
    #[test]
    fn a_size_that_holds_nothing_is_refused() {
        let text = build("lua_shared_dict a 8k;", None).unwrap_err();
        assert!(
            text.contains("invalid lua shared dict size \"8k\""),
            "{text}"
        );
        assert!(text.contains("it takes 12288"), "{text}");
    }

    #[test]
    fn a_reload_keeps_what_is_in_them() {
        let first = build("lua_shared_dict a 1m; lua_shared_dict b 1m;", None).unwrap();
        for (_, dict) in of(&first) {
            let stored = dict.set(b"k", Value::Number(1.0), Store::default());
            assert_eq!(stored.result, Ok(()));
        }
        let next = build("lua_shared_dict b 2m; lua_shared_dict a 1m;", Some(&first)).unwrap();
        let lens: Vec<_> = of(&next).iter().map(|(_, dict)| dict.len()).collect();
        assert_eq!(lens, [0, 1], "another size is another dictionary");
    }
}
