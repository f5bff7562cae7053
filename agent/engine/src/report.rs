//! What the engine tells about itself: figures by arm, stage, rule and metric, since the last cut.

mod unite;

use crate::ledger::Ledger;
use crate::query::partial::Partials;
use crate::sketch::Sketch;
use hashbrown::HashSet;
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
}

/// Figures of one arm since the last cut. `ledger.held` is the change since then.
#[derive(Debug, Clone, Default)]
pub struct ArmFigures {
    /// Pipeline hash.
    pub hash: String,
    /// Points.
    pub ledger: Ledger,
    /// Uncompressed OTLP bytes fed to this arm (of its own points in a split).
    pub bytes_in: u64,
    /// Uncompressed OTLP bytes written.
    pub bytes_out: u64,
    /// Distinct series that came in.
    pub series_in: Cardinality,
    /// Distinct series written.
    pub series_out: Cardinality,
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
    /// Split: distinct entities that spoke in this arm (by the hash that divides), the units that
    /// were divided; `None` where they are not counted.
    pub entities: Option<Cardinality>,
    /// Split, baseline: the part of these figures that belongs to series that lack a key of the
    /// entity (outside the comparison); `None` where it is not counted.
    pub unassigned: Option<Volume>,
    /// What the protected queries found in what was written; `None` where none are asked.
    pub queries: Option<Partials>,
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
