//! `histogram` as it is written in the document.

use crate::document::fields::{Fields, Reader};
use crate::document::{Match, MetricType};
use crate::yaml::Node;
use schemars::JsonSchema;
use serde::Serialize;

/// Gives histograms fewer buckets, or explicit ones; count and sum stay exact.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Which series; of these only histograms of both kinds.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Exponential histograms: the highest scale that is written, -10 to 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -10, max = 20))]
    pub max_scale: Option<i32>,
    /// Exponential histograms: most buckets from the first to the last filled one on each side, 1 to
    /// 10000; the scale goes down until it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_buckets: Option<u32>,
    /// Explicit histograms: the upper bounds that stay, where the histogram has them. With `to`: also
    /// those that exponential histograms get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<f64>,
    /// Exponential histograms become explicit ones of these `bounds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Buckets>,
}

/// What exponential histograms become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Buckets {
    /// Histograms with explicit bounds.
    Explicit,
}

impl Reader {
    pub(in crate::document) fn histogram(&mut self, node: &Node, path: &str) -> Option<Histogram> {
        let known = ["match", "max_scale", "max_buckets", "bounds", "to"];
        let instead = [("scale", "max_scale"), ("buckets", "bounds")];
        let fields = self.fields(node, path, &known, &instead)?;
        let matches = self.matched(&fields);
        let mut whole = |key: &str, min, max| {
            let node = fields.get(key)?;
            self.whole(node, &fields.path(key), min, max)
        };
        let max_scale = whole("max_scale", -10, 20).map(|n| n as i32);
        let max_buckets = whole("max_buckets", 1, 10_000).map(|n| n as u32);
        let bounds = match fields.get("bounds") {
            Some(node) => self.bounds(node, &fields.path("bounds")),
            None => Vec::new(),
        };
        let to = fields.get("to").and_then(|node| {
            let words = [("explicit", Buckets::Explicit)];
            self.choice(node, &fields.path("to"), &words)
        });
        self.turning(&fields);
        let asks = |key| fields.get(key).is_some();
        if !known[1..].iter().any(|key| asks(key)) {
            self.problem(
                path,
                "the stage changes nothing: write `max_scale` or `max_buckets` (exponential histograms), `bounds` \
                 (explicit ones), or `to: explicit` and `bounds`",
            );
        }
        let matches = matches?;
        self.kinds(&matches, &fields);
        Some(Histogram {
            matches,
            max_scale,
            max_buckets,
            bounds,
            to,
        })
    }

    /// What cannot be beside `to`, and what it needs.
    fn turning(&mut self, fields: &Fields<'_>) {
        if fields.get("to").is_none() {
            return;
        }
        if fields.get("bounds").is_none() {
            self.problem(
                fields.path("to"),
                "explicit histograms need bounds: write `bounds` beside it, such as [0.01, 0.1, 1, 10]",
            );
        }
        for key in ["max_scale", "max_buckets"] {
            if fields.get(key).is_some() {
                self.problem(
                    fields.path(key),
                    format!(
                        "`to: explicit` leaves no exponential histogram that `{key}` could coarsen: leave one of them out"
                    ),
                );
            }
        }
    }

    /// Options for a kind of histogram that can never come.
    fn kinds(&mut self, matches: &Match, fields: &Fields<'_>) {
        if matches.types.is_empty() {
            return;
        }
        let lacks = |kind| !matches.types.contains(&kind);
        if lacks(MetricType::Histogram) && lacks(MetricType::ExponentialHistogram) {
            self.problem(
                format!("{}.type", fields.path("match")),
                "no histogram is of this type: write `histogram` or `exponential_histogram`, or leave `type` out",
            );
            return;
        }
        let explicit = fields.get("to").is_none();
        for (key, kind, name) in [
            (
                "to",
                MetricType::ExponentialHistogram,
                "exponential_histogram",
            ),
            (
                "max_scale",
                MetricType::ExponentialHistogram,
                "exponential_histogram",
            ),
            (
                "max_buckets",
                MetricType::ExponentialHistogram,
                "exponential_histogram",
            ),
            ("bounds", MetricType::Histogram, "histogram"),
        ] {
            let meant = key != "bounds" || explicit;
            if fields.get(key).is_some() && meant && lacks(kind) {
                self.problem(
                    fields.path(key),
                    format!(
                        "`{key}` is for the type `{name}`, which `match.type` leaves out: add it there, or leave `{key}` out"
                    ),
                );
            }
        }
    }

    fn bounds(&mut self, node: &Node, path: &str) -> Vec<f64> {
        let mut bounds: Vec<f64> = Vec::new();
        let items = self.items(node, path).unwrap_or_default();
        if items.is_empty() {
            self.problem(path, "write at least one upper bound, such as [0.1, 1, 10]");
        }
        for (path, node) in items {
            let Some(bound) = self.number(node, &path) else {
                continue;
            };
            if !bound.is_finite() {
                self.problem(
                    path,
                    "a bound is finite: the bucket above the last one is there anyway",
                );
            } else if bounds.last().is_some_and(|last| *last >= bound) {
                self.problem(path, "bounds grow: write them in order, each once");
            } else {
                // -0 and 0 are one bound and must have one canonical form.
                bounds.push(bound + 0.0);
            }
        }
        bounds
    }
}
