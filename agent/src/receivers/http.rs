//! OTLP/HTTP: `POST /v1/metrics` with protobuf or JSON, answered in the request's encoding.

use super::body::collect;
use super::grpc::{status, success};
use super::inflate::{Encoding, inflate};
use super::{Fault, Intake, REQUEST_TIME, RETRY_AFTER};
use crate::json;
use crate::worker::Accepted;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use std::convert::Infallible;

const PATH: &str = "/v1/metrics";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

impl Format {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Format::Protobuf => "application/x-protobuf",
            Format::Json => "application/json",
        })
    }

    fn of(headers: &HeaderMap) -> Option<Format> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let kind = value.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/x-protobuf") {
            Some(Format::Protobuf)
        } else if kind.eq_ignore_ascii_case("application/json") {
            Some(Format::Json)
        } else {
            None
        }
    }
}

/// Answers one request.
pub async fn serve(
    intake: Intake,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != PATH {
        let text = format!("not found; this agent takes metrics at POST {PATH}\n");
        return Ok(plain(&intake, StatusCode::NOT_FOUND, text));
    }
    if request.method() != Method::POST {
        let text = format!("use POST {PATH}\n");
        let mut response = plain(&intake, StatusCode::METHOD_NOT_ALLOWED, text);
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    let Some(format) = Format::of(request.headers()) else {
        let text = "content-type must be application/x-protobuf or application/json\n".to_owned();
        return Ok(plain(&intake, StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    };
    let answer = match tokio::time::timeout(REQUEST_TIME, export(&intake, format, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault::TimedOut),
    };
    Ok(match answer {
        Ok(accepted) => {
            let message = success(accepted);
            let body = match format {
                Format::Protobuf => message.encode_to_vec(),
                Format::Json => success_json(&message),
            };
            respond(StatusCode::OK, format, body)
        }
        Err(fault) => refuse(&intake, format, &fault),
    })
}

async fn export(
    intake: &Intake,
    format: Format,
    request: Request<Incoming>,
) -> Result<Accepted, Fault> {
    let encoding = Encoding::from_header(request.headers().get(CONTENT_ENCODING))?;
    let mut hold = intake.admit()?;
    let body = collect(request.into_body(), intake.max_request, &mut hold, |_| 0).await?;
    let bytes = inflate(encoding, body, intake.max_request, &mut hold)?;
    match format {
        Format::Protobuf => intake.take(bytes, hold).await,
        Format::Json => {
            let limits = json::Limits {
                bytes: intake.max_request,
                ..Default::default()
            };
            let decoded = json::decode(&bytes, limits)?;
            drop(bytes);
            if !hold.grow(decoded.bytes.len()) {
                return Err(super::body::full());
            }
            intake.take_decoded(decoded, hold).await
        }
    }
}

impl From<json::JsonError> for Fault {
    fn from(error: json::JsonError) -> Fault {
        let text = error.to_string();
        match error {
            json::JsonError::TooManyElements { .. } | json::JsonError::TooLarge { .. } => {
                Fault::TooLarge(text)
            }
            _ => Fault::Malformed(text),
        }
    }
}

fn refuse(intake: &Intake, format: Format, fault: &Fault) -> Response<Full<Bytes>> {
    intake.worker.count_refused();
    tracing::debug!(%fault, "HTTP request refused");
    let code = match fault {
        Fault::Malformed(_) => StatusCode::BAD_REQUEST,
        Fault::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Fault::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Fault::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
        Fault::TimedOut => StatusCode::REQUEST_TIMEOUT,
    };
    let status = status(fault);
    let body = match format {
        Format::Protobuf => status.encode_to_vec(),
        Format::Json => serde_json::json!({ "code": status.code, "message": status.message })
            .to_string()
            .into_bytes(),
    };
    let mut response = respond(code, format, body);
    let headers = response.headers_mut();
    match fault {
        Fault::Full(_) => {
            let seconds = RETRY_AFTER.as_secs().max(1);
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        Fault::Unsupported(_) => {
            headers.insert(
                ACCEPT_ENCODING,
                HeaderValue::from_static("identity, gzip, zstd"),
            );
        }
        _ => {}
    }
    response
}

/// The response in OTLP's JSON: 64-bit numbers are strings, absent fields are left out.
fn success_json(message: &ExportMetricsServiceResponse) -> Vec<u8> {
    let partial = message.partial_success.as_ref().map(|p| {
        serde_json::json!({
            "rejectedDataPoints": p.rejected_data_points.to_string(),
            "errorMessage": p.error_message,
        })
    });
    match partial {
        Some(partial) => serde_json::json!({ "partialSuccess": partial }).to_string(),
        None => "{}".to_owned(),
    }
    .into_bytes()
}

fn respond(code: StatusCode, format: Format, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, format.content_type());
    response
}

fn plain(intake: &Intake, code: StatusCode, text: String) -> Response<Full<Bytes>> {
    intake.worker.count_refused();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
