//! Request bodies: read into memory or a temporary file, streamed, or skipped.

mod build;
mod read;
mod spool;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use ngx_buf::Chain;

use super::parse::{BodyFraming, Known, Version};
use super::request::Request;
use crate::info;
pub use build::BuildError;
use spool::NamedFile;

/// What a request knows of its body.
pub(crate) struct BodyState {
    framing: Cell<BodyFraming>,
    stage: Cell<Stage>,
    expect_tested: Cell<bool>,
    /// The header was right and announces nothing.
    nothing: Cell<bool>,
    /// The body, once it was read.
    bufs: RefCell<Chain>,
    /// What was read of it before somebody has begun to stream it.
    ahead: RefCell<BytesMut>,
    /// Its file, if that is to have a name.
    named: RefCell<Option<NamedFile>>,
    /// Somebody will ask for the name of its file.
    wants_name: Cell<bool>,
    /// A body that is put together piece by piece.
    building: RefCell<Option<build::Building>>,
    received: Cell<u64>,
}

/// Who has the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// On the wire.
    Unread,
    /// A reader is at it; another one is an error of the program.
    Reading,
    /// Read whole into `bufs`.
    Read,
    /// Not wanted.
    Discarded,
}

impl Default for BodyState {
    fn default() -> Self {
        Self {
            framing: Cell::new(BodyFraming::None),
            stage: Cell::new(Stage::Unread),
            expect_tested: Cell::new(false),
            nothing: Cell::new(false),
            bufs: RefCell::default(),
            ahead: RefCell::default(),
            named: RefCell::default(),
            wants_name: Cell::new(false),
            building: RefCell::default(),
            received: Cell::new(0),
        }
    }
}

impl BodyState {
    /// Forgets everything.
    pub(crate) fn reset(&mut self) {
        let Self {
            framing,
            stage,
            expect_tested,
            nothing,
            bufs,
            ahead,
            named,
            wants_name,
            building,
            received,
        } = self;
        framing.set(BodyFraming::None);
        stage.set(Stage::Unread);
        expect_tested.set(false);
        nothing.set(false);
        if !bufs.get_mut().is_empty() {
            bufs.get_mut().clear();
        }
        if ahead.get_mut().capacity() > 0 {
            *ahead.get_mut() = BytesMut::new();
        }
        *named.get_mut() = None;
        wants_name.set(false);
        *building.get_mut() = None;
        received.set(0);
    }

    /// The header says this of the body.
    #[inline]
    pub(crate) fn begin(&self, framing: BodyFraming) {
        self.framing.set(framing);
        let nothing = matches!(framing, BodyFraming::None | BodyFraming::Length(0));
        self.nothing.set(nothing);
    }

    /// Whether nobody wants the body, so that its length is of no interest any more.
    pub(crate) fn is_discarded(&self) -> bool {
        self.stage.get() == Stage::Discarded
    }

    /// The length that was announced.
    pub(crate) fn content_length(&self) -> Option<u64> {
        match self.framing.get() {
            BodyFraming::Length(length) => Some(length),
            BodyFraming::None | BodyFraming::Chunked => None,
        }
    }
}

impl Request {
    pub(crate) fn set_body_framing(&self, framing: BodyFraming) {
        self.parts().body.begin(framing);
    }

    /// How the body of the request is delimited on the wire.
    pub fn body_framing(&self) -> BodyFraming {
        self.parts().body.framing.get()
    }

    /// Whether there is, or was, anything to read.
    pub fn has_body(&self) -> bool {
        !matches!(
            self.body_framing(),
            BodyFraming::None | BodyFraming::Length(0)
        )
    }

    /// The body as it was read, shared: sending it again costs no copy. Empty before it was read.
    pub fn body_bufs(&self) -> Chain {
        let mut chain = Chain::new();
        chain.add_copy(&self.parts().body.bufs.borrow());
        chain
    }

    /// The file that has the body, if `client_body_in_file_only` wants one that has a name.
    pub fn body_file(&self) -> Option<PathBuf> {
        let named = self.parts().body.named.borrow();
        named.as_ref().map(|file| file.path.clone())
    }

    /// A body that is kept in a file will be asked for by the name of the file: it has one until the
    /// request ends. Before the body is read.
    pub fn want_body_file_name(&self) {
        self.parts().body.wants_name.set(true);
    }

    /// Whether the whole body was read, or replaced.
    pub fn body_is_read(&self) -> bool {
        self.parts().body.stage.get() == Stage::Read
    }

    /// Somebody is about to read the body piece by piece: nobody else may.
    pub fn begin_reading_body(&self) {
        self.parts().body.stage.set(Stage::Reading);
    }

    /// Whether somebody has begun to read the body and not come to its end.
    pub fn body_is_being_read(&self) -> bool {
        self.parts().body.stage.get() == Stage::Reading
    }

    /// Whether the body is not wanted.
    pub fn body_is_discarded(&self) -> bool {
        self.parts().body.is_discarded()
    }

    /// Nobody reads the body as one any more.
    pub(super) fn forget_body(&self) {
        self.parts().body.stage.set(Stage::Read);
    }

    pub(super) fn replace_body(&self, bufs: Chain) {
        let body = &self.parts().body;
        let named = body.named.take();
        let before = body.bufs.replace(bufs);
        body.stage.set(Stage::Read);
        drop((named, before));
    }

    pub(super) fn name_body_file(&self, path: &Path, remove: bool) {
        let named = NamedFile {
            path: path.to_owned(),
            remove,
        };
        self.parts().body.named.replace(Some(named));
    }

    /// Bytes of body received so far.
    pub fn body_received(&self) -> u64 {
        self.parts().body.received.get()
    }

    /// The body is not wanted. What has not been read is skipped, or ends the connection; a body
    /// that was read stays.
    ///
    /// # Errors
    /// The status to end the request with: what has come of the body already is malformed.
    #[inline]
    pub fn discard_body(&self) -> Result<(), u16> {
        let body = &self.parts().body;
        if matches!(body.stage.get(), Stage::Read | Stage::Discarded) {
            return Ok(());
        }
        body.stage.set(Stage::Discarded);
        body.expect_tested.set(true);
        if body.nothing.get() {
            return Ok(());
        }
        self.discard_unread()
    }

    #[inline(never)]
    fn discard_unread(&self) -> Result<(), u16> {
        let body = &self.parts().body;
        if body.ahead.borrow().capacity() > 0 {
            body.ahead.take();
        }
        let downstream = self.downstream_here();
        let Some(downstream) = &*downstream else {
            return Ok(());
        };
        downstream.discard_body().map_err(|error| {
            info!("{error} while discarding client request body");
            error.status()
        })
    }

    /// Tells a client that waits for it that its body is welcome (RFC 9110 §10.1.1).
    pub(crate) fn test_expect(&self) {
        let body = &self.parts().body;
        if body.expect_tested.replace(true) || !self.has_body() {
            return;
        }
        let asked = {
            let head = self.head();
            head.version() >= Version::HTTP_11
                && head
                    .get(Known::Expect)
                    .is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"))
        };
        if asked && let Some(downstream) = self.downstream() {
            // A client that is gone is noticed by the read that follows.
            let _ = downstream.send_interim(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }
}
