//! Partials of all agents as one fleet's, step by step.
//!
//! An agent takes part in a step where its window is comparable and both of its arms were evaluated
//! whole: so both sums are over the same agents, whoever is missing.

use crate::window::Window;
use phoenix_engine::query::partial::{Labels, Partial, Partials};
use std::collections::{BTreeMap, BTreeSet};

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
}

/// What one process of an agent told.
#[derive(Default)]
struct Told<'a> {
    whole: Vec<(u64, u64)>,
    partials: Vec<[&'a Partials; 2]>,
}

impl Fleet {
    /// Merges reports. `all`: every report, each once; `comparable`: those whose windows are compared.
    pub fn of<'a>(
        step_ms: u64,
        all: impl Iterator<Item = &'a Window>,
        comparable: impl Iterator<Item = &'a Window>,
    ) -> Fleet {
        let mut fleet = Fleet {
            step_ms,
            ..Fleet::default()
        };
        let mut told: BTreeMap<(&str, &str), Told<'_>> = BTreeMap::new();
        for window in all {
            let of = |arm: &'a Option<crate::window::Arm>| arm.as_ref()?.queries.as_ref();
            if let (Some(a), Some(b)) = (of(&window.baseline), of(&window.candidate)) {
                let own = told
                    .entry((&window.agent, &window.incarnation))
                    .or_default();
                own.partials.push([a, b]);
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
            for (side, partials) in own.partials.iter().flat_map(|pair| pair.iter().enumerate()) {
                let taken = |end| taken.contains(&(*agent, *incarnation, end));
                fleet.add(side, partials, taken);
            }
        }
        fleet
    }

    fn add(&mut self, side: usize, partials: &Partials, taken: impl Fn(u64) -> bool) {
        self.late += partials.late;
        for (inner, why) in &partials.unchecked {
            self.unchecked.entry(*inner).or_insert_with(|| why.clone());
        }
        let Some(arm) = self.arms.get_mut(side) else {
            return;
        };
        for step in partials.steps.iter().filter(|step| taken(step.end_ms)) {
            let of = arm.entry(step.inner).or_default();
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
