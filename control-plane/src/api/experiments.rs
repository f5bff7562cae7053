//! Experiments: apply, start, look, replay, promote, abort.
// utoipa repeats the handlers' types with their full paths.
#![allow(unused_qualifications)]

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::types::{AbortBody, AbortRequest, ExperimentBody, PromoteRequest};
use crate::app::{App, Caller};
use crate::driver::reports;
use crate::model::Experiment;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::IntoParams;

/// Applies an experiment document (YAML or JSON); it waits for its start.
#[utoipa::path(put, path = "/experiments/{name}", tag = "experiments",
    params(("name" = String, Path)),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 201, body = ExperimentBody), (status = 200, body = ExperimentBody),
        (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub async fn put(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    text: String,
) -> Result<(StatusCode, Json<ExperimentBody>), ApiError> {
    let (experiment, new) = shared.app.put_experiment(&caller, &name, &text).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(ExperimentBody::new(experiment, None))))
}

/// All experiments, without running figures.
#[utoipa::path(get, path = "/experiments", tag = "experiments",
    responses((status = 200, body = Vec<ExperimentBody>)))]
pub async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<ExperimentBody>>, ApiError> {
    let all = shared.app.experiments(&caller.tenant).await?;
    Ok(Json(
        all.into_iter()
            .map(|e| ExperimentBody::new(e, None))
            .collect(),
    ))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExperimentQuery {
    /// True: without figures, agents, and what it waits for, which cost a look at all its windows.
    #[serde(default)]
    pub brief: bool,
}

/// One experiment with the figures of the windows so far, what it waits for, and how its agents stand.
#[utoipa::path(get, path = "/experiments/{name}", tag = "experiments",
    params(("name" = String, Path), ExperimentQuery),
    responses((status = 200, body = ExperimentBody), (status = 404, body = ErrorBody)))]
pub async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Query(query): Query<ExperimentQuery>,
) -> Result<Json<ExperimentBody>, ApiError> {
    let experiment = shared.app.experiment(&caller.tenant, &name).await?;
    if query.brief {
        return Ok(Json(ExperimentBody::new(experiment, None)));
    }
    with_figures(&shared, experiment).await
}

/// Hands the experiment to the driver.
#[utoipa::path(post, path = "/experiments/{name}/start", tag = "experiments",
    params(("name" = String, Path)),
    responses((status = 200, body = ExperimentBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub async fn start(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<ExperimentBody>, ApiError> {
    let experiment = shared.app.start_experiment(&caller, &name).await?;
    Ok(Json(ExperimentBody::new(experiment, None)))
}

/// Makes the candidate what is assigned.
#[utoipa::path(post, path = "/experiments/{name}/promote", tag = "experiments",
    params(("name" = String, Path)), request_body = Option<PromoteRequest>,
    responses((status = 200, body = ExperimentBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub async fn promote(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<ExperimentBody>, ApiError> {
    let request: PromoteRequest = super::types::optional(&body)?;
    let experiment = shared
        .app
        .promote_experiment(&caller, &name, request.force)
        .await?;
    Ok(Json(ExperimentBody::new(experiment, None)))
}

/// Takes the candidate back, whatever the experiment is doing: one that is not over ends without a verdict, a
/// promotion that still stands is rolled back. Said again it does nothing more.
#[utoipa::path(post, path = "/experiments/{name}/abort", tag = "experiments",
    params(("name" = String, Path)), request_body = Option<AbortRequest>,
    responses((status = 200, body = AbortBody), (status = 404, body = ErrorBody)))]
pub async fn abort(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<AbortBody>, ApiError> {
    let request: AbortRequest = super::types::optional(&body)?;
    let aborted = shared
        .app
        .abort_experiment(&caller, &name, request.reason.as_deref())
        .await?;
    Ok(Json(AbortBody {
        experiment: ExperimentBody::new(aborted.experiment, None),
        did: aborted.did,
        changed: aborted.changed,
    }))
}

/// Brings the windows of a replay of captures, in the form of `windows`, to the step that waits for them.
#[utoipa::path(put, path = "/experiments/{name}/evidence", tag = "experiments",
    params(("name" = String, Path)), request_body = Vec<serde_json::Value>,
    responses((status = 200, body = ExperimentBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub async fn evidence(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Json(windows): Json<Vec<phoenix_analysis::Window>>,
) -> Result<Json<ExperimentBody>, ApiError> {
    let experiment = shared.app.put_evidence(&caller, &name, windows).await?;
    Ok(Json(ExperimentBody::new(experiment, None)))
}

/// The window reports of all steps, in the form that the judge reads: one object an agent and
/// window with both arms. `voidReason` is empty where the window was compared.
#[utoipa::path(get, path = "/experiments/{name}/windows", tag = "experiments",
    params(("name" = String, Path)),
    responses((status = 200, body = Vec<serde_json::Value>), (status = 404, body = ErrorBody)))]
pub async fn windows(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<Vec<phoenix_analysis::Window>>, ApiError> {
    let experiment = shared.app.experiment(&caller.tenant, &name).await?;
    let windows = shared.app.windows(&caller.tenant, &experiment.id).await?;
    let (mut all, _) = shared.app.evidence(&experiment).await?;
    all.extend(reports::detailed(&experiment, &windows));
    reports::with_context(&experiment, &mut all);
    Ok(Json(all))
}

/// Removes an experiment that does not run, with its windows.
#[utoipa::path(delete, path = "/experiments/{name}", tag = "experiments",
    params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    shared.app.delete_experiment(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn with_figures(
    shared: &Shared,
    experiment: Experiment,
) -> Result<Json<ExperimentBody>, ApiError> {
    let windows = shared
        .app
        .windows(&experiment.tenant, &experiment.id)
        .await?;
    let compared = crate::driver::compared(&experiment, &windows);
    let figures = crate::app::experiments::figures(&experiment, &windows, &compared);
    let outlook = crate::driver::outlook(&shared.app, &experiment).await?;
    Ok(Json(ExperimentBody::new(experiment, figures).with(outlook)))
}

/// Names by id.
pub(super) async fn names(
    app: &App,
    caller: &Caller,
) -> Result<BTreeMap<String, String>, ApiError> {
    let all = app.experiments(&caller.tenant).await?;
    Ok(all.into_iter().map(|e| (e.id, e.name)).collect())
}
