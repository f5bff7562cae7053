//! The `filter` stage as it is written.

mod read;

pub(super) use read::unmeasured;

use super::{Comparison, Match, MetricType, Span, Temporality};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Drops series: those that a `drop` rule matches, or those that no `keep` rule matches. With a
/// condition on the value it decides point by point; with `drop_when`, about whole entities.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// What matches any of these is dropped.
    Drop(#[schemars(length(min = 1))] Vec<Rule>),
    /// What matches none of these is dropped.
    Keep(#[schemars(length(min = 1))] Vec<Rule>),
    /// Entities that meet every condition for long enough are dropped.
    #[serde(untagged)]
    Entities(Entities),
}

/// Drops entities as a whole while they meet every condition.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entities {
    /// Which series of an entity are dropped.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Attribute keys that make an entity; a series that lacks one passes.
    #[schemars(length(min = 1))]
    pub entity: Vec<String>,
    /// What must hold in every window, all of it. What was not seen in a window does not hold.
    #[schemars(length(min = 1, max = 16))]
    pub drop_when: Vec<When>,
    /// For how long; whole windows. 5m by default.
    #[serde(
        rename = "for",
        default = "Entities::lasting",
        skip_serializing_if = "Entities::is_lasting"
    )]
    pub lasting: Span,
    /// Length of a window; an entity is dropped or passes from one edge to the next. 60s by default.
    #[serde(
        default = "Entities::interval",
        skip_serializing_if = "Entities::is_interval"
    )]
    pub interval: Span,
}

/// A condition on what an entity uses.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(extend("unevaluatedProperties" = false))]
pub struct When {
    /// Which of its series are measured.
    #[serde(flatten)]
    pub series: Match,
    /// How; `value` by default.
    #[serde(default, skip_serializing_if = "How::is_value")]
    pub by: How,
    /// Less than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// More than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
}

/// How the use of an entity is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The sum over its series of the last value in the window: of gauges, of sums that are not
    /// monotonic, of deltas.
    #[default]
    Value,
    /// What its series gained in the window, a second: of counters, deltas, and the counts of
    /// histograms.
    Rate,
}

impl How {
    fn is_value(&self) -> bool {
        *self == How::Value
    }
}

impl Entities {
    /// Default time for which the conditions must hold.
    pub fn lasting() -> Span {
        Span::seconds(300)
    }

    /// Default length of a window.
    pub fn interval() -> Span {
        Span::seconds(60)
    }

    fn is_lasting(span: &Span) -> bool {
        *span == Self::lasting()
    }

    fn is_interval(span: &Span) -> bool {
        *span == Self::interval()
    }
}

impl When {
    /// Its bounds.
    pub fn comparison(&self) -> Comparison {
        Comparison {
            gt: self.above,
            lt: self.below,
            ..Comparison::default()
        }
    }
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

impl Filter {
    /// Whether it looks at points, not at series alone.
    pub fn has_values(&self) -> bool {
        match self {
            Filter::Drop(rules) | Filter::Keep(rules) => {
                rules.iter().any(|rule| rule.value.is_some())
            }
            Filter::Entities(_) => true,
        }
    }
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
