//! Protected queries, the part that an agent evaluates: the innermost aggregation of a PromQL query over
//! what an arm writes, as partials that add up over agents.
//!
//! The control plane divides a query (`phoenix-analysis`); an agent is given [`Queries`] as JSON. Nothing
//! of this runs while there are none.

mod groups;
pub mod partial;
pub mod select;
mod series;
pub mod watch;

use crate::document::Problem;
use serde::{Deserialize, Serialize};

/// Groups of all innermost aggregations of one arm: what fits into a report of its windows.
pub const GROUPS: usize = 2_000;
/// Groups of one innermost aggregation; with more it is not evaluated.
pub const GROUPS_EACH: usize = 500;
/// Series (buckets count as one each) that innermost aggregations of one arm read; with more they are
/// not evaluated.
pub const SEATS: usize = 200_000;
/// Innermost aggregations of an experiment.
pub const INNER: usize = 64;
/// Steps of the longest range that is kept for each series.
pub const STEPS: u32 = 720;

/// What an agent evaluates on the output of both arms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queries {
    /// Length of a step: the experiment's window. Steps are aligned to the Unix epoch.
    pub step_ms: u64,
    /// The names that queries are written in.
    #[serde(default)]
    pub names: Names,
    /// Reports name them by their place here.
    pub inner: Vec<Inner>,
    /// Count the samples that an arm writes, and their series, as Prometheus has them. Sent beside this JSON and
    /// not in it: agents of before refuse a field that they do not know.
    #[serde(default, skip_serializing)]
    pub volume: bool,
}

/// How OpenTelemetry names become those of queries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Names {
    /// Which names.
    pub style: Style,
    /// Resource attributes that become labels, beside `job` and `instance`.
    pub promote: Vec<String>,
}

/// Which names queries are written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// OpenTelemetry's translation, with unit and type suffixes.
    #[default]
    Prometheus,
    /// As they came: `{"process.cpu.time"}`.
    Otel,
}

/// An innermost aggregation: series, what of each, and by what they are grouped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inner {
    /// All must hold; `__name__` is the metric's name.
    pub matchers: Vec<LabelMatch>,
    /// What a series gives.
    pub function: Function,
    /// What makes a group.
    pub grouping: Grouping,
}

/// What a series gives to its group at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Function {
    /// Its latest value, not older than [`LOOKBACK_MS`].
    Last,
    /// What it grew in the step. Only sums of it add up over steps and series: minimum, maximum and
    /// count are of points.
    Increase,
    /// What it grew in so many steps up to this one.
    IncreaseOver(u32),
}

/// A value older than this is gone, as in Prometheus.
pub const LOOKBACK_MS: u64 = 300_000;

/// What makes a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Grouping {
    /// These labels, where they are set.
    By(Vec<String>),
    /// All but these and the name.
    Without(Vec<String>),
}

/// A condition on a label; one that is not set is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelMatch {
    /// Label name.
    pub label: String,
    /// How.
    pub op: Op,
    /// A text, or a regular expression for the whole value.
    pub value: String,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// The same text.
    #[serde(rename = "=")]
    Equal,
    /// Another text.
    #[serde(rename = "!=")]
    NotEqual,
    /// The expression matches all of it.
    #[serde(rename = "=~")]
    Matches,
    /// It does not.
    #[serde(rename = "!~")]
    MatchesNot,
}

/// Groups that each of so many innermost aggregations may have; with more it is not evaluated.
pub fn groups_each(inner: usize) -> usize {
    (GROUPS / inner.max(1)).min(GROUPS_EACH)
}

impl Queries {
    /// Reads what the control plane sent; empty text is no queries.
    ///
    /// # Errors
    /// No JSON of this shape, or beyond the limits of this module.
    pub fn parse(text: &str) -> Result<Queries, Vec<Problem>> {
        if text.is_empty() {
            return Ok(Queries::default());
        }
        let one = |message: String| vec![Problem::new("", message)];
        let queries: Queries = serde_json::from_str(text)
            .map_err(|e| one(format!("{e}; use agents and control plane of one version")))?;
        if queries.inner.len() > INNER {
            return Err(one(format!(
                "{} innermost aggregations; at most {INNER} are evaluated",
                queries.inner.len()
            )));
        }
        if queries.step_ms == 0 && !queries.is_empty() {
            return Err(one("a step of no length".into()));
        }
        for inner in &queries.inner {
            inner.check()?;
        }
        Ok(queries)
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty() && !self.volume
    }

    /// What tells each from every other, in whatever list it is: XXH3-64 of its JSON as hex digits. In order.
    pub fn keys(&self) -> Vec<String> {
        // Of texts and numbers: writing it cannot fail.
        let text = |inner: &Inner| serde_json::to_string(inner).unwrap_or_default();
        let inner = self.inner.iter();
        inner
            .map(|i| format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text(i).as_bytes())))
            .collect()
    }
}

impl Inner {
    fn check(&self) -> Result<(), Vec<Problem>> {
        let one = |message: String| Err(vec![Problem::new("", message)]);
        if let Function::IncreaseOver(steps) = self.function
            && !(1..=STEPS).contains(&steps)
        {
            return one(format!(
                "a range of {steps} steps; at most {STEPS} are kept"
            ));
        }
        Ok(())
    }
}
