//! Which innermost aggregations read a series that an arm writes, and in which group it is.

use super::partial::Labels;
use super::{Function, Grouping, Inner, LabelMatch, Names, Op, Queries, Style};
use crate::document::Problem;
use crate::prometheus::{self, NAME, Naming};
use crate::view::{MetricType, MetricView, SeriesView, Temporality};
use regex::Regex;

/// Label of a bucket's upper bound.
pub const LE: &str = "le";

/// Queries whose matchers are ready.
#[derive(Debug)]
pub struct Compiled {
    /// As they were sent.
    pub queries: Queries,
    inner: Vec<Vec<(String, Test)>>,
    naming: Naming,
}

impl PartialEq for Compiled {
    fn eq(&self, other: &Compiled) -> bool {
        self.queries == other.queries
    }
}

#[derive(Debug)]
struct Test {
    how: How,
    wanted: bool,
}

#[derive(Debug)]
enum How {
    Text(String),
    Pattern(Regex),
}

impl Test {
    fn holds(&self, text: &str) -> bool {
        self.wanted
            == match &self.how {
                How::Text(own) => own == text,
                How::Pattern(pattern) => pattern.is_match(text),
            }
    }
}

/// A series as queries see it: a number, or a part of a histogram or summary.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which aggregation reads it.
    pub inner: u32,
    /// Which of the point's values (see [`parts`]).
    pub part: usize,
    /// Its group.
    pub labels: Labels,
}

/// What a point of this metric holds, in the order of its values: the suffix of the name, and `le`.
/// `None`: nothing that queries read.
pub fn parts(
    metric: &MetricView<'_>,
    bounds: &[f64],
) -> Option<Vec<(&'static str, Option<String>)>> {
    match metric.kind {
        MetricType::Gauge => Some(vec![("", None)]),
        _ if metric.kind != MetricType::Summary
            && metric.temporality == Temporality::Unspecified =>
        {
            None
        }
        MetricType::Sum => Some(vec![("", None)]),
        MetricType::Summary => Some(vec![("_sum", None), ("_count", None)]),
        MetricType::Histogram => {
            let le = |bound: f64| ("_bucket", Some(prometheus::float(bound)));
            let mut parts: Vec<_> = bounds.iter().copied().map(le).collect();
            parts.push(le(f64::INFINITY));
            parts.extend([("_sum", None), ("_count", None)]);
            Some(parts)
        }
        MetricType::ExponentialHistogram => None,
    }
}

impl Compiled {
    /// Makes the matchers ready.
    ///
    /// # Errors
    /// An expression that cannot be read.
    pub fn new(queries: Queries) -> Result<Compiled, Vec<Problem>> {
        let mut inner = Vec::with_capacity(queries.inner.len());
        for of in &queries.inner {
            inner.push(
                of.matchers
                    .iter()
                    .map(test)
                    .collect::<Result<Vec<_>, _>>()?,
            );
        }
        let naming = Naming {
            promote: queries.names.promote.clone(),
            ..Naming::default()
        };
        Ok(Compiled {
            queries,
            inner,
            naming,
        })
    }

    /// The name and labels of a series; `None` where it has no name.
    pub fn name(&self, series: &SeriesView<'_>) -> Option<(String, Labels)> {
        match self.queries.names.style {
            Style::Prometheus => Some((
                prometheus::family(&series.metric)?,
                prometheus::labels(series, &self.naming),
            )),
            Style::Otel => Some((
                series.metric.name.to_owned(),
                plain(series, &self.queries.names),
            )),
        }
    }

    /// Every aggregation that reads a value of the series. `refused`: those that would read what is not
    /// evaluated.
    pub fn find(
        &self,
        series: &SeriesView<'_>,
        bounds: &[f64],
        refused: &mut Vec<u32>,
    ) -> Vec<Found> {
        let Some((name, labels)) = self.name(series) else {
            return Vec::new();
        };
        let Some(parts) = parts(&series.metric, bounds) else {
            let own = |n: &u32| self.matches(*n, &name, &labels, None);
            refused.extend((0..self.inner.len() as u32).filter(own));
            return Vec::new();
        };
        let delta = series.metric.temporality == Temporality::Delta;
        let mut found = Vec::new();
        for (part, (suffix, le)) in parts.iter().enumerate() {
            let name = format!("{name}{suffix}");
            for (number, inner) in (0u32..).zip(&self.queries.inner) {
                // A change says nothing of a level.
                if delta && inner.function == Function::Last {
                    continue;
                }
                if self.matches(number, &name, &labels, le.as_deref()) {
                    found.push(Found {
                        inner: number,
                        part,
                        labels: group(inner, &labels, le.as_deref()),
                    });
                }
            }
        }
        found
    }

    fn matches(&self, number: u32, name: &str, labels: &Labels, le: Option<&str>) -> bool {
        let Some(tests) = self.inner.get(number as usize) else {
            return false;
        };
        let label = |label: &str| match label {
            NAME => name,
            LE if le.is_some() => le.unwrap_or_default(),
            _ => labels.get(label).map_or("", String::as_str),
        };
        tests.iter().all(|(name, test)| test.holds(label(name)))
    }
}

fn test(of: &LabelMatch) -> Result<(String, Test), Vec<Problem>> {
    let how = match of.op {
        Op::Equal | Op::NotEqual => How::Text(of.value.clone()),
        Op::Matches | Op::MatchesNot => How::Pattern(whole(&of.value)?),
    };
    let wanted = matches!(of.op, Op::Equal | Op::Matches);
    Ok((of.label.clone(), Test { how, wanted }))
}

/// An expression that has to match all of a value, as Prometheus reads it.
///
/// # Errors
/// It cannot be read.
pub fn whole(text: &str) -> Result<Regex, Vec<Problem>> {
    Regex::new(&format!("^(?s:{text})$")).map_err(|e| {
        let why = e.to_string();
        let why = why.lines().last().unwrap_or_default();
        vec![Problem::new(
            "",
            format!("`{text}` is no expression: {why}"),
        )]
    })
}

fn group(inner: &Inner, labels: &Labels, le: Option<&str>) -> Labels {
    let le = le.map(|le| (LE, le));
    let own = labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    own.filter(|(key, _)| le.is_none() || *key != LE)
        .chain(le)
        .filter(|(key, _)| match &inner.grouping {
            Grouping::By(keys) => keys.iter().any(|k| k == key),
            Grouping::Without(keys) => !keys.iter().any(|k| k == key),
        })
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Attributes under their own keys; `job` and `instance` as in the translation.
fn plain(series: &SeriesView<'_>, names: &Names) -> Labels {
    let mut labels = Labels::new();
    let promoted = series
        .resource_attributes()
        .filter(|(key, _)| names.promote.iter().any(|p| p == key));
    for (key, value) in promoted.chain(series.point_attributes()) {
        labels.insert(key.to_owned(), prometheus::value(value).into_owned());
    }
    let target = prometheus::labels(
        series,
        &Naming {
            promote: Vec::new(),
            scope: false,
        },
    );
    for key in ["job", "instance"] {
        if let Some(value) = target.get(key) {
            labels.insert(key.to_owned(), value.clone());
        }
    }
    labels.retain(|_, value| !value.is_empty());
    labels
}
