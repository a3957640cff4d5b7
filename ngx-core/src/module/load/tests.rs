use proptest::prelude::*;

use super::*;
use crate::conf::{Args, Problem, Setting};
use crate::module::{Arity, Conf, Directive, Level, Module, Scope, Slot};

#[derive(Debug)]
struct Place {
    root: Setting<String>,
    size: Setting<usize>,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            root: Setting::new("html".to_owned()),
            size: Setting::new(8),
        }
    }
}

impl Conf for Place {
    fn merge(&mut self, parent: &Self) -> Result<(), Problem> {
        self.root.merge(&parent.root);
        self.size.merge(&parent.size);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Problem> {
        match self.root.set_at() {
            Some(at) if self.root.is_empty() => Err(Problem::new(at, "root is empty")),
            _ => Ok(()),
        }
    }
}

/// What `http` leaves behind: the finished tables of each server and of its locations.
#[derive(Default)]
struct Tree {
    http: Slots,
    servers: Vec<(Slots, Vec<Slots>)>,
}

/// The servers of the `http` that is being read.
#[derive(Default)]
struct Pending(Vec<(Scope, Vec<Scope>)>);

static PLACE: Slot<Place> = Slot::new(Level::Location);
static GLOBAL: Slot<Place> = Slot::new(Level::Global);

static MODULE: Module = Module {
    name: "test",
    directives: &[
        Directive {
            name: "http",
            contexts: Contexts::MAIN,
            set: http,
            ..BLOCK
        },
        Directive {
            name: "server",
            contexts: Contexts::HTTP,
            set: server,
            ..BLOCK
        },
        Directive {
            name: "location",
            contexts: Contexts::SERVER,
            arity: Arity::range(1, 2).block(),
            set: location,
            ..BLOCK
        },
        Directive {
            name: "root",
            contexts: PLACES,
            arity: Arity::ONE,
            set: root,
            ..BLOCK
        },
        Directive {
            name: "buffer_size",
            contexts: PLACES,
            arity: Arity::ONE,
            set: size,
            ..BLOCK
        },
        Directive {
            name: "listen",
            contexts: Contexts::SERVER,
            arity: Arity::at_least(1),
            set: nothing,
            ..BLOCK
        },
        Directive {
            name: "pid",
            contexts: Contexts::MAIN,
            arity: Arity::ONE,
            set: pid,
            ..BLOCK
        },
        Directive::pending("gzip", PLACES),
    ],
};

const PLACES: Contexts = Contexts::HTTP.or(Contexts::SERVER).or(Contexts::LOCATION);
const BLOCK: Directive = Directive {
    name: "",
    contexts: Contexts::NONE,
    arity: Arity::BLOCK,
    set: nothing,
    default: "",
    doc: "",
};

type Outcome = Result<(), Problem>;

fn nothing(_: &mut Cx<'_>, _: &Args<'_>) -> Outcome {
    Ok(())
}

fn root(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome {
    cx.conf(&PLACE)
        .root
        .set(args.arg(0).to_string(), args.span())
}

fn size(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome {
    let size = args.size(0)?;
    cx.conf(&PLACE).size.set(size, args.span())
}

fn pid(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome {
    let path = cx.full_path(args.arg(0)).display().to_string();
    cx.conf(&GLOBAL).root.set(path, args.span())
}

fn location(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome {
    let nodes = args.block().unwrap_or_default();
    let scope = cx.with_scope(Scope::new(Level::Location), |cx| {
        cx.evaluate(nodes, Contexts::LOCATION);
    });
    if let Some((_, locations)) = cx.part::<Pending>().0.last_mut() {
        locations.push(scope);
    }
    Ok(())
}

fn server(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome {
    let nodes = args.block().unwrap_or_default();
    cx.part::<Pending>()
        .0
        .push((Scope::new(Level::Server), Vec::new()));
    let scope = cx.with_scope(Scope::new(Level::Server), |cx| {
        cx.evaluate(nodes, Contexts::SERVER);
    });
    if let Some((server, _)) = cx.part::<Pending>().0.last_mut() {
        *server = scope;
    }
    Ok(())
}

fn http(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome {
    let nodes = args.block().unwrap_or_default();
    let scope = cx.with_scope(Scope::new(Level::Main), |cx| {
        cx.evaluate(nodes, Contexts::HTTP);
    });
    let pending = std::mem::take(cx.part::<Pending>());
    let http = scope.finish(&Slots::default(), cx.diagnostics());
    let mut servers = Vec::new();
    for (server, locations) in pending.0 {
        let server = server.finish(&http, cx.diagnostics());
        let finish = |location: Scope| location.finish(&server, cx.diagnostics());
        let locations = locations.into_iter().map(finish).collect();
        servers.push((server, locations));
    }
    *cx.part::<Tree>() = Tree { http, servers };
    Ok(())
}

fn run_with(text: &str, options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let registry = Registry::new(&[&MODULE]).unwrap();
    let source = MemorySource::new()
        .with_file("/etc/ngx.conf", text)
        .with_file("/etc/more.conf", "buffer_size 1z;\nrot /x;\n");
    load(&registry, &source, Path::new("/etc/ngx.conf"), options)
}

fn run(text: &str) -> Result<Loaded, Diagnostics> {
    run_with(text, &LoadOptions::default())
}

fn headlines(diagnostics: &Diagnostics) -> Vec<String> {
    let problems = diagnostics.problems().iter();
    problems
        .map(|problem| diagnostics.headline(problem))
        .collect()
}

#[track_caller]
fn errors(text: &str, expected: &[&str]) {
    assert_eq!(headlines(&run(text).unwrap_err()), expected, "{text}");
}

#[track_caller]
fn shows(text: &str, expected: &str) {
    assert_eq!(run(text).unwrap_err().to_string(), expected);
}

#[test]
fn values_are_inherited_whatever_the_order() {
    let text = "http {
        server { location / { buffer_size 2k; } location /b { } }
        server { root /s; location / { root /l; } buffer_size 4; }
        root /h;
    }";
    let loaded = run(text).unwrap();
    let tree: &Tree = loaded.parts.get().unwrap();
    let show = |slots: &Slots| {
        let place = PLACE.of(slots);
        format!("{} {}", *place.root, *place.size)
    };
    assert_eq!(show(&tree.http), "/h 8");
    let [(first, in_first), (second, in_second)] = tree.servers.as_slice() else {
        panic!("two servers");
    };
    assert_eq!(
        (show(first), show(second)),
        ("/h 8".to_owned(), "/s 4".to_owned())
    );
    assert_eq!(
        in_first.iter().map(show).collect::<Vec<_>>(),
        ["/h 2048", "/h 8"]
    );
    assert_eq!(in_second.iter().map(show).collect::<Vec<_>>(), ["/l 4"]);
}

#[test]
fn blocks_share_what_they_do_not_touch() {
    let loaded =
        run("http { root /h; server { location / { } location /a { root /a; } } }").unwrap();
    let tree: &Tree = loaded.parts.get().unwrap();
    let (server, locations) = &tree.servers[0];
    assert!(server.same(&tree.http));
    assert!(locations[0].same(server));
    assert!(!locations[1].same(server));
    assert!(std::ptr::eq(PLACE.of(server), PLACE.of(&tree.http)));
    // Nobody set it anywhere: there is one default for all.
    assert!(std::ptr::eq(GLOBAL.of(server), GLOBAL.of(&tree.http)));
    assert!(!GLOBAL.is_set(server));
    assert!(PLACE.is_set(server));
    // What a block inherits is not its own.
    assert!(PLACE.own(&tree.http).is_some() && PLACE.own(&locations[1]).is_some());
    assert!(PLACE.own(server).is_none() && PLACE.own(&locations[0]).is_none());
}

#[test]
fn names_of_files_start_at_the_prefix_and_the_command_line_comes_first() {
    let options = LoadOptions {
        prefix: PathBuf::from("/srv"),
        directives: "pid run/x;".to_owned(),
    };
    let loaded = run_with("", &options).unwrap();
    assert_eq!(*GLOBAL.of(&loaded.global).root, "/srv/run/x");
    let of = |directives: &str, text| {
        let options = LoadOptions {
            directives: directives.to_owned(),
            ..options.clone()
        };
        headlines(&run_with(text, &options).unwrap_err())
    };
    assert_eq!(
        of("pid a;", "pid b;"),
        ["\"pid\" directive is duplicate in /etc/ngx.conf:1"]
    );
    assert_eq!(
        of("pid a", ""),
        ["unexpected end of parameter, expecting \";\" in command line"]
    );
    assert_eq!(
        of("http { }", ""),
        ["block directives are not supported in -g option in command line"]
    );
    assert_eq!(
        of("pdi a;", ""),
        ["unknown directive \"pdi\" in command line"]
    );
}

#[test]
fn ten_mistakes_are_ten_problems() {
    let text = "\
pid a;
pid b;
listen 80;
htpp { }
http {
    root /a /b;
    buffer_size 8q;
    server
    {
        rooot /x;
        location { root /y; }
        location / { root \"/y\"x; }
        root { }
        http;
        ;
    }
    include none.conf;
    include more.conf;
    server;
    location / { }
}
}
mp4;
";
    errors(
        text,
        &[
            "\"pid\" directive is duplicate in /etc/ngx.conf:2",
            "\"listen\" directive is not allowed here in /etc/ngx.conf:3",
            "unknown directive \"htpp\" in /etc/ngx.conf:4",
            "invalid number of arguments in \"root\" directive in /etc/ngx.conf:6",
            "\"buffer_size\" directive invalid value in /etc/ngx.conf:7",
            "unknown directive \"rooot\" in /etc/ngx.conf:10",
            "invalid number of arguments in \"location\" directive in /etc/ngx.conf:11",
            "unexpected \"x\" in /etc/ngx.conf:12",
            "directive \"root\" is not terminated by \";\" in /etc/ngx.conf:13",
            "\"http\" directive is not allowed here in /etc/ngx.conf:14",
            "unexpected \";\" in /etc/ngx.conf:15",
            "open() \"/etc/none.conf\" failed (2: No such file or directory) in /etc/ngx.conf:17",
            "\"buffer_size\" directive invalid value in /etc/more.conf:1",
            "unknown directive \"rot\" in /etc/more.conf:2",
            "directive \"server\" has no opening \"{\" in /etc/ngx.conf:19",
            "\"location\" directive is not allowed here in /etc/ngx.conf:20",
            "unexpected \"}\" in /etc/ngx.conf:22",
            "unknown directive \"mp4\" in /etc/ngx.conf:23",
        ],
    );
}

#[test]
fn a_directive_that_is_yet_to_come_warns_once() {
    let loaded = run("http { gzip on; server { gzip off; } }").unwrap();
    assert_eq!(
        headlines(&loaded.warnings),
        ["\"gzip\" directive has no effect, ngx does not implement it yet in /etc/ngx.conf:1"]
    );
    errors(
        "gzip on;",
        &["\"gzip\" directive is not allowed here in /etc/ngx.conf:1"],
    );
}

#[test]
fn what_does_not_go_together_is_found_in_the_end() {
    errors("http { root \"\"; }", &["root is empty in /etc/ngx.conf:1"]);
}

#[test]
fn a_misspelt_name_gets_a_suggestion() {
    shows(
        "http {\n\tserver { rooot /x; }\n}\n",
        "\
nginx: [emerg] unknown directive \"rooot\" in /etc/ngx.conf:2
   2 | \tserver { rooot /x; }
     | \t         ^^^^^
       help: did you mean \"root\"?
",
    );
    shows(
        "listn 80;",
        "\
nginx: [emerg] unknown directive \"listn\" in /etc/ngx.conf:1
   1 | listn 80;
     | ^^^^^
       help: did you mean \"listen\"? It is allowed in: server
",
    );
    shows(
        "mp4;",
        "\
nginx: [emerg] unknown directive \"mp4\" in /etc/ngx.conf:1
   1 | mp4;
     | ^^^
       help: nginx has \"mp4\" (in location), ngx does not implement it yet
",
    );
    shows(
        "server { }",
        "\
nginx: [emerg] \"server\" directive is not allowed here in /etc/ngx.conf:1
   1 | server { }
     | ^^^^^^
       help: allowed in: http
",
    );
}

#[test]
fn a_byte_order_mark_is_told() {
    let diagnostics = run("\u{feff}pid a;").unwrap_err();
    let help = diagnostics
        .problems()
        .iter()
        .filter_map(|problem| problem.help.as_deref());
    assert_eq!(
        help.collect::<Vec<_>>(),
        ["the file begins with a byte order mark, save it without"]
    );
}

#[test]
fn a_missing_semicolon_is_pointed_at() {
    shows(
        "http {\n  root /a\n  buffer_size 1z;\n}\n",
        "\
nginx: [emerg] invalid number of arguments in \"root\" directive in /etc/ngx.conf:2
   2 |   root /a
     |   ^^^^
       note: a \";\" may be missing in /etc/ngx.conf:2
   2 |   root /a
     |          -
       help: \"root\" takes one argument, 3 given
nginx: [emerg] \"buffer_size\" directive invalid value in /etc/ngx.conf:3
   3 |   buffer_size 1z;
     |               ^^
       help: a size is a number of bytes with an optional unit \"k\" or \"m\", such as \"8k\"
",
    );
    // What follows may be misspelt besides.
    shows(
        "http {\n  root /a\n  bufer_size 1k;\n}\n",
        "\
nginx: [emerg] invalid number of arguments in \"root\" directive in /etc/ngx.conf:2
   2 |   root /a
     |   ^^^^
       note: a \";\" may be missing in /etc/ngx.conf:2
   2 |   root /a
     |          -
       help: \"root\" takes one argument, 3 given
nginx: [emerg] unknown directive \"bufer_size\" in /etc/ngx.conf:3
   3 |   bufer_size 1k;
     |   ^^^^^^^^^^
       help: did you mean \"buffer_size\"?
",
    );
    let loaded = run("http { server { listen 80\nroot /a; } }").unwrap();
    assert_eq!(
        loaded.warnings.to_string(),
        "\
nginx: [warn] \"root\" is an argument of \"listen\" directive in /etc/ngx.conf:2
   2 | root /a; } }
     | ^^^^
       note: a \";\" may be missing in /etc/ngx.conf:1
   1 | http { server { listen 80
     |                          -
       help: a directive ends with \";\"
"
    );
    errors(
        "http { root /a\nserver { rot /x; } }",
        &[
            "directive \"root\" is not terminated by \";\" in /etc/ngx.conf:1",
            "unknown directive \"rot\" in /etc/ngx.conf:2",
        ],
    );
}

#[test]
fn a_block_without_end_is_pointed_at() {
    shows(
        "http {\n  server {\n    listen 80;\n}\n",
        "\
nginx: [emerg] unexpected end of file, expecting \"}\" in /etc/ngx.conf:5
   5 |
     | ^
       note: the block that begins here may lack its \"}\" in /etc/ngx.conf:2
   2 |   server {
     |   ------
",
    );
    shows(
        "http {\n  server { } }\n}\n",
        "\
nginx: [emerg] unexpected \"}\" in /etc/ngx.conf:3
   3 | }
     | ^
       note: this \"}\" may be one too many in /etc/ngx.conf:2
   2 |   server { } }
     |              -
",
    );
}

#[test]
fn a_duplicate_shows_the_first_one() {
    shows(
        "pid a;\npid b;",
        "\
nginx: [emerg] \"pid\" directive is duplicate in /etc/ngx.conf:2
   2 | pid b;
     | ^^^
       note: first set in /etc/ngx.conf:1
   1 | pid a;
     | ---
",
    );
}

#[test]
fn a_missing_main_file_is_nowhere() {
    let registry = Registry::new(&[]).unwrap();
    let source = MemorySource::new();
    let options = LoadOptions::default();
    let diagnostics = load(&registry, &source, Path::new("/x"), &options).unwrap_err();
    assert_eq!(
        diagnostics.to_string(),
        "nginx: [emerg] open() \"/x\" failed (2: No such file or directory)\n"
    );
}

#[test]
fn what_a_terminal_would_act_on_is_not_shown() {
    let shown = run("\x1b[31m\x07;").unwrap_err().to_string();
    assert!(
        !shown.chars().any(|c| c.is_control() && c != '\n'),
        "{shown:?}"
    );
}

#[test]
fn a_file_that_is_no_configuration_does_not_flood() {
    let diagnostics = run(&"x;\n".repeat(500)).unwrap_err();
    assert_eq!(diagnostics.problems().len(), 500);
    let shown = diagnostics.to_string();
    assert!(shown.ends_with("and 400 problems more\n"), "{shown}");
}

#[test]
fn thousands_of_lines_without_semicolon_are_no_recursion() {
    let diagnostics = run(&"pid a\n".repeat(100_000)).unwrap_err();
    assert!(!diagnostics.problems().is_empty());
    let text = "http { ".to_owned() + &"root a\n".repeat(100_000) + "; }";
    assert!(run(&text).is_err());
}

proptest! {
    #[test]
    fn any_file_is_taken_or_refused_with_reasons(bytes in any::<Vec<u8>>()) {
        fuzz_config(&bytes);
    }

    #[test]
    fn any_sequence_of_words_is_taken_or_refused(
        text in "((http|server|location|root|listen|pid|include more.conf|a|\"b\"|'|\n| |;|\\{|\\}) ?){0,40}"
    ) {
        if let Err(diagnostics) = run(&text) {
            prop_assert!(diagnostics.has_errors());
            prop_assert!(!diagnostics.to_string().is_empty());
        }
    }
}
