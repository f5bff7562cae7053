//! Sends a fleet's rounds over OTLP/gRPC and records what was accepted.

use crate::fleet::{Fleet, Options};
use crate::truth::Truth;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};

/// How to send.
#[derive(Debug, Clone)]
pub struct Sending {
    /// OTLP/gRPC endpoint.
    pub endpoint: String,
    /// Between rounds.
    pub interval: Duration,
    /// Stop after so many rounds.
    pub rounds: Option<u64>,
    /// gzip requests.
    pub gzip: bool,
}

/// What a sender did.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Status {
    /// Rounds sent.
    pub rounds: u64,
    /// Requests accepted.
    pub requests: u64,
    /// Points in accepted requests.
    pub points: u64,
    /// Points refused one by one by the receiver.
    pub rejected: u64,
    /// Tries that were answered with a retryable error, or not at all.
    pub retries: u64,
    /// Requests given up after a permanent error.
    pub failed: u64,
    /// The last error.
    pub last_error: Option<String>,
    /// Paused by request.
    pub paused: bool,
    /// Ended.
    pub done: bool,
}

/// Shared between the sender and those who ask.
#[derive(Debug, Default)]
pub struct State {
    /// What was sent.
    pub truth: Mutex<Truth>,
    /// How it went.
    pub status: Mutex<Status>,
}

impl State {
    /// Changes the status.
    pub fn status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Unix nanoseconds.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64)
}

/// Sends rounds until told to stop, or until the last round. Retryable errors are retried for as long
/// as it takes: what the truth holds was accepted once.
///
/// # Errors
/// An endpoint that is not a URI.
pub async fn run(
    options: &Options,
    sending: &Sending,
    state: Arc<State>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(sending.endpoint.clone())?.connect_lazy();
    let mut client = MetricsServiceClient::new(channel);
    if sending.gzip {
        client = client.send_compressed(CompressionEncoding::Gzip);
    }
    let mut fleet = Fleet::new(options, now());
    let mut timer = tokio::time::interval(sending.interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..sending.rounds.unwrap_or(u64::MAX) {
        tokio::select! {
            _ = timer.tick() => {}
            () = stop.cancelled() => break,
        }
        if state
            .status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .paused
        {
            continue;
        }
        for request in fleet.round(now()) {
            if !send(&mut client, request, &state, &stop).await {
                break;
            }
        }
        state.status(|s| s.rounds += 1);
    }
    state.status(|s| s.done = true);
    Ok(())
}

/// Sends one request until it is accepted or refused for good; `false` when told to stop.
async fn send(
    client: &mut MetricsServiceClient<Channel>,
    request: ExportMetricsServiceRequest,
    state: &State,
    stop: &CancellationToken,
) -> bool {
    let mut wait = Duration::from_millis(50);
    loop {
        match client.export(request.clone()).await {
            Ok(response) => {
                let rejected = response
                    .into_inner()
                    .partial_success
                    .map_or(0, |p| p.rejected_data_points);
                let mut truth = state.truth.lock().unwrap_or_else(PoisonError::into_inner);
                let before = truth.sent();
                truth.record(&request);
                let points = truth.sent() - before;
                state.status(|s| {
                    s.requests += 1;
                    s.points += points;
                    s.rejected += u64::try_from(rejected).unwrap_or(0);
                });
                return true;
            }
            Err(status) => {
                let retry = matches!(
                    status.code(),
                    Code::Unavailable
                        | Code::ResourceExhausted
                        | Code::Cancelled
                        | Code::DeadlineExceeded
                        | Code::Aborted
                        | Code::Unknown
                );
                state.status(|s| {
                    s.retries += u64::from(retry);
                    s.failed += u64::from(!retry);
                    s.last_error = Some(format!("{:?}: {}", status.code(), status.message()));
                });
                if !retry {
                    return true;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(Duration::from_secs(2)),
            () = stop.cancelled() => return false,
        }
    }
}
