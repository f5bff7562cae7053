//! The judge: invariants, then health, then fidelity, then the goal.

mod fidelity;
mod finding;
mod goal;
mod health;
mod invariants;
mod queries;
mod saving;
mod select;
mod split;
mod volume;

use crate::criteria::{Criteria, Measure, Mode};
use crate::verdict::{Criterion, Outcome, Ruling, Savings, Verdict};
use crate::window::Window;

/// Version of these rules; grows whenever the same windows could get another verdict.
pub const JUDGE_VERSION: u32 = 1;

/// Judges an experiment on the windows that were stored of it.
///
/// `promote` only if every criterion that was asked for is known and met. Harm (a ledger that does
/// not balance, a panic of the candidate, a protected point lost) rejects however little was seen; a
/// goal or guardrail that is clearly missed rejects with enough windows; what voids the comparison,
/// and whatever is not clear, is inconclusive; nothing comparable at all is no data.
pub fn judge(criteria: &Criteria, windows: &[Window]) -> Verdict {
    let selection = select::select(criteria, windows);
    let of = |measure| saving::measure(criteria, &selection, measure);
    let (points, series, bytes) = (of(Measure::Points), of(Measure::Series), of(Measure::Bytes));
    let mut criteria_found = vec![
        invariants::windows(criteria, &selection),
        invariants::ledger(&selection),
        invariants::arms(criteria, &selection),
    ];
    if criteria.mode == Mode::Split {
        criteria_found.push(invariants::sample_ratio(criteria, &selection));
    }
    criteria_found.extend([
        health::panics(&selection),
        health::export_errors(criteria, &selection),
        health::refused_requests(criteria, &selection),
        health::cpu(criteria, &selection),
        health::memory(criteria, &selection),
        fidelity::protected_points(criteria, &selection),
        fidelity::protected_series(criteria, &selection),
        fidelity::identity(&selection),
    ]);
    criteria_found.extend(queries::queries(criteria, &selection));
    let asked = match criteria.goal.saving {
        Measure::Points => &points,
        Measure::Series => &series,
        Measure::Bytes => &bytes,
    };
    criteria_found.push(goal::goal(criteria, asked, selection.windows.used));
    let received: u64 = selection
        .comparable()
        .flat_map(Window::arms)
        .map(|(_, arm)| arm.ledger.received)
        .sum();
    let enough = selection.windows.used >= u64::from(criteria.min_windows);
    let (outcome, reason) = conclude(&criteria_found, received > 0, enough);
    Verdict {
        outcome,
        reason,
        harm: criteria_found.iter().any(|c| c.outcome == Ruling::Harm),
        criteria: criteria_found,
        savings: Savings {
            points: points.saving,
            series: series.saving,
            bytes: bytes.saving,
        },
        windows: selection.windows.clone(),
        judge_version: JUDGE_VERSION,
        asked: criteria.clone(),
    }
}

/// The outcome, and the reason of the criterion that decided it.
fn conclude(found: &[Criterion], any_data: bool, enough: bool) -> (Outcome, String) {
    let first = |ruling| found.iter().find(|c: &&Criterion| c.outcome == ruling);
    let says = |c: &Criterion| c.reason.clone();
    if let Some(harm) = first(Ruling::Harm) {
        return (Outcome::Reject, says(harm));
    }
    if !any_data {
        let reason = "No comparable window with data was seen.".into();
        return (Outcome::NoData, reason);
    }
    if let Some(void) = first(Ruling::Void) {
        return (Outcome::Inconclusive, says(void));
    }
    if enough && let Some(fail) = first(Ruling::Fail) {
        return (Outcome::Reject, says(fail));
    }
    if let Some(unknown) = first(Ruling::Unknown) {
        return (Outcome::Inconclusive, says(unknown));
    }
    if !enough {
        return (Outcome::Inconclusive, "Too few windows.".into());
    }
    let goal = found.last().map(says).unwrap_or_default();
    (Outcome::Promote, goal)
}
