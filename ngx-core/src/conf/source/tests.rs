use super::*;
use crate::conf::{Record, RecordedSource, Recorder};
use crate::error::errno;

#[test]
fn a_record_repeats_what_was_asked() {
    let source = MemorySource::new()
        .with_file("/a.conf", "a;")
        .with_file("/b.key", "secret")
        .with_file("/unasked", "x")
        .with_host("backend", [Ipv4Addr::new(10, 0, 0, 1).into()])
        .with_env("HOME", "/root")
        .with_user("www", User { uid: 33, gid: 34 });
    let recorder = Recorder::new(&source);
    let ask = |source: &dyn ConfigSource| {
        (
            source.read(Path::new("/a.conf"), FileRole::Config).unwrap(),
            source.read(Path::new("/b.key"), FileRole::Data).unwrap(),
            source
                .read(Path::new("/none"), FileRole::Config)
                .unwrap_err()
                .to_string(),
            source.glob(Path::new("/*.conf")).unwrap(),
            (
                source.kind(Path::new("/a.conf")),
                source.kind(Path::new("/none")),
            ),
            (source.env("HOME"), source.env("PATH")),
            (
                source.user("www").unwrap(),
                source.user("x").unwrap(),
                source.group("www").unwrap(),
            ),
            (source.cpu_count(), source.hostname().unwrap()),
            (
                source.lookup("backend").unwrap(),
                source.lookup("nowhere").unwrap_err().to_string(),
            ),
        )
    };
    let first = ask(&recorder);
    let record = Arc::new(recorder.into_record());
    // Another process gets it as bytes.
    let bytes = postcard::to_stdvec(&*record).unwrap();
    let copy: Record = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(copy.dump(), record.dump());
    let again = RecordedSource::new(Arc::new(copy));
    assert_eq!(ask(&again), first);
    assert_eq!(first.6, (Some(User { uid: 33, gid: 34 }), None, Some(34)));
    assert!(again.read(Path::new("/unasked"), FileRole::Config).is_err());
    assert_eq!(record.dump(), b"# configuration file /a.conf:\na;\n");
}

#[test]
fn a_dump_has_each_file_once_and_in_order() {
    let source = MemorySource::new()
        .with_file("/b", "b;\n")
        .with_file("/a", "a;");
    let recorder = Recorder::new(&source);
    for path in ["/b", "/a", "/b"] {
        recorder.read(Path::new(path), FileRole::Config).unwrap();
    }
    let dump = recorder.into_record().dump();
    assert_eq!(
        dump,
        b"# configuration file /b:\nb;\n\n# configuration file /a:\na;\n"
    );
    assert_eq!(Record::default().dump(), b"");
}

#[test]
fn what_is_read_as_a_secret_too_is_a_secret() {
    let source = MemorySource::new().with_file("/key", "k");
    let recorder = Recorder::new(&source);
    recorder.read(Path::new("/key"), FileRole::Config).unwrap();
    recorder.read(Path::new("/key"), FileRole::Data).unwrap();
    assert_eq!(recorder.into_record().dump(), b"");
}

#[test]
fn the_disk_answers() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b.conf", "a.conf", ".c.conf", "d.txt"] {
        std::fs::write(dir.path().join(name), name).unwrap();
    }
    let found = DiskSource.glob(&dir.path().join("*.conf")).unwrap();
    assert_eq!(
        found,
        [dir.path().join("a.conf"), dir.path().join("b.conf")]
    );
    assert_eq!(
        &*DiskSource.read(&found[0], FileRole::Config).unwrap(),
        b"a.conf"
    );
    assert_eq!(DiskSource.kind(dir.path()), PathKind::Directory);
    assert_eq!(DiskSource.kind(&found[0]), PathKind::File);
    assert_eq!(DiskSource.kind(&dir.path().join("no")), PathKind::Missing);
    assert_eq!(
        DiskSource.user("root").unwrap(),
        Some(User { uid: 0, gid: 0 })
    );
    assert_eq!(DiskSource.group("no such group").unwrap(), None);
    assert!(DiskSource.cpu_count() > 0);
    assert!(!DiskSource.hostname().unwrap().is_empty());

    let missing = DiskSource
        .read(&dir.path().join("no"), FileRole::Config)
        .unwrap_err();
    assert_eq!(
        errno(&missing).to_string(),
        "(2: No such file or directory)"
    );
    let folder = DiskSource.read(dir.path(), FileRole::Config).unwrap_err();
    assert_eq!(errno(&folder).to_string(), "(21: Is a directory)");
}
