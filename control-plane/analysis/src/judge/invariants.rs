//! First of all: do the ledgers balance, did the arms see what they should, are windows missing?

use super::finding::{finding, ratio_text};
use super::select::Selection;
use super::volume::union;
use crate::criteria::{Criteria, Mode};
use crate::stats::{binomial_two_sided, normal_two_sided};
use crate::verdict::{Criterion, Ruling};
use crate::window::{Arm, Cardinality, Window};
use serde_json::json;

/// A sample ratio less probable than this voids a split.
pub const RATIO_P: f64 = 0.001;

pub fn ledger(selection: &Selection<'_>) -> Criterion {
    let mut broken = 0u64;
    let mut worst: Option<(i128, &Window, &str)> = None;
    for window in &selection.all {
        for (name, arm) in window.arms() {
            let imbalance = arm.ledger.imbalance();
            if imbalance != 0 {
                broken += 1;
                if worst.is_none_or(|(w, _, _)| imbalance.abs() > w.abs()) {
                    worst = Some((imbalance, window, name));
                }
            }
        }
    }
    let arms = selection
        .all
        .iter()
        .map(|w| w.arms().count())
        .sum::<usize>();
    let figures = json!({ "arms": arms, "unbalanced": broken });
    match worst {
        None => finding(
            "ledger",
            Ruling::Pass,
            format!("Every point is accounted for in {arms} ledgers."),
            figures,
        ),
        Some((points, window, arm)) => finding(
            "ledger",
            Ruling::Harm,
            format!(
                "{broken} of {arms} ledgers do not balance; the worst misses {points} points \
                 ({arm} of {}, window from {}).",
                window.agent, window.start_ms
            ),
            figures,
        ),
    }
}

pub fn windows(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let reports = &selection.windows.reports;
    let void: u64 = reports.void.values().sum();
    let expected = reports.used + void + reports.missing;
    let share = reports.missing as f64 / (expected.max(1)) as f64;
    let figures = json!({
        "used": selection.windows.used, "void": selection.windows.void,
        "expected": selection.windows.expected, "minimum": criteria.min_windows,
        "reports_used": reports.used, "reports_void": void, "reports_missing": reports.missing,
        "missing_share": share, "max_missing": criteria.guardrails.max_missing,
        "silent_agents": selection.silent,
    });
    let (ruling, reason) = if !selection.silent.is_empty() {
        (
            Ruling::Void,
            format!(
                "{} took the plan and never reported.",
                selection.silent.join(", ")
            ),
        )
    } else if expected > 0 && share > criteria.guardrails.max_missing {
        (
            Ruling::Void,
            format!(
                "{} of {expected} expected reports are missing, more than {}.",
                reports.missing,
                ratio_text(criteria.guardrails.max_missing)
            ),
        )
    } else if selection.windows.used < u64::from(criteria.min_windows) {
        (
            Ruling::Unknown,
            format!(
                "{} comparable windows, {} are asked for.",
                selection.windows.used, criteria.min_windows
            ),
        )
    } else {
        (
            Ruling::Pass,
            format!(
                "{} comparable windows ({} asked for); {} of {expected} reports missing.",
                selection.windows.used, criteria.min_windows, reports.missing
            ),
        )
    };
    finding("windows", ruling, reason, figures)
}

/// Shadow: both arms received the same points and bytes. Split: each received something.
pub fn arms(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let received = |pick: fn(&Window) -> Option<&Arm>| -> u64 {
        let arms = selection.comparable().filter_map(pick);
        arms.map(|a| a.ledger.received).sum()
    };
    let baseline = received(Window::baseline_arm);
    let candidate = received(Window::candidate_arm);
    let unequal = selection.comparable().find(|w| differs(w));
    let mut figures = json!({ "baseline_received": baseline, "candidate_received": candidate });
    let (ruling, reason) = match (criteria.mode, unequal) {
        _ if selection.windows.used == 0 => (
            Ruling::Unknown,
            "There is no comparable window.".to_string(),
        ),
        (Mode::Shadow, Some(window)) => {
            let count = selection.comparable().filter(|w| differs(w)).count();
            figures["unequal_reports"] = json!(count);
            (
                Ruling::Void,
                format!(
                    "The arms did not receive the same in {count} reports, first {} in the window \
                     from {}.",
                    window.agent, window.start_ms
                ),
            )
        }
        (Mode::Shadow, None) => (
            Ruling::Pass,
            format!("Both arms received the same {baseline} points."),
        ),
        (Mode::Split | Mode::Nodes, _) if baseline == 0 || candidate == 0 => (
            Ruling::Void,
            format!(
                "The baseline received {baseline} points and the candidate {candidate}: nothing to compare."
            ),
        ),
        (Mode::Split | Mode::Nodes, _) => (
            Ruling::Pass,
            format!("The baseline received {baseline} points, the candidate {candidate}."),
        ),
    };
    finding("arms", ruling, reason, figures)
}

fn differs(window: &Window) -> bool {
    match (&window.baseline, &window.candidate) {
        (Some(b), Some(c)) => {
            b.ledger.received != c.ledger.received
                || b.bytes_in != c.bytes_in
                || matches!((b.series_in.exact, c.series_in.exact), (Some(x), Some(y)) if x != y)
        }
        _ => false,
    }
}

/// Split: the entities were divided as the hash promises. The same entities speak in window after
/// window and are no new evidence, so the test is over one window: the one with most entities. An
/// entity on several agents is one unit (the hash sends it to the same arm everywhere).
pub fn sample_ratio(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let mut best: Option<(u64, super::volume::Amount, super::volume::Amount)> = None;
    let mut unknown = false;
    for ((start, _), reports) in &selection.used {
        match (
            entities(reports, Window::baseline_arm),
            entities(reports, Window::candidate_arm),
        ) {
            (Some(b), Some(c)) => {
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
            json!({ "expected_share": criteria.percent / 100.0 }),
        );
    };
    let total = baseline.value + candidate.value;
    let expected = criteria.percent / 100.0;
    let p = if baseline.is_exact() && candidate.is_exact() {
        binomial_two_sided(candidate.value as u64, total as u64, expected)
    } else {
        // Counted by sketches: their error adds to that of the division.
        let variance = total * expected * (1.0 - expected)
            + (candidate.deviation() * (1.0 - expected)).powi(2)
            + (baseline.deviation() * expected).powi(2);
        normal_two_sided((candidate.value - total * expected) / variance.max(1e-9).sqrt())
    };
    let share = if total > 0.0 {
        candidate.value / total
    } else {
        f64::NAN
    };
    let figures = json!({
        "baseline_entities": baseline.value.round(), "candidate_entities": candidate.value.round(),
        "expected_share": expected, "share": share, "p": p, "threshold": RATIO_P, "window_start_ms": start,
    });
    if total == 0.0 {
        finding(name, Ruling::Void, "No entity was seen.".into(), figures)
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
    }
}

fn entities(
    reports: &[&Window],
    pick: fn(&Window) -> Option<&Arm>,
) -> Option<super::volume::Amount> {
    let counts: Option<Vec<&Cardinality>> = reports
        .iter()
        .map(|w| pick(w).and_then(|a| a.entities.as_ref()))
        .collect();
    union(counts?.into_iter())
}
