use super::*;
use crate::driver::{Disposition, Try};
use bytes::Bytes;
use std::task::Waker;

/// Takes `free` pieces, then keeps them.
#[derive(Default)]
struct Slow {
    free: usize,
    pieces: Vec<Chain>,
}

impl Client<()> for Slow {
    fn head(&mut self, (): (), _: &[Try]) -> Disposition {
        Disposition::Pass
    }

    fn body(&mut self, chain: Chain) -> Result<Flow, ClientError> {
        self.free -= 1;
        self.pieces.push(chain);
        Ok(if self.free == 0 {
            Flow::Again
        } else {
            Flow::Done
        })
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        if self.free > 0 {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}

impl Slow {
    fn received(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for buf in self.pieces.iter().flatten() {
            match (buf.shared_file(), buf.file_range()) {
                (Some(file), Some(range)) => {
                    let mut bytes = vec![0; buf.len() as usize];
                    file.read_exact_at(&mut bytes, range.start).unwrap();
                    all.extend(bytes);
                }
                _ => all.extend(buf.as_slice().unwrap_or_default()),
            }
        }
        all
    }
}

fn pass(pipe: &mut Pipe, client: &mut Slow, free: usize) -> bool {
    client.free += free;
    pipe.poll_pass(&mut Context::from_waker(Waker::noop()), client, false)
        .unwrap()
}

fn push(pipe: &mut Pipe, bytes: &'static [u8]) {
    pipe.push(Chain::from(Buf::from(Bytes::from_static(bytes))));
}

fn buffers(temp_file_max: u64) -> Buffers {
    Buffers {
        memory: 8,
        busy: 4,
        temp_file_max,
        ..Buffers::default()
    }
}

#[test]
fn memory_goes_in_pieces_of_the_busy_size() {
    let mut pipe = Pipe::new(Mode::Buffered, buffers(0));
    let mut client = Slow::default();
    push(&mut pipe, b"0123456789");
    assert!(pipe.is_enough());
    assert_eq!(pipe.room().unwrap(), 0);
    assert!(pass(&mut pipe, &mut client, 2));
    assert_eq!(client.received(), b"01234567");
    assert_eq!(pipe.room().unwrap(), 6);
    assert!(!pass(&mut pipe, &mut client, 0) && pass(&mut pipe, &mut client, 2));
    assert_eq!(client.received(), b"0123456789");
    assert!(pipe.is_empty());
}

#[test]
fn a_slow_client_moves_memory_to_the_file_and_order_stays() {
    let mut pipe = Pipe::new(Mode::Buffered, buffers(16));
    let mut client = Slow::default();
    push(&mut pipe, b"0123");
    pass(&mut pipe, &mut client, 1);
    push(&mut pipe, b"456789ab");
    assert_eq!(pipe.room().unwrap(), 8, "spilled");
    push(&mut pipe, b"cdefghij");
    assert_eq!(pipe.room().unwrap(), 8, "spilled again");
    push(&mut pipe, b"klmnopqr");
    assert_eq!(pipe.room().unwrap(), 0, "the file is full");
    assert_eq!(pipe.queue.len(), 2, "neighbours in the file are one buf");
    pass(&mut pipe, &mut client, 9);
    assert_eq!(client.received(), b"0123456789abcdefghijklmnopqr");
    let flags = client
        .pieces
        .iter()
        .fold(Flags::empty(), |all, piece| all | piece.flags());
    assert!(flags.contains(Flags::TEMP_FILE));
}

#[test]
fn a_file_nobody_reads_any_more_is_used_again() {
    let mut pipe = Pipe::new(Mode::Buffered, buffers(8));
    let mut client = Slow::default();
    push(&mut pipe, b"0123");
    for _ in 0..3 {
        pass(&mut pipe, &mut client, 1);
        push(&mut pipe, b"456789ab");
        assert_eq!(pipe.room().unwrap(), 8);
        pass(&mut pipe, &mut client, 5);
        assert!(pipe.is_empty());
        client.pieces.clear();
        client.free = 0;
        push(&mut pipe, b"0123");
    }
}

#[test]
fn unbuffered_pieces_go_alone_and_flushed() {
    let mut pipe = Pipe::new(Mode::Unbuffered, buffers(100));
    let mut client = Slow::default();
    assert_eq!(pipe.room().unwrap(), usize::MAX);
    push(&mut pipe, b"0123456789");
    assert_eq!(pipe.room().unwrap(), 0);
    pass(&mut pipe, &mut client, 1);
    assert_eq!(pipe.room().unwrap(), 0, "the client keeps it");
    pass(&mut pipe, &mut client, 1);
    assert_eq!(pipe.room().unwrap(), usize::MAX);
    assert!(client.pieces[0].flags().contains(Flags::FLUSH));
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let missing = file.path().join("folder").into();
    let mut pipe = Pipe::new(
        Mode::Buffered,
        Buffers {
            temp_path: missing,
            ..buffers(99)
        },
    );
    let mut client = Slow::default();
    push(&mut pipe, b"0123456789ab");
    pass(&mut pipe, &mut client, 1);
    assert_eq!(
        pipe.room().unwrap_err().kind(),
        io::ErrorKind::NotADirectory
    );
}
