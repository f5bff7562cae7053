//! What was asked of an experiment: goal, guardrails, and the facts that the windows are held against.

use crate::prices::PriceBook;
use phoenix_engine::query::Names;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything the judge needs besides the windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Criteria {
    /// What the windows are to show.
    #[serde(default)]
    pub ask: Ask,
    /// How traffic reaches the candidate.
    pub mode: Mode,
    /// Split: the candidate's share of entities in per cent, 0 < percent < 100.
    #[serde(default = "half")]
    pub percent: f64,
    /// Length of a window.
    pub window_ms: u64,
    /// Comparable windows that a verdict needs.
    pub min_windows: u32,
    /// What is to be saved.
    pub goal: Goal,
    /// What must not be harmed.
    #[serde(default)]
    pub guardrails: Guardrails,
    /// Probability of a wrong word, over all looks together: once for the goal, and once for all noisy
    /// guardrails (which share it equally). 0 < alpha < 0.5.
    #[serde(default = "default_alpha")]
    pub alpha: f64,
    /// A/A in a split or by node: arms that differ by no more than this share are taken as equal, because
    /// they hold different entities.
    #[serde(default = "default_aa_margin")]
    pub aa_margin: f64,
    /// Agents that took the plan (`tenant/cluster/node`): reports of all of them are expected.
    #[serde(default)]
    pub agents: Vec<String>,
    /// By node: those of `agents` that run the candidate for everything. In a split: those that divide
    /// their entities, where not all do (the others report as baseline only and are not compared); empty:
    /// all.
    #[serde(default)]
    pub candidate_agents: Vec<String>,
    /// Agents that went away, and when: no report is expected of them from then on.
    #[serde(default)]
    pub left_ms: BTreeMap<String, u64>,
    /// Agents whose process ended without a goodbye while it had the candidate; `None`: not known.
    #[serde(default)]
    pub died: Option<BTreeMap<String, Died>>,
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
    /// No more windows will come.
    #[serde(default)]
    pub closed: bool,
}

impl Criteria {
    /// A goal with all else at its default.
    pub fn new(mode: Mode, window_ms: u64, min_windows: u32, goal: Goal) -> Criteria {
        Criteria {
            ask: Ask::default(),
            mode,
            percent: half(),
            window_ms,
            min_windows,
            goal,
            guardrails: Guardrails::default(),
            alpha: default_alpha(),
            aa_margin: default_aa_margin(),
            agents: Vec::new(),
            candidate_agents: Vec::new(),
            left_ms: BTreeMap::new(),
            died: None,
            from_ms: None,
            until_ms: None,
            baseline_hash: None,
            candidate_hash: None,
            rss_before_bytes: BTreeMap::new(),
            closed: false,
        }
    }
}

/// What the windows are to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    /// The goal is reached and nothing is harmed: a step that decides.
    #[default]
    Goal,
    /// Nothing is harmed, and the goal is not clearly missed: a step of a ramp, when the goal was shown
    /// before or is asked for later.
    Guardrails,
    /// The baseline against itself: whatever differs, the measuring is broken.
    Aa,
    /// The candidate runs everywhere and there is nothing to compare it with: limits that need no
    /// baseline are watched.
    Bake,
}

/// An agent that died with the candidate, or is silent and may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Died {
    /// Its processes that ended so, in the whole experiment, and were followed by another. 0: it is another process,
    /// and how the one before ended is not known.
    pub times: u32,
    /// When it was last heard of before that, Unix epoch milliseconds.
    pub last_ms: u64,
    /// It has not come back.
    pub away: bool,
}

impl Died {
    /// As often may an agent die and be given the candidate once more: as for a pipeline whose bake did not
    /// end.
    pub const MOST: u32 = 2;
}

/// How traffic reaches the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Both arms see everything.
    Shadow,
    /// Each entity goes to exactly one arm.
    Split,
    /// Each node runs exactly one arm for everything in scope.
    Nodes,
}

/// What is counted as volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Points exported.
    Points,
    /// Distinct series in a window.
    Series,
    /// Uncompressed OTLP bytes exported.
    Bytes,
    /// Prometheus samples exported.
    Samples,
    /// What a month costs under a price book: no volume of its own, made of the others.
    Money,
}

impl Measure {
    /// The public name.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Points => "points",
            Measure::Series => "series",
            Measure::Bytes => "bytes",
            Measure::Samples => "samples",
            Measure::Money => "money",
        }
    }
}

/// The saving that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Goal {
    /// Of what.
    pub saving: Measure,
    /// At least this share of the baseline's volume, or of its bill; 0: no share is asked for.
    pub target: f64,
    /// With `saving: money` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<Box<Money>>,
}

/// What a goal in money is held against. It travels with the goal, so that the same windows give the same
/// verdict wherever and whenever they are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// What is counted and what is asked for it.
    pub book: PriceBook,
    /// At least so much of the book's currency in a month; `None`: not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_month: Option<f64>,
}

impl Goal {
    /// A share of a volume.
    pub fn new(saving: Measure, target: f64) -> Goal {
        Goal {
            saving,
            target,
            money: None,
        }
    }
}

/// What must not be harmed. `None`: not asked, and not judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Guardrails {
    /// The experiment names a protected set: one that matched nothing is then not "kept".
    pub protects: bool,
    /// Share of protected points, and of protected series, that must leave unchanged.
    pub protected_retention: f64,
    /// Failed exports that the baseline does not share, in all windows together; where there is nothing to
    /// compare with: failed exports.
    pub max_export_errors: Option<u64>,
    /// Without such a number: failed exports are compared with the baseline's.
    pub compare_exports: bool,
    /// Requests refused whole in all windows together.
    pub max_refused_requests: Option<u64>,
    /// CPU per point received, candidate against baseline.
    pub max_cpu_ratio: Option<f64>,
    /// Mean time that a request spends in the candidate's arm beyond what it spends in the baseline's.
    pub max_added_latency_ms: Option<f64>,
    /// Largest memory of an agent against what it had before.
    pub max_rss_ratio: Option<f64>,
    /// Largest memory of an agent that runs the candidate.
    pub max_rss_bytes: Option<u64>,
    /// Agents that had the candidate and may be silent.
    pub max_silent: u64,
    /// Share of expected reports that may be missing before the comparison is void.
    pub max_missing: f64,
    /// Queries whose answers the candidate must not change. Compared in shadow, where both arms see
    /// everything; a split's arms hold different entities.
    pub queries: Vec<ProtectedQuery>,
    /// Text of a Prometheus rule file whose alerts must decide alike; empty: none.
    pub rules: String,
    /// The names that queries and rules are written in.
    #[schemars(with = "serde_json::Value")]
    pub names: Names,
}

/// A query whose answer the candidate must not change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProtectedQuery {
    /// For people.
    pub name: String,
    /// PromQL; what is evaluated of it is in docs/queries.md.
    pub expr: String,
    /// Largest relative difference of a value at any step.
    #[serde(default = "ProtectedQuery::tolerance")]
    pub tolerance: f64,
}

impl ProtectedQuery {
    /// Default of the largest relative difference: 1 %.
    pub fn tolerance() -> f64 {
        0.01
    }
}

impl Default for Guardrails {
    fn default() -> Self {
        Guardrails {
            protects: false,
            protected_retention: 1.0,
            max_export_errors: None,
            compare_exports: false,
            max_refused_requests: None,
            max_cpu_ratio: None,
            max_added_latency_ms: None,
            max_rss_ratio: None,
            max_rss_bytes: None,
            max_silent: 0,
            max_missing: 0.5,
            queries: Vec::new(),
            rules: String::new(),
            names: Names::default(),
        }
    }
}

fn half() -> f64 {
    50.0
}

/// 5 %.
pub fn default_alpha() -> f64 {
    0.05
}

/// 2 %.
pub fn default_aa_margin() -> f64 {
    0.02
}
