//! A next hop that takes everything and counts it.

use crate::load::EXPORT;
use anyhow::Context as _;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// What a sink received.
#[derive(Debug, Default)]
pub struct Received {
    /// Requests.
    pub requests: AtomicU64,
    /// Bytes of them as they came.
    pub bytes: AtomicU64,
    /// Points in them.
    pub points: AtomicU64,
}

/// An empty OTLP answer.
#[derive(Debug, Default)]
struct Answer(u8);

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 += 1;
        Poll::Ready(match self.0 {
            1 => Some(Ok(Frame::data(Bytes::from_static(&[0; 5])))),
            2 => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                Some(Ok(Frame::trailers(trailers)))
            }
            _ => None,
        })
    }
}

/// Starts a sink on a free loopback port.
///
/// # Errors
/// No port.
pub async fn start() -> anyhow::Result<(SocketAddr, Arc<Received>)> {
    let received = Arc::new(Received::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let count = received.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _nodelay = stream.set_nodelay(true);
            let count = count.clone();
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server
                .timer(TokioTimer::new())
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(32 << 20)
                .max_frame_size(1 << 20);
            let service = service_fn(move |request| take(count.clone(), request));
            let connection = server.serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    Ok((address, received))
}

async fn take(
    received: Arc<Received>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Answer>> {
    anyhow::ensure!(request.uri().path() == EXPORT, "not metrics");
    let encoding = request.headers().get("grpc-encoding").cloned();
    let body = request.into_body().collect().await?.to_bytes();
    received.requests.fetch_add(1, Ordering::Relaxed);
    received
        .bytes
        .fetch_add(body.len() as u64, Ordering::Relaxed);
    let points = points(body, encoding.as_ref())?;
    received.points.fetch_add(points, Ordering::Relaxed);
    let mut response = Response::new(Answer::default());
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// Points in a gRPC message.
fn points(mut body: Bytes, encoding: Option<&HeaderValue>) -> anyhow::Result<u64> {
    anyhow::ensure!(body.len() >= 5, "no gRPC prefix");
    let compressed = body.get_u8() == 1;
    body.advance(4);
    if compressed {
        let mut plain = Vec::new();
        match encoding.map(HeaderValue::as_bytes) {
            Some(b"zstd") => plain = zstd::decode_all(&body[..])?,
            _ => drop(flate2::read::MultiGzDecoder::new(&body[..]).read_to_end(&mut plain)?),
        }
        body = plain.into();
    }
    phoenix_engine::engine::count_points(&body)
        .map_err(|e| anyhow::anyhow!("{e}"))
        .context("what arrived is no OTLP")
}
