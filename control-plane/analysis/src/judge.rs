//! The judge: invariants, then health, then fidelity, then the goal.

mod aa;
mod contrast;
mod deaths;
mod division;
mod exports;
mod fidelity;
mod finding;
mod goal;
mod health;
mod invariants;
mod money;
mod noisy;
mod queries;
mod rare;
mod saving;
mod select;
mod unknown;
mod volume;

use crate::criteria::{Ask, Criteria, Measure, Mode};
use crate::verdict::{Criterion, Outcome, Ruling, Savings, Verdict};
use crate::window::Window;

/// Version of these rules; grows whenever the same windows could get another verdict.
pub const JUDGE_VERSION: u32 = 4;

/// Judges an experiment on the windows that were stored of it.
///
/// `promote` only if every criterion that was asked for is known and met. Harm (a ledger that does
/// not balance, a panic of the candidate, a protected point lost) rejects however little was seen; a
/// goal or guardrail that is clearly missed rejects with enough windows; what voids the comparison,
/// and whatever is not clear, is inconclusive; nothing comparable at all is no data.
pub fn judge(criteria: &Criteria, windows: &[Window]) -> Verdict {
    let selection = select::select(criteria, windows);
    let of = |measure| saving::measure(criteria, &selection, measure, criteria.alpha);
    let (points, series) = (of(Measure::Points), of(Measure::Series));
    let (bytes, samples) = (of(Measure::Bytes), of(Measure::Samples));
    let mut found = vec![
        deaths::agents(criteria, &selection),
        invariants::windows(criteria, &selection),
        invariants::ledger(&selection),
        invariants::arms(criteria, &selection),
    ];
    let bake = criteria.ask == Ask::Bake;
    if criteria.mode == Mode::Split && !bake {
        found.push(division::sample_ratio(criteria, &selection));
    }
    found.extend([
        health::panics(criteria, &selection),
        exports::export_errors(criteria, &selection),
        rare::refused_requests(criteria, &selection),
        health::memory(criteria, &selection),
    ]);
    if !bake {
        found.extend([
            noisy::cpu(criteria, &selection),
            noisy::latency(criteria, &selection),
        ]);
    }
    found.extend([
        fidelity::protected_points(criteria, &selection),
        fidelity::protected_series(criteria, &selection),
        fidelity::identity(&selection),
    ]);
    found.extend(queries::queries(criteria, &selection));
    match criteria.ask {
        Ask::Goal | Ask::Guardrails => found.push(match criteria.goal.saving {
            Measure::Points => goal::goal(criteria, &selection, &points),
            Measure::Series => goal::goal(criteria, &selection, &series),
            Measure::Bytes => goal::goal(criteria, &selection, &bytes),
            Measure::Samples => goal::goal(criteria, &selection, &samples),
            Measure::Money => money::goal(criteria, &selection),
        }),
        Ask::Aa => {
            let of = |measure: Measure, measured| (measure.name(), measured);
            let mut all = vec![of(Measure::Points, &points), of(Measure::Series, &series)];
            // Both are not known of agents that do not count them, bytes only beside what is outside the comparison.
            let known = [(Measure::Bytes, &bytes), (Measure::Samples, &samples)];
            let known = known
                .into_iter()
                .filter(|(_, m)| m.saving.baseline.is_some());
            all.extend(known.map(|(measure, m)| of(measure, m)));
            found.push(aa::aa(criteria, &all));
        }
        Ask::Bake => {}
    }
    let savings = Savings {
        points: points.saving,
        series: series.saving,
        bytes: bytes.saving,
        samples: samples.saving,
    };
    let received: u64 = invariants::received(&selection).iter().sum();
    let enough = selection.windows.used >= u64::from(criteria.min_windows);
    let (outcome, reason) = conclude(criteria.ask, &found, received > 0, enough);
    Verdict {
        outcome,
        reason,
        harm: criteria.ask != Ask::Aa && found.iter().any(|c| c.outcome == Ruling::Harm),
        criteria: found,
        money: money::worth(criteria, &selection),
        savings,
        windows: selection.windows.clone(),
        judge_version: JUDGE_VERSION,
        asked: criteria.clone(),
    }
}

/// The reports that a verdict under these criteria compares, by window and agent.
pub fn comparable<'a>(criteria: &Criteria, windows: &'a [Window]) -> Vec<&'a Window> {
    select::select(criteria, windows).comparable().collect()
}

/// The outcome, and the reason of the criterion that decided it.
fn conclude(ask: Ask, found: &[Criterion], any_data: bool, enough: bool) -> (Outcome, String) {
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
    // Two arms that should be the same and are not: no more windows are needed to see it.
    if ask == Ask::Aa
        && let Some(differs) = found.last().filter(|c| c.outcome == Ruling::Fail)
    {
        return (Outcome::Reject, says(differs));
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
    let reason = match (ask, found.last()) {
        (Ask::Goal | Ask::Aa, Some(last)) => says(last),
        _ => "Nothing was harmed, and every guardrail is clear.".into(),
    };
    (Outcome::Promote, reason)
}
