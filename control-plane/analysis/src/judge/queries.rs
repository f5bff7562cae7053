//! Third, beside the protected set: queries and alerts that the candidate must not change.

use super::finding::{finding, ratio_text};
use super::select::Selection;
use crate::criteria::{Ask, Criteria, Mode};
use crate::query::alerts::{Decided, Firing, decide};
use crate::query::compare::{Compared, Worst, compare};
use crate::query::fleet::Fleet;
use crate::query::{Asked, Expr, Fault, ask};
use crate::verdict::{Criterion, Ruling};
use phoenix_engine::query::partial::Labels;
use serde_json::{Value, json};

/// A criterion a query and an alert; none where none are asked.
pub fn queries(criteria: &Criteria, selection: &Selection<'_>) -> Vec<Criterion> {
    let asked = ask(&criteria.guardrails, criteria.window_ms);
    if asked.is_empty() {
        return Vec::new();
    }
    if criteria.mode != Mode::Shadow || criteria.ask == Ask::Bake {
        return vec![finding(
            "queries",
            Ruling::NotAsked,
            "The arms hold different entities here; queries are compared in shadow, where both see everything."
                .into(),
            json!({}),
        )];
    }
    let all = selection.all.iter().copied();
    let fleet = Fleet::of(
        criteria.window_ms,
        &asked.inner.keys(),
        all,
        selection.comparable(),
    );
    let look = Look {
        fleet,
        least: u64::from(criteria.min_windows),
        closed: criteria.closed,
        aa: criteria.ask == Ask::Aa,
    };
    look.all(&asked)
}

/// What the findings have in common.
struct Look {
    fleet: Fleet,
    /// Steps that a word needs.
    least: u64,
    /// There will be no more.
    closed: bool,
    /// The baseline against itself.
    aa: bool,
}

impl Look {
    fn all(&self, asked: &Asked) -> Vec<Criterion> {
        let mut found = Vec::new();
        for problem in &asked.problems {
            let reason = format!("{}: {}", problem.path, problem.message);
            found.push(finding("queries", Ruling::Unknown, reason, json!({})));
        }
        for (query, expr) in &asked.queries {
            let name = format!("query {}", query.name);
            found.push(named(self.checked(&name, &query.expr, expr, |expr| {
                let compared = compare(expr, &self.fleet, query.tolerance);
                self.query(&name, &query.expr, query.tolerance, &compared)
            })));
        }
        for (rule, expr) in &asked.alerts {
            let name = format!("alert {}", rule.name);
            found.push(named(self.checked(&name, &rule.expr, expr, |expr| {
                self.alert(&name, &rule.expr, &decide(rule, expr, &self.fleet))
            })));
        }
        found
    }

    /// What cannot be checked is unknown, never met.
    fn checked(
        &self,
        name: &str,
        text: &str,
        expr: &Result<Expr, Fault>,
        check: impl FnOnce(&Expr) -> Criterion,
    ) -> Criterion {
        let unknown =
            |reason: String| finding(name, Ruling::Unknown, reason, json!({ "expr": text }));
        let expr = match expr {
            Ok(expr) => expr,
            Err(fault) => return unknown(sentence(&fault.to_string())),
        };
        for leaf in expr.leaves() {
            if let Some(why) = self.fleet.unchecked.get(&leaf.inner) {
                return unknown(format!("Not checked: {why}."));
            }
        }
        if self.fleet.known.is_empty() {
            return unknown("No step is known of both arms yet.".into());
        }
        let baseline = self.fleet.arms.first();
        let empty = |inner: &u32| {
            baseline
                .and_then(|arm| arm.get(inner))
                .is_none_or(|s| s.is_empty())
        };
        if expr.leaves().iter().any(|leaf| empty(&leaf.inner)) {
            return unknown("Not checked: it matched nothing on the baseline.".into());
        }
        check(expr)
    }

    /// How a difference counts that was seen in so many steps.
    fn harm(&self, steps: u64) -> Ruling {
        match (self.aa, steps >= self.least || self.closed) {
            (true, _) => Ruling::Void,
            (_, true) => Ruling::Harm,
            (_, false) => Ruling::Unknown,
        }
    }

    /// Too few steps to say that there is no difference.
    fn few(&self, steps: u64) -> Option<(Ruling, String)> {
        (steps < self.least).then(|| {
            let text = format!(
                "No difference in {steps} steps; {} are needed (its range must lie in comparable windows).",
                self.least
            );
            (Ruling::Unknown, text)
        })
    }

    fn query(&self, name: &str, text: &str, tolerance: f64, found: &Compared) -> Criterion {
        let figures = json!({
            "expr": text, "tolerance": tolerance, "steps": found.steps, "values": found.values,
            "beyond": found.beyond, "missing": found.missing, "surplus": found.surplus,
            "worst": found.worst, "late": self.fleet.late,
        });
        let few = self.few(found.steps);
        let (ruling, reason) = match &found.worst {
            None if found.steps > 0 => (
                Ruling::Unknown,
                "Not checked: it gave nothing on the baseline.".into(),
            ),
            Some(worst) if found.beyond > 0 => (
                self.harm(found.steps),
                format!(
                    "{} of {} values differ by more than {}; the worst {}.",
                    found.beyond,
                    found.values,
                    ratio_text(tolerance),
                    describe(worst)
                ),
            ),
            Some(_) if self.aa && found.surplus > 0 => (
                Ruling::Void,
                format!("{} values are on the second arm only.", found.surplus),
            ),
            Some(worst) if few.is_none() => (
                Ruling::Pass,
                format!(
                    "{} values of {} steps differ by at most {} ({} allowed); {} are on the candidate only.",
                    found.values,
                    found.steps,
                    ratio_text(worst.error.unwrap_or_default()),
                    ratio_text(tolerance),
                    found.surplus
                ),
            ),
            _ => few.unwrap_or((Ruling::Unknown, "Not checked yet.".into())),
        };
        finding(name, ruling, reason, figures)
    }

    fn alert(&self, name: &str, text: &str, found: &Decided) -> Criterion {
        let figures = json!({
            "expr": text, "steps": found.steps, "baseline": found.baseline, "candidate": found.candidate,
            "missed": firings(&found.missed), "extra": firings(&found.extra),
            "delayed": found.delayed.iter().map(|(f, ms)| json!({
                "labels": f.labels, "fromMs": f.from_ms, "byMs": ms
            })).collect::<Vec<_>>(),
        });
        let differ = [
            ("missed", found.missed.first().map(|f| (f, 0))),
            ("extra", found.extra.first().map(|f| (f, 0))),
            ("delayed", found.delayed.first().map(|(f, ms)| (f, *ms))),
        ];
        let first = differ
            .iter()
            .find_map(|(what, first)| Some((what, (*first)?)));
        let few = self.few(found.steps);
        let (ruling, reason) = match first {
            Some((what, (firing, by_ms))) => {
                let by = match by_ms {
                    0 => String::new(),
                    ms => format!(" by {} s", ms as f64 / 1e3),
                };
                let text = format!(
                    "The candidate misses {}, adds {} and delays {} of {} alerts; the first {what}{by}: {} at {} ms.",
                    found.missed.len(),
                    found.extra.len(),
                    found.delayed.len(),
                    found.baseline,
                    labels(&firing.labels),
                    firing.from_ms
                );
                (self.harm(found.steps), text)
            }
            None if found.open > 0 => (
                Ruling::Unknown,
                "An alert has just fired on one arm; the other may follow.".into(),
            ),
            None if few.is_none() => (
                Ruling::Pass,
                format!(
                    "Both arms decided alike in {} evaluations ({} alerts).",
                    found.steps, found.baseline
                ),
            ),
            None => few.unwrap_or((Ruling::Unknown, "Not checked yet.".into())),
        };
        finding(name, ruling, reason, figures)
    }
}

/// Which query or alert it is: the reason may be the verdict's.
fn named(found: Criterion) -> Criterion {
    match found.outcome {
        Ruling::Pass => found,
        _ => Criterion {
            reason: format!("{}: {}", found.name, found.reason),
            ..found
        },
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), chars.as_str())
}

fn firings(list: &[Firing]) -> Vec<Value> {
    let one =
        |f: &Firing| json!({ "labels": f.labels, "fromMs": f.from_ms, "untilMs": f.until_ms });
    list.iter().take(10).map(one).collect()
}

fn labels(labels: &Labels) -> String {
    let list: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
    format!("{{{}}}", list.join(", "))
}

fn describe(worst: &Worst) -> String {
    let number = |value: Option<f64>| value.map_or("no data".to_owned(), |v| format!("{v:.6}"));
    let by = worst
        .error
        .map_or(String::new(), |e| format!(" ({})", ratio_text(e)));
    format!(
        "in {} at {} ms: {} on the baseline, {} on the candidate{by}",
        labels(&worst.labels),
        worst.at_ms,
        number(worst.baseline),
        number(worst.candidate)
    )
}
