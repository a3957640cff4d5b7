use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::conf::MemorySource;
use crate::log::LogFiles;
use crate::main_module;
use crate::module::{Arity, Contexts, Directive, Module};

/// `listen_on PORT;` and `temp PATH;`, in place of the blocks that want such things.
static MODULE: Module = Module {
    name: "wishes",
    directives: &[
        Directive {
            name: "listen_on",
            contexts: Contexts::MAIN,
            arity: Arity::ONE,
            set: |cx, args| {
                let port = u16::try_from(args.number(0)?).unwrap();
                let addr = SocketAddr::from(([127, 0, 0, 1], port));
                let wanted = cx.part::<WantedListeners>();
                wanted.0.push(ListenOptions::new(addr.into()));
                Ok(())
            },
            default: "",
            doc: "",
        },
        Directive {
            name: "temp",
            contexts: Contexts::MAIN,
            arity: Arity::ONE,
            set: |cx, args| {
                let path = cx.full_path(args.arg(0));
                cx.part::<TempPaths>().0.push(path);
                Ok(())
            },
            default: "",
            doc: "",
        },
    ],
};

fn build_with(
    text: &str,
    options: &BuildOptions,
    old: Option<&Cycle>,
) -> Result<Arc<Cycle>, CycleError> {
    let modules: Vec<_> = main_module::ALL.iter().copied().chain([&MODULE]).collect();
    let registry = Registry::new(&modules)
        .unwrap()
        .with_extension(Arc::new(LogFiles::default()));
    let source = MemorySource::new().with_file("/ngx.conf", text);
    Cycle::build(&registry, &source, Path::new("/ngx.conf"), options, old)
}

fn build(text: &str, old: Option<&Cycle>) -> Result<Arc<Cycle>, CycleError> {
    build_with(text, &BuildOptions::default(), old)
}

fn bound(cycle: &Cycle) -> Vec<String> {
    let listeners = cycle.listeners();
    let addrs = listeners.iter().map(|listener| listener.local_addr());
    addrs.map(|addr| addr.unwrap().to_string()).collect()
}

#[test]
fn a_generation_takes_over_the_sockets_that_stay() {
    let first = build("events { } listen_on 0;", None).unwrap();
    let second = build("events { } listen_on 0;", Some(&first)).unwrap();
    assert!(second.number() > first.number());
    let addrs = bound(&first);
    assert_eq!(addrs, bound(&second));
    first.retire();
    assert_eq!(bound(&first), Vec::<String>::new());
    std::net::TcpStream::connect(&addrs[0]).expect("the second still listens");
}

#[test]
fn sockets_of_a_retired_generation_are_closed() {
    let first = build("events { } listen_on 0;", None).unwrap();
    let addrs = bound(&first);
    let second = build("events { }", Some(&first)).unwrap();
    std::net::TcpStream::connect(&addrs[0]).expect("the first listens until it is retired");
    first.retire();
    std::net::TcpStream::connect(&addrs[0]).expect_err("nobody has it any more");
    assert_eq!(bound(&second).len(), 0);
}

#[test]
fn a_failure_leaves_the_old_generation_as_it_was() {
    let first = build("events { } listen_on 0;", None).unwrap();
    let addrs = bound(&first);
    let error = build("events { } listen_on 0; bogus;", Some(&first)).unwrap_err();
    assert!(error.to_string().contains("unknown directive \"bogus\""));
    let error = build("events { } temp /no/such/folder;", Some(&first)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "mkdir() \"/no/such/folder\" failed (2: No such file or directory)"
    );
    assert_eq!(addrs, bound(&first));
}

#[test]
fn there_must_be_events() {
    let error = build("daemon off;", None).unwrap_err().to_string();
    assert!(
        error.contains("nginx: [emerg] no \"events\" section in configuration\n"),
        "{error}"
    );
}

#[test]
fn folders_for_temporary_files_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    let text = format!("events {{ }} temp {};", path.display());
    for _again in 0..2 {
        build(&text, None).unwrap();
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_test_opens_no_sockets() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = BuildOptions {
        test: true,
        ..BuildOptions::default()
    };
    let text = format!("events {{ }} listen_on {port};");
    assert_eq!(bound(&build_with(&text, &options, None).unwrap()).len(), 0);
}

#[test]
fn the_file_of_the_number_is_below_the_prefix() {
    let options = BuildOptions {
        load: LoadOptions {
            prefix: "/p".into(),
            directives: String::new(),
        },
        ..BuildOptions::default()
    };
    let of = |text| {
        build_with(text, &options, None)
            .unwrap()
            .pid_file()
            .to_owned()
    };
    assert_eq!(of("events { }"), Path::new("/p/logs/nginx.pid"));
    assert_eq!(of("events { } pid x;"), Path::new("/p/x"));
    assert_eq!(of("events { } pid /x;"), Path::new("/x"));
}
