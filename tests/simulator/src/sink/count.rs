//! The account of what arrived: totals, a log of requests by stream position, series by identity.

use crate::identity::{entity_share, identity, put_attributes, put_bytes, put_metric};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, ResourceMetrics, ScopeMetrics, metric::Data, number_data_point::Value as Number,
};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet, VecDeque};

/// Points remembered for `range`; older requests are forgotten, and a range that needs them is refused.
const REMEMBERED_POINTS: usize = 20_000_000;

/// How what arrives is divided between the arms of a split.
#[derive(Debug, Clone, Deserialize)]
pub struct Division {
    /// The experiment's id.
    pub experiment: String,
    /// Entity key attributes.
    pub entity: Vec<String>,
    /// The candidate's share of entities.
    pub percent: f64,
}

/// Counts over some stretch of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Points.
    pub points: u64,
    /// Uncompressed request bytes (0 for an arm of a division: a request can hold both).
    pub bytes: u64,
    /// Prometheus samples: a number and an exponential histogram are one each, a histogram is its buckets, its
    /// count and its sum, a summary its quantiles, its count and its sum (0 for an arm of a division).
    #[serde(default)]
    pub samples: u64,
    /// Distinct series.
    pub series: u64,
    /// The arms of a division, when one is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Box<Totals>>,
    /// The arms of a division, when one is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Box<Totals>>,
}

/// A series that arrived.
#[derive(Debug, Clone)]
pub struct Series {
    /// Metric name.
    pub metric: String,
    /// Point attributes, then scope attributes, then resource attributes.
    pub levels: [Vec<KeyValue>; 3],
    /// Points that arrived.
    pub points: u64,
}

/// A point that arrived, kept when asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// Identity, hexadecimal.
    pub series: String,
    /// Metric name.
    pub metric: String,
    /// Attributes of all levels as text, the point's own winning.
    pub attributes: std::collections::BTreeMap<String, String>,
    /// Unix nanoseconds.
    pub start: u64,
    /// Unix nanoseconds.
    pub time: u64,
    /// Number points: the value; histograms: the sum.
    pub value: Option<f64>,
    /// Histograms: the count.
    pub count: Option<u64>,
    /// OTLP flags.
    pub flags: u32,
}

struct Request {
    /// Points in the stream after this request.
    end: u64,
    bytes: u64,
    samples: u64,
    /// Distinct series with their points.
    series: Vec<(u128, u32)>,
}

/// Counts everything that is pushed into it.
#[derive(Default)]
pub struct Sink {
    totals: Totals,
    keep: bool,
    log: VecDeque<Request>,
    logged: usize,
    forgotten: u64,
    series: HashMap<u128, Series>,
    kept: Vec<Kept>,
    division: Option<Division>,
    /// Fail this many further requests with this gRPC code.
    pub fail_next: u64,
    /// The code to fail with.
    pub fail_code: i32,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink")
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

impl Sink {
    /// An empty sink.
    pub fn new(keep: bool) -> Sink {
        Sink {
            keep,
            ..Sink::default()
        }
    }

    /// Counts one request of `bytes` uncompressed bytes.
    pub fn push(&mut self, request: &ExportMetricsServiceRequest, bytes: u64) {
        let mut seen: HashMap<u128, u32> = HashMap::new();
        let (mut points, mut samples) = (0u64, 0u64);
        let mut canonical = Vec::new();
        for resource in &request.resource_metrics {
            for scope in &resource.scope_metrics {
                for metric in &scope.metrics {
                    canonical.clear();
                    put_context(&mut canonical, resource, scope, metric);
                    let prefix = canonical.len();
                    each_point(metric, |point| {
                        canonical.truncate(prefix);
                        put_attributes(&mut canonical, point.attributes);
                        let id = identity(&canonical);
                        points += 1;
                        samples += point.samples as u64;
                        *seen.entry(id).or_default() += 1;
                        let series = self
                            .series
                            .entry(id)
                            .or_insert_with(|| describe(resource, scope, metric, point.attributes));
                        series.points += 1;
                        if self.keep {
                            self.kept.push(keep(id, series, &point));
                        }
                    });
                }
            }
        }
        self.totals.requests += 1;
        self.totals.points += points;
        self.totals.bytes += bytes;
        self.totals.samples += samples;
        self.logged += seen.len();
        self.log.push_back(Request {
            end: self.totals.points,
            bytes,
            samples,
            series: seen.into_iter().collect(),
        });
        while self.logged > REMEMBERED_POINTS {
            let Some(old) = self.log.pop_front() else {
                break;
            };
            self.logged -= old.series.len();
            self.forgotten = old.end;
        }
    }

    /// Sets how what arrives is divided.
    pub fn divide(&mut self, division: Option<Division>) {
        self.division = division;
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Sink {
            keep: self.keep,
            ..Sink::default()
        };
    }

    /// Everything so far.
    pub fn totals(&self) -> Totals {
        let mut totals = self.totals.clone();
        totals.series = self.series.len() as u64;
        self.split(
            &mut totals,
            self.series.iter().map(|(id, s)| (*id, s.points)),
        );
        totals
    }

    /// What lies in stream positions (from, to].
    ///
    /// # Errors
    /// Positions that are not at the edges of requests, not here yet, or forgotten.
    pub fn range(&self, from: u64, to: u64) -> Result<Totals, String> {
        if from < self.forgotten {
            return Err(format!(
                "the stream before position {} is forgotten",
                self.forgotten
            ));
        }
        if to > self.totals.points {
            return Err(format!(
                "position {to} has not arrived; the stream is at {}",
                self.totals.points
            ));
        }
        let edge = |at: u64| at == self.forgotten || self.log.iter().any(|r| r.end == at);
        if let Some(at) = [from, to].into_iter().find(|at| !edge(*at)) {
            return Err(format!("position {at} is not at the edge of a request"));
        }
        let mut totals = Totals {
            points: to - from,
            ..Totals::default()
        };
        let mut seen: HashMap<u128, u64> = HashMap::new();
        // A request without points has the end of the one before it, and lies in the range with it.
        for request in self.log.iter().filter(|r| r.end > from && r.end <= to) {
            totals.requests += 1;
            totals.bytes += request.bytes;
            totals.samples += request.samples;
            for (id, n) in &request.series {
                *seen.entry(*id).or_default() += u64::from(*n);
            }
        }
        totals.series = seen.len() as u64;
        self.split(&mut totals, seen.into_iter());
        Ok(totals)
    }

    fn split(&self, totals: &mut Totals, series: impl Iterator<Item = (u128, u64)>) {
        let Some(division) = &self.division else {
            return;
        };
        let mut arms = [Totals::default(), Totals::default()];
        for (id, points) in series {
            let Some(series) = self.series.get(&id) else {
                continue;
            };
            let share = entity_share(&division.experiment, &division.entity, |key| {
                series.get(key)
            });
            let arm = usize::from(share.is_some_and(|u| u < division.percent / 100.0));
            arms[arm].points += points;
            arms[arm].series += 1;
        }
        let [baseline, candidate] = arms;
        totals.baseline = Some(Box::new(baseline));
        totals.candidate = Some(Box::new(candidate));
    }

    /// Points and series by metric name.
    pub fn by_metric(&self) -> std::collections::BTreeMap<String, (u64, u64)> {
        let mut out = std::collections::BTreeMap::new();
        for series in self.series.values() {
            let row: &mut (u64, u64) = out.entry(series.metric.clone()).or_default();
            row.0 += series.points;
            row.1 += 1;
        }
        out
    }

    /// The kept points.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// The kept points, which are forgotten: what runs for long takes them now and then.
    pub fn take_kept(&mut self) -> Vec<Kept> {
        std::mem::take(&mut self.kept)
    }

    /// All series.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.series.values()
    }

    /// Distinct identities.
    pub fn identities(&self) -> HashSet<u128> {
        self.series.keys().copied().collect()
    }
}

impl Series {
    /// An attribute on the point, then the scope, then the resource.
    pub fn get(&self, key: &str) -> Option<&AnyValue> {
        self.levels
            .iter()
            .flatten()
            .find(|kv| kv.key == key)
            .and_then(|kv| kv.value.as_ref())
    }

    /// Attributes of all levels as text, the point's own winning.
    pub fn text(&self) -> std::collections::BTreeMap<String, String> {
        let mut out = std::collections::BTreeMap::new();
        for kv in self.levels.iter().rev().flatten() {
            out.insert(kv.key.clone(), crate::truth::text(kv.value.as_ref()));
        }
        out
    }
}

fn put_context(
    out: &mut Vec<u8>,
    resource: &ResourceMetrics,
    scope: &ScopeMetrics,
    metric: &Metric,
) {
    put_attributes(
        out,
        resource.resource.as_ref().map_or(&[], |r| &r.attributes),
    );
    let (name, version, attributes): (&str, &str, &[KeyValue]) = scope
        .scope
        .as_ref()
        .map_or(("", "", &[]), |s| (&s.name, &s.version, &s.attributes));
    put_bytes(out, name.as_bytes());
    put_bytes(out, version.as_bytes());
    put_attributes(out, attributes);
    put_metric(out, metric);
}

fn describe(
    resource: &ResourceMetrics,
    scope: &ScopeMetrics,
    metric: &Metric,
    point: &[KeyValue],
) -> Series {
    Series {
        metric: metric.name.clone(),
        levels: [
            point.to_vec(),
            scope
                .scope
                .as_ref()
                .map(|s| s.attributes.clone())
                .unwrap_or_default(),
            resource
                .resource
                .as_ref()
                .map(|r| r.attributes.clone())
                .unwrap_or_default(),
        ],
        points: 0,
    }
}

/// What all kinds of points have in common.
struct Point<'a> {
    attributes: &'a [KeyValue],
    start: u64,
    time: u64,
    value: Option<f64>,
    count: Option<u64>,
    flags: u32,
    samples: usize,
}

fn each_point(metric: &Metric, mut f: impl FnMut(Point<'_>)) {
    match &metric.data {
        None => {}
        Some(Data::Gauge(g)) => g.data_points.iter().for_each(|p| f(number(p))),
        Some(Data::Sum(s)) => s.data_points.iter().for_each(|p| f(number(p))),
        Some(Data::Histogram(h)) => h.data_points.iter().for_each(|p| {
            f(Point {
                attributes: &p.attributes,
                start: p.start_time_unix_nano,
                time: p.time_unix_nano,
                value: p.sum,
                count: Some(p.count),
                flags: p.flags,
                // The bounds, +Inf, the count.
                samples: p.explicit_bounds.len() + 2 + usize::from(p.sum.is_some()),
            })
        }),
        Some(Data::ExponentialHistogram(h)) => h.data_points.iter().for_each(|p| {
            f(Point {
                attributes: &p.attributes,
                start: p.start_time_unix_nano,
                time: p.time_unix_nano,
                value: p.sum,
                count: Some(p.count),
                flags: p.flags,
                samples: 1,
            })
        }),
        Some(Data::Summary(s)) => s.data_points.iter().for_each(|p| {
            f(Point {
                attributes: &p.attributes,
                start: p.start_time_unix_nano,
                time: p.time_unix_nano,
                value: Some(p.sum),
                count: Some(p.count),
                flags: p.flags,
                samples: p.quantile_values.len() + 2,
            })
        }),
    }
}

fn number(p: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint) -> Point<'_> {
    let value = p.value.as_ref().map(|v| match v {
        Number::AsDouble(d) => *d,
        Number::AsInt(i) => *i as f64,
    });
    Point {
        attributes: &p.attributes,
        start: p.start_time_unix_nano,
        time: p.time_unix_nano,
        value,
        count: None,
        flags: p.flags,
        samples: 1,
    }
}

fn keep(id: u128, series: &Series, point: &Point<'_>) -> Kept {
    Kept {
        series: format!("{id:032x}"),
        metric: series.metric.clone(),
        attributes: series.text(),
        start: point.start,
        time: point.time,
        value: point.value,
        count: point.count,
        flags: point.flags,
    }
}
