//! Ports that parallel tests, in this process and in others, do not take from each other.

use std::fs::{self, File};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::geteuid;

/// A port nobody listens on, reserved by a locked file until dropped.
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a port below the range the kernel takes for outgoing connections.
    pub fn reserve() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        const FIRST: u32 = 12_000;
        const COUNT: u32 = 18_000;

        let user = geteuid().as_raw();
        let dir = std::env::temp_dir().join(format!("ngx-test-ports-{user}"));
        fs::create_dir_all(&dir).unwrap();
        let start = std::process::id().wrapping_mul(997);
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = u16::try_from(FIRST + start.wrapping_add(step) % COUNT).unwrap();
            let lock = File::create(dir.join(number.to_string())).unwrap();
            let free = || {
                TcpListener::bind(("0.0.0.0", number)).is_ok()
                    && TcpListener::bind(("127.0.0.1", number)).is_ok()
            };
            if lock.try_lock().is_ok() && free() {
                return Self {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no free port");
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:number`.
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}
