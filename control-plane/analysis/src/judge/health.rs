//! Second: what the candidate does to the agent. Unknown stays unknown and never counts as met.

use super::finding::finding;
use super::select::Selection;
use crate::criteria::{Ask, Criteria, Mode};
use crate::verdict::{Criterion, Ruling};
use serde_json::json;
use std::collections::BTreeMap;

pub fn panics(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
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
    } else if baseline > 0 && criteria.ask != Ask::Bake {
        (
            Ruling::Void,
            format!("The baseline panicked {baseline} times: nothing to compare with."),
        )
    } else {
        (Ruling::Pass, "No arm panicked.".into())
    };
    finding("panics", ruling, reason, figures)
}

/// Largest memory of each agent that runs the candidate against what it had before; the worst one counts.
pub fn memory(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let mut peaks: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    let runs = |w: &&crate::window::Window| {
        criteria.mode != Mode::Nodes || selection.candidates.contains(w.agent.as_str())
    };
    for window in selection.comparable().filter(runs) {
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
    let peak = peak.and_then(|p| p.into_iter().max());
    let (most, size) = (
        criteria.guardrails.max_rss_ratio,
        criteria.guardrails.max_rss_bytes,
    );
    let figures = json!({ "peakBytes": peak, "ratio": ratio, "limit": most, "limitBytes": size });
    let found = [
        against(
            ratio,
            most,
            |r| format!("{r:.2} times what it was before"),
            |limit| format!("{limit} times"),
        ),
        against(
            peak.map(|p| p as f64),
            size.map(|s| s as f64),
            |p| format!("{p:.0} bytes"),
            |limit| format!("{limit:.0} bytes"),
        ),
    ];
    let asked: Vec<String> = [
        most.map(|limit| format!("at most {limit:.2} times")),
        size.map(|limit| format!("at most {limit} bytes")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let worst = [Ruling::Fail, Ruling::Unknown, Ruling::Pass]
        .into_iter()
        .find_map(|ruling| found.iter().find(|(r, _)| *r == ruling));
    let (ruling, reason) = worst.unwrap_or(&found[0]).clone();
    finding("memory", ruling, reason, figures).against(asked.join(", "))
}

/// One limit of memory.
fn against(
    measured: Option<f64>,
    limit: Option<f64>,
    told: impl Fn(f64) -> String,
    allowed: impl Fn(f64) -> String,
) -> (Ruling, String) {
    match (measured, limit) {
        (None, None) => (
            Ruling::NotAsked,
            "Memory is not known; no limit was set.".to_string(),
        ),
        (Some(m), None) => (
            Ruling::NotAsked,
            format!("Memory is {}; no limit was set.", told(m)),
        ),
        (None, Some(limit)) => (
            Ruling::Unknown,
            format!(
                "Memory is not known, so the limit of {} cannot be checked.",
                allowed(limit)
            ),
        ),
        (Some(m), Some(limit)) if m > limit => (
            Ruling::Fail,
            format!("Memory is {}, more than {}.", told(m), allowed(limit)),
        ),
        (Some(m), Some(limit)) => (
            Ruling::Pass,
            format!("Memory is {}, {} allowed.", told(m), allowed(limit)),
        ),
    }
}
