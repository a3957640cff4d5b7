//! How the body of a request is framed, and what has come of it.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::http::downstream::{BodyError, BodyPiece};
use crate::http::parse::{BodyFraming, ChunkedDecoder};

/// How the rest of the request body is framed.
pub(super) enum Body {
    /// All of it was read.
    Ended,
    /// So many bytes are missing.
    Length(u64),
    Chunked(Box<ChunkedDecoder>),
    /// After an upgrade: bytes up to the end of the connection.
    Raw,
}

impl Body {
    /// Takes body bytes out of what was read already.
    pub(super) fn take(
        &mut self,
        unread: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<BodyPiece>, BodyError> {
        let piece = match self {
            Self::Ended => return Ok(Some(BodyPiece::End)),
            Self::Raw | Self::Length(_) if unread.is_empty() => return Ok(None),
            Self::Raw => split(unread, limit),
            Self::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(limit);
                let piece = split(unread, most);
                *left -= piece.len() as u64;
                if *left == 0 {
                    *self = Self::Ended;
                }
                piece
            }
            Self::Chunked(decoder) => {
                let decoded = decoder.decode(unread).map_err(|_| BodyError::Invalid)?;
                unread.advance(decoded.data.start);
                let piece = split(unread, decoded.data.len());
                unread.advance(decoded.consumed.saturating_sub(decoded.data.end));
                let done = decoder.is_done();
                if done {
                    *self = Self::Ended;
                }
                if piece.is_empty() {
                    return Ok(done.then_some(BodyPiece::End));
                }
                piece
            }
        };
        Ok(Some(BodyPiece::Data(piece)))
    }
}

impl From<BodyFraming> for Body {
    fn from(framing: BodyFraming) -> Self {
        match framing {
            BodyFraming::None | BodyFraming::Length(0) => Self::Ended,
            BodyFraming::Length(length) => Self::Length(length),
            BodyFraming::Chunked => Self::Chunked(Box::default()),
        }
    }
}

fn split(unread: &mut BytesMut, most: usize) -> Bytes {
    let most = most.min(unread.len());
    unread.split_to(most).freeze()
}
