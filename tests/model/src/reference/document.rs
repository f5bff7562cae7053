//! The pipeline document as its page describes it, read a second time.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    pub kind: String,
    pub metadata: Metadata,
    pub spec: Spec,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    pub name: String,
    #[serde(default)]
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    #[serde(default)]
    pub protect: Vec<Match>,
    #[serde(default)]
    pub stages: Vec<Stage>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub id: String,
    pub filter: Option<Filter>,
    pub aggregate: Option<Aggregate>,
    pub sample: Option<Sample>,
    pub quantise: Option<Quantise>,
    pub histogram: Option<Histogram>,
    pub temporality: Option<Convert>,
    pub topk: Option<Topk>,
    pub limit: Option<Limit>,
    pub transform: Option<Transform>,
    /// How long its windows wait for stages before it that wait longer than it would, in ns; 0 where none does.
    #[serde(skip)]
    pub patience: u64,
}

/// What a stage with windows waits that does not say how long.
pub const LATENESS: u64 = 5_000_000_000;

impl Document {
    /// Tells each stage how long it waits for those before it.
    pub fn wait_for_those_before(&mut self) {
        let mut longest = 0;
        for stage in &mut self.spec.stages {
            let idle = |filter: &Filter| filter.drop_when.is_some();
            let decides = stage.filter.as_ref().is_some_and(idle);
            let said = match (&stage.aggregate, &stage.topk, &stage.limit, &stage.sample) {
                (Some(aggregate), ..) => &aggregate.lateness,
                (_, Some(topk), ..) => &topk.lateness,
                (_, _, Some(limit), _) => &limit.lateness,
                (.., Some(sample)) if sample.every.is_some() => &None,
                _ if decides => &None,
                _ => continue,
            };
            let own = said.as_deref().map_or(LATENESS, duration);
            if own < longest {
                stage.patience = longest;
            }
            // What only decides writes nothing when its windows close.
            if !decides {
                longest = longest.max(own);
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    pub drop: Option<Vec<Match>>,
    pub keep: Option<Vec<Match>>,
    /// Of whole entities, from here on.
    #[serde(rename = "match")]
    pub matching: Option<Match>,
    pub entity: Option<Vec<String>>,
    pub drop_when: Option<Vec<When>>,
    #[serde(rename = "for")]
    pub lasting: Option<String>,
    pub interval: Option<String>,
}

/// A condition on what an entity uses.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    pub metric: Texts,
    #[serde(default)]
    pub attributes: BTreeMap<String, Texts>,
    pub by: Option<String>,
    pub below: Option<f64>,
    pub above: Option<f64>,
}

impl When {
    pub fn is_rate(&self) -> bool {
        self.by.as_deref() == Some("rate")
    }

    pub fn series(&self) -> Match {
        Match {
            metric: Some(self.metric.clone()),
            attributes: self.attributes.clone(),
            ..Match::default()
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    #[serde(default, rename = "match")]
    pub matching: Match,
    pub by: Option<Vec<String>>,
    pub without: Option<Vec<String>>,
    pub interval: Option<String>,
    pub function: Option<Function>,
    #[serde(default)]
    pub functions: Vec<MetricFunction>,
    pub summary: Option<Summary>,
    pub rename: Option<String>,
    pub lateness: Option<String>,
    pub expiry: Option<String>,
    #[serde(default)]
    pub keep_original: bool,
    #[serde(default)]
    pub merged_later: bool,
    pub weighted: Option<bool>,
}

/// The function of some metrics' gauges.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricFunction {
    pub metric: Texts,
    pub function: Function,
}

/// What becomes of summaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Summary {
    SumCount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    Sum,
    Min,
    Max,
    Last,
    Mean,
    Count,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    #[serde(default, rename = "match")]
    pub matching: Match,
    pub fraction: Option<f64>,
    pub entity: Option<Vec<String>>,
    pub every: Option<String>,
    pub deadband: Option<BTreeMap<String, f64>>,
    pub unchanged: Option<bool>,
    pub heartbeat: Option<String>,
    pub weighted: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    #[serde(default, rename = "match")]
    pub matching: Match,
    pub max_scale: Option<i32>,
    pub max_buckets: Option<i64>,
    pub bounds: Option<Vec<f64>>,
    pub to: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convert {
    #[serde(default, rename = "match")]
    pub matching: Match,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantise {
    #[serde(default, rename = "match")]
    pub matching: Match,
    pub digits: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topk {
    #[serde(default, rename = "match")]
    pub matching: Match,
    pub entity: Vec<String>,
    pub rank: Ranks,
    pub k: Option<u64>,
    pub bands: Option<Bands>,
    pub hysteresis: Option<u64>,
    pub other: Option<Other>,
    pub interval: Option<String>,
    pub lateness: Option<String>,
    pub expiry: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Ranks {
    One(Rank),
    Several(Vec<Rank>),
}

/// Of a rank or a load.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    pub metric: Texts,
    #[serde(default)]
    pub attributes: BTreeMap<String, Texts>,
    pub by: String,
    pub weight: Option<f64>,
    pub function: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bands {
    pub load: Rank,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub above: f64,
    pub k: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Other {
    Whether(bool),
    Gauges(Function),
    Merged {
        gauges: Option<Function>,
        #[serde(default)]
        without: Vec<String>,
    },
}

impl Topk {
    pub fn ranks(&self) -> Vec<Rank> {
        match &self.rank {
            Ranks::One(one) => vec![one.clone()],
            Ranks::Several(several) => several.clone(),
        }
    }

    /// How gauges of all others are merged, and which keys they lose beside the entity's; nothing
    /// where the others are filtered.
    pub fn merged(&self) -> Option<(Function, Vec<String>)> {
        match &self.other {
            Some(Other::Whether(false)) => None,
            None | Some(Other::Whether(true)) => Some((Function::Sum, Vec::new())),
            Some(Other::Gauges(function)) => Some((*function, Vec::new())),
            Some(Other::Merged { gauges, without }) => {
                Some((gauges.unwrap_or(Function::Sum), without.clone()))
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    #[serde(default, rename = "match")]
    pub matching: Match,
    pub series: u64,
    pub per: Option<Per>,
    pub overflow: Option<Overflow>,
    pub alarm: Option<Alarm>,
    pub interval: Option<String>,
    pub lateness: Option<String>,
    pub expiry: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Per {
    Word(String),
    Attribute { attribute: String },
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overflow {
    #[serde(default)]
    pub keep: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    pub new_series: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    pub metric: Option<Texts>,
    pub unit: Option<Texts>,
    #[serde(rename = "type")]
    pub kind: Option<Texts>,
    pub temporality: Option<Texts>,
    pub monotonic: Option<bool>,
    #[serde(default)]
    pub attributes: BTreeMap<String, Texts>,
    /// Of a filter's rules: `gt`, `gte`, `lt`, `lte`, `eq`.
    pub value: Option<BTreeMap<String, f64>>,
}

/// One text, or several of which one must fit. A number or a truth value stands for its text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Texts {
    One(serde_yaml::Value),
    Several(Vec<serde_yaml::Value>),
}

impl Texts {
    pub fn list(&self) -> Vec<String> {
        let text = |v: &serde_yaml::Value| match v {
            serde_yaml::Value::String(s) => s.clone(),
            serde_yaml::Value::Bool(b) => b.to_string(),
            serde_yaml::Value::Number(n) => n.to_string(),
            other => panic!("no text: {other:?}"),
        };
        match self {
            Texts::One(serde_yaml::Value::Sequence(several)) => several.iter().map(text).collect(),
            Texts::One(one) => vec![text(one)],
            Texts::Several(several) => several.iter().map(text).collect(),
        }
    }
}

/// `60s`, `5m`, `1m30s`, `250ms`, in nanoseconds.
pub fn duration(text: &str) -> u64 {
    let mut rest = text;
    let mut total = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).expect("a unit");
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let nanos = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            other => panic!("unit of time {other:?}"),
        };
        total += number.parse::<u64>().expect("a number") * nanos;
        rest = tail;
    }
    total
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    #[serde(default, rename = "match")]
    pub matching: Match,
    pub ops: Vec<Op>,
}

/// One of these.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Op {
    pub rename_metric: Option<RenameMetric>,
    pub rename_attribute: Option<RenameAttribute>,
    pub set: Option<Set>,
    pub copy: Option<Copied>,
    pub remove: Option<Remove>,
    pub normalise: Option<Normalise>,
    pub classify: Option<Classify>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameMetric {
    pub from: Option<String>,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameAttribute {
    pub from: String,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    pub attribute: String,
    pub value: serde_yaml::Value,
    pub level: Option<Place>,
    #[serde(default)]
    pub overwrite: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copied {
    pub from: String,
    pub to: String,
    pub level: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remove {
    pub attribute: String,
    pub constant: serde_yaml::Value,
    pub level: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalise {
    pub attribute: String,
    #[serde(default)]
    pub patterns: Vec<String>,
    #[serde(default)]
    pub rules: Vec<Replacement>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    pub replace: String,
    pub with: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classify {
    pub into: String,
    pub rules: Vec<Class>,
    pub otherwise: Option<String>,
    pub level: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    #[serde(default, rename = "match")]
    pub matching: Match,
    #[serde(rename = "as")]
    pub class: String,
}

/// Where an attribute lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    Point,
    Scope,
    Resource,
}
