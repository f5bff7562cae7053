//! Attributes of a validated message body, without copying: `(key, value)` pairs of a field.

use super::cursor::{Value, fields};
use super::otlp::{any_value, key_value};

/// An attribute value as it lies on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AnyValue<'a> {
    /// No value set.
    Empty,
    /// `string_value`
    String(&'a str),
    /// `bool_value`
    Bool(bool),
    /// `int_value`
    Int(i64),
    /// `double_value`
    Double(f64),
    /// `array_value`: the body of `ArrayValue`; see [`AnyValue::items`].
    Array(&'a [u8]),
    /// `kvlist_value`: the body of `KeyValueList`; see [`attributes`] with field 1.
    KvList(&'a [u8]),
    /// `bytes_value`
    Bytes(&'a [u8]),
}

/// The attributes in field `number` of a message body, in wire order (duplicates included).
pub fn attributes(body: &[u8], number: u32) -> impl Iterator<Item = (&str, AnyValue<'_>)> + Clone {
    raw_attributes(body, number).map(key_value)
}

/// The bodies of the `KeyValue` messages in field `number`, in wire order.
pub fn raw_attributes(body: &[u8], number: u32) -> impl Iterator<Item = &[u8]> + Clone {
    fields(body)
        .filter(move |field| field.number == number)
        .filter_map(|field| field.value.bytes())
}

/// Key and value of a `KeyValue` body.
pub fn key_value(body: &[u8]) -> (&str, AnyValue<'_>) {
    let mut key = "";
    let mut value = AnyValue::Empty;
    for field in fields(body) {
        match field.number {
            key_value::KEY => key = field.value.str(),
            key_value::VALUE => value = AnyValue::of(field.value.bytes().unwrap_or_default()),
            _ => {}
        }
    }
    (key, value)
}

impl<'a> AnyValue<'a> {
    /// Reads an `AnyValue` body.
    pub fn of(body: &'a [u8]) -> AnyValue<'a> {
        let mut value = AnyValue::Empty;
        for field in fields(body) {
            value = match (field.number, field.value) {
                (any_value::STRING, raw @ Value::Bytes(_)) => AnyValue::String(raw.str()),
                (any_value::BOOL, Value::Varint(n)) => AnyValue::Bool(n != 0),
                (any_value::INT, Value::Varint(n)) => AnyValue::Int(n.cast_signed()),
                (any_value::DOUBLE, Value::Fixed64(n)) => AnyValue::Double(f64::from_bits(n)),
                (any_value::ARRAY, Value::Bytes(raw)) => AnyValue::Array(raw),
                (any_value::KVLIST, Value::Bytes(raw)) => AnyValue::KvList(raw),
                (any_value::BYTES, Value::Bytes(raw)) => AnyValue::Bytes(raw),
                _ => value,
            };
        }
        value
    }

    /// The items of an array; empty for everything else.
    pub fn items(self) -> impl Iterator<Item = AnyValue<'a>> + Clone {
        let body = match self {
            AnyValue::Array(body) => body,
            _ => &[],
        };
        raw_attributes(body, any_value::ITEMS).map(AnyValue::of)
    }

    /// The entries of a key-value list; empty for everything else.
    pub fn entries(self) -> impl Iterator<Item = (&'a str, AnyValue<'a>)> + Clone {
        let body = match self {
            AnyValue::KvList(body) => body,
            _ => &[],
        };
        attributes(body, any_value::ITEMS)
    }

    /// The text form that matchers compare and people read: a string as it is, `42`, `true`,
    /// `1.5`; lists as JSON-like text, bytes in hexadecimal.
    pub fn text(self) -> std::borrow::Cow<'a, str> {
        use std::borrow::Cow;
        match self {
            AnyValue::String(text) => Cow::Borrowed(text),
            AnyValue::Empty => Cow::Borrowed(""),
            AnyValue::Bool(b) => Cow::Borrowed(if b { "true" } else { "false" }),
            AnyValue::Int(n) => Cow::Owned(n.to_string()),
            AnyValue::Double(n) => Cow::Owned(n.to_string()),
            AnyValue::Array(_) => {
                let items: Vec<_> = self.items().map(AnyValue::text).collect();
                Cow::Owned(format!("[{}]", items.join(",")))
            }
            AnyValue::KvList(_) => {
                let entries: Vec<_> = self
                    .entries()
                    .map(|(k, v)| format!("{k}:{}", v.text()))
                    .collect();
                Cow::Owned(format!("{{{}}}", entries.join(",")))
            }
            AnyValue::Bytes(raw) => {
                Cow::Owned(raw.iter().map(|byte| format!("{byte:02x}")).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1 as pb;
    use prost::Message;

    fn any(value: pb::any_value::Value) -> pb::AnyValue {
        pb::AnyValue { value: Some(value) }
    }

    #[test]
    fn attributes_of_every_type_are_read_as_prost_wrote_them() {
        use pb::any_value::Value::*;
        let values = vec![
            StringValue("v".into()),
            BoolValue(true),
            IntValue(-3),
            DoubleValue(1.5),
            ArrayValue(pb::ArrayValue {
                values: vec![any(IntValue(1)), any(StringValue("x".into()))],
            }),
            BytesValue(vec![0xab, 1]),
        ];
        let resource = opentelemetry_proto::tonic::resource::v1::Resource {
            attributes: values
                .into_iter()
                .enumerate()
                .map(|(i, v)| pb::KeyValue {
                    key: format!("k{i}"),
                    value: Some(any(v)),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let body = resource.encode_to_vec();
        let got: Vec<_> = attributes(&body, 1)
            .map(|(k, v)| format!("{k}={}", v.text()))
            .collect();
        assert_eq!(
            got,
            ["k0=v", "k1=true", "k2=-3", "k3=1.5", "k4=[1,x]", "k5=ab01"]
        );
        assert_eq!(attributes(&body, 7).count(), 0);
    }
}
