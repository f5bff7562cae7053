//! The bearer token, on every route but the probes.

use super::Shared;
use super::error::ApiError;
use crate::app::Caller;
use crate::auth::bearer;
use crate::model::DEFAULT_TENANT;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Names the tenant that a request is about.
const TENANT: &str = "phoenix-tenant";

pub(super) async fn check(
    State(shared): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(bearer);
    if !given.is_some_and(|token| shared.tokens.is_admin(token)) {
        return ApiError::unauthenticated().into_response();
    }
    let tenant = request
        .headers()
        .get(TENANT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or(DEFAULT_TENANT)
        .to_owned();
    request.extensions_mut().insert(Caller {
        tenant,
        actor: "admin".into(),
    });
    next.run(request).await
}
