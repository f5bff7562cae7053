//! What makes two points the same series, and the published hash that divides entities.
//!
//! Written from the design's words over the generated types and shared with nothing in the product,
//! so that what the sink counts is a second opinion.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// Appends the typed, order-free encoding of a value.
pub fn put_value(out: &mut Vec<u8>, value: Option<&AnyValue>) {
    match value.and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(s)) => {
            out.push(1);
            put_bytes(out, s.as_bytes());
        }
        Some(Value::BoolValue(b)) => out.extend([2, u8::from(*b)]),
        Some(Value::IntValue(i)) => {
            out.push(3);
            out.extend(i.to_le_bytes());
        }
        Some(Value::DoubleValue(d)) => {
            out.push(4);
            out.extend(d.to_bits().to_le_bytes());
        }
        Some(Value::ArrayValue(a)) => {
            out.push(5);
            out.extend(length(a.values.len()));
            for v in &a.values {
                put_value(out, Some(v));
            }
        }
        Some(Value::KvlistValue(l)) => {
            out.push(6);
            put_attributes(out, &l.values);
        }
        Some(Value::BytesValue(b)) => {
            out.push(7);
            put_bytes(out, b);
        }
        _ => out.push(0),
    }
}

/// Appends attributes sorted by key, then by encoded value.
pub fn put_attributes(out: &mut Vec<u8>, attributes: &[KeyValue]) {
    let mut sorted: Vec<(&str, Vec<u8>)> = attributes
        .iter()
        .map(|kv| {
            let mut value = Vec::new();
            put_value(&mut value, kv.value.as_ref());
            (kv.key.as_str(), value)
        })
        .collect();
    sorted.sort();
    out.extend(length(sorted.len()));
    for (key, value) in sorted {
        put_bytes(out, key.as_bytes());
        out.extend(value);
    }
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(length(bytes.len()));
    out.extend(bytes);
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}

/// Appends name, unit, type, temporality and monotonicity.
pub fn put_metric(out: &mut Vec<u8>, metric: &Metric) {
    put_bytes(out, metric.name.as_bytes());
    put_bytes(out, metric.unit.as_bytes());
    let (kind, temporality, monotonic) = match &metric.data {
        None => (0, 0, false),
        Some(Data::Gauge(_)) => (1, 0, false),
        Some(Data::Sum(s)) => (2, s.aggregation_temporality, s.is_monotonic),
        Some(Data::Histogram(h)) => (3, h.aggregation_temporality, false),
        Some(Data::ExponentialHistogram(h)) => (4, h.aggregation_temporality, false),
        Some(Data::Summary(_)) => (5, 0, false),
    };
    out.push(kind);
    out.push(u8::try_from(temporality).unwrap_or(u8::MAX));
    out.push(u8::from(monotonic));
}

/// 128-bit identity of a canonical encoding.
pub fn identity(canonical: &[u8]) -> u128 {
    xxh3_128(canonical)
}

/// Where an entity stands in [0, 1): `None` when a key is missing.
///
/// `lookup` finds a key on the point, then the scope, then the resource. `id` is the experiment's or
/// the stage's.
pub fn entity_share<'a>(
    id: &str,
    keys: &[String],
    lookup: impl Fn(&str) -> Option<&'a AnyValue>,
) -> Option<f64> {
    let mut sorted: Vec<&String> = keys.iter().collect();
    sorted.sort();
    let mut bytes = Vec::new();
    for key in sorted {
        put_bytes(&mut bytes, key.as_bytes());
        put_value(&mut bytes, Some(lookup(key)?));
    }
    let hash = xxh3_64_with_seed(&bytes, xxh3_64_with_seed(id.as_bytes(), 0));
    Some((hash >> 11) as f64 / (1u64 << 53) as f64)
}
