//! Text into text: URIs, arguments, base64, digests, SQL.

mod args;
mod base64;
mod digest;
mod sql;
mod uri;

use std::rc::Rc;

#[expect(unused_imports, reason = "for arguments and fields of requests")]
pub(crate) use self::args::{Arg, Args, args_table, decode_args, encode_args_table, uri_args};

pub(super) use self::base64::{decode_url, encode_url};
use crate::ffi::{Function, Reply, Value, function, values};
use crate::sched::Engine;

pub(super) fn install(engine: &Rc<Engine>, ngx: &mlua::Table) -> mlua::Result<()> {
    let functions: [(&str, Function); 14] = [
        ("escape_uri", function(uri::escape_uri)),
        ("unescape_uri", function(uri::unescape_uri)),
        ("encode_args", function(args::encode)),
        ("decode_args", function(args::decode)),
        ("encode_base64", function(base64::encode)),
        ("decode_base64", function(base64::decode)),
        ("decode_base64mime", function(base64::decode_mime)),
        ("md5", function(digest::md5)),
        ("md5_bin", function(digest::md5_bin)),
        ("sha1_bin", function(digest::sha1_bin)),
        ("hmac_sha1", function(digest::hmac_sha1)),
        ("crc32_short", function(digest::crc32)),
        ("crc32_long", function(digest::crc32)),
        ("quote_sql_str", function(sql::quote)),
    ];
    for (name, function) in functions {
        ngx.set(name, engine.raw().create_function(function)?)?;
    }
    Ok(())
}

/// One result.
fn one(value: impl Into<Value>) -> Reply {
    Reply::of(values([value.into()]))
}
