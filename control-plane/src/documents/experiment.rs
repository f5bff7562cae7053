//! `kind: Experiment`: which agents compare which pipelines, in which steps, and what counts as success.

mod check;
mod exports;
mod goal;
mod prometheus;
mod queries;
mod steps;
mod warnings;

pub use exports::ExportErrors;
pub use goal::{Book, Goal, Saving};
pub use prometheus::{OnDisagreement, Prometheus};
pub use queries::{Names, ProtectedQuery, Style as NameStyle};
pub use steps::{By, Kind, Portion, Share, Step, StepSpec, course};

use super::parse::{Document, check_envelope};
use super::{Bytes, Ratio, Selector, Span, problem};
use phoenix_engine::document::{Mended, Problem, from_yaml, mend};
use serde::{Deserialize, Serialize};

/// How an A/A step divides the traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Both arms see everything; only the baseline's output leaves the node.
    #[default]
    Shadow,
    /// Each entity goes to exactly one arm.
    Split,
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

/// What happens to the candidate when it is rejected. It is always taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Quarantined where it did harm.
    #[default]
    Rollback,
    /// Quarantined also where it only missed its goal or a guardrail.
    Quarantine,
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
    /// Failed exports of the candidate on one agent; left out: compared with the baseline's; null: not judged.
    #[schema(value_type = Option<u64>)]
    #[serde(skip_serializing_if = "ExportErrors::is_compared")]
    pub max_export_errors: ExportErrors,
    /// CPU of the candidate arm against the baseline arm; null: not judged.
    pub max_cpu_ratio: Option<f64>,
    /// Memory of the agent while the experiment runs against before; null: not judged.
    pub max_rss_ratio: Option<f64>,
    /// Memory of the agent while the experiment runs: `300MiB`; null: not judged.
    #[schema(value_type = Option<String>)]
    pub max_rss: Option<Bytes>,
    /// Mean time that a request spends in the candidate's arm beyond the baseline's; null: not judged.
    #[schema(value_type = Option<String>)]
    pub max_added_latency: Option<Span>,
    /// Agents that had the candidate and may fall silent.
    pub max_silent: u64,
    /// Share of the expected reports that may be missing before the comparison is void.
    #[schema(value_type = f64)]
    pub max_missing: Ratio,
    /// Compared between what both arms write, in shadow.
    pub queries: Vec<ProtectedQuery>,
    /// Text of a Prometheus rule file: its alerts must decide alike on both arms.
    pub rules: String,
}

impl Default for Guardrails {
    fn default() -> Self {
        Guardrails {
            protect: Vec::new(),
            protected_retention: Ratio(1.0),
            max_export_errors: ExportErrors::default(),
            max_cpu_ratio: None,
            max_rss_ratio: None,
            max_rss: None,
            max_silent: 0,
            max_added_latency: None,
            max_missing: Ratio(0.5),
            queries: Vec::new(),
            rules: String::new(),
        }
    }
}

/// `scope`: what the experiment is about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Scope {
    /// Agents.
    pub selector: Selector,
    /// Metrics, matchers as in a pipeline's `protect`; empty: all.
    #[serde(rename = "match")]
    pub metrics: Vec<serde_json::Value>,
}

/// `spec` of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExperimentSpec {
    #[serde(default)]
    pub scope: Scope,
    /// Name or hash; left out: what is assigned.
    #[serde(default)]
    pub baseline: Option<String>,
    /// Name or hash.
    pub candidate: String,
    #[serde(default = "default_window")]
    #[schema(value_type = String)]
    pub window: Span,
    /// Of all steps together.
    #[serde(default = "default_max_duration")]
    #[schema(value_type = String)]
    pub max_duration: Span,
    /// In this order: lint, replay, aa, shadow, ramp, bake; each may be left out.
    #[serde(default = "default_steps")]
    pub steps: Vec<StepSpec>,
    pub goal: Goal,
    #[serde(default)]
    pub guardrails: Guardrails,
    #[serde(default)]
    pub names: Names,
    /// Asked as a second witness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Prometheus>,
    #[serde(default)]
    pub on_success: OnSuccess,
    #[serde(default)]
    pub on_failure: OnFailure,
}

impl ExperimentSpec {
    /// All steps in the order in which they are run.
    pub fn course(&self) -> Vec<Step> {
        course(&self.steps)
    }

    /// What is stored is what `written` says. Servers before judge version 4 stored `maxExportErrors: 0` where nothing
    /// was written.
    pub fn reads_as(&self, written: &ExperimentSpec) -> bool {
        let mut stored = self.clone();
        let limit = &mut stored.guardrails.max_export_errors;
        if *limit == ExportErrors::AtMost(0) && written.guardrails.max_export_errors.is_compared() {
            *limit = ExportErrors::Compared;
        }
        stored == *written
    }
}

fn default_window() -> Span {
    Span::from_secs(10)
}
fn default_max_duration() -> Span {
    Span::from_secs(3600)
}
fn default_steps() -> Vec<StepSpec> {
    vec![StepSpec::plain(Kind::Shadow)]
}

/// Reads an experiment from YAML or JSON.
///
/// # Errors
/// Every problem found, with its path.
pub fn parse_experiment(text: &str) -> Result<Document<ExperimentSpec>, Vec<Problem>> {
    let moved = moved(text);
    if !moved.is_empty() {
        return Err(moved);
    }
    let Mended {
        read,
        mut problems,
        touched,
    } = mend::<Document<ExperimentSpec>>(text);
    let Some(document) = read else {
        return Err(problems);
    };
    let mut found = Vec::new();
    check_envelope(&document, "Experiment", &mut found);
    found.extend(check::check(&document));
    // What nobody wrote is no further mistake.
    found.retain(|p| !touched.iter().any(|t| hangs_on(&p.path, t)));
    problems.extend(found);
    if problems.is_empty() {
        Ok(document)
    } else {
        Err(problems)
    }
}

/// Whether what is found at `path` may be so only because of what was put in the place of a mistake: in
/// the same step or goal, or in how the steps follow one another.
fn hangs_on(path: &str, touched: &str) -> bool {
    let within = |path: &str, of: &str| {
        path.strip_prefix(of)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    if touched.starts_with("spec.steps") {
        let step = touched.split_inclusive(']').next().unwrap_or(touched);
        return within(path, step) || path == "spec.steps" || path.ends_with("].step");
    }
    let of = match within(touched, "spec.goal") {
        true => "spec.goal",
        false => touched,
    };
    within(path, of)
}

/// Keys of documents from before there were steps, and where they went.
const MOVED: [(&str, &str); 5] = [
    ("selector", "write it as spec.scope.selector"),
    (
        "mode",
        "write steps: `[ { step: shadow } ]`, or for a split \
         `[ { step: ramp, by: entity, entity: [host.name], to: [50%] } ]`",
    ),
    (
        "entity",
        "write it in the step that splits: `{ step: ramp, by: entity, entity: [host.name] }`",
    ),
    (
        "percent",
        "write it as `to` of the step that splits: `{ step: ramp, by: entity, to: [50%] }`",
    ),
    (
        "minWindows",
        "write it in the step: `{ step: shadow, minWindows: 6 }`",
    ),
];

fn moved(text: &str) -> Vec<Problem> {
    let Ok(document) = from_yaml::<serde_json::Value>(text) else {
        return Vec::new();
    };
    MOVED
        .iter()
        .filter(|(key, _)| document.pointer(&format!("/spec/{key}")).is_some())
        .map(|(key, remedy)| problem(&format!("spec.{key}"), *remedy))
        .collect()
}

#[cfg(test)]
mod tests;
