//! Window reports as they are shown: every stored figure, sketches as estimates.

use super::agent::LedgerBody;
use super::time;
use crate::model::Window;
use phoenix_engine::sketch::Sketch;
use phoenix_proto::control as proto;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// One window of one arm of one agent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowBody {
    pub cluster: String,
    pub node: String,
    pub incarnation: String,
    pub experiment_revision: u64,
    /// `baseline` or `candidate`.
    pub arm: String,
    pub hash: String,
    pub start_ms: u64,
    pub end_ms: u64,
    pub received_at: String,
    /// Why it must not be compared; null: comparable.
    pub void_reason: Option<String>,
    pub ledger: LedgerBody,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub series_in: SeriesBody,
    pub series_out: SeriesBody,
    pub protected: ProtectedBody,
    pub stages: Vec<StageBody>,
    /// The metrics with most points, then one without a name for the rest.
    pub metrics: Vec<MetricBody>,
    /// Thread time of this arm; null: not measured.
    pub cpu_seconds: Option<f64>,
    pub panics: u64,
    pub identity_conflicts: u64,
    /// The window is what lies in (from, to], in points, of this arm's exporter.
    pub stream_from: u64,
    pub stream_to: u64,
    /// The agent as a whole in this window.
    pub agent: AgentFigures,
}

/// Distinct series.
#[derive(Debug, Serialize, ToSchema)]
pub struct SeriesBody {
    /// Null: the agent's table had passed its limit.
    pub exact: Option<u64>,
    /// From the sketch; null: it was not sent or cannot be read.
    pub estimate: Option<f64>,
}

/// Series of the protected set.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProtectedBody {
    pub points_in: u64,
    pub points_out: u64,
    pub series_in: u64,
    pub series_out: u64,
}

/// One stage.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageBody {
    pub id: String,
    pub kind: String,
    pub points_in: u64,
    pub points_out: u64,
    pub absorbed: u64,
    pub emitted: u64,
    pub counts: BTreeMap<String, u64>,
}

/// One metric name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricBody {
    pub name: String,
    pub points_in: u64,
    pub points_out: u64,
    pub series_in: u64,
    pub series_out: u64,
}

/// The agent's process.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentFigures {
    pub cpu_seconds: Option<f64>,
    pub rss_bytes: Option<u64>,
    pub export_errors: u64,
    pub requests_refused: u64,
}

impl From<Window> for WindowBody {
    fn from(w: Window) -> Self {
        let r = w.report;
        WindowBody {
            cluster: w.identity.cluster,
            node: w.identity.node,
            incarnation: w.incarnation,
            experiment_revision: w.experiment_revision,
            arm: w.arm,
            hash: r.hash,
            start_ms: w.start_ms,
            end_ms: w.end_ms,
            received_at: time(w.received_ms),
            void_reason: Some(w.void_reason).filter(|v| !v.is_empty()),
            ledger: r.ledger.unwrap_or_default().into(),
            bytes_in: r.bytes_in,
            bytes_out: r.bytes_out,
            series_in: series(r.series_in),
            series_out: series(r.series_out),
            protected: ProtectedBody {
                points_in: r.protected_points_in,
                points_out: r.protected_points_out,
                series_in: r.protected_series_in,
                series_out: r.protected_series_out,
            },
            stages: r.stages.into_iter().map(stage).collect(),
            metrics: r.metrics.into_iter().map(metric).collect(),
            cpu_seconds: r.cpu_seconds,
            panics: r.panics,
            identity_conflicts: r.identity_conflicts,
            stream_from: r.stream_from,
            stream_to: r.stream_to,
            agent: AgentFigures {
                cpu_seconds: w.cpu_seconds,
                rss_bytes: w.rss_bytes,
                export_errors: w.export_errors,
                requests_refused: w.requests_refused,
            },
        }
    }
}

fn series(c: Option<proto::Cardinality>) -> SeriesBody {
    let c = c.unwrap_or_default();
    let sketch = Some(&c.sketch).filter(|s| !s.is_empty());
    SeriesBody {
        exact: c.exact,
        estimate: sketch
            .and_then(|s| Sketch::from_bytes(s).ok())
            .map(|s| s.estimate()),
    }
}

fn stage(s: proto::StageReport) -> StageBody {
    StageBody {
        id: s.id,
        kind: s.kind,
        points_in: s.points_in,
        points_out: s.points_out,
        absorbed: s.absorbed,
        emitted: s.emitted,
        counts: s.counts.into_iter().collect(),
    }
}

fn metric(m: proto::MetricReport) -> MetricBody {
    MetricBody {
        name: m.name,
        points_in: m.points_in,
        points_out: m.points_out,
        series_in: m.series_in,
        series_out: m.series_out,
    }
}
