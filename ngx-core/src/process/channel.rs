//! Messages and open descriptors between the master and a worker process.
//!
//! A message is a head (its length and how many descriptors follow, little-endian), its bytes,
//! and then the descriptors, with one byte for each batch of them.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One end. Sending and receiving block.
#[derive(Debug)]
pub(super) struct Channel {
    socket: UnixStream,
    /// The longest message that is believed.
    most: usize,
}

impl Channel {
    /// A channel, and the other end for another process.
    pub(super) fn new() -> io::Result<(Self, OwnedFd)> {
        let (socket, other) = UnixStream::pair()?;
        // A worker process always reads; one that does not is beyond being told anything.
        socket.set_write_timeout(Some(PATIENCE))?;
        // Whoever has taken over a worker process is not to have the master's memory.
        let most = MOST_OF_WORKER;
        Ok((Self { socket, most }, other.into()))
    }

    /// The end that the process was started with, on standard input, which is `/dev/null` from
    /// now on.
    pub(super) fn of_stdin() -> io::Result<Self> {
        let socket = rustix::stdio::stdin().try_clone_to_owned()?;
        let null = std::fs::File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        let socket = UnixStream::from(socket);
        let most = usize::MAX;
        Ok(Self { socket, most })
    }

    /// Sends a message, and duplicates of descriptors with it.
    pub(super) fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
        let length = u64::try_from(body.len()).map_err(io::Error::other)?;
        let count = u32::try_from(descriptors.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(HEAD + body.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&body);
        (&self.socket).write_all(&bytes)?;
        for batch in descriptors.chunks(BATCH) {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(batch)) {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            let byte = [IoSlice::new(&[0])];
            let sent = rustix::io::retry_on_intr(|| {
                sendmsg(&self.socket, &byte, &mut control, SendFlags::NOSIGNAL)
            })?;
            if sent != 1 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// The next message, or `None` when the other process has ended.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut length = [0; 8];
        match (&self.socket).read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if is_end(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut count = [0; 4];
        (&self.socket).read_exact(&mut count)?;
        let length = usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?;
        let count = usize::try_from(u32::from_le_bytes(count)).map_err(io::Error::other)?;
        if length > self.most {
            return Err(io::Error::other("the message is too long"));
        }
        let mut body = vec![0; length];
        (&self.socket).read_exact(&mut body)?;
        let mut descriptors = Vec::new();
        while descriptors.len() < count {
            let before = descriptors.len();
            self.receive_batch(&mut descriptors)?;
            if descriptors.len() == before {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let message = postcard::from_bytes(&body).map_err(io::Error::other)?;
        Ok(Some((message, descriptors)))
    }

    fn receive_batch(&self, descriptors: &mut Vec<OwnedFd>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        rustix::io::retry_on_intr(|| {
            let mut bytes = [IoSliceMut::new(&mut byte)];
            recvmsg(
                &self.socket,
                &mut bytes,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )
        })?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(batch) = message {
                descriptors.extend(batch);
            }
        }
        Ok(())
    }
}

/// Whether standard input is a Unix-domain socket, as that of a worker process is.
pub(super) fn is_on_stdin() -> bool {
    let stdin = rustix::stdio::stdin();
    sockopt::socket_domain(stdin.as_fd()).is_ok_and(|domain| domain == AddressFamily::UNIX)
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
    )
}

const HEAD: usize = 12;
/// The system takes up to 253 descriptors at once.
const BATCH: usize = 250;
const SPACE: usize = rustix::cmsg_space!(ScmRights(BATCH));
/// The longest message of a worker process; longer ones must be cut.
pub(super) const MOST_OF_WORKER: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;
    use std::thread;

    use super::*;

    fn pair() -> (Channel, Channel) {
        let (one, other) = Channel::new().unwrap();
        let socket = UnixStream::from(other);
        let most = usize::MAX;
        (one, Channel { socket, most })
    }

    #[test]
    fn messages_arrive_with_all_their_descriptors() {
        let (one, other) = pair();
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<File> = (0..3)
            .map(|n| File::create(folder.path().join(n.to_string())).unwrap())
            .collect();
        let many: Vec<_> = (0..600).map(|n| files[n % 3].as_fd()).collect();
        let text = "x".repeat(1 << 20);
        let reader = thread::spawn(move || {
            let first = other.receive::<String>().unwrap().unwrap();
            let second = other.receive::<u8>().unwrap().unwrap();
            (first, second)
        });
        one.send(&text, &many).unwrap();
        one.send(&7_u8, &many[..1]).unwrap();
        let ((first, descriptors), (second, last)) = reader.join().unwrap();
        assert_eq!(first, text);
        assert_eq!((second, last.len()), (7, 1));
        let inode = |file: File| file.metadata().unwrap().ino();
        let expected: Vec<u64> = files.into_iter().map(inode).collect();
        let arrived: Vec<u64> = descriptors.into_iter().map(|fd| inode(fd.into())).collect();
        assert_eq!(arrived.len(), 600);
        for (n, arrived) in arrived.iter().enumerate() {
            assert_eq!(*arrived, expected[n % 3]);
        }
    }

    #[test]
    fn a_worker_cannot_make_the_master_read_much() {
        let (master, worker) = pair();
        worker.send(&"x".repeat(1000), &[]).unwrap();
        assert!(master.receive::<String>().unwrap().is_some());
        let mut lie = u64::MAX.to_le_bytes().to_vec();
        lie.extend([0; 4]);
        (&worker.socket).write_all(&lie).unwrap();
        assert!(master.receive::<String>().is_err());
    }

    #[test]
    fn the_end_of_the_other_is_seen() {
        let (one, other) = pair();
        drop(one);
        assert!(other.receive::<u8>().unwrap().is_none());
    }
}
