//! What the API answers and takes: camelCase JSON, times as RFC 3339, hashes in full.

mod agent;
mod experiment;
mod money;
mod quarantine;

pub use agent::AgentBody;
pub use experiment::{AbortBody, AbortRequest, ExperimentBody, PromoteRequest};
pub use quarantine::QuarantineBody;

use super::error::ApiError;
use crate::app::{Applied, Validation};
use crate::documents::AssignmentSpec;
use crate::model::{Assignment, AssignmentChange, Pipeline, Quarantine};
use axum::http::StatusCode;
use phoenix_engine::document::Problem;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::{Duration, UNIX_EPOCH};
use utoipa::ToSchema;

/// A mistake in a document.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemBody {
    /// `spec.stages[2].aggregate.by[0]`.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl From<Problem> for ProblemBody {
    fn from(problem: Problem) -> Self {
        ProblemBody {
            path: problem.path,
            message: problem.message,
        }
    }
}

/// An applied pipeline.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppliedBody {
    pub name: String,
    pub version: u64,
    pub hash: String,
    /// False: the newest version already was this one.
    pub created: bool,
}

impl From<Applied> for AppliedBody {
    fn from(applied: Applied) -> Self {
        AppliedBody {
            name: applied.pipeline.name,
            version: applied.pipeline.version,
            hash: applied.pipeline.hash,
            created: applied.created,
        }
    }
}

/// What the engine says of a document.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValidationBody {
    pub valid: bool,
    pub name: Option<String>,
    pub hash: Option<String>,
    pub problems: Vec<ProblemBody>,
}

impl From<Validation> for ValidationBody {
    fn from(v: Validation) -> Self {
        ValidationBody {
            valid: v.problems.is_empty(),
            name: v.name,
            hash: v.hash,
            problems: v.problems.into_iter().map(Into::into).collect(),
        }
    }
}

/// One version of a pipeline.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineBody {
    pub name: String,
    pub version: u64,
    /// SHA-256 of the canonical form.
    pub hash: String,
    pub description: String,
    /// The text as it was applied; left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    pub created_at: String,
    pub actor: String,
}

impl From<Pipeline> for PipelineBody {
    fn from(p: Pipeline) -> Self {
        PipelineBody {
            name: p.name,
            version: p.version,
            hash: p.hash,
            description: p.description,
            document: Some(p.document),
            created_at: time(p.created_ms),
            actor: p.actor,
        }
    }
}

impl PipelineBody {
    pub fn without_text(pipeline: Pipeline) -> Self {
        PipelineBody {
            document: None,
            ..pipeline.into()
        }
    }
}

/// What changed between two versions.
#[derive(Debug, Serialize, ToSchema)]
pub struct DiffBody {
    pub from: String,
    pub to: String,
    /// Unified text.
    pub diff: String,
}

/// An assignment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentBody {
    pub name: String,
    pub spec: AssignmentSpec,
    /// What `spec.pipeline` leads to now.
    pub hash: String,
    /// The name of that pipeline.
    pub pipeline_name: Option<String>,
    /// Why that is quarantined: the assignment led to it before; null: it is not.
    pub quarantined: Option<String>,
    pub updated_at: String,
    pub actor: String,
}

impl AssignmentBody {
    pub fn new(a: Assignment, pipeline_name: Option<String>, barred: &[Quarantine]) -> Self {
        AssignmentBody {
            quarantined: quarantine::why(barred, Some(&a.hash)),
            pipeline_name,
            name: a.name,
            spec: a.spec,
            hash: a.hash,
            updated_at: time(a.updated_ms),
            actor: a.actor,
        }
    }
}

/// A pipeline that an assignment led to, from a moment on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeBody {
    /// As written: name or hash; empty: deleted.
    pub pipeline: String,
    pub hash: String,
    /// The name of the pipeline that `hash` is; null: there is none (any more).
    pub pipeline_name: Option<String>,
    pub priority: i64,
    /// `applied`, `new-version`, `rolled-back`, `rolled-back-to` (a hash that was named), `promoted`, `aborted` (a promotion taken back), `deleted`.
    pub cause: String,
    pub actor: String,
    pub time: String,
}

impl ChangeBody {
    pub fn new(c: AssignmentChange, pipeline_name: Option<String>) -> Self {
        ChangeBody {
            pipeline_name,
            pipeline: c.pipeline,
            hash: c.hash,
            priority: c.priority,
            cause: c.cause,
            actor: c.actor,
            time: time(c.time_ms),
        }
    }
}

/// Where to roll back to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// Hash or its beginning; left out: the pipeline before the present one.
    pub to: Option<String>,
}

/// What a rollback did.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolledBackBody {
    pub assignment: String,
    pub from: String,
    /// The names of both pipelines; null: there is none any more.
    pub from_name: Option<String>,
    pub to: String,
    pub to_name: Option<String>,
    /// Connected agents that it reaches.
    pub agents: usize,
}

/// Milliseconds since the epoch as RFC 3339.
fn time(ms: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}

/// A JSON body that may be left out.
pub fn optional<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|e| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            format!("the body is not the JSON that is expected here: {e}"),
        )
    })
}
