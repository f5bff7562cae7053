//! Several workers: what worker 0 decides for an arm, and what an arm does with it.

use super::close::{Moment, Out};
use super::{Arm, Around};
use crate::Nanos;
use crate::ledger::Ledger;
use crate::series::Table;
use crate::stage::partial::Decision;
use crate::stage::{Running, State};

impl Arm {
    /// The first instant, at or after `now`, at which all workers can swap alike.
    pub fn swap_instant(&self, now: Nanos) -> Nanos {
        let merging = self.stages.iter().filter_map(|s| s.state.aggregation());
        merging.fold(now, |at, aggregation| aggregation.swap_instant(at))
    }

    /// What was decided for the other workers since the last time, with the stage's number.
    pub fn decisions(&mut self) -> Vec<(usize, Decision)> {
        let numbered = self.stages.iter_mut().enumerate();
        let of = |(number, running): (usize, &mut Running)| {
            let decisions = running.decisions().into_iter();
            decisions.map(move |decision| (number, decision))
        };
        numbered.flat_map(of).collect()
    }

    /// Follows what worker 0 decided, stage after stage; what a stage writes for that goes on.
    pub fn decide(
        &mut self,
        decisions: &[(usize, Decision)],
        at: Moment,
        node: &Table,
        around: &mut Around<'_>,
        out: &mut Out,
    ) {
        let limit = around.settings.limits.series;
        for (number, decision) in decisions {
            if let Decision::Outputs(outputs) = decision {
                let passing = outputs.iter().filter(|id| self.passes(node, **id)).count();
                self.conflicts += passing as u64;
            }
            let Some(running) = self.stages.get_mut(*number) else {
                continue;
            };
            match (decision, &mut running.state) {
                (Decision::Outputs(outputs), _) => running.abroad.note(outputs, limit),
                (Decision::Stay(decided), State::Fold(fold)) => {
                    fold.follow(decided, &mut running.tally);
                }
                (Decision::Drop(dropped), State::Gate(gate)) => {
                    if let Some(idle) = gate.entities() {
                        idle.follow(dropped);
                    }
                }
                // A decision is of its stage's kind.
                (Decision::Stay(_) | Decision::Drop(_), _) => {}
            }
            self.release_folded(*number, at, node, around, out);
        }
        if !decisions.is_empty() {
            self.close_early(at, node, around, out);
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
