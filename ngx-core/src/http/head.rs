//! The request header a request keeps: bytes and where things lie in them.

use super::parse::{
    BodyFraming, FieldRange, HostParts, InvalidHost, Known, KnownSet, Method, RequestError,
    RequestHead, RequestLine, RequestOptions, RequestParser, Span, TargetForm, Version,
    parse_usual,
};

/// The header of a request: as the client sent it, but for fields that were changed since.
pub struct Head {
    /// What was sent, and behind it the fields that were set.
    bytes: Vec<u8>,
    sent: usize,
    fields: Vec<FieldRange>,
    seen: KnownSet,
    line: RequestLine,
    /// The normalised host, in `bytes`: of the request line, else of `Host`; may be empty.
    host: Span,
    method: Method,
}

impl Default for Head {
    /// The header of a request of which nothing was understood: it is answered in HTTP/1.0.
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            sent: 0,
            fields: Vec::new(),
            seen: KnownSet::EMPTY,
            line: UNPARSED,
            host: Span::new(0, 0),
            method: Method::default(),
        }
    }
}

impl Head {
    /// Takes over a parsed header. `fields` gets the memory of the fields before.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        parser: &RequestParser,
        fields: &mut Vec<FieldRange>,
    ) {
        self.bytes.clear();
        self.bytes
            .extend_from_slice(bytes.get(..parser.taken()).unwrap_or(bytes));
        self.sent = self.bytes.len();
        std::mem::swap(&mut self.fields, fields);
        self.seen = parser.seen();
        self.line = *parser.request_line().unwrap_or(&UNPARSED);
        self.method = self.line.method;
        self.host = Span::new(0, 0);
    }

    /// Parses a header that is there as a whole and has nothing unusual in it, into one that is
    /// [clear](Self::clear): how many bytes it takes. `None` if a parser has to look at it; this one
    /// is to be cleared then. Only the first `received` of the bytes are the client's.
    #[inline]
    pub(crate) fn parse_usual(
        &mut self,
        options: &RequestOptions,
        (bytes, received): (&[u8], usize),
    ) -> Option<usize> {
        let from = (bytes, received);
        let (seen, len) = parse_usual(options, from, &mut self.line, &mut self.fields)?;
        self.bytes.extend_from_slice(bytes.get(..len)?);
        self.sent = len;
        self.seen = seen;
        self.method = self.line.method;
        Some(len)
    }

    /// Copies a parsed header.
    pub(crate) fn set(&mut self, bytes: &[u8], head: &RequestHead, fields: &[FieldRange]) {
        self.bytes.clear();
        self.bytes
            .extend_from_slice(bytes.get(..head.len).unwrap_or(bytes));
        self.sent = self.bytes.len();
        self.fields.clear();
        self.fields.extend_from_slice(fields);
        self.seen = head.seen;
        self.line = head.line;
        self.method = head.line.method;
        self.host = Span::new(0, 0);
    }

    /// How the body is framed, by the fields of this header.
    ///
    /// # Errors
    /// They contradict each other, or are malformed.
    pub(crate) fn framing(&self) -> Result<BodyFraming, RequestError> {
        if !self.seen.contains(Known::ContentLength) && !self.seen.contains(Known::TransferEncoding)
        {
            return Ok(BodyFraming::None);
        }
        self.parsed().framing(&self.bytes, &self.fields)
    }

    /// Whether the method may be used at all.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check_method(&self, framing: BodyFraming) -> Result<(), RequestError> {
        match self.line.method {
            Method::Trace | Method::Connect => self.parsed().check_method(framing, false),
            _ => Ok(()),
        }
    }

    fn parsed(&self) -> RequestHead {
        RequestHead {
            line: self.line,
            seen: self.seen,
            len: self.sent,
        }
    }

    /// Keeps a request line that could not be parsed, for the log.
    pub(crate) fn set_unparsed(&mut self, line: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(line);
        self.sent = line.len();
        let end = u32::try_from(line.len()).unwrap_or(u32::MAX);
        self.line.line = Span::new(0, end);
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.fields.clear();
        self.seen = KnownSet::EMPTY;
        self.line = UNPARSED;
        self.method = Method::default();
        self.host = Span::new(0, 0);
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

    /// Bytes of the header as the client sent it.
    pub(crate) fn sent_len(&self) -> usize {
        self.sent
    }

    /// Request line and fields as the client sent them, with the empty line behind them; nothing of
    /// a header that could not be parsed.
    pub fn sent(&self) -> &[u8] {
        if self.line.version == Version::HTTP_10 && self.line.protocol.is_empty() {
            return &[];
        }
        let start = self.line.line.range().start;
        self.bytes.get(start..self.sent).unwrap_or_default()
    }

    /// Replaces the fields of this name by one, in the place of the first; no value is no field.
    pub(crate) fn set_field(&mut self, name: &[u8], value: &[u8]) {
        let place = self.position(name);
        let place = place.filter(|_| !value.is_empty());
        let span = place.map(|_| self.append(value));
        let bytes = &self.bytes;
        let mut at = 0;
        self.fields.retain_mut(|field| {
            let stays = !field.name.of(bytes).eq_ignore_ascii_case(name) || Some(at) == place;
            if let Some(span) = span.filter(|_| Some(at) == place) {
                field.value = span;
            }
            at += 1;
            stays
        });
        if place.is_none() && !value.is_empty() {
            self.add_field(name, value);
        }
        self.seen = KnownSet::EMPTY;
        for field in &self.fields {
            let _ = self.seen.insert(field.known);
        }
    }

    /// Adds a field behind the others.
    pub(crate) fn add_field(&mut self, name: &[u8], value: &[u8]) {
        let known = Known::from_name(name);
        let (name, value) = (self.append(name), self.append(value));
        self.fields.push(FieldRange { name, value, known });
        let _ = self.seen.insert(known);
    }

    pub(crate) fn set_host(&mut self, host: &[u8]) {
        self.host = self.append(host);
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        let mut fields = self.iter();
        fields.position(|(field, _)| field.eq_ignore_ascii_case(name))
    }

    fn append(&mut self, bytes: &[u8]) -> Span {
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(bytes);
        Span::new(start, u32::try_from(self.bytes.len()).unwrap_or(u32::MAX))
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
        self.host.of(&self.bytes)
    }

    /// Where the one `Host` field says the host, if nothing else does.
    pub(crate) fn sent_host(&self) -> Option<Span> {
        if !self.seen.contains(Known::Host) || !self.line.host.is_empty() {
            return None;
        }
        let field = self
            .fields
            .iter()
            .find(|field| field.known == Known::Host)?;
        Some(field.value)
    }

    /// The length of the host asked for, if it is the front of this part of the header.
    pub(crate) fn host_in_front_of(&self, sent: Span) -> Option<u32> {
        (self.host.start == sent.start).then_some(self.host.end - self.host.start)
    }

    /// The host asked for is the first `len` bytes of this part of the header.
    pub(crate) fn host_is_front_of(&mut self, sent: Span, len: u32) {
        self.host = Span::new(sent.start, sent.start.saturating_add(len));
    }

    /// Finds the host asked for, in the request line or else in `Host`, and normalises it.
    ///
    /// # Errors
    /// Either of them is malformed.
    pub(crate) fn find_host(&mut self) -> Result<(), RequestError> {
        self.host = Span::new(0, 0);
        let field = self.fields.iter().find(|field| field.known == Known::Host);
        if let Some(field) = field {
            self.host =
                take_host(&mut self.bytes, field.value).map_err(|_| RequestError::InvalidHost)?;
        }
        if !self.line.host.is_empty() {
            self.host = take_host(&mut self.bytes, self.line.host)
                .map_err(|_| RequestError::InvalidHostInRequestLine)?;
        }
        Ok(())
    }

    /// Whether there is a well-known field.
    pub fn has(&self, name: Known) -> bool {
        self.seen.contains(name)
    }

    /// Whether there is one of these well-known fields.
    pub(crate) fn has_any(&self, names: KnownSet) -> bool {
        self.seen.meets(names)
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
        if !self.seen.contains(Known::Connection) {
            return false;
        }
        let values = self
            .fields()
            .filter(|(known, ..)| *known == Known::Connection);
        values
            .flat_map(|(.., value)| value.split(|&byte| byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
    }
}

/// Normalises the host that is sent there: what it becomes stands in front, or behind all.
fn take_host(bytes: &mut Vec<u8>, sent: Span) -> Result<Span, InvalidHost> {
    let parts = HostParts::of(sent.of(bytes))?;
    let len = u32::try_from(parts.name.len()).unwrap_or(u32::MAX);
    if !parts.upper {
        return Ok(Span::new(sent.start, sent.start.saturating_add(len)));
    }
    let start = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let name = parts.name.to_ascii_lowercase();
    bytes.extend_from_slice(&name);
    Ok(Span::new(start, start.saturating_add(len)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse::{Progress, RequestOptions, RequestParser};

    const SENT: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nRange: r\r\nx-a: 2\r\n\r\n";

    fn head() -> Head {
        let mut fields = Vec::new();
        let mut parser = RequestParser::new(RequestOptions::default());
        let Ok(Progress::Done(parsed)) = parser.parse(SENT, &mut fields) else {
            panic!("it is a whole header");
        };
        let mut head = Head::default();
        head.set(SENT, &parsed, &fields);
        head
    }

    fn fields(head: &Head) -> String {
        let shown = head.iter().map(|(name, value)| {
            let (name, value) = (name.escape_ascii(), value.escape_ascii());
            format!("{name}={value}")
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_field_that_is_set_takes_the_place_of_all_of_its_name() {
        let mut head = head();
        head.set_field(b"x-A", b"new");
        assert_eq!(fields(&head), "Host=a X-A=new Range=r");
        head.set_field(b"X-B", b"3");
        head.add_field(b"X-B", b"4");
        assert_eq!(fields(&head), "Host=a X-A=new Range=r X-B=3 X-B=4");
        head.set_field(b"X-B", b"");
        assert_eq!(fields(&head), "Host=a X-A=new Range=r");
    }

    #[test]
    fn known_fields_are_known_while_they_are_there() {
        let mut head = head();
        assert_eq!(head.get(Known::Range), Some(&b"r"[..]));
        head.set_field(b"RANGE", b"s");
        assert_eq!(head.get(Known::Range), Some(&b"s"[..]));
        head.set_field(b"Range", b"");
        head.set_field(b"User-Agent", b"mine");
        assert_eq!(head.get(Known::Range), None);
        assert_eq!(head.get(Known::UserAgent), Some(&b"mine"[..]));
    }

    #[test]
    fn what_was_sent_stays_known() {
        let mut head = head();
        head.set_field(b"Host", b"another");
        assert_eq!((head.sent(), head.sent_len()), (SENT, SENT.len()));
        head.clear();
        assert!(head.sent().is_empty());
        head.set_unparsed(b"nonsense");
        assert!(head.sent().is_empty());
    }
}
