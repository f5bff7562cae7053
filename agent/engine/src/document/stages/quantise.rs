//! `quantise` as it is written in the document.

use crate::document::fields::Reader;
use crate::document::{Match, MetricType};
use crate::yaml::Node;
use schemars::JsonSchema;
use serde::Serialize;

/// Rounds the values of gauges to a number of significant digits.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantise {
    /// Which series are rounded; of these only gauges.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Significant decimal digits that stay, 1 to 15; 3 by default.
    #[serde(
        default = "Quantise::digits",
        skip_serializing_if = "Quantise::is_digits"
    )]
    #[schemars(range(min = 1, max = 15))]
    pub digits: u8,
}

impl Quantise {
    /// Default number of digits.
    pub fn digits() -> u8 {
        3
    }

    fn is_digits(digits: &u8) -> bool {
        *digits == Self::digits()
    }
}

impl Reader {
    pub(in crate::document) fn quantise(&mut self, node: &Node, path: &str) -> Option<Quantise> {
        let instead = [("precision", "digits"), ("significant_digits", "digits")];
        let fields = self.fields(node, path, &["match", "digits"], &instead)?;
        let matches = self.matched(&fields);
        let digits = match fields.get("digits") {
            None => Quantise::digits(),
            Some(node) => self.digits(node, &fields.path("digits")),
        };
        let matches = matches?;
        if !matches.types.is_empty() && !matches.types.contains(&MetricType::Gauge) {
            self.problem(
                format!("{}.type", fields.path("match")),
                "only gauges are rounded: a rounded sum or histogram would lose counts. Write `type: gauge`, or leave \
                 `type` out (other types pass as they are)",
            );
        } else if matches.temporality.is_some() || matches.monotonic == Some(true) {
            self.problem(
                fields.path("match"),
                "only gauges are rounded, and a gauge has no temporality and is not monotonic: leave these conditions out",
            );
        }
        Some(Quantise { matches, digits })
    }

    fn digits(&mut self, node: &Node, path: &str) -> u8 {
        match node {
            Node::Int(digits) if (1..=15).contains(digits) => *digits as u8,
            other => {
                let found = match other {
                    Node::Int(digits) => digits.to_string(),
                    other => other.what().to_string(),
                };
                self.problem(
                    path,
                    format!("expected a number of digits from 1 to 15, found {found}: 3 keeps values within 0.5 %"),
                );
                Quantise::digits()
            }
        }
    }
}
