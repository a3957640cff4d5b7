//! The folder with what is served and the configurations; removed when dropped.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::error::{Doing as _, Result};
use crate::results::Kind;
use crate::rows::{KIBIBYTE, Row};

const NGINX: &str = include_str!("conf/nginx.conf");
const HAPROXY: &str = include_str!("conf/haproxy.cfg");
const BACKEND: &str = include_str!("conf/backend.conf");

/// Folders that nginx makes even if nothing uses them, by default where only root may.
const TEMPORARY: &str =
    "fastcgi_temp_path fastcgi;\nscgi_temp_path scgi;\nuwsgi_temp_path uwsgi;\n";

/// The scratch folder.
#[derive(Debug)]
pub(crate) struct Site {
    folder: TempDir,
}

/// What a configuration is filled in with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) own: u16,
    /// Of the backend and of redis, 0 for none.
    pub(crate) backend: u16,
    pub(crate) redis: u16,
    pub(crate) connections: usize,
}

impl Site {
    pub(crate) fn new() -> Result<Self> {
        let doing = || "cannot make a scratch folder".to_owned();
        let folder = tempfile::Builder::new()
            .prefix("ngx-side-by-side-")
            .tempdir()
            .doing(doing)?;
        // Servers that root starts give up their rights, and still have to read it.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).doing(doing)?;
        let site = Self { folder };
        fs::create_dir(site.files()).doing(doing)?;
        fs::write(site.files().join("1k"), vec![b'x'; KIBIBYTE]).doing(doing)?;
        fs::write(
            site.files().join("10m"),
            vec![b'x'; 10 * KIBIBYTE * KIBIBYTE],
        )
        .doing(doing)?;
        Ok(site)
    }

    fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// A folder for files of any other use.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes what `kind` serves this row with; says where.
    pub(crate) fn write(&self, row: &Row, kind: Kind, ports: Ports) -> Result<PathBuf> {
        let folder = self.folder.path().join(row.name).join(kind.name());
        match kind {
            Kind::Haproxy => {
                let text = HAPROXY.replace("@ROW@", row.haproxy.unwrap_or_default());
                self.put(&folder, "haproxy.cfg", &self.fill(&text, ports))?;
            }
            Kind::Ngx | Kind::Nginx => {
                let text = NGINX.replace("@ROW@", row.conf);
                self.put(&folder, "nginx.conf", &self.fill(&text, ports))?;
            }
        }
        self.unprivileged(&folder, kind)?;
        Ok(folder)
    }

    /// Writes what the backend of proxies is configured with; says where.
    pub(crate) fn write_backend(&self, kind: Kind, port: u16) -> Result<PathBuf> {
        let folder = self.folder.path().join("backend");
        let ports = Ports {
            own: port,
            backend: 0,
            redis: 0,
            connections: 0,
        };
        self.put(&folder, "nginx.conf", &self.fill(BACKEND, ports))?;
        self.unprivileged(&folder, kind)?;
        Ok(folder)
    }

    fn fill(&self, template: &str, ports: Ports) -> String {
        template
            .replace("@PORT@", &ports.own.to_string())
            .replace("@BACKEND@", &ports.backend.to_string())
            .replace("@REDIS@", &ports.redis.to_string())
            .replace("@CONNECTIONS@", &ports.connections.to_string())
            .replace("@FILES@", &self.files().display().to_string())
            .replace("@KIBIBYTE@", &"x".repeat(KIBIBYTE))
    }

    fn unprivileged(&self, folder: &Path, kind: Kind) -> Result<()> {
        if kind == Kind::Nginx && !geteuid().is_root() {
            self.put(folder, "temporary.conf", TEMPORARY)?;
        }
        Ok(())
    }

    fn put(&self, folder: &Path, name: &str, text: &str) -> Result<()> {
        let doing = || format!("cannot write {}", folder.join(name).display());
        fs::create_dir_all(folder).doing(doing)?;
        fs::write(folder.join(name), text).doing(doing)
    }
}

/// A port that nobody listens on just now.
pub(crate) fn free_port() -> Result<u16> {
    let doing = || "cannot find a free port".to_owned();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(doing)?;
    Ok(listener.local_addr().doing(doing)?.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;

    const PORTS: Ports = Ports {
        own: 1,
        backend: 2,
        redis: 3,
        connections: 4,
    };

    #[test]
    fn ngx_and_nginx_get_the_same_file_with_nothing_left_to_fill_in() {
        let site = Site::new().unwrap();
        for row in ROWS {
            let text = |kind| {
                let folder = site.write(row, kind, PORTS).unwrap();
                fs::read_to_string(folder.join("nginx.conf")).unwrap()
            };
            assert_eq!(text(Kind::Ngx), text(Kind::Nginx));
            assert!(!text(Kind::Ngx).contains('@'), "{}", text(Kind::Ngx));
        }
    }

    #[test]
    fn haproxy_and_the_backend_have_files_of_their_own() {
        let site = Site::new().unwrap();
        for row in ROWS.iter().filter(|row| row.haproxy.is_some()) {
            let folder = site.write(row, Kind::Haproxy, PORTS).unwrap();
            let text = fs::read_to_string(folder.join("haproxy.cfg")).unwrap();
            assert!(!text.contains('@'), "{text}");
        }
        let folder = site.write_backend(Kind::Nginx, 5).unwrap();
        let text = fs::read_to_string(folder.join("nginx.conf")).unwrap();
        assert!(!text.contains('@') && text.contains(&"x".repeat(KIBIBYTE)));
    }
}
