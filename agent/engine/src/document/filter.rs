//! The `filter` stage as it is written.

mod read;

use super::{Comparison, Match, MetricType, Temporality};
use schemars::JsonSchema;
use serde::Serialize;

/// Drops series: those that a `drop` rule matches, or those that no `keep` rule matches. With a
/// condition on the value it decides point by point.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// What matches any of these is dropped.
    Drop(#[schemars(length(min = 1))] Vec<Rule>),
    /// What matches none of these is dropped.
    Keep(#[schemars(length(min = 1))] Vec<Rule>),
}

/// A rule of a filter: conditions on the series, and one on the value of each point.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(extend("unevaluatedProperties" = false))]
pub struct Rule {
    /// Which series.
    #[serde(flatten)]
    pub series: Match,
    /// Which points: gauges, delta sums and sums that are not monotonic. A point of anything else
    /// never matches: how long a counter has run says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Comparison>,
}

impl Rule {
    /// Whether no point can match: the conditions leave only types whose values are not compared.
    fn is_never(&self) -> bool {
        let types = &self.series.types;
        let has = |wanted| types.is_empty() || types.contains(&wanted);
        let counter = self.series.temporality == Some(Temporality::Cumulative)
            && self.series.monotonic == Some(true);
        // A gauge has no temporality and is not monotonic.
        let gauge = has(MetricType::Gauge)
            && self.series.temporality.is_none()
            && self.series.monotonic != Some(true);
        let sum = has(MetricType::Sum) && !counter;
        self.value.is_some() && !gauge && !sum
    }
}
