//! What the stages of one worker and of worker 0 hand each other at an edge.
//!
//! Stages that decide series by series close on every worker. What speaks for the node is merged, and
//! decided, by worker 0 alone: it takes a [`Partial`] of every other worker and gives a [`Decision`]
//! back. A stage that decides at the merge adds an arm to both.

use super::filter::agree::{Dropped, Heard};
use super::fold::edge::{Decided, Given};
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
    /// Of a `topk` or `limit`.
    Fold(Box<Given>),
    /// Of a filter of whole entities.
    Entities(Box<Heard>),
}

/// What worker 0 has decided for one stage, for the other workers' next point.
#[derive(Debug, Clone)]
pub enum Decision {
    /// Identities of outputs that an aggregation has begun to write: a series of the same identity
    /// that passes on another worker is a conflict.
    Outputs(Vec<u128>),
    /// Who stays from here on.
    Stay(Decided),
    /// Which entities are dropped until the next edge.
    Drop(Dropped),
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
            Partial::None | Partial::Entities(_) => 0,
            Partial::Aggregate(partials) => partials.absorbed(),
            Partial::Fold(given) => given.other.absorbed(),
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
    /// As [`Running::close`], with a hand for what is merged elsewhere, or from elsewhere. `expiry`:
    /// who was silent for longer has vanished.
    pub fn close_by(
        &mut self,
        number: usize,
        (now, how, expiry): (Nanos, Closing, Nanos),
        hand: &mut Hand,
        written: &mut Written,
    ) -> Nanos {
        match hand {
            Hand::Alone => self.close(now, how, written),
            Hand::Give(_) => self.give(number, (now, how), hand, written),
            Hand::Take(_) => {
                let others = hand.take(number);
                self.merge((now, how, expiry), others, written)
            }
        }
    }

    fn give(
        &mut self,
        number: usize,
        (now, how): (Nanos, Closing),
        hand: &mut Hand,
        written: &mut Written,
    ) -> Nanos {
        match &mut self.state {
            State::Aggregate(aggregation) => {
                let mut partials = Partials::default();
                let time = aggregation.close_partials(how, now, &mut partials);
                self.tally.closed += partials.absorbed();
                hand.give(number, Partial::Aggregate(partials));
                time
            }
            State::Fold(fold) => {
                let (given, time) = fold.give(now, how);
                self.tally.closed += given.other.absorbed();
                hand.give(number, Partial::Fold(Box::new(given)));
                time
            }
            State::Gate(gate) => {
                let heard = gate.entities().and_then(|idle| idle.tell(now));
                if let Some(heard) = heard {
                    hand.give(number, Partial::Entities(Box::new(heard)));
                }
                now
            }
            State::None | State::Every(_) | State::Rewrite(_) => self.close(now, how, written),
        }
    }

    fn merge(
        &mut self,
        (now, how, expiry): (Nanos, Closing, Nanos),
        others: Vec<Partial>,
        written: &mut Written,
    ) -> Nanos {
        match &mut self.state {
            State::Aggregate(aggregation) => {
                let of = |partial| match partial {
                    Partial::Aggregate(partials) => Some(partials),
                    _ => None,
                };
                let others = others.into_iter().filter_map(of).collect();
                aggregation.close_with(how, now, others, written)
            }
            State::Fold(fold) => {
                let of = |partial| match partial {
                    Partial::Fold(given) => Some(*given),
                    _ => None,
                };
                let others = others.into_iter().filter_map(of).collect();
                fold.close(now, how, others, written, &mut self.tally)
            }
            State::Gate(gate) => {
                let of = |partial| match partial {
                    Partial::Entities(heard) => Some(*heard),
                    _ => None,
                };
                if let Some(idle) = gate.entities() {
                    idle.agree((now, expiry), others.into_iter().filter_map(of).collect());
                }
                now
            }
            State::None | State::Every(_) | State::Rewrite(_) => self.close(now, how, written),
        }
    }

    /// What worker 0 has decided for the other workers since the last time.
    pub fn decisions(&mut self) -> Vec<Decision> {
        let mut all = Vec::new();
        let begun = std::mem::take(&mut self.abroad.begun);
        if !begun.is_empty() {
            all.push(Decision::Outputs(begun));
        }
        match &mut self.state {
            State::Fold(fold) => all.extend(fold.take_decided().map(Decision::Stay)),
            State::Gate(gate) => {
                let dropped = gate.entities().and_then(|idle| idle.take_decided());
                all.extend(dropped.map(Decision::Drop));
            }
            _ => {}
        }
        all
    }
}
