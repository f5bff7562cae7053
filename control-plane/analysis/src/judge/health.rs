//! Second: what the candidate does to the agent. Unknown stays unknown and never counts as met.

use super::finding::finding;
use super::select::Selection;
use crate::criteria::Criteria;
use crate::verdict::{Criterion, Ruling};
use serde_json::json;
use std::collections::BTreeMap;

pub fn panics(selection: &Selection<'_>) -> Criterion {
    let count = |arm: &str| -> u64 {
        let arms = selection.all.iter().flat_map(|w| w.arms());
        arms.filter(|(name, _)| *name == arm)
            .map(|(_, a)| a.panics)
            .sum()
    };
    let (baseline, candidate) = (count("baseline"), count("candidate"));
    let figures = json!({ "baseline": baseline, "candidate": candidate });
    let (ruling, reason) = if candidate > 0 {
        (
            Ruling::Harm,
            format!("The candidate panicked {candidate} times."),
        )
    } else if baseline > 0 {
        (
            Ruling::Void,
            format!("The baseline panicked {baseline} times: nothing to compare with."),
        )
    } else {
        (Ruling::Pass, "No arm panicked.".into())
    };
    finding("panics", ruling, reason, figures)
}

pub fn export_errors(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let count = selection.all.iter().map(|w| w.export_errors).sum();
    counted(
        "export errors",
        "failed exports",
        count,
        criteria.guardrails.max_export_errors,
    )
}

pub fn refused_requests(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let count = selection.all.iter().map(|w| w.requests_refused).sum();
    counted(
        "refused requests",
        "refused requests",
        count,
        criteria.guardrails.max_refused_requests,
    )
}

fn counted(name: &str, what: &str, count: u64, limit: Option<u64>) -> Criterion {
    let figures = json!({ "count": count, "limit": limit });
    let (ruling, reason) = match limit {
        None => (
            Ruling::NotAsked,
            format!("{count} {what}; no limit was set."),
        ),
        Some(limit) if count > limit => (
            Ruling::Fail,
            format!("{count} {what}, more than the {limit} allowed."),
        ),
        Some(limit) => (Ruling::Pass, format!("{count} {what}, {limit} allowed.")),
    };
    finding(name, ruling, reason, figures)
}

/// Thread time of the candidate per point received, against the baseline's.
pub fn cpu(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let mut known = selection.windows.used > 0;
    let mut totals = [(0.0, 0u64); 2];
    for window in selection.comparable() {
        for ((_, arm), total) in window.arms().zip(&mut totals) {
            match arm.cpu_seconds {
                Some(seconds) => *total = (total.0 + seconds, total.1 + arm.ledger.received),
                None => known = false,
            }
        }
    }
    let [(baseline, b_points), (candidate, c_points)] = totals;
    let per_point = |seconds: f64, points: u64| (points > 0).then(|| seconds / points as f64);
    let ratio = match (
        per_point(baseline, b_points),
        per_point(candidate, c_points),
    ) {
        (Some(b), Some(c)) if known && b > 0.0 => Some(c / b),
        _ => None,
    };
    let shown = |seconds: f64| known.then_some(seconds);
    let figures = json!({
        "baseline_seconds": shown(baseline), "candidate_seconds": shown(candidate),
        "ratio": ratio, "limit": criteria.guardrails.max_cpu_ratio,
    });
    limited(
        "cpu",
        "CPU per point",
        ratio,
        criteria.guardrails.max_cpu_ratio,
        figures,
    )
}

/// Largest memory of each agent against what it had before; the worst agent counts.
pub fn memory(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let mut peaks: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for window in selection.comparable() {
        let peak = peaks.entry(&window.agent).or_insert(Some(0));
        *peak = match (*peak, window.rss_bytes) {
            (Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
    }
    let mut worst: Option<f64> = None;
    let mut known = !peaks.is_empty();
    for (agent, peak) in &peaks {
        match (peak, criteria.rss_before_bytes.get(*agent)) {
            (Some(peak), Some(before)) if *before > 0 => {
                let ratio = *peak as f64 / *before as f64;
                worst = Some(worst.map_or(ratio, |w| w.max(ratio)));
            }
            _ => known = false,
        }
    }
    let ratio = worst.filter(|_| known);
    let peak = peaks.values().copied().collect::<Option<Vec<u64>>>();
    let figures = json!({
        "peak_bytes": peak.and_then(|p| p.into_iter().max()),
        "ratio": ratio, "limit": criteria.guardrails.max_rss_ratio,
    });
    limited(
        "memory",
        "Memory",
        ratio,
        criteria.guardrails.max_rss_ratio,
        figures,
    )
}

fn limited(
    name: &str,
    what: &str,
    ratio: Option<f64>,
    limit: Option<f64>,
    figures: serde_json::Value,
) -> Criterion {
    let (ruling, reason) = match (ratio, limit) {
        (None, None) => (
            Ruling::NotAsked,
            format!("{what} is not known; no limit was set."),
        ),
        (Some(r), None) => (
            Ruling::NotAsked,
            format!("{what} is {r:.2} times the baseline's; no limit was set."),
        ),
        (None, Some(limit)) => (
            Ruling::Unknown,
            format!("{what} is not known, so the limit of {limit} times cannot be checked."),
        ),
        (Some(r), Some(limit)) if r > limit => (
            Ruling::Fail,
            format!("{what} is {r:.2} times the baseline's, more than {limit}."),
        ),
        (Some(r), Some(limit)) => (
            Ruling::Pass,
            format!("{what} is {r:.2} times the baseline's, {limit} allowed."),
        ),
    };
    finding(name, ruling, reason, figures)
}
