//! The response as handlers and filters see it, before it is written.

use std::cell::{Cell, Ref, RefCell};

use bytes::Bytes;

use super::parse::escape_controls;

/// A response header line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// The name, written as given.
    pub name: Bytes,
    /// The value.
    pub value: Bytes,
}

/// The status, header and framing of a response, in small cells: no borrow outlives a call.
///
/// What nginx keeps apart from the list of header lines (length, type, validators) is kept apart
/// here too, because filters decide by it.
#[derive(Default)]
pub struct Response {
    status: Cell<u16>,
    reason: RefCell<Option<Bytes>>,
    fields: RefCell<Vec<Field>>,
    content_length: Cell<Option<u64>>,
    content_type: RefCell<Option<Bytes>>,
    charset: RefCell<Option<Bytes>>,
    location: RefCell<Option<Bytes>>,
    etag: RefCell<Option<Bytes>>,
    last_modified: Cell<Option<i64>>,
    marks: Cell<u8>,
}

/// Facts about a response, a bit for each. Most responses have few of them, which is one question.
mod mark {
    /// Somebody has set lines that the server writes itself otherwise.
    pub(super) const DATE: u8 = 1;
    pub(super) const SERVER: u8 = 1 << 1;
    pub(super) const LAST_MODIFIED: u8 = 1 << 2;
    /// The range filter may answer with a part.
    pub(super) const RANGES: u8 = 1 << 3;
    pub(super) const NO_BODY: u8 = 1 << 4;
    pub(super) const CHUNKED: u8 = 1 << 5;
    /// One of reason, charset, location and entity tag was set.
    pub(super) const SPECIAL: u8 = 1 << 6;

    /// Which of its own lines the server leaves to those who set one of this name; 0 for others.
    pub(super) fn of_line(name: &[u8]) -> u8 {
        // The lengths tell nearly all other names apart.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => DATE,
            6 if name.eq_ignore_ascii_case(b"server") => SERVER,
            13 if name.eq_ignore_ascii_case(b"last-modified") => LAST_MODIFIED,
            _ => 0,
        }
    }
}

impl Response {
    /// Forgets everything, but not the memory for header lines.
    pub(crate) fn reset(&mut self) {
        let Self {
            status,
            reason,
            fields,
            content_length,
            content_type,
            charset,
            location,
            etag,
            last_modified,
            marks,
        } = self;
        if !fields.get_mut().is_empty() {
            fields.get_mut().clear();
        }
        *content_type.get_mut() = None;
        if marks.replace(0) & mark::SPECIAL != 0 {
            for text in [reason, charset, location, etag] {
                *text.get_mut() = None;
            }
        }
        status.set(0);
        content_length.set(None);
        last_modified.set(None);
    }

    #[inline]
    fn has(&self, marks: u8) -> bool {
        self.marks.get() & marks != 0
    }

    #[inline]
    fn mark(&self, marks: u8, set: bool) {
        let others = self.marks.get() & !marks;
        self.marks.set(if set { others | marks } else { others });
    }

    /// Forgets header lines, length, type and validators, but not the status: what an error
    /// response starts with.
    pub fn clear_header(&self) {
        self.reason.take();
        self.fields.borrow_mut().clear();
        self.content_length.set(None);
        self.content_type.take();
        self.charset.take();
        self.location.take();
        self.etag.take();
        self.last_modified.set(None);
        let stay = mark::NO_BODY | mark::SPECIAL;
        self.marks.set(self.marks.get() & stay);
    }

    /// The status, 0 as long as nobody has set one.
    pub fn status(&self) -> u16 {
        self.status.get()
    }

    /// Sets the status.
    pub fn set_status(&self, status: u16) {
        self.status.set(status);
    }

    /// The reason phrase given by a backend, if it is not the usual one.
    pub fn reason(&self) -> Option<Bytes> {
        self.reason.borrow().clone()
    }

    /// Looks at the [`reason`](Self::reason) where it is.
    pub(crate) fn with_reason<R>(&self, f: impl FnOnce(Option<&[u8]>) -> R) -> R {
        f(self.reason.borrow().as_deref())
    }

    /// Sets the whole text after the HTTP version, such as `404 Gone Fishing`.
    pub fn set_reason(&self, reason: Option<Bytes>) {
        self.set_special(&self.reason, reason);
    }

    /// Whether it has no reason, charset, location or entity tag, and no `Server` and `Date` of its
    /// own, so that there is nothing unusual in its first lines.
    #[inline]
    pub(crate) fn has_usual_start(&self) -> bool {
        !self.has(mark::SPECIAL | mark::SERVER | mark::DATE)
    }

    /// Whether something of status line, `Server`, `Date` and `Content-Type` is not what the server
    /// makes of status and media type.
    pub(crate) fn has_own_start(&self) -> bool {
        self.has(mark::SERVER | mark::DATE)
            || self.has(mark::SPECIAL)
                && (self.reason.borrow().is_some() || self.charset.borrow().is_some())
    }

    fn set_special(&self, text: &RefCell<Option<Bytes>>, value: Option<Bytes>) {
        if value.is_some() {
            self.mark(mark::SPECIAL, true);
        }
        if self.has(mark::SPECIAL) {
            text.replace(value);
        }
    }

    /// The header lines, without those kept apart.
    pub fn fields(&self) -> Ref<'_, [Field]> {
        Ref::map(self.fields.borrow(), Vec::as_slice)
    }

    /// The first line of this name, compared without regard to case.
    pub fn field(&self, name: &[u8]) -> Option<Bytes> {
        let fields = self.fields.borrow();
        fields
            .iter()
            .find(|f| f.name.eq_ignore_ascii_case(name))
            .map(|f| f.value.clone())
    }

    /// Appends a header line.
    pub fn push_field(&self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        let field = Field {
            name: name.into(),
            value: value.into(),
        };
        self.mark(mark::of_line(&field.name), true);
        self.fields.borrow_mut().push(field);
    }

    /// Makes this the only line of its name: the first that there is gets the value, the others go.
    pub fn set_field(&self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        let (name, value) = (name.into(), value.into());
        let mut value = Some(value);
        self.fields.borrow_mut().retain_mut(|field| {
            if !field.name.eq_ignore_ascii_case(&name) {
                return true;
            }
            value.take().map(|value| field.value = value).is_some()
        });
        if let Some(value) = value {
            self.push_field(name, value);
        }
    }

    /// Removes all lines of this name, and keeps the server from writing one of its own, as it does
    /// for `Server` and `Date`.
    pub fn suppress_field(&self, name: &[u8]) {
        self.remove_field(name);
        self.mark(mark::of_line(name), true);
    }

    /// Removes all lines of this name and says whether there were any.
    pub fn remove_field(&self, name: &[u8]) -> bool {
        self.mark(mark::of_line(name), false);
        let mut fields = self.fields.borrow_mut();
        let before = fields.len();
        fields.retain(|field| !field.name.eq_ignore_ascii_case(name));
        fields.len() != before
    }

    /// Whether somebody has set a `Date` line.
    pub(crate) fn has_date(&self) -> bool {
        self.has(mark::DATE)
    }

    /// Whether somebody has set a `Last-Modified` line, which says it as
    /// [`last_modified`](Self::last_modified) need not.
    pub(crate) fn has_last_modified(&self) -> bool {
        self.has(mark::LAST_MODIFIED)
    }

    /// Whether somebody has set a `Server` line.
    pub(crate) fn has_server(&self) -> bool {
        self.has(mark::SERVER)
    }

    /// The length of the body in bytes, when known.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length.get()
    }

    /// Sets or, with `None`, forgets the length of the body.
    pub fn set_content_length(&self, length: Option<u64>) {
        self.content_length.set(length);
    }

    /// The media type, without a charset added by configuration.
    pub fn content_type(&self) -> Option<Bytes> {
        self.content_type.borrow().clone()
    }

    /// Looks at the media type where it is.
    #[inline(always)]
    pub(crate) fn with_content_type<R>(&self, f: impl FnOnce(Option<&[u8]>) -> R) -> R {
        f(self.content_type.borrow().as_deref())
    }

    /// The media type where it is.
    #[inline]
    pub(crate) fn media(&self) -> Ref<'_, Option<Bytes>> {
        self.content_type.borrow()
    }

    /// Looks at the target of a redirect where it is, if there is one.
    pub(crate) fn with_location(&self, f: impl FnOnce(&[u8])) {
        if let Some(location) = &*self.location.borrow() {
            f(location);
        }
    }

    /// Looks at the entity tag where it is, if there is one.
    pub(crate) fn with_etag(&self, f: impl FnOnce(&[u8])) {
        if let Some(etag) = &*self.etag.borrow() {
            f(etag);
        }
    }

    /// Sets or forgets the media type.
    pub fn set_content_type(&self, value: Option<Bytes>) {
        self.content_type.replace(value);
    }

    /// The charset that is appended to the media type.
    pub fn charset(&self) -> Option<Bytes> {
        self.charset.borrow().clone()
    }

    /// Sets or forgets the charset.
    pub fn set_charset(&self, value: Option<Bytes>) {
        self.set_special(&self.charset, value);
    }

    /// The target of a redirect; made absolute when written, as `absolute_redirect` says.
    pub fn location(&self) -> Option<Bytes> {
        self.location.borrow().clone()
    }

    /// Sets or forgets the target of a redirect. Control characters in it are escaped: variables
    /// may hold what a client has sent, and a line break would end the header line.
    pub fn set_location(&self, value: Option<Bytes>) {
        self.set_special(&self.location, value.map(escape_controls));
    }

    /// The entity tag, quotes included.
    pub fn etag(&self) -> Option<Bytes> {
        self.etag.borrow().clone()
    }

    /// Sets or forgets the entity tag.
    pub fn set_etag(&self, value: Option<Bytes>) {
        self.set_special(&self.etag, value);
    }

    /// When the content last changed, in seconds since 1970.
    pub fn last_modified(&self) -> Option<i64> {
        self.last_modified.get()
    }

    /// Sets or forgets when the content last changed, in seconds since 1970.
    pub fn set_last_modified(&self, seconds: Option<i64>) {
        self.last_modified.set(seconds);
    }

    /// Whether the range filter may answer with a part.
    pub fn ranges_allowed(&self) -> bool {
        self.has(mark::RANGES)
    }

    /// Lets the range filter answer with a part: the whole body comes in one piece or in order.
    pub fn allow_ranges(&self, allowed: bool) {
        self.mark(mark::RANGES, allowed);
    }

    /// Whether only the header is sent: HEAD, 204 and 304.
    pub fn is_header_only(&self) -> bool {
        self.has(mark::NO_BODY)
    }

    /// Drops the body from here on.
    pub fn set_header_only(&self, header_only: bool) {
        self.mark(mark::NO_BODY, header_only);
    }

    /// Whether the body goes out in chunks (RFC 9112 §7.1).
    pub fn is_chunked(&self) -> bool {
        self.has(mark::CHUNKED)
    }

    /// Frames the body in chunks.
    pub(crate) fn set_chunked(&self, chunked: bool) {
        self.mark(mark::CHUNKED, chunked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_and_removed_without_regard_to_case() {
        let response = Response::default();
        response.push_field("X-One", "1");
        response.push_field("x-one", "2");
        response.push_field("Server", "mine");
        assert_eq!(response.field(b"X-ONE").as_deref(), Some(&b"1"[..]));
        assert!(response.has_server());
        assert!(response.remove_field(b"x-ONE"));
        assert!(!response.remove_field(b"x-one"));
        assert_eq!(response.fields().len(), 1);
        assert!(response.remove_field(b"server"));
        assert!(!response.has_server());
    }

    #[test]
    fn a_line_replaces_all_of_its_name() {
        let response = Response::default();
        response.push_field("X-One", "1");
        response.push_field("X-Two", "2");
        response.push_field("x-one", "3");
        response.set_field("x-ONE", "4");
        response.set_field("X-Three", "5");
        let lines: Vec<_> = response.fields().iter().map(|f| f.value.clone()).collect();
        assert_eq!(lines, ["4", "2", "5"]);
        response.set_field("Date", "now");
        response.suppress_field(b"server");
        assert!(response.has_date() && response.has_server());
        assert_eq!(response.field(b"Server"), None);
    }

    #[test]
    fn an_error_keeps_the_status_and_forgets_the_rest() {
        let response = Response::default();
        response.set_status(404);
        response.set_content_length(Some(3));
        response.push_field("ETag", "\"x\"");
        response.clear_header();
        assert_eq!(response.status(), 404);
        assert_eq!(response.content_length(), None);
        assert!(response.fields().is_empty());
    }

    #[test]
    fn what_is_rare_is_forgotten_too() {
        let mut response = Response::default();
        assert!(response.has_usual_start());
        let sets: [fn(&Response, Option<Bytes>); 4] = [
            Response::set_reason,
            Response::set_charset,
            Response::set_location,
            Response::set_etag,
        ];
        for set in sets {
            set(&response, None);
            assert!(response.has_usual_start());
            set(&response, Some("a".into()));
            assert!(!response.has_usual_start());
            set(&response, None);
            set(&response, Some("b".into()));
            response.reset();
            assert!(response.has_usual_start());
            assert_eq!((response.reason(), response.charset()), (None, None));
            assert_eq!((response.location(), response.etag()), (None, None));
        }
    }

    #[test]
    fn the_target_of_a_redirect_holds_no_control_characters() {
        let response = Response::default();
        for (target, want) in [
            (&b"/a\r\nSet-Cookie: b"[..], "/a%0D%0ASet-Cookie: b"),
            (b"/a%0A", "/a%0A"),
        ] {
            response.set_location(Some(Bytes::from_static(target)));
            assert_eq!(response.location().unwrap(), want);
        }
    }
}
