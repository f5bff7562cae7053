//! Attributes of a message changed on the wire: all else is copied as it lies.

use crate::wire::attributes::key_value;
use crate::wire::otlp::{entity_ref, key_value as field, resource};
use crate::wire::{fields, write};

/// One change of the attributes of one level.
#[derive(Debug, Clone, Copy)]
pub enum Edit<'a> {
    /// A `KeyValue` body comes last.
    Add(&'a [u8]),
    /// A key becomes another.
    Rekey(&'a str, &'a str),
    /// A key gets a value: an `AnyValue` body.
    Value(&'a str, &'a [u8]),
    /// A key goes.
    Remove(&'a str),
}

impl Edit<'_> {
    /// Writes what becomes of one attribute.
    fn put(self, number: u32, raw: &[u8], out: &mut Vec<u8>) {
        let (key, _) = key_value(raw);
        match self {
            Edit::Remove(gone) if gone == key => {}
            Edit::Rekey(from, to) if from == key => {
                let open = write::begin(out, number);
                write::put_str(out, field::KEY, to);
                put_rest(raw, field::KEY, out);
                write::end(out, open);
            }
            Edit::Value(of, value) if of == key => {
                let open = write::begin(out, number);
                write::put_str(out, field::KEY, key);
                write::put_bytes(out, field::VALUE, value);
                for rest in fields(raw).filter(|f| !matches!(f.number, field::KEY | field::VALUE)) {
                    out.extend_from_slice(raw.get(rest.start..rest.end).unwrap_or_default());
                }
                write::end(out, open);
            }
            _ => write::put_bytes(out, number, raw),
        }
    }

    /// Whether a reference to an entity names the key that goes.
    fn breaks(self, reference: &[u8]) -> bool {
        let (Edit::Rekey(gone, _) | Edit::Remove(gone)) = self else {
            return false;
        };
        fields(reference)
            .filter(|f| matches!(f.number, entity_ref::ID_KEYS | entity_ref::DESCRIPTION_KEYS))
            .any(|f| f.value.str() == gone)
    }
}

/// The fields of a `KeyValue` but one.
fn put_rest(raw: &[u8], without: u32, out: &mut Vec<u8>) {
    for rest in fields(raw).filter(|f| f.number != without) {
        out.extend_from_slice(raw.get(rest.start..rest.end).unwrap_or_default());
    }
}

/// Appends a message body whose attributes, in field `number`, are changed; they stay where the first
/// of them is. `refs`: it is a `Resource`, whose references to entities must not name a key that goes.
pub fn edit(body: &[u8], number: u32, change: Edit<'_>, refs: bool, out: &mut Vec<u8>) {
    let mut written = false;
    for part in fields(body) {
        let whole = body.get(part.start..part.end).unwrap_or_default();
        if part.number != number {
            let raw = part.value.bytes().unwrap_or_default();
            if !(refs && part.number == resource::ENTITY_REFS && change.breaks(raw)) {
                out.extend_from_slice(whole);
            }
            continue;
        }
        if !std::mem::replace(&mut written, true) {
            put_attributes(body, number, change, out);
        }
    }
    if !written {
        put_attributes(body, number, change, out);
    }
}

/// Appends the attributes of a body, changed.
pub fn put_attributes(body: &[u8], number: u32, change: Edit<'_>, out: &mut Vec<u8>) {
    for part in fields(body).filter(|f| f.number == number) {
        change.put(number, part.value.bytes().unwrap_or_default(), out);
    }
    if let Edit::Add(raw) = change {
        write::put_bytes(out, number, raw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{any_value, key_value as encoded};
    use crate::document::Scalar;
    use crate::wire::attributes::attributes;

    fn body() -> Vec<u8> {
        let mut body = Vec::new();
        write::put_str(&mut body, 9, "unknown");
        for key in ["a", "b"] {
            let value = any_value(&Scalar::Text(format!("of {key}")));
            write::put_bytes(&mut body, 1, &encoded(key, &value));
        }
        let open = write::begin(&mut body, resource::ENTITY_REFS);
        write::put_str(&mut body, entity_ref::ID_KEYS, "b");
        write::end(&mut body, open);
        body
    }

    fn shown(change: Edit<'_>) -> (Vec<String>, Vec<u32>) {
        let mut out = Vec::new();
        edit(&body(), 1, change, true, &mut out);
        let pairs = attributes(&out, 1).map(|(k, v)| format!("{k}={}", v.text()));
        (pairs.collect(), fields(&out).map(|f| f.number).collect())
    }

    #[test]
    fn attributes_change_in_their_place_and_all_else_stays() {
        let one = any_value(&Scalar::Int(1));
        let added = encoded("c", &one);
        for (change, pairs, numbers) in [
            (
                Edit::Add(&added),
                vec!["a=of a", "b=of b", "c=1"],
                vec![9, 1, 1, 1, 3],
            ),
            (
                Edit::Rekey("a", "x"),
                vec!["x=of a", "b=of b"],
                vec![9, 1, 1, 3],
            ),
            (
                Edit::Rekey("b", "x"),
                vec!["a=of a", "x=of b"],
                vec![9, 1, 1],
            ),
            (
                Edit::Value("b", &one),
                vec!["a=of a", "b=1"],
                vec![9, 1, 1, 3],
            ),
            (Edit::Remove("a"), vec!["b=of b"], vec![9, 1, 3]),
            (Edit::Remove("b"), vec!["a=of a"], vec![9, 1]),
        ] {
            let expected: Vec<String> = pairs.into_iter().map(String::from).collect();
            assert_eq!(shown(change), (expected, numbers), "{change:?}");
        }
    }
}
