//! The `topk` stage as it is written.

mod read;

use super::{Aggregate, Condition, Function, Match, Patterns, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Keeps the entities that rank first by what they use; all others are folded into `other`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topk {
    /// Which series; all by default. A series that lacks a key of the entity passes.
    #[serde(
        rename = "match",
        default,
        skip_serializing_if = "super::stages::is_any"
    )]
    pub matches: Match,
    /// Attribute keys that make an entity.
    #[schemars(length(min = 1))]
    pub entity: Vec<String>,
    /// What entities are ranked by: one metric, or a mix of several.
    #[serde(serialize_with = "super::stages::one_or_many")]
    #[schemars(with = "super::schema::OneOrMany<Rank>")]
    pub rank: Vec<Rank>,
    /// How many entities are kept. Either `k` or `bands`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub k: Option<u32>,
    /// How many are kept, by how loaded the node is. Either `k` or `bands`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bands: Option<Bands>,
    /// A member stays while it ranks within k + hysteresis; 0 by default.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hysteresis: u32,
    /// What becomes of all others: `true` (the default), the way in which gauges are merged, a
    /// mapping, or `false`: they are filtered.
    #[serde(default, skip_serializing_if = "Other::is_default")]
    #[schemars(with = "Written")]
    pub other: Other,
    /// Length of a window; members change at its end. 60s by default.
    #[serde(
        default = "Aggregate::interval",
        skip_serializing_if = "super::stages::is_interval"
    )]
    pub interval: Span,
    /// How long after its end a window waits for late points; 5s by default.
    #[serde(
        default = "Aggregate::lateness",
        skip_serializing_if = "super::stages::is_lateness"
    )]
    pub lateness: Span,
    /// After how long without a point a series is forgotten; 5m by default.
    #[serde(
        default = "Aggregate::expiry",
        skip_serializing_if = "super::stages::is_expiry"
    )]
    pub expiry: Span,
}

/// One metric that entities are ranked by.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    /// Metric name.
    pub metric: Patterns,
    /// Attributes, as in a match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Condition>,
    /// `value` (sum of the last values) or `rate` (gain a second).
    pub by: By,
    /// Its part in a mix, above 0; 1 by default. Each metric counts by its share of the node's total.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
}

/// How a metric weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The last value in the window.
    Value,
    /// What it gained in the window, a second.
    Rate,
}

/// A number of members that depends on how loaded the node is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bands {
    /// What tells how loaded the node is.
    pub load: Load,
    /// The last step whose `above` is below the load counts; the first where there is none.
    #[schemars(length(min = 1))]
    pub steps: Vec<Step>,
}

/// What tells how loaded a node is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Metric name.
    pub metric: Patterns,
    /// Attributes, as in a match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Condition>,
    /// `value` or `rate`.
    pub by: By,
    /// Over the metric's series: `max` (the default), `mean` or `sum`.
    #[serde(default, skip_serializing_if = "Over::is_default")]
    pub function: Over,
}

/// Over several series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// The largest.
    #[default]
    Max,
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
}

impl Over {
    fn is_default(&self) -> bool {
        *self == Over::Max
    }
}

/// One step of the bands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The load above which it counts.
    pub above: f64,
    /// How many entities are kept.
    #[schemars(range(min = 1))]
    pub k: u32,
}

/// In what ways `other` can be written.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)]
enum Written {
    Whether(bool),
    Gauges(Function),
    Merged(Merged),
}

/// What becomes of those that are not members.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Other {
    /// `false`: they are filtered.
    Filtered(bool),
    /// They are merged.
    Merged(Merged),
}

/// How all others are merged.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// How gauges are merged: `sum` (the default), `min`, `max`, `last`, or `mean` (written as
    /// `NAME.mean`).
    #[serde(default = "sum", skip_serializing_if = "is_sum")]
    pub gauges: Function,
    /// Further attribute keys that are removed, beside those of the entity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

impl Default for Other {
    fn default() -> Self {
        Other::Merged(Merged {
            gauges: Function::Sum,
            without: Vec::new(),
        })
    }
}

impl Other {
    fn is_default(&self) -> bool {
        *self == Other::default()
    }
}

fn one() -> f64 {
    1.0
}

fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn sum() -> Function {
    Function::Sum
}

fn is_sum(function: &Function) -> bool {
    *function == Function::Sum
}
