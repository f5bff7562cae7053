//! `temporality` as it is written in the document.

use crate::document::fields::Reader;
use crate::document::{Match, MetricType, Temporality};
use crate::yaml::Node;
use schemars::JsonSchema;
use serde::Serialize;

/// Tells what is counted up as what was added since the point before, or as a total.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TemporalityStage")]
pub struct Convert {
    /// Which series; of these only monotonic sums and histograms of the other temporality.
    #[serde(rename = "match")]
    pub matches: Match,
    /// What is written.
    pub to: Temporality,
}

impl Reader {
    pub(in crate::document) fn temporality(&mut self, node: &Node, path: &str) -> Option<Convert> {
        let instead = [("temporality", "to"), ("from", "to")];
        let fields = self.fields(node, path, &["match", "to"], &instead)?;
        let matches = self.matched(&fields);
        let advice = "write `to: delta` (what was added since the point before) or `to: cumulative` (a total)";
        let to = self.required(&fields, "to", advice).and_then(|node| {
            let words = [
                ("cumulative", Temporality::Cumulative),
                ("delta", Temporality::Delta),
            ];
            self.choice(node, &fields.path("to"), &words)
        });
        let (matches, to) = (matches?, to?);
        let at = |key: &str| format!("{}.{key}", fields.path("match"));
        let counts = |kind: &MetricType| !matches!(kind, MetricType::Gauge | MetricType::Summary);
        if !matches.types.is_empty() && !matches.types.iter().any(counts) {
            self.problem(
                at("type"),
                "gauges and summaries have no temporality: write `sum`, `histogram` or `exponential_histogram`, or leave \
                 `type` out (other types pass as they are)",
            );
        }
        if matches.temporality == Some(to) {
            self.problem(
                at("temporality"),
                "the stage changes nothing: what it matches is that already. Leave the condition out, or convert `to` the \
                 other one",
            );
        }
        if matches.monotonic == Some(false) && matches.types[..] == [MetricType::Sum] {
            self.problem(
                at("monotonic"),
                "a sum that is not monotonic is a level, which is not converted: leave the condition out",
            );
        }
        Some(Convert { matches, to })
    }
}
