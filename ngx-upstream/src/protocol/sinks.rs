//! Where hooks write.

use std::collections::VecDeque;

use bytes::Bytes;
use ngx_buf::{Buf, Chain};

use super::Input;
use crate::exchange::Signal;

/// Fields that follow a body: name and value of each.
pub type Trailers = Vec<(Bytes, Bytes)>;

/// Where [`Protocol::process_header`](super::Protocol::process_header) writes.
#[derive(Debug)]
pub struct HeadSink<'a, H> {
    to_peer: &'a mut Chain,
    queued: &'a mut VecDeque<Signal<H>>,
}

impl<'a, H> HeadSink<'a, H> {
    pub(crate) fn new(to_peer: &'a mut Chain, queued: &'a mut VecDeque<Signal<H>>) -> Self {
        Self { to_peer, queued }
    }

    /// Queues bytes to the peer, behind what was queued before: a step of a handshake.
    pub fn to_peer(&mut self, buf: impl Into<Buf>) {
        self.to_peer.push(buf);
    }

    /// Hands out a head that is not the last one, such as HTTP's 103.
    pub fn interim(&mut self, head: H) {
        self.queued.push_back(Signal::Interim(head));
    }
}

/// Where [`Protocol::input_filter`](super::Protocol::input_filter) writes.
#[derive(Debug)]
pub struct BodySink<'a> {
    to_peer: &'a mut Chain,
    body: &'a mut Chain,
    trailers: &'a mut Trailers,
    /// Bytes appended to the body.
    came: u64,
}

impl<'a> BodySink<'a> {
    pub(crate) fn new(
        to_peer: &'a mut Chain,
        body: &'a mut Chain,
        trailers: &'a mut Trailers,
    ) -> Self {
        Self {
            to_peer,
            body,
            trailers,
            came: 0,
        }
    }

    /// How many bytes were appended to the body.
    pub(crate) fn came(&self) -> u64 {
        self.came
    }

    /// Appends a piece to the body. Empty pieces are dropped.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.came += bytes.len() as u64;
            self.body.push(bytes);
        }
    }

    /// Moves at most `n` bytes from the input to the body and says how many there were.
    pub fn push_upto(&mut self, input: &mut Input<'_>, n: u64) -> u64 {
        let bytes = input.take_upto(n);
        let moved = bytes.len() as u64;
        self.push(bytes);
        moved
    }

    /// Moves the whole input to the body.
    pub fn push_all(&mut self, input: &mut Input<'_>) {
        let bytes = input.take_all();
        self.push(bytes);
    }

    /// Queues bytes to the peer: acknowledgements, window updates.
    pub fn to_peer(&mut self, buf: impl Into<Buf>) {
        self.to_peer.push(buf);
    }

    /// Hands out a field that follows the body.
    pub fn trailer(&mut self, name: Bytes, value: Bytes) {
        self.trailers.push((name, value));
    }
}
