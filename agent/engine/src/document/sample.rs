//! The `sample` stage as it is written.

mod read;

use super::stages::{is_yes, yes};
use super::{Match, Span};
use schemars::JsonSchema;
use serde::Serialize;

/// Thins out, in one of four ways: a fraction of entities (`fraction` and `entity`), one point a window
/// (`every`), or only points that say something new (`deadband`, `unchanged`).
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Which series are sampled.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Share of entities that is kept, 0 to 1; the same entities on every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fraction: Option<f64>,
    /// Attribute keys that make an entity; series that lack one are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entity: Vec<String>,
    /// Whether a later aggregation counts increments of kept entities for those that were not kept, by
    /// 1 / `fraction`; true by default.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub weighted: bool,
    /// Keep one point of each series in each window of this length: the last, or of deltas their sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Hold back points whose value lies this close to the last that passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadband: Option<Deadband>,
    /// Hold back points that say the same as the last that passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
    /// With `deadband` and `unchanged`: a point passes at least this often; 5m by default.
    #[serde(
        default = "Sample::heartbeat",
        skip_serializing_if = "Sample::is_heartbeat"
    )]
    pub heartbeat: Span,
}

/// How close to the last value that passed is nothing new: one of both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Deadband {
    /// In the metric's unit, above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub absolute: Option<f64>,
    /// As a share of the last value that passed, above 0 and below 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub relative: Option<f64>,
}

impl Sample {
    /// Default of the longest silence.
    pub fn heartbeat() -> Span {
        Span::seconds(300)
    }

    fn is_heartbeat(span: &Span) -> bool {
        *span == Self::heartbeat()
    }
}
