//! A number point as nearly every sender writes it: start, time and value, then attributes, then
//! perhaps flags, each in the order of its field number.
//!
//! It is read without asking each field what it is. Anything else is left to the loop over fields,
//! which reads the same from it.

use super::super::index::{PointEntry, Span};
use crate::view::Number;

const START: u8 = 2 << 3 | 1;
const TIME: u8 = 3 << 3 | 1;
const DOUBLE: u8 = 4 << 3 | 1;
const INT: u8 = 6 << 3 | 1;
const ATTRIBUTE: u8 = 7 << 3 | 2;
const FLAGS: u8 = 8 << 3;

/// Reads the point into `entry` and says how many attributes it has. `None`: it is another shape, and
/// `entry` is as it was.
#[inline]
pub fn number_point(data: &[u8], entry: &mut PointEntry) -> Option<usize> {
    let body = entry.at.body();
    let bytes = body.of(data);
    let (start, rest) = fixed(bytes, START).unwrap_or((0, bytes));
    let (time, rest) = fixed(rest, TIME)?;
    let (tag, rest) = rest.split_first()?;
    let (value, rest) = rest.split_first_chunk()?;
    let value = u64::from_le_bytes(*value);
    let number = match *tag {
        DOUBLE => Number::Double(f64::from_bits(value)),
        INT => Number::Int(value.cast_signed()),
        _ => return None,
    };
    let (length, count) = attributes(rest)?;
    let flags = match rest.get(length..)? {
        [] => 0,
        [FLAGS, flags] if *flags < 0x80 => u32::from(*flags),
        _ => return None,
    };
    let first = body.end - rest.len() as u32;
    entry.start = start;
    entry.time = time;
    entry.number = Some(number);
    entry.flags = flags;
    if count > 0 {
        entry.attributes = Span {
            start: first,
            end: first + length as u32,
        };
    }
    Some(count)
}

#[inline(always)]
fn fixed(bytes: &[u8], tag: u8) -> Option<(u64, &[u8])> {
    let ([first, value @ ..], rest) = bytes.split_first_chunk::<9>()?;
    (*first == tag).then(|| (u64::from_le_bytes(*value), rest))
}

/// Bytes and number of the attributes that `rest` begins with. `None`: one of them is longer than
/// 16 KiB, or than `rest`.
#[inline(always)]
fn attributes(rest: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut count) = (0, 0);
    loop {
        at += match rest.get(at..)? {
            [ATTRIBUTE, length, ..] if *length < 0x80 => 2 + usize::from(*length),
            [ATTRIBUTE, low, high, ..] if *high < 0x80 => {
                3 + (usize::from(*low & 0x7f) | usize::from(*high) << 7)
            }
            [ATTRIBUTE, ..] => return None,
            _ => return Some((at, count)),
        };
        count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::index::Nested;
    use crate::wire::write;

    fn entry(body: &[u8]) -> PointEntry {
        let end = body.len() as u32;
        let field = Span { start: 0, end };
        PointEntry::placed(Nested { field, body: 0 }, 0)
    }

    fn fixed(tag: u8, value: u64) -> Vec<u8> {
        [vec![tag], value.to_le_bytes().to_vec()].concat()
    }

    fn attribute(bytes: usize) -> Vec<u8> {
        let mut out = Vec::new();
        write::put_bytes(&mut out, 7, &vec![0; bytes]);
        out
    }

    #[test]
    fn the_usual_order_is_read_with_and_without_start_attributes_and_flags() {
        for (start, attributes, flags) in [
            (Some(5), vec![3, 200, 0], Some(1)),
            (None, vec![127, 128, 16_383], None),
            (Some(5), vec![], Some(0)),
            (None, vec![], None),
        ] {
            let mut body: Vec<u8> = start.map_or_else(Vec::new, |start| fixed(START, start));
            body.extend(fixed(TIME, 7));
            body.extend(fixed(INT, 9));
            let first = body.len() as u32;
            attributes.iter().for_each(|n| body.extend(attribute(*n)));
            let end = body.len() as u32;
            body.extend(flags.map_or_else(Vec::new, |flags| vec![FLAGS, flags]));
            let mut read = entry(&body);
            let count = number_point(&body, &mut read);
            assert_eq!(count, Some(attributes.len()));
            assert_eq!((read.start, read.time), (start.unwrap_or(0), 7));
            assert_eq!(read.number, Some(Number::Int(9)));
            assert_eq!(read.flags, u32::from(flags.unwrap_or(0)));
            if count > Some(0) {
                assert_eq!(read.attributes, Span { start: first, end });
            }
        }
    }

    #[test]
    fn another_shape_is_left_as_it_was() {
        let usual = [fixed(TIME, 7), fixed(DOUBLE, 1), attribute(3)].concat();
        let others = [
            usual[..usual.len() - 1].to_vec(),
            [usual.clone(), fixed(TIME, 8)].concat(),
            [usual.clone(), vec![FLAGS, 0x80, 1]].concat(),
            [attribute(3), fixed(TIME, 7), fixed(INT, 1)].concat(),
            [fixed(TIME, 7), attribute(20_000)].concat(),
            [fixed(TIME, 7), fixed(INT, 1), attribute(20_000)].concat(),
            Vec::new(),
        ];
        for body in others {
            let mut read = entry(&body);
            assert_eq!(number_point(&body, &mut read), None);
            assert_eq!((read.time, read.number), (0, None));
            assert!(read.attributes.is_empty());
        }
    }
}
