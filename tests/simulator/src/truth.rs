//! What was really sent: every accepted point, and totals per group worked out from them.

use crate::identity::{identity, put_attributes};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, metric::Data, number_data_point::Value as Number,
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// An attribute value as people write it.
pub fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|v| v.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(s)) => s.clone(),
        Some(Value::BoolValue(b)) => b.to_string(),
        Some(Value::IntValue(i)) => i.to_string(),
        Some(Value::DoubleValue(d)) => d.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

/// How a series' values add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Adds {
    /// Cumulative and monotonic: increments between points.
    Cumulative,
    /// Each point is an increment.
    Delta,
    /// The latest value counts.
    Latest,
}

#[derive(Debug)]
struct Series {
    metric: String,
    attributes: BTreeMap<String, String>,
    adds: Adds,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    series: u32,
    start: u64,
    time: u64,
    /// Value, or a histogram's sum.
    value: f64,
    /// A histogram's count, else 0.
    count: u64,
}

/// Everything sent and accepted.
#[derive(Debug, Default)]
pub struct Truth {
    ids: HashMap<u128, u32>,
    series: Vec<Series>,
    points: Vec<Point>,
}

/// Points and distinct series of a stretch of time.
#[derive(Debug, Default, Serialize)]
pub struct Live {
    /// Points with a time in (from, to].
    pub points: u64,
    /// Distinct series among them.
    pub series: u64,
    /// The same by metric name.
    pub metrics: BTreeMap<String, (u64, u64)>,
}

/// The total of one group.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Total {
    /// The group's attributes.
    pub group: BTreeMap<String, String>,
    /// Sum of increments in (from, to] (of the latest values, where values do not add up over time).
    pub total: f64,
    /// Sum of histogram counts' increments.
    pub count: u64,
    /// Points.
    pub points: u64,
    /// Distinct series.
    pub series: u64,
}

impl Truth {
    /// Takes an accepted request into the account.
    pub fn record(&mut self, request: &ExportMetricsServiceRequest) {
        for resource in &request.resource_metrics {
            let of_resource = resource
                .resource
                .as_ref()
                .map_or(&[][..], |r| &r.attributes);
            for metric in resource.scope_metrics.iter().flat_map(|s| &s.metrics) {
                let (adds, points) = flatten(metric.data.as_ref());
                for (attributes, mut point) in points {
                    let mut key = metric.name.clone().into_bytes();
                    put_attributes(&mut key, of_resource);
                    put_attributes(&mut key, attributes);
                    point.series = *self.ids.entry(identity(&key)).or_insert_with(|| {
                        let all = of_resource.iter().chain(attributes);
                        self.series.push(Series {
                            metric: metric.name.clone(),
                            attributes: all
                                .map(|kv| (kv.key.clone(), text(kv.value.as_ref())))
                                .collect(),
                            adds,
                        });
                        (self.series.len() - 1) as u32
                    });
                    self.points.push(point);
                }
            }
        }
    }

    /// Points sent so far.
    pub fn sent(&self) -> u64 {
        self.points.len() as u64
    }

    fn within(&self, from: u64, to: u64) -> impl Iterator<Item = &Point> {
        self.points
            .iter()
            .filter(move |p| p.time > from && p.time <= to)
    }

    /// What spoke in (from, to], Unix nanoseconds.
    pub fn live(&self, from: u64, to: u64) -> Live {
        let mut live = Live::default();
        let mut seen = HashSet::new();
        for point in self.within(from, to) {
            let new = seen.insert(point.series);
            let row = live
                .metrics
                .entry(self.series[point.series as usize].metric.clone())
                .or_default();
            live.points += 1;
            row.0 += 1;
            row.1 += u64::from(new);
        }
        live.series = seen.len() as u64;
        live
    }

    /// Totals of one metric in (from, to], grouped by attributes (of point and resource).
    ///
    /// A cumulative series that started before `from` adds what it grew by since its last point at or
    /// before `from`; without such a point its first one adds nothing.
    pub fn totals(&self, metric: &str, by: &[String], from: u64, to: u64) -> Vec<Total> {
        let mut groups: BTreeMap<Vec<String>, (Total, HashSet<u32>)> = BTreeMap::new();
        let mut last: HashMap<u32, Point> = HashMap::new();
        for point in self.points.iter().filter(|p| p.time <= to) {
            let series = &self.series[point.series as usize];
            if series.metric != metric {
                continue;
            }
            let before = last.insert(point.series, *point);
            if point.time <= from {
                continue;
            }
            let key = by
                .iter()
                .map(|k| series.attributes.get(k).cloned().unwrap_or_default())
                .collect();
            let (total, seen) = groups.entry(key).or_default();
            total.points += 1;
            seen.insert(point.series);
            let (value, count) = grown(series.adds, before, point, from);
            total.total += value;
            total.count += count;
        }
        let named = |key: Vec<String>| by.iter().cloned().zip(key).collect();
        groups
            .into_iter()
            .map(|(key, (total, seen))| Total {
                group: named(key),
                series: seen.len() as u64,
                ..total
            })
            .collect()
    }
}

fn grown(adds: Adds, before: Option<Point>, point: &Point, from: u64) -> (f64, u64) {
    match (adds, before) {
        (Adds::Delta, _) => (point.value, point.count),
        (Adds::Latest, before) => (
            point.value - before.filter(|b| b.time > from).map_or(0.0, |b| b.value),
            0,
        ),
        (Adds::Cumulative, Some(b)) if b.start == point.start => (
            point.value - b.value,
            point.count - b.count.min(point.count),
        ),
        (Adds::Cumulative, Some(_)) => (point.value, point.count),
        (Adds::Cumulative, None) if point.start >= from => (point.value, point.count),
        (Adds::Cumulative, None) => (0.0, 0),
    }
}

type Attributes = [opentelemetry_proto::tonic::common::v1::KeyValue];

fn flatten(data: Option<&Data>) -> (Adds, Vec<(&Attributes, Point)>) {
    let adds = |temporality: i32, monotonic: bool| {
        if temporality == AggregationTemporality::Delta as i32 {
            Adds::Delta
        } else if monotonic {
            Adds::Cumulative
        } else {
            Adds::Latest
        }
    };
    let number = |p: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| Point {
        series: 0,
        start: p.start_time_unix_nano,
        time: p.time_unix_nano,
        value: match p.value {
            Some(Number::AsDouble(d)) => d,
            Some(Number::AsInt(i)) => i as f64,
            None => 0.0,
        },
        count: 0,
    };
    match data {
        Some(Data::Gauge(g)) => (
            Adds::Latest,
            g.data_points
                .iter()
                .map(|p| (&p.attributes[..], number(p)))
                .collect(),
        ),
        Some(Data::Sum(s)) => (
            adds(s.aggregation_temporality, s.is_monotonic),
            s.data_points
                .iter()
                .map(|p| (&p.attributes[..], number(p)))
                .collect(),
        ),
        Some(Data::Histogram(h)) => (
            adds(h.aggregation_temporality, true),
            h.data_points
                .iter()
                .map(|p| {
                    let point = Point {
                        series: 0,
                        start: p.start_time_unix_nano,
                        time: p.time_unix_nano,
                        value: p.sum.unwrap_or(0.0),
                        count: p.count,
                    };
                    (&p.attributes[..], point)
                })
                .collect(),
        ),
        _ => (Adds::Latest, Vec::new()),
    }
}
