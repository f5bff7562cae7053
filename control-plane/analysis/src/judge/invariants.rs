//! First of all: do the ledgers balance, did the arms see what they should, are windows missing?

use super::finding::{finding, ratio_text};
use super::select::Selection;
use crate::criteria::{Ask, Criteria, Mode};
use crate::verdict::{Criterion, Ruling};
use crate::window::{Arm, Window};
use serde_json::json;

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
        "reportsUsed": reports.used, "reportsVoid": void, "reportsMissing": reports.missing,
        "missingShare": share, "maxMissing": criteria.guardrails.max_missing,
        "silentAgents": selection.silent, "leftMs": criteria.left_ms,
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
    finding("windows", ruling, reason, figures).against(format!(
        "{} windows, at most {} of reports missing",
        criteria.min_windows,
        ratio_text(criteria.guardrails.max_missing)
    ))
}

/// Shadow: both arms received the same points and bytes. Else: each received something, and by node
/// nothing reached an arm that was not its node's.
pub fn arms(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let [baseline, candidate] = received(selection);
    let figures = json!({ "baselineReceived": baseline, "candidateReceived": candidate });
    if selection.windows.used == 0 {
        let reason = "There is no comparable window.".to_string();
        return finding("arms", Ruling::Unknown, reason, figures);
    }
    let (ruling, reason) = match (criteria.ask, criteria.mode) {
        (Ask::Bake, _) => (
            Ruling::Pass,
            format!("The candidate received {candidate} points; there is no baseline beside it."),
        ),
        (_, Mode::Shadow) => same(selection, baseline),
        (_, Mode::Split | Mode::Nodes) if baseline == 0 || candidate == 0 => (
            Ruling::Void,
            format!(
                "The baseline received {baseline} points and the candidate {candidate}: nothing to compare."
            ),
        ),
        (_, Mode::Split) => (
            Ruling::Pass,
            format!("The baseline received {baseline} points, the candidate {candidate}."),
        ),
        (_, Mode::Nodes) => by_node(selection),
    };
    finding("arms", ruling, reason, figures)
}

/// Points that each arm received of what is compared.
pub fn received(selection: &Selection<'_>) -> [u64; 2] {
    let sum = |pick: fn(&Window) -> Option<&Arm>| -> u64 {
        let arms = selection.comparable().filter_map(pick);
        arms.map(compared).sum()
    };
    [sum(Window::baseline_arm), sum(Window::candidate_arm)]
}

/// Points received that belong to the comparison.
fn compared(arm: &Arm) -> u64 {
    let outside = arm.unassigned.map_or(0, |v| v.points_in);
    arm.ledger.received.saturating_sub(outside)
}

fn same(selection: &Selection<'_>, received: u64) -> (Ruling, String) {
    let mut unequal = selection.comparable().filter(|w| differs(w));
    let Some(first) = unequal.next() else {
        return (
            Ruling::Pass,
            format!("Both arms received the same {received} points."),
        );
    };
    (
        Ruling::Void,
        format!(
            "The arms did not receive the same in {} reports, first {} in the window from {}.",
            1 + unequal.count(),
            first.agent,
            first.start_ms
        ),
    )
}

fn differs(window: &Window) -> bool {
    let (Some(b), Some(c)) = (&window.baseline, &window.candidate) else {
        return false;
    };
    let outside = b.unassigned.unwrap_or_default();
    let series = matches!(
        (b.series_in.exact, c.series_in.exact),
        (Some(x), Some(y)) if x != y.saturating_add(outside.series_in)
    );
    let inside = b.bytes_in.saturating_sub(outside.bytes_in);
    b.ledger.received != c.ledger.received + outside.points_in
        || b.compared_bytes_in.unwrap_or(inside) != c.compared_bytes_in.unwrap_or(c.bytes_in)
        || series
}

fn by_node(selection: &Selection<'_>) -> (Ruling, String) {
    let other = |w: &Window| {
        if selection.candidates.contains(w.agent.as_str()) {
            w.baseline_arm().map_or(0, compared)
        } else {
            w.candidate_arm().map_or(0, compared)
        }
    };
    let mut nodes: Vec<&str> = selection.comparable().map(|w| w.agent.as_str()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let candidates = nodes
        .iter()
        .filter(|n| selection.candidates.contains(*n))
        .count();
    match selection.comparable().find(|w| other(w) > 0) {
        Some(window) => (
            Ruling::Void,
            format!(
                "{} sent {} points to the arm that is not its own in the window from {}: the nodes are not \
                 divided as they were chosen.",
                window.agent,
                other(window),
                window.start_ms
            ),
        ),
        None => (
            Ruling::Pass,
            format!(
                "{candidates} nodes ran the candidate and {} the baseline, each for all that is compared.",
                nodes.len() - candidates
            ),
        ),
    }
}
