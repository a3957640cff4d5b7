//! A configuration of any size, and a module that understands it without being a server.

use ngx_core::conf::{Args, Problem, Setting};
use ngx_core::module::{Arity, Conf, Contexts, Cx, Directive, Level, Module, Scope, Slot};

/// `servers` server blocks with `locations` locations each, in the style of generated files.
pub fn text(servers: usize, locations: usize) -> String {
    let mut text = String::from("http {\n    sendfile on;\n");
    for server in 0..servers {
        text.push_str(&format!(
            "    server {{\n        server_name host{server}.example.com;\n"
        ));
        for location in 0..locations {
            text.push_str(&format!(
                "        location /path/{location}/ {{\n            \
                     # Kept short, as people do.\n            \
                     sendfile off;\n            \
                     proxy_set_header X-Name \"value of $host and ${{uri}}\";\n        }}\n"
            ));
        }
        text.push_str("    }\n");
    }
    text.push_str("}\n");
    text
}

/// The contents of an `http` block for the modules of the server: as many servers and locations, with
/// something to inherit from each level.
pub fn http(servers: usize, locations: usize) -> String {
    let mut text = String::from("access_log off;\nsendfile on;\nkeepalive_timeout 65s;\n");
    for server in 0..servers {
        text.push_str(&format!(
            "server {{\n    listen 127.0.0.1:80;\n    server_name host{server}.example.com;\n    \
             root /srv/host{server};\n    add_header X-Server host{server};\n"
        ));
        for location in 0..locations {
            text.push_str(&format!(
                "    location /path/{location}/ {{\n        expires {location}h;\n        \
                 error_page 404 /missing/$uri;\n        try_files $uri $uri/ =404;\n    }}\n"
            ));
        }
        text.push_str("}\n");
    }
    text
}

/// The directives that [`text`] uses.
pub static MODULE: Module = Module {
    name: "benches",
    directives: &[
        block("http", Contexts::MAIN, Arity::BLOCK, |cx, args| {
            nested(cx, args, Contexts::HTTP)
        }),
        block("server", Contexts::HTTP, Arity::BLOCK, |cx, args| {
            nested(cx, args, Contexts::SERVER)
        }),
        block(
            "location",
            Contexts::SERVER,
            Arity::ONE.block(),
            |cx, args| nested(cx, args, Contexts::LOCATION),
        ),
        Directive {
            name: "sendfile",
            contexts: Contexts::HTTP.or(Contexts::LOCATION),
            arity: Arity::FLAG,
            set: |cx, args| {
                let on = args.flag(0)?;
                cx.conf(&CONF).sendfile.set(on, args.span())
            },
            default: "off",
            doc: "A value to inherit.",
        },
        words("server_name", Contexts::SERVER),
        words("proxy_set_header", Contexts::LOCATION),
    ],
};

static CONF: Slot<Values> = Slot::new(Level::Location);

#[derive(Default)]
struct Values {
    sendfile: Setting<bool>,
    /// Bytes of the arguments that nothing else is done with.
    bytes: usize,
}

impl Conf for Values {
    fn merge(&mut self, parent: &Self) -> Result<(), Problem> {
        self.sendfile.merge(&parent.sendfile);
        Ok(())
    }
}

const fn block(
    name: &'static str,
    contexts: Contexts,
    arity: Arity,
    set: fn(&mut Cx<'_>, &Args<'_>) -> Result<(), Problem>,
) -> Directive {
    Directive {
        name,
        contexts,
        arity,
        set,
        default: "",
        doc: "A block.",
    }
}

const fn words(name: &'static str, contexts: Contexts) -> Directive {
    Directive {
        name,
        contexts,
        arity: Arity::at_least(1),
        set: |cx, args| {
            let bytes: usize = args.values().iter().map(|word| word.as_str().len()).sum();
            cx.conf(&CONF).bytes += bytes;
            Ok(())
        },
        default: "",
        doc: "Words.",
    }
}

fn nested(cx: &mut Cx<'_>, args: &Args<'_>, context: Contexts) -> Result<(), Problem> {
    let Some(nodes) = args.block() else {
        return Err(args.problem("a block is expected"));
    };
    let scope = cx.with_scope(Scope::new(Level::Location), |cx| {
        cx.evaluate(nodes, context);
    });
    if scope.is_empty() && context.intersects(Contexts::LOCATION) {
        return Err(args.problem("an empty location"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ngx_core::conf::MemorySource;
    use ngx_core::module::{LoadOptions, Registry, load};

    use super::*;

    #[test]
    fn the_server_understands_its_text() {
        let built = crate::worker::origin(&http(2, 3), &[]).build(None);
        assert!(built.is_ok(), "{}", built.err().unwrap());
    }

    #[test]
    fn the_module_understands_the_text() {
        let registry = Registry::new(&[&MODULE]).unwrap();
        let source = MemorySource::new().with_file("/ngx.conf", text(2, 3));
        let loaded = load(
            &registry,
            &source,
            Path::new("/ngx.conf"),
            &LoadOptions::default(),
        );
        assert!(loaded.is_ok(), "{}", loaded.unwrap_err());
    }
}
