//! A piece of Lua that the configuration names.

use std::path::PathBuf;
use std::sync::Arc;

use ngx_core::conf::{Args, Problem};
use ngx_core::http::Request;
use ngx_core::module::Cx;
use ngx_core::script::{Template, Variables};

use crate::ChunkName;

/// A piece of Lua of the configuration.
#[derive(Debug)]
pub(super) struct Code {
    /// Its number among those of the configuration: where a VM keeps it compiled.
    pub(super) id: usize,
    pub(super) source: Source,
}

/// Where the text is.
#[derive(Debug)]
pub(super) enum Source {
    Inline {
        text: Box<[u8]>,
        name: ChunkName,
    },
    /// The name of a file, which may have variables in it.
    File {
        name: Template,
        prefix: PathBuf,
    },
}

/// How many pieces there are.
#[derive(Debug, Default)]
pub(super) struct Count(usize);

/// Reads the code of a directive in any of its forms: `x_by_lua "..."`, `x_by_lua_block { ... }`
/// or `x_by_lua_file path`. In the first and the last the code is argument `at`.
///
/// # Errors
/// The name of the file is malformed.
pub(super) fn of_directive(
    cx: &mut Cx<'_>,
    args: &Args<'_>,
    at: usize,
) -> Result<Arc<Code>, Problem> {
    let directive = args.name().as_str();
    let source = match args.raw_word() {
        Some(text) => inline(cx, args, text.as_bytes()),
        None if directive.ends_with("_file") => {
            let path = args.arg(at);
            let name = Template::compile(path.as_str(), cx.part::<Variables<Request>>())
                .map_err(|error| args.problem_at(at, error.to_string()))?;
            Source::File {
                name,
                prefix: cx.prefix().to_owned(),
            }
        }
        None => inline(cx, args, args.arg(at).as_bytes()),
    };
    let count = cx.part::<Count>();
    let id = count.0;
    count.0 += 1;
    Ok(Arc::new(Code { id, source }))
}

fn inline(cx: &mut Cx<'_>, args: &Args<'_>, text: &[u8]) -> Source {
    let directive = args.name().as_str();
    let directive = directive.strip_suffix("_block").unwrap_or(directive);
    let place = cx.diagnostics().files().locate(args.span());
    let (file, line) = place
        .as_deref()
        .and_then(|place| place.rsplit_once(':'))
        .unwrap_or(("command line", "0"));
    Source::Inline {
        text: text.into(),
        name: ChunkName::directive(directive, file, line.parse().unwrap_or(0)),
    }
}
