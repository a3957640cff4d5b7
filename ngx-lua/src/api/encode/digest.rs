//! MD5, SHA-1, HMAC-SHA-1, CRC-32.

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;

use super::one;
use crate::ffi::{Call, Raise, Reply, Value};

/// `ngx.md5(str)`, in hexadecimal digits.
pub(super) fn md5(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let digest = Md5::digest(call.subject(1));
    Ok(one(format!("{digest:x}")))
}

/// `ngx.md5_bin(str)`
pub(super) fn md5_bin(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(one(Md5::digest(call.subject(1)).to_vec()))
}

/// `ngx.sha1_bin(str)`
pub(super) fn sha1_bin(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(one(Sha1::digest(call.subject(1)).to_vec()))
}

/// `ngx.hmac_sha1(secret_key, str)`
pub(super) fn hmac_sha1(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let n = call.count();
    if n != 2 {
        return Err(format!("expecting 2 arguments, but got {n}").into());
    }
    // Keys of any length are taken.
    let mut mac = Hmac::<Sha1>::new_from_slice(&call.want_text(1)?)
        .map_err(|error| Raise::from(error.to_string()))?;
    mac.update(&call.want_text(2)?);
    Ok(one(mac.finalize().into_bytes().to_vec()))
}

/// `ngx.crc32_short(str)`, `ngx.crc32_long(str)`: nginx has two that differ in speed alone.
pub(super) fn crc32(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let sum = crc32fast::hash(&call.subject(1));
    Ok(one(Value::Number(sum.into())))
}
