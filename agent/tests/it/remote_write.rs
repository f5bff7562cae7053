//! Remote write: what the messages say, how receivers are talked to, and real servers.

mod delivery;
mod format;
mod messages;
mod receiver;
mod servers;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::support::text;

const CUMULATIVE: i32 = 2;
const DELTA: i32 = 1;

/// A request of these metrics, from an instance of a service.
fn request(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "checkout"),
                    text("service.namespace", "shop"),
                    text("service.instance.id", "i-1"),
                    text("host.name", "h1"),
                ],
                ..Default::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope {
                    name: "lib".into(),
                    ..Default::default()
                }),
                metrics,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.into(),
        unit: unit.into(),
        description: format!("Help of {name}"),
        data: Some(data),
        ..Default::default()
    }
}

fn number(value: f64, time: u64, attributes: &[(&str, &str)]) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes.iter().map(|(k, v)| text(k, v)).collect(),
        start_time_unix_nano: time - 60_000_000_000,
        time_unix_nano: time,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..Default::default()
    }
}

fn sum(points: Vec<NumberDataPoint>, temporality: i32) -> Data {
    Data::Sum(Sum {
        data_points: points,
        aggregation_temporality: temporality,
        is_monotonic: true,
    })
}

fn gauge(points: Vec<NumberDataPoint>) -> Data {
    Data::Gauge(Gauge {
        data_points: points,
    })
}

/// 4 observations in 3 buckets; the exemplar is of the second.
fn explicit(time: u64) -> Data {
    Data::Histogram(Histogram {
        aggregation_temporality: CUMULATIVE,
        data_points: vec![HistogramDataPoint {
            attributes: vec![text("http.route", "/")],
            start_time_unix_nano: time - 60_000_000_000,
            time_unix_nano: time,
            count: 4,
            sum: Some(2.75),
            bucket_counts: vec![1, 2, 1],
            explicit_bounds: vec![0.5, 1.0],
            exemplars: vec![Exemplar {
                time_unix_nano: time - 1_000_000_000,
                trace_id: vec![0xab; 16],
                span_id: vec![0xcd; 8],
                filtered_attributes: vec![text("user.id", "7")],
                value: Some(exemplar::Value::AsDouble(0.75)),
            }],
            ..Default::default()
        }],
    })
}

/// 10 observations: 1 in the zero bucket, 2 + 3 + 3 positive, 1 negative.
fn exponential(time: u64, scale: i32) -> Data {
    Data::ExponentialHistogram(ExponentialHistogram {
        aggregation_temporality: CUMULATIVE,
        data_points: vec![ExponentialHistogramDataPoint {
            start_time_unix_nano: time - 60_000_000_000,
            time_unix_nano: time,
            count: 10,
            sum: Some(12.5),
            scale,
            zero_count: 1,
            positive: Some(Buckets {
                offset: -1,
                bucket_counts: vec![2, 3, 0, 0, 0, 0, 3],
            }),
            negative: Some(Buckets {
                offset: 2,
                bucket_counts: vec![1],
            }),
            ..Default::default()
        }],
    })
}

fn summary(time: u64) -> Data {
    Data::Summary(Summary {
        data_points: vec![SummaryDataPoint {
            start_time_unix_nano: time - 60_000_000_000,
            time_unix_nano: time,
            count: 8,
            sum: 24.0,
            quantile_values: vec![
                ValueAtQuantile {
                    quantile: 0.5,
                    value: 2.0,
                },
                ValueAtQuantile {
                    quantile: 0.99,
                    value: 9.0,
                },
            ],
            ..Default::default()
        }],
    })
}
