//! The stages of a pipeline as they are written in the document.

mod aggregate;
mod histogram;
mod quantise;

pub use aggregate::{Aggregate, Extract, Function, MetricFunction};
pub use histogram::Histogram;
pub use quantise::Quantise;

use super::{Filter, Match, Patterns, Sample};
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
    /// Gives histograms fewer buckets.
    Histogram(Histogram),
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
        }
    }
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn is_yes(truth: &bool) -> bool {
    *truth
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
