//! What an innermost aggregation found: mergeable, whatever agent, worker or window it comes from.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels of a group.
pub type Labels = BTreeMap<String, String>;

/// What one arm of one agent found, of the steps that closed since the report before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Partials {
    /// Steps in (from, until] are complete with this report and those before; Unix epoch milliseconds.
    /// Equal where none is.
    pub from_ms: u64,
    /// See `from_ms`.
    pub until_ms: u64,
    /// By inner aggregation and step; one that found nothing is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What was written, by step, where it was asked for. A step of the range that is missing here was not
    /// counted whole: there were too many series.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume: Vec<Volume>,
    /// Points whose step had closed before they came: counted in the oldest that was open.
    #[serde(skip_serializing_if = "is_zero")]
    pub late: u64,
    /// Inner aggregations that were not evaluated, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unchecked: BTreeMap<u32, String>,
}

/// One inner aggregation at one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its place in [`super::Queries::inner`].
    pub inner: u32,
    /// End of the step, Unix epoch milliseconds; it holds the points of (end - step, end].
    pub end_ms: u64,
    /// Groups that have data, by labels.
    pub groups: Vec<Group>,
}

/// What an arm wrote in one step, as Prometheus counts it: a histogram is a sample a bucket, and more. What
/// has no form there is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// End of the step, Unix epoch milliseconds.
    pub end_ms: u64,
    /// Series that had a sample in it.
    pub series: u64,
    /// Samples.
    pub samples: u64,
}

/// One group at one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What makes it.
    pub labels: Labels,
    /// What was found.
    pub value: Partial,
}

/// Sum, count, minimum and maximum of what series gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// Of the values.
    pub sum: f64,
    /// Values; above 0.
    pub count: u64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

impl Default for Partial {
    fn default() -> Partial {
        Partial {
            sum: 0.0,
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Partial {
    /// Of one value.
    pub fn of(value: f64) -> Partial {
        Partial {
            sum: value,
            count: 1,
            min: value,
            max: value,
        }
    }

    /// Takes another's values.
    pub fn merge(&mut self, other: &Partial) {
        self.sum += other.sum;
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Partials {
    /// Takes what another worker of the same node found, cut at the same edge.
    pub fn unite(&mut self, other: Partials) {
        self.from_ms = self.from_ms.max(other.from_ms);
        self.until_ms = self.until_ms.min(other.until_ms).max(self.from_ms);
        self.late += other.late;
        self.unchecked.extend(other.unchecked);
        let theirs = |end| other.volume.iter().find(|v| v.end_ms == end).copied();
        self.volume = std::mem::take(&mut self.volume)
            .into_iter()
            .filter_map(|own| {
                // Not known of one worker is not known.
                let more = theirs(own.end_ms)?;
                Some(Volume {
                    series: own.series + more.series,
                    samples: own.samples + more.samples,
                    ..own
                })
            })
            .collect();
        let mut all: BTreeMap<(u64, u32), BTreeMap<Labels, Partial>> = BTreeMap::new();
        for step in std::mem::take(&mut self.steps)
            .into_iter()
            .chain(other.steps)
        {
            let into = all.entry((step.end_ms, step.inner)).or_default();
            for group in step.groups {
                into.entry(group.labels).or_default().merge(&group.value);
            }
        }
        self.steps = all
            .into_iter()
            .map(|((end_ms, inner), groups)| Step {
                inner,
                end_ms,
                groups: groups
                    .into_iter()
                    .map(|(labels, value)| Group { labels, value })
                    .collect(),
            })
            .collect();
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}
