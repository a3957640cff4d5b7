//! Messages and open descriptors between the master and a worker process.
//!
//! A message is a head (its length and how many descriptors follow, little-endian), its bytes,
//! and then the descriptors, with one byte for each batch of them.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, sendmsg, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::net::sys::Readable;

/// One end. Sending blocks, and so does receiving but by an [`Inbox`].
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
        // A worker process reads between requests; one that does not for so long, when there is
        // more than fits into the socket, is beyond being told anything.
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

    /// Sends a message, and duplicates of descriptors with it. After an error there is no telling
    /// how much of it the other process will see: it hears the end behind that, and nothing
    /// more can be sent.
    pub(super) fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.try_send(message, descriptors).inspect_err(|_| {
            let _it_may_be_gone = self.socket.shutdown(Shutdown::Write);
        })
    }

    fn try_send<T: Serialize>(
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
            let sent =
                retry_on_intr(|| sendmsg(&self.socket, &byte, &mut control, SendFlags::NOSIGNAL))?;
            if sent != 1 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// The next message, or `None` when the other process has ended.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut message = Incoming::default();
        loop {
            match message.step(self, RecvFlags::empty())? {
                Step::Part => {}
                Step::Whole => return message.take().map(Some),
                Step::End => return Ok(None),
            }
        }
    }
}

/// Receives from a channel without holding up the thread. Nobody else may receive from it.
pub(super) struct Inbox {
    channel: Arc<Channel>,
    /// A duplicate of its socket.
    watched: Readable,
    message: Incoming,
    over: bool,
}

impl Inbox {
    /// Must be called within a runtime.
    pub(super) fn new(channel: Arc<Channel>) -> io::Result<Self> {
        Ok(Self {
            watched: Readable::new(channel.socket.try_clone()?.into())?,
            channel,
            message: Incoming::default(),
            over: false,
        })
    }

    /// The next message, or `None` when the other process has ended, or after an error.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped: what has come of a message is kept.
    pub(super) async fn next<T: DeserializeOwned>(
        &mut self,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        if self.over {
            return Ok(None);
        }
        let next = self.receive().await;
        self.over = !matches!(next, Ok(Some(_)));
        next
    }

    async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            let mut ready = poll_fn(|cx| self.watched.poll_ready(cx)).await?;
            // Readiness stays until a call finds nothing; the socket blocks those who do not say
            // that they will not wait, such as the sending half.
            let step = |_: &_| self.message.step(&self.channel, RecvFlags::DONTWAIT);
            match ready.try_io(step) {
                Ok(Ok(Step::Part)) | Err(_) => {}
                Ok(Ok(Step::Whole)) => return std::mem::take(&mut self.message).take().map(Some),
                Ok(Ok(Step::End)) => return Ok(None),
                Ok(Err(error)) => return Err(error),
            }
        }
    }
}

/// What has come of a message.
#[derive(Default)]
struct Incoming {
    part: Part,
    /// The bytes of the part, those that are still to come included.
    bytes: Vec<u8>,
    /// How many of them are here.
    filled: usize,
    descriptors: Vec<OwnedFd>,
    /// How many descriptors belong to it.
    count: usize,
}

/// Where in a message the next byte belongs.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    Body,
    Descriptors,
}

/// What one system call has brought.
enum Step {
    Part,
    /// The rest of the message.
    Whole,
    /// The other process has ended, between two messages.
    End,
}

impl Incoming {
    /// Receives, with one system call.
    fn step(&mut self, channel: &Channel, flags: RecvFlags) -> io::Result<Step> {
        if self.part == Part::Descriptors {
            let before = self.descriptors.len();
            receive_batch(&channel.socket, flags, &mut self.descriptors)?;
            if self.descriptors.len() == before {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            return Ok(self.state());
        }
        if self.part == Part::Head {
            self.bytes.resize(HEAD, 0);
        }
        let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let received = retry_on_intr(|| recv(&channel.socket, &mut *room, flags));
        let length = match received.map_err(io::Error::from) {
            Ok((length, _)) => length,
            Err(error) if self.is_new() && error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error),
        };
        if length == 0 {
            return if self.is_new() {
                Ok(Step::End)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        self.filled += length;
        if self.filled < self.bytes.len() {
            return Ok(Step::Part);
        }
        if self.part == Part::Head {
            self.begin_body(channel.most)?;
        } else {
            self.part = Part::Descriptors;
        }
        Ok(self.state())
    }

    /// Nothing has come of it.
    fn is_new(&self) -> bool {
        self.part == Part::Head && self.filled == 0
    }

    /// What the head says.
    fn begin_body(&mut self, most: usize) -> io::Result<()> {
        let head = self.bytes.split_first_chunk().and_then(|(length, count)| {
            let count = u32::from_le_bytes(*count.first_chunk()?);
            Some((u64::from_le_bytes(*length), count))
        });
        let (length, count) = head.ok_or(io::ErrorKind::InvalidData)?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        if length > most {
            return Err(io::Error::other("the message is too long"));
        }
        self.count = usize::try_from(count).map_err(io::Error::other)?;
        self.part = if length == 0 {
            Part::Descriptors
        } else {
            Part::Body
        };
        self.bytes = vec![0; length];
        self.filled = 0;
        Ok(())
    }

    fn state(&self) -> Step {
        if self.part == Part::Descriptors && self.descriptors.len() >= self.count {
            Step::Whole
        } else {
            Step::Part
        }
    }

    fn take<T: DeserializeOwned>(self) -> io::Result<(T, Vec<OwnedFd>)> {
        let message = postcard::from_bytes(&self.bytes).map_err(io::Error::other)?;
        Ok((message, self.descriptors))
    }
}

/// Receives a batch of descriptors; none at the end.
fn receive_batch(
    socket: &UnixStream,
    flags: RecvFlags,
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    retry_on_intr(|| {
        let mut bytes = [IoSliceMut::new(&mut byte)];
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        recvmsg(socket, &mut bytes, &mut control, flags)
    })?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(batch) = message {
            descriptors.extend(batch);
        }
    }
    Ok(())
}

/// Whether standard input is a Unix-domain socket, as that of a worker process is.
pub(super) fn is_on_stdin() -> bool {
    let stdin = rustix::stdio::stdin();
    sockopt::socket_domain(stdin.as_fd()).is_ok_and(|domain| domain == AddressFamily::UNIX)
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

    #[tokio::test]
    async fn half_a_message_is_the_last() {
        let (one, other) = pair();
        let patience = Duration::from_millis(50);
        one.socket.set_write_timeout(Some(patience)).unwrap();
        one.send(&"good".to_owned(), &[]).unwrap();
        let late = one.send(&"x".repeat(1 << 20), &[]).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::WouldBlock);
        let gone = one.send(&"more".to_owned(), &[]).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(hear_all(other).await, (vec![("good".to_owned(), 0)], true));
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

    /// What an inbox hears, and whether an error ended it.
    async fn hear_all(channel: Channel) -> (Vec<(String, usize)>, bool) {
        let mut inbox = Inbox::new(Arc::new(channel)).unwrap();
        let mut heard = Vec::new();
        loop {
            // Dropped and begun again, as in a loop that waits for other things too.
            let next = tokio::time::timeout(Duration::from_millis(1), inbox.next::<String>());
            let failed = match next.await {
                Err(_nothing_yet) => continue,
                Ok(Ok(Some((text, descriptors)))) => {
                    heard.push((text, descriptors.len()));
                    continue;
                }
                Ok(Ok(None)) => false,
                Ok(Err(_)) => true,
            };
            assert!(inbox.next::<String>().await.unwrap().is_none());
            return (heard, failed);
        }
    }

    #[tokio::test]
    async fn an_inbox_hears_all_that_is_said_before_the_end() {
        let (one, other) = pair();
        let text = "y".repeat(1 << 20);
        let sent = text.clone();
        let sender = thread::spawn(move || {
            let file = tempfile::tempfile().unwrap();
            let many = vec![file.as_fd(); 600];
            one.send(&"first".to_owned(), &[]).unwrap();
            one.send(&"at once".to_owned(), &many[..1]).unwrap();
            one.send(&sent, &many).unwrap();
            one.send(&String::new(), &[]).unwrap();
            thread::sleep(Duration::from_millis(20));
            one.send(&"last".to_owned(), &many[..300]).unwrap();
        });
        let (heard, failed) = hear_all(other).await;
        sender.join().unwrap();
        let expected = [
            ("first", 0),
            ("at once", 1),
            (&text, 600),
            ("", 0),
            ("last", 300),
        ];
        let expected: Vec<_> = expected
            .map(|(text, count)| (text.to_owned(), count))
            .into();
        assert!(heard == expected, "{} messages", heard.len());
        assert!(!failed);
    }

    #[tokio::test]
    async fn an_inbox_takes_messages_in_any_pieces_and_half_a_message_is_an_error() {
        let mut bytes = 6_u64.to_le_bytes().to_vec();
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(postcard::to_stdvec("whole").unwrap());
        for length in 0..=bytes.len() {
            let (one, other) = pair();
            let pieces: Vec<_> = bytes.iter().chain(&bytes[..length]).copied().collect();
            let sender = thread::spawn(move || {
                for byte in pieces {
                    (&one.socket).write_all(&[byte]).unwrap();
                    thread::yield_now();
                }
            });
            let (heard, failed) = hear_all(other).await;
            sender.join().unwrap();
            let whole = 1 + usize::from(length == bytes.len());
            assert_eq!(heard, vec![("whole".to_owned(), 0); whole], "{length}");
            assert_eq!(failed, length > 0 && length < bytes.len(), "{length}");
        }
    }

    #[tokio::test]
    async fn an_inbox_ends_with_what_it_does_not_understand() {
        let (one, other) = pair();
        one.send(&"good".to_owned(), &[]).unwrap();
        one.send(&u64::MAX, &[]).unwrap();
        one.send(&"late".to_owned(), &[]).unwrap();
        assert_eq!(hear_all(other).await, (vec![("good".to_owned(), 0)], true));
    }

    #[test]
    fn the_end_of_the_other_is_seen() {
        let (one, other) = pair();
        drop(one);
        assert!(other.receive::<u8>().unwrap().is_none());
    }
}
