//! `guardrails.queries`, `guardrails.rules` and `names`: what dashboards and alerts ask.

use super::ExperimentSpec;
use super::steps::{Kind, Step};
use crate::documents::{Ratio, problem};
use phoenix_analysis::query::{Asked, ask};
use phoenix_engine::document::Problem;
use phoenix_engine::query as engine;
use serde::{Deserialize, Serialize};

/// A query whose answer the candidate must not change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProtectedQuery {
    pub name: String,
    /// PromQL; docs/queries.md says what of it is evaluated.
    pub expr: String,
    /// Largest relative difference of a value at any step; 1 % by default.
    #[serde(default = "one_percent")]
    #[schema(value_type = f64)]
    pub tolerance: Ratio,
}

fn one_percent() -> Ratio {
    Ratio(phoenix_analysis::ProtectedQuery::tolerance())
}

/// `names`: the names that queries and rules are written in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Names {
    pub style: Style,
    /// Resource attributes that become labels, beside `job` and `instance`.
    pub promote: Vec<String>,
}

/// Which names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// OpenTelemetry's translation, with unit and type suffixes.
    #[default]
    Prometheus,
    /// As they came.
    Otel,
}

impl ExperimentSpec {
    /// What the judge is asked about queries, beside the other guardrails.
    pub fn judged_queries(&self) -> phoenix_analysis::Guardrails {
        let queries = self.guardrails.queries.iter();
        phoenix_analysis::Guardrails {
            queries: queries
                .map(|q| phoenix_analysis::ProtectedQuery {
                    name: q.name.clone(),
                    expr: q.expr.clone(),
                    tolerance: q.tolerance.0,
                })
                .collect(),
            rules: self.guardrails.rules.clone(),
            names: engine::Names {
                style: match self.names.style {
                    Style::Prometheus => engine::Style::Prometheus,
                    Style::Otel => engine::Style::Otel,
                },
                promote: self.names.promote.clone(),
            },
            ..phoenix_analysis::Guardrails::default()
        }
    }

    /// The queries, divided between agents and judge.
    pub fn asked(&self) -> Asked {
        let mut asked = ask(&self.judged_queries(), self.window.0);
        // What a backend is asked as well.
        asked.inner.volume = self.prometheus.is_some();
        asked
    }
}

/// Mistakes in queries and rules. What is right and not evaluated is no mistake but a warning: the verdict
/// says that it was not checked.
pub(super) fn check(spec: &ExperimentSpec, problems: &mut Vec<Problem>) {
    let under = |p: Problem| Problem {
        path: format!("spec.guardrails.{}", p.path),
        ..p
    };
    let asked = spec.asked();
    let asks = !(asked.queries.is_empty() && asked.alerts.is_empty());
    problems.extend(asked.problems.into_iter().map(under));
    let course = spec.course();
    let evaluates = |s: &Step| matches!(s.kind, Kind::Shadow | Kind::Replay);
    if asks && !course.iter().any(evaluates) {
        let key = match spec.guardrails.queries.is_empty() {
            true => "rules",
            false => "queries",
        };
        problems.push(problem(
            &format!("spec.guardrails.{key}"),
            "no step can evaluate them: the arms of a ramp hold different entities. Add `{ step: shadow }`, where both \
             arms see everything (or replay), or leave them out",
        ));
    }
}
