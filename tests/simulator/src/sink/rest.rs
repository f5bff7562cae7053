//! Questions to the sink, as JSON over HTTP.

use super::Sink;
use super::count::Division;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Shared = Arc<Mutex<Sink>>;

pub fn router(sink: Shared) -> Router {
    Router::new()
        .route(
            "/totals",
            get(async |State(s): State<Shared>| Json(lock(&s).totals())),
        )
        .route("/range", get(range))
        .route("/metrics-by-name", get(by_name))
        .route("/series", get(series))
        .route("/points", get(points))
        .route("/divide", post(divide))
        .route("/faults", post(faults))
        .route(
            "/reset",
            post(async |State(s): State<Shared>| lock(&s).reset()),
        )
        .with_state(sink)
}

fn lock(sink: &Shared) -> MutexGuard<'_, Sink> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Deserialize)]
struct Range {
    from: u64,
    to: u64,
}

async fn range(State(sink): State<Shared>, Query(q): Query<Range>) -> Response {
    match lock(&sink).range(q.from, q.to) {
        Ok(totals) => Json(totals).into_response(),
        Err(why) => (StatusCode::CONFLICT, why).into_response(),
    }
}

async fn by_name(State(sink): State<Shared>) -> Response {
    let rows: Vec<_> = lock(&sink)
        .by_metric()
        .into_iter()
        .map(|(name, (points, series))| json!({"name": name, "points": points, "series": series}))
        .collect();
    Json(rows).into_response()
}

#[derive(Deserialize)]
struct Filter {
    metric: Option<String>,
    limit: Option<usize>,
}

async fn series(State(sink): State<Shared>, Query(q): Query<Filter>) -> Response {
    let rows: Vec<_> = lock(&sink)
        .series()
        .filter(|s| q.metric.as_ref().is_none_or(|m| *m == s.metric))
        .take(q.limit.unwrap_or(10_000))
        .map(|s| json!({"metric": s.metric, "attributes": s.text(), "points": s.points}))
        .collect();
    Json(rows).into_response()
}

async fn points(State(sink): State<Shared>, Query(q): Query<Filter>) -> Response {
    let rows: Vec<_> = lock(&sink)
        .kept()
        .iter()
        .filter(|p| q.metric.as_ref().is_none_or(|m| *m == p.metric))
        .take(q.limit.unwrap_or(100_000))
        .cloned()
        .collect();
    Json(rows).into_response()
}

async fn divide(State(sink): State<Shared>, Json(division): Json<Option<Division>>) {
    lock(&sink).divide(division);
}

#[derive(Deserialize)]
struct Faults {
    fail_next: u64,
    /// gRPC code; 14 (UNAVAILABLE) unless given.
    code: Option<i32>,
}

async fn faults(State(sink): State<Shared>, Json(f): Json<Faults>) {
    let mut sink = lock(&sink);
    sink.fail_next = f.fail_next;
    sink.fail_code = f.code.unwrap_or(14);
}
