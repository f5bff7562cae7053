//! Were the entities of a split divided as the hash promises (sample-ratio mismatch)?

use super::finding::{finding, ratio_text};
use super::select::Selection;
use super::volume::{Amount, union};
use crate::criteria::Criteria;
use crate::stats::{binomial_two_sided, chi_square, normal_two_sided};
use crate::verdict::{Criterion, Ruling};
use crate::window::{Arm, Cardinality, Window};
use serde_json::json;

/// A division less probable than this voids a split.
pub const RATIO_P: f64 = 0.001;

/// Entities expected in the smaller arm from which on chi-square is near enough; below, the exact test.
const CHI_SQUARE_FROM: f64 = 20.0;

/// Split: the entities were divided as the hash promises. The same entities speak in window after
/// window and are no new evidence, so the test is over one window: the one with most entities. An
/// entity on several agents is one unit (the hash sends it to the same arm everywhere).
pub fn sample_ratio(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let mut best: Option<(u64, Amount, Amount)> = None;
    let mut unknown = false;
    for ((start, _), reports) in &selection.used {
        match entities(reports) {
            Some((b, c)) => {
                if best.is_none_or(|(_, x, y)| b.value + c.value > x.value + y.value) {
                    best = Some((*start, b, c));
                }
            }
            _ => unknown = true,
        }
    }
    let name = "sample ratio";
    let Some((start, baseline, candidate)) = best.filter(|_| !unknown) else {
        return finding(
            name,
            Ruling::Unknown,
            "The agents did not count the entities of both arms, so the division cannot be checked."
                .into(),
            json!({ "expectedShare": criteria.percent / 100.0 }),
        );
    };
    let total = baseline.value + candidate.value;
    let expected = criteria.percent / 100.0;
    let (test, p) = probability(baseline, candidate, expected);
    let share = if total > 0.0 {
        candidate.value / total
    } else {
        f64::NAN
    };
    let figures = json!({
        "baselineEntities": baseline.value.round(), "candidateEntities": candidate.value.round(),
        "expectedShare": expected, "share": share, "test": test, "p": p, "threshold": RATIO_P,
        "windowStartMs": start,
    });
    let asked = format!("p at least {RATIO_P}");
    if total == 0.0 {
        finding(name, Ruling::Void, "No entity was seen.".into(), figures).against(asked)
    } else if p < RATIO_P {
        finding(
            name,
            Ruling::Void,
            format!(
                "{} of {} entities went to the candidate where {} were promised (p = {p:.1e}): the \
                 division cannot be trusted.",
                candidate.value.round(),
                total.round(),
                ratio_text(expected)
            ),
            figures,
        )
        .against(asked)
    } else {
        finding(
            name,
            Ruling::Pass,
            format!(
                "{} of {} entities went to the candidate, {} were promised (p = {p:.3}).",
                candidate.value.round(),
                total.round(),
                ratio_text(expected)
            ),
            figures,
        )
        .against(asked)
    }
}

/// The test, and how probable a division as uneven as this one is.
fn probability(baseline: Amount, candidate: Amount, expected: f64) -> (&'static str, f64) {
    let total = baseline.value + candidate.value;
    if !(baseline.is_exact() && candidate.is_exact()) {
        // Counted by sketches: their error adds to that of the division.
        let variance = total * expected * (1.0 - expected)
            + (candidate.deviation() * (1.0 - expected)).powi(2)
            + (baseline.deviation() * expected).powi(2);
        let off = (candidate.value - total * expected) / variance.max(1e-9).sqrt();
        return (
            "chi-square, with the error of sketches",
            normal_two_sided(off),
        );
    }
    if total * expected.min(1.0 - expected) < CHI_SQUARE_FROM {
        let p = binomial_two_sided(candidate.value as u64, total as u64, expected);
        return ("exact binomial", p);
    }
    ("chi-square", chi_square(candidate.value, total, expected).1)
}

/// Entities of both arms in one window. Where several agents sent no sketches nobody knows which entities
/// they share, and the agent with most of them stands for all.
fn entities(reports: &[&Window]) -> Option<(Amount, Amount)> {
    let of = |pick: fn(&Window) -> Option<&Arm>| -> Option<Vec<&Cardinality>> {
        let counts = reports.iter().map(|w| pick(w)?.entities.as_ref());
        counts.collect()
    };
    let (baseline, candidate) = (of(Window::baseline_arm)?, of(Window::candidate_arm)?);
    let united = union(baseline.iter().copied()).zip(union(candidate.iter().copied()));
    united.or_else(|| {
        let pairs = baseline.iter().zip(&candidate);
        let pairs = pairs.filter_map(|(b, c)| b.exact.zip(c.exact));
        let (b, c) = pairs.max_by_key(|(b, c)| (b + c, *b))?;
        Some((Amount::exact(b as f64), Amount::exact(c as f64)))
    })
}
