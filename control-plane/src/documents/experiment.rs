//! `kind: Experiment`: which agents compare which pipelines, how, and what counts as success.

use super::parse::{Document, parse};
use super::{Ratio, Selector, Span, check_name, problem};
use phoenix_engine::document::{Problem, parse_matchers};
use serde::{Deserialize, Serialize};

/// How traffic reaches the candidate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Both arms see everything; only the baseline's output leaves the node.
    #[default]
    Shadow,
    /// Each entity goes to exactly one arm.
    Split,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Shadow => "shadow",
            Mode::Split => "split",
        }
    }
}

/// What happens when the verdict is `promote`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnSuccess {
    Promote,
    /// Wait for a person.
    #[default]
    Hold,
}

/// What is to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Saving {
    Points,
    Series,
    Bytes,
}

/// `goal`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Goal {
    pub saving: Saving,
    /// At least this share: `0.2` or `20%`.
    #[schema(value_type = f64)]
    pub target: Ratio,
}

/// `guardrails`: what must not be harmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Guardrails {
    /// Matchers as in a pipeline's `protect`, measured on both arms.
    pub protect: Vec<serde_json::Value>,
    /// Share of the protected points that must leave unchanged.
    #[schema(value_type = f64)]
    pub protected_retention: Ratio,
    /// Failed exports in all windows together; null: not judged.
    pub max_export_errors: Option<u64>,
    /// CPU of the candidate arm against the baseline arm; null: not judged.
    pub max_cpu_ratio: Option<f64>,
    /// Memory of the agent while the experiment runs against before; null: not judged.
    pub max_rss_ratio: Option<f64>,
}

impl Default for Guardrails {
    fn default() -> Self {
        Guardrails {
            protect: Vec::new(),
            protected_retention: Ratio(1.0),
            max_export_errors: Some(0),
            max_cpu_ratio: None,
            max_rss_ratio: None,
        }
    }
}

/// `spec` of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExperimentSpec {
    #[serde(default)]
    pub selector: Selector,
    /// Name or hash; left out: what is assigned.
    #[serde(default)]
    pub baseline: Option<String>,
    /// Name or hash.
    pub candidate: String,
    #[serde(default)]
    pub mode: Mode,
    /// Split only: key attributes of the entity.
    #[serde(default)]
    pub entity: Vec<String>,
    /// Split only: the candidate's share of entities.
    #[serde(default = "default_percent")]
    pub percent: f64,
    #[serde(default = "default_window")]
    #[schema(value_type = String)]
    pub window: Span,
    /// Comparable windows that a verdict needs.
    #[serde(default = "default_min_windows")]
    pub min_windows: u32,
    #[serde(default = "default_max_duration")]
    #[schema(value_type = String)]
    pub max_duration: Span,
    pub goal: Goal,
    #[serde(default)]
    pub guardrails: Guardrails,
    #[serde(default)]
    pub on_success: OnSuccess,
}

fn default_percent() -> f64 {
    50.0
}
fn default_window() -> Span {
    Span::from_secs(10)
}
fn default_min_windows() -> u32 {
    6
}
fn default_max_duration() -> Span {
    Span::from_secs(600)
}

/// Reads an experiment from YAML or JSON.
///
/// # Errors
/// Every problem found, with its path.
pub fn parse_experiment(text: &str) -> Result<Document<ExperimentSpec>, Vec<Problem>> {
    let document: Document<ExperimentSpec> = parse(text, "Experiment")?;
    let mut problems = Vec::new();
    check_name("metadata.name", &document.metadata.name, &mut problems);
    check_traffic(&document.spec, &mut problems);
    check_time(&document.spec, &mut problems);
    check_criteria(&document.spec, &mut problems);
    if problems.is_empty() {
        Ok(document)
    } else {
        Err(problems)
    }
}

fn check_traffic(spec: &ExperimentSpec, problems: &mut Vec<Problem>) {
    if spec.candidate.is_empty() {
        problems.push(problem(
            "spec.candidate",
            "write the name or the hash of a pipeline",
        ));
    }
    if spec.baseline.as_deref() == Some("") {
        problems.push(problem(
            "spec.baseline",
            "write the name or the hash of a pipeline, or leave it out for what is assigned",
        ));
    }
    if spec.mode == Mode::Split && spec.entity.is_empty() {
        problems.push(problem(
            "spec.entity",
            "a split needs the attribute keys that name an entity, such as [host.name, process.pid]",
        ));
    }
    if spec.entity.iter().any(String::is_empty) {
        problems.push(problem("spec.entity", "a key is empty"));
    }
    if !(spec.percent > 0.0 && spec.percent < 100.0) {
        problems.push(problem(
            "spec.percent",
            format!("{} is not between 0 and 100 (both excluded)", spec.percent),
        ));
    }
}

fn check_time(spec: &ExperimentSpec, problems: &mut Vec<Problem>) {
    if spec.window < Span::from_secs(1) || spec.window > Span::from_secs(3600) {
        problems.push(problem("spec.window", "a window lasts between 1s and 1h"));
    }
    if spec.min_windows == 0 {
        problems.push(problem("spec.minWindows", "write at least 1"));
    }
    // The first window of an arm is warm-up and is not compared. Time for fewer windows than
    // `minWindows` is no mistake: the verdict then says how many there were.
    let least = spec.window.0.saturating_mul(3);
    if spec.max_duration.0 < least {
        problems.push(problem(
            "spec.maxDuration",
            format!(
                "too short for a window of {} ms after the warm-up: write at least {} s",
                spec.window.0,
                least.div_ceil(1000)
            ),
        ));
    }
}

fn check_criteria(spec: &ExperimentSpec, problems: &mut Vec<Problem>) {
    let target = spec.goal.target.0;
    if !(target > 0.0 && target < 1.0) {
        problems.push(problem(
            "spec.goal.target",
            "a saving is a share between 0 and 1, such as 0.2 or 20%",
        ));
    }
    let rails = &spec.guardrails;
    if !(0.0..=1.0).contains(&rails.protected_retention.0) {
        problems.push(problem(
            "spec.guardrails.protectedRetention",
            "a share between 0 and 1",
        ));
    }
    for (key, ratio) in [
        ("maxCpuRatio", rails.max_cpu_ratio),
        ("maxRssRatio", rails.max_rss_ratio),
    ] {
        if ratio.is_some_and(|r| !(r.is_finite() && r > 0.0)) {
            problems.push(problem(
                &format!("spec.guardrails.{key}"),
                "write a ratio above 0, such as 1.5",
            ));
        }
    }
    let protect = serde_json::Value::Array(rails.protect.clone()).to_string();
    if let Err(wrong) = parse_matchers(&protect) {
        problems.extend(wrong.into_iter().map(|p| Problem {
            path: format!("spec.guardrails.protect{}", p.path),
            ..p
        }));
    }
}
