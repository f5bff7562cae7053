//! The objects that the control plane keeps, as the store holds them and the use cases see them.

mod experiment;
mod witness;

pub use experiment::{AgentShare, Experiment, Phase, PhaseChange, Quarantine, StepResult, Window};
pub use witness::{Witness, WitnessFigure, Word};

use crate::documents::AssignmentSpec;
use phoenix_engine::document::Problem;
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
    /// `applied`, `new-version`, `rolled-back`, `rolled-back-to` (a hash that was named), `promoted`, `aborted` (a promotion taken back), `deleted`.
    pub cause: String,
    pub actor: String,
    pub time_ms: u64,
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
    /// Its session ended. False: it has one, or had one when the server itself ended.
    #[serde(default)]
    pub away: bool,
    /// When its session was lost; `None`: it has one, or had one when the server itself ended.
    #[serde(default)]
    pub lost_ms: Option<u64>,
    /// Its present life says goodbye when it is told to stop.
    #[serde(default)]
    pub says_goodbye: bool,
    /// The life that said goodbye: it was stopped and did not die.
    #[serde(default)]
    pub stopped: String,
    /// Lives that ended without a goodbye while they had the candidate of an experiment.
    #[serde(default)]
    pub died: Option<Died>,
}

/// Deaths of an agent's process under the candidate of one experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Died {
    /// Id of the experiment.
    pub experiment: String,
    /// Those that nothing else can have ended; others are remembered without being counted.
    pub times: u32,
    /// When it was last heard of before the last that ended without a goodbye, counted or not.
    pub last_ms: u64,
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
    /// Its revision: the step that runs.
    #[serde(default)]
    pub experiment_revision: u64,
    /// Rolled back: `panic`, `memory`, `latency`, `protected`, `ledger`, `export`; empty: not said.
    #[serde(default)]
    pub harm: String,
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
    /// RFC 3339.
    pub time: String,
}

/// The right to write as a background loop: a lease and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub lease: String,
    pub number: u64,
}
