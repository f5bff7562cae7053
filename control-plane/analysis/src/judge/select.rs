//! Which reports can be compared: stored once, complete, of the right arms, and not void.

use crate::criteria::{Ask, Criteria, Mode};
use crate::verdict::{Reports, Windows};
use crate::window::{Arm, Window};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The windows of an experiment, sorted out. Nothing depends on the order of what was given.
#[derive(Debug)]
pub struct Selection<'a> {
    /// Every report once, by start, agent and incarnation: harm is looked for in all of them.
    pub all: Vec<&'a Window>,
    /// Comparable reports by window of the fleet.
    pub used: BTreeMap<(u64, u64), Vec<&'a Window>>,
    /// What the verdict says about windows.
    pub windows: Windows,
    /// Some agent that was expected has not been heard of at all.
    pub silent: Vec<String>,
    /// By node: what runs the candidate.
    pub candidates: BTreeSet<&'a str>,
    /// Agents with comparable reports.
    pub agents: usize,
}

impl<'a> Selection<'a> {
    /// Comparable reports, by window and agent.
    pub fn comparable(&self) -> impl Iterator<Item = &'a Window> + '_ {
        self.used.values().flatten().copied()
    }

    /// The comparable reports of each agent's process as runs of consecutive windows.
    pub fn runs(&self) -> Vec<Vec<&'a Window>> {
        let mut open: BTreeMap<(&str, &str), Vec<&'a Window>> = BTreeMap::new();
        let mut runs = Vec::new();
        for window in self.comparable() {
            let run = open
                .entry((window.agent.as_str(), window.incarnation.as_str()))
                .or_default();
            if run.last().is_some_and(|w| w.end_ms != window.start_ms) {
                runs.push(std::mem::take(run));
            }
            run.push(window);
        }
        runs.extend(open.into_values());
        runs
    }
}

/// Sorts the reports out.
pub fn select<'a>(criteria: &Criteria, windows: &'a [Window]) -> Selection<'a> {
    let all = unique(windows);
    let candidates = candidates(criteria, &all);
    let reasons = void_reasons(criteria, &all, &candidates);
    let mut used: BTreeMap<(u64, u64), Vec<&'a Window>> = BTreeMap::new();
    let mut reports = Reports::default();
    for (window, reason) in all.iter().zip(&reasons) {
        if reason.is_empty() {
            reports.used += 1;
            used.entry((window.start_ms, window.end_ms))
                .or_default()
                .push(window);
        } else {
            *reports.void.entry((*reason).to_string()).or_default() += 1;
        }
    }
    if criteria.mode == Mode::Nodes && criteria.ask != Ask::Bake {
        one_sided(&mut used, &mut reports, &candidates);
    }
    let slots: BTreeSet<u64> = all.iter().map(|w| w.start_ms).collect();
    let used_slots: BTreeSet<u64> = used.keys().map(|(start, _)| *start).collect();
    let agents: HashSet<&str> = used.values().flatten().map(|w| w.agent.as_str()).collect();
    let agents = agents.len();
    let (missing, silent) = missing(criteria, &all);
    reports.missing = missing;
    let windows = Windows {
        used: used_slots.len() as u64,
        void: (slots.len() - used_slots.len()) as u64,
        expected: span(criteria, &all, None, all.last().map(|w| w.start_ms), None)
            .max(slots.len() as u64),
        reports,
        from_ms: used.keys().map(|k| k.0).min(),
        until_ms: used.keys().map(|k| k.1).max(),
    };
    Selection {
        all,
        used,
        windows,
        silent,
        candidates,
        agents,
    }
}

/// The agents that run the candidate: as they were chosen, or else those whose candidate took points.
fn candidates<'a>(criteria: &Criteria, all: &[&'a Window]) -> BTreeSet<&'a str> {
    let took = |w: &Window| w.candidate_arm().is_some_and(|a| a.ledger.received > 0);
    let runs = |w: &Window| {
        if criteria.candidate_agents.is_empty() {
            took(w)
        } else {
            criteria.candidate_agents.contains(&w.agent)
        }
    };
    let of = all.iter().filter(|w| runs(w));
    of.map(|w| w.agent.as_str()).collect()
}

/// By node: a window in which only one of the arms was reported has nothing to compare.
fn one_sided(
    used: &mut BTreeMap<(u64, u64), Vec<&Window>>,
    reports: &mut Reports,
    candidates: &BTreeSet<&str>,
) {
    used.retain(|_, of| {
        let count = of.iter().filter(|w| candidates.contains(w.agent.as_str()));
        let both = !matches!(count.count(), n if n == 0 || n == of.len());
        if !both {
            reports.used -= of.len() as u64;
            *reports
                .void
                .entry("only one arm reported".into())
                .or_default() += of.len() as u64;
        }
        both
    });
}

/// Each report once. The store keeps the first; where a file holds two that differ, one is chosen by
/// its content, so that the order of the file does not matter.
fn unique(windows: &[Window]) -> Vec<&Window> {
    let newest = windows.iter().map(|w| w.revision).max().unwrap_or(0);
    let mut all: Vec<&Window> = windows.iter().filter(|w| w.revision == newest).collect();
    all.sort_by(|a, b| key(a).cmp(&key(b)));
    all.dedup_by(|next, kept| {
        let twice = key(next) == key(kept);
        if twice && *kept != *next && content(next) < content(kept) {
            *kept = next;
        }
        twice
    });
    all
}

fn key(window: &Window) -> (u64, &str, &str) {
    (window.start_ms, &window.agent, &window.incarnation)
}

fn content(window: &Window) -> String {
    serde_json::to_string(window).unwrap_or_default()
}

/// Why each report is void; empty: comparable. A void window is void for both arms. `all` is in order of
/// start, agent and incarnation.
fn void_reasons<'w>(
    criteria: &Criteria,
    all: &[&'w Window],
    candidates: &BTreeSet<&str>,
) -> Vec<&'w str> {
    let mut first: HashMap<(&str, &str), u64> = HashMap::new();
    let mut reasons: Vec<&'w str> = Vec::with_capacity(all.len());
    let mut before: Option<&Window> = None;
    for window in all {
        // An arm's first window is warm-up, also where the agent did not say so.
        let first = *first
            .entry((&window.agent, &window.incarnation))
            .or_insert(window.start_ms);
        let mut reason = void_reason(criteria, window, first, candidates);
        // Two processes of one agent in one window: neither saw all of it.
        if before.is_some_and(|w| (w.start_ms, &w.agent) == (window.start_ms, &window.agent)) {
            if let Some(other) = reasons.last_mut().filter(|r| r.is_empty()) {
                *other = "restart";
            }
            if reason.is_empty() {
                reason = "restart";
            }
        }
        reasons.push(reason);
        before = Some(window);
    }
    reasons
}

fn void_reason<'w>(
    criteria: &Criteria,
    window: &'w Window,
    first: u64,
    candidates: &BTreeSet<&str>,
) -> &'w str {
    if !window.void_reason.is_empty() {
        return &window.void_reason;
    }
    let candidate = candidates.contains(window.agent.as_str());
    let (needs_baseline, needs_candidate) = match (criteria.ask, criteria.mode) {
        (Ask::Bake, _) => (false, true),
        (_, Mode::Nodes) => (!candidate, candidate),
        _ => (true, true),
    };
    let lacks = |arm: &Option<Arm>, needed: bool| needed && arm.is_none();
    if lacks(&window.baseline, needs_baseline) || lacks(&window.candidate, needs_candidate) {
        return "an arm is missing";
    }
    let divided = criteria.mode == Mode::Split && criteria.ask != Ask::Bake;
    if divided && !criteria.candidate_agents.is_empty() && !candidate {
        return "baseline only";
    }
    if window.start_ms == first {
        return "warm-up";
    }
    if window.end_ms.checked_sub(window.start_ms) != Some(criteria.window_ms) {
        return "another length";
    }
    let other = |asked: &Option<String>, arm: &Option<Arm>, needed: bool| {
        let ran = arm.as_ref().filter(|_| needed);
        matches!((asked, ran), (Some(asked), Some(ran)) if *asked != ran.hash)
    };
    if other(&criteria.baseline_hash, &window.baseline, needs_baseline)
        || other(&criteria.candidate_hash, &window.candidate, needs_candidate)
    {
        return "another pipeline";
    }
    ""
}

/// Reports that were expected of each agent and never came, and agents not heard of at all.
fn missing(criteria: &Criteria, all: &[&Window]) -> (u64, Vec<String>) {
    let mut seen: BTreeMap<&str, Option<Seen>> = BTreeMap::new();
    for agent in &criteria.agents {
        seen.entry(agent).or_default();
    }
    for window in all {
        let start = window.start_ms;
        let seen = seen.entry(&window.agent).or_default();
        let seen = seen.get_or_insert(Seen {
            first: start,
            last: start,
            windows: 1,
        });
        // Two processes in one window are one report that came.
        if seen.last != start {
            (seen.last, seen.windows) = (start, seen.windows + 1);
        }
    }
    let missing = seen.iter().map(|(agent, seen)| {
        let left = criteria.left_ms.get(*agent).copied();
        let came = seen.map_or(0, |s| s.windows);
        let (first, last) = (seen.map(|s| s.first), seen.map(|s| s.last));
        span(criteria, all, first, last, left).saturating_sub(came)
    });
    // One that had the candidate and is silent since is a matter of its own.
    let away = |agent: &str| {
        let died = criteria.died.as_ref().and_then(|all| all.get(agent));
        criteria.left_ms.contains_key(agent) || died.is_some_and(|d| d.away)
    };
    let silent = seen
        .iter()
        .filter(|(agent, seen)| seen.is_none() && !away(agent))
        .map(|(agent, _)| (*agent).to_string());
    (missing.sum(), silent.collect())
}

/// Windows of which a report came: the first, the last, how many.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: u64,
    last: u64,
    windows: u64,
}

/// Windows from the first one seen (or what was asked) to the last one expected, or seen where that is
/// later; none is expected of an agent after it left.
fn span(
    criteria: &Criteria,
    all: &[&Window],
    first: Option<u64>,
    last: Option<u64>,
    left: Option<u64>,
) -> u64 {
    let length = criteria.window_ms.max(1);
    let from = first
        .or(criteria.from_ms.map(|ms| ms.div_ceil(length) * length))
        .or_else(|| all.first().map(|w| w.start_ms));
    let last = last.map(|start| start.saturating_add(length));
    // Where it was not said, the others tell how far this agent should have come.
    let expected = criteria
        .until_ms
        .or_else(|| all.iter().map(|w| w.end_ms).max())
        .map(|until| until.min(left.unwrap_or(u64::MAX)));
    match (from, expected.max(last)) {
        (Some(from), Some(until)) => until.saturating_sub(from) / length,
        _ => 0,
    }
}
