//! OTLP protobuf to OTLP/JSON, in the shape of the Collector's file exporter: members in its order,
//! 64-bit numbers as strings, enums as numbers, defaults left out.

use super::scalar::{to_base64, to_hex};
use phoenix_proto::otlp::common::v1::{
    AnyValue, EntityRef, InstrumentationScope, KeyValue, any_value::Value,
};
use phoenix_proto::otlp::metrics::v1::exponential_histogram_data_point::Buckets;
use phoenix_proto::otlp::metrics::v1::metric::Data;
use phoenix_proto::otlp::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, MetricsData,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, SummaryDataPoint, exemplar, number_data_point,
};
use phoenix_proto::otlp::resource::v1::Resource;
use prost::Message;

/// Why bytes could not be written as JSON.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The bytes are no `MetricsData`.
    #[error("not OTLP protobuf: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// Writes an `ExportMetricsServiceRequest` (the same bytes as `MetricsData`) as one line of JSON
/// without the line's end.
///
/// # Errors
/// The bytes are not valid.
pub fn encode(protobuf: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let data = MetricsData::decode(protobuf)?;
    let mut json = Json {
        out: Vec::with_capacity(protobuf.len() * 3),
    };
    json.object(|o| o.list("resourceMetrics", &data.resource_metrics, resource_metrics));
    Ok(json.out)
}

struct Json {
    out: Vec<u8>,
}

impl Json {
    fn object(&mut self, members: impl FnOnce(&mut Json)) {
        self.out.push(b'{');
        members(self);
        self.out.push(b'}');
    }

    fn comma(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[') | None) {
            self.out.push(b',');
        }
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn string(&mut self, value: &str) {
        self.out.push(b'"');
        let mut plain = 0;
        for (at, byte) in value.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.out.extend_from_slice(&value.as_bytes()[plain..at]);
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                _ => self
                    .out
                    .extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            }
            plain = at + 1;
        }
        self.out.extend_from_slice(&value.as_bytes()[plain..]);
        self.out.push(b'"');
    }

    fn plain(&mut self, value: impl std::fmt::Display) {
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    fn double(&mut self, value: f64) {
        if value.is_nan() {
            self.out.extend_from_slice(b"\"NaN\"");
        } else if value.is_infinite() {
            self.string(if value > 0.0 { "Infinity" } else { "-Infinity" });
        } else if value == 0.0 || (1e-6..1e21).contains(&value.abs()) {
            self.plain(value);
        } else {
            self.plain(format_args!("{value:e}"));
        }
    }

    fn message<T>(&mut self, name: &str, value: &T, write: fn(&mut Json, &T)) {
        self.name(name);
        self.object(|o| write(o, value));
    }

    fn list<T>(&mut self, name: &str, values: &[T], write: fn(&mut Json, &T)) {
        self.items(name, values, |json, value| json.object(|o| write(o, value)));
    }

    fn items<T>(&mut self, name: &str, values: &[T], write: impl Fn(&mut Json, &T)) {
        if values.is_empty() {
            return;
        }
        self.name(name);
        self.out.push(b'[');
        for value in values {
            self.comma();
            write(self, value);
        }
        self.out.push(b']');
    }

    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.name(name);
            self.string(value);
        }
    }

    fn small(&mut self, name: &str, value: i64) {
        if value != 0 {
            self.name(name);
            self.plain(value);
        }
    }

    /// A 64-bit number, in quotes.
    fn long(&mut self, name: &str, value: u64) {
        if value != 0 {
            self.quoted(name, value);
        }
    }

    fn quoted(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        self.plain(format_args!("\"{value}\""));
    }

    fn optional(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.name(name);
            self.double(value);
        }
    }

    fn times(&mut self, start: u64, time: u64) {
        self.long("startTimeUnixNano", start);
        self.long("timeUnixNano", time);
    }
}

fn resource_metrics(o: &mut Json, value: &ResourceMetrics) {
    if let Some(value) = &value.resource {
        o.message("resource", value, resource);
    }
    o.list("scopeMetrics", &value.scope_metrics, scope_metrics);
    o.text("schemaUrl", &value.schema_url);
}

fn resource(o: &mut Json, value: &Resource) {
    o.list("attributes", &value.attributes, key_value);
    o.small(
        "droppedAttributesCount",
        i64::from(value.dropped_attributes_count),
    );
    o.list("entityRefs", &value.entity_refs, entity_ref);
}

fn entity_ref(o: &mut Json, value: &EntityRef) {
    o.text("schemaUrl", &value.schema_url);
    o.text("type", &value.r#type);
    o.items("idKeys", &value.id_keys, |o, key| o.string(key));
    o.items("descriptionKeys", &value.description_keys, |o, key| {
        o.string(key)
    });
}

fn scope_metrics(o: &mut Json, value: &ScopeMetrics) {
    if let Some(value) = &value.scope {
        o.message("scope", value, scope);
    }
    o.list("metrics", &value.metrics, metric);
    o.text("schemaUrl", &value.schema_url);
}

fn scope(o: &mut Json, value: &InstrumentationScope) {
    o.text("name", &value.name);
    o.text("version", &value.version);
    o.list("attributes", &value.attributes, key_value);
    o.small(
        "droppedAttributesCount",
        i64::from(value.dropped_attributes_count),
    );
}

fn metric(o: &mut Json, value: &Metric) {
    o.text("name", &value.name);
    o.text("description", &value.description);
    o.text("unit", &value.unit);
    match &value.data {
        None => {}
        Some(Data::Gauge(data)) => o.message("gauge", data, |o, data| {
            o.list("dataPoints", &data.data_points, number_point);
        }),
        Some(Data::Sum(data)) => o.message("sum", data, |o, data| {
            o.list("dataPoints", &data.data_points, number_point);
            o.small(
                "aggregationTemporality",
                i64::from(data.aggregation_temporality),
            );
            if data.is_monotonic {
                o.name("isMonotonic");
                o.plain(true);
            }
        }),
        Some(Data::Histogram(data)) => o.message("histogram", data, |o, data| {
            o.list("dataPoints", &data.data_points, histogram_point);
            o.small(
                "aggregationTemporality",
                i64::from(data.aggregation_temporality),
            );
        }),
        Some(Data::ExponentialHistogram(data)) => {
            o.message("exponentialHistogram", data, |o, data| {
                o.list("dataPoints", &data.data_points, exponential_point);
                o.small(
                    "aggregationTemporality",
                    i64::from(data.aggregation_temporality),
                );
            });
        }
        Some(Data::Summary(data)) => o.message("summary", data, |o, data| {
            o.list("dataPoints", &data.data_points, summary_point);
        }),
    }
    o.list("metadata", &value.metadata, key_value);
}

fn number_point(o: &mut Json, value: &NumberDataPoint) {
    o.list("attributes", &value.attributes, key_value);
    o.times(value.start_time_unix_nano, value.time_unix_nano);
    match value.value {
        None => {}
        Some(number_data_point::Value::AsDouble(double)) => o.optional("asDouble", Some(double)),
        Some(number_data_point::Value::AsInt(int)) => o.quoted("asInt", int),
    }
    o.list("exemplars", &value.exemplars, exemplar);
    o.small("flags", i64::from(value.flags));
}

fn histogram_point(o: &mut Json, value: &HistogramDataPoint) {
    o.list("attributes", &value.attributes, key_value);
    o.times(value.start_time_unix_nano, value.time_unix_nano);
    o.long("count", value.count);
    o.optional("sum", value.sum);
    counts(o, &value.bucket_counts);
    o.items("explicitBounds", &value.explicit_bounds, |o, bound| {
        o.double(*bound)
    });
    o.list("exemplars", &value.exemplars, exemplar);
    o.small("flags", i64::from(value.flags));
    o.optional("min", value.min);
    o.optional("max", value.max);
}

fn counts(o: &mut Json, values: &[u64]) {
    o.items("bucketCounts", values, |o, count| {
        o.plain(format_args!("\"{count}\""))
    });
}

fn exponential_point(o: &mut Json, value: &ExponentialHistogramDataPoint) {
    o.list("attributes", &value.attributes, key_value);
    o.times(value.start_time_unix_nano, value.time_unix_nano);
    o.long("count", value.count);
    o.optional("sum", value.sum);
    o.small("scale", i64::from(value.scale));
    o.long("zeroCount", value.zero_count);
    for (name, buckets) in [("positive", &value.positive), ("negative", &value.negative)] {
        if let Some(buckets) = buckets {
            o.message(name, buckets, write_buckets);
        }
    }
    o.small("flags", i64::from(value.flags));
    o.list("exemplars", &value.exemplars, exemplar);
    o.optional("min", value.min);
    o.optional("max", value.max);
    o.optional("zeroThreshold", present(value.zero_threshold));
}

fn write_buckets(o: &mut Json, value: &Buckets) {
    o.small("offset", i64::from(value.offset));
    counts(o, &value.bucket_counts);
}

/// A double without presence: only its default, the positive zero, is left out.
fn present(value: f64) -> Option<f64> {
    (value.to_bits() != 0).then_some(value)
}

fn summary_point(o: &mut Json, value: &SummaryDataPoint) {
    o.list("attributes", &value.attributes, key_value);
    o.times(value.start_time_unix_nano, value.time_unix_nano);
    o.long("count", value.count);
    o.optional("sum", present(value.sum));
    o.list("quantileValues", &value.quantile_values, |o, value| {
        o.optional("quantile", present(value.quantile));
        o.optional("value", present(value.value));
    });
    o.small("flags", i64::from(value.flags));
}

fn exemplar(o: &mut Json, value: &Exemplar) {
    o.list("filteredAttributes", &value.filtered_attributes, key_value);
    o.long("timeUnixNano", value.time_unix_nano);
    match value.value {
        None => {}
        Some(exemplar::Value::AsDouble(double)) => o.optional("asDouble", Some(double)),
        Some(exemplar::Value::AsInt(int)) => o.quoted("asInt", int),
    }
    for (name, id) in [("traceId", &value.trace_id), ("spanId", &value.span_id)] {
        if !id.is_empty() {
            o.name(name);
            o.out.push(b'"');
            to_hex(id, &mut o.out);
            o.out.push(b'"');
        }
    }
}

fn key_value(o: &mut Json, pair: &KeyValue) {
    o.text("key", &pair.key);
    if let Some(value) = &pair.value {
        o.message("value", value, any_value);
    }
}

fn any_value(o: &mut Json, value: &AnyValue) {
    match &value.value {
        // An index into a table that only profiles have: nothing that metrics could mean by it.
        None | Some(Value::StringValueStrindex(_)) => {}
        Some(Value::StringValue(text)) => {
            o.name("stringValue");
            o.string(text);
        }
        Some(Value::BoolValue(truth)) => {
            o.name("boolValue");
            o.plain(truth);
        }
        Some(Value::IntValue(int)) => o.quoted("intValue", int),
        Some(Value::DoubleValue(double)) => o.optional("doubleValue", Some(*double)),
        Some(Value::ArrayValue(array)) => o.message("arrayValue", array, |o, array| {
            o.list("values", &array.values, any_value);
        }),
        Some(Value::KvlistValue(list)) => o.message("kvlistValue", list, |o, list| {
            o.list("values", &list.values, key_value);
        }),
        Some(Value::BytesValue(bytes)) => {
            o.name("bytesValue");
            o.out.push(b'"');
            to_base64(bytes, &mut o.out);
            o.out.push(b'"');
        }
    }
}
