//! Two accounts of the same: what agents say that an arm wrote, and what a backend that holds it answers.
//!
//! Both are compared window by window, and what is held against the tolerance are means over the windows: a
//! backend takes the ends of a range from what it has (it extrapolates), so that single answers lie
//! around the agents', and means lie on them. What is missing does not average out.

use crate::query::vector::Vector;
use phoenix_engine::query::partial::Labels;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Groups that are followed; with more nothing is compared.
pub const GROUPS: usize = 10_000;

/// Differences are taken against at least this share of the largest group's mean.
const FLOOR: f64 = 0.01;

/// Both accounts of one figure of one arm, window by window.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    groups: BTreeMap<Labels, Group>,
    windows: u64,
    too_many: bool,
}

#[derive(Debug, Clone, Default)]
struct Group {
    /// Windows in which both had a value, and its sums.
    both: u64,
    agents: f64,
    backend: f64,
    /// End of the last window in which the agents had one.
    last: Option<u64>,
    missing: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Found {
    /// Windows that were compared.
    pub windows: u64,
    /// Values that both had.
    pub values: u64,
    /// Values of the agents that the backend does not have. The first of a group does not count: a backend
    /// knows no rate of what has just begun.
    pub missing: u64,
    /// The group that differs most.
    pub worst: Option<Worst>,
    /// Something is beyond the tolerance.
    pub beyond: bool,
    /// There were more groups than are followed.
    pub too_many: bool,
}

/// One group of both accounts: means over the windows in which both have a value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// The group; empty: all in one.
    pub labels: Labels,
    /// Mean of the agents' account; `None`: the backend never had a value beside it.
    pub agents: Option<f64>,
    /// Mean of the backend's.
    pub backend: Option<f64>,
    /// Relative difference; `None`: not both are known, or one stands against nothing.
    pub error: Option<f64>,
}

impl Tally {
    /// Takes both accounts of the window of this length that ends then.
    pub fn add(&mut self, end_ms: u64, window_ms: u64, agents: &Vector, backend: &Vector) {
        self.windows += 1;
        for (labels, own) in agents.iter().filter(|(_, own)| own.is_finite()) {
            if !self.groups.contains_key(labels) && self.groups.len() >= GROUPS {
                self.too_many = true;
                continue;
            }
            let group = self.groups.entry(labels.clone()).or_default();
            match backend.get(labels).filter(|v| v.is_finite()) {
                Some(theirs) => {
                    group.both += 1;
                    group.agents += own;
                    group.backend += theirs;
                }
                None if group.last.is_some_and(|last| last + window_ms == end_ms) => {
                    group.missing += 1
                }
                None => {}
            }
            group.last = Some(end_ms);
        }
    }

    /// What is to be said of it.
    pub fn found(&self, tolerance: f64) -> Found {
        let mut found = Found {
            windows: self.windows,
            too_many: self.too_many,
            ..Found::default()
        };
        let groups = || self.groups.iter().filter(|(_, g)| g.both > 0);
        let largest = groups().map(|(_, g)| (g.agents / g.both as f64).abs());
        let floor = FLOOR * largest.fold(0.0, f64::max);
        let mut size = f64::NEG_INFINITY;
        for (labels, group) in groups() {
            let both = group.both as f64;
            let (agents, backend) = (group.agents / both, group.backend / both);
            let error = match agents == backend {
                true => 0.0,
                false => (backend - agents).abs() / agents.abs().max(floor),
            };
            found.beyond |= error.is_nan() || error > tolerance;
            if error.is_nan() || error > size {
                size = if error.is_nan() { f64::INFINITY } else { error };
                found.worst = Some(Worst {
                    labels: labels.clone(),
                    agents: Some(agents),
                    backend: Some(backend),
                    error: Some(error).filter(|e| e.is_finite()),
                });
            }
        }
        found.values = self.groups.values().map(|g| g.both).sum();
        found.missing = self.groups.values().map(|g| g.missing).sum();
        if found.missing as f64 > tolerance * (found.values + found.missing) as f64 {
            found.beyond = true;
            found.worst = self.most_missing().or(found.worst);
        }
        found
    }

    /// Of a group that the backend does not have, where it has others.
    fn most_missing(&self) -> Option<Worst> {
        let (labels, _) = self
            .groups
            .iter()
            .filter(|(_, g)| g.missing > 0)
            .max_by_key(|(_, g)| g.missing)?;
        Some(Worst {
            labels: labels.clone(),
            ..Worst::default()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn of(values: &[(&str, f64)]) -> Vector {
        let group = |k: &str| Labels::from([("k".to_string(), k.to_string())]);
        values.iter().map(|(k, v)| (group(k), *v)).collect()
    }

    fn tally(windows: &[(Vector, Vector)]) -> Found {
        let mut tally = Tally::default();
        for (at, (agents, backend)) in (1..).zip(windows) {
            tally.add(at * 10, 10, agents, backend);
        }
        tally.found(0.05)
    }

    #[test]
    fn what_lies_around_the_agents_account_agrees_and_what_lies_beside_it_does_not() {
        let around = [0.8, 1.2, 0.9, 1.1].map(|f| (of(&[("a", 10.0)]), of(&[("a", 10.0 * f)])));
        let found = tally(&around);
        assert!(!found.beyond, "{found:?}");
        assert_eq!((found.windows, found.values, found.missing), (4, 4, 0));
        let beside = [0.9, 0.94].map(|f| (of(&[("a", 10.0)]), of(&[("a", 10.0 * f)])));
        let found = tally(&beside);
        let worst = found.worst.unwrap();
        assert!(found.beyond);
        assert_eq!(worst.agents, Some(10.0));
        assert!((worst.backend.unwrap() - 9.2).abs() < 1e-9);
        assert!((worst.error.unwrap() - 0.08).abs() < 1e-9);
    }

    #[test]
    fn one_group_of_many_is_enough_and_a_small_one_is_held_against_the_large() {
        let agents = || of(&[("a", 1000.0), ("b", 100.0), ("c", 0.1)]);
        let same = [(agents(), of(&[("a", 1000.0), ("b", 100.0), ("c", 0.3)]))];
        assert!(!tally(&same).beyond);
        let one = [(agents(), of(&[("a", 1000.0), ("b", 50.0), ("c", 0.1)]))];
        let found = tally(&one);
        assert!(found.beyond);
        assert_eq!(found.worst.unwrap().labels["k"], "b");
    }

    #[test]
    fn what_the_backend_does_not_have_is_missing_but_for_the_first_of_a_group() {
        let some = || of(&[("a", 1.0), ("b", 1.0)]);
        let begins = [
            (some(), of(&[])),
            (some(), some()),
            (some(), some()),
            (some(), some()),
        ];
        assert!(!tally(&begins).beyond);
        let lost = [
            (some(), some()),
            (some(), of(&[("a", 1.0)])),
            (some(), of(&[("a", 1.0)])),
        ];
        let found = tally(&lost);
        assert!(found.beyond);
        assert_eq!(found.missing, 2);
        assert_eq!(found.worst.unwrap().labels["k"], "b");
        let never = [(some(), of(&[])), (some(), of(&[]))];
        assert!(tally(&never).beyond);
    }

    #[test]
    fn nothing_against_nothing_is_nothing_and_something_against_nothing_is_beyond() {
        let zero = of(&[("a", 0.0)]);
        assert!(!tally(&[(zero.clone(), zero.clone())]).beyond);
        let found = tally(&[(zero.clone(), of(&[("a", 1.0)]))]);
        assert!(found.beyond);
        assert_eq!(found.worst.unwrap().error, None);
        // Of a quotient without a denominator neither has a value.
        let none = of(&[("a", f64::NAN)]);
        assert_eq!(tally(&[(none.clone(), none)]).values, 0);
    }
}
