//! Experiments as they are shown.

use super::time;
use crate::app::experiments::{Figures, document};
use crate::model::{Experiment, Phase};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An experiment and where it stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentBody {
    pub name: String,
    /// Seeds the split, keys the windows.
    pub id: String,
    pub revision: u64,
    pub phase: Phase,
    /// `shadow` or `split`.
    pub step: String,
    /// Why it is in this phase.
    pub reason: String,
    pub created_at: String,
    /// When it began to run.
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    /// As applied, with defaults filled in.
    pub document: serde_json::Value,
    /// Null before the start, or where nothing is assigned (pass-through).
    pub baseline_hash: Option<String>,
    pub candidate_hash: String,
    /// The assignment that serves the candidate since the promotion.
    pub promoted_to: Option<String>,
    /// Outcome, criteria with reasons, savings; null: not judged.
    pub verdict: Option<serde_json::Value>,
    /// Figures of the comparable windows so far; null: none yet, or not asked for.
    pub live: Option<Figures>,
    pub actor: String,
}

impl ExperimentBody {
    pub fn new(e: Experiment, live: Option<Figures>) -> ExperimentBody {
        ExperimentBody {
            document: document(&e),
            name: e.name,
            id: e.id,
            revision: e.revision,
            phase: e.phase,
            step: e.step,
            reason: e.reason,
            created_at: time(e.created_ms),
            started_at: e.started_ms.map(time),
            ended_at: e.ended_ms.map(time),
            baseline_hash: e.baseline_hash,
            candidate_hash: e.candidate_hash,
            promoted_to: e.promoted_to,
            verdict: e.verdict,
            live,
            actor: e.actor,
        }
    }
}

/// How to promote.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PromoteRequest {
    /// Also with an inconclusive verdict; never with a rejection.
    pub force: bool,
}

/// Why it is cancelled.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CancelRequest {
    pub reason: Option<String>,
}
