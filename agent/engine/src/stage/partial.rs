//! What the stages of one worker and of worker 0 hand each other at an edge.
//!
//! Stages that decide series by series close on every worker. What speaks for the node is merged, and
//! decided, by worker 0 alone: it takes a [`Partial`] of every other worker and gives a [`Decision`]
//! back. A stage that decides at the merge adds an arm to both.

use super::{Closing, Running, State};
use crate::Nanos;
use crate::aggregate::{Partials, Written};
use hashbrown::HashSet;

/// What one stage of another worker gives to worker 0 at an edge.
#[derive(Debug, Default)]
pub enum Partial {
    /// Nothing: the stage closes where its series are.
    #[default]
    None,
    /// The closed windows of an aggregation.
    Aggregate(Partials),
}

/// What worker 0 has decided for one stage, for the other workers' next point.
#[derive(Debug, Clone, Default)]
pub enum Decision {
    /// Nothing.
    #[default]
    None,
    /// Identities of outputs that an aggregation has begun to write: a series of the same identity
    /// that passes on another worker is a conflict.
    Outputs(Vec<u128>),
}

/// What becomes of closed windows of an aggregation.
#[derive(Debug, Default)]
pub enum Hand {
    /// They are written at once: a worker alone.
    #[default]
    Alone,
    /// They go to worker 0, by stage.
    Give(Vec<Partial>),
    /// They are written with those of the other workers: by worker, then by stage.
    Take(Vec<Vec<Partial>>),
}

impl Hand {
    /// Keeps what a stage gives.
    fn give(&mut self, stage: usize, partial: Partial) {
        if let Hand::Give(list) = self {
            list.resize_with(list.len().max(stage + 1), Partial::default);
            list[stage] = partial;
        }
    }

    /// What the others gave of a stage.
    fn take(&mut self, stage: usize) -> Vec<Partial> {
        let Hand::Take(workers) = self else {
            return Vec::new();
        };
        let of = |list: &mut Vec<Partial>| list.get_mut(stage).map(std::mem::take);
        workers.iter_mut().filter_map(of).collect()
    }

    /// Points that nobody took: the arm that they were for has ended here.
    pub fn left(&self) -> u64 {
        let Hand::Take(workers) = self else {
            return 0;
        };
        let of = |partial: &Partial| match partial {
            Partial::None => 0,
            Partial::Aggregate(partials) => partials.absorbed(),
        };
        workers.iter().flatten().map(of).sum()
    }
}

/// Outputs of this stage that concern other workers.
#[derive(Debug, Default)]
pub struct Abroad {
    /// Worker 0: those that have begun since the last decision.
    pub begun: Vec<u128>,
    /// Other workers: those that worker 0 writes. Not forgotten before the stage ends: a series that
    /// passes where an output once was is told as a conflict rather than missed.
    pub written: HashSet<u128>,
}

impl Abroad {
    /// Notes what worker 0 has begun to write, of at most `limit` outputs.
    pub fn note(&mut self, outputs: &[u128], limit: usize) {
        let room = limit.saturating_sub(self.written.len());
        self.written.extend(outputs.iter().take(room));
    }
}

impl Running {
    /// As [`Running::close`], with a hand for what is merged elsewhere, or from elsewhere.
    pub fn close_by(
        &mut self,
        number: usize,
        (now, how): (Nanos, Closing),
        hand: &mut Hand,
        written: &mut Written,
    ) -> Nanos {
        match (&mut self.state, &hand) {
            (State::Aggregate(aggregation), Hand::Give(_)) => {
                let mut partials = Partials::default();
                let time = aggregation.close_partials(how, now, &mut partials);
                self.tally.closed += partials.absorbed();
                hand.give(number, Partial::Aggregate(partials));
                time
            }
            (State::Aggregate(aggregation), Hand::Take(_)) => {
                let of = |partial| match partial {
                    Partial::Aggregate(partials) => Some(partials),
                    Partial::None => None,
                };
                let others = hand.take(number).into_iter().filter_map(of).collect();
                aggregation.close_with(how, now, others, written)
            }
            _ => self.close(now, how, written),
        }
    }

    /// What worker 0 has decided for the other workers since the last time.
    pub fn decision(&mut self) -> Decision {
        let begun = std::mem::take(&mut self.abroad.begun);
        if begun.is_empty() {
            Decision::None
        } else {
            Decision::Outputs(begun)
        }
    }
}
