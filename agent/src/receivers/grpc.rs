//! OTLP/gRPC: the metrics service's unary Export, framed by hand on hyper's HTTP/2, so that the
//! body reaches the worker as the bytes that came in.

use super::inflate::{Encoding, inflate};
use super::{Fault, Intake, REQUEST_TIME, RETRY_AFTER, body};
use crate::rpc::{self, Code, Status};
use crate::worker::Accepted;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::{Frame, Incoming};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The one method.
pub const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// A message and trailers, or trailers alone (then they are in the headers).
#[derive(Debug, Default)]
pub struct Answer {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match (self.message.take(), self.trailers.take()) {
            (Some(message), trailers) => {
                self.trailers = trailers;
                Frame::data(message)
            }
            (None, Some(trailers)) => Frame::trailers(trailers),
            (None, None) => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}

/// Answers one request.
pub async fn serve(
    intake: Intake,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let answer = match tokio::time::timeout(REQUEST_TIME, export(&intake, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault::TimedOut),
    };
    let mut response = Response::new(Answer::default());
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    match answer {
        Ok(accepted) => {
            let mut trailers = HeaderMap::with_capacity(1);
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            *response.body_mut() = Answer {
                message: Some(rpc::framed(&success(accepted))),
                trailers: Some(trailers),
            };
        }
        Err(fault) => {
            intake.worker.count_refused();
            tracing::debug!(%fault, "gRPC request refused");
            headers.insert(
                "grpc-accept-encoding",
                HeaderValue::from_static("identity,gzip,zstd"),
            );
            headers.extend(status(&fault).headers());
        }
    }
    Ok(response)
}

async fn export(intake: &Intake, request: Request<Incoming>) -> Result<Accepted, Fault> {
    let (head, incoming) = request.into_parts();
    if head.method != Method::POST || head.uri.path() != EXPORT {
        return Err(Fault::Unsupported(format!(
            "{} is not served here; this agent takes metrics at {EXPORT}",
            head.uri.path()
        )));
    }
    let encoding = Encoding::from_header(head.headers.get("grpc-encoding"))?;
    let mut hold = intake.admit()?;
    let framed = body::collect(incoming, intake.max_request + 5, &mut hold, foretold).await?;
    let (compressed, message) = unframe(framed)?;
    let bytes = if compressed {
        inflate(encoding, message, intake.max_request, &mut hold)?
    } else {
        message
    };
    intake.take(bytes, hold).await
}

/// The length of the whole body, as its prefix says.
fn foretold(first: &[u8]) -> usize {
    let length = first.get(1..5).and_then(|l| l.try_into().ok());
    length.map_or(0, |l| u32::from_be_bytes(l) as usize + 5)
}

/// Takes the prefix off the one message of a unary call.
fn unframe(mut framed: Bytes) -> Result<(bool, Bytes), Fault> {
    let wrong = |what: &str| Err(Fault::Malformed(format!("gRPC framing: {what}")));
    if framed.len() < 5 {
        return wrong("the message has no whole five-byte prefix");
    }
    let compressed = match framed.get_u8() {
        0 => false,
        1 => true,
        _ => return wrong("the compressed flag is neither 0 nor 1"),
    };
    let length = framed.get_u32() as usize;
    if framed.len() != length {
        return wrong("the length in the prefix is not that of the one message");
    }
    Ok((compressed, framed))
}

/// The response of OTLP; empty when nothing was rejected.
pub fn success(accepted: Accepted) -> ExportMetricsServiceResponse {
    let partial = accepted.rejected > 0 || accepted.reason.is_some();
    ExportMetricsServiceResponse {
        partial_success: partial.then(|| ExportMetricsPartialSuccess {
            rejected_data_points: accepted.rejected as i64,
            error_message: accepted.reason.unwrap_or_default(),
        }),
    }
}

/// The status of OTLP for a refusal.
pub fn status(fault: &Fault) -> Status {
    let (code, retry) = match fault {
        Fault::Malformed(_) => (Code::INVALID_ARGUMENT, None),
        // Without RetryInfo, which tells clients not to send it again.
        Fault::TooLarge(_) => (Code::RESOURCE_EXHAUSTED, None),
        Fault::Unsupported(_) => (Code::UNIMPLEMENTED, None),
        Fault::Full(_) => (Code::UNAVAILABLE, Some(RETRY_AFTER)),
        Fault::TimedOut => (Code::DEADLINE_EXCEEDED, None),
    };
    Status::new(code, fault.to_string(), retry)
}
