//! An experiment, where it stands, what became of its steps, and what was measured.

use super::{Identity, Witness};
use crate::documents::{ExperimentSpec, Kind, Share, Step};
use phoenix_proto::control::ArmReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
    /// Part of the windows' key; grows with every step.
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
    /// Agents (`tenant/cluster/node`) that run the second arm of the present step.
    #[serde(default)]
    pub chosen: Vec<String>,
    /// Nobody runs the baseline alone: those are all that were connected, and that took the step when it runs.
    #[serde(default)]
    pub chosen_all: bool,
    /// What became of the steps that have ended, in order.
    #[serde(default)]
    pub results: Vec<StepResult>,
    /// Why it is in this phase, one sentence.
    pub reason: String,
    /// Fixed at the start; `None` = nothing is assigned, the agents pass everything through.
    pub baseline_hash: Option<String>,
    /// What was assigned to its agents when it started; empty where nobody noted it.
    #[serde(default)]
    pub assigned: BTreeSet<Option<String>>,
    /// Fixed when applied.
    pub candidate_hash: String,
    pub created_ms: u64,
    /// When it entered the present phase of the present step.
    pub phase_ms: u64,
    /// When the present step entered `Running`.
    #[serde(default)]
    pub step_started_ms: Option<u64>,
    /// When its first step entered `Running`.
    pub started_ms: Option<u64>,
    pub ended_ms: Option<u64>,
    /// Set by promotion: the assignment that now serves the candidate.
    pub promoted_to: Option<String>,
    /// The candidate was taken back after the verdict: from a promotion, a hold, or the wait for a person's word.
    #[serde(default)]
    pub taken_back: bool,
    /// It is completed, and its agents run the candidate until it is promoted or aborted.
    #[serde(default)]
    pub holds: bool,
    /// The judge's answer, as the driver wrote it.
    pub verdict: Option<serde_json::Value>,
    /// What a backend told of the steps that it was asked about, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witness: Vec<Witness>,
    /// The driver's own memory between two looks.
    #[serde(default)]
    pub memory: serde_json::Value,
    pub actor: String,
}

impl Experiment {
    /// Its agents are taken: it runs, or holds the candidate.
    pub fn is_live(&self) -> bool {
        self.phase.is_active() || self.holds
    }

    /// The outcome of its verdict: `promote`, `reject`, `inconclusive`, `no data`; `None`: not judged.
    pub fn outcome(&self) -> Option<&str> {
        self.verdict.as_ref()?.get("outcome")?.as_str()
    }

    /// The present step.
    pub fn current(&self) -> Option<Step> {
        self.spec.course().into_iter().nth(self.at)
    }

    /// When the present step began to run.
    pub fn step_ms(&self) -> u64 {
        self.step_started_ms.unwrap_or(self.phase_ms)
    }

    /// The pipeline of the second arm: in A/A the baseline once more.
    pub fn second(&self, step: &Step) -> Option<&str> {
        match step.kind {
            Kind::Aa => self.baseline_hash.as_deref(),
            _ => Some(&self.candidate_hash),
        }
    }

    /// How an agent shares its traffic in the present step; `None`: it has no second arm.
    pub fn share_of(&self, step: &Step, identity: &Identity) -> Option<AgentShare> {
        let chosen = self.chosen.contains(&identity.to_string());
        let nodes = |percent| AgentShare::Split {
            entity: Vec::new(),
            percent,
        };
        match &step.share {
            Share::Shadow if chosen => Some(AgentShare::Shadow),
            Share::Entities { entity, percent }
            | Share::Both {
                entity, percent, ..
            } if chosen => Some(AgentShare::Split {
                entity: entity.clone(),
                percent: *percent,
            }),
            // A node that came later starts on the baseline; where nodes are compared it says so.
            Share::Nothing | Share::Shadow | Share::Entities { .. } => None,
            Share::Nodes(_) | Share::Everything if chosen => Some(nodes(100.0)),
            Share::Nodes(_) | Share::Both { .. } | Share::Everything => Some(nodes(0.0)),
        }
    }

    /// The step that ran under a revision, by name.
    pub fn step_of(&self, revision: u64) -> &str {
        self.results
            .iter()
            .find(|r| r.revision == revision)
            .map_or(self.step.as_str(), |r| r.step.as_str())
    }
}

/// How one agent shares its traffic between two arms.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentShare {
    Shadow,
    /// Without an entity: everything (100) or nothing (0) goes to the second arm.
    Split {
        entity: Vec<String>,
        percent: f64,
    },
}

impl AgentShare {
    /// The second arm is given something here.
    pub fn has_candidate(&self) -> bool {
        match self {
            AgentShare::Shadow => true,
            AgentShare::Split { percent, .. } => *percent > 0.0,
        }
    }
}

/// What became of a step of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepResult {
    /// Its place among the steps.
    pub at: usize,
    /// Its name.
    pub step: String,
    /// The experiment's revision while it ran: keys its windows.
    pub revision: u64,
    pub passed: bool,
    /// One sentence.
    pub reason: String,
    pub started_ms: u64,
    pub ended_ms: u64,
    /// The verdict is about the windows that were stored up to then.
    pub judged_ms: Option<u64>,
    /// The judge's answer; `None`: not judged.
    pub verdict: Option<serde_json::Value>,
}

/// What a phase change writes besides the phase. `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct PhaseChange {
    pub phase: Option<Phase>,
    /// On to the step at this place, under a new revision.
    pub at: Option<usize>,
    pub chosen: Option<Vec<String>>,
    /// What became of the step that ends.
    pub result: Option<StepResult>,
    pub reason: String,
    pub verdict: Option<serde_json::Value>,
    pub memory: Option<serde_json::Value>,
    /// Whether the agents keep the candidate although the run is over.
    pub holds: bool,
    /// The candidate did harm: nobody of the tenant gets it again, and why.
    pub quarantine: Option<String>,
}

/// A pipeline that no agent of a tenant gets again until it is lifted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantine {
    pub tenant: String,
    pub hash: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// One sentence.
    pub reason: String,
    /// The experiment that found it, by name and id.
    pub experiment: String,
    pub experiment_id: String,
    pub actor: String,
    pub time_ms: u64,
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
    /// Spent on both arms at once: in no arm's figure.
    pub shared_cpu_seconds: Option<f64>,
    pub shared_memory_bytes: Option<u64>,
    pub rss_bytes: Option<u64>,
    pub export_errors: u64,
    pub requests_refused: u64,
    pub report: ArmReport,
}
