//! What the engine tells about itself: figures by arm, stage, rule and metric, since the last cut.

mod latency;
mod unite;

use crate::ledger::Ledger;
use crate::query::partial::Partials;
use crate::sketch::Sketch;
use hashbrown::HashSet;
pub use latency::Latency;
use serde::Serialize;
use std::collections::BTreeMap;

/// Figures of both arms since the last cut (or the start).
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The baseline arm (all traffic where there is no experiment).
    pub baseline: ArmFigures,
    /// The candidate arm, while there is one.
    pub candidate: Option<ArmFigures>,
    /// Candidates that a swap ended since the last cut: their last figures. Their points are in no
    /// other figures of this report.
    pub ended: Vec<ArmFigures>,
    /// Uncompressed OTLP bytes of the requests that came, whichever arm their points are of.
    pub bytes_in: u64,
    /// CPU time that was spent for both arms at once (finding series, looking at counters), nanoseconds;
    /// `None` where it is not measured.
    pub shared_cpu: Option<u64>,
    /// An estimate of the state that both arms use, bytes.
    pub shared_bytes: u64,
}

/// Figures of one arm since the last cut. `ledger.held` is the change since then.
#[derive(Debug, Clone, Default)]
pub struct ArmFigures {
    /// Pipeline hash.
    pub hash: String,
    /// Points.
    pub ledger: Ledger,
    /// Uncompressed OTLP bytes fed to this arm; in a split or a scope, of requests of its own points alone.
    pub bytes_in: u64,
    /// Uncompressed OTLP bytes written.
    pub bytes_out: u64,
    /// Prometheus samples that came in and that were written; `None` where nothing is compared.
    pub samples: Option<(u64, u64)>,
    /// Distinct series that came in.
    pub series_in: Cardinality,
    /// Distinct series written.
    pub series_out: Cardinality,
    /// Baseline: of both those inside the comparison; `None` where all are.
    pub compared: Option<(Cardinality, Cardinality)>,
    /// Uncompressed OTLP bytes that came in and that were written, of what is inside the comparison: of its
    /// points and what surrounds them, as if there were nothing else; `None` where all is compared.
    pub compared_bytes: Option<(u64, u64)>,
    /// Series of the protected set.
    pub protected: Protected,
    /// In document order.
    pub stages: Vec<StageFigures>,
    /// By metric name, most points in first; outputs under a new name have their own row.
    pub metrics: Vec<MetricFigures>,
    /// Panics caught in this arm.
    pub panics: u64,
    /// Outputs that met a passing series of the same identity.
    pub identity_conflicts: u64,
    /// Split by entity: distinct entities that spoke in this arm (by the hash that divides), the units
    /// that were divided; `None` where they are not counted.
    pub entities: Option<Cardinality>,
    /// Baseline: the part of these figures that is outside the comparison: series out of scope and, in
    /// a split, those that lack a key of the entity; `None` where it is not counted.
    pub unassigned: Option<Volume>,
    /// What the protected queries found in what was written; `None` where none are asked.
    pub queries: Option<Partials>,
    /// CPU time spent in this arm alone, nanoseconds; `None` where it is not measured.
    pub cpu: Option<u64>,
    /// Time that passed in this arm, by request; `None` where it is not measured.
    pub latency: Option<Latency>,
    /// An estimate of the arm's state now, bytes.
    pub state_bytes: u64,
    /// Attribute keys of the series written; `None` where they are not counted.
    pub attributes: Option<Vec<AttributeFigures>>,
}

/// One attribute key of the series that an arm wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttributeFigures {
    /// Of resource, scope or point.
    pub key: String,
    /// Distinct series written that carry it.
    pub series: u64,
    /// Distinct values in these; `None` where there were too many to tell apart.
    pub values: Option<u64>,
    /// Hashes of the values, where several workers may each have seen the same; else nothing.
    pub seen: Option<HashSet<u64>>,
}

impl AttributeFigures {
    /// On most series first.
    pub(crate) fn sort(rows: &mut [AttributeFigures]) {
        rows.sort_by(|a, b| b.series.cmp(&a.series).then_with(|| a.key.cmp(&b.key)));
    }
}

/// Points, bytes and series that came in and that were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Points that came in.
    pub points_in: u64,
    /// Points written.
    pub points_out: u64,
    /// Uncompressed OTLP bytes that came in.
    pub bytes_in: u64,
    /// Uncompressed OTLP bytes written.
    pub bytes_out: u64,
    /// Prometheus samples that came in and that were written; `None` where they are not counted.
    pub samples: Option<(u64, u64)>,
    /// Distinct series that came in.
    pub series_in: u64,
    /// Distinct series written.
    pub series_out: u64,
}

/// Distinct series in a window.
#[derive(Debug, Clone, Default)]
pub struct Cardinality {
    /// Exact count; `None` when the table passed its limit and only the sketch is known.
    pub exact: Option<u64>,
    /// Mergeable sketch of the 128-bit identities.
    pub sketch: Sketch,
    /// What was counted, where several workers may each have seen the same; else nothing.
    pub seen: Option<HashSet<u64>>,
}

/// The protected set in one arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Protected {
    /// Points that came in.
    pub points_in: u64,
    /// Points that left unchanged.
    pub points_out: u64,
    /// Distinct series that came in.
    pub series_in: u64,
    /// Distinct series of which a point left unchanged.
    pub series_out: u64,
}

/// One stage of one arm.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StageFigures {
    /// `stages[].id`.
    pub id: String,
    /// `filter`, `aggregate`, `sample`.
    pub kind: String,
    /// Points that reached the stage.
    pub points_in: u64,
    /// Points that went on from it.
    pub points_out: u64,
    /// Distinct series that reached it.
    pub series_in: u64,
    /// Distinct series that went on.
    pub series_out: u64,
    /// Points taken into state (windows).
    pub absorbed: u64,
    /// Points written from state.
    pub emitted: u64,
    /// By rule (`drop[0]`) and by reason (`late`, `reset`, `baselined`, ...).
    pub counts: BTreeMap<String, u64>,
}

/// One metric name of one arm.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MetricFigures {
    /// Metric name.
    pub name: String,
    /// Points that came in.
    pub points_in: u64,
    /// Points written.
    pub points_out: u64,
    /// Distinct series that came in.
    pub series_in: u64,
    /// Distinct series written.
    pub series_out: u64,
}

impl MetricFigures {
    /// Most points in first.
    pub(crate) fn sort(rows: &mut [MetricFigures]) {
        rows.sort_by(|a, b| {
            b.points_in
                .cmp(&a.points_in)
                .then_with(|| a.name.cmp(&b.name))
        });
    }
}
