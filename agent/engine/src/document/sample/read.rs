//! Reading a `sample`.

use super::{Deadband, Sample};
use crate::document::fields::{Fields, Reader};
use crate::document::read_stages::{DAY, MILLISECOND};
use crate::document::{Match, MetricType, Span, Temporality};
use crate::yaml::Node;

/// The ways to thin out; a stage has one.
const WAYS: [&str; 4] = ["fraction", "every", "deadband", "unchanged"];
const KNOWN: [&str; 8] = [
    "match",
    "fraction",
    "every",
    "deadband",
    "unchanged",
    "entity",
    "weighted",
    "heartbeat",
];
const INSTEAD: [(&str, &str); 8] = [
    ("interval", "every"),
    ("ratio", "fraction"),
    ("percent", "fraction"),
    ("weight", "weighted"),
    ("dead_band", "deadband"),
    ("absolute", "deadband"),
    ("relative", "deadband"),
    ("suppress", "unchanged"),
];

impl Reader {
    pub(in crate::document) fn sample(&mut self, node: &Node, path: &str) -> Option<Sample> {
        let fields = self.fields(node, path, &KNOWN, &INSTEAD)?;
        let matches = self.matched(&fields);
        let field = |key: &str| fields.get(key).map(|node| (node, fields.path(key)));
        let fraction = field("fraction").and_then(|(node, path)| self.fraction(node, &path));
        let every =
            field("every").and_then(|(node, path)| self.span(node, &path, MILLISECOND, DAY));
        let deadband = field("deadband").and_then(|(node, path)| self.deadband(node, &path));
        let unchanged = field("unchanged").and_then(|(node, path)| self.truth(node, &path));
        let entity = field("entity").map(|(node, path)| self.keys(node, &path));
        let weighted = field("weighted").and_then(|(node, path)| self.truth(node, &path));
        let heartbeat = field("heartbeat")
            .and_then(|(node, path)| self.span(node, &path, Span::seconds(1), DAY));
        let way = self.way(&fields, unchanged, path);
        self.belongs(&fields, way);
        if way == Some("fraction") && entity.as_ref().is_none_or(Vec::is_empty) {
            self.problem(
                fields.path("entity"),
                "a fraction is of entities: write the attribute keys that make one, such as [host.name, process.pid]",
            );
        }
        let matches = matches?;
        if way == Some("deadband") && !has_numbers(&matches) {
            self.problem(
                fields.path("deadband"),
                "a dead-band is for gauges and cumulative sums, and `match` leaves none: change `type` or `temporality`, \
                 or write `unchanged: true`",
            );
        }
        Some(Sample {
            matches,
            fraction,
            entity: entity.unwrap_or_default(),
            weighted: weighted.unwrap_or(true),
            every,
            deadband,
            unchanged: unchanged.unwrap_or(false),
            heartbeat: heartbeat.unwrap_or_else(Sample::heartbeat),
        })
    }

    /// The one way to thin out that is written.
    fn way(
        &mut self,
        fields: &Fields<'_>,
        unchanged: Option<bool>,
        path: &str,
    ) -> Option<&'static str> {
        let asked = |way: &&&str| {
            fields.get(way).is_some() && !(**way == "unchanged" && unchanged == Some(false))
        };
        let ways: Vec<&'static str> = WAYS.iter().filter(asked).copied().collect();
        match ways[..] {
            [way] => Some(way),
            [] => {
                self.problem(
                    path,
                    "write `fraction: 0.1` with `entity: [...]`, `every: 60s`, `deadband: { relative: 0.05 }` or \
                     `unchanged: true`",
                );
                None
            }
            _ => {
                self.problem(
                    path,
                    format!(
                        "write one of `{}`, not both: make it two stages",
                        ways.join("` and `")
                    ),
                );
                None
            }
        }
    }

    /// Options that belong to one way only.
    fn belongs(&mut self, fields: &Fields<'_>, way: Option<&str>) {
        let Some(way) = way else { return };
        for option in ["entity", "weighted"] {
            if way != "fraction" && fields.get(option).is_some() {
                self.problem(
                    fields.path(option),
                    format!("`{option}` belongs to `fraction`: leave it out with `{way}`"),
                );
            }
        }
        if !matches!(way, "deadband" | "unchanged") && fields.get("heartbeat").is_some() {
            self.problem(
                fields.path("heartbeat"),
                format!(
                    "`heartbeat` belongs to `deadband` and `unchanged`: leave it out with `{way}`"
                ),
            );
        }
    }

    fn fraction(&mut self, node: &Node, path: &str) -> Option<f64> {
        let fraction = self.number(node, path)?;
        if (0.0..=1.0).contains(&fraction) {
            // -0 and 0 are one number and must have one canonical form.
            return Some(fraction + 0.0);
        }
        self.problem(
            path,
            format!("{fraction} is not a share: write a number from 0 to 1, such as 0.1 for 10 %"),
        );
        None
    }

    fn deadband(&mut self, node: &Node, path: &str) -> Option<Deadband> {
        let known = ["absolute", "relative"];
        let instead = [
            ("abs", "absolute"),
            ("percent", "relative"),
            ("ratio", "relative"),
        ];
        if !matches!(node, Node::Map(_)) {
            self.problem(
                path,
                format!(
                    "expected `{{ absolute: 0.5 }}` or `{{ relative: 0.05 }}`, found {}",
                    node.what()
                ),
            );
            return None;
        }
        let fields = self.fields(node, path, &known, &instead)?;
        let [absolute, relative] =
            known.map(|key| fields.get(key).map(|node| (node, fields.path(key))));
        match (absolute, relative) {
            (Some((node, path)), None) => {
                let width = self.number(node, &path)?;
                if width > 0.0 && width.is_finite() {
                    return Some(Deadband {
                        absolute: Some(width),
                        relative: None,
                    });
                }
                self.problem(
                    path,
                    format!("{width} is no width: write a number above 0, or `unchanged: true` for equal values"),
                );
            }
            (None, Some((node, path))) => {
                let share = self.number(node, &path)?;
                if share > 0.0 && share < 1.0 {
                    return Some(Deadband {
                        absolute: None,
                        relative: Some(share),
                    });
                }
                self.problem(
                    path,
                    format!("{share} is not a share of the value: write a number above 0 and below 1, such as 0.05 for 5 %"),
                );
            }
            (Some(_), Some(_)) => self.problem(
                path,
                "write `absolute` (in the metric's unit) or `relative` (a share of the value), not both",
            ),
            (None, None) if fields.entries().is_empty() => self.problem(
                path,
                "write `absolute: 0.5` (in the metric's unit) or `relative: 0.05` (a share of the value)",
            ),
            // What is written instead was named already.
            (None, None) => {}
        }
        None
    }
}

/// Whether a match leaves any series that a dead-band is for.
fn has_numbers(matches: &Match) -> bool {
    let has = |wanted| matches.types.is_empty() || matches.types.contains(&wanted);
    let sum = has(MetricType::Sum) && matches.temporality != Some(Temporality::Delta);
    let gauge = has(MetricType::Gauge) && matches.temporality.is_none();
    sum || gauge
}
