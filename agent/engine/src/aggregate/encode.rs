//! Outputs as OTLP: point bodies, then a request grouped by resource, scope and metric.

use super::explicit::Explicit;
use super::exponential::{Exponential, Side};
use super::head::Head;
use super::window::exemplars_field;
use crate::Nanos;
use crate::view::{MetricType, Number, Temporality};
use crate::wire::otlp::{
    buckets, data, exponential_point, histogram_point, number_point, point, request,
    resource_metrics, scope_metrics,
};
use crate::wire::write;

/// The value of an output's point.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Of gauges and sums.
    Number(Number),
    /// Of explicit histograms; with their extremes where the flag is set.
    Explicit(&'a Explicit, bool),
    /// Of exponential histograms; with their extremes where the flag is set.
    Exponential(&'a Exponential, bool),
    /// The no-recorded-value flag.
    Ended,
}

/// Appends the body of a point.
pub fn put_point(
    out: &mut Vec<u8>,
    head: &Head,
    (start, time): (Nanos, Nanos),
    value: Value<'_>,
    exemplars: &[Vec<u8>],
) {
    if start != 0 {
        write::put_fixed64(out, point::START, start);
    }
    write::put_fixed64(out, point::TIME, time);
    put_value(out, head.kind, value);
    for exemplar in exemplars {
        write::put_bytes(out, exemplars_field(head.kind), exemplar);
    }
    out.extend_from_slice(&head.attributes);
}

/// Appends the fields of a point that hold its value.
pub fn put_value(out: &mut Vec<u8>, kind: MetricType, value: Value<'_>) {
    match value {
        Value::Number(Number::Int(n)) => {
            write::put_fixed64(out, number_point::AS_INT, n.cast_unsigned());
        }
        Value::Number(Number::Double(n)) => write::put_double(out, number_point::AS_DOUBLE, n),
        Value::Explicit(h, extremes) => put_explicit(out, h, extremes),
        Value::Exponential(h, extremes) => put_exponential(out, h, extremes),
        Value::Ended => {
            let flags = u64::from(point::NO_RECORDED_VALUE);
            write::put_uint(out, kind.flags_field(), flags);
        }
    }
}

/// Appends the fields of an explicit histogram's point that hold its value.
pub fn put_explicit(out: &mut Vec<u8>, h: &Explicit, extremes: bool) {
    write::put_fixed64(out, histogram_point::COUNT, h.count);
    put_optional(out, histogram_point::SUM, h.sum);
    write::put_packed_fixed64(
        out,
        histogram_point::BUCKET_COUNTS,
        h.counts.iter().copied(),
    );
    let bounds = h.bounds.iter().map(|b| b.to_bits());
    write::put_packed_fixed64(out, histogram_point::EXPLICIT_BOUNDS, bounds);
    if extremes {
        put_optional(out, histogram_point::MIN, h.min);
        put_optional(out, histogram_point::MAX, h.max);
    }
}

/// Appends the fields of an exponential histogram's point that hold its value.
pub fn put_exponential(out: &mut Vec<u8>, h: &Exponential, extremes: bool) {
    write::put_fixed64(out, exponential_point::COUNT, h.count);
    put_optional(out, exponential_point::SUM, h.sum);
    if h.scale != 0 {
        write::put_sint(out, exponential_point::SCALE, i64::from(h.scale));
    }
    write::put_fixed64(out, exponential_point::ZERO_COUNT, h.zero_count);
    put_side(out, exponential_point::POSITIVE, &h.positive);
    put_side(out, exponential_point::NEGATIVE, &h.negative);
    if extremes {
        put_optional(out, exponential_point::MIN, h.min);
        put_optional(out, exponential_point::MAX, h.max);
    }
    if h.zero_threshold > 0.0 {
        write::put_double(out, exponential_point::ZERO_THRESHOLD, h.zero_threshold);
    }
}

/// The filled buckets of one side, without empty ones at either end.
pub fn put_side(out: &mut Vec<u8>, field: u32, side: &Side) {
    let Some(first) = side.counts.iter().position(|n| *n > 0) else {
        return;
    };
    let last = side.counts.iter().rposition(|n| *n > 0).unwrap_or(first);
    let open = write::begin(out, field);
    write::put_sint(
        out,
        buckets::OFFSET,
        side.offset.saturating_add(first as i64),
    );
    let filled = side.counts.get(first..=last).unwrap_or_default();
    write::put_packed_varint(out, buckets::BUCKET_COUNTS, filled);
    write::end(out, open);
}

fn put_optional(out: &mut Vec<u8>, field: u32, value: Option<f64>) {
    if let Some(value) = value {
        write::put_double(out, field, value);
    }
}

/// A point on its way into a request: where it goes and its body.
pub struct Row<'a> {
    /// Equal numbers, equal resource (then scope, then metric).
    pub place: [u32; 3],
    /// What it goes under.
    pub head: &'a Head,
    /// `ResourceMetrics.schema_url`
    pub url: &'a [u8],
    /// The point's body.
    pub body: &'a [u8],
}

/// Appends a request of rows that lie grouped by place.
pub fn put_request(out: &mut Vec<u8>, rows: &[Row<'_>]) {
    for resource in rows.chunk_by(|a, b| a.place[0] == b.place[0]) {
        let Some(first) = resource.first() else {
            continue;
        };
        let open = write::begin(out, request::RESOURCE_METRICS);
        write::put_bytes(out, resource_metrics::RESOURCE, &first.head.resource);
        for scope in resource.chunk_by(|a, b| a.place[1] == b.place[1]) {
            put_scope(out, scope);
        }
        if !first.url.is_empty() {
            write::put_bytes(out, resource_metrics::SCHEMA_URL, first.url);
        }
        write::end(out, open);
    }
}

fn put_scope(out: &mut Vec<u8>, rows: &[Row<'_>]) {
    let Some(first) = rows.first() else { return };
    let open = write::begin(out, resource_metrics::SCOPE_METRICS);
    out.extend_from_slice(&first.head.scope);
    for metric in rows.chunk_by(|a, b| a.place[2] == b.place[2]) {
        put_metric(out, metric);
    }
    write::end(out, open);
}

fn put_metric(out: &mut Vec<u8>, rows: &[Row<'_>]) {
    let Some(first) = rows.first() else { return };
    let head = first.head;
    let open = write::begin(out, scope_metrics::METRICS);
    out.extend_from_slice(&head.metric);
    let body = write::begin(out, head.kind.field());
    for row in rows {
        write::put_bytes(out, data::DATA_POINTS, row.body);
    }
    if head.temporality != Temporality::Unspecified {
        write::put_uint(out, data::TEMPORALITY, head.temporality as u64);
    }
    if head.kind == MetricType::Sum && head.monotonic {
        write::put_uint(out, data::MONOTONIC, 1);
    }
    write::end(out, body);
    out.extend_from_slice(&head.metadata);
    write::end(out, open);
}
