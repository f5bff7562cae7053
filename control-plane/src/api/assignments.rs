//! Assignments: which agents run which pipeline, and the way back.

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::types::{AssignmentBody, ChangeBody, RollbackRequest, RolledBackBody};
use crate::app::Caller;
use crate::model::Assignment;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};

/// Applies an assignment document (YAML or JSON); a tie is refused.
#[utoipa::path(put, path = "/assignments/{name}", tag = "assignments",
    params(("name" = String, Path)),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 201, body = AssignmentBody), (status = 200, body = AssignmentBody),
        (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub async fn put(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    text: String,
) -> Result<(StatusCode, Json<AssignmentBody>), ApiError> {
    let (assignment, new) = shared.app.apply_assignment(&caller, &name, &text).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(body(&shared, &caller, assignment).await?)))
}

/// All assignments.
#[utoipa::path(get, path = "/assignments", tag = "assignments",
    responses((status = 200, body = Vec<AssignmentBody>)))]
pub async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<AssignmentBody>>, ApiError> {
    let mut all = Vec::new();
    for assignment in shared.app.assignments(&caller.tenant).await? {
        all.push(body(&shared, &caller, assignment).await?);
    }
    Ok(Json(all))
}

/// One assignment.
#[utoipa::path(get, path = "/assignments/{name}", tag = "assignments",
    params(("name" = String, Path)),
    responses((status = 200, body = AssignmentBody), (status = 404, body = ErrorBody)))]
pub async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<AssignmentBody>, ApiError> {
    let found = shared.app.assignment(&caller.tenant, &name).await?;
    Ok(Json(body(&shared, &caller, found).await?))
}

/// The pipelines that it led to, newest first; also of one that is deleted.
#[utoipa::path(get, path = "/assignments/{name}/history", tag = "assignments",
    params(("name" = String, Path)),
    responses((status = 200, body = Vec<ChangeBody>), (status = 404, body = ErrorBody)))]
pub async fn history(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Vec<ChangeBody>>, ApiError> {
    let mut all = Vec::new();
    for change in shared.app.assignment_history(&caller.tenant, &name).await? {
        let found = shared
            .app
            .pipeline_name(&caller.tenant, &change.hash)
            .await?;
        all.push(ChangeBody::new(change, found));
    }
    Ok(Json(all))
}

/// Removes an assignment; its agents follow the next match, or pass everything through.
#[utoipa::path(delete, path = "/assignments/{name}", tag = "assignments",
    params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = ErrorBody)))]
pub async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    shared.app.delete_assignment(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Back to the pipeline before the present one that neither an abort nor a quarantine took away, or to the one
/// given.
#[utoipa::path(post, path = "/assignments/{name}/rollback", tag = "assignments",
    params(("name" = String, Path)), request_body = Option<RollbackRequest>,
    responses((status = 200, body = RolledBackBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub async fn rollback(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<RolledBackBody>, ApiError> {
    let request: RollbackRequest = super::types::optional(&body)?;
    let done = shared
        .app
        .rollback(&caller, &name, request.to.as_deref())
        .await?;
    let name = async |hash: &str| shared.app.pipeline_name(&caller.tenant, hash).await;
    Ok(Json(RolledBackBody {
        assignment: done.assignment,
        from_name: name(&done.from).await?,
        to_name: name(&done.to).await?,
        from: done.from,
        to: done.to,
        agents: done.agents,
    }))
}

async fn body(
    shared: &Shared,
    caller: &Caller,
    assignment: Assignment,
) -> Result<AssignmentBody, ApiError> {
    let found = shared.app.pipeline_name(&caller.tenant, &assignment.hash);
    let name = found.await?;
    let barred = shared.app.quarantine(&caller.tenant).await?;
    Ok(AssignmentBody::new(assignment, name, &barred))
}
