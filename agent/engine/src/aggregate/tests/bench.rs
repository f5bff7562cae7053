//! A bench: one aggregation, the inputs it needs, and outputs as lines of text in seconds.

use super::super::*;
use crate::compile::{self, Action};
use crate::identity::Canonical;
use crate::input::{Input, Scratch};
use crate::view::{MetricType, MetricView, Temporality};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::collections::HashMap;

/// One second.
pub const S: Nanos = 1_000_000_000;

/// A series that tests speak for.
#[derive(Clone, Debug)]
pub struct Series {
    pub resource: Resource,
    pub resource_url: &'static str,
    pub scope: common::InstrumentationScope,
    pub name: &'static str,
    pub kind: MetricType,
    pub temporality: Temporality,
    pub monotonic: bool,
    pub attributes: Vec<common::KeyValue>,
}

/// Attributes from `k=v,k=v`.
pub fn attributes(text: &str) -> Vec<common::KeyValue> {
    let value = |v: &str| common::AnyValue {
        value: Some(common::any_value::Value::StringValue(v.into())),
    };
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(k, v)| common::KeyValue {
            key: k.into(),
            value: Some(value(v)),
            ..Default::default()
        })
        .collect()
}

fn series(kind: MetricType, temporality: Temporality, monotonic: bool, text: &str) -> Series {
    Series {
        resource: Resource {
            attributes: attributes("host.name=h"),
            ..Default::default()
        },
        resource_url: "",
        scope: common::InstrumentationScope::default(),
        name: "m",
        kind,
        temporality,
        monotonic,
        attributes: attributes(text),
    }
}

/// A cumulative monotonic sum.
pub fn counter(text: &str) -> Series {
    series(MetricType::Sum, Temporality::Cumulative, true, text)
}

/// A cumulative sum that may fall.
pub fn level(text: &str) -> Series {
    series(MetricType::Sum, Temporality::Cumulative, false, text)
}

/// A delta sum.
pub fn delta(text: &str) -> Series {
    series(MetricType::Sum, Temporality::Delta, true, text)
}

/// A gauge.
pub fn gauge(text: &str) -> Series {
    series(MetricType::Gauge, Temporality::Unspecified, false, text)
}

/// An explicit histogram.
pub fn histogram(temporality: Temporality, text: &str) -> Series {
    series(MetricType::Histogram, temporality, false, text)
}

/// An exponential histogram.
pub fn exponential(temporality: Temporality, text: &str) -> Series {
    series(MetricType::ExponentialHistogram, temporality, false, text)
}

/// A number point's body; times in seconds.
pub fn number(s: &Series, start: u64, time: u64, value: impl Into<Value>) -> Vec<u8> {
    pb::NumberDataPoint {
        attributes: s.attributes.clone(),
        start_time_unix_nano: start * S,
        time_unix_nano: time * S,
        value: value.into().0,
        flags: 0,
        exemplars: Vec::new(),
    }
    .encode_to_vec()
}

/// A number as tests write it.
pub struct Value(pub Option<pb::number_data_point::Value>);

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value(Some(pb::number_data_point::Value::AsInt(n)))
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Value(Some(pb::number_data_point::Value::AsDouble(n)))
    }
}

/// A point that only says that its series has ended.
pub fn ended(s: &Series, start: u64, time: u64) -> Vec<u8> {
    pb::NumberDataPoint {
        attributes: s.attributes.clone(),
        start_time_unix_nano: start * S,
        time_unix_nano: time * S,
        flags: 1,
        ..Default::default()
    }
    .encode_to_vec()
}

/// One aggregation and what the engine keeps beside it.
pub struct Bench {
    pub stage: Aggregation,
    pub settings: Settings,
    inputs: HashMap<u128, Input>,
    seats: HashMap<u128, Joined>,
    scratch: Scratch,
}

/// Compiles the one stage of a pipeline, given as the body of `aggregate`.
pub fn stage(settings: &Settings, aggregate: &str, created: Nanos) -> Aggregation {
    let text = format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec: {{ stages: [ {{ id: s, aggregate: {aggregate} }} ] }}"
    );
    let pipeline = compile::compile(&text).unwrap();
    match &pipeline.stages[0].action {
        Action::Aggregate(a) => Aggregation::new(a, settings, created),
        other => panic!("{other:?}"),
    }
}

impl Bench {
    /// A bench that runs one stage from the beginning of time.
    pub fn new(aggregate: &str) -> Bench {
        Bench::with(aggregate, Settings::default())
    }

    pub fn with(aggregate: &str, settings: Settings) -> Bench {
        Bench {
            stage: stage(&settings, aggregate, 0),
            settings,
            inputs: HashMap::new(),
            seats: HashMap::new(),
            scratch: Scratch::default(),
        }
    }

    /// Swaps the stage for another one; what the old one had to say.
    pub fn swap(&mut self, aggregate: &str, now: u64) -> Vec<String> {
        let mut written = Written::default();
        let created = self.stage.close_for_swap(now * S, &mut written);
        self.stage = stage(&self.settings, aggregate, created);
        self.seats.clear();
        lines(&written)
    }

    /// Speaks for a series at `now` (seconds).
    pub fn add(&mut self, s: &Series, body: &[u8], now: u64) -> Added {
        let resource = s.resource.encode_to_vec();
        let scope = s.scope.encode_to_vec();
        let view = SeriesView {
            resource: &resource,
            resource_schema_url: s.resource_url,
            scope: &scope,
            scope_schema_url: "",
            metric: MetricView {
                name: s.name,
                description: "",
                unit: "By",
                kind: s.kind,
                temporality: s.temporality,
                monotonic: s.monotonic,
                head: &[],
                tail: &[],
            },
            point: body,
        };
        let identity = Canonical::default().identity(&view, self.settings.fleet_seed);
        let point = PointView::of(s.kind, body);
        let now = now * S;
        let observation = (s.temporality == Temporality::Cumulative).then(|| {
            let monotonic = s.monotonic || s.kind != MetricType::Sum;
            let input = self
                .inputs
                .entry(identity)
                .or_insert_with(|| Input::new(monotonic, false));
            if input.expired(now, 300 * S) {
                *input = Input::new(monotonic, true);
            }
            input.observe(&point, self.settings.began, now, &mut self.scratch)
        });
        for _ in 0..2 {
            let joined = *self
                .seats
                .entry(identity)
                .or_insert_with(|| self.stage.join(&view, identity, 1.0, now));
            let seat = match joined {
                Joined::Seat(seat) => seat,
                Joined::Passes(reason) => return Added::Passes(reason),
            };
            match self.stage.add(seat, &point, observation.as_ref(), now) {
                Added::Stale => drop(self.seats.remove(&identity)),
                added => return added,
            }
        }
        Added::Stale
    }

    /// Adds a number and expects that it is held.
    pub fn number(&mut self, s: &Series, (start, time): (u64, u64), v: impl Into<Value>, now: u64) {
        let body = number(s, start, time, v);
        assert_eq!(self.add(s, &body, now), Added::Absorbed);
    }

    /// Loses all routes, as a full memo may.
    pub fn forget_routes(&mut self) {
        self.seats.clear();
    }

    /// What closes at `now`.
    pub fn tick(&mut self, now: u64) -> Vec<String> {
        let mut written = Written::default();
        self.stage.close(now * S, &mut written);
        lines(&written)
    }

    /// How often something was counted.
    pub fn count(&self, name: &str) -> u64 {
        let found = self.stage.counts().iter().find(|(n, _)| *n == name);
        found.map_or(0, |(_, n)| n)
    }
}

/// One line a point: `name{attributes} start..time = value`.
pub fn lines(written: &Written) -> Vec<String> {
    let request = ExportMetricsServiceRequest::decode(written.request.as_slice()).unwrap();
    let mut lines = Vec::new();
    for r in &request.resource_metrics {
        for metric in r.scope_metrics.iter().flat_map(|s| &s.metrics) {
            metric_lines(metric, &mut lines);
        }
    }
    assert_eq!(lines.len() as u64, written.points);
    assert_eq!(lines.len(), written.identities.len());
    lines
}

/// The request as it is.
pub fn request(written: &Written) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(written.request.as_slice()).unwrap()
}

fn metric_lines(metric: &pb::Metric, lines: &mut Vec<String>) {
    use pb::metric::Data::*;
    let mut put = |attributes: &[common::KeyValue], start: u64, time: u64, value: String| {
        lines.push(format!(
            "{}{{{}}} {}..{} = {value}",
            metric.name,
            text(attributes),
            start as f64 / S as f64,
            time as f64 / S as f64,
        ));
    };
    match metric.data.as_ref().unwrap() {
        Gauge(pb::Gauge { data_points }) | Sum(pb::Sum { data_points, .. }) => {
            for p in data_points {
                let value = match p.value {
                    _ if p.flags == 1 => "ended".to_string(),
                    Some(pb::number_data_point::Value::AsInt(n)) => n.to_string(),
                    Some(pb::number_data_point::Value::AsDouble(n)) => format!("{n:?}"),
                    None => "nothing".into(),
                };
                put(
                    &p.attributes,
                    p.start_time_unix_nano,
                    p.time_unix_nano,
                    value,
                );
            }
        }
        Histogram(h) => {
            for p in &h.data_points {
                let mut value = format!(
                    "{} sum {:?} {:?} at {:?}",
                    p.count, p.sum, p.bucket_counts, p.explicit_bounds
                );
                if p.min.is_some() || p.max.is_some() {
                    value += &format!(" {:?}..{:?}", p.min, p.max);
                }
                put(
                    &p.attributes,
                    p.start_time_unix_nano,
                    p.time_unix_nano,
                    value,
                );
            }
        }
        ExponentialHistogram(h) => {
            for p in &h.data_points {
                let side = |b: &Option<pb::exponential_histogram_data_point::Buckets>| {
                    b.as_ref().map_or(String::new(), |b| {
                        format!("{}:{:?}", b.offset, b.bucket_counts)
                    })
                };
                let value = format!(
                    "{} sum {:?} scale {} zero {}<={} +{} -{}",
                    p.count,
                    p.sum,
                    p.scale,
                    p.zero_count,
                    p.zero_threshold,
                    side(&p.positive),
                    side(&p.negative)
                );
                put(
                    &p.attributes,
                    p.start_time_unix_nano,
                    p.time_unix_nano,
                    value,
                );
            }
        }
        Summary(_) => panic!("never written"),
    }
}

/// Attributes as `k=v,k=v`.
pub fn text(attributes: &[common::KeyValue]) -> String {
    let value = |kv: &common::KeyValue| match kv.value.as_ref().and_then(|v| v.value.as_ref()) {
        Some(common::any_value::Value::StringValue(s)) => s.clone(),
        Some(common::any_value::Value::BoolValue(b)) => b.to_string(),
        other => format!("{other:?}"),
    };
    let pairs: Vec<_> = attributes
        .iter()
        .map(|kv| format!("{}={}", kv.key, value(kv)))
        .collect();
    pairs.join(",")
}
