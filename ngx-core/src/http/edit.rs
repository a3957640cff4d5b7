//! Changing what a client has asked: fields of its header, its body.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use ngx_buf::{Buf, Chain, FileBuf, Flags};

use super::filter::header::decimal;
use super::parse::{BodyFraming, Host, Known};
use super::request::Request;

/// The value cannot be that of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid value of a request header field")]
pub struct InvalidField;

impl Request {
    /// Sets a field of the request header: variables, filters and backends see it from here on. It
    /// takes the place of all fields of its name; an empty value removes them.
    ///
    /// How the body is framed on the wire does not change with `Content-Length` and
    /// `Transfer-Encoding`, nor what becomes of the connection with `Connection`.
    ///
    /// # Errors
    /// `Host` is no host, or `Content-Length` no number.
    pub fn set_header(&self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        self.check_field(name, value)?;
        self.with_head_mut(|head| head.set_field(name, value));
        Ok(())
    }

    /// Adds a field to the request header, beside others of its name.
    ///
    /// # Errors
    /// As [`set_header`](Self::set_header).
    pub fn add_header(&self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        self.check_field(name, value)?;
        self.with_head_mut(|head| head.add_field(name, value));
        Ok(())
    }

    /// Removes all fields of this name from the request header.
    pub fn clear_header(&self, name: &[u8]) {
        // No value is a value that all fields can have.
        let _ = self.set_header(name, b"");
    }

    fn check_field(&self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        match Known::from_name(name) {
            Known::Host if value.is_empty() => self.with_head_mut(|head| head.set_host(b"")),
            Known::Host => {
                let host = Host::parse(value).map_err(|_| InvalidField)?;
                self.with_head_mut(|head| head.set_host(host.name.as_bytes()));
            }
            Known::ContentLength if !value.iter().all(u8::is_ascii_digit) => {
                return Err(InvalidField);
            }
            _ => {}
        }
        Ok(())
    }

    /// Puts another body in place of the request's, with its `Content-Length`. The client's own
    /// should have been [read](Self::read_body): what is left of it on the wire is skipped behind
    /// the response.
    pub fn set_body(&self, body: Chain) {
        let len = body.size();
        self.replace_body(body);
        self.set_body_framing(BodyFraming::Length(len));
        let mut digits = [0; 20];
        // A number is a length.
        let _ = self.set_header(b"Content-Length", decimal(len, &mut digits));
        self.clear_header(b"Transfer-Encoding");
    }

    /// Puts a file in place of the request's body, as [`set_body`](Self::set_body) does. With
    /// `remove` its name goes with the request.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn set_body_file(&self, path: &Path, remove: bool) -> std::io::Result<()> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let body = if len == 0 {
            Chain::new()
        } else {
            let file = Arc::new(FileBuf::new(file, path.to_owned()));
            Chain::from(Buf::file(file, 0..len).with_flags(Flags::TEMP_FILE))
        };
        self.set_body(body);
        self.name_body_file(path, remove);
        Ok(())
    }
}
