//! OTLP in: gRPC with the request's raw bytes (so that bytes are counted as sent), and HTTP.

use super::Sink;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Buf, Bytes};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use std::future::{Ready, ready};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use tonic::Status;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};

const LIMIT: usize = 256 << 20;

type Shared = Arc<Mutex<Sink>>;

pub fn router(sink: Shared) -> Router {
    Router::new()
        .route(
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            post(grpc),
        )
        .route("/v1/metrics", post(http))
        .layer(DefaultBodyLimit::max(LIMIT))
        .with_state(sink)
}

async fn grpc(State(sink): State<Shared>, request: Request) -> Response {
    tonic::server::Grpc::new(Raw)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(LIMIT)
        .unary(Export(sink), request)
        .await
        .map(Body::new)
}

async fn http(State(sink): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let plain = match headers.get(header::CONTENT_ENCODING).map(|v| v.as_bytes()) {
        None | Some(b"identity") => body,
        Some(b"gzip") => {
            let mut out = Vec::new();
            let mut gzip = flate2::read::MultiGzDecoder::new(body.reader()).take(LIMIT as u64);
            match gzip.read_to_end(&mut out) {
                Ok(_) => out.into(),
                Err(e) => return (StatusCode::BAD_REQUEST, e.to_string()).into_response(),
            }
        }
        Some(_) => return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "gzip or identity").into_response(),
    };
    match take(&sink, &plain) {
        Ok(response) => (
            [(header::CONTENT_TYPE, "application/x-protobuf")],
            response.encode_to_vec(),
        )
            .into_response(),
        Err(status) => {
            (StatusCode::SERVICE_UNAVAILABLE, status.message().to_owned()).into_response()
        }
    }
}

fn take(sink: &Shared, body: &Bytes) -> Result<ExportMetricsServiceResponse, Status> {
    let request = ExportMetricsServiceRequest::decode(body.clone())
        .map_err(|e| Status::invalid_argument(e.to_string()))?;
    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    if sink.fail_next > 0 {
        sink.fail_next -= 1;
        return Err(Status::new(sink.fail_code.into(), "asked to fail"));
    }
    sink.push(&request, body.len() as u64);
    Ok(ExportMetricsServiceResponse::default())
}

struct Export(Shared);

impl tonic::server::UnaryService<Bytes> for Export {
    type Response = ExportMetricsServiceResponse;
    type Future = Ready<Result<tonic::Response<Self::Response>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        ready(take(&self.0, request.get_ref()).map(tonic::Response::new))
    }
}

/// Hands out the message's bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = ExportMetricsServiceResponse;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = ExportMetricsServiceResponse;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buf)
            .map_err(|e| Status::internal(e.to_string()))
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}
