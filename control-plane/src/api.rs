//! The REST door, `/api/v1`: thin handlers over the use cases. The OpenAPI document is made from them.

mod agents;
mod assignments;
mod auth;
mod error;
mod events;
mod experiments;
mod pipelines;
mod quarantine;
mod types;

pub use error::ErrorBody;

use crate::app::App;
use crate::auth::Tokens;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

/// Largest request body: the engine reads documents of 1 MiB.
const MAX_BODY: usize = 2 << 20;
/// Largest body with the windows of a replay.
const MAX_EVIDENCE: usize = 64 << 20;
/// Longest time to the head of an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What handlers share.
#[derive(Clone)]
pub struct Shared {
    pub app: Arc<App>,
    pub tokens: Arc<Tokens>,
    /// Ends event streams.
    pub shutdown: CancellationToken,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Phoenix",
        description = "Pipelines, assignments, agents and experiments. Errors have stable codes.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ErrorBody)),
    security(("token" = []))
)]
struct Api;

fn described() -> OpenApiRouter<Shared> {
    let mut api = Api::openapi();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    api.components
        .get_or_insert_default()
        .add_security_scheme("token", SecurityScheme::Http(token));
    OpenApiRouter::with_openapi(api)
        .routes(routes!(pipelines::apply, pipelines::list))
        .routes(routes!(pipelines::validate))
        .routes(routes!(pipelines::get, pipelines::delete))
        .routes(routes!(pipelines::versions))
        .routes(routes!(pipelines::diff))
        .routes(routes!(assignments::list))
        .routes(routes!(
            assignments::put,
            assignments::get,
            assignments::delete
        ))
        .routes(routes!(assignments::history))
        .routes(routes!(assignments::rollback))
        .routes(routes!(agents::list))
        .routes(routes!(agents::get, agents::delete))
        .routes(routes!(experiments::list))
        .routes(routes!(
            experiments::put,
            experiments::get,
            experiments::delete
        ))
        .routes(routes!(experiments::start))
        .routes(routes!(experiments::promote))
        .routes(routes!(experiments::abort))
        .routes(routes!(experiments::evidence).layer(DefaultBodyLimit::max(MAX_EVIDENCE)))
        .routes(routes!(experiments::windows))
        .routes(routes!(quarantine::list))
        .routes(routes!(quarantine::lift))
        .routes(routes!(events::events))
}

/// The OpenAPI document of `/api/v1`, as it is checked in.
pub fn openapi() -> String {
    let (_, api) = OpenApiRouter::<Shared>::new()
        .nest("/api/v1", described())
        .split_for_parts();
    let mut text = api.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// All routes of the REST door.
pub fn routes(shared: Shared) -> Router {
    let (described, _) = described().split_for_parts();
    let document = openapi();
    let api = described
        .route(
            "/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, "application/json")], document) }),
        )
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            TIMEOUT,
        ))
        .layer(middleware::from_fn_with_state(shared.clone(), auth::check))
        .layer(middleware::map_response(error::uniform))
        .with_state(shared.clone());
    let probes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(shared);
    Router::new()
        .merge(probes.clone())
        .nest("/api/v1", probes.merge(api))
}

async fn ready(State(shared): State<Shared>) -> Response {
    match shared.app.ready().await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => {
            tracing::error!(%error, "not ready");
            let body = ErrorBody::new("not-ready", "the store does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}
