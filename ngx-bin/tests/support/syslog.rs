//! A syslog server.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Instant;

use super::PATIENCE;

/// Receives datagrams, one at a time, when it is asked for them.
pub enum Syslog {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Syslog {
    /// On a free port.
    pub fn udp() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::Udp(socket)
    }

    /// At a path, in place of whatever is there.
    pub fn unix(path: &Path) -> Self {
        let _absent = fs::remove_file(path);
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::Unix(socket)
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        match self {
            Self::Udp(socket) => socket.local_addr().unwrap().to_string(),
            Self::Unix(_) => panic!("a path"),
        }
    }

    /// The next datagram that contains `text`.
    #[track_caller]
    pub fn line(&self, text: &str) -> String {
        let start = Instant::now();
        let mut seen = Vec::new();
        let mut bytes = [0; 65536];
        while start.elapsed() < PATIENCE {
            let Ok(len) = self.receive(&mut bytes) else {
                break;
            };
            let line = String::from_utf8_lossy(&bytes[..len]).into_owned();
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("no {text:?} in {seen:?}");
    }

    /// Splits `<N>Mmm dd hh:mm:ss rest` into the number and the rest.
    #[track_caller]
    pub fn parts(line: &str) -> (&str, &str) {
        let (number, rest) = line.strip_prefix('<').unwrap().split_once('>').unwrap();
        let (time, rest) = rest.split_at("Nov 21 02:00:33 ".len());
        let shape: String = time.matches([' ', ':']).collect();
        assert!(shape == "  :: " || shape == "   :: ", "{line}");
        (number, rest)
    }

    fn receive(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.recv(bytes),
            Self::Unix(socket) => socket.recv(bytes),
        }
    }
}
