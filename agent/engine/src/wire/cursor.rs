//! The cursor: one field at a time, every read bounds-checked, offsets kept for error messages.

/// What is wrong with a message and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireError {
    /// Byte offset in the buffer that the cursor was made over.
    pub offset: usize,
    /// What was expected.
    pub what: &'static str,
}

/// The value of one field as it lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// int32, int64, uint32, uint64, sint32, sint64, bool, enum.
    Varint(u64),
    /// fixed64, sfixed64, double.
    Fixed64(u64),
    /// string, bytes, message, packed repeated.
    Bytes(&'a [u8]),
    /// A group (deprecated; never in OTLP): skipped as a whole.
    Group,
    /// fixed32, sfixed32, float.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// The bytes of a length-delimited field.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number in a varint or fixed field, as raw bits; 0 for the others.
    pub fn bits(self) -> u64 {
        match self {
            Value::Varint(n) | Value::Fixed64(n) => n,
            Value::Fixed32(n) => u64::from(n),
            Value::Bytes(_) | Value::Group => 0,
        }
    }

    /// The number in a double field.
    pub fn double(self) -> f64 {
        f64::from_bits(self.bits())
    }

    /// A string; empty when it is no UTF-8 (which validation has excluded).
    pub fn str(self) -> &'a str {
        self.bytes()
            .and_then(|b| std::str::from_utf8(b).ok())
            .unwrap_or("")
    }
}

/// One field: its number, its value, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// Field number, 1 or more.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
    /// Offset of the tag's first byte.
    pub start: usize,
    /// Offset of the first byte of a length-delimited value (else of the byte after the tag).
    pub body: usize,
    /// Offset of the first byte after the field.
    pub end: usize,
}

/// A reader of one message body inside a buffer. Offsets are those of the buffer.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

/// Groups may nest as deep as prost lets them.
const GROUP_DEPTH: u32 = 64;

impl<'a> Cursor<'a> {
    /// A cursor over a whole buffer.
    pub fn new(data: &'a [u8]) -> Cursor<'a> {
        Cursor { data, at: 0 }
    }

    /// A cursor over the message body `start..end` of a buffer; out of range reads as empty.
    pub fn within(data: &'a [u8], start: usize, end: usize) -> Cursor<'a> {
        let data = data.get(..end).unwrap_or_default();
        Cursor {
            data,
            at: start.min(data.len()),
        }
    }

    /// Offset of the next unread byte.
    #[inline]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Whether everything was read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at >= self.data.len()
    }

    /// The next field, or `None` at the end of the message.
    ///
    /// # Errors
    /// The bytes are no protobuf.
    #[inline(always)]
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        let start = self.at;
        let [tag, rest @ ..] = self.data.get(start..).unwrap_or_default() else {
            return Ok(None);
        };
        // Nearly every field has a tag of one byte and a length of one or two bytes, a number of one
        // byte, or eight bytes.
        if (0x08..0x80).contains(tag) {
            let number = u32::from(tag >> 3);
            let found = match (tag & 7, rest) {
                (2, [length, ..]) if *length < 0x80 => {
                    let (body, length) = (start + 2, usize::from(*length));
                    let bytes = self.data.get(body..body + length);
                    bytes.map(|bytes| (Value::Bytes(bytes), body, body + length))
                }
                (2, [low, high, ..]) if *high < 0x80 => {
                    let (body, length) = (
                        start + 3,
                        usize::from(*low & 0x7f) | usize::from(*high) << 7,
                    );
                    let bytes = self.data.get(body..body + length);
                    bytes.map(|bytes| (Value::Bytes(bytes), body, body + length))
                }
                (1, rest) => rest.first_chunk().map(|chunk| {
                    let value = Value::Fixed64(u64::from_le_bytes(*chunk));
                    (value, start + 1, start + 9)
                }),
                (0, [value, ..]) if *value < 0x80 => {
                    Some((Value::Varint(u64::from(*value)), start + 1, start + 2))
                }
                _ => None,
            };
            if let Some((value, body, end)) = found {
                self.at = end;
                return Ok(Some(Field {
                    number,
                    value,
                    start,
                    body,
                    end,
                }));
            }
        }
        // Taken apart and put together again: what a call returns lies in memory, and would keep the
        // usual field there too.
        let Some(Field {
            number,
            value,
            start,
            body,
            end,
        }) = self.any()?
        else {
            return Ok(None);
        };
        Ok(Some(Field {
            number,
            value,
            start,
            body,
            end,
        }))
    }

    /// The next field, whatever its shape.
    #[inline(never)]
    fn any(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.is_empty() {
            return Ok(None);
        }
        let start = self.at;
        let (number, kind) = self.tag()?;
        let mut body = self.at;
        let value = match kind {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                body = self.at;
                Value::Bytes(self.take(length)?)
            }
            3 => {
                self.skip_group(number, GROUP_DEPTH)?;
                Value::Group
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(self.error(start, "a wire type")),
        };
        Ok(Some(Field {
            number,
            value,
            start,
            body,
            end: self.at,
        }))
    }

    /// A tag's field number and wire type.
    #[inline]
    fn tag(&mut self) -> Result<(u32, u64), WireError> {
        let start = self.at;
        let tag = self.varint()?;
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 && tag <= u64::from(u32::MAX) => Ok((number, tag & 7)),
            _ => Err(self.error(start, "a field number")),
        }
    }

    /// A varint.
    ///
    /// # Errors
    /// The end of the message, or more than 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, WireError> {
        match self.data.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let start = self.at;
        let mut result = 0u64;
        for (index, byte) in self.data.iter().skip(start).take(10).enumerate() {
            result |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index == 9 && *byte > 1 {
                    return Err(self.error(start, "a varint of at most 64 bits"));
                }
                self.at = start + index + 1;
                return Ok(result);
            }
        }
        Err(self.error(start, "a varint"))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        match self.data.get(self.at..).and_then(|rest| rest.first_chunk()) {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(self.error(self.at, "more bytes")),
        }
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length))
            .and_then(|end| self.data.get(self.at..end));
        match taken {
            Some(bytes) => {
                self.at += bytes.len();
                Ok(bytes)
            }
            None => Err(self.error(self.at, "a length that fits the message")),
        }
    }

    fn skip_group(&mut self, number: u32, depth: u32) -> Result<(), WireError> {
        if depth == 0 {
            return Err(self.error(self.at, "groups less deeply nested"));
        }
        loop {
            let start = self.at;
            let (inner, kind) = self.tag()?;
            match kind {
                4 if inner == number => return Ok(()),
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => {
                    let length = self.varint()?;
                    self.take(length)?;
                }
                3 => self.skip_group(inner, depth - 1)?,
                5 => drop(self.array::<4>()?),
                _ => return Err(self.error(start, "the end of a group")),
            }
        }
    }

    #[cold]
    fn error(&self, offset: usize, what: &'static str) -> WireError {
        WireError { offset, what }
    }
}

/// Walks the fields of a message body that was validated; ends at the first fault.
pub fn fields(body: &[u8]) -> impl Iterator<Item = Field<'_>> + Clone {
    let mut cursor = Cursor::new(body);
    std::iter::from_fn(move || cursor.next().ok().flatten())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_wire_type_is_read_and_groups_are_skipped() {
        let body = [
            0x08, 0x96, 0x01, // 1: varint 150
            0x11, 1, 0, 0, 0, 0, 0, 0, 0, // 2: fixed64 1
            0x1a, 2, b'h', b'i', // 3: "hi"
            0x23, 0x08, 1, 0x2b, 0x2c, 0x24, // 4: group with a varint and an inner group
            0x35, 2, 0, 0, 0, // 6: fixed32 2
        ];
        let got: Vec<(u32, Value)> = fields(&body).map(|f| (f.number, f.value)).collect();
        assert_eq!(
            got,
            vec![
                (1, Value::Varint(150)),
                (2, Value::Fixed64(1)),
                (3, Value::Bytes(b"hi")),
                (4, Value::Group),
                (6, Value::Fixed32(2)),
            ]
        );
    }

    #[test]
    fn faults_name_their_offset() {
        let fault = |body: &[u8]| {
            let mut cursor = Cursor::new(body);
            loop {
                match cursor.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(e) => return Some((e.offset, e.what)),
                }
            }
        };
        assert_eq!(fault(&[]), None);
        assert_eq!(fault(&[0x08]), Some((1, "a varint")));
        assert_eq!(fault(&[0x00, 0]), Some((0, "a field number")));
        assert_eq!(
            fault(&[0x0a, 5, 1]),
            Some((2, "a length that fits the message"))
        );
        assert_eq!(fault(&[0x08, 1, 0x0c]), Some((2, "a wire type")));
        // Within a group likewise.
        assert_eq!(fault(&[0x23, 0, 0, 0x24]), Some((1, "a field number")));
        assert_eq!(fault(&[0x23, 0x0c]), Some((1, "the end of a group")));
        assert_eq!(fault(&[0x09, 1]), Some((1, "more bytes")));
        let huge = [
            0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
        ];
        assert_eq!(fault(&huge), Some((1, "a varint of at most 64 bits")));
    }

    #[test]
    fn a_cursor_within_a_buffer_keeps_the_offsets_of_the_buffer() {
        let body = [0xff, 0x08, 7, 0xff];
        let mut cursor = Cursor::within(&body, 1, 3);
        let field = cursor.next().unwrap().unwrap();
        assert_eq!((field.start, field.end), (1, 3));
        assert!(cursor.next().unwrap().is_none());
    }
}
