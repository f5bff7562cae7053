//! `transform` as it is written in the document.

mod read;
#[cfg(test)]
mod tests;

use crate::document::Match;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes names and attributes of the matching series; values stay as they are.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// Which series are transformed; asked once, of the series as it reaches the stage.
    #[serde(rename = "match")]
    pub matches: Match,
    /// What is done, in this order; each operation sees what the one before made.
    #[schemars(length(min = 1))]
    pub ops: Vec<Operation>,
}

/// One operation: a mapping with just one key.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A new metric name.
    RenameMetric(RenameMetric),
    /// The attribute gets another key, on its level.
    RenameAttribute(RenameAttribute),
    /// Adds an attribute.
    Set(Set),
    /// Adds an attribute with the value of another.
    Copy(Copy),
    /// Removes an attribute that always has the same value.
    Remove(Remove),
    /// Replaces what varies in a text value.
    Normalise(Normalise),
    /// Adds an attribute by ordered rules.
    Classify(Classify),
}

impl Operation {
    /// The key under which it is written.
    pub fn kind(&self) -> &'static str {
        match self {
            Operation::RenameMetric(_) => "rename_metric",
            Operation::RenameAttribute(_) => "rename_attribute",
            Operation::Set(_) => "set",
            Operation::Copy(_) => "copy",
            Operation::Remove(_) => "remove",
            Operation::Normalise(_) => "normalise",
            Operation::Classify(_) => "classify",
        }
    }

    /// Keys of attributes that it adds, changes or removes.
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Operation::RenameMetric(_) => Vec::new(),
            Operation::RenameAttribute(rename) => vec![&rename.from, &rename.to],
            Operation::Set(set) => vec![&set.attribute],
            Operation::Copy(copy) => vec![&copy.to],
            Operation::Remove(remove) => vec![&remove.attribute],
            Operation::Normalise(normalise) => vec![&normalise.attribute],
            Operation::Classify(classify) => vec![&classify.into],
        }
    }
}

/// A new metric name.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameMetric {
    /// Only metrics with this name, or that this glob with one `*` matches; without it every metric
    /// that `match` lets in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The new name; `*` stands for what the `*` in `from` matched, or, without `from`, `{name}` for
    /// the metric's name.
    #[schemars(length(min = 1))]
    pub to: String,
}

/// Another key for an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameAttribute {
    /// The key it has.
    #[schemars(length(min = 1))]
    pub from: String,
    /// The key it gets.
    #[schemars(length(min = 1))]
    pub to: String,
}

/// An attribute that is added.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Its key.
    #[schemars(length(min = 1))]
    pub attribute: String,
    /// Its value.
    pub value: Scalar,
    /// Where it is added; `point` by default.
    #[serde(default = "Level::point", skip_serializing_if = "Level::is_point")]
    pub level: Level,
    /// An attribute that is there gets the value, on its level. This can make series equal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
}

/// A second attribute of the same value.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// Key of the attribute that is there.
    #[schemars(length(min = 1))]
    pub from: String,
    /// Key of the attribute that is added.
    #[schemars(length(min = 1))]
    pub to: String,
    /// Where it is added; the level of `from` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
}

/// An attribute that is removed where it has one value.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remove {
    /// Its key.
    #[schemars(length(min = 1))]
    pub attribute: String,
    /// The value that it has; where it has another it stays.
    pub constant: Scalar,
    /// Where it is removed; wherever it is by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
}

/// A text value without what varies in it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalise {
    /// Key of the attribute.
    #[schemars(length(min = 1))]
    pub attribute: String,
    /// Built-in patterns; their order means nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<NamedPattern>,
    /// Replacements, done in this order before the built-in patterns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Replacement>,
}

/// A built-in pattern. Where several fit at one place, the first of these wins.
#[derive(
    Debug,
    Clone,
    std::marker::Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum NamedPattern {
    /// UUIDs become `{uuid}`.
    Uuids,
    /// `1.2.3`, `v1.2-rc1` become `{version}`.
    Versions,
    /// Segments that are a number, a UUID, a hash or a long key become `{id}`.
    Ids,
    /// Hexadecimal numbers and hashes become `{hex}`.
    Hex,
    /// Numbers become `{n}`.
    Numbers,
}

impl NamedPattern {
    /// What stands for what was there.
    pub fn placeholder(self) -> &'static str {
        match self {
            NamedPattern::Uuids => "{uuid}",
            NamedPattern::Versions => "{version}",
            NamedPattern::Ids => "{id}",
            NamedPattern::Hex => "{hex}",
            NamedPattern::Numbers => "{n}",
        }
    }
}

/// Every match of an expression becomes a text.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// `/regex/`, not anchored.
    #[schemars(regex(pattern = "^/.+/$"))]
    pub replace: String,
    /// The text; `$1` to `$9` are the expression's groups, `$$` is a dollar sign.
    pub with: String,
}

/// An attribute whose value ordered rules decide.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classify {
    /// Key of the attribute that is added.
    #[schemars(length(min = 1))]
    pub into: String,
    /// The first that matches decides.
    #[schemars(length(min = 1))]
    pub rules: Vec<Class>,
    /// The value where none matches; without it nothing is added there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
    /// Where it is added; `point` by default.
    #[serde(default = "Level::point", skip_serializing_if = "Level::is_point")]
    pub level: Level,
}

/// One rule of a classification.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Which series it is about; by what they are called, never by their values.
    #[serde(rename = "match")]
    pub matches: Match,
    /// The attribute's value.
    #[serde(rename = "as")]
    pub class: String,
}

/// Where an attribute lies.
#[derive(Debug, Clone, std::marker::Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// On the point.
    Point,
    /// On the instrumentation scope.
    Scope,
    /// On the resource.
    Resource,
}

impl Level {
    /// The level of the series' own attributes.
    pub fn point() -> Level {
        Level::Point
    }

    fn is_point(&self) -> bool {
        *self == Level::Point
    }
}

/// An attribute's value as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// true or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
}
