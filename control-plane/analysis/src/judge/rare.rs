//! What is rare: failed exports and refused requests, counted against limits.
//!
//! Exports fail in bursts and for reasons that both arms share, so a candidate is only blamed for what it
//! has beyond the baseline, and the evidence is an exact sign test over reports in which the arms differ,
//! not over failures. It is a martingale, so it holds however often one looks.

use super::finding::finding;
use super::select::Selection;
use crate::criteria::{Ask, Criteria, Mode};
use crate::stats::binomial_evidence;
use crate::verdict::{Criterion, Ruling};
use crate::window::{Arm, Window};
use serde_json::json;

/// Failures of both arms where they were compared, and how many exporters could fail.
#[derive(Debug, Clone, Copy, Default)]
struct Both {
    failures: [u64; 2],
    exporters: [u64; 2],
}

impl Both {
    fn add(&mut self, index: usize, failures: u64, exporters: u64) {
        if let (Some(f), Some(e)) = (self.failures.get_mut(index), self.exporters.get_mut(index)) {
            *f += failures;
            *e += exporters;
        }
    }

    fn plus(&mut self, other: Both) {
        for (index, (failures, exporters)) in
            other.failures.into_iter().zip(other.exporters).enumerate()
        {
            self.add(index, failures, exporters);
        }
    }
}

pub fn export_errors(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let limit = criteria.guardrails.max_export_errors;
    let all = || selection.all.iter();
    let of_agents: u64 = all().map(|w| w.export_errors).sum();
    let known = |pick: fn(&Window) -> Option<&Arm>| -> Option<u64> {
        let arms = all().filter_map(|w| pick(w));
        let count: Option<Vec<u64>> = arms.map(|a| a.export_errors).collect();
        count.map(|c| c.iter().sum())
    };
    let name = "export errors";
    match (criteria.ask, criteria.mode) {
        (Ask::Bake, _) => {
            let count = known(Window::candidate_arm).unwrap_or(of_agents);
            counted(name, "failed exports", count, limit)
        }
        // What leaves the node is the baseline's: nothing of the candidate was exported.
        (_, Mode::Shadow) if known(Window::baseline_arm).is_some() => shadow(of_agents, limit),
        (_, Mode::Shadow) => counted(name, "failed exports", of_agents, limit),
        _ => match (
            known(Window::baseline_arm),
            known(Window::candidate_arm),
            limit,
        ) {
            (Some(_), Some(_), Some(limit)) => beyond(criteria, selection, limit),
            _ => counted(name, "failed exports", of_agents, limit),
        },
    }
}

fn shadow(of_agents: u64, limit: Option<u64>) -> Criterion {
    let figures = json!({ "ofAgents": of_agents, "limit": limit });
    let reason = format!(
        "{of_agents} exports failed, none of them of the candidate: a shadow candidate exports nothing."
    );
    finding("export errors", Ruling::NotAsked, reason, figures)
}

/// Failures of the candidate beyond the baseline's.
fn beyond(criteria: &Criteria, selection: &Selection<'_>, limit: u64) -> Criterion {
    let units = units(criteria, selection);
    let mut total = Both::default();
    units.iter().for_each(|u| total.plus(*u));
    let [baselines, candidates] = total.exporters.map(|n| n as f64);
    let scale = if baselines > 0.0 {
        candidates / baselines
    } else {
        1.0
    };
    let over = |u: &Both| u.failures[1] as f64 - u.failures[0] as f64 * scale;
    let excess = over(&total);
    let (more, fewer) = units.iter().fold((0, 0), |(more, fewer), unit| {
        let off = over(unit);
        (more + u64::from(off > 0.0), fewer + u64::from(off < 0.0))
    });
    // By node: the arm with more nodes has more occasions to fail.
    let chance = (candidates / (baselines + candidates).max(1.0)).clamp(0.5, 0.99);
    let evidence = binomial_evidence(more, fewer, chance);
    let [baseline, candidate] = total.failures;
    let figures = json!({
        "baseline": baseline, "candidate": candidate, "excess": excess, "limit": limit,
        "reportsWithMore": more, "reportsWithFewer": fewer, "evidence": evidence,
        "evidenceNeeded": 1.0 / criteria.alpha,
    });
    let counts = format!("{candidate} exports of the candidate failed, {baseline} of the baseline");
    let (ruling, reason) = if excess <= limit as f64 {
        (Ruling::Pass, format!("{counts}; {limit} more are allowed."))
    } else if evidence >= 1.0 / criteria.alpha {
        (
            Ruling::Fail,
            format!(
                "{counts}: {excess:.0} more than its share, where {limit} are allowed, and no chance \
                 ({more} reports with more, {fewer} with fewer)."
            ),
        )
    } else {
        (
            Ruling::Unknown,
            format!(
                "{counts}: more than the {limit} allowed, and it can be chance ({more} reports with more, \
                 {fewer} with fewer)."
            ),
        )
    };
    finding("export errors", ruling, reason, figures)
        .against(format!("at most {limit} beyond the baseline's"))
}

/// Reports, or by node windows of the fleet, in which both arms can be held against each other.
fn units(criteria: &Criteria, selection: &Selection<'_>) -> Vec<Both> {
    let of = |reports: &[&Window]| {
        let mut both = Both::default();
        for (name, arm) in reports.iter().flat_map(|w| w.arms()) {
            let index = usize::from(name == "candidate");
            let runs = criteria.mode != Mode::Nodes || arm.ledger.received > 0;
            both.add(index, arm.export_errors.unwrap_or(0), u64::from(runs));
        }
        both
    };
    match criteria.mode {
        Mode::Nodes => selection.used.values().map(|reports| of(reports)).collect(),
        _ => selection.comparable().map(|report| of(&[report])).collect(),
    }
}

pub fn refused_requests(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let count = selection.all.iter().map(|w| w.requests_refused).sum();
    let limit = criteria.guardrails.max_refused_requests;
    counted("refused requests", "refused requests", count, limit)
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
    let asked = limit.map_or(String::new(), |limit| format!("at most {limit}"));
    finding(name, ruling, reason, figures).against(asked)
}
