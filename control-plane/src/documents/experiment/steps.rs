//! `steps`: what an experiment goes through, as written and laid out one after the other.

use super::Mode;
use crate::documents::Span;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Value;

/// What a step does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Both pipelines are read and compiled; nothing runs.
    Lint,
    /// Captures, replayed by `phoenix experiment replay`.
    Replay,
    /// The baseline against itself.
    Aa,
    /// Both arms see everything; only the baseline's output leaves the node.
    Shadow,
    /// The candidate takes a share of the traffic, then a larger one.
    Ramp,
    /// The candidate everywhere, still watched.
    Bake,
}

impl Kind {
    /// The name in a document.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Lint => "lint",
            Kind::Replay => "replay",
            Kind::Aa => "aa",
            Kind::Shadow => "shadow",
            Kind::Ramp => "ramp",
            Kind::Bake => "bake",
        }
    }

    /// Comparable windows that its verdict needs where nothing is written.
    pub fn min_windows(self) -> u32 {
        match self {
            Kind::Lint => 0,
            Kind::Replay | Kind::Aa | Kind::Ramp => 3,
            Kind::Shadow | Kind::Bake => 6,
        }
    }
}

/// What a ramp divides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A node runs the candidate for everything, or the baseline.
    #[default]
    Node,
    /// Every node divides its entities.
    Entity,
    /// The chosen nodes divide their entities.
    Both,
}

/// How far a ramp goes: `1 node`, `3 nodes`, `25%`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Portion {
    Nodes(u32),
    Percent(f64),
}

impl Portion {
    /// As it is written.
    pub fn text(self) -> String {
        match self {
            Portion::Nodes(1) => "1 node".into(),
            Portion::Nodes(n) => format!("{n} nodes"),
            Portion::Percent(p) => format!("{p}%"),
        }
    }

    /// Of so many nodes: at least one, at most all.
    pub fn of(self, nodes: usize) -> usize {
        let wanted = match self {
            Portion::Nodes(n) => n as usize,
            Portion::Percent(p) => (nodes as f64 * p / 100.0).ceil() as usize,
        };
        wanted.max(1).min(nodes)
    }
}

impl Serialize for Portion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Portion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Portion, D::Error> {
        let written = Value::deserialize(deserializer)?;
        let trimmed = written.as_str().unwrap_or_default().trim();
        let nodes = trimmed
            .strip_suffix("nodes")
            .or_else(|| trimmed.strip_suffix("node"));
        let read = match (nodes, trimmed.strip_suffix('%')) {
            (Some(n), _) => n.trim().parse().ok().map(Portion::Nodes),
            (None, Some(p)) => p.trim().parse().ok().map(Portion::Percent),
            (None, None) => None,
        };
        read.ok_or_else(|| D::Error::custom(format!("{written}: write \"1 node\" or \"25%\"")))
    }
}

/// One entry of `steps`. What is left out has the default of its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepSpec {
    pub step: Kind,
    /// A/A only: `shadow` (default) or `split`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Ramp only: `node` (default), `entity` or `both`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// A split, or a ramp by entity or both: key attributes of the entity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entity: Vec<String>,
    /// A split A/A, or a ramp by both: the share of entities that the second arm takes; 50 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Ramp only: `1 node`, `25%`, ... in growing order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub to: Vec<Portion>,
    /// Comparable windows that the step's verdict needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_windows: Option<u32>,
    /// The step lasts at least so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub dwell: Option<Span>,
}

impl StepSpec {
    /// A step of which nothing but the kind is written.
    pub fn plain(step: Kind) -> StepSpec {
        StepSpec {
            step,
            mode: None,
            by: None,
            entity: Vec::new(),
            percent: None,
            to: Vec::new(),
            min_windows: None,
            dwell: None,
        }
    }

    /// How far a ramp goes, with the default where nothing is written.
    pub fn portions(&self) -> Vec<Portion> {
        if !self.to.is_empty() {
            return self.to.clone();
        }
        let mut all: Vec<Portion> = [5.0, 25.0, 50.0, 100.0].map(Portion::Percent).into();
        if self.by.unwrap_or_default() != By::Entity {
            all.insert(0, Portion::Nodes(1));
        }
        all
    }
}

/// How the arms of a step share the traffic.
#[derive(Debug, Clone, PartialEq)]
pub enum Share {
    /// Nothing runs on agents.
    Nothing,
    /// Both arms see everything.
    Shadow,
    /// Every agent divides its entities; the second arm takes this share of them in per cent.
    Entities { entity: Vec<String>, percent: f64 },
    /// Chosen agents run the second arm for everything, all others the baseline.
    Nodes(Portion),
    /// Chosen agents divide their entities, all others run the baseline.
    Both {
        portion: Portion,
        entity: Vec<String>,
        percent: f64,
    },
    /// Every agent runs the second arm for everything.
    Everything,
}

/// One step laid out: each portion of a ramp is a step of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub kind: Kind,
    /// `lint`, `replay`, `aa`, `shadow`, `ramp 1 node`, `ramp 25%`, `bake`.
    pub name: String,
    pub share: Share,
    pub min_windows: u32,
    pub dwell_ms: u64,
}

impl Step {
    /// Agents run something for it.
    pub fn on_agents(&self) -> bool {
        self.share != Share::Nothing
    }

    /// Live traffic meets both pipelines, so that the goal can be shown.
    pub fn compares(&self) -> bool {
        matches!(self.kind, Kind::Shadow | Kind::Ramp) && self.share != Share::Everything
    }
}

/// All steps in the order in which they are run.
pub fn course(steps: &[StepSpec]) -> Vec<Step> {
    let mut all = Vec::new();
    for spec in steps {
        let step = |name: String, share: Share| Step {
            kind: spec.step,
            name,
            share,
            min_windows: spec.min_windows.unwrap_or(spec.step.min_windows()),
            dwell_ms: spec.dwell.map_or(0, |d| d.0),
        };
        let name = spec.step.name();
        match spec.step {
            Kind::Lint | Kind::Replay => all.push(step(name.into(), Share::Nothing)),
            Kind::Shadow => all.push(step(name.into(), Share::Shadow)),
            Kind::Bake => all.push(step(name.into(), Share::Everything)),
            Kind::Aa => all.push(step(name.into(), same(spec))),
            Kind::Ramp => all.extend(
                spec.portions()
                    .into_iter()
                    .map(|p| step(format!("ramp {}", p.text()), ramped(spec, p))),
            ),
        }
    }
    all
}

fn same(spec: &StepSpec) -> Share {
    match spec.mode.unwrap_or_default() {
        Mode::Shadow => Share::Shadow,
        Mode::Split => Share::Entities {
            entity: spec.entity.clone(),
            percent: spec.percent.unwrap_or(50.0),
        },
    }
}

fn ramped(spec: &StepSpec, portion: Portion) -> Share {
    let entity = spec.entity.clone();
    match (spec.by.unwrap_or_default(), portion) {
        (By::Entity | By::Node, Portion::Percent(p)) if p >= 100.0 => Share::Everything,
        (By::Entity, Portion::Percent(percent)) => Share::Entities { entity, percent },
        // Refused where a document is read; the next smaller thing is one node.
        (By::Entity | By::Node, portion) => Share::Nodes(portion),
        (By::Both, portion) => Share::Both {
            portion,
            entity,
            percent: spec.percent.unwrap_or(50.0),
        },
    }
}
