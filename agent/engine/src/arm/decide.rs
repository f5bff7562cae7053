//! Several workers: what worker 0 decides for an arm, and what an arm does with it.

use super::Arm;
use crate::Nanos;
use crate::ledger::Ledger;
use crate::series::Table;
use crate::stage::State;
use crate::stage::partial::Decision;

impl Arm {
    /// The first instant, at or after `now`, at which all workers can swap alike.
    pub fn swap_instant(&self, now: Nanos) -> Nanos {
        self.stages
            .iter()
            .fold(now, |at, running| match &running.state {
                State::Aggregate(aggregation) => aggregation.swap_instant(at),
                _ => at,
            })
    }

    /// What was decided for the other workers since the last time, by stage.
    pub fn decisions(&mut self) -> Vec<Decision> {
        let of = |running: &mut crate::stage::Running| running.decision();
        self.stages.iter_mut().map(of).collect()
    }

    /// Follows what worker 0 decided.
    pub fn decide(&mut self, decisions: &[Decision], node: &Table, limit: usize) {
        for (number, decision) in decisions.iter().enumerate() {
            match decision {
                Decision::None => {}
                Decision::Outputs(outputs) => {
                    let passing = outputs.iter().filter(|id| self.passes(node, **id)).count();
                    self.conflicts += passing as u64;
                    if let Some(running) = self.stages.get_mut(number) {
                        running.abroad.note(outputs, limit);
                    }
                }
            }
        }
    }

    /// Panics since the last cut.
    pub fn panics(&self) -> u64 {
        self.carried.panics
    }

    /// Points of other workers' windows that came when this arm had ended by a panic: they were
    /// counted as merged there.
    pub fn lose(&mut self, points: u64) {
        lose(&mut self.carried.ledger, points);
    }
}

/// Moves points that were counted as merged to those that a panic lost.
pub fn lose(ledger: &mut Ledger, points: u64) {
    if points > 0 {
        ledger.merged -= i64::try_from(points).unwrap_or(i64::MAX);
        *ledger.dropped.entry("panic".into()).or_default() += points;
    }
}
