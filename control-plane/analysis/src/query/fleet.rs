//! Partials of all agents as one fleet's, step by step.
//!
//! An agent takes part in a step where its window is comparable and both of its arms were evaluated
//! whole: so both sums are over the same agents, whoever is missing.

use crate::window::{Arm, Window};
use phoenix_engine::query::partial::{Labels, Partial, Partials, Volume};
use std::collections::{BTreeMap, BTreeSet};

/// Steps that one report can vouch for: a day of seconds. An agent's report is not trusted to be finite.
const MOST_STEPS: usize = 100_000;

/// One arm's groups by innermost aggregation and end of step.
pub type Steps = BTreeMap<u32, BTreeMap<u64, BTreeMap<Labels, Partial>>>;

/// What both arms of the fleet wrote.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// Length of a step.
    pub step_ms: u64,
    /// Ends of steps that are known.
    pub known: BTreeSet<u64>,
    /// Baseline and candidate.
    pub arms: [Steps; 2],
    /// Innermost aggregations that some agent did not evaluate, and why.
    pub unchecked: BTreeMap<u32, String>,
    /// Points that came after their step had closed.
    pub late: u64,
    /// By end of step, where every agent counted it.
    pub volume: BTreeMap<u64, Volume>,
}

/// What one process of an agent told.
#[derive(Default)]
struct Told<'a> {
    whole: Vec<(u64, u64)>,
    partials: Vec<[(&'a Partials, &'a [String]); 2]>,
}

impl Fleet {
    /// Merges reports. `asked`: keys of the innermost aggregations by their place; `all`: every report, each once;
    /// `comparable`: those whose windows are compared.
    pub fn of<'a>(
        step_ms: u64,
        asked: &[String],
        all: impl Iterator<Item = &'a Window>,
        comparable: impl Iterator<Item = &'a Window>,
    ) -> Fleet {
        let mut fleet = Fleet {
            step_ms,
            ..Fleet::default()
        };
        let mut told: BTreeMap<(&str, &str), Told<'_>> = BTreeMap::new();
        for window in all {
            let of = |arm: &'a Option<Arm>| {
                let arm = arm.as_ref()?;
                Some((arm.queries.as_ref()?, arm.query_keys.as_slice()))
            };
            if let (Some(one), Some(other)) = (of(&window.baseline), of(&window.candidate)) {
                let (a, b) = (one.0, other.0);
                let own = told
                    .entry((&window.agent, &window.incarnation))
                    .or_default();
                own.partials.push([one, other]);
                own.whole
                    .push((a.from_ms.max(b.from_ms), a.until_ms.min(b.until_ms)));
            }
        }
        let mut taken: BTreeSet<(&str, &str, u64)> = BTreeSet::new();
        for window in comparable {
            let key = (window.agent.as_str(), window.incarnation.as_str());
            let Some(own) = told.get(&key) else { continue };
            let whole =
                |(from, until): &(u64, u64)| *from < window.end_ms && window.end_ms <= *until;
            if own.whole.iter().any(whole) {
                fleet.known.insert(window.end_ms);
                taken.insert((key.0, key.1, window.end_ms));
            }
        }
        for ((agent, incarnation), own) in &told {
            for (side, (partials, keys)) in
                own.partials.iter().flat_map(|pair| pair.iter().enumerate())
            {
                let taken = |end| taken.contains(&(*agent, *incarnation, end));
                fleet.add(side, partials, (asked, keys), taken);
            }
        }
        fleet
    }

    /// What one arm wrote: steps of which every agent told that writes at all. An agent is one from its first
    /// window on; `expected` are those that write from the beginning. Only `arms[side]` is filled.
    pub fn whole(
        step_ms: u64,
        side: usize,
        windows: &[Window],
        expected: &BTreeSet<String>,
    ) -> Fleet {
        let mut fleet = Fleet {
            step_ms,
            ..Fleet::default()
        };
        let mut since: BTreeMap<&str, u64> = expected.iter().map(|a| (a.as_str(), 0)).collect();
        let mut told: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        let mut volume: BTreeMap<u64, (usize, Volume)> = BTreeMap::new();
        for window in windows {
            let first = since.entry(&window.agent).or_insert(window.start_ms);
            *first = window.start_ms.min(*first);
            let (own, other) = match side {
                0 => (&window.baseline, &window.candidate),
                _ => (&window.candidate, &window.baseline),
            };
            // Of nodes compared with each other some have only one arm: nothing is written by the other.
            let writes = own.is_some();
            let arm = own.as_ref().or(other.as_ref());
            let Some(found) = arm.and_then(|arm| arm.queries.as_ref()) else {
                continue;
            };
            let ends = (found.from_ms..found.until_ms)
                .step_by(step_ms.max(1) as usize)
                .take(MOST_STEPS)
                .map(|start| start.saturating_add(step_ms));
            told.entry(&window.agent).or_default().extend(ends);
            for of in &found.volume {
                let (agents, sum) = volume.entry(of.end_ms).or_default();
                *agents += 1;
                sum.series += if writes { of.series } else { 0 };
                sum.samples += if writes { of.samples } else { 0 };
            }
            if writes {
                fleet.add(side, found, (&[], &[]), |_| true);
            }
        }
        let all: BTreeSet<u64> = told.values().flatten().copied().collect();
        let writing = |end: u64| since.iter().filter(move |(_, since)| **since < end);
        let whole = |end: &u64| {
            writing(*end).all(|(agent, _)| told.get(agent).is_some_and(|told| told.contains(end)))
        };
        fleet.known = all.into_iter().filter(whole).collect();
        for end in &fleet.known {
            let counted = volume.remove(end);
            if let Some((_, sum)) = counted.filter(|(n, _)| *n == writing(*end).count()) {
                fleet.volume.insert(*end, sum);
            }
        }
        fleet
    }

    /// `keys`: what the judge asks, and what the agent was asked, each by its place.
    fn add(
        &mut self,
        side: usize,
        partials: &Partials,
        (asked, keys): (&[String], &[String]),
        taken: impl Fn(u64) -> bool,
    ) {
        let place = |theirs: u32| match keys.get(theirs as usize) {
            // Not said: the lists are one.
            None => keys.is_empty().then_some(theirs),
            Some(key) => (0u32..).zip(asked).find(|(_, k)| *k == key).map(|(n, _)| n),
        };
        self.late += partials.late;
        for (inner, why) in &partials.unchecked {
            if let Some(inner) = place(*inner) {
                self.unchecked.entry(inner).or_insert_with(|| why.clone());
            }
        }
        for (inner, key) in (0u32..).zip(asked) {
            if !keys.is_empty() && !keys.contains(key) {
                let why = "the agents were not asked for it".to_owned();
                self.unchecked.entry(inner).or_insert(why);
            }
        }
        let Some(arm) = self.arms.get_mut(side) else {
            return;
        };
        for step in partials.steps.iter().filter(|step| taken(step.end_ms)) {
            let Some(inner) = place(step.inner) else {
                continue;
            };
            let of = arm.entry(inner).or_default();
            let groups = of.entry(step.end_ms).or_default();
            for group in &step.groups {
                groups
                    .entry(group.labels.clone())
                    .or_default()
                    .merge(&group.value);
            }
        }
    }
}
