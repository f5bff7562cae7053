//! A tap between a client and a receiver: forwards every request untouched and keeps what it held.
//!
//! So a test knows, to the byte, what an SDK or a Collector that nobody here wrote has sent.

use super::api::client;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Version, header};
use axum::response::Response;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

/// A request that went through.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When, Unix nanoseconds.
    pub at: u64,
    /// What it held.
    pub request: ExportMetricsServiceRequest,
    /// Was it accepted?
    pub accepted: bool,
}

/// A running tap.
pub struct Tap {
    /// Where to send instead.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

#[derive(Clone)]
struct Forward {
    grpc: SocketAddr,
    http: SocketAddr,
    h2: reqwest::Client,
    h1: reqwest::Client,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Tap {
    /// Forwards OTLP/gRPC to `grpc` and OTLP/HTTP to `http`.
    pub async fn start(grpc: SocketAddr, http: SocketAddr) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let h2 = reqwest::Client::builder()
            .tls_backend_preconfigured(
                rustls::ClientConfig::builder()
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth(),
            )
            .no_proxy()
            .http2_prior_knowledge();
        let forward = Forward {
            grpc,
            http,
            h1: client(),
            h2: h2.build().expect("client"),
            seen: seen.clone(),
        };
        let app = Router::new().fallback(through).with_state(forward);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Tap { address, seen }
    }

    /// Everything that went through, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("seen").clone()
    }
}

async fn through(State(forward): State<Forward>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 256 << 20).await.expect("body");
    let grpc = head.version == Version::HTTP_2;
    let (client, to) = if grpc {
        (&forward.h2, forward.grpc)
    } else {
        (&forward.h1, forward.http)
    };
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("clock")
        .as_nanos() as u64;
    let mut headers = head.headers.clone();
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    let answer = client
        .request(head.method, format!("http://{to}{}", head.uri.path()))
        .headers(headers)
        .body(body.clone())
        .send()
        .await
        .expect("forwarded");
    let accepted = answer.status().is_success() && !answer.headers().contains_key("grpc-status");
    let seen = Seen {
        at,
        request: decode(&body, &head.headers, grpc),
        accepted,
    };
    forward.seen.lock().expect("seen").push(seen);
    // The body carries the trailers with it.
    http::Response::from(answer).map(Body::new)
}

fn decode(body: &Bytes, headers: &HeaderMap, grpc: bool) -> ExportMetricsServiceRequest {
    let (compressed, message) = if grpc {
        (body[0] == 1, &body[5..])
    } else {
        (
            headers
                .get(header::CONTENT_ENCODING)
                .is_some_and(|v| v == "gzip"),
            &body[..],
        )
    };
    let mut plain = Vec::new();
    if compressed {
        flate2::read::GzDecoder::new(message)
            .read_to_end(&mut plain)
            .expect("gzip");
    } else {
        plain.extend(message);
    }
    ExportMetricsServiceRequest::decode(&plain[..]).expect("OTLP protobuf")
}
