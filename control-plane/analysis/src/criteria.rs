//! What was asked of an experiment: goal, guardrails, and the facts that the windows are held against.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything the judge needs besides the windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Criteria {
    /// How traffic reaches the candidate.
    pub mode: Mode,
    /// Split: the candidate's share of entities in per cent, 0 < percent < 100.
    #[serde(default = "half")]
    pub percent: f64,
    /// Length of a window.
    pub window_ms: u64,
    /// Comparable windows that a verdict needs; at least 2 in a split.
    pub min_windows: u32,
    /// What is to be saved.
    pub goal: Goal,
    /// What must not be harmed.
    #[serde(default)]
    pub guardrails: Guardrails,
    /// Agents that took the plan (`tenant/cluster/node`): reports of all of them are expected.
    #[serde(default)]
    pub agents: Vec<String>,
    /// Windows are expected from here on; `None`: from an agent's first report.
    #[serde(default)]
    pub from_ms: Option<u64>,
    /// Windows that ended up to here are expected; `None`: up to the last one seen.
    #[serde(default)]
    pub until_ms: Option<u64>,
    /// What the arms must have run; `None`: not checked. Empty = pass-through.
    #[serde(default)]
    pub baseline_hash: Option<String>,
    /// See `baseline_hash`.
    #[serde(default)]
    pub candidate_hash: Option<String>,
    /// Resident memory by agent before the candidate ran, where it was known.
    #[serde(default)]
    pub rss_before_bytes: BTreeMap<String, u64>,
    /// No more windows will come: the last look at a split may take all of them.
    #[serde(default)]
    pub closed: bool,
}

/// How traffic reaches the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Both arms see everything.
    Shadow,
    /// Each entity goes to exactly one arm.
    Split,
}

/// What is counted as volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Points exported.
    Points,
    /// Distinct series in a window.
    Series,
    /// Uncompressed OTLP bytes exported.
    Bytes,
}

impl Measure {
    /// The public name.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Points => "points",
            Measure::Series => "series",
            Measure::Bytes => "bytes",
        }
    }
}

/// The saving that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Of what.
    pub saving: Measure,
    /// At least this share of the baseline's volume.
    pub target: f64,
}

/// What must not be harmed. `None`: not asked, and not judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guardrails {
    /// The experiment names a protected set: one that matched nothing is then not "kept".
    pub protects: bool,
    /// Share of protected points, and of protected series, that must leave unchanged.
    pub protected_retention: f64,
    /// Failed exports in all windows together.
    pub max_export_errors: Option<u64>,
    /// Requests refused whole in all windows together.
    pub max_refused_requests: Option<u64>,
    /// CPU per point received, candidate against baseline.
    pub max_cpu_ratio: Option<f64>,
    /// Largest memory of an agent against what it had before.
    pub max_rss_ratio: Option<f64>,
    /// Share of expected reports that may be missing before the comparison is void.
    pub max_missing: f64,
}

impl Default for Guardrails {
    fn default() -> Self {
        Guardrails {
            protects: false,
            protected_retention: 1.0,
            max_export_errors: None,
            max_refused_requests: None,
            max_cpu_ratio: None,
            max_rss_ratio: None,
            max_missing: 0.5,
        }
    }
}

fn half() -> f64 {
    50.0
}
