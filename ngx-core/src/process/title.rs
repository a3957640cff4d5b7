//! What `ps` shows of a process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use super::sys;

/// The worker process, as the master starts it and as it says itself.
pub(super) const WORKER: &str = "ngx: worker process";
/// A worker process that accepts nobody any more.
pub(super) const LEAVING_WORKER: &str = "ngx: worker process is shutting down";

/// Shows the calling process as the master, with the words that it was started with. It has to be
/// the only thread so far.
pub(super) fn show_master() {
    let args = std::env::args_os();
    let words: Vec<_> = args
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    show(&format!("ngx: master process {}", words.join(" ")));
}

/// Shows this instead of the words that the process was started with. Where the system does not
/// allow that, these stay; the first call has to come before there is a second thread.
pub(super) fn show(title: &str) {
    static ROOM: OnceLock<Option<&[AtomicU8]>> = OnceLock::new();
    let room = ROOM.get_or_init(|| {
        let len = title.len().max(LEAVING_WORKER.len()) + 1;
        let room: Vec<AtomicU8> = std::iter::repeat_with(AtomicU8::default)
            .take(len)
            .collect();
        let room: &[AtomicU8] = Vec::leak(room);
        write(room, title);
        sys::show_as_arguments(room).ok().map(|()| room)
    });
    if let Some(room) = room {
        write(room, title);
    }
}

/// The last byte stays 0: it says where the text ends at the latest.
fn write(room: &[AtomicU8], title: &str) {
    let bytes = title.bytes().chain(std::iter::repeat(0));
    let last = room.len().saturating_sub(1);
    for (place, byte) in room.iter().take(last).zip(bytes) {
        place.store(byte, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_fills_its_room_and_ends() {
        let room: Vec<AtomicU8> = (0..8).map(|_| AtomicU8::new(0)).collect();
        let text = |title| {
            write(&room, title);
            let bytes: Vec<u8> = room.iter().map(|it| it.load(Ordering::Relaxed)).collect();
            bytes
        };
        assert_eq!(text("a longer one"), b"a longe\0");
        assert_eq!(text("short"), b"short\0\0\0");
    }
}
