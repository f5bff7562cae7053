//! One scenario, many times: judged after every window, as the driver does.

use super::scenarios::Scenario;
use super::worlds::Fleet;
use phoenix_analysis::{Outcome, Window, judge};

/// What came of the experiments of a scenario.
#[derive(Debug, Clone, Default)]
pub struct Result {
    pub experiments: u64,
    pub promoted: u64,
    pub rejected: u64,
    pub inconclusive: u64,
    pub no_data: u64,
    /// Windows that each decided experiment had seen, sorted.
    pub windows: Vec<u64>,
}

impl Result {
    pub fn share(&self, count: u64) -> f64 {
        count as f64 / self.experiments.max(1) as f64
    }

    /// Windows within which this share of the decided ones was decided.
    pub fn within(&self, share: f64) -> Option<u64> {
        let last = self.windows.len().checked_sub(1)?;
        self.windows
            .get((last as f64 * share).round() as usize)
            .copied()
    }
}

pub fn run(scenario: &Scenario, count: u64) -> Result {
    let mut result = Result {
        experiments: count,
        ..Result::default()
    };
    for n in 0..count {
        let seed = (scenario.number as u64 + 1) * 1_000_003 + n * 7_919;
        let (outcome, slot) = experiment(scenario, seed);
        match outcome {
            Outcome::Promote => result.promoted += 1,
            Outcome::Reject => result.rejected += 1,
            Outcome::Inconclusive => result.inconclusive += 1,
            Outcome::NoData => result.no_data += 1,
        }
        if outcome.is_decided() {
            result.windows.push(slot);
        }
    }
    result.windows.sort_unstable();
    result
}

/// The outcome, and how many windows (without the warm-up) had been seen.
fn experiment(scenario: &Scenario, seed: u64) -> (Outcome, u64) {
    let world = &scenario.world;
    let mut fleet = Fleet::new(world, seed);
    let mut criteria = world.criteria();
    let mut windows: Vec<Window> = Vec::new();
    for slot in 0..=world.windows {
        windows.extend(fleet.window(slot));
        criteria.until_ms = Some(1_000_000 + (slot + 1) * criteria.window_ms);
        criteria.closed = slot == world.windows;
        let outcome = judge(&criteria, &windows).outcome;
        let ends = match outcome {
            Outcome::Reject => true,
            Outcome::Promote => !world.dwells,
            _ => false,
        };
        if ends || criteria.closed {
            return (outcome, slot);
        }
    }
    unreachable!("the last window closes it")
}
