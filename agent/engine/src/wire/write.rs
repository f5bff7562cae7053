//! Writing protobuf into a `Vec<u8>`: one function a field kind, nested messages by `begin`/`end`.
//!
//! ```
//! use phoenix_engine::wire::write;
//! let mut out = Vec::new();
//! let outer = write::begin(&mut out, 1);
//! write::put_str(&mut out, 1, "name");
//! write::put_fixed64(&mut out, 2, 7);
//! write::end(&mut out, outer);
//! assert_eq!(out.len(), 2 + 6 + 9);
//! ```
//! Default values (0, empty) are written too when a function is called with them; proto3 writers
//! leave them out, so callers test first where that matters.

/// Bytes that `value` takes as a varint.
#[inline]
pub fn varint_len(value: u64) -> usize {
    // 1 + floor(log2(value) / 7), without a division by 7 that rounds wrongly at 0.
    ((70 - (value | 1).leading_zeros()) / 7) as usize
}

/// Bytes of a whole length-delimited field; for field numbers below 16, whose tag is one byte.
#[inline]
pub fn field_len(body: usize) -> usize {
    1 + varint_len(body as u64) + body
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a tag: field number and wire type (0 varint, 1 fixed64, 2 length-delimited).
#[inline]
pub fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    put_varint(out, (u64::from(number) << 3) | u64::from(wire_type));
}

/// A varint field: uint32, uint64, int64 (as u64), bool, enum.
pub fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, 0);
    put_varint(out, value);
}

/// A sint32 or sint64 field (zigzag).
pub fn put_sint(out: &mut Vec<u8>, number: u32, value: i64) {
    put_uint(out, number, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// A fixed64 field; also sfixed64 with the bits of the i64.
pub fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A double field.
pub fn put_double(out: &mut Vec<u8>, number: u32, value: f64) {
    put_fixed64(out, number, value.to_bits());
}

/// A length-delimited field: bytes, or a message that is already encoded.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A string field.
pub fn put_str(out: &mut Vec<u8>, number: u32, value: &str) {
    put_bytes(out, number, value.as_bytes());
}

/// A packed repeated fixed64 field; nothing where there are no values.
pub fn put_packed_fixed64(
    out: &mut Vec<u8>,
    number: u32,
    values: impl ExactSizeIterator<Item = u64>,
) {
    if values.len() > 0 {
        put_tag(out, number, 2);
        put_varint(out, values.len() as u64 * 8);
        for value in values {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// A packed repeated varint field; nothing where there are no values.
pub fn put_packed_varint(out: &mut Vec<u8>, number: u32, values: &[u64]) {
    if !values.is_empty() {
        put_tag(out, number, 2);
        put_varint(out, values.iter().map(|v| varint_len(*v) as u64).sum());
        for value in values {
            put_varint(out, *value);
        }
    }
}

/// Where a nested message began.
#[derive(Debug)]
#[must_use]
pub struct Open(usize);

/// Begins a nested message in field `number`; its fields follow, then [`end`].
pub fn begin(out: &mut Vec<u8>, number: u32) -> Open {
    put_tag(out, number, 2);
    out.push(0);
    Open(out.len())
}

/// Ends a nested message: its length goes before its body (which moves when that needs more than
/// the one byte kept free).
pub fn end(out: &mut Vec<u8>, open: Open) {
    let length = out.len() - open.0;
    let extra = varint_len(length as u64) - 1;
    if extra > 0 {
        out.resize(out.len() + extra, 0);
        out.copy_within(open.0..open.0 + length, open.0 + extra);
    }
    let mut value = length as u64;
    for slot in out.iter_mut().skip(open.0 - 1).take(extra) {
        *slot = (value as u8) | 0x80;
        value >>= 7;
    }
    if let Some(slot) = out.get_mut(open.0 - 1 + extra) {
        *slot = value as u8;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::cursor::{Cursor, fields};
    use super::*;

    #[test]
    fn varints_have_the_length_that_is_told() {
        for shift in 0..64 {
            for value in [(1u64 << shift) - 1, 1 << shift, (1 << shift) + 1] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                assert_eq!(Cursor::new(&out).varint().unwrap(), value);
            }
        }
    }

    #[test]
    fn nested_messages_of_any_length_read_back() {
        for size in [0usize, 1, 127, 128, 129, 16_383, 16_384, 70_000] {
            let mut out = vec![9];
            let outer = begin(&mut out, 3);
            let inner = begin(&mut out, 1);
            out.resize(out.len() + size, 7);
            end(&mut out, inner);
            put_sint(&mut out, 2, -1);
            end(&mut out, outer);
            let outer = fields(&out[1..]).next().unwrap();
            assert_eq!(outer.end, out.len() - 1);
            let mut inside = fields(outer.value.bytes().unwrap());
            assert_eq!(inside.next().unwrap().value.bytes().unwrap().len(), size);
            assert_eq!(inside.next().unwrap().value.bits(), 1);
        }
    }
}
