//! Points of a case as an OTLP request: one resource, scope and metric a point.

use super::case::{Case, Point, Series, Type, nanos};
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use opentelemetry_proto::tonic::resource::v1::Resource;
use pb::metric::Data;
use prost::Message;
use serde_yaml::Value;
use std::collections::BTreeMap;

pub fn request(case: &Case, points: &[Point]) -> Vec<u8> {
    let of = |point: &Point| {
        let series = case.series.get(&point.of);
        resource_metrics(
            series.unwrap_or_else(|| panic!("no series {}", point.of)),
            point,
        )
    };
    pb::MetricsData {
        resource_metrics: points.iter().map(of).collect(),
    }
    .encode_to_vec()
}

fn resource_metrics(series: &Series, point: &Point) -> pb::ResourceMetrics {
    pb::ResourceMetrics {
        resource: Some(Resource {
            attributes: attributes(&series.resource),
            entity_refs: series
                .refs
                .iter()
                .map(|keys| common::EntityRef {
                    id_keys: keys.clone(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
        scope_metrics: vec![pb::ScopeMetrics {
            scope: Some(common::InstrumentationScope {
                name: "lib".into(),
                attributes: attributes(&series.scope),
                ..Default::default()
            }),
            metrics: vec![pb::Metric {
                name: series.metric.clone(),
                unit: series.unit.clone(),
                description: series.description.clone(),
                data: Some(data(series, point)),
                ..Default::default()
            }],
            schema_url: String::new(),
        }],
        schema_url: series.schema_url.clone(),
    }
}

fn attributes(from: &BTreeMap<String, Value>) -> Vec<common::KeyValue> {
    use common::any_value::Value as Any;
    let any = |value: &Value| match value {
        Value::String(s) => Any::StringValue(s.clone()),
        Value::Bool(b) => Any::BoolValue(*b),
        Value::Number(n) => match n.as_i64() {
            Some(i) => Any::IntValue(i),
            None => Any::DoubleValue(n.as_f64().unwrap()),
        },
        other => panic!("no attribute value: {other:?}"),
    };
    from.iter()
        .map(|(key, value)| common::KeyValue {
            key: key.clone(),
            value: Some(common::AnyValue {
                value: Some(any(value)),
            }),
            ..Default::default()
        })
        .collect()
}

fn data(series: &Series, point: &Point) -> Data {
    let temporality = match series.kind {
        Type::Delta | Type::DeltaUpDown | Type::DeltaHistogram | Type::DeltaExponential => 1,
        Type::Unspecified | Type::Gauge | Type::Summary => 0,
        _ => 2,
    };
    match series.kind {
        Type::Gauge => Data::Gauge(pb::Gauge {
            data_points: vec![number(series, point)],
        }),
        Type::Counter | Type::UpDown | Type::Delta | Type::DeltaUpDown | Type::Unspecified => {
            Data::Sum(pb::Sum {
                data_points: vec![number(series, point)],
                aggregation_temporality: temporality,
                is_monotonic: !matches!(series.kind, Type::UpDown | Type::DeltaUpDown),
            })
        }
        Type::Histogram | Type::DeltaHistogram => Data::Histogram(pb::Histogram {
            data_points: vec![histogram(series, point)],
            aggregation_temporality: temporality,
        }),
        Type::Exponential | Type::DeltaExponential => {
            Data::ExponentialHistogram(pb::ExponentialHistogram {
                data_points: vec![exponential(series, point)],
                aggregation_temporality: temporality,
            })
        }
        Type::Summary => Data::Summary(pb::Summary {
            data_points: vec![pb::SummaryDataPoint {
                attributes: attributes(&series.attributes),
                start_time_unix_nano: nanos(point.start),
                time_unix_nano: nanos(point.time),
                sum: point.value.as_f64().unwrap_or(0.0),
                count: point.count,
                flags: u32::from(point.ended),
                ..Default::default()
            }],
        }),
    }
}

fn exemplars(point: &Point) -> Vec<pb::Exemplar> {
    let of = |time: &f64| pb::Exemplar {
        time_unix_nano: nanos(*time),
        ..Default::default()
    };
    point.exemplars.iter().map(of).collect()
}

fn number(series: &Series, point: &Point) -> pb::NumberDataPoint {
    use pb::number_data_point::Value as N;
    pb::NumberDataPoint {
        attributes: attributes(&series.attributes),
        start_time_unix_nano: nanos(point.start),
        time_unix_nano: nanos(point.time),
        value: match &point.value {
            Value::Null => None,
            n => Some(
                n.as_i64()
                    .map_or_else(|| N::AsDouble(n.as_f64().unwrap()), N::AsInt),
            ),
        },
        flags: u32::from(point.ended),
        exemplars: exemplars(point),
    }
}

fn histogram(series: &Series, point: &Point) -> pb::HistogramDataPoint {
    pb::HistogramDataPoint {
        attributes: attributes(&series.attributes),
        start_time_unix_nano: nanos(point.start),
        time_unix_nano: nanos(point.time),
        count: point.buckets.iter().sum(),
        sum: point.sum,
        min: point.min,
        max: point.max,
        bucket_counts: point.buckets.clone(),
        explicit_bounds: point.bounds.clone(),
        flags: u32::from(point.ended),
        exemplars: exemplars(point),
    }
}

fn exponential(series: &Series, point: &Point) -> pb::ExponentialHistogramDataPoint {
    pb::ExponentialHistogramDataPoint {
        attributes: attributes(&series.attributes),
        start_time_unix_nano: nanos(point.start),
        time_unix_nano: nanos(point.time),
        count: point.zero.1 + point.buckets.iter().sum::<u64>(),
        sum: point.sum,
        scale: point.scale,
        zero_threshold: point.zero.0,
        zero_count: point.zero.1,
        positive: Some(pb::exponential_histogram_data_point::Buckets {
            offset: point.offset,
            bucket_counts: point.buckets.clone(),
        }),
        flags: u32::from(point.ended),
        exemplars: exemplars(point),
        ..Default::default()
    }
}
