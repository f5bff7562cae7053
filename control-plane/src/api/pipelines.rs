//! Pipelines: immutable versions by hash.
// utoipa repeats the handlers' types with their full paths.
#![allow(unused_qualifications)]

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::types::{AppliedBody, DiffBody, PipelineBody, ValidationBody};
use crate::app::Caller;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ApplyQuery {
    /// Compile and answer, keep nothing.
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    /// A version's hash or its beginning; left out: the newest.
    pub hash: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// Hash or its beginning.
    pub from: String,
    /// Hash or its beginning.
    pub to: String,
}

/// Applies a document (YAML or JSON). The same content again makes no new version.
#[utoipa::path(post, path = "/pipelines", tag = "pipelines", params(ApplyQuery),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 201, body = AppliedBody), (status = 200, body = AppliedBody),
        (status = 422, body = ErrorBody)))]
pub async fn apply(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ApplyQuery>,
    text: String,
) -> Result<(StatusCode, Json<AppliedBody>), ApiError> {
    let applied = shared
        .app
        .apply_pipeline(&caller, &text, query.dry_run)
        .await?;
    let status = if applied.created && !query.dry_run {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(applied.into())))
}

/// Compiles a document without keeping it.
#[utoipa::path(post, path = "/pipelines/validate", tag = "pipelines",
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = ValidationBody)))]
pub async fn validate(State(shared): State<Shared>, text: String) -> Json<ValidationBody> {
    Json(shared.app.validate_pipeline(&text).into())
}

/// The newest version of each pipeline, without the text.
#[utoipa::path(get, path = "/pipelines", tag = "pipelines",
    responses((status = 200, body = Vec<PipelineBody>)))]
pub async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<PipelineBody>>, ApiError> {
    let all = shared.app.pipelines(&caller.tenant).await?;
    Ok(Json(
        all.into_iter().map(PipelineBody::without_text).collect(),
    ))
}

/// One version with its text.
#[utoipa::path(get, path = "/pipelines/{name}", tag = "pipelines",
    params(("name" = String, Path), VersionQuery),
    responses((status = 200, body = PipelineBody), (status = 404, body = ErrorBody)))]
pub async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<VersionQuery>,
) -> Result<Json<PipelineBody>, ApiError> {
    let found = shared
        .app
        .pipeline(&caller.tenant, &name, query.hash.as_deref())
        .await?;
    Ok(Json(found.into()))
}

/// All versions, newest first, without the text.
#[utoipa::path(get, path = "/pipelines/{name}/versions", tag = "pipelines",
    params(("name" = String, Path)),
    responses((status = 200, body = Vec<PipelineBody>), (status = 404, body = ErrorBody)))]
pub async fn versions(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Vec<PipelineBody>>, ApiError> {
    let all = shared.app.pipeline_versions(&caller.tenant, &name).await?;
    Ok(Json(
        all.into_iter().map(PipelineBody::without_text).collect(),
    ))
}

/// What changed between two versions, as unified text.
#[utoipa::path(get, path = "/pipelines/{name}/diff", tag = "pipelines",
    params(("name" = String, Path), DiffQuery),
    responses((status = 200, body = DiffBody), (status = 404, body = ErrorBody)))]
pub async fn diff(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Result<Json<DiffBody>, ApiError> {
    let (from, to, diff) = shared
        .app
        .pipeline_diff(&caller.tenant, &name, &query.from, &query.to)
        .await?;
    Ok(Json(DiffBody {
        from: from.hash,
        to: to.hash,
        diff,
    }))
}

/// Removes a pipeline that nothing uses.
#[utoipa::path(delete, path = "/pipelines/{name}", tag = "pipelines",
    params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    shared.app.delete_pipeline(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
