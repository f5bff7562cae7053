//! The objects that the control plane keeps, as the store holds them and the use cases see them.

use crate::documents::{AssignmentSpec, ExperimentSpec, Step};
use phoenix_engine::document::Problem;
use phoenix_proto::control::ArmReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Tenant of everything that names none.
pub const DEFAULT_TENANT: &str = "default";

/// The node (not the pod): what credentials, desired states and reports are bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    pub tenant: String,
    pub cluster: String,
    pub node: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.cluster, self.node)
    }
}

/// One immutable version of a pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pipeline {
    pub tenant: String,
    pub name: String,
    pub version: u64,
    /// SHA-256 of the canonical form, lower-case hex.
    pub hash: String,
    pub description: String,
    /// The text as it was applied.
    pub document: String,
    pub created_ms: u64,
    pub actor: String,
}

/// A selector of agents -> a pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    pub tenant: String,
    pub name: String,
    /// Count of writes as read; 0 = new.
    #[serde(skip)]
    pub row: u64,
    pub spec: AssignmentSpec,
    /// What `spec.pipeline` leads to now.
    pub hash: String,
    pub updated_ms: u64,
    pub actor: String,
}

/// A pipeline that an assignment led to, from a moment on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentChange {
    pub tenant: String,
    pub name: String,
    /// As written: name or hash.
    pub pipeline: String,
    pub hash: String,
    pub priority: i64,
    /// `applied`, `new-version`, `rolled-back`, `promoted`, `deleted`.
    pub cause: String,
    pub actor: String,
    pub time_ms: u64,
}

/// Where an experiment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Phase {
    Pending,
    Initializing,
    Running,
    Analyzing,
    Completed,
    Failed,
    Cancelled,
}

impl Phase {
    /// Started and not ended: the driver looks after it, its agents are taken.
    pub fn is_active(self) -> bool {
        matches!(
            self,
            Phase::Initializing | Phase::Running | Phase::Analyzing
        )
    }

    /// Completed, failed or cancelled.
    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Completed | Phase::Failed | Phase::Cancelled)
    }

    /// The public name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Initializing => "Initializing",
            Phase::Running => "Running",
            Phase::Analyzing => "Analyzing",
            Phase::Completed => "Completed",
            Phase::Failed => "Failed",
            Phase::Cancelled => "Cancelled",
        }
    }
}

/// An experiment and where it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    pub tenant: String,
    pub name: String,
    /// UUID; seeds the split and keys the windows. Applying an ended experiment again gives a new one.
    pub id: String,
    /// Part of the windows' key; grows with every start.
    pub revision: u64,
    /// Count of writes as read; 0 = new.
    #[serde(skip)]
    pub row: u64,
    pub spec: ExperimentSpec,
    pub phase: Phase,
    /// Name of the present step: `shadow`, `ramp 25%`, ...
    pub step: String,
    /// Its place among the steps.
    #[serde(default)]
    pub at: usize,
    /// Why it is in this phase, one sentence.
    pub reason: String,
    /// Fixed at the start; `None` = nothing is assigned, the agents pass everything through.
    pub baseline_hash: Option<String>,
    /// Fixed when applied.
    pub candidate_hash: String,
    pub created_ms: u64,
    /// When it entered the present phase.
    pub phase_ms: u64,
    /// When it entered `Running`.
    pub started_ms: Option<u64>,
    pub ended_ms: Option<u64>,
    /// Set by promotion: the assignment that now serves the candidate.
    pub promoted_to: Option<String>,
    /// The judge's answer, as the driver wrote it.
    pub verdict: Option<serde_json::Value>,
    /// The driver's own memory between two looks.
    #[serde(default)]
    pub memory: serde_json::Value,
    pub actor: String,
}

impl Experiment {
    /// The present step.
    pub fn current(&self) -> Option<Step> {
        self.spec.course().into_iter().nth(self.at)
    }
}

/// What a phase change writes besides the phase. `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct PhaseChange {
    pub phase: Option<Phase>,
    pub step: Option<String>,
    pub reason: String,
    pub verdict: Option<serde_json::Value>,
    pub memory: Option<serde_json::Value>,
}

/// One window of one arm of one agent.
#[derive(Debug, Clone)]
pub struct Window {
    pub identity: Identity,
    pub incarnation: String,
    pub experiment: String,
    pub experiment_revision: u64,
    /// `baseline` or `candidate`.
    pub arm: String,
    pub start_ms: u64,
    pub end_ms: u64,
    pub received_ms: u64,
    /// Why this window must not be compared; empty: comparable.
    pub void_reason: String,
    /// The agent as a whole in this window.
    pub cpu_seconds: Option<f64>,
    pub rss_bytes: Option<u64>,
    pub export_errors: u64,
    pub requests_refused: u64,
    pub report: ArmReport,
}

/// An agent as it last spoke. What changes every few seconds (heartbeats) is not here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    #[serde(flatten)]
    pub identity: Identity,
    /// Count of writes as read; 0 = new.
    #[serde(skip)]
    pub row: u64,
    pub labels: BTreeMap<String, String>,
    pub version: String,
    pub incarnation: String,
    pub first_seen_ms: u64,
    pub last_seen_ms: u64,
    /// Sessions closed because a second one came for the same identity.
    pub superseded: u64,
    /// Revision of the desired state, only growing, and the fingerprint of its content.
    pub revision: u64,
    pub content: String,
    pub status: AgentStatus,
    /// The last pipeline that this agent reported healthy.
    pub healthy_hash: Option<String>,
    /// Pipelines that this agent refused or fell from.
    pub quarantine: Vec<Quarantined>,
}

/// The agent's last answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// The life of the process that said it.
    pub incarnation: String,
    pub revision: u64,
    pub generation: u64,
    /// `validated`, `active`, `healthy`, `rejected`, `rolled-back`, `unproven`; empty: none yet.
    pub state: String,
    pub hash: String,
    pub problems: Vec<Problem>,
    pub reason: String,
    /// What runs; empty = pass-through.
    pub active_hash: String,
    pub candidate_hash: String,
    /// Id of the experiment whose candidate runs.
    pub experiment: String,
}

/// A pipeline that one agent must not get (again).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    pub hash: String,
    /// `rejected`, `rolled-back` or `unproven`.
    pub state: String,
    pub reason: String,
    /// Agent version that refused it: another version may try again.
    pub version: String,
    /// `unproven` only: boots that found the plan's bake not ended, and the last of them.
    pub boots: u32,
    pub incarnation: String,
}

impl Quarantined {
    /// `unproven` may be sent twice more; the rest never.
    pub fn barred(&self) -> bool {
        self.state != "unproven" || self.boots > 2
    }
}

/// Something that happened, about to be written.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub tenant: String,
    pub cluster: String,
    pub node: String,
    /// `pipeline/NAME`, `assignment/NAME`, `experiment/NAME`, `agent/CLUSTER/NODE`.
    pub object: String,
    /// `pipeline.created`, `experiment.phase`, ...
    pub kind: &'static str,
    pub actor: String,
    pub body: serde_json::Value,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Event {
    pub sequence: u64,
    pub tenant: String,
    pub cluster: String,
    pub node: String,
    pub object: String,
    pub kind: String,
    pub actor: String,
    pub body: serde_json::Value,
    #[serde(rename = "timeMs")]
    pub time_ms: u64,
}

/// The right to write as a background loop: a lease and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub lease: String,
    pub number: u64,
}
