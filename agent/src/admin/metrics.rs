//! `/metrics`: one consistent snapshot, written in the OpenMetrics text format.

use super::{Page, State, respond, text};
use crate::exporters::queue::{Account, Queue};
use crate::limits;
use crate::worker::Figures;
use http::StatusCode;
use phoenix_engine::ledger::Ledger;
use phoenix_engine::prometheus::Unfit;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(String, String)>;

/// One metric with all its rows.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    rows: Vec<(Labels, f64)>,
}

#[derive(Debug)]
struct Snapshot(Vec<Family>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for family in &self.0 {
            let mut metric =
                encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (labels, value) in &family.rows {
                if labels.is_empty() {
                    write(&mut metric, family.kind, *value)?;
                } else {
                    write(&mut metric.encode_family(labels)?, family.kind, *value)?;
                }
            }
        }
        Ok(())
    }
}

fn write(row: &mut MetricEncoder<'_>, kind: MetricType, value: f64) -> std::fmt::Result {
    match kind {
        MetricType::Counter => row.encode_counter::<NoLabelSet, _, u64>(&value, None),
        _ => row.encode_gauge(&value),
    }
}

/// Takes the snapshot and writes it.
pub async fn page(state: &State) -> Page {
    let figures = state.figures().await?;
    let mut families = ledger(&figures);
    families.extend(process(state, &figures));
    families.extend(exporters(state));
    families.push(stages(&figures));
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(families)));
    let mut out = String::new();
    match encode(&mut out, &registry) {
        Ok(()) => Ok(respond(StatusCode::OK, FORMAT, out)),
        Err(error) => Ok(text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("metrics cannot be written: {error}\n"),
        )),
    }
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Family {
    Family {
        name,
        help,
        kind: MetricType::Counter,
        rows: vec![(Labels::new(), value as f64)],
    }
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Family {
    Family {
        name,
        help,
        kind: MetricType::Gauge,
        rows: vec![(Labels::new(), value)],
    }
}

/// `phoenix_agent_points_total` and what is held, by arm: they balance at every scrape.
fn ledger(figures: &Figures) -> Vec<Family> {
    let mut points = Family {
        name: "phoenix_agent_points",
        help: "Points by what became of them; received = the sum of all other outcomes + phoenix_agent_points_held",
        kind: MetricType::Counter,
        rows: Vec::new(),
    };
    let mut held = Family {
        name: "phoenix_agent_points_held",
        help: "Points in open windows and in the queue to the next hop",
        kind: MetricType::Gauge,
        rows: Vec::new(),
    };
    let arms = [
        ("baseline", Some(&figures.baseline)),
        ("candidate", figures.candidate.as_ref()),
    ];
    for (arm, ledger) in arms {
        let Some(ledger) = ledger else { continue };
        for (outcome, reason, value) in outcomes(ledger) {
            let labels = labels([("arm", arm), ("outcome", outcome), ("reason", &reason)]);
            points.rows.push((labels, value));
        }
        held.rows.push((labels([("arm", arm)]), ledger.held as f64));
    }
    vec![points, held]
}

fn outcomes(l: &Ledger) -> Vec<(&'static str, String, f64)> {
    let mut rows = vec![
        ("received", String::new(), l.received as f64),
        ("exported", String::new(), l.exported as f64),
        ("filtered", String::new(), l.filtered as f64),
        ("merged", String::new(), l.merged as f64),
        ("sampled_out", String::new(), l.sampled_out as f64),
        ("suppressed", String::new(), l.suppressed as f64),
        ("rejected", String::new(), l.rejected as f64),
    ];
    for (reason, points) in &l.dropped {
        rows.push(("dropped", reason.clone(), *points as f64));
    }
    rows
}

fn process(state: &State, figures: &Figures) -> Vec<Family> {
    let stats = state.worker.stats();
    let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let mut families = vec![
        counter(
            "phoenix_agent_requests_accepted",
            "Requests taken",
            load(&stats.requests_accepted),
        ),
        counter(
            "phoenix_agent_requests_refused",
            "Requests refused whole",
            load(&stats.requests_refused),
        ),
        counter(
            "phoenix_agent_received_bytes",
            "Uncompressed OTLP received",
            figures.bytes_in,
        ),
        counter(
            "phoenix_agent_written_bytes",
            "Uncompressed OTLP written for the next hop",
            figures.bytes_out,
        ),
        counter(
            "phoenix_agent_candidate_panics",
            "Panics of candidate pipelines",
            figures.panics,
        ),
        counter(
            "phoenix_agent_candidates_ended",
            "Candidate arms ended by the agent",
            load(&stats.candidates_ended),
        ),
        gauge(
            "phoenix_agent_rollback_seconds",
            "How long the candidate that the agent ended last had done harm, at most",
            load(&stats.rollback_millis) as f64 / 1e3,
        ),
        counter(
            "phoenix_agent_identity_conflicts",
            "Outputs that met a passing series of the same identity",
            figures.identity_conflicts,
        ),
        counter(
            "phoenix_agent_pipelines_refused",
            "Pipeline documents that did not compile",
            state.plans.broken(),
        ),
        counter(
            "phoenix_agent_notices_lost",
            "Window reports that nobody fetched in time",
            load(&stats.notices_lost),
        ),
        gauge(
            "phoenix_agent_generation",
            "Count of plan swaps",
            figures.desired.generation as f64,
        ),
        gauge(
            "phoenix_agent_state_series",
            "Series whose state is kept",
            figures.state_series as f64,
        ),
        gauge(
            "phoenix_agent_state_bytes",
            "Estimate of the bytes of that state",
            figures.state_bytes as f64,
        ),
        gauge(
            "phoenix_agent_in_flight_bytes",
            "Bytes of requests in flight",
            state.budget.used() as f64,
        ),
        gauge(
            "phoenix_agent_memory_limit_bytes",
            "limits.memory",
            state.memory_limit as f64,
        ),
        Family {
            name: "phoenix_agent_cpu_seconds",
            help: "CPU time of the process",
            kind: MetricType::Counter,
            rows: vec![(Labels::new(), limits::process_cpu())],
        },
        Family {
            name: "phoenix_agent_worker_cpu_seconds",
            help: "CPU time of the threads of receivers, workers and exporters",
            kind: MetricType::Counter,
            rows: vec![(Labels::new(), stats.cpu_seconds())],
        },
    ];
    let unknown = [
        (
            "phoenix_agent_resident_bytes",
            "Resident memory of the process",
            limits::resident().map(|b| b as u64),
        ),
        (
            "phoenix_agent_series_received",
            "Distinct series in the last full minute",
            figures.series_in,
        ),
        (
            "phoenix_agent_series_written",
            "Distinct series written in the last full minute",
            figures.series_out,
        ),
    ];
    // What is not known is absent, not zero.
    for (name, help, value) in unknown {
        families.extend(value.map(|v| gauge(name, help, v as f64)));
    }
    families
}

fn exporters(state: &State) -> Vec<Family> {
    type Read = fn(&Account) -> f64;
    let of: [(&'static str, &'static str, MetricType, Read); 6] = [
        (
            "phoenix_agent_export_requests",
            "Requests that the destination accepted",
            MetricType::Counter,
            |a| a.requests as f64,
        ),
        (
            "phoenix_agent_export_errors",
            "Tries that failed",
            MetricType::Counter,
            |a| a.errors as f64,
        ),
        (
            "phoenix_agent_export_points_refused",
            "Points that the destination refused for good",
            MetricType::Counter,
            |a| a.refused as f64,
        ),
        (
            "phoenix_agent_export_bytes",
            "Uncompressed OTLP that the destination accepted",
            MetricType::Counter,
            |a| a.bytes_accepted as f64,
        ),
        (
            "phoenix_agent_export_sent_bytes",
            "The same as it was sent, compressed",
            MetricType::Counter,
            |a| a.bytes_sent as f64,
        ),
        (
            "phoenix_agent_queue_bytes",
            "Bytes that wait for the destination",
            MetricType::Gauge,
            |a| a.bytes as f64,
        ),
    ];
    let queues = state.queues();
    let mut families: Vec<_> = of
        .into_iter()
        .map(|(name, help, kind, read)| Family {
            name,
            help,
            kind,
            rows: queues
                .iter()
                .map(|(exporter, q)| (labels([("exporter", exporter)]), read(&q.account())))
                .collect(),
        })
        .collect();
    families.push(unfit(&queues));
    families.push(Family {
        name: "phoenix_agent_queue_limit_bytes",
        help: "Bytes at which the queue refuses",
        kind: MetricType::Gauge,
        rows: queues
            .iter()
            .map(|(exporter, q)| (labels([("exporter", exporter)]), q.limit() as f64))
            .collect(),
    });
    families
}

/// Part of the refused points, by why they have no form at the destination.
fn unfit(queues: &[(&'static str, &Arc<Queue>)]) -> Family {
    let mut rows = Vec::new();
    for (exporter, queue) in queues {
        for (unfit, points) in Unfit::ALL.iter().zip(queue.account().unfit) {
            if points > 0 {
                let labels = labels([("exporter", exporter), ("reason", unfit.name())]);
                rows.push((labels, points as f64));
            }
        }
    }
    Family {
        name: "phoenix_agent_export_points_unfit",
        help: "Refused points that have no form at the destination (remote write has no deltas)",
        kind: MetricType::Counter,
        rows,
    }
}

/// Since the last cut: a minute, or a window of the experiment.
fn stages(figures: &Figures) -> Family {
    let mut rows = Vec::new();
    for (arm, stage) in &figures.stages {
        let mut row = |what: &str, value: u64| {
            let labels = labels([("arm", arm), ("stage", &stage.id), ("what", what)]);
            rows.push((labels, value as f64));
        };
        row("points_in", stage.points_in);
        row("points_out", stage.points_out);
        for (reason, count) in &stage.counts {
            row(reason, *count);
        }
    }
    Family {
        name: "phoenix_agent_stage_points",
        help: "Points by stage, rule and reason since the last cut (a minute, or an experiment's window)",
        kind: MetricType::Gauge,
        rows,
    }
}
