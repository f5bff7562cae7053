//! The stages of a pipeline as they are written in the document.

mod quantise;

pub use quantise::Quantise;

use super::{Filter, Match, Patterns, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// One step of a pipeline: an id and exactly one action.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(extend("unevaluatedProperties" = false))]
pub struct Stage {
    /// Unique in the pipeline: lower-case letters, digits and dashes. Seeds the sampling hash.
    #[schemars(regex(pattern = r"^[a-z0-9-]+$"), length(max = 63))]
    pub id: String,
    /// What the stage does.
    #[serde(flatten)]
    pub action: Action,
}

/// What a stage does.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Drops series by rules.
    Filter(Filter),
    /// Merges series by removing attributes, and points by window.
    Aggregate(Aggregate),
    /// Keeps a fraction of entities, or one point of each series in a window.
    Sample(Sample),
    /// Rounds the values of gauges.
    Quantise(Quantise),
}

impl Action {
    /// The key under which the action is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Filter(_) => "filter",
            Action::Aggregate(_) => "aggregate",
            Action::Sample(_) => "sample",
            Action::Quantise(_) => "quantise",
        }
    }
}

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
    /// How gauges are merged; a matching gauge passes as it is where no function is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
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
    /// Says that a later tier merges the outputs of all nodes: no `phoenix.node` is added.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merged_later: bool,
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

    fn is_interval(span: &Span) -> bool {
        *span == Self::interval()
    }

    fn is_lateness(span: &Span) -> bool {
        *span == Self::lateness()
    }

    fn is_expiry(span: &Span) -> bool {
        *span == Self::expiry()
    }
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

/// Thins out: a fraction of entities (`fraction` and `entity`), or one point a window (`every`).
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
    /// Keep the last point of each series in each window of this length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
}

/// A list of one is written as its one value.
pub(super) fn one_or_many<T: Serialize, S: Serializer>(
    list: &[T],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match list {
        [one] => one.serialize(serializer),
        many => many.serialize(serializer),
    }
}

impl Match {
    /// The one exact metric name that this can match, if there is just one.
    pub fn only_metric(&self) -> Option<String> {
        self.metric.as_ref().and_then(Patterns::only_exact)
    }
}
