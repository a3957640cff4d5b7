//! `ngx.encode_base64` and its reverse.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::one;
use crate::ffi::{Call, Kind, Raise, Reply, Value};

/// Bits that are left over mean nothing, and nobody looks at the padding, as in nginx.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::RequireNone);

const PADDED: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BARE: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT.with_encode_padding(false));
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT.with_encode_padding(false));

/// `ngx.encode_base64(str, no_padding?)`
pub(super) fn encode(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let engine = match call.kind(2) {
        _ if !call.boolean(2) => PADDED,
        Kind::Boolean => BARE,
        _ => {
            let kind = call.type_name(2);
            return Err(format!("bad no_padding: boolean expected, got {kind}").into());
        }
    };
    Ok(one(engine.encode(call.subject(1))))
}

/// `ngx.decode_base64(str)`: nil for what is none.
pub(super) fn decode(call: &mut Call<'_>) -> Result<Reply, Raise> {
    Ok(answer(decode_with(&PADDED, &wanted(call)?)))
}

/// `ngx.decode_base64mime(str)`: passes over bytes that do not belong to it.
pub(super) fn decode_mime(call: &mut Call<'_>) -> Result<Reply, Raise> {
    let text = wanted(call)?;
    let kept: Vec<u8> = up_to_padding(&text)
        .iter()
        .copied()
        .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        .collect();
    Ok(answer(decode_with(&PADDED, &kept)))
}

/// In the alphabet for URLs, without padding.
pub(in crate::api) fn encode_url(bytes: &[u8]) -> String {
    URL.encode(bytes)
}

/// Undoes [`encode_url`].
pub(in crate::api) fn decode_url(text: &[u8]) -> Option<Vec<u8>> {
    decode_with(&URL, text)
}

fn decode_with(engine: &GeneralPurpose, text: &[u8]) -> Option<Vec<u8>> {
    engine.decode(up_to_padding(text)).ok()
}

fn up_to_padding(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'=').next().unwrap_or_default()
}

fn wanted<'a>(call: &'a Call<'_>) -> Result<std::borrow::Cow<'a, [u8]>, Raise> {
    if call.kind(1) != Kind::String {
        return Err("string argument only".into());
    }
    call.want_text(1)
}

fn answer(decoded: Option<Vec<u8>>) -> Reply {
    one(decoded.map_or(Value::Nil, Value::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back(bytes: Vec<u8>) {
            for engine in [PADDED, BARE] {
                let text = engine.encode(&bytes);
                proptest::prop_assert_eq!(decode_with(&PADDED, text.as_bytes()), Some(bytes.clone()));
            }
            proptest::prop_assert_eq!(decode_url(encode_url(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn anything_may_be_asked(text: Vec<u8>) {
            let _ = decode_with(&PADDED, &text);
            let _ = decode_url(&text);
        }
    }
}
