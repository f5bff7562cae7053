//! Canonical form and hashes: what makes two points belong to one series on every node.
//!
//! Canonical value: a tag byte, then 0 nothing; 1 string: u32 LE length + bytes; 2 bool: u8; 3 int:
//! i64 LE; 4 double: f64 bits LE; 5 array: u32 count + values; 6 key-value list: u32 count +
//! (u32 length, key, value) sorted by (key, value); 7 bytes: u32 length + bytes.
//! Canonical attributes are a key-value list without its tag. The identity is XXH3-128 with the
//! fleet's seed over resource attributes; scope name, version, attributes; metric name, unit, type,
//! temporality, monotonic; point attributes. schema_url, description and metadata are no identity.
//! The entity hash that samples and splits is XXH3-64, seeded by the id of stage or experiment.

use crate::view::{MetricType, SeriesView, Temporality};
use crate::wire::AnyValue;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

/// Reused buffers of canonical encoding.
#[derive(Debug, Default)]
pub struct Canonical {
    /// The bytes encoded last.
    pub bytes: Vec<u8>,
}

/// Appends the canonical form of a value.
pub fn put_value(out: &mut Vec<u8>, value: AnyValue<'_>) {
    match value {
        AnyValue::Empty => out.push(0),
        AnyValue::String(text) => {
            out.push(1);
            put_text(out, text.as_bytes());
        }
        AnyValue::Bool(b) => out.extend_from_slice(&[2, u8::from(b)]),
        AnyValue::Int(n) => {
            out.push(3);
            out.extend_from_slice(&n.to_le_bytes());
        }
        AnyValue::Double(n) => {
            out.push(4);
            out.extend_from_slice(&n.to_bits().to_le_bytes());
        }
        AnyValue::Array(_) => {
            out.push(5);
            put_count(out, value.items().count());
            for item in value.items() {
                put_value(out, item);
            }
        }
        AnyValue::KvList(_) => {
            out.push(6);
            put_attributes(out, value.entries());
        }
        AnyValue::Bytes(raw) => {
            out.push(7);
            put_text(out, raw);
        }
    }
}

/// Appends the canonical form of attributes: count, then (key, value) sorted by key, then value.
pub fn put_attributes<'a>(
    out: &mut Vec<u8>,
    attributes: impl Iterator<Item = (&'a str, AnyValue<'a>)>,
) {
    let mut sorted: Vec<(&str, AnyValue<'_>)> = attributes.collect();
    sorted.sort_by_key(|(key, _)| *key);
    put_count(out, sorted.len());
    for same in sorted.chunk_by(|a, b| a.0 == b.0) {
        if let [(key, value)] = same {
            put_text(out, key.as_bytes());
            put_value(out, *value);
            continue;
        }
        // Each value is encoded once: the sorting of nested lists would else take twice as long a level.
        let mut encoded: Vec<Vec<u8>> = same.iter().map(|(_, value)| encoded(*value)).collect();
        encoded.sort_unstable();
        for (value, (key, _)) in encoded.iter().zip(same) {
            put_text(out, key.as_bytes());
            out.extend_from_slice(value);
        }
    }
}

/// The canonical form of a value.
pub fn encoded(value: AnyValue<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put_value(&mut out, value);
    out
}

/// Appends u32 LE length and bytes.
pub fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_count(out, text.len());
    out.extend_from_slice(text);
}

/// Appends a u32 LE count. Requests are far below 4 GiB, so nothing is ever cut.
pub fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

/// What of a metric is identity, beside attributes and scope.
#[derive(Debug, Clone, Copy)]
pub struct MetricIdentity<'a> {
    /// `name`
    pub name: &'a str,
    /// `unit`
    pub unit: &'a str,
    /// Type.
    pub kind: MetricType,
    /// Temporality; unspecified for gauges and summaries.
    pub temporality: Temporality,
    /// Of sums; false for the others.
    pub monotonic: bool,
}

/// Appends the metric's part of an identity.
pub fn put_metric(out: &mut Vec<u8>, metric: &MetricIdentity<'_>) {
    put_text(out, metric.name.as_bytes());
    put_text(out, metric.unit.as_bytes());
    out.extend_from_slice(&[
        metric.kind as u8,
        metric.temporality as u8,
        u8::from(metric.monotonic),
    ]);
}

/// Appends the canonical form of a whole series: the bytes that [`hash`] makes an identity of.
pub fn put_series(out: &mut Vec<u8>, series: &SeriesView<'_>) {
    put_attributes(out, series.resource_attributes());
    let (name, version) = series.scope_name_version();
    put_text(out, name.as_bytes());
    put_text(out, version.as_bytes());
    put_attributes(out, series.scope_attributes());
    put_metric(
        out,
        &MetricIdentity {
            name: series.metric.name,
            unit: series.metric.unit,
            kind: series.metric.kind,
            temporality: series.metric.temporality,
            monotonic: series.metric.monotonic,
        },
    );
    put_attributes(out, series.point_attributes());
}

/// The 128-bit identity of canonical bytes under the fleet's seed.
pub fn hash(canonical: &[u8], fleet_seed: u64) -> u128 {
    xxh3_128_with_seed(canonical, fleet_seed)
}

impl Canonical {
    /// The identity of a series; its canonical bytes stay in `bytes`.
    pub fn identity(&mut self, series: &SeriesView<'_>, fleet_seed: u64) -> u128 {
        self.bytes.clear();
        put_series(&mut self.bytes, series);
        hash(&self.bytes, fleet_seed)
    }

    /// The entity's hash, or `None` where the series lacks one of the keys.
    /// `keys` in byte order; `seed` from [`entity_seed`]. [`share`] makes it a number in [0, 1).
    pub fn entity_hash(
        &mut self,
        series: &SeriesView<'_>,
        keys: &[String],
        seed: u64,
    ) -> Option<u64> {
        self.bytes.clear();
        for key in keys {
            let value = series.lookup(key)?;
            put_text(&mut self.bytes, key.as_bytes());
            put_value(&mut self.bytes, value);
        }
        Some(xxh3_64_with_seed(&self.bytes, seed))
    }
}

/// Seed of the entity hash: from the id of a stage or experiment alone, so that every node and
/// every replay decides alike.
pub fn entity_seed(id: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), 0)
}

/// A hash as a number in [0, 1).
pub fn share(hash: u64) -> f64 {
    // 2^53: every such quotient is exact in a double.
    (hash >> 11) as f64 / 9_007_199_254_740_992.0
}

#[cfg(test)]
mod tests;
