//! What the judge reads: the report of one agent about one window of both arms, as it was stored.

use crate::criteria::Criteria;
use phoenix_engine::ledger::Ledger;
use phoenix_engine::query::partial::Partials;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::collections::BTreeMap;

/// One agent's report of one window. Figures are absolute figures of that window.
///
/// As JSON, a line of what `phoenix experiment windows` prints: keys in camelCase, except the terms of the
/// ledger, which have the names that they have everywhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Id of the experiment; empty: all windows given are of one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub experiment: String,
    /// Its step: `aa`, `shadow`, ...; empty: not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    /// `tenant/cluster/node`.
    pub agent: String,
    /// Random per start of the agent's process.
    pub incarnation: String,
    /// Revision of the experiment that the agent ran; each step is a revision.
    #[serde(default, rename = "experimentRevision")]
    pub revision: u64,
    /// (start, end], Unix epoch milliseconds.
    pub start_ms: u64,
    /// See `start_ms`.
    pub end_ms: u64,
    /// Why the agent says that this window must not be compared; empty: comparable.
    #[serde(default)]
    pub void_reason: String,
    /// What was known of the step besides its windows, with its first window only. The judge does not look at
    /// it; whoever judges a file of windows does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Box<Context>>,
    /// The baseline arm; `None`: not reported.
    pub baseline: Option<Arm>,
    /// The candidate arm; `None`: not reported.
    pub candidate: Option<Arm>,
    /// CPU of the agent as a whole.
    #[serde(default)]
    pub cpu_seconds: Option<f64>,
    /// Resident memory of the agent as a whole.
    #[serde(default)]
    pub rss_bytes: Option<u64>,
    /// Thread time spent on both arms at once, in no arm's figure; `None`: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_cpu_seconds: Option<f64>,
    /// State that both arms use, at the end of the window; `None`: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_memory_bytes: Option<u64>,
    /// Exports of the agent as a whole that failed.
    #[serde(default)]
    pub export_errors: u64,
    /// Requests that were refused whole.
    #[serde(default)]
    pub requests_refused: u64,
}

impl Window {
    /// Both arms, where they were reported, with their public names.
    pub fn arms(&self) -> impl Iterator<Item = (&'static str, &Arm)> {
        let baseline = self.baseline.as_ref().map(|a| ("baseline", a));
        let candidate = self.candidate.as_ref().map(|a| ("candidate", a));
        baseline.into_iter().chain(candidate)
    }

    /// The baseline arm, where it was reported.
    pub fn baseline_arm(&self) -> Option<&Arm> {
        self.baseline.as_ref()
    }

    /// The candidate arm, where it was reported.
    pub fn candidate_arm(&self) -> Option<&Arm> {
        self.candidate.as_ref()
    }
}

/// What was known of a judged step besides its windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// It was passed: its verdict said so, and it had lasted as long as it must.
    pub passed: bool,
    /// What its judge was asked.
    pub asked: Criteria,
}

/// One arm of one window of one agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Arm {
    /// Pipeline hash that this arm ran; empty: pass-through.
    #[serde(default)]
    pub hash: String,
    /// Points; `held` is the change since the window began.
    #[schemars(with = "LedgerShape")]
    pub ledger: Ledger,
    /// Uncompressed OTLP bytes that came in.
    pub bytes_in: u64,
    /// Uncompressed OTLP bytes written.
    pub bytes_out: u64,
    /// Distinct series that came in.
    #[serde(default)]
    pub series_in: Cardinality,
    /// Distinct series written.
    #[serde(default)]
    pub series_out: Cardinality,
    /// The protected set.
    #[serde(default)]
    pub protected: Protected,
    /// Thread time spent in this arm; `None`: not measured.
    #[serde(default)]
    pub cpu_seconds: Option<f64>,
    /// Time that requests spent in this arm; `None`: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_latency: Option<Latency>,
    /// What its table and open windows take at the end of the window; `None`: not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Bytes as they were sent, compressed; `None`: not counted by arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed_bytes_out: Option<u64>,
    /// Exports of this arm that failed; `None`: not counted by arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_errors: Option<u64>,
    /// Prometheus samples that came in: of a classic histogram of n bounds n + 3; `None`: not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_in: Option<u64>,
    /// Prometheus samples that the exported points are; `None`: not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_out: Option<u64>,
    /// Baseline: of `series_in` those inside the comparison; `None`: all, or not told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_series_in: Option<Cardinality>,
    /// The same of `series_out`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_series_out: Option<Cardinality>,
    /// Of `bytes_in` those inside the comparison, counted as if nothing else were in a request; `None`: all, or not
    /// told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_bytes_in: Option<u64>,
    /// The same of `bytes_out`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_bytes_out: Option<u64>,
    /// Panics caught in this arm.
    #[serde(default)]
    pub panics: u64,
    /// Outputs that met a passing series of the same identity.
    #[serde(default)]
    pub identity_conflicts: u64,
    /// Split: distinct entities in this arm; `None`: not counted.
    #[serde(default)]
    pub entities: Option<Cardinality>,
    /// Baseline: what is outside the comparison: series outside the experiment's scope and, in a split, those
    /// that lack a key of the entity; `None`: not counted.
    #[serde(default)]
    pub unassigned: Option<Volume>,
    /// What protected queries found in what was written; `None`: none were evaluated.
    #[schemars(with = "Option<serde_json::Value>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<Partials>,
    /// Which innermost aggregations the places in `queries` are (`Queries::keys`); empty: those of the document
    /// that is judged by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query_keys: Vec<String>,
    /// The window is what lies in (stream_from, stream_to] of what this arm's exporter sent since the
    /// agent's process started, in points. Not judged: for whoever counts at the other end.
    #[serde(default)]
    pub stream_from: u64,
    /// See `stream_from`.
    #[serde(default)]
    pub stream_to: u64,
    /// By stage, in document order. Not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// The metrics with most points, then a row without a name for the rest. Not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// The attribute keys on most series, then a row without a key for the rest. Not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

/// Time that requests spent in an arm. Adds up over windows and agents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Requests.
    pub count: u64,
    /// Nanoseconds, all requests together.
    pub sum_ns: u64,
    /// Nanoseconds of the slowest.
    pub max_ns: u64,
    /// Index of the first bucket of `counts`.
    #[serde(default)]
    pub offset: u32,
    /// Bucket i counts durations in (2^(i/4), 2^((i+1)/4)] ns; 0 and 1 are in bucket 0. Not judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<u64>,
}

/// What one attribute key contributes to an arm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attribute {
    /// The key; empty: the rest.
    pub key: String,
    /// Distinct series written that carry it.
    pub series: u64,
    /// Distinct values among them on this agent; `None`: too many to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<u64>,
}

/// One stage of one arm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// `stages[].id`.
    pub id: String,
    /// `filter`, `aggregate`, `sample`.
    pub kind: String,
    /// Points that reached it.
    pub points_in: u64,
    /// Points that went on.
    pub points_out: u64,
    /// Points taken into state.
    pub absorbed: u64,
    /// Points written from state.
    pub emitted: u64,
    /// By rule and reason.
    pub counts: BTreeMap<String, u64>,
}

/// One metric name of one arm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Metric name; empty: the rest.
    pub name: String,
    /// Points that came in.
    pub points_in: u64,
    /// Points written.
    pub points_out: u64,
    /// Distinct series that came in.
    pub series_in: u64,
    /// Distinct series written.
    pub series_out: u64,
}

/// Distinct identities seen by one agent in one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cardinality {
    /// Exact count; `None`: only the sketch is known.
    pub exact: Option<u64>,
    /// Serialised sketch (hex in JSON); empty: none.
    #[schemars(with = "String")]
    #[serde(
        default,
        serialize_with = "hex",
        deserialize_with = "unhex",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub sketch: Vec<u8>,
}

/// Series matched by the protected set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Protected {
    /// Points that came in.
    pub points_in: u64,
    /// Points that left unchanged.
    pub points_out: u64,
    /// Distinct series that came in.
    pub series_in: u64,
    /// Distinct series of which a point left unchanged.
    pub series_out: u64,
}

/// Points, bytes and series of a part of an arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Points that came in.
    pub points_in: u64,
    /// Points written.
    pub points_out: u64,
    /// Bytes that came in.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Distinct series that came in.
    pub series_in: u64,
    /// Distinct series written.
    pub series_out: u64,
    /// Prometheus samples that came in; `None`: not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_in: Option<u64>,
    /// Prometheus samples written; `None`: not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_out: Option<u64>,
}

/// The ledger as JSON: `received = exported + filtered + merged + sampled_out + suppressed + rejected +
/// dropped + held`.
#[derive(JsonSchema)]
#[schemars(rename = "Ledger")]
#[allow(dead_code)]
struct LedgerShape {
    received: u64,
    exported: u64,
    filtered: u64,
    /// Points taken into closed windows minus points these wrote.
    merged: i64,
    sampled_out: u64,
    suppressed: u64,
    rejected: u64,
    /// By reason.
    dropped: BTreeMap<String, u64>,
    /// Points in open windows: the change since the window began.
    held: i64,
}

/// JSON Schema of a window as a line of JSON.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Window);
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

fn hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    serializer.serialize_str(&text)
}

fn unhex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || D::Error::custom("a sketch is an even number of hex digits");
    if text.len() % 2 != 0 || !text.is_ascii() {
        return Err(wrong());
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            u8::from_str_radix(pair, 16).map_err(|_| wrong())
        })
        .collect()
}
