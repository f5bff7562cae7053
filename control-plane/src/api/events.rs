//! What happened: as a list, or as it happens (server-sent events, resumed by Last-Event-ID).
// utoipa repeats the handlers' types with their full paths.
#![allow(unused_qualifications)]

use super::Shared;
use super::error::{ApiError, ErrorBody};
use crate::app::{App, Caller};
use crate::model::Event;
use crate::store::{EventRange, Kinds};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::watch;
use utoipa::IntoParams;

/// Events read at once.
const PAGE: u32 = 500;
/// Most events in one list.
const MAX_LIMIT: u32 = 10_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// The first events after this sequence; left out: the newest ones.
    pub after: Option<u64>,
    /// Only events from then on, RFC 3339 (a list only).
    pub since: Option<String>,
    /// At most so many (a list only; default 1000).
    pub limit: Option<u32>,
    /// Only events of these kinds, parted by commas; `experiment.*`: all that begin so.
    pub kind: Option<String>,
    /// No events of these kinds.
    pub except: Option<String>,
}

/// A list, oldest first, or with `Accept: text/event-stream` a stream: after `Last-Event-ID`, else `after`, else from now.
#[utoipa::path(get, path = "/events", tag = "events",
    params(EventsQuery, ("last-event-id" = Option<u64>, Header)),
    responses((status = 200, content((Vec<Event> = "application/json"), (String = "text/event-stream"))),
        (status = 400, body = ErrorBody)))]
pub async fn events(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let streamed = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.contains("text/event-stream"));
    let kinds = Kinds {
        only: patterns("kind", query.kind.as_deref())?,
        except: patterns("except", query.except.as_deref())?,
    };
    if !streamed {
        let range = EventRange {
            after: query.after,
            since_ms: since(query.since.as_deref())?,
            limit: query.limit.unwrap_or(1000).min(MAX_LIMIT),
            kinds,
        };
        let list = shared.app.events(&caller.tenant, range).await?;
        return Ok(Json(list).into_response());
    }
    // Subscribed before the first read: nothing falls between.
    let changed = shared.app.events_changed();
    let after = match (last_id(&headers)?, query.after) {
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => shared.app.last_event(&caller.tenant).await?,
    };
    let tail = Tail {
        app: shared.app.clone(),
        tenant: caller.tenant,
        changed,
        after,
        kinds,
        page: VecDeque::new(),
    };
    let shutdown = shared.shutdown.clone();
    let stream = follow(tail).take_until(async move { shutdown.cancelled().await });
    let alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(stream).keep_alive(alive).into_response())
}

fn since(text: Option<&str>) -> Result<u64, ApiError> {
    let Some(text) = text else { return Ok(0) };
    let time = humantime::parse_rfc3339_weak(text).ok();
    let since = time.and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    let millis = since.and_then(|d| u64::try_from(d.as_millis()).ok());
    millis.ok_or_else(|| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "since is no time: write it as 2026-01-31T12:00:00Z",
        )
    })
}

/// Kinds parted by commas, each of which may end with `*`.
fn patterns(key: &str, list: Option<&str>) -> Result<Vec<String>, ApiError> {
    let kinds = list.into_iter().flat_map(|list| list.split(','));
    kinds
        .map(|kind| {
            let begin = kind.strip_suffix('*').unwrap_or(kind);
            let known = |c: char| c.is_ascii_lowercase() || c == '.' || c == '-';
            match !kind.is_empty() && begin.chars().all(known) {
                true => Ok(kind.to_owned()),
                false => Err(ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "bad-request",
                    format!(
                        "{key}: {kind:?} is no kind of events: write experiment.phase, or experiment.* for all \
                         that begin so"
                    ),
                )),
            }
        })
        .collect()
}

fn last_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match id {
        Some(id) => Ok(Some(id)),
        None => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "Last-Event-ID is no sequence number",
        )),
    }
}

struct Tail {
    app: Arc<App>,
    tenant: String,
    changed: watch::Receiver<u64>,
    after: u64,
    kinds: Kinds,
    page: VecDeque<Event>,
}

fn follow(tail: Tail) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold(tail, |mut tail| async move {
        loop {
            if let Some(event) = tail.page.pop_front() {
                tail.after = event.sequence;
                let data = serde_json::to_string(&event).unwrap_or_default();
                let message = sse::Event::default()
                    .id(event.sequence.to_string())
                    .event(event.kind)
                    .data(data);
                return Some((Ok(message), tail));
            }
            tail.changed.mark_unchanged();
            let range = EventRange {
                after: Some(tail.after),
                since_ms: 0,
                limit: PAGE,
                kinds: tail.kinds.clone(),
            };
            // Where none is of the kinds that are asked for, these need not be looked at again.
            let seen = tail.app.last_event(&tail.tenant).await;
            let page = tail.app.events(&tail.tenant, range).await;
            match seen.and_then(|seen| Ok((seen, page?))) {
                Ok((seen, page)) if page.is_empty() => {
                    tail.after = tail.after.max(seen);
                    tail.changed.changed().await.ok()?;
                }
                Ok((_, page)) => tail.page = page.into(),
                Err(error) => {
                    tracing::error!(%error, "an event stream ends");
                    return None;
                }
            }
        }
    })
}
