//! The same message in other bytes: what protobuf allows and senders seldom do.
//!
//! A request is taken apart by the schema and written again with fields in another order, split
//! messages, unpacked lists, repeated singular fields, unknown fields and long varints. A decoder
//! must understand the same; only attributes change their order.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Oddities of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shape {
    /// Decides where oddities fall.
    pub seed: u64,
    pub reordered_attributes: bool,
    pub shuffled_fields: bool,
    pub unknown_fields: bool,
    pub unpacked_lists: bool,
    pub repeated_singulars: bool,
    pub split_messages: bool,
    pub long_varints: bool,
    pub empty_messages: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Request,
    ResourceMetrics,
    Resource,
    ScopeMetrics,
    Scope,
    Metric,
    Numbers,
    Histograms,
    Exponentials,
    Summaries,
    Number,
    Histogram,
    Exponential,
    Summary,
    Buckets,
    KeyValue,
    AnyValue,
    Array,
    Map,
    Exemplar,
}

/// The type of a message field.
fn child(parent: Type, field: u64) -> Option<Type> {
    use Type::*;
    Some(match (parent, field) {
        (Request, 1) => ResourceMetrics,
        (ResourceMetrics, 1) => Resource,
        (ResourceMetrics, 2) => ScopeMetrics,
        (ScopeMetrics, 1) => Scope,
        (ScopeMetrics, 2) => Metric,
        (Metric, 5 | 7) => Numbers,
        (Metric, 9) => Histograms,
        (Metric, 10) => Exponentials,
        (Metric, 11) => Summaries,
        (Numbers, 1) => Number,
        (Histograms, 1) => Histogram,
        (Exponentials, 1) => Exponential,
        (Summaries, 1) => Summary,
        (Exponential, 8 | 9) => Buckets,
        (Resource, 1) | (Scope, 3) | (Metric, 12) | (Map, 1) => KeyValue,
        (Number, 7) | (Histogram, 9) | (Exponential, 1) | (Summary, 7) => KeyValue,
        (Exemplar, 7) => KeyValue,
        (Number, 5) | (Histogram, 8) | (Exponential, 11) => Exemplar,
        (KeyValue, 2) | (Array, 1) => AnyValue,
        (AnyValue, 5) => Array,
        (AnyValue, 6) => Map,
        _ => return None,
    })
}

fn is_attribute(parent: Type, field: u64) -> bool {
    child(parent, field) == Some(Type::KeyValue) && parent != Type::Metric
}

/// A message field of which there is one; several are merged.
fn is_single_message(parent: Type, field: u64) -> bool {
    use Type::*;
    matches!(
        (parent, field),
        (ResourceMetrics, 1) | (ScopeMetrics, 1) | (Metric, 5 | 7 | 9 | 10 | 11) | (Exponential, 8)
    )
}

#[derive(Clone)]
struct Field {
    number: u64,
    wire: u64,
    /// Without the length of length-delimited fields.
    payload: Vec<u8>,
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (first, rest) = bytes.split_first().expect("a whole varint");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn fields(mut bytes: &[u8]) -> Vec<Field> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let tag = take_varint(&mut bytes);
        let before = bytes;
        let length = match tag & 7 {
            0 => {
                take_varint(&mut bytes);
                before.len() - bytes.len()
            }
            1 => 8,
            5 => 4,
            _ => {
                let n = take_varint(&mut bytes) as usize;
                let (payload, rest) = bytes.split_at(n);
                bytes = rest;
                all.push(Field {
                    number: tag >> 3,
                    wire: 2,
                    payload: payload.to_vec(),
                });
                continue;
            }
        };
        let (payload, rest) = before.split_at(length);
        bytes = rest;
        all.push(Field {
            number: tag >> 3,
            wire: tag & 7,
            payload: payload.to_vec(),
        });
    }
    all
}

/// Writes `request` in the given shape.
pub fn reshape(request: &[u8], shape: Shape, rng: &mut ChaCha8Rng) -> Vec<u8> {
    message(request, Type::Request, shape, rng)
}

fn message(bytes: &[u8], of: Type, shape: Shape, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut list = Vec::new();
    for mut field in fields(bytes) {
        if let Some(inner) = child(of, field.number) {
            if shape.split_messages && is_single_message(of, field.number) && rng.random_bool(0.4) {
                let mut parts = fields(&field.payload);
                let tail = parts.split_off(rng.random_range(0..=parts.len()));
                for part in [parts, tail] {
                    let payload = message(&write(&part, shape, rng), inner, shape, rng);
                    list.push(Field {
                        payload,
                        ..field.clone()
                    });
                }
                continue;
            }
            field.payload = message(&field.payload, inner, shape, rng);
        }
        if shape.unpacked_lists
            && let Some(width) = packed_width(of, field.number)
            && field.wire == 2
        {
            list.extend(unpack(&field, width));
            continue;
        }
        if shape.repeated_singulars
            && let Some(wrong) = wrong_copy(of, &field)
            && rng.random_bool(0.3)
        {
            list.push(wrong);
        }
        list.push(field);
    }
    if shape.empty_messages {
        add_empty(of, &mut list, rng);
    }
    if shape.reordered_attributes {
        reorder(of, &mut list, rng);
    }
    if shape.shuffled_fields && !matches!(of, Type::AnyValue) {
        shuffle(&mut list, of, rng);
    }
    if shape.unknown_fields && of != Type::AnyValue && rng.random_bool(0.4) {
        let unknown = [
            (0, vec![42]),
            (1, vec![7; 8]),
            (2, b"who knows".to_vec()),
            (5, vec![9; 4]),
        ];
        let (wire, payload) = unknown[rng.random_range(0..unknown.len())].clone();
        let at = rng.random_range(0..=list.len());
        let number = [77, 1000][rng.random_range(0..2)];
        list.insert(
            at,
            Field {
                number,
                wire,
                payload,
            },
        );
    }
    write(&list, shape, rng)
}

/// Bytes of one element of a packed list; 0 for varints.
fn packed_width(of: Type, field: u64) -> Option<usize> {
    match (of, field) {
        (Type::Histogram, 6 | 7) => Some(8),
        (Type::Buckets, 2) => Some(0),
        _ => None,
    }
}

fn unpack(field: &Field, width: usize) -> Vec<Field> {
    let mut all = Vec::new();
    let mut rest = field.payload.as_slice();
    while !rest.is_empty() {
        let before = rest;
        if width == 0 {
            take_varint(&mut rest);
        } else {
            rest = &rest[width..];
        }
        all.push(Field {
            number: field.number,
            wire: if width == 0 { 0 } else { 1 },
            payload: before[..before.len() - rest.len()].to_vec(),
        });
    }
    all
}

/// An earlier copy that a later one overrides: names, units, times, scope names, keys.
fn wrong_copy(of: Type, field: &Field) -> Option<Field> {
    use Type::*;
    let payload = match (of, field.number) {
        (Metric, 1 | 3) | (Scope, 1 | 2) | (KeyValue, 1) => b"wrong".to_vec(),
        (Number | Histogram | Exponential | Summary, 2 | 3) => vec![3; 8],
        (Numbers, 2 | 3) => vec![1],
        _ => return None,
    };
    Some(Field {
        payload,
        ..field.clone()
    })
}

fn add_empty(of: Type, list: &mut Vec<Field>, rng: &mut ChaCha8Rng) {
    let numbers: &[u64] = match of {
        Type::Request => &[1],
        Type::ResourceMetrics => &[2],
        _ => return,
    };
    let at = rng.random_range(0..=list.len());
    list.insert(
        at,
        Field {
            number: numbers[0],
            wire: 2,
            payload: Vec::new(),
        },
    );
}

/// Attributes trade places with each other.
fn reorder(of: Type, list: &mut [Field], rng: &mut ChaCha8Rng) {
    let places: Vec<usize> = (0..list.len())
        .filter(|i| is_attribute(of, list[*i].number))
        .collect();
    let mut moved = places.clone();
    moved.shuffle(rng);
    let copy: Vec<Field> = moved.iter().map(|i| list[*i].clone()).collect();
    for (at, field) in places.into_iter().zip(copy) {
        list[at] = field;
    }
}

/// Fields of different numbers trade places; what has one number (or one oneof) keeps its order.
fn shuffle(list: &mut Vec<Field>, of: Type, rng: &mut ChaCha8Rng) {
    let group = |field: &Field| match (of, field.number) {
        (Type::Number, 4 | 6) | (Type::Exemplar, 3 | 6) => 1_000_000,
        (Type::Metric, 5 | 7 | 9 | 10 | 11) => 1_000_000,
        (_, n) => n,
    };
    let mut order: Vec<u64> = list.iter().map(group).collect();
    order.shuffle(rng);
    let mut left = std::mem::take(list);
    for wanted in order {
        let at = left
            .iter()
            .position(|f| group(f) == wanted)
            .expect("one of each");
        list.push(left.remove(at));
    }
}

fn write(list: &[Field], shape: Shape, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for field in list {
        put_varint(&mut out, field.number << 3 | field.wire);
        if field.wire == 2 {
            let length = field.payload.len() as u64;
            if shape.long_varints && length < 0x80 && rng.random_bool(0.3) {
                // A varint may carry zeros on top.
                out.extend_from_slice(&[length as u8 | 0x80, 0x80, 0]);
            } else {
                put_varint(&mut out, length);
            }
        }
        out.extend_from_slice(&field.payload);
    }
    out
}
