//! What a replay found, and its JSON: an interface that scripts rely on.

use phoenix_analysis::prices::Estimate;
use phoenix_engine::Nanos;
use phoenix_engine::compile::Pipeline;
use phoenix_engine::ledger::Ledger;
use phoenix_engine::report::{ArmFigures, Cardinality};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Points that were refused one by one.
#[derive(Debug, Default)]
pub struct Rejected {
    /// Those that did not get as far as the engine, because their JSON was not valid.
    pub json: u64,
    /// Why the first of all was.
    pub first: Option<String>,
}

/// A finished replay.
#[derive(Debug)]
pub struct Outcome {
    /// What ran.
    pub pipeline: Arc<Pipeline>,
    /// Over what.
    pub captures: Vec<PathBuf>,
    /// Messages read.
    pub messages: u64,
    /// The smallest point time.
    pub began: Nanos,
    /// The largest point time.
    pub ended: Nanos,
    /// Wall-clock time.
    pub took: Duration,
    /// The engine's figures, after every window was closed.
    pub figures: ArmFigures,
    /// Uncompressed OTLP protobuf bytes read.
    pub bytes_in: u64,
    /// Uncompressed OTLP protobuf bytes that would have been exported.
    pub bytes_out: u64,
    /// Points refused.
    pub rejected: Rejected,
    /// Prometheus samples that came in and that would have been exported; `None`: not asked for.
    pub samples: Option<(u64, u64)>,
    /// What is saved in a month, under each price book that was asked for.
    pub prices: Vec<Estimate>,
}

impl Outcome {
    /// The engine's ledger and the points that did not reach it.
    pub fn ledger(&self) -> Ledger {
        let mut ledger = self.figures.ledger.clone();
        ledger.received += self.rejected.json;
        ledger.rejected += self.rejected.json;
        ledger
    }

    /// Exact series, where the table held them all.
    pub fn series(cardinality: &Cardinality) -> Option<u64> {
        cardinality.exact
    }

    /// The documented shape.
    pub fn json(&self) -> Value {
        let ledger = self.ledger();
        let mut found = json!({
            "pipeline": { "name": self.pipeline.name, "hash": self.pipeline.hash },
            "captures": self.captures,
            "messages": self.messages,
            "received": {
                "points": ledger.received,
                "series": Self::series(&self.figures.series_in),
                "bytes": self.bytes_in,
            },
            "exported": {
                "points": ledger.exported,
                "series": Self::series(&self.figures.series_out),
                "bytes": self.bytes_out,
            },
            "ledger": {
                "filtered": ledger.filtered,
                "merged": ledger.merged,
                "sampled_out": ledger.sampled_out,
                "suppressed": ledger.suppressed,
                "rejected": ledger.rejected,
                "dropped": ledger.dropped,
                "held": ledger.held,
            },
            "stages": self.figures.stages,
            "metrics": self.figures.metrics,
            "protected": {
                "points_in": self.figures.protected.points_in,
                "points_out": self.figures.protected.points_out,
                "series_in": self.figures.protected.series_in,
                "series_out": self.figures.protected.series_out,
            },
            "identity_conflicts": self.figures.identity_conflicts,
        });
        if let Some((came, left)) = self.samples {
            found["received"]["samples"] = came.into();
            found["exported"]["samples"] = left.into();
            found["prices"] = serde_json::to_value(&self.prices).unwrap_or_default();
        }
        found
    }
}
