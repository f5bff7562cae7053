//! `aggregate` as it is written in the document.

use super::{is_yes, yes};
use crate::document::{Match, Patterns, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Merges the matching series into fewer: one output series for each combination of the attributes
/// that are kept, one point a window.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// Which series are merged.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Attribute keys that are kept, wherever they are. Either `by` or `without`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Vec<String>>,
    /// Attribute keys that are removed, wherever they are. Either `by` or `without`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<Vec<String>>,
    /// Length of a window; 60s by default.
    #[serde(
        default = "Aggregate::interval",
        skip_serializing_if = "Aggregate::is_interval"
    )]
    pub interval: Span,
    /// How gauges are merged that no entry of `functions` names; a matching gauge without a function
    /// passes as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
    /// How gauges are merged, metric by metric: the first entry that matches decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<MetricFunction>,
    /// What is made of summaries; they pass as they are where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Extract>,
    /// Name of the output: a text, or a template in which `{name}` is the metric's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename: Option<String>,
    /// How long after its end a window waits for late points; 5s by default.
    #[serde(
        default = "Aggregate::lateness",
        skip_serializing_if = "Aggregate::is_lateness"
    )]
    pub lateness: Span,
    /// After how long without a point an input's state is freed; 5m by default.
    #[serde(
        default = "Aggregate::expiry",
        skip_serializing_if = "Aggregate::is_expiry"
    )]
    pub expiry: Span,
    /// The inputs also pass on unchanged, beside the outputs; needs a `rename`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_original: bool,
    /// Says that a later tier merges the outputs of all nodes: no `phoenix.node` is added.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merged_later: bool,
    /// Whether increments of series that a `fraction` kept count for those that it did not; true by
    /// default.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub weighted: bool,
}

impl Aggregate {
    /// Default length of a window.
    pub fn interval() -> Span {
        Span::seconds(60)
    }

    /// Default wait for late points.
    pub fn lateness() -> Span {
        Span::seconds(5)
    }

    /// Default time after which a silent input is forgotten.
    pub fn expiry() -> Span {
        Span::seconds(300)
    }

    pub(in crate::document) fn is_interval(span: &Span) -> bool {
        *span == Self::interval()
    }

    pub(in crate::document) fn is_lateness(span: &Span) -> bool {
        *span == Self::lateness()
    }

    pub(in crate::document) fn is_expiry(span: &Span) -> bool {
        *span == Self::expiry()
    }
}

/// How the gauges of some metrics are merged.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricFunction {
    /// Metric name.
    pub metric: Patterns,
    /// How they are merged.
    pub function: Function,
}

/// What is made of summaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Extract {
    /// Two cumulative monotonic sums: `{name}.sum` in the metric's unit, `{name}.count` of unit 1.
    SumCount,
}

/// How gauges are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Sum of the inputs' last values.
    Sum,
    /// Smallest of all points.
    Min,
    /// Largest of all points.
    Max,
    /// The newest value.
    Last,
    /// Mean of the inputs' last values; needs a `rename`.
    Mean,
    /// Number of inputs; needs a `rename`.
    Count,
}
