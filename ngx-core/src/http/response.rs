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
    own_lines: Cell<Own>,
    ranges_allowed: Cell<bool>,
    no_body: Cell<bool>,
    chunked: Cell<bool>,
    /// One of reason, charset, location and entity tag was set: most responses have none of them.
    special: Cell<bool>,
}

/// Lines the server writes itself unless somebody has set them.
#[derive(Clone, Copy, Default)]
struct Own {
    date: bool,
    server: bool,
    last_modified: bool,
}

impl Own {
    /// Somebody has set lines of this name, or `false`, no longer does.
    fn mark(&mut self, name: &[u8], set: bool) {
        // The lengths tell nearly all other names apart.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => self.date = set,
            6 if name.eq_ignore_ascii_case(b"server") => self.server = set,
            13 if name.eq_ignore_ascii_case(b"last-modified") => self.last_modified = set,
            _ => {}
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
            own_lines,
            ranges_allowed,
            no_body,
            chunked,
            special,
        } = self;
        fields.get_mut().clear();
        *content_type.get_mut() = None;
        if special.replace(false) {
            for text in [reason, charset, location, etag] {
                *text.get_mut() = None;
            }
        }
        status.set(0);
        content_length.set(None);
        last_modified.set(None);
        own_lines.set(Own::default());
        for mark in [ranges_allowed, no_body, chunked] {
            mark.set(false);
        }
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
        self.own_lines.set(Own::default());
        self.ranges_allowed.set(false);
        self.chunked.set(false);
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

    /// Whether it has no reason, charset, location or entity tag.
    pub(crate) fn is_usual(&self) -> bool {
        !self.special.get()
    }

    /// Whether something of status line, `Server`, `Date` and `Content-Type` is not what the server
    /// makes of status and media type.
    pub(crate) fn has_own_start(&self) -> bool {
        let own = self.own_lines.get();
        own.server
            || own.date
            || self.special.get()
                && (self.reason.borrow().is_some() || self.charset.borrow().is_some())
    }

    fn set_special(&self, text: &RefCell<Option<Bytes>>, value: Option<Bytes>) {
        if value.is_some() {
            self.special.set(true);
        }
        if self.special.get() {
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
        self.mark_own(&field.name, true);
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
        self.mark_own(name, true);
    }

    fn mark_own(&self, name: &[u8], set: bool) {
        let mut own = self.own_lines.get();
        own.mark(name, set);
        self.own_lines.set(own);
    }

    /// Removes all lines of this name and says whether there were any.
    pub fn remove_field(&self, name: &[u8]) -> bool {
        self.mark_own(name, false);
        let mut fields = self.fields.borrow_mut();
        let before = fields.len();
        fields.retain(|field| !field.name.eq_ignore_ascii_case(name));
        fields.len() != before
    }

    /// Whether somebody has set a `Date` line.
    pub(crate) fn has_date(&self) -> bool {
        self.own_lines.get().date
    }

    /// Whether somebody has set a `Last-Modified` line, which says it as
    /// [`last_modified`](Self::last_modified) need not.
    pub(crate) fn has_last_modified(&self) -> bool {
        self.own_lines.get().last_modified
    }

    /// Whether somebody has set a `Server` line.
    pub(crate) fn has_server(&self) -> bool {
        self.own_lines.get().server
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
    pub(crate) fn with_content_type<R>(&self, f: impl FnOnce(Option<&[u8]>) -> R) -> R {
        f(self.content_type.borrow().as_deref())
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
        self.ranges_allowed.get()
    }

    /// Lets the range filter answer with a part: the whole body comes in one piece or in order.
    pub fn allow_ranges(&self, allowed: bool) {
        self.ranges_allowed.set(allowed);
    }

    /// Whether only the header is sent: HEAD, 204 and 304.
    pub fn is_header_only(&self) -> bool {
        self.no_body.get()
    }

    /// Drops the body from here on.
    pub fn set_header_only(&self, header_only: bool) {
        self.no_body.set(header_only);
    }

    /// Whether the body goes out in chunks (RFC 9112 §7.1).
    pub fn is_chunked(&self) -> bool {
        self.chunked.get()
    }

    /// Frames the body in chunks.
    pub(crate) fn set_chunked(&self, chunked: bool) {
        self.chunked.set(chunked);
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
        assert!(response.is_usual());
        let sets: [fn(&Response, Option<Bytes>); 4] = [
            Response::set_reason,
            Response::set_charset,
            Response::set_location,
            Response::set_etag,
        ];
        for set in sets {
            set(&response, None);
            assert!(response.is_usual());
            set(&response, Some("a".into()));
            assert!(!response.is_usual());
            set(&response, None);
            set(&response, Some("b".into()));
            response.reset();
            assert!(response.is_usual());
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
