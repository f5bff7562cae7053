//! Quarantined pipelines as they are shown.

use super::time;
use crate::model::Quarantine;
use serde::Serialize;
use utoipa::ToSchema;

/// A pipeline that no agent gets again until it is lifted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineBody {
    pub hash: String,
    /// Its name.
    pub pipeline: String,
    /// What it did.
    pub reason: String,
    /// The experiment that found it, by name and id.
    pub experiment: String,
    pub experiment_id: String,
    pub since: String,
    pub actor: String,
}

/// Why a pipeline is quarantined; `None`: it is not, or there is none.
pub(super) fn why(all: &[Quarantine], hash: Option<&str>) -> Option<String> {
    let found = all.iter().find(|q| Some(q.hash.as_str()) == hash)?;
    let (experiment, reason) = (&found.experiment, &found.reason);
    Some(format!("experiment {experiment} found harm: {reason}"))
}

impl From<Quarantine> for QuarantineBody {
    fn from(q: Quarantine) -> QuarantineBody {
        QuarantineBody {
            hash: q.hash,
            pipeline: q.pipeline,
            reason: q.reason,
            experiment: q.experiment,
            experiment_id: q.experiment_id,
            since: time(q.time_ms),
            actor: q.actor,
        }
    }
}
