//! The request header a request keeps: bytes and where things lie in them.

use super::parse::{
    BodyFraming, FieldRange, Known, KnownSet, Method, RequestError, RequestHead, RequestLine, Span,
    TargetForm, Version, append_host,
};

/// The header of a request as the client sent it.
pub struct Head {
    bytes: Vec<u8>,
    fields: Vec<FieldRange>,
    seen: KnownSet,
    line: RequestLine,
    /// The normalised host: of the request line, else of `Host`; may be empty.
    host: Vec<u8>,
    method: Method,
}

impl Default for Head {
    /// The header of a request of which nothing was understood: it is answered in HTTP/1.0.
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            fields: Vec::new(),
            seen: KnownSet::EMPTY,
            line: UNPARSED,
            host: Vec::new(),
            method: Method::default(),
        }
    }
}

impl Head {
    /// Takes over a parsed header.
    pub(crate) fn set(&mut self, bytes: &[u8], head: &RequestHead, fields: &[FieldRange]) {
        self.bytes.clear();
        self.bytes
            .extend_from_slice(bytes.get(..head.len).unwrap_or(bytes));
        self.fields.clear();
        self.fields.extend_from_slice(fields);
        self.seen = head.seen;
        self.line = head.line;
        self.method = head.line.method;
        self.host.clear();
    }

    /// How the body is framed, by the fields of this header.
    pub(crate) fn framing(&self, head: &RequestHead) -> Result<BodyFraming, RequestError> {
        head.framing(&self.bytes, &self.fields)
    }

    /// Keeps a request line that could not be parsed, for the log.
    pub(crate) fn set_unparsed(&mut self, line: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(line);
        let end = u32::try_from(line.len()).unwrap_or(u32::MAX);
        self.line.line = Span::new(0, end);
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.seen = KnownSet::EMPTY;
        self.line = UNPARSED;
        self.method = Method::default();
        self.host.clear();
    }

    /// The whole request line (`$request`).
    pub fn request_line(&self) -> &[u8] {
        self.line.line.of(&self.bytes)
    }

    /// Path and arguments as sent (`$request_uri`).
    pub fn target(&self) -> &[u8] {
        self.line.target.of(&self.bytes)
    }

    /// Whether the target names arguments but no path.
    pub fn target_has_no_path(&self) -> bool {
        self.line.no_path
    }

    pub(crate) fn line(&self) -> &RequestLine {
        &self.line
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The protocol version of the request.
    pub fn version(&self) -> Version {
        self.line.version
    }

    /// The name of the method as sent (`$request_method`).
    pub fn method_name(&self) -> &[u8] {
        self.line.method_name.of(&self.bytes)
    }

    /// The method, `GET` after a redirect to an error page.
    pub fn method(&self) -> Method {
        self.method
    }

    pub(crate) fn set_method(&mut self, method: Method) {
        self.method = method;
    }

    /// The host asked for: lower case, without port and final dot. Empty if there is none.
    pub fn host(&self) -> &[u8] {
        &self.host
    }

    /// Finds the host asked for, in the request line or else in `Host`, and normalises it.
    ///
    /// # Errors
    /// Either of them is malformed.
    pub(crate) fn find_host(&mut self) -> Result<(), RequestError> {
        let Self {
            bytes,
            fields,
            host,
            ..
        } = self;
        host.clear();
        let line = self.line.host.of(bytes);
        if self.seen.contains(Known::Host)
            && let Some(field) = fields.iter().find(|field| field.known == Known::Host)
        {
            append_host(field.value.of(bytes), host).map_err(|_| RequestError::InvalidHost)?;
        }
        if !line.is_empty() {
            host.clear();
            append_host(line, host).map_err(|_| RequestError::InvalidHostInRequestLine)?;
        }
        Ok(())
    }

    /// Whether there is a well-known field.
    pub fn has(&self, name: Known) -> bool {
        self.seen.contains(name)
    }

    /// The first value of a well-known field.
    pub fn get(&self, name: Known) -> Option<&[u8]> {
        if !self.seen.contains(name) {
            return None;
        }
        let field = self.fields.iter().find(|field| field.known == name)?;
        Some(field.value.of(&self.bytes))
    }

    /// The first value of a field by its name, in any case of letters.
    pub fn find(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All fields in the order they came: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .map(|field| (field.name.of(&self.bytes), field.value.of(&self.bytes)))
    }

    /// All fields with what is known of their names.
    pub fn fields(&self) -> impl Iterator<Item = (Known, &[u8], &[u8])> {
        self.fields.iter().map(|field| {
            (
                field.known,
                field.name.of(&self.bytes),
                field.value.of(&self.bytes),
            )
        })
    }

    /// Whether the `Connection` field has this token.
    pub fn connection_has(&self, token: &[u8]) -> bool {
        let values = self
            .fields()
            .filter(|(known, ..)| *known == Known::Connection);
        values
            .flat_map(|(.., value)| value.split(|&byte| byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
    }
}

const UNPARSED: RequestLine = RequestLine {
    line: Span::new(0, 0),
    method: Method::Other,
    method_name: Span::new(0, 0),
    form: TargetForm::Origin,
    scheme: Span::new(0, 0),
    host: Span::new(0, 0),
    target: Span::new(0, 0),
    path: Span::new(0, 0),
    plain: false,
    no_path: false,
    args: Span::new(0, 0),
    protocol: Span::new(0, 0),
    version: Version::HTTP_10,
};
