//! Listings of folders as HTML, JSON and XML.

use std::io::Write as _;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::{Entry, Kind};
use crate::http::parse::{Escape, escape_uri};
use crate::time;

/// How a listing in HTML looks.
pub(super) struct Listing<'a> {
    /// The folder's path, for the title.
    pub(super) path: &'a [u8],
    /// Names are counted in characters, not in bytes.
    pub(super) utf8: bool,
    /// Seconds that are added to times.
    pub(super) offset: i64,
    pub(super) sizes: Sizes,
}

/// `autoindex_exact_size`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sizes {
    /// In bytes.
    Exact,
    /// With a unit.
    Rounded,
}

/// The width of the column of names.
const NAME_LEN: usize = 50;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// How far local time is ahead of UTC now, in seconds.
pub(super) fn local_offset() -> i64 {
    i64::from(TimeZone::system().to_offset(Timestamp::now()).seconds())
}

/// A page with links.
pub(super) fn html(entries: &[Entry], listing: &Listing<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + entries.len() * 160);
    out.extend_from_slice(b"<html>\r\n<head><title>Index of ");
    escape_html(listing.path, &mut out);
    out.extend_from_slice(b"</title></head>\r\n<body>\r\n<h1>Index of ");
    escape_html(listing.path, &mut out);
    out.extend_from_slice(b"</h1><hr><pre><a href=\"../\">../</a>\r\n");
    for entry in entries {
        html_line(entry, listing, &mut out);
    }
    out.extend_from_slice(b"</pre><hr></body>\r\n</html>\r\n");
    out
}

fn html_line(entry: &Entry, listing: &Listing<'_>, out: &mut Vec<u8>) {
    let folder = entry.kind == Kind::Folder;
    out.extend_from_slice(b"<a href=\"");
    escape_uri(&entry.name, Escape::UriComponent, out);
    out.extend_from_slice(if folder { b"/\">" } else { b"\">" });
    let (shown, mut columns) = shortened(&entry.name, listing.utf8);
    escape_html(shown, out);
    if shown.len() < entry.name.len() {
        out.extend_from_slice(b"..&gt;</a>");
        columns = NAME_LEN;
    } else {
        if folder && columns < NAME_LEN {
            out.push(b'/');
            columns += 1;
        }
        out.extend_from_slice(b"</a>");
    }
    let padded = out.len() + NAME_LEN.saturating_sub(columns) + 1;
    out.resize(padded, b' ');
    let date = date(entry.modified.saturating_add(listing.offset));
    let month = MONTHS[usize::from(date.month().unsigned_abs()).wrapping_sub(1) % 12];
    let (day, year, hour, minute) = (date.day(), date.year(), date.hour(), date.minute());
    let _ = write!(out, "{day:02}-{month}-{year} {hour:02}:{minute:02} ");
    let _ = match (listing.sizes, folder) {
        (Sizes::Exact, true) => write!(out, "{:>19}", '-'),
        (Sizes::Exact, false) => write!(out, "{:>19}", entry.size),
        (Sizes::Rounded, true) => write!(out, "{:>7}", '-'),
        (Sizes::Rounded, false) => write!(out, "{:>7}", rounded(entry.size)),
    };
    out.extend_from_slice(b"\r\n");
}

/// What is shown of a name, and how many columns that takes.
fn shortened(name: &[u8], utf8: bool) -> (&[u8], usize) {
    const CUT: usize = NAME_LEN - 3;
    let text = if utf8 {
        std::str::from_utf8(name).ok()
    } else {
        None
    };
    let (columns, cut) = match text {
        Some(text) => {
            let cut = text
                .char_indices()
                .nth(CUT)
                .map_or(name.len(), |(at, _)| at);
            (text.chars().count(), cut)
        }
        None => (name.len(), CUT.min(name.len())),
    };
    if columns <= NAME_LEN {
        return (name, columns);
    }
    (name.get(..cut).unwrap_or(name), CUT)
}

/// At most six digits and a unit, or a space in its place.
fn rounded(size: u64) -> String {
    const K: u64 = 1024;
    const M: u64 = 1024 * K;
    const G: u64 = 1024 * M;
    let in_units = |unit: u64| size / unit + u64::from(size % unit >= unit / 2);
    match size {
        G.. => format!("{}G", in_units(G)),
        M.. => format!("{}M", in_units(M)),
        10_000.. => format!("{}K", in_units(K)),
        _ => size.to_string(),
    }
}

/// A list of objects; given to the function `callback` unless that is empty.
pub(super) fn json(entries: &[Entry], callback: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + entries.len() * 128);
    if !callback.is_empty() {
        out.extend_from_slice(b"/* callback */\r\n");
        out.extend_from_slice(callback);
        out.push(b'(');
    }
    out.push(b'[');
    for (i, entry) in entries.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",\r\n" } else { b"\r\n" });
        out.extend_from_slice(b"{ \"name\":\"");
        escape_json(&entry.name, &mut out);
        let kind = kind_name(entry.kind);
        let date = time::http_date_of(entry.modified);
        let _ = write!(out, "\", \"type\":\"{kind}\", \"mtime\":\"{date}\"");
        if entry.kind == Kind::File {
            let _ = write!(out, ", \"size\":{}", entry.size);
        }
        out.extend_from_slice(b" }");
    }
    out.extend_from_slice(b"\r\n]");
    if !callback.is_empty() {
        out.extend_from_slice(b");");
    }
    out
}

/// A list of elements.
pub(super) fn xml(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + entries.len() * 128);
    out.extend_from_slice(b"<?xml version=\"1.0\"?>\r\n<list>\r\n");
    for entry in entries {
        let kind = kind_name(entry.kind);
        let date = date(entry.modified);
        let _ = write!(
            out,
            "<{kind} mtime=\"{:>4}-{:02}-{:02}T{:02}:{:02}:{:02}Z\"",
            date.year(),
            date.month(),
            date.day(),
            date.hour(),
            date.minute(),
            date.second()
        );
        if entry.kind == Kind::File {
            let _ = write!(out, " size=\"{}\"", entry.size);
        }
        out.push(b'>');
        escape_html(&entry.name, &mut out);
        let _ = write!(out, "</{kind}>\r\n");
    }
    out.extend_from_slice(b"</list>\r\n");
    out
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Folder => "directory",
        Kind::File => "file",
        Kind::Other => "other",
    }
}

fn date(seconds: i64) -> DateTime {
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    Offset::UTC.to_datetime(time)
}

fn escape_html(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            _ => out.push(byte),
        }
    }
}

fn escape_json(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..0x20 => _ = write!(out, "\\u{byte:04X}"),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests;
