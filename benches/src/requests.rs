//! Requests to feed: the messages of a capture, or made ones of a stated size.

use anyhow::{Context, ensure};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::path::{Path, PathBuf};

/// Folder of the real captures, if it is there.
pub fn captures() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let named = std::env::var_os("PHOENIX_CAPTURES").map(PathBuf::from);
    Some(named.unwrap_or_else(|| root.join("../shared/captures"))).filter(|f| f.is_dir())
}

/// The messages of a `.binpb.zst` capture: a 4-byte big-endian length before each.
///
/// # Errors
/// A file that cannot be read or ends within a message.
pub fn read(path: &Path) -> anyhow::Result<Vec<Bytes>> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let all = Bytes::from(zstd::decode_all(file)?);
    let mut messages = Vec::new();
    let mut at = 0;
    while at < all.len() {
        ensure!(at + 4 <= all.len(), "ends within a length at byte {at}");
        let length = u32::from_be_bytes([all[at], all[at + 1], all[at + 2], all[at + 3]]) as usize;
        ensure!(
            at + 4 + length <= all.len(),
            "ends within a message at byte {at}"
        );
        messages.push(all.slice(at + 4..at + 4 + length));
        at += 4 + length;
    }
    Ok(messages)
}

/// A round of `requests` requests of `points` points each, about 250 bytes a point: cumulative
/// counters of services, six attributes a point. Round `n` has the same series a little later than
/// the one before; `start` is Unix nanoseconds.
pub fn round(requests: usize, points: usize, n: u64, start: u64) -> Vec<Bytes> {
    (0..requests)
        .map(|r| Bytes::from(request(r, points, n, start).encode_to_vec()))
        .collect()
}

fn request(r: usize, points: usize, n: u64, start: u64) -> ExportMetricsServiceRequest {
    let point = |i: usize| NumberDataPoint {
        attributes: vec![
            text("http.request.method", ["GET", "POST", "PUT"][i % 3]),
            text(
                "http.route",
                &format!("/api/v1/customers/{{id}}/orders/{}", i % 20),
            ),
            text(
                "server.address",
                &format!("shop-{:03}.internal.example.com", i % 50),
            ),
            text("client.address", &format!("10.1.{}.{}", i / 250, i % 250)),
            text(
                "customer.id",
                &format!("customer-{:06}", i * 7919 % 100_000),
            ),
            text("status", ["200", "404", "500"][i % 3]),
        ],
        start_time_unix_nano: start,
        time_unix_nano: start + (n + 1) * 10_000_000,
        value: Some(number_data_point::Value::AsInt((n * 13 + i as u64) as i64)),
        ..NumberDataPoint::default()
    };
    let metric = |m: usize, each: usize| Metric {
        name: format!("app.requests.{m}"),
        unit: "1".into(),
        data: Some(Data::Sum(Sum {
            data_points: (0..each).map(|i| point(m * each + i)).collect(),
            aggregation_temporality: 2,
            is_monotonic: true,
        })),
        ..Metric::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    text("service.name", "shop"),
                    text("host.name", &format!("host-{r:04}")),
                ],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: (0..4).map(|m| metric(m, points / 4)).collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue {
        value: Some(Value::StringValue(value.to_owned())),
    });
    KeyValue {
        key: key.to_owned(),
        value,
        ..KeyValue::default()
    }
}

/// Points of a request, by the generated types.
pub fn points(request: &ExportMetricsServiceRequest) -> usize {
    let metrics = request
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics);
    metrics
        .map(|m| match &m.data {
            Some(Data::Gauge(g)) => g.data_points.len(),
            Some(Data::Sum(s)) => s.data_points.len(),
            Some(Data::Histogram(h)) => h.data_points.len(),
            Some(Data::ExponentialHistogram(h)) => h.data_points.len(),
            Some(Data::Summary(s)) => s.data_points.len(),
            None => 0,
        })
        .sum()
}
