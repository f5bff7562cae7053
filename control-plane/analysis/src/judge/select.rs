//! Which reports can be compared: stored once, complete, of the right arms, and not void.

use crate::criteria::Criteria;
use crate::verdict::{Reports, Windows};
use crate::window::Window;
use std::collections::{BTreeMap, BTreeSet};

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
    let reasons = void_reasons(criteria, &all);
    let mut used: BTreeMap<(u64, u64), Vec<&'a Window>> = BTreeMap::new();
    let mut reports = Reports::default();
    for (window, reason) in all.iter().zip(&reasons) {
        if reason.is_empty() {
            reports.used += 1;
            used.entry((window.start_ms, window.end_ms))
                .or_default()
                .push(window);
        } else {
            *reports.void.entry(reason.clone()).or_default() += 1;
        }
    }
    let slots: BTreeSet<u64> = all.iter().map(|w| w.start_ms).collect();
    let used_slots: BTreeSet<u64> = used.keys().map(|(start, _)| *start).collect();
    let (missing, silent) = missing(criteria, &all);
    reports.missing = missing;
    let windows = Windows {
        used: used_slots.len() as u64,
        void: (slots.len() - used_slots.len()) as u64,
        expected: span(criteria, &all, &slots, None).max(slots.len() as u64),
        reports,
        from_ms: used.keys().map(|k| k.0).min(),
        until_ms: used.keys().map(|k| k.1).max(),
    };
    Selection {
        all,
        used,
        windows,
        silent,
    }
}

/// Each report once. The store keeps the first; where a file holds two that differ, one is chosen by
/// its content, so that the order of the file does not matter.
fn unique(windows: &[Window]) -> Vec<&Window> {
    let newest = windows.iter().map(|w| w.revision).max().unwrap_or(0);
    let mut by_key: BTreeMap<(u64, &str, &str), &Window> = BTreeMap::new();
    for window in windows.iter().filter(|w| w.revision == newest) {
        by_key
            .entry((window.start_ms, &window.agent, &window.incarnation))
            .and_modify(|kept| {
                if *kept != window && content(window) < content(kept) {
                    *kept = window;
                }
            })
            .or_insert(window);
    }
    by_key.into_values().collect()
}

fn content(window: &Window) -> String {
    serde_json::to_string(window).unwrap_or_default()
}

/// Why each report is void; empty: comparable. A void window is void for both arms.
fn void_reasons(criteria: &Criteria, all: &[&Window]) -> Vec<String> {
    let mut first: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut reasons: Vec<String> = Vec::with_capacity(all.len());
    for window in all {
        // An arm's first window is warm-up, also where the agent did not say so.
        let first = *first
            .entry((&window.agent, &window.incarnation))
            .or_insert(window.start_ms);
        reasons.push(void_reason(criteria, window, first).to_string());
    }
    // Two processes of one agent in one window: neither saw all of it.
    let mut seen: BTreeMap<(u64, &str), usize> = BTreeMap::new();
    for (i, window) in all.iter().enumerate() {
        if let Some(other) = seen.insert((window.start_ms, &window.agent), i) {
            for j in [i, other] {
                if let Some(reason) = reasons.get_mut(j).filter(|r| r.is_empty()) {
                    *reason = "restart".into();
                }
            }
        }
    }
    reasons
}

fn void_reason<'w>(criteria: &Criteria, window: &'w Window, first: u64) -> &'w str {
    if !window.void_reason.is_empty() {
        return &window.void_reason;
    }
    let (Some(baseline), Some(candidate)) = (&window.baseline, &window.candidate) else {
        return "an arm is missing";
    };
    if window.start_ms == first {
        return "warm-up";
    }
    if window.end_ms.checked_sub(window.start_ms) != Some(criteria.window_ms) {
        return "another length";
    }
    let other = |asked: &Option<String>, ran: &str| asked.as_deref().is_some_and(|h| h != ran);
    if other(&criteria.baseline_hash, &baseline.hash)
        || other(&criteria.candidate_hash, &candidate.hash)
    {
        return "another pipeline";
    }
    ""
}

/// Reports that were expected of each agent and never came, and agents not heard of at all.
fn missing(criteria: &Criteria, all: &[&Window]) -> (u64, Vec<String>) {
    let mut seen: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for agent in &criteria.agents {
        seen.entry(agent).or_default();
    }
    for window in all {
        seen.entry(&window.agent)
            .or_default()
            .insert(window.start_ms);
    }
    let missing = seen
        .values()
        .map(|starts| {
            let first = starts.first().copied();
            span(criteria, all, starts, first).saturating_sub(starts.len() as u64)
        })
        .sum();
    let silent = seen
        .iter()
        .filter(|(_, starts)| starts.is_empty())
        .map(|(agent, _)| (*agent).to_string())
        .collect();
    (missing, silent)
}

/// Windows from `first` (or what was asked, or the first one seen) to the last one expected, or seen
/// where that is later.
fn span(criteria: &Criteria, all: &[&Window], starts: &BTreeSet<u64>, first: Option<u64>) -> u64 {
    let length = criteria.window_ms.max(1);
    let from = first
        .or(criteria.from_ms.map(|ms| ms.div_ceil(length) * length))
        .or_else(|| all.iter().map(|w| w.start_ms).min());
    let seen = starts.last().map(|start| start.saturating_add(length));
    // Where it was not said, the others tell how far this agent should have come.
    let expected = criteria
        .until_ms
        .or_else(|| all.iter().map(|w| w.end_ms).max());
    let until = expected.max(seen);
    match (from, until) {
        (Some(from), Some(until)) => until.saturating_sub(from) / length,
        _ => 0,
    }
}
