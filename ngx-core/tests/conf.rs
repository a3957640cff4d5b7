//! A configuration on disk, loaded, dumped, and loaded again from its record alone.

#![cfg(feature = "conf")]

use std::sync::Arc;

use ngx_core::conf::{Args, DiskSource, FileRole, Problem, RecordedSource, Setting};
use ngx_core::module::{
    Arity, Conf, Contexts, Cx, Directive, Level, LoadOptions, Module, Registry, Slot, load,
};

#[derive(Default)]
struct Core {
    worker_processes: Setting<usize>,
    password: Setting<Vec<u8>>,
}

impl Conf for Core {
    fn merge(&mut self, parent: &Self) -> Result<(), Problem> {
        self.worker_processes.merge(&parent.worker_processes);
        self.password.merge(&parent.password);
        Ok(())
    }
}

static CORE: Slot<Core> = Slot::new(Level::Global);

static MODULE: Module = Module {
    name: "core",
    directives: &[
        Directive {
            name: "worker_processes",
            contexts: Contexts::MAIN,
            arity: Arity::ONE,
            set: worker_processes,
            default: "1",
            doc: "How many workers there are.",
        },
        Directive {
            name: "password_file",
            contexts: Contexts::MAIN,
            arity: Arity::ONE,
            set: password_file,
            default: "",
            doc: "The file with the password.",
        },
    ],
};

fn worker_processes(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let count = match args.arg(0).as_str() {
        "auto" => cx.source().cpu_count(),
        _ => args.size(0)?,
    };
    cx.conf(&CORE).worker_processes.set(count, args.span())
}

fn password_file(cx: &mut Cx<'_>, args: &Args<'_>) -> Result<(), Problem> {
    let path = cx.full_conf_path(args.arg(0));
    let text = cx
        .source()
        .read(&path, FileRole::Data)
        .map_err(|error| args.problem_at(0, error.to_string()))?;
    cx.conf(&CORE).password.set(text.to_vec(), args.span())
}

#[test]
fn a_record_stands_in_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("ngx.conf");
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(&main, "include conf.d/*.conf;\ninclude conf.d/*.conf2;\n").unwrap();
    std::fs::write(dir.path().join("conf.d/2.conf"), "password_file secret;").unwrap();
    std::fs::write(dir.path().join("conf.d/1.conf"), "worker_processes auto;\n").unwrap();
    std::fs::write(dir.path().join("secret"), "hunter2").unwrap();

    let registry = Registry::new(&[&MODULE]).unwrap();
    let options = LoadOptions::default();
    let loaded = load(&registry, &DiskSource, &main, &options).unwrap();
    assert!(loaded.warnings.is_empty());
    let workers = *CORE.of(&loaded.global).worker_processes;
    assert!(workers > 0);
    let path = dir.path().display();
    let expected = format!(
        "# configuration file {path}/ngx.conf:\ninclude conf.d/*.conf;\ninclude conf.d/*.conf2;\n\n\
         # configuration file {path}/conf.d/1.conf:\nworker_processes auto;\n\n\
         # configuration file {path}/conf.d/2.conf:\npassword_file secret;\n"
    );
    assert_eq!(String::from_utf8(loaded.record.dump()).unwrap(), expected);

    drop(dir);
    assert!(load(&registry, &DiskSource, &main, &options).is_err());
    let record = RecordedSource::new(Arc::new(loaded.record));
    let again = load(&registry, &record, &main, &options).unwrap();
    let core = CORE.of(&again.global);
    assert_eq!(*core.worker_processes, workers);
    assert_eq!(*core.password, b"hunter2");
    assert_eq!(
        again
            .warnings
            .files()
            .locate(core.password.set_at().unwrap()),
        {
            Some(format!(
                "{}/conf.d/2.conf:1",
                main.parent().unwrap().display()
            ))
        }
    );
}
