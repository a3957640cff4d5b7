//! `ngx.escape_uri` and the like.

use super::check;

#[test]
fn uris() {
    check(include_str!("cases/uris.txt"));
}

#[test]
fn arguments() {
    check(include_str!("cases/arguments.txt"));
}

#[test]
fn base64() {
    check(include_str!("cases/base64.txt"));
}

#[test]
fn digests() {
    check(include_str!("cases/digests.txt"));
}

#[test]
fn sql() {
    check(include_str!("cases/sql.txt"));
}

#[test]
fn dates() {
    check(include_str!("cases/dates.txt"));
}

#[test]
fn base64_for_mail() {
    // Not in 0.10.23.
    check(include_str!("cases/base64_for_mail.txt"));
}
