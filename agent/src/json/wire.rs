//! Writes protobuf fields straight into a byte buffer; used by the JSON decoder and the host
//! receiver, which build OTLP without an object tree.

/// A 64-bit little-endian field.
pub(crate) const FIXED64: u32 = 1;
/// A field with a length before it.
pub(crate) const LENGTH: u32 = 2;

/// Writes a base-128 number.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a field's key.
pub(crate) fn key(out: &mut Vec<u8>, tag: u32, kind: u32) {
    varint(out, u64::from(tag << 3 | kind));
}

/// Writes a number field (bool, enum, int32, uint64).
pub(crate) fn number(out: &mut Vec<u8>, tag: u32, value: u64) {
    key(out, tag, 0);
    varint(out, value);
}

/// Writes a fixed64, sfixed64 or double field from its bits.
pub(crate) fn fixed64(out: &mut Vec<u8>, tag: u32, bits: u64) {
    key(out, tag, FIXED64);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Writes a string or bytes field.
pub(crate) fn bytes(out: &mut Vec<u8>, tag: u32, value: &[u8]) {
    key(out, tag, LENGTH);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// The zigzag form of a signed number (sint32).
pub(crate) fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)) as u32)
}

/// Begins a field with a length; give the result to `close` when its content is written.
pub(crate) fn open(out: &mut Vec<u8>, tag: u32) -> usize {
    key(out, tag, LENGTH);
    // One byte is enough for most messages; `close` moves the content when it is not.
    out.push(0);
    out.len()
}

/// Ends a field begun with `open`.
pub(crate) fn close(out: &mut Vec<u8>, body: usize) {
    let length = out.len() - body;
    let mut prefix = [0u8; 10];
    let mut rest = length as u64;
    let mut used = 0;
    while rest >= 0x80 {
        prefix[used] = (rest as u8) | 0x80;
        rest >>= 7;
        used += 1;
    }
    prefix[used] = rest as u8;
    if used > 0 {
        let end = out.len();
        out.resize(end + used, 0);
        out.copy_within(body..end, body + used);
    }
    out[body - 1..body + used].copy_from_slice(&prefix[..=used]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_width_are_written_as_prost_writes_them() {
        for length in [0usize, 1, 127, 128, 300, 16_383, 16_384, 3_000_000] {
            let content = vec![7u8; length];
            let mut ours = vec![9];
            let body = open(&mut ours, 3);
            ours.extend_from_slice(&content);
            close(&mut ours, body);
            let mut theirs = vec![9];
            prost::encoding::bytes::encode(3, &content, &mut theirs);
            assert!(ours == theirs, "length {length}");
        }
    }

    #[test]
    fn zigzag_is_that_of_sint32() {
        for value in [0, -1, 1, i32::MIN, i32::MAX, 15_294_795] {
            let mut ours = Vec::new();
            number(&mut ours, 6, zigzag(value));
            let mut theirs = Vec::new();
            prost::encoding::sint32::encode(6, &value, &mut theirs);
            assert_eq!(ours, theirs);
        }
    }
}
