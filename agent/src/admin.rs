//! The admin server: own metrics, health, and answers to "what happens to this series".

mod health;
mod metrics;
mod series;

use crate::exporters::queue::Queue;
use crate::pipeline_file::PlanSource;
use crate::receivers::budget::Budget;
use crate::worker::{Figures, Gone, Outlets, WorkerHandle};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How long the worker may take to answer before the page says so.
const PATIENCE: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 64;

/// Names of the witness' queues in metrics.
const WITNESS: [&str; 2] = ["witness_baseline", "witness_candidate"];

/// What the pages are made of.
#[derive(Clone)]
pub struct State {
    /// The worker.
    pub worker: WorkerHandle,
    /// The exporters' queues.
    pub outlets: Outlets,
    /// Bytes in flight.
    pub budget: Budget,
    /// Where plans come from.
    pub plans: PlanSource,
    /// `limits.memory`.
    pub memory_limit: usize,
}

impl State {
    fn queues(&self) -> Vec<(&'static str, &Arc<Queue>)> {
        let copies = self.outlets.copies.iter().map(|q| ("copy", q));
        let shadow = self.outlets.shadow.iter().map(|q| ("shadow", q));
        std::iter::once(("next_hop", &self.outlets.next_hop))
            .chain(copies)
            .chain(shadow)
            .chain(
                WITNESS
                    .into_iter()
                    .zip(self.outlets.witness.iter().flatten()),
            )
            .collect()
    }

    async fn figures(&self) -> Result<Figures, Response<Full<Bytes>>> {
        within(self.worker.figures()).await
    }
}

async fn within<T>(
    answer: impl Future<Output = Result<T, Gone>>,
) -> Result<T, Response<Full<Bytes>>> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(gone)) => Err(text(StatusCode::SERVICE_UNAVAILABLE, format!("{gone}\n"))),
        Err(_) => Err(text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the worker did not answer in time\n".to_owned(),
        )),
    }
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, state: State, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // A crowd at this door is turned away: it must not cost the data path memory.
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue;
        };
        let (state, stop) = (state.clone(), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(state.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = stop.cancelled() => {}
                _ended = connection => {}
            }
            drop(place);
        });
    }
}

async fn answer(
    state: State,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned()));
    }
    let page = match request.uri().path() {
        "/metrics" => metrics::page(&state).await,
        "/healthz" => Ok(text(StatusCode::OK, "ok\n".to_owned())),
        "/readyz" => Ok(health::ready(&state)),
        "/debug/ledger" => ledger(&state).await,
        "/debug/series" => series::page(&state, request.uri().query().unwrap_or_default()).await,
        _ => Ok(text(
            StatusCode::NOT_FOUND,
            "pages: /metrics /healthz /readyz /debug/ledger /debug/series?metric=NAME&KEY=VALUE\n"
                .to_owned(),
        )),
    };
    Ok(page.unwrap_or_else(|refusal| refusal))
}

type Page = Result<Response<Full<Bytes>>, Response<Full<Bytes>>>;

async fn ledger(state: &State) -> Page {
    let figures = state.figures().await?;
    Ok(json(&serde_json::json!({
        "baseline": figures.baseline,
        "candidate": figures.candidate,
        "node": figures.node,
        "began": figures.began,
        "generation": figures.desired.generation,
        "baseline_hash": figures.desired.plan.baseline.hash,
    })))
}

/// Undoes the percent encoding of a query.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match (hex, bytes[at]) {
            (Some(byte), _) => {
                out.push(byte);
                at += 2;
            }
            (None, b'+') => out.push(b' '),
            (None, byte) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn text(code: StatusCode, body: String) -> Response<Full<Bytes>> {
    respond(code, "text/plain; charset=utf-8", body)
}

fn json(value: &serde_json::Value) -> Response<Full<Bytes>> {
    respond(StatusCode::OK, "application/json", format!("{value:#}\n"))
}

fn respond(code: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
