//! The stage `limit`: its document, and how that is read.

use super::fields::{Reader, near};
use super::{Aggregate, Match, Span};
use crate::yaml::Node;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A cardinality budget: series beyond it are folded into overflow series, which keep the totals.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Which series; all by default.
    #[serde(
        rename = "match",
        default,
        skip_serializing_if = "super::stages::is_any"
    )]
    pub matches: Match,
    /// How many series have a place in one budget.
    #[schemars(range(min = 1))]
    pub series: u32,
    /// What has a budget of its own: `plan` (one for all that match; the default), `metric` (one a
    /// metric name), or `{ attribute: KEY }` (one a value).
    #[serde(default, skip_serializing_if = "Per::is_default")]
    pub per: Per,
    /// What overflow series keep.
    #[serde(default, skip_serializing_if = "Overflow::is_default")]
    pub overflow: Overflow,
    /// When growth is alarming.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
    /// Length of a window; places are given away at its end. 60s by default.
    #[serde(
        default = "Aggregate::interval",
        skip_serializing_if = "super::stages::is_interval"
    )]
    pub interval: Span,
    /// How long after its end a window waits for late points; 5s by default.
    #[serde(
        default = "Aggregate::lateness",
        skip_serializing_if = "super::stages::is_lateness"
    )]
    pub lateness: Span,
    /// After how long without a point a series loses its place; 5m by default.
    #[serde(
        default = "Aggregate::expiry",
        skip_serializing_if = "super::stages::is_expiry"
    )]
    pub expiry: Span,
}

/// What has a budget of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Per {
    /// One budget for all that match.
    #[default]
    Plan,
    /// One a metric name.
    Metric,
    /// One a value of this attribute, wherever it is; series without it share one.
    Attribute(String),
}

// By hand: YAML would have a tag for the enum.
impl Serialize for Per {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        match self {
            Per::Plan => serializer.serialize_str("plan"),
            Per::Metric => serializer.serialize_str("metric"),
            Per::Attribute(key) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("attribute", key)?;
                map.end()
            }
        }
    }
}

impl Per {
    fn is_default(&self) -> bool {
        *self == Per::Plan
    }
}

/// What overflow series keep.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Overflow {
    /// Attribute keys that they keep: one overflow series a metric and combination of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
}

impl Overflow {
    fn is_default(&self) -> bool {
        self.keep.is_empty()
    }
}

/// When growth is alarming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// A window with more series that are new than these is counted as `growth`.
    #[schemars(range(min = 1))]
    pub new_series: u32,
}

impl Reader {
    /// A `limit` stage.
    pub(super) fn limit(&mut self, node: &Node, path: &str) -> Option<Limit> {
        let known = [
            "match", "series", "per", "overflow", "alarm", "interval", "lateness", "expiry",
        ];
        let instead = [
            ("max", "series"),
            ("limit", "series"),
            ("budget", "series"),
            ("by", "per"),
            ("window", "interval"),
            ("every", "interval"),
            ("keep", "overflow"),
            ("warn_growth", "alarm"),
        ];
        let fields = self.fields(node, path, &known, &instead)?;
        let matches = self.any_or_matched(&fields);
        let (interval, lateness, expiry) = self.times(&fields);
        let series = self
            .required(&fields, "series", "write how many series have a place")
            .and_then(|node| self.count_of(node, &fields.path("series"), 1));
        let per = fields
            .get("per")
            .and_then(|node| self.per(node, &fields.path("per")));
        let keep = fields.get("overflow").map(|node| {
            let path = fields.path("overflow");
            let fields = self.fields(node, &path, &["keep"], &[("by", "keep")])?;
            fields
                .get("keep")
                .map(|node| self.keys(node, &fields.path("keep")))
        });
        let alarm = fields
            .get("alarm")
            .and_then(|node| self.alarm(node, &fields.path("alarm")));
        Some(Limit {
            matches,
            per: per.unwrap_or_default(),
            overflow: Overflow {
                keep: keep.flatten().unwrap_or_default(),
            },
            alarm,
            interval,
            lateness,
            expiry,
            series: series?,
        })
    }

    fn per(&mut self, node: &Node, path: &str) -> Option<Per> {
        let Node::Map(_) = node else {
            let advice = match self.text(node, path)? {
                "plan" => return Some(Per::Plan),
                "metric" => return Some(Per::Metric),
                "attribute" => "name the attribute: `per: { attribute: KEY }`".into(),
                "name" => "write `metric` for a budget a metric name".into(),
                other => match near(other, &["plan", "metric"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "for a budget a value of an attribute write `{{ attribute: {other} }}`, else `plan` or `metric`"
                    ),
                },
            };
            self.problem(path, advice);
            return None;
        };
        let fields = self.fields(node, path, &["attribute"], &[("key", "attribute")])?;
        let advice = "name the attribute: `per: { attribute: KEY }`";
        let node = self.required(&fields, "attribute", advice)?;
        let key = self.text(node, &fields.path("attribute"))?;
        if key.is_empty() {
            self.problem(
                fields.path("attribute"),
                "an attribute key is not empty: write its name",
            );
            return None;
        }
        Some(Per::Attribute(key.to_string()))
    }

    fn alarm(&mut self, node: &Node, path: &str) -> Option<Alarm> {
        let fields = self.fields(node, path, &["new_series"], &[("series", "new_series")])?;
        let advice = "write how many new series in a window are alarming";
        let node = self.required(&fields, "new_series", advice)?;
        let new_series = self.count_of(node, &fields.path("new_series"), 1)?;
        Some(Alarm { new_series })
    }
}
