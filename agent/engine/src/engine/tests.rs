//! The engine as a whole: arms, swaps, samples, refusals. What aggregations compute is tested beside
//! them and against the reference model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arms;
mod counts;
mod experiment;
mod folds;
mod gates;
mod input;
mod originals;
mod queries;
mod samples;
mod shapes;
mod swaps;

use super::*;
use crate::compile::{Candidate, Division, Pipeline, compile};
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use prost::Message;

const S: Nanos = 1_000_000_000;

/// One number point: metric, attributes, (start, time) in seconds, value.
#[derive(Clone)]
struct P {
    metric: &'static str,
    keys: Vec<(&'static str, String)>,
    start: u64,
    time: u64,
    value: i64,
    delta: bool,
}

/// A point of a cumulative counter `c` of host `h`.
fn c(key: &str, time: u64, value: i64) -> P {
    P {
        metric: "c",
        keys: vec![("k", key.into())],
        start: 1,
        time,
        value,
        delta: false,
    }
}

fn attributes(keys: &[(&'static str, String)]) -> Vec<common::KeyValue> {
    keys.iter()
        .map(|(key, value)| common::KeyValue {
            key: (*key).into(),
            value: Some(common::AnyValue {
                value: Some(common::any_value::Value::StringValue(value.clone())),
            }),
            ..Default::default()
        })
        .collect()
}

/// A request of one resource (`host.name: h`), one scope, a metric a point.
fn request(points: &[P]) -> Bytes {
    request_of("h", points)
}

/// The same of another host.
fn request_of(host: &str, points: &[P]) -> Bytes {
    let metrics = points.iter().map(|p| {
        let point = pb::NumberDataPoint {
            attributes: attributes(&p.keys),
            start_time_unix_nano: p.start * S,
            time_unix_nano: p.time * S,
            value: Some(pb::number_data_point::Value::AsInt(p.value)),
            ..Default::default()
        };
        let data = if p.metric.starts_with('g') {
            pb::metric::Data::Gauge(pb::Gauge {
                data_points: vec![point],
            })
        } else {
            pb::metric::Data::Sum(pb::Sum {
                data_points: vec![point],
                aggregation_temporality: if p.delta { 1 } else { 2 },
                is_monotonic: true,
            })
        };
        pb::Metric {
            name: p.metric.into(),
            data: Some(data),
            ..Default::default()
        }
    });
    pb::MetricsData {
        resource_metrics: vec![pb::ResourceMetrics {
            resource: Some(opentelemetry_proto::tonic::resource::v1::Resource {
                attributes: attributes(&[("host.name", host.into())]),
                ..Default::default()
            }),
            scope_metrics: vec![pb::ScopeMetrics {
                metrics: metrics.collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
    .into()
}

type Row = (String, String, u64, u64, i64);

/// (metric, value of `k` or "", start, time, value) of every number point, times in seconds.
fn read(bytes: &Bytes) -> Vec<Row> {
    rows(bytes, |all| {
        all.iter()
            .find_map(|kv| kv.strip_prefix("k="))
            .unwrap_or_default()
            .to_string()
    })
}

/// The same, with what `text` makes of the point's `key=value` attributes.
fn rows(bytes: &Bytes, text: impl Fn(&[String]) -> String) -> Vec<Row> {
    let mut rows = Vec::new();
    let data = pb::MetricsData::decode(&bytes[..]).unwrap();
    let metrics = data
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics);
    for metric in metrics {
        let points = match metric.data.as_ref().unwrap() {
            pb::metric::Data::Sum(sum) => &sum.data_points,
            pb::metric::Data::Gauge(gauge) => &gauge.data_points,
            other => panic!("{other:?}"),
        };
        for point in points {
            let all: Vec<String> = crate::wire::attributes(&point.encode_to_vec(), 7)
                .map(|(k, v)| format!("{k}={}", v.text()))
                .collect();
            let value = match point.value.unwrap() {
                pb::number_data_point::Value::AsInt(n) => n,
                pb::number_data_point::Value::AsDouble(n) => panic!("{n}"),
            };
            let (start, time) = (point.start_time_unix_nano / S, point.time_unix_nano / S);
            rows.push((metric.name.clone(), text(&all), start, time, value));
        }
    }
    rows
}

fn pipeline(name: &str, spec: &str) -> Arc<Pipeline> {
    let text = format!(
        "{{apiVersion: phoenix/v1, kind: Pipeline, metadata: {{name: {name}}}, spec: {spec}}}"
    );
    compile(&text).unwrap()
}

fn stages(stages: &str) -> Arc<Pipeline> {
    pipeline("p", &format!("{{stages: {stages}}}"))
}

fn alone(pipeline: Arc<Pipeline>) -> Arc<Plan> {
    Plan::new(pipeline, None).unwrap()
}

fn arms(baseline: Arc<Pipeline>, candidate: Arc<Pipeline>, division: Division) -> Arc<Plan> {
    let candidate = Candidate {
        pipeline: candidate,
        experiment: "x1".into(),
        division,
        protect: Vec::new(),
        scope: Vec::new(),
    };
    Plan::new(baseline, Some(candidate)).unwrap()
}

fn engine(plan: Arc<Plan>) -> Engine {
    let mut engine = Engine::new(Settings::default(), plan, 0);
    engine.listen();
    engine
}

/// Folds `k` away every 10 s.
const FOLD: &str = "[{id: a, aggregate: {match: {metric: c}, without: [k], interval: 10s}}]";

fn balanced(figures: &ArmFigures) {
    assert_eq!(figures.ledger.imbalance(), 0, "{:?}", figures.ledger);
}
