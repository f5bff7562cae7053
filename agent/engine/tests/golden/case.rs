//! A golden case as it is written. Times are seconds.

use serde::Deserialize;
use serde_yaml::Value;
use std::collections::BTreeMap;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// Seconds as nanoseconds.
pub fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub purpose: String,
    /// When the node began to observe.
    #[serde(default)]
    pub began: u64,
    /// `limits.series`
    #[serde(default)]
    pub limit: Option<usize>,
    #[serde(default)]
    pub protect: Value,
    pub stages: Value,
    pub series: BTreeMap<String, Series>,
    pub calls: Vec<Call>,
    /// What is not 0; `dropped.nan` and so on by reason.
    #[serde(default)]
    pub ledger: BTreeMap<String, i64>,
    /// By stage id; only what is named is compared.
    #[serde(default)]
    pub counts: BTreeMap<String, BTreeMap<String, u64>>,
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    Gauge,
    /// Cumulative monotonic sum.
    Counter,
    /// Cumulative sum that may fall.
    UpDown,
    /// Delta monotonic sum.
    Delta,
    /// Delta sum that may fall.
    DeltaUpDown,
    /// Sum of unspecified temporality.
    Unspecified,
    Histogram,
    DeltaHistogram,
    Exponential,
    DeltaExponential,
    Summary,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    #[serde(default = "m")]
    pub metric: String,
    #[serde(default)]
    pub unit: String,
    #[serde(rename = "type")]
    pub kind: Type,
    #[serde(default)]
    pub attributes: BTreeMap<String, Value>,
    #[serde(default)]
    pub scope: BTreeMap<String, Value>,
    #[serde(default = "host")]
    pub resource: BTreeMap<String, Value>,
    #[serde(default)]
    pub schema_url: String,
    /// Of the metric.
    #[serde(default)]
    pub description: String,
    /// Keys of each entity that the resource refers to.
    #[serde(default)]
    pub refs: Vec<Vec<String>>,
}

fn m() -> String {
    "m".into()
}

fn host() -> BTreeMap<String, Value> {
    BTreeMap::from([("host.name".to_string(), Value::String("h".into()))])
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Name of its series.
    pub of: String,
    #[serde(default)]
    pub start: f64,
    pub time: f64,
    /// A number; of summaries the sum.
    #[serde(default)]
    pub value: Value,
    /// The no-recorded-value flag.
    #[serde(default)]
    pub ended: bool,
    /// Times of exemplars.
    #[serde(default)]
    pub exemplars: Vec<f64>,
    /// Of summaries.
    #[serde(default)]
    pub count: u64,
    #[serde(default)]
    pub sum: Option<f64>,
    #[serde(default)]
    pub min: Option<f64>,
    #[serde(default)]
    pub max: Option<f64>,
    #[serde(default)]
    pub bounds: Vec<f64>,
    /// Buckets of a histogram, or the positive ones of an exponential histogram.
    #[serde(default)]
    pub buckets: Vec<u64>,
    #[serde(default)]
    pub scale: i32,
    /// Index of the first bucket.
    #[serde(default)]
    pub offset: i32,
    /// Threshold and count.
    #[serde(default)]
    pub zero: (f64, u64),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Call {
    Feed {
        feed: f64,
        points: Vec<Point>,
        #[serde(default)]
        expect: Vec<String>,
    },
    Tick {
        tick: f64,
        #[serde(default)]
        expect: Vec<String>,
    },
    Swap {
        swap: f64,
        stages: Value,
        #[serde(default)]
        expect: Vec<String>,
    },
    Finish {
        finish: f64,
        #[serde(default)]
        expect: Vec<String>,
    },
}
