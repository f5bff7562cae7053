//! Errors: one JSON form, stable codes, whatever layer refused.

use crate::app::Error;
use axum::Json;
use axum::body::to_bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use phoenix_engine::document::Problem;
use serde::Serialize;

/// `{"error": {"code", "message", "problems"}}`.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// Stable, kebab-case.
    pub code: String,
    /// For people.
    pub message: String,
    /// Mistakes of a document, all at once.
    #[schema(value_type = Vec<super::types::ProblemBody>)]
    pub problems: Vec<Problem>,
}

impl ErrorBody {
    pub fn new(code: &str, message: impl Into<String>) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                code: code.into(),
                message: message.into(),
                problems: Vec::new(),
            },
        }
    }
}

/// An answer that is an error.
#[derive(Debug)]
pub struct ApiError(StatusCode, ErrorBody);

impl ApiError {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> ApiError {
        ApiError(status, ErrorBody::new(code, message))
    }

    pub fn unauthenticated() -> ApiError {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "send the header 'authorization: Bearer TOKEN' with the token of admin.token",
        )
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        let status = match &error {
            Error::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Refused { .. } => StatusCode::CONFLICT,
            Error::Store(crate::store::Error::Conflict) => StatusCode::CONFLICT,
            Error::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let message = if status.is_server_error() {
            tracing::error!(%error, "a request failed");
            "the store failed; the server's log says why".to_owned()
        } else {
            error.to_string()
        };
        let mut body = ErrorBody::new(error.code(), message);
        if let Error::Invalid { problems, .. } = error {
            body.error.problems = problems;
        }
        ApiError(status, body)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

pub(super) async fn no_route() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no-such-route",
        "there is no such route",
    )
}

pub(super) async fn no_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "the route does not know this method",
    )
}

/// Gives refusals of the layers below (body too large, bad query, time-out) the one form.
pub(super) async fn uniform(response: Response) -> Response {
    let status = response.status();
    let json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/json"));
    if json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "body-too-large",
        StatusCode::GATEWAY_TIMEOUT => "timeout",
        StatusCode::NOT_FOUND => "no-such-route",
        StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
        s if s.is_client_error() => "bad-request",
        _ => "internal",
    };
    let text = to_bytes(response.into_body(), 4 << 10).await;
    let text = text.map(|b| String::from_utf8_lossy(&b).into_owned());
    let message = match text {
        Ok(text) if !text.is_empty() => text,
        _ => status.canonical_reason().unwrap_or("refused").to_owned(),
    };
    ApiError::new(status, code, message).into_response()
}
