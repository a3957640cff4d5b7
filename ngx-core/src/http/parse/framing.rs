//! How long a body is (RFC 9112 §6).

use super::error::{RequestError, ResponseError, excerpt};
use super::header::{FieldRange, find};
use super::known::{Known, KnownSet};
use super::request_line::Version;

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body: neither `Content-Length` nor `Transfer-Encoding`.
    None,
    /// As many bytes as `Content-Length` says, which may be none.
    Length(u64),
    /// Chunked.
    Chunked,
}

/// How the body of a response is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// There is no body, whatever the fields say: 1xx, 204, 304, an answer to `HEAD`.
    None,
    /// As many bytes as `Content-Length` says, which may be none.
    Length(u64),
    /// Chunked.
    Chunked,
    /// Up to the end of the connection.
    Close,
}

/// The framing of a request body.
pub(super) fn of_request(
    version: Version,
    seen: KnownSet,
    head: &[u8],
    fields: &[FieldRange],
) -> Result<BodyFraming, RequestError> {
    let length = match value(head, fields, seen, Known::ContentLength) {
        Some(text) => Some(content_length(text).ok_or(RequestError::InvalidContentLength)?),
        None => None,
    };

    if let Some(text) = value(head, fields, seen, Known::TransferEncoding) {
        if version < Version::HTTP_11 {
            return Err(RequestError::TransferEncodingInHttp10);
        }
        if !text.eq_ignore_ascii_case(b"chunked") {
            return Err(RequestError::UnknownTransferEncoding(excerpt(text)));
        }
        if length.is_some() {
            return Err(RequestError::LengthAndEncoding);
        }
        return Ok(BodyFraming::Chunked);
    }

    Ok(length.map_or(BodyFraming::None, BodyFraming::Length))
}

/// The framing of a response body.
pub(super) fn of_response(
    code: u16,
    to_head: bool,
    seen: KnownSet,
    head: &[u8],
    fields: &[FieldRange],
) -> Result<ResponseFraming, ResponseError> {
    let length = match value(head, fields, seen, Known::ContentLength) {
        Some(text) => Some(
            content_length(text)
                .ok_or_else(|| ResponseError::InvalidContentLength(excerpt(text)))?,
        ),
        None => None,
    };

    let chunked = match value(head, fields, seen, Known::TransferEncoding) {
        Some(_) if length.is_some() => return Err(ResponseError::LengthAndEncoding),
        Some(text) if text.eq_ignore_ascii_case(b"chunked") => true,
        Some(text) => return Err(ResponseError::UnknownTransferEncoding(excerpt(text))),
        None => false,
    };

    Ok(if to_head || code < 200 || code == 204 || code == 304 {
        ResponseFraming::None
    } else if chunked {
        ResponseFraming::Chunked
    } else {
        length.map_or(ResponseFraming::Close, ResponseFraming::Length)
    })
}

fn value<'a>(
    head: &'a [u8],
    fields: &[FieldRange],
    seen: KnownSet,
    known: Known,
) -> Option<&'a [u8]> {
    if !seen.contains(known) {
        return None;
    }
    find(fields, known).map(|field| field.value.of(head))
}

/// Digits and nothing else, at most the largest file offset.
fn content_length(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }

    text.iter()
        .try_fold(0u64, |sum, &byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            sum.checked_mul(10)?.checked_add(digit)
        })
        .filter(|&sum| i64::try_from(sum).is_ok())
}
