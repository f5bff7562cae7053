//! The stage `topk`: its document, and how that is read.

use super::fields::{Fields, Reader};
use super::{Aggregate, Condition, Function, Match, Patterns, Span};
use crate::yaml::Node;
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

const GAUGES: [(&str, Function); 5] = [
    ("sum", Function::Sum),
    ("mean", Function::Mean),
    ("min", Function::Min),
    ("max", Function::Max),
    ("last", Function::Last),
];
const BY: [(&str, By); 2] = [("value", By::Value), ("rate", By::Rate)];
const OVER: [(&str, Over); 3] = [("max", Over::Max), ("mean", Over::Mean), ("sum", Over::Sum)];

impl Reader {
    /// A `topk` stage.
    pub(super) fn topk(&mut self, node: &Node, path: &str) -> Option<Topk> {
        let known = [
            "match",
            "entity",
            "rank",
            "k",
            "bands",
            "hysteresis",
            "other",
            "interval",
            "lateness",
            "expiry",
        ];
        let instead = [
            ("by", "rank"),
            ("count", "k"),
            ("top", "k"),
            ("n", "k"),
            ("window", "interval"),
            ("every", "interval"),
            ("rest", "other"),
        ];
        let fields = self.fields(node, path, &known, &instead)?;
        let matches = self.any_or_matched(&fields);
        let (interval, lateness, expiry) = self.times(&fields);
        let advice = "write the attribute keys that make one, such as [process.pid]";
        let entity = match self.required(&fields, "entity", advice) {
            Some(node) => self.keys(node, &fields.path("entity")),
            None => Vec::new(),
        };
        if fields.get("entity") == Some(&Node::List(Vec::new())) {
            self.problem(
                fields.path("entity"),
                format!("the list names no attribute key: {advice}"),
            );
        }
        let advice =
            "write what entities are ranked by, such as { metric: process.cpu.time, by: rate }";
        let rank = match self.required(&fields, "rank", advice) {
            Some(node) => self.ranks(node, &fields.path("rank")),
            None => Vec::new(),
        };
        let (k, bands) = self.how_many(&fields, path);
        let hysteresis = fields
            .get("hysteresis")
            .and_then(|node| self.count_of(node, &fields.path("hysteresis"), 0))
            .unwrap_or(0);
        let other = fields
            .get("other")
            .map(|node| self.other(node, &fields.path("other")));
        Some(Topk {
            matches,
            entity,
            rank,
            k,
            bands,
            hysteresis,
            other: other.unwrap_or_default(),
            interval,
            lateness,
            expiry,
        })
    }

    fn ranks(&mut self, node: &Node, path: &str) -> Vec<Rank> {
        let Node::List(_) = node else {
            return self.rank(node, path).into_iter().collect();
        };
        let items = self.items(node, path).unwrap_or_default();
        if items.is_empty() {
            self.problem(path, "the list is empty: write at least one metric");
        }
        if items.len() > crate::stage::entity::MOST_TERMS {
            let most = crate::stage::entity::MOST_TERMS;
            self.problem(path, format!("a mix is of at most {most} metrics"));
        }
        items
            .into_iter()
            .filter_map(|(path, node)| self.rank(node, &path))
            .collect()
    }

    fn rank(&mut self, node: &Node, path: &str) -> Option<Rank> {
        let known = ["metric", "attributes", "by", "weight"];
        let instead = [("name", "metric"), ("function", "by"), ("factor", "weight")];
        let fields = self.fields(node, path, &known, &instead)?;
        let (metric, attributes) = self.weighed(&fields);
        let by = self.by(&fields);
        let weight = fields.get("weight").map_or(Some(1.0), |node| {
            let weight = self.number(node, &fields.path("weight"))?;
            if weight.is_finite() && weight > 0.0 {
                return Some(weight);
            }
            self.problem(
                fields.path("weight"),
                format!("{weight} is no part of a mix: write a number above 0"),
            );
            None
        });
        Some(Rank {
            metric: metric?,
            attributes,
            by: by?,
            weight: weight?,
        })
    }

    /// The metric of a rank or a load.
    fn weighed(&mut self, fields: &Fields<'_>) -> (Option<Patterns>, BTreeMap<String, Condition>) {
        let metric = self
            .required(fields, "metric", "write the name of the metric")
            .and_then(|node| self.patterns(node, &fields.path("metric"), true));
        let attributes = fields
            .get("attributes")
            .map(|node| self.attributes(node, &fields.path("attributes")));
        (metric, attributes.unwrap_or_default())
    }

    fn by(&mut self, fields: &Fields<'_>) -> Option<By> {
        let advice = "write `rate` for a counter, `value` for a gauge";
        let node = self.required(fields, "by", advice)?;
        self.choice(node, &fields.path("by"), &BY)
    }

    fn how_many(&mut self, fields: &Fields<'_>, path: &str) -> (Option<u32>, Option<Bands>) {
        let k = fields
            .get("k")
            .map(|node| self.count_of(node, &fields.path("k"), 1));
        let bands = fields
            .get("bands")
            .map(|node| self.bands(node, &fields.path("bands")));
        match (&k, &bands) {
            (Some(_), Some(_)) => self.problem(
                path,
                "write `k` (always so many) or `bands` (by how loaded the node is), not both",
            ),
            (None, None) => self.problem(
                fields.path("k"),
                "`k` is missing: write how many entities are kept, such as 20, or `bands`",
            ),
            _ => {}
        }
        (k.flatten(), bands.flatten())
    }

    fn bands(&mut self, node: &Node, path: &str) -> Option<Bands> {
        let fields = self.fields(node, path, &["load", "steps"], &[("metric", "load")])?;
        let advice = "write what tells how loaded the node is, such as { metric: system.cpu.utilization, by: value }";
        let load = self
            .required(&fields, "load", advice)
            .and_then(|node| self.load(node, &fields.path("load")));
        let advice = "write steps such as [ { above: 0, k: 50 }, { above: 0.7, k: 20 } ]";
        let steps = self.required(&fields, "steps", advice);
        let path = fields.path("steps");
        let mut list: Vec<Step> = Vec::new();
        let items = steps.and_then(|node| self.items(node, &path));
        if items.as_ref().is_some_and(Vec::is_empty) {
            self.problem(&path, format!("the list is empty: {advice}"));
        }
        for (path, node) in items.unwrap_or_default() {
            let Some(step) = self.step(node, &path) else {
                continue;
            };
            if list.last().is_some_and(|last| last.above >= step.above) {
                self.problem(
                    format!("{path}.above"),
                    "steps go up: each `above` is larger than the one before",
                );
            }
            list.push(step);
        }
        Some(Bands {
            load: load?,
            steps: list,
        })
    }

    fn load(&mut self, node: &Node, path: &str) -> Option<Load> {
        let known = ["metric", "attributes", "by", "function"];
        let fields = self.fields(node, path, &known, &[("name", "metric")])?;
        let (metric, attributes) = self.weighed(&fields);
        let by = self.by(&fields);
        let function = fields
            .get("function")
            .and_then(|node| self.choice(node, &fields.path("function"), &OVER))
            .unwrap_or_default();
        Some(Load {
            metric: metric?,
            attributes,
            by: by?,
            function,
        })
    }

    fn step(&mut self, node: &Node, path: &str) -> Option<Step> {
        let fields = self.fields(node, path, &["above", "k"], &[("over", "above")])?;
        let above = self
            .required(&fields, "above", "write the load above which it counts")
            .and_then(|node| self.number(node, &fields.path("above")));
        let k = self
            .required(&fields, "k", "write how many entities are kept")
            .and_then(|node| self.count_of(node, &fields.path("k"), 1));
        // -0 and 0 are one number and must have one canonical form.
        Some(Step {
            above: above? + 0.0,
            k: k?,
        })
    }

    fn other(&mut self, node: &Node, path: &str) -> Other {
        let merged = |gauges| {
            Other::Merged(Merged {
                gauges,
                without: Vec::new(),
            })
        };
        match node {
            Node::Bool(false) => Other::Filtered(false),
            Node::Bool(true) => Other::default(),
            Node::Text(_) => merged(self.choice(node, path, &GAUGES).unwrap_or(Function::Sum)),
            Node::Map(_) => {
                let known = ["gauges", "without"];
                let fields = self.fields(node, path, &known, &[("function", "gauges")]);
                let Some(fields) = fields else {
                    return Other::default();
                };
                let gauges = fields
                    .get("gauges")
                    .and_then(|node| self.choice(node, &fields.path("gauges"), &GAUGES));
                let without = fields
                    .get("without")
                    .map(|node| self.keys(node, &fields.path("without")));
                Other::Merged(Merged {
                    gauges: gauges.unwrap_or(Function::Sum),
                    without: without.unwrap_or_default(),
                })
            }
            _ => {
                self.problem(
                    path,
                    "write true, false, how gauges are merged (`sum`, `mean`, ...), or { gauges: sum, without: [...] }",
                );
                Other::default()
            }
        }
    }

    /// A whole number.
    pub(super) fn count_of(&mut self, node: &Node, path: &str, least: u32) -> Option<u32> {
        let number = match node {
            Node::Int(number) => u32::try_from(*number).ok().filter(|n| *n >= least),
            _ => None,
        };
        if number.is_none() {
            self.problem(
                path,
                format!("expected a whole number from {least} to {}", u32::MAX),
            );
        }
        number
    }
}
