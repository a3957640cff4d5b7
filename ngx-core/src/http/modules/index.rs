//! `ngx_http_index_module`: what stands for a folder.

use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::conf::{Args, Problem};
use crate::error::errno;
use crate::http::module::{HttpModule, Ordered, Phase};
use crate::http::parse::Method;
use crate::http::request::Request;
use crate::http::step::{PhaseStep, Step};
use crate::module::{Arity, Contexts, Cx, Directive, Level, Module, Slot};
use crate::script::{Template, Variables};
use crate::{alert, crit, error, settings};

/// The content handler for paths that end with a slash.
pub(in crate::http) static MODULE: HttpModule = HttpModule {
    phases: &[(
        Phase::Content,
        Ordered {
            name: "index",
            before: &["autoindex"],
            after: &[],
            run: handler,
        },
    )],
    ..HttpModule::new(&DESCRIPTOR)
};

static DESCRIPTOR: Module = Module {
    name: "ngx_http_index_module",
    directives: &[Directive {
        name: "index",
        contexts: Contexts::HTTP.or(Contexts::SERVER).or(Contexts::LOCATION),
        arity: Arity::at_least(1),
        set: set_index,
        default: "index.html",
        doc: "The files that stand for a folder; the first that exists is taken.",
    }],
};

static CONF: Slot<IndexConf> = Slot::new(Level::Location);

settings! {
    /// Settings of `index`.
    struct IndexConf {
        /// In the order they are tried.
        names: Arc<Vec<Template>> = Arc::new(vec![Template::from_literal("index.html")]),
    }
}

fn set_index(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let last = args.values().len() - 1;
    let mut names = Vec::with_capacity(args.values().len());
    for (i, word) in args.values().iter().enumerate() {
        let text = word.as_str();
        if text.is_empty() {
            let message = "index \"\" in \"index\" directive is invalid";
            return Err(args.problem_at(i, message));
        }
        if text.starts_with('/') && i != last {
            let message = "only the last index in \"index\" directive should be absolute";
            cx.report(Problem::warn(word.span(), message));
        }
        let name = Template::compile(text, cx.part::<Variables<Request>>())
            .map_err(|error| args.problem_at(i, error.to_string()))?;
        names.push(name);
    }
    // Directives of one block add up.
    let conf = &mut cx.conf(&CONF).names;
    let fresh = !conf.is_set();
    let list = Arc::make_mut(conf.set_mut(args.span()));
    if fresh {
        list.clear();
    }
    list.append(&mut names);
    Ok(())
}

fn handler(r: &Request) -> PhaseStep {
    if !r.path().ends_with(b"/") {
        return PhaseStep::DECLINED;
    }
    if !matches!(r.method(), Method::Get | Method::Head | Method::Post) {
        return PhaseStep::DECLINED;
    }
    let mut file = Vec::with_capacity(128);
    let mut folder_tested = false;
    for template in r.conf(&CONF).names.iter() {
        if let Some(literal) = template.literal()
            && literal.starts_with(b"/")
        {
            return go_to(r, literal);
        }
        r.write_file_name(&mut file);
        let folder = file.len();
        template.eval(r, &mut file);
        let name = file.get(folder..).unwrap_or_default();
        if name.starts_with(b"/") {
            return go_to(r, name);
        }
        let Err(error) = rustix::fs::stat(file.as_slice()) else {
            let mut path = r.path().to_vec();
            path.extend_from_slice(name);
            return go_to(r, &path);
        };
        if matches!(error, Errno::NOTDIR | Errno::NAMETOOLONG | Errno::ACCESS) {
            return refuse(r, &file, error);
        }
        if !std::mem::replace(&mut folder_tested, true)
            && let Some(step) = test_folder(r, &file, folder)
        {
            return step;
        }
        if error != Errno::NOENT {
            return failed(&file, error);
        }
    }
    PhaseStep::DECLINED
}

fn go_to(r: &Request, path: &[u8]) -> PhaseStep {
    let args = r.args().to_vec();
    r.internal_redirect(path, &args)
}

/// Whether the first `folder` bytes of `file` name a folder; the end of the request if not.
fn test_folder(r: &Request, file: &[u8], folder: usize) -> Option<PhaseStep> {
    let name = without_slash(file.get(..folder).unwrap_or_default());
    match rustix::fs::stat(name) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => None,
        Ok(_) => {
            alert!("\"{}\" is not a directory", String::from_utf8_lossy(name));
            Some(Step::Finish(500))
        }
        Err(Errno::NOENT) => Some(refuse(r, file, Errno::NOENT)),
        // It was searched for a file just now, so it is there.
        Err(Errno::ACCESS) => None,
        Err(error) => Some(failed(name, error)),
    }
}

fn without_slash(folder: &[u8]) -> &[u8] {
    match folder {
        [] | [b'/'] => folder,
        // The target of an "alias" may lack the slash.
        [rest @ .., b'/'] => rest,
        _ => folder,
    }
}

fn refuse(r: &Request, file: &[u8], error: Errno) -> PhaseStep {
    let file = String::from_utf8_lossy(file);
    let text = error.into();
    let text = errno(&text);
    if error == Errno::ACCESS {
        error!("\"{file}\" is forbidden {text}");
        return Step::Finish(403);
    }
    if *r.core().log_not_found {
        error!("\"{file}\" is not found {text}");
    }
    Step::Finish(404)
}

fn failed(file: &[u8], error: Errno) -> PhaseStep {
    crit!(
        "stat() \"{}\" failed {}",
        String::from_utf8_lossy(file),
        errno(&error.into())
    );
    Step::Finish(500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_tested_without_their_slash() {
        assert_eq!(without_slash(b"/srv/www/"), b"/srv/www");
        assert_eq!(without_slash(b"/srv/www"), b"/srv/www");
        assert_eq!(without_slash(b"/"), b"/");
    }

    #[test]
    fn without_a_directive_it_is_index_html() {
        let conf = IndexConf::default();
        assert_eq!(conf.names.len(), 1);
        assert_eq!(conf.names[0].literal().unwrap(), "index.html");
    }
}
