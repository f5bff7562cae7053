//! Attribute values and numbers as text, as the specification has them for protocols other than
//! OTLP: JSON for lists, base64 for bytes, the shortest decimal that reads back as the same number.

use crate::wire::AnyValue;
use std::borrow::Cow;

/// A value as a label's value: strings as they are, the rest as JSON would have it.
pub fn value(value: AnyValue<'_>) -> Cow<'_, str> {
    match value {
        AnyValue::String(text) => Cow::Borrowed(text),
        AnyValue::Empty => Cow::Borrowed(""),
        AnyValue::Bytes(raw) => Cow::Owned(base64(raw)),
        _ => {
            let mut out = String::new();
            put_json(&mut out, value);
            Cow::Owned(out)
        }
    }
}

/// The number in `le` and `quantile`: `0.005`, `10`, `+Inf`; never with an exponent.
pub fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    number.to_string()
}

fn put_json(out: &mut String, value: AnyValue<'_>) {
    match value {
        AnyValue::Empty => out.push_str("null"),
        AnyValue::String(text) => put_string(out, text),
        AnyValue::Bool(b) => out.push_str(if b { "true" } else { "false" }),
        AnyValue::Int(n) => out.push_str(&n.to_string()),
        AnyValue::Double(n) => out.push_str(&double(n)),
        AnyValue::Bytes(raw) => put_string(out, &base64(raw)),
        AnyValue::Array(_) => {
            out.push('[');
            for (number, item) in value.items().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                put_json(out, item);
            }
            out.push(']');
        }
        AnyValue::KvList(_) => {
            let mut entries: Vec<_> = value.entries().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (number, (key, item)) in entries.into_iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                put_string(out, key);
                out.push(':');
                put_json(out, item);
            }
            out.push('}');
        }
    }
}

/// As JSON writers have it: an exponent below 1e-6 and from 1e21.
fn double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => {
                format!("{digits}e+{exponent}")
            }
            _ => text,
        };
    }
    number.to_string()
}

fn put_string(out: &mut String, text: &str) {
    // Writing a string as JSON cannot fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn base64(raw: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(raw.len().div_ceil(3) * 4);
    for chunk in raw.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            let shown = place <= chunk.len();
            let digit = DIGITS.get(digit as usize).filter(|_| shown);
            out.push(digit.map_or('=', |d| char::from(*d)));
        }
    }
    out
}
