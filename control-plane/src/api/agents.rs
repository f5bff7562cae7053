//! Agents: what they run, and what they say of themselves.
// utoipa repeats the handlers' types with their full paths.
#![allow(unused_qualifications)]

use super::Shared;
use super::error::{ApiError, ErrorBody};
use super::types::AgentBody;
use crate::app::{AgentView, Caller, Error};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ClusterQuery {
    /// Needed where two clusters have a node of that name.
    pub cluster: Option<String>,
}

/// All known agents.
#[utoipa::path(get, path = "/agents", tag = "agents",
    responses((status = 200, body = Vec<AgentBody>)))]
pub async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<AgentBody>>, ApiError> {
    let all = shared.app.agents(Some(&caller.tenant)).await?;
    let names = super::experiments::names(&shared.app, &caller).await?;
    let barred = shared.app.quarantine(&caller.tenant).await?;
    let body = |a| AgentBody::new(a, &names, &barred);
    Ok(Json(all.into_iter().map(body).collect()))
}

/// One agent.
#[utoipa::path(get, path = "/agents/{node}", tag = "agents",
    params(("node" = String, Path), ClusterQuery),
    responses((status = 200, body = AgentBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
pub async fn get(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(node): Path<String>,
    Query(query): Query<ClusterQuery>,
) -> Result<Json<AgentBody>, ApiError> {
    let view = one(&shared, &caller, &node, query).await?;
    let names = super::experiments::names(&shared.app, &caller).await?;
    let barred = shared.app.quarantine(&caller.tenant).await?;
    Ok(Json(AgentBody::new(view, &names, &barred)))
}

/// Forgets an agent and its credential: it must enrol again.
#[utoipa::path(delete, path = "/agents/{node}", tag = "agents",
    params(("node" = String, Path), ClusterQuery),
    responses((status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub async fn delete(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(node): Path<String>,
    Query(query): Query<ClusterQuery>,
) -> Result<StatusCode, ApiError> {
    let view = one(&shared, &caller, &node, query).await?;
    shared
        .app
        .delete_agent(&caller, &view.agent.identity)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn one(
    shared: &Shared,
    caller: &Caller,
    node: &str,
    query: ClusterQuery,
) -> Result<AgentView, ApiError> {
    let mut all = shared.app.agents(Some(&caller.tenant)).await?;
    all.retain(|view| {
        let identity = &view.agent.identity;
        identity.node == node
            && query
                .cluster
                .as_ref()
                .is_none_or(|c| *c == identity.cluster)
    });
    if all.len() > 1 {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "ambiguous-node",
            "several clusters have a node of that name: add ?cluster=",
        ));
    }
    all.pop()
        .ok_or_else(|| Error::NotFound(format!("agent {node}")).into())
}
