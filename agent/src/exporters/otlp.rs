//! The OTLP clients: gRPC and HTTP, protobuf.

use super::Outcome;
use super::compress::compress;
use super::queue::Outgoing;
use super::transport::{self, Chunks, Connection};
use crate::receivers::grpc::EXPORT;
use crate::rpc::{self, Code, Status};
use crate::settings::{Compression, OtlpExporter, Protocol};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use std::time::Duration;

/// Largest answer that is read.
const ANSWER: usize = 64 * 1024;
const METRICS_PATH: &str = "/v1/metrics";

/// One OTLP destination and its connection.
pub struct OtlpSink {
    settings: OtlpExporter,
    target: Uri,
    open: Option<Open>,
}

struct Open {
    connection: Connection,
    headers: HeaderMap,
}

impl OtlpSink {
    /// A destination; connects when there is something to send.
    ///
    /// # Errors
    /// TLS files that cannot be used, or an endpoint that makes no URL with OTLP's path.
    pub fn new(settings: OtlpExporter) -> Result<OtlpSink, String> {
        let mut parts = settings.endpoint.clone().into_parts();
        let base = settings.endpoint.path().trim_end_matches('/');
        let path = match settings.protocol {
            Protocol::Grpc => EXPORT.to_owned(),
            Protocol::Http if base.ends_with(METRICS_PATH) => base.to_owned(),
            Protocol::Http => format!("{base}{METRICS_PATH}"),
        };
        parts.path_and_query = Some(path.parse().map_err(|e| format!("endpoint: {e}"))?);
        let target = Uri::from_parts(parts).map_err(|e| format!("endpoint: {e}"))?;
        if target.scheme_str() == Some("https") {
            super::tls::client(&settings.tls, settings.protocol)?;
        }
        Ok(OtlpSink {
            settings,
            target,
            open: None,
        })
    }

    /// One try, inside the time-out. A connection that failed or timed out is not used again.
    pub async fn send(&mut self, request: &Outgoing) -> Outcome {
        let limit = self.settings.timeout;
        let outcome = match tokio::time::timeout(limit, self.exchange(request)).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(reason)) => Outcome::Retry {
                reason,
                after: None,
            },
            Err(_) => Outcome::Retry {
                reason: format!("no answer within {} ms", limit.as_millis()),
                after: None,
            },
        };
        self.open = None;
        outcome
    }

    async fn exchange(&mut self, request: &Outgoing) -> Result<Outcome, String> {
        if self.open.as_ref().is_none_or(|o| o.connection.is_closed()) {
            self.open = Some(Open {
                headers: self.settings.headers.resolve()?,
                connection: transport::connect(
                    self.settings.protocol,
                    &self.settings.tls,
                    &self.target,
                )
                .await?,
            });
        }
        let Some(open) = &mut self.open else {
            return Err("not connected".to_owned());
        };
        let (body, sent) = body(&self.settings, request);
        let mut message = Request::new(body);
        *message.method_mut() = http::Method::POST;
        *message.uri_mut() = open.connection.target(&self.target);
        let headers = message.headers_mut();
        headers.insert(USER_AGENT, agent());
        set_headers(headers, &self.settings, &self.target);
        headers.extend(open.headers.clone());
        open.connection.authorize(headers);
        let response = open.connection.send(message).await?;
        match self.settings.protocol {
            Protocol::Grpc => grpc_answer(response, sent).await,
            Protocol::Http => http_answer(response, sent).await,
        }
    }
}

/// Who asks.
pub fn agent() -> HeaderValue {
    HeaderValue::from_static(concat!("phoenix-agent/", env!("CARGO_PKG_VERSION")))
}

fn set_headers(headers: &mut HeaderMap, settings: &OtlpExporter, target: &Uri) {
    let encoding = match settings.compression {
        Compression::None => None,
        Compression::Gzip => Some(HeaderValue::from_static("gzip")),
        Compression::Zstd => Some(HeaderValue::from_static("zstd")),
    };
    match settings.protocol {
        Protocol::Grpc => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
            if let Some(encoding) = encoding {
                headers.insert("grpc-encoding", encoding);
            }
        }
        Protocol::Http => {
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-protobuf"),
            );
            if let Some(host) = target.authority()
                && let Ok(host) = HeaderValue::from_str(host.as_str())
            {
                headers.insert(HOST, host);
            }
            if let Some(encoding) = encoding {
                headers.insert(CONTENT_ENCODING, encoding);
            }
        }
    }
}

/// The request's bytes as they go out, and how many they are.
fn body(settings: &OtlpExporter, request: &Outgoing) -> (Chunks, usize) {
    let compressed = compress(settings.compression, request);
    let mut chunks = Chunks::default();
    if settings.protocol == Protocol::Grpc {
        let len = compressed.as_ref().map_or(request.bytes, Bytes::len);
        let prefix = rpc::prefix(compressed.is_some(), len);
        chunks.push(Bytes::copy_from_slice(&prefix));
    }
    match compressed {
        Some(bytes) => chunks.push(bytes),
        None => request.parts.iter().for_each(|p| chunks.push(p.clone())),
    }
    let sent = chunks.len();
    (chunks, sent)
}

/// The pause that an answer asks for, where it is given in seconds.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    seconds.ok().map(Duration::from_secs)
}

async fn grpc_answer(response: Response<Incoming>, sent: usize) -> Result<Outcome, String> {
    let (head, body) = response.into_parts();
    if let Some(status) = Status::from_headers(&head.headers)
        && status.code != 0
    {
        return Ok(refusal(status));
    }
    if head.status != StatusCode::OK {
        let retry = matches!(head.status.as_u16(), 429 | 502..=504);
        return Ok(http_refusal(retry, head.status, None, String::new()));
    }
    let whole = Limited::new(body, ANSWER)
        .collect()
        .await
        .map_err(|e| format!("the answer broke off: {e}"))?;
    let status = whole
        .trailers()
        .and_then(Status::from_headers)
        .or_else(|| Status::from_headers(&head.headers))
        .ok_or("the answer has no grpc-status")?;
    if status.code != 0 {
        return Ok(refusal(status));
    }
    let bytes = whole.to_bytes();
    Ok(accepted(bytes.get(5..).unwrap_or_default(), sent))
}

fn refusal(status: Status) -> Outcome {
    let after = status.retry_delay();
    let reason = format!("gRPC status {}: {}", status.code, status.message);
    if Code(status.code).is_retryable(after.is_some()) {
        Outcome::Retry { reason, after }
    } else {
        Outcome::refused(reason, status.code == Code::INVALID_ARGUMENT.0)
    }
}

async fn http_answer(response: Response<Incoming>, sent: usize) -> Result<Outcome, String> {
    let (head, body) = response.into_parts();
    let whole = Limited::new(body, ANSWER)
        .collect()
        .await
        .map_err(|e| format!("the answer broke off: {e}"))?
        .to_bytes();
    if head.status.is_success() {
        let json = head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
        if json {
            let answer: Option<ExportMetricsServiceResponse> = serde_json::from_slice(&whole).ok();
            let bytes = answer.unwrap_or_default().encode_to_vec();
            return Ok(accepted(&bytes, sent));
        }
        return Ok(accepted(&whole, sent));
    }
    let retry = matches!(head.status.as_u16(), 429 | 502..=504);
    let after = retry_after(&head.headers);
    let said = Status::decode(&whole[..])
        .map(|s| s.message)
        .unwrap_or_default();
    Ok(http_refusal(retry, head.status, after, said))
}

fn http_refusal(retry: bool, status: StatusCode, after: Option<Duration>, said: String) -> Outcome {
    let reason = format!("HTTP status {status} {said}").trim_end().to_owned();
    if retry {
        Outcome::Retry { reason, after }
    } else {
        Outcome::refused(reason, is_of_content(status))
    }
}

/// An answer to what a request holds; others (credentials, path, a hop that fails) any request would get.
pub fn is_of_content(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 413 | 415 | 422)
}

/// Reads partial success; an answer that is none (some hops answer "OK") accepts everything.
fn accepted(message: &[u8], sent: usize) -> Outcome {
    let partial = ExportMetricsServiceResponse::decode(message)
        .ok()
        .and_then(|r| r.partial_success)
        .unwrap_or_default();
    Outcome::Accepted {
        rejected: u64::try_from(partial.rejected_data_points).unwrap_or(0),
        message: partial.error_message,
        sent,
    }
}
