//! `ngx.quote_sql_str`.

use super::one;
use crate::ffi::{Call, Raise, Reply};

/// `ngx.quote_sql_str(raw_value)`, for MySQL.
pub(super) fn quote(call: &mut Call<'_>) -> Result<Reply, Raise> {
    if call.count() != 1 {
        return Err("expecting one argument".into());
    }
    let raw = call.want_text(1)?;
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'\'');
    for byte in raw.iter() {
        match escape_of(*byte) {
            Some(letter) => quoted.extend_from_slice(&[b'\\', letter]),
            None => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    Ok(one(quoted))
}

/// The letter behind the backslash.
fn escape_of(byte: u8) -> Option<u8> {
    Some(match byte {
        b'\0' => b'0',
        0x08 => b'b',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x1a => b'Z',
        b'\\' | b'\'' | b'"' => byte,
        _ => return None,
    })
}
