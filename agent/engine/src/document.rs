//! The pipeline document: its types, and the problems that a user can be told about.
//!
//! Text becomes a document in `document/read.rs` and nowhere else; `document/canonical.rs` gives a
//! document its identity. A stage's own types live in `document/stages.rs`.

mod canonical;
mod comparison;
mod condition;
mod fields;
mod filter;
mod limit;
mod meet;
mod pattern;
mod read;
mod read_stages;
mod sample;
mod schema;
mod span;
mod stages;
mod topk;

pub use crate::matcher::Matcher;
pub use comparison::Comparison;
pub use condition::{Condition, Presence};
pub use filter::{Entities, Filter, How, Rule, When};
pub use limit::{Alarm, Limit, Overflow, Per};
pub(crate) use meet::same;
pub use pattern::Patterns;
pub(crate) use read::draft;
pub use read::{parse, parse_matchers};
pub use sample::{Deadband, Sample};
pub use schema::schema;
pub use span::Span;
pub use stages::{
    Action, Aggregate, Buckets, Convert, Extract, Function, Histogram, MetricFunction, Quantise,
    Stage,
};
pub use stages::{
    Class, Classify, Copy, Level, NamedPattern, Normalise, Operation, Remove, RenameAttribute,
    RenameMetric, Replacement, Scalar, Set, Transform,
};
pub use topk::{Bands, By, Load, Merged, Other, Over, Rank, Step, Topk};

pub use crate::yaml::{Mended, from_yaml, kind_of, mend, split_documents};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A mistake of the user, where it is, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Path in the document: `spec.stages[2].aggregate.by[0]`; empty for the document as a whole.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem {
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// The only `apiVersion` there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ApiVersion {
    /// `phoenix/v1`.
    #[default]
    #[serde(rename = "phoenix/v1")]
    V1,
}

/// `kind` of a pipeline document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Kind {
    /// `Pipeline`.
    #[default]
    Pipeline,
}

/// A pipeline: what is done to metrics on a node before they leave it.
///
/// Deserialising one (from any format) goes through the same reader as [`parse`], so that there is
/// one set of rules.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// Always `phoenix/v1`.
    pub api_version: ApiVersion,
    /// Always `Pipeline`.
    pub kind: Kind,
    /// Name and description.
    pub metadata: Metadata,
    /// What the pipeline does.
    pub spec: Spec,
}

/// `metadata` of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Name, unique for its kind: lower-case letters, digits and dashes.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"), length(max = 63))]
    pub name: String,
    /// What it is for. Not part of the pipeline's identity.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// `spec` of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Series that no stage may touch: they pass on their own, whatever the stages say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protect: Vec<Match>,
    /// What is done, in this order. `[]` passes everything through unchanged.
    pub stages: Vec<Stage>,
}

/// A condition on series. A rule matches when all of its conditions do; `{}` matches every series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// Metric name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Patterns>,
    /// Metric unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Patterns>,
    /// Metric type, or a list of types.
    #[serde(
        default,
        rename = "type",
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "stages::one_or_many"
    )]
    #[schemars(with = "schema::OneOrMany<MetricType>")]
    pub types: Vec<MetricType>,
    /// Temporality of sums and histograms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporality: Option<Temporality>,
    /// Whether a sum only grows; false for every other type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monotonic: Option<bool>,
    /// Attributes, looked up on the point, then the scope, then the resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Condition>,
}

/// Why no series meets a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Never {
    /// None of its types has a temporality.
    Temporality,
    /// None of its types is one that only grows.
    Monotonic,
}

impl Match {
    /// Whether every series meets it.
    pub(crate) fn is_any(&self) -> bool {
        let every = |names: &Patterns| names.texts().iter().any(|text| text == "*");
        let others = Match {
            metric: None,
            ..self.clone()
        };
        others == Match::default() && self.metric.as_ref().is_none_or(every)
    }

    /// Why its conditions exclude each other.
    pub(crate) fn never(&self) -> Option<Never> {
        let none = |wanted: &[MetricType]| {
            !self.types.is_empty() && !self.types.iter().any(|t| wanted.contains(t))
        };
        if self.temporality.is_some() && none(MetricType::WITH_TEMPORALITY) {
            return Some(Never::Temporality);
        }
        (self.monotonic == Some(true) && none(&[MetricType::Sum])).then_some(Never::Monotonic)
    }
}

/// Type of a metric; the numbers are those of the canonical identity.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum MetricType {
    /// A gauge.
    Gauge = 1,
    /// A sum.
    Sum = 2,
    /// A histogram with explicit bounds.
    Histogram = 3,
    /// An exponential histogram.
    ExponentialHistogram = 4,
    /// A summary.
    Summary = 5,
}

impl MetricType {
    /// Those whose points relate to a time before them.
    pub(crate) const WITH_TEMPORALITY: &[MetricType] = &[
        MetricType::Sum,
        MetricType::Histogram,
        MetricType::ExponentialHistogram,
    ];
}

/// Temporality of a sum or histogram; the numbers are those of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Temporality {
    /// Points hold what happened since the previous point.
    Delta = 1,
    /// Points hold what happened since the start time.
    Cumulative = 2,
}

#[cfg(test)]
mod tests;
