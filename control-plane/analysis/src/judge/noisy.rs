//! What is measured with noise: CPU and latency of an arm, held against limits with confidence sequences.
//!
//! Met only when the upper bound is within the limit (non-inferiority), missed when a lower bound is past
//! it, that of any stretch that lasts to the last window: harm that begins late is not hidden by an
//! innocent past. The alpha is shared equally by all noisy guardrails that were asked for.

use super::contrast::{Contrasted, Figure, by_agent, contrast, pairs};
use super::finding::{finding, ratio_text};
use super::select::Selection;
use crate::confidence::{Contrast, MIN_WINDOWS, Pair, Share, estimate, lately_at_least};
use crate::criteria::{Criteria, Guardrails};
use crate::verdict::{Criterion, Ruling};
use crate::window::Arm;
use serde_json::json;

/// A limit on what is noisy.
struct Limited {
    name: &'static str,
    what: &'static str,
    figure: Figure,
    kind: Contrast,
    limit: Option<f64>,
}

/// Thread time per point received, candidate against baseline.
pub fn cpu(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let figure = |arm: &Arm| {
        arm.cpu_seconds.map(|seconds| Share {
            of: seconds,
            per: arm.ledger.received as f64,
        })
    };
    let limited = Limited {
        name: "cpu",
        what: "CPU per point",
        figure,
        kind: Contrast::Ratio,
        limit: criteria.guardrails.max_cpu_ratio,
    };
    limited.judge(criteria, selection)
}

/// Mean time of a request in the candidate's arm less that in the baseline's, milliseconds.
pub fn latency(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let figure = |arm: &Arm| {
        arm.added_latency.as_ref().map(|l| Share {
            of: l.sum_ns as f64 / 1e6,
            per: l.count as f64,
        })
    };
    let limited = Limited {
        name: "added latency",
        what: "Time of a request",
        figure,
        kind: Contrast::Difference,
        limit: criteria.guardrails.max_added_latency_ms,
    };
    limited.judge(criteria, selection)
}

/// Noisy guardrails that were asked for: they share the alpha.
fn asked(rails: &Guardrails) -> usize {
    let asked = [rails.max_cpu_ratio, rails.max_added_latency_ms];
    asked.iter().flatten().count().max(1)
}

impl Limited {
    fn judge(&self, criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
        let alpha = criteria.alpha / asked(&criteria.guardrails) as f64;
        let windows = pairs(selection, self.figure).unwrap_or_default();
        let total = windows.iter().copied().reduce(Pair::plus);
        let found = total.and_then(|total| estimate(total, self.kind));
        let agents = |n| by_agent(criteria, selection, n, self.figure);
        let bounds = contrast(criteria, &windows, agents, self.kind, (alpha, 0.0));
        let lately = lately_at_least(&windows, self.kind, alpha);
        let (ruling, reason) = self.rule(found, bounds, lately, windows.len());
        let figures = json!({
            "found": found, "limit": self.limit, "alpha": alpha, "windows": windows.len(),
            "lower": bounds.map(|b| b.bounds.low), "upper": bounds.map(|b| b.bounds.high),
            "latelyAtLeast": lately, "blockWindows": bounds.map(|b| b.bounds.block),
            "baseline": total.and_then(|t| mean(t.baseline)),
            "candidate": total.and_then(|t| mean(t.candidate)),
        });
        let asked = match self.limit {
            None => String::new(),
            Some(limit) => format!(
                "at most {}, sure to {}",
                self.shown(limit),
                ratio_text(1.0 - alpha)
            ),
        };
        finding(self.name, ruling, reason, figures).against(asked)
    }

    fn rule(
        &self,
        found: Option<f64>,
        bounds: Option<Contrasted>,
        lately: Option<f64>,
        windows: usize,
    ) -> (Ruling, String) {
        let what = self.what;
        let (Some(found), Some(limit)) = (found, self.limit) else {
            return match (found, self.limit) {
                (Some(f), _) => (
                    Ruling::NotAsked,
                    format!("{what} is {}; no limit was set.", self.beside(f)),
                ),
                (None, None) => (
                    Ruling::NotAsked,
                    format!("{what} is not known; no limit was set."),
                ),
                (None, Some(limit)) => (
                    Ruling::Unknown,
                    format!(
                        "{what} is not known, so the limit of {} cannot be checked.",
                        self.shown(limit)
                    ),
                ),
            };
        };
        let (said, allowed) = (self.beside(found), self.shown(limit));
        let Some(Contrasted { bounds, .. }) = bounds else {
            return (
                Ruling::Unknown,
                format!(
                    "{what} is {said} so far; a bound needs {MIN_WINDOWS} windows and there are {windows}, so \
                     the limit of {allowed} is not checked yet."
                ),
            );
        };
        let range = format!("{} to {}", self.shown(bounds.low), self.shown(bounds.high));
        if lately.is_some_and(|low| low > limit) {
            (
                Ruling::Fail,
                format!("{what} is {said} ({range}), clearly more than {allowed}."),
            )
        } else if bounds.high <= limit {
            (
                Ruling::Pass,
                format!("{what} is {said} ({range}), {allowed} allowed."),
            )
        } else {
            (
                Ruling::Unknown,
                format!("{what} is {said} ({range}): whether it is within {allowed} is not clear."),
            )
        }
    }

    fn shown(&self, value: f64) -> String {
        match self.kind {
            Contrast::Ratio => format!("{value:.2} times"),
            Contrast::Difference => format!("{value:.3} ms"),
        }
    }

    fn beside(&self, value: f64) -> String {
        match self.kind {
            Contrast::Ratio => format!("{value:.2} times the baseline's"),
            Contrast::Difference => format!("{value:.3} ms beyond the baseline's"),
        }
    }
}

fn mean(share: Share) -> Option<f64> {
    (share.per > 0.0).then(|| share.of / share.per)
}
