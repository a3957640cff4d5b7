//! The demo that runs when there is neither `-c` nor a configuration at the default place: a page
//! worth opening, a folder, a large file and a proxied backend, on 127.0.0.1:8080.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Where to look once the demo runs.
pub(crate) const URL: &str = "http://127.0.0.1:8080/";

/// The configuration's name in the demo's folder.
const CONFIGURATION: &str = "nginx.conf";

/// Everything but the large file: names below the demo's folder, and contents.
const FILES: [(&str, &str); 4] = [
    (CONFIGURATION, include_str!("nginx.conf")),
    ("html/index.html", include_str!("html/index.html")),
    ("html/404.html", include_str!("html/404.html")),
    ("html/files/hello.txt", include_str!("html/files/hello.txt")),
];

/// Large enough that a range is worth asking for; not worth keeping in the binary.
const LARGE_FILE: &str = "html/files/10MiB.bin";
const LARGE_FILE_SIZE: usize = 10 << 20;

/// Writes the demo into an existing folder, and returns the path of its configuration. The folder
/// is the prefix that the configuration's relative paths want.
///
/// # Errors
/// Whatever creating a folder or writing a file answers, with the file's name.
pub(crate) fn write_to(dir: &Path) -> io::Result<PathBuf> {
    for (name, content) in FILES {
        let path = dir.join(name);
        named(
            &path,
            create_parent(&path).and_then(|()| fs::write(&path, content)),
        )?;
    }
    let large = dir.join(LARGE_FILE);
    named(&large, write_large_file(&large))?;
    Ok(dir.join(CONFIGURATION))
}

fn create_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Lines of 16 bytes that say their own offset, so that a range shows where it was cut.
fn write_large_file(path: &Path) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 16, fs::File::create(path)?);
    for offset in (0..LARGE_FILE_SIZE).step_by(16) {
        writeln!(file, "{offset:015x}")?;
    }
    file.flush()
}

fn named(path: &Path, result: io::Result<()>) -> io::Result<()> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let configuration = write_to(dir.path()).unwrap();
        assert_eq!(configuration, dir.path().join("nginx.conf"));
        for (name, content) in FILES {
            assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), content);
        }
        write_to(dir.path()).expect("writing it once more replaces the files");
    }

    #[test]
    fn the_large_file_says_its_own_offsets() {
        let dir = tempfile::tempdir().unwrap();
        write_to(dir.path()).unwrap();
        let large = fs::read(dir.path().join(LARGE_FILE)).unwrap();
        assert_eq!(large.len(), LARGE_FILE_SIZE);
        assert_eq!(&large[0x1230..0x1240], b"000000000001230\n");
        assert!(large.ends_with(b"0000000009ffff0\n"));
    }

    #[test]
    fn a_failure_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("html"), "a file where a folder should be").unwrap();
        let error = write_to(dir.path()).unwrap_err();
        assert!(error.to_string().contains("html/index.html"), "{error}");
    }

    #[test]
    fn the_page_asks_nobody_else() {
        for (name, content) in FILES.iter().filter(|(name, _)| name.ends_with(".html")) {
            for outside in ["src=\"http", "href=\"http", "@import", "url(http", "//cdn"] {
                assert!(!content.contains(outside), "{name} refers to {outside}");
            }
        }
    }

    #[test]
    fn the_page_links_to_what_the_configuration_serves() {
        let page = include_str!("html/index.html");
        for link in [
            "/files/hello.txt",
            "/files/",
            "/files/10MiB.bin",
            "/backend/",
            "/headers",
        ] {
            assert!(
                page.contains(&format!("href=\"{link}")),
                "{link} is not on the page"
            );
        }
        let listen = URL.trim_start_matches("http://").trim_end_matches('/');
        assert!(include_str!("nginx.conf").contains(&format!("listen       {listen} ")));
    }
}
