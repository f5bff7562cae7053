//! What of an experiment is no mistake, and likely not what was meant: queries that nobody can check.

use super::ExperimentSpec;
use super::queries::Style;
use crate::documents::problem;
use phoenix_analysis::query::{Expr, Fault};
use phoenix_engine::document::Problem;
use phoenix_engine::prometheus::NAME;
use phoenix_engine::query::{Inner, LabelMatch, Op};

impl ExperimentSpec {
    /// What is no mistake, and likely not what was meant.
    pub fn warnings(&self) -> Vec<Problem> {
        let asked = self.asked();
        let scope = Scoped::of(self);
        let mut warnings = Vec::new();
        let mut look = |path: String, expr: &Result<Expr, Fault>| match expr {
            // Told as a mistake.
            Err(Fault::Syntax(_)) => {}
            Err(fault) => warnings.push(problem(&path, unchecked(fault))),
            Ok(expr) => {
                let leaves = expr.leaves().into_iter();
                let inner = leaves.filter_map(|leaf| asked.inner.inner.get(leaf.inner as usize));
                let outside = inner.filter_map(|inner| scope.outside(inner)).next();
                warnings.extend(outside.map(|name| problem(&path, beside(name))));
            }
        };
        for (n, (_, expr)) in asked.queries.iter().enumerate() {
            look(format!("spec.guardrails.queries[{n}].expr"), expr);
        }
        for (rule, expr) in &asked.alerts {
            look(format!("spec.guardrails.rules.{}.expr", rule.path), expr);
        }
        warnings
    }
}

fn unchecked(fault: &Fault) -> String {
    format!(
        "{fault} (docs/queries.md says what is); it stays unknown, so that the experiment will not \
         promote"
    )
}

fn beside(name: &str) -> String {
    format!(
        "{name} is outside spec.scope.match: the candidate never has it, so that the query is found \
         broken whatever the candidate does"
    )
}

/// The metric names that are in scope, as queries are written.
struct Scoped {
    /// Beginnings of names; `None`: every name may be, or it cannot be told.
    beginnings: Option<Vec<String>>,
    plain: bool,
}

impl Scoped {
    fn of(spec: &ExperimentSpec) -> Scoped {
        let plain = spec.names.style == Style::Otel;
        let mut beginnings = Vec::new();
        for matcher in &spec.scope.metrics {
            let patterns = match matcher.get("metric") {
                Some(serde_json::Value::String(one)) => vec![one.as_str()],
                Some(serde_json::Value::Array(all)) => {
                    all.iter().filter_map(|p| p.as_str()).collect()
                }
                _ => Vec::new(),
            };
            // A regular expression can begin with anything.
            if patterns.is_empty() || patterns.iter().any(|p| p.starts_with('/')) {
                return Scoped {
                    beginnings: None,
                    plain,
                };
            }
            let fixed = |p: &str| {
                p.split(['*', '?', '[', '{', '\\'])
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            beginnings.extend(patterns.into_iter().map(fixed));
        }
        Scoped {
            beginnings: (!beginnings.is_empty()).then_some(beginnings),
            plain,
        }
    }

    /// The name of what is read, where it is certain that no series in scope has it. Translation to Prometheus
    /// joins words with `_` and appends others; only `total` and `ratio` may go from where they were.
    fn outside<'a>(&self, inner: &'a Inner) -> Option<&'a str> {
        let beginnings = self.beginnings.as_ref()?;
        let exact = |m: &&LabelMatch| m.label == NAME && m.op == Op::Equal;
        let name = inner
            .matchers
            .iter()
            .find(exact)
            .map(|m| m.value.as_str())?;
        let words = |text: &str| -> Vec<String> {
            let parts = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'));
            let words = parts.filter(|part| !part.is_empty());
            let words = words.take_while(|word| !["total", "ratio"].contains(word));
            words.map(str::to_owned).collect()
        };
        let begins = |beginning: &String| match self.plain {
            true => name.starts_with(beginning.as_str()),
            false => words(name)
                .join("_")
                .starts_with(&words(beginning).join("_")),
        };
        (!beginnings.iter().any(begins)).then_some(name)
    }
}
