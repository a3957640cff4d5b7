//! A name server for one name, over UDP.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Answers A questions for one name with 127.0.0.1, all others with "no such name".
pub struct Dns {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Dns {
    /// Starts answering for `name`.
    pub fn knowing(name: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind a name server");
        let addr = socket.local_addr().unwrap();
        let name = name.to_owned();
        let asked = Arc::new(AtomicUsize::new(0));
        let stopped = Arc::new(AtomicBool::new(false));
        let (count, stop) = (Arc::clone(&asked), Arc::clone(&stopped));
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        thread::spawn(move || {
            let mut query = [0; 512];
            while !stop.load(Ordering::SeqCst) {
                let Ok((len, from)) = socket.recv_from(&mut query) else {
                    continue;
                };
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(&query[..len], &name) {
                    let _gone = socket.send_to(&answer, from);
                }
            }
        });
        Self {
            addr,
            asked,
            stopped,
        }
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        self.addr.to_string()
    }

    /// How many questions came.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}

/// RFC 1035 §4.1: the question repeated, and at most one A record that points back at its name.
fn answer(query: &[u8], known: &str) -> Option<Vec<u8>> {
    let id = query.get(..2)?;
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        if len == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + len)?).into_owned());
        at += len;
    }
    let question = query.get(12..at + 4)?;
    let is_a = query.get(at..at + 2)? == [0, 1];
    let is_known = labels.join(".").eq_ignore_ascii_case(known);
    let answers = u8::from(is_a && is_known);
    let code = if is_known { 0x80 } else { 0x83 };
    let mut reply = [id, &[0x81, code, 0, 1, 0, answers, 0, 0, 0, 0], question].concat();
    if answers == 1 {
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(reply)
}
