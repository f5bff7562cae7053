//! Quarantined pipelines: look, lift.

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::types::QuarantineBody;
use crate::app::Caller;
use axum::extract::{Path, State};
use axum::{Extension, Json};

/// Pipelines that no agent gets again until they are lifted, by time.
#[utoipa::path(get, path = "/quarantine", tag = "quarantine",
    responses((status = 200, body = Vec<QuarantineBody>)))]
pub async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<QuarantineBody>>, ApiError> {
    let all = shared.app.quarantine(&caller.tenant).await?;
    Ok(Json(all.into_iter().map(Into::into).collect()))
}

/// Lifts a pipeline by its hash or the beginning of it: it may be assigned and tried again, also by agents
/// that fell back from it.
#[utoipa::path(delete, path = "/quarantine/{hash}", tag = "quarantine",
    params(("hash" = String, Path)),
    responses((status = 200, body = QuarantineBody), (status = 404, body = ErrorBody)))]
pub async fn lift(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(hash): Path<String>,
) -> Result<Json<QuarantineBody>, ApiError> {
    let lifted = shared.app.lift(&caller, &hash).await?;
    Ok(Json(lifted.into()))
}
