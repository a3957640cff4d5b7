//! A server of one's own: the modules of this crate and one more, whose directive
//! `greet name;` answers with a greeting.
//!
//! Run with `cargo run -p ngx-core --features http --example serve`, then
//! `curl http://127.0.0.1:8085/`; Ctrl-C ends it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ngx_buf::Chain;
use ngx_core::conf::MemorySource;
use ngx_core::cycle::BuildOptions;
use ngx_core::http::{HttpModule, HttpWorker, Step, http_registry, modules, set_handler};
use ngx_core::log::{self, LogFiles};
use ngx_core::module::{Arity, Contexts, Directive, Module};
use ngx_core::process::{self, Origin};

static GREET: Module = Module {
    name: "greet",
    directives: &[Directive {
        name: "greet",
        contexts: Contexts::LOCATION,
        arity: Arity::ONE,
        set: |cx, args| {
            let text = Bytes::from(format!("Hello, {}!\n", args.arg(0)));
            set_handler(
                cx,
                args,
                Arc::new(move |r| {
                    if let Err(status) = r.discard_body() {
                        return Step::Finish(status);
                    }
                    r.response().set_status(200);
                    r.response().set_content_length(Some(text.len() as u64));
                    match r.respond(Chain::from(text.clone())) {
                        Ok(_) => Step::Done,
                        Err(_) => Step::Finish(500),
                    }
                }),
            )
        },
        default: "",
        doc: "Whom to greet.",
    }],
};

static HTTP_GREET: HttpModule = HttpModule::new(&GREET);

const CONFIGURATION: &str = "
    daemon off;
    pid /tmp/ngx-greet.pid;
    error_log stderr info;
    events { }
    http {
        server {
            listen 127.0.0.1:8085;
            location / { greet world; }
        }
    }
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    log::install()?;
    let modules = modules::ALL.iter().copied().chain([&HTTP_GREET]);
    let registry = http_registry(modules)?.with_extension(Arc::new(LogFiles::default()));
    let origin = Origin {
        log: None,
        predecessor: None,
        registry: Arc::new(registry),
        source: Arc::new(MemorySource::new().with_file("/ngx.conf", CONFIGURATION)),
        file: Path::new("/ngx.conf").to_owned(),
        options: BuildOptions::default(),
    };
    let cycle = origin.build(None)?;
    process::run::<HttpWorker>(origin, cycle, || {
        println!("listening on http://127.0.0.1:8085/");
    })?;
    Ok(())
}
