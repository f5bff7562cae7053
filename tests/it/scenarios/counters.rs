//! A sender of counters whose every increment follows from series and time.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use phoenix_simulator::sender::now;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use tokio_util::sync::CancellationToken;

pub const CUMULATIVE: &str = "t.cumulative";
pub const DELTA: &str = "t.delta";
pub const HISTOGRAM: &str = "t.histogram";

/// What one sender sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Of all metrics.
    pub points: u64,
    /// Sum of the increments, by metric.
    pub increments: HashMap<&'static str, u64>,
}

/// What the point of a series adds.
pub fn increment(metric: &str, (a, b): (&str, &str), time: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (a, b, time).hash(&mut hasher);
    match metric {
        HISTOGRAM => 1 + hasher.finish() % 4,
        _ => hasher.finish() % 1000,
    }
}

/// Sends counters with attributes `a` (one of 5) and `b` (one of 10) until told to stop. Any error
/// of the connection is a failure of the test.
pub async fn send(to: SocketAddr, host: String, seed: u64, stop: CancellationToken) -> Sent {
    let mut client = MetricsServiceClient::connect(format!("http://{to}"))
        .await
        .expect("connect");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sent = Sent::default();
    let start = now();
    let mut totals: HashMap<(usize, usize), (u64, u64)> = HashMap::new();
    let mut previous = start;
    while !stop.is_cancelled() {
        let time = now().max(previous + 1);
        let (mut cumulative, mut delta, mut histogram) = (vec![], vec![], vec![]);
        for (a, b) in (0..5).flat_map(|a| (0..10).map(move |b| (a, b))) {
            let (of_a, of_b) = (format!("a{a}"), format!("{host}-b{b}"));
            let adds = |metric| increment(metric, (&of_a, &of_b), time);
            let (n, h) = (adds(CUMULATIVE), adds(HISTOGRAM));
            let total = totals.entry((a, b)).or_default();
            *total = (total.0 + n, total.1 + h);
            for (metric, more) in [(CUMULATIVE, n), (DELTA, n), (HISTOGRAM, h)] {
                sent.points += 1;
                *sent.increments.entry(metric).or_default() += more;
            }
            let attributes = vec![text("a", &of_a), text("b", &of_b)];
            cumulative.push(point(attributes.clone(), start, time, total.0));
            delta.push(point(attributes.clone(), previous, time, n));
            histogram.push(HistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count: total.1,
                sum: Some(total.1 as f64),
                bucket_counts: vec![total.1, 0],
                explicit_bounds: vec![10.0],
                ..HistogramDataPoint::default()
            });
        }
        let metrics = vec![
            metric(CUMULATIVE, sum(cumulative, 2)),
            metric(DELTA, sum(delta, 1)),
            metric(
                HISTOGRAM,
                Data::Histogram(Histogram {
                    data_points: histogram,
                    aggregation_temporality: 2,
                }),
            ),
        ];
        let response = client
            .export(request(&host, metrics))
            .await
            .expect("accepted");
        assert!(
            response.into_inner().partial_success.is_none(),
            "a point was rejected"
        );
        previous = time;
        tokio::time::sleep(std::time::Duration::from_millis(rng.random_range(2..20))).await;
    }
    sent
}

fn request(host: &str, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![text("host.name", host)],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn sum(data_points: Vec<NumberDataPoint>, aggregation_temporality: i32) -> Data {
    Data::Sum(Sum {
        data_points,
        aggregation_temporality,
        is_monotonic: true,
    })
}

fn metric(name: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn point(attributes: Vec<KeyValue>, start: u64, time: u64, value: u64) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: time,
        value: Some(number_data_point::Value::AsInt(value as i64)),
        ..NumberDataPoint::default()
    }
}

pub fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue {
        value: Some(Value::StringValue(value.to_owned())),
    });
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}
