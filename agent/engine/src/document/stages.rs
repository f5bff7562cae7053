//! The stages of a pipeline as they are written in the document.

mod aggregate;
mod histogram;
mod quantise;
mod temporality;
mod transform;

pub use aggregate::{Aggregate, Extract, Function, MetricFunction};
pub use histogram::{Buckets, Histogram};
pub use quantise::Quantise;
pub use temporality::Convert;
pub use transform::{
    Class, Classify, Copy, Level, NamedPattern, Normalise, Operation, Remove, RenameAttribute,
    RenameMetric, Replacement, Scalar, Set, Transform,
};

use super::{Filter, Limit, Match, Patterns, Sample, Span, Topk};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

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
    /// Gives histograms fewer buckets, or explicit ones.
    Histogram(Histogram),
    /// Cumulative to delta, or delta to cumulative.
    Temporality(Convert),
    /// Keeps the entities that rank first.
    Topk(Topk),
    /// Keeps as many series as the budget has places.
    Limit(Limit),
    /// Changes names and attributes.
    Transform(Transform),
}

impl Action {
    /// The key under which the action is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Filter(_) => "filter",
            Action::Aggregate(_) => "aggregate",
            Action::Sample(_) => "sample",
            Action::Quantise(_) => "quantise",
            Action::Histogram(_) => "histogram",
            Action::Temporality(_) => "temporality",
            Action::Topk(_) => "topk",
            Action::Limit(_) => "limit",
            Action::Transform(_) => "transform",
        }
    }
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn is_yes(truth: &bool) -> bool {
    *truth
}

/// Whether a rule matches every series.
pub(super) fn is_any(rule: &Match) -> bool {
    *rule == Match::default()
}

/// Whether a window has its default length.
pub(super) fn is_interval(span: &Span) -> bool {
    Aggregate::is_interval(span)
}

/// Whether the wait for late points is the default.
pub(super) fn is_lateness(span: &Span) -> bool {
    Aggregate::is_lateness(span)
}

/// Whether silent state is freed after the default time.
pub(super) fn is_expiry(span: &Span) -> bool {
    Aggregate::is_expiry(span)
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
