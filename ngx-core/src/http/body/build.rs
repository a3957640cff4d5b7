//! Bodies that come in pieces: from the client, or made in its place.

use bytes::BytesMut;
use ngx_buf::{Buf, Chain};

use super::spool::Spool;
use crate::http::request::Request;

/// A body that is being collected.
#[derive(Default)]
pub(super) struct Collected {
    memory: BytesMut,
    spool: Option<Spool>,
}

impl Collected {
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.memory.reserve(bytes);
    }

    pub(super) fn add(&mut self, r: &Request, piece: &[u8], in_memory: usize) -> Result<(), u16> {
        if let Some(spool) = &mut self.spool {
            return spool.write(piece);
        }
        if self.memory.len() + piece.len() <= in_memory {
            self.memory.extend_from_slice(piece);
            return Ok(());
        }
        let mut spool = Spool::create(r)?;
        spool.write(&self.memory)?;
        spool.write(piece)?;
        self.memory = BytesMut::new();
        self.spool = Some(spool);
        Ok(())
    }

    pub(super) fn finish(self) -> Chain {
        match self.spool {
            Some(spool) => spool.finish(),
            None if self.memory.is_empty() => Chain::new(),
            None => Chain::from(Buf::from(self.memory.freeze())),
        }
    }
}

/// A body that is made piece by piece.
pub(super) struct Building {
    collected: Collected,
    /// What it may take of memory.
    in_memory: usize,
}

/// No body was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// [`begin_body`](Request::begin_body) comes first.
    #[error("request_body not initialized")]
    NotBegun,
    /// Its file cannot be written; the log says why.
    #[error("fail to write file")]
    File,
}

impl Request {
    /// Begins a body that is to take the place of the request's: it is kept in memory up to
    /// `in_memory` bytes, in a temporary file beyond that.
    pub fn begin_body(&self, in_memory: usize) {
        let building = Building {
            collected: Collected::default(),
            in_memory,
        };
        self.parts().body.building.replace(Some(building));
        self.want_body_file_name();
    }

    /// Appends to the body that was begun.
    ///
    /// # Errors
    /// None was begun, or its file cannot be written.
    pub fn append_body(&self, bytes: &[u8]) -> Result<(), BuildError> {
        let mut building = self.parts().body.building.take();
        let now = building.as_mut().ok_or(BuildError::NotBegun)?;
        let added = now.collected.add(self, bytes, now.in_memory);
        self.parts().body.building.replace(building);
        added.map_err(|_| BuildError::File)
    }

    /// The body that was begun is the request's from here on.
    ///
    /// # Errors
    /// None was begun.
    pub fn finish_body(&self) -> Result<(), BuildError> {
        let building = self.parts().body.building.take();
        let building = building.ok_or(BuildError::NotBegun)?;
        let body = building.collected.finish();
        // Its file, if it has one, has its name since it was made.
        let named = self.parts().body.named.take();
        let named = named.filter(|_| body.iter().any(Buf::is_file));
        self.set_body(body);
        self.parts().body.named.replace(named);
        Ok(())
    }
}
