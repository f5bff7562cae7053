//! Load and sink that cost little: encoded requests go out as they are, and are only counted.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::post;
use bytes::{Buf, BufMut, Bytes};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::Status;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// Hands messages through as bytes, both ways.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
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
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}

/// What a sink received.
#[derive(Debug, Default)]
pub struct Received {
    /// Requests.
    pub requests: AtomicU64,
    /// Uncompressed bytes.
    pub bytes: AtomicU64,
}

struct Count(Arc<Received>);

impl tonic::server::UnaryService<Bytes> for Count {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0
            .bytes
            .fetch_add(request.get_ref().len() as u64, Ordering::Relaxed);
        let empty = prost::Message::encode_to_vec(&ExportMetricsServiceResponse::default());
        ready(Ok(tonic::Response::new(empty.into())))
    }
}

/// Starts a sink on a free loopback port.
///
/// # Errors
/// No port.
pub async fn sink() -> anyhow::Result<(SocketAddr, Arc<Received>)> {
    let received = Arc::new(Received::default());
    let app = Router::new()
        .route(EXPORT, post(take))
        .with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((address, received))
}

async fn take(State(received): State<Arc<Received>>, request: Request) -> axum::response::Response {
    tonic::server::Grpc::new(Raw)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(256 << 20)
        .unary(Count(received), request)
        .await
        .map(Body::new)
}

/// Sends every request of every round, `flight` at a time, and waits for all answers.
///
/// # Errors
/// A request that was refused.
pub async fn send(
    to: SocketAddr,
    rounds: impl Iterator<Item = Vec<Bytes>>,
    flight: usize,
    gzip: bool,
) -> anyhow::Result<()> {
    let channel = Channel::from_shared(format!("http://{to}"))?
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(32 << 20)
        .connect()
        .await?;
    for round in rounds {
        let mut round = round.into_iter();
        let mut tasks = tokio::task::JoinSet::new();
        loop {
            while tasks.len() < flight {
                let Some(request) = round.next() else { break };
                tasks.spawn(one(channel.clone(), request, gzip));
            }
            match tasks.join_next().await {
                None => break,
                Some(sent) => sent??,
            }
        }
    }
    Ok(())
}

/// Sends one request; where the receiver is full it waits and sends again, as any client would.
async fn one(channel: Channel, request: Bytes, gzip: bool) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    if gzip {
        client = client
            .send_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Gzip);
    }
    loop {
        client
            .ready()
            .await
            .map_err(|e| Status::unknown(e.to_string()))?;
        let path = http::uri::PathAndQuery::from_static(EXPORT);
        match client
            .unary(tonic::Request::new(request.clone()), path, Raw)
            .await
        {
            Err(status) if status.code() == tonic::Code::Unavailable => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            answer => return answer.map(drop),
        }
    }
}
