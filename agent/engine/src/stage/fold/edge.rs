//! The edge of a window of a `topk` or `limit`: who stays from here on.
//!
//! Of several workers each tells what it knows ([`Fold::tell`]); worker 0 decides on all of it
//! ([`Fold::agree`]), and every worker follows ([`Fold::follow`]) when it hears of that: until then its
//! members are those of the window before, and no place of a budget is taken. A worker alone has only
//! itself to agree with.

use super::limit::Standing;
use super::slot::{enter, leave};
use super::topk::{Window, unite};
use super::{Decide, Fold};
use crate::Nanos;
use crate::aggregate::{Partials, Written};
use crate::stage::{Closing, Tally};
use std::sync::Arc;

/// What another worker gives to worker 0.
#[derive(Debug, Default)]
pub struct Given {
    /// Closed windows of what is folded.
    pub other: Partials,
    /// Where a window has ended.
    pub told: Option<Told>,
}

/// What a worker knows where a window ends.
#[derive(Debug)]
pub enum Told {
    /// What entities weighed.
    Topk(Vec<Window>),
    /// Which places are taken, and who waits.
    Limit(Standing),
}

/// Who stays from here on.
#[derive(Debug, Clone)]
pub enum Decided {
    /// Series of these entities.
    Members(Vec<u64>),
    /// So many series of each of these budgets, worker by worker.
    Places(Vec<(u64, Vec<u32>)>),
}

impl Fold {
    /// Closes windows of what is folded, together with what the others gave, and decides. Gives the
    /// time from which a successor counts.
    pub fn close(
        &mut self,
        now: Nanos,
        how: Closing,
        given: Vec<Given>,
        written: &mut Written,
        tally: &mut Tally,
    ) -> Nanos {
        let (mut others, mut told) = (Vec::new(), Vec::new());
        for given in given {
            others.push(given.other);
            told.extend(given.told);
        }
        let last = match &mut self.other {
            Some(other) => other.close_with(how, now, others, written),
            None => now,
        };
        if how == Closing::Due && self.turn(now) {
            self.agree(told, tally);
        }
        if how == Closing::Swap { last } else { now }
    }

    /// Another worker than 0: what it gives.
    pub fn give(&mut self, now: Nanos, how: Closing) -> (Given, Nanos) {
        let mut given = Given::default();
        let last = match &mut self.other {
            Some(other) => other.close_partials(how, now, &mut given.other),
            None => now,
        };
        if how == Closing::Due && self.turn(now) {
            given.told = Some(self.tell());
        }
        let last = if how == Closing::Swap { last } else { now };
        (given, last)
    }

    /// Whether a window ends.
    fn turn(&mut self, now: Nanos) -> bool {
        let due = now.saturating_sub(self.lateness);
        let due = due - due % self.interval;
        let turns = due > self.closed_to;
        if turns {
            (self.closed_to, self.edge) = (due, now);
        }
        turns
    }

    fn tell(&mut self) -> Told {
        if let Decide::Topk(ranking) = &mut self.decide {
            return Told::Topk(ranking.close(self.edge));
        }
        // Places of silent series are free before anybody is given one.
        self.expire();
        let waiting = self.slots.iter().filter(|slot| slot.own.is_none());
        let waiting = waiting.map(|slot| (slot.order, slot.unit)).collect();
        match &mut self.decide {
            Decide::Limit(budgets) => Told::Limit(budgets.tell(waiting)),
            Decide::Topk(_) => Told::Topk(Vec::new()),
        }
    }

    fn agree(&mut self, others: Vec<Told>, tally: &mut Tally) {
        let own = self.tell();
        let all = std::iter::once(own).chain(others);
        let decided = match &mut self.decide {
            Decide::Topk(ranking) => {
                let mut windows = Vec::new();
                for told in all {
                    if let Told::Topk(more) = told {
                        unite(&mut windows, more);
                    }
                }
                Decided::Members(ranking.decide(&windows))
            }
            Decide::Limit(budgets) => {
                let standing = |told| match told {
                    Told::Limit(standing) => Some(standing),
                    Told::Topk(_) => None,
                };
                Decided::Places(budgets.agree(all.filter_map(standing), tally))
            }
        };
        self.follow(&decided, tally);
        self.decided = Some(decided).filter(|_| self.shared);
    }

    /// What worker 0 has decided for the others.
    pub fn take_decided(&mut self) -> Option<Decided> {
        self.decided.take()
    }

    /// Does what was decided at the edge.
    pub fn follow(&mut self, decided: &Decided, tally: &mut Tally) {
        let mut leaving = Vec::new();
        match (&mut self.decide, decided) {
            (Decide::Topk(ranking), Decided::Members(members)) => {
                ranking.follow(members);
                for slot in self.slots.iter_mut().filter(|s| !s.exempt) {
                    let stays = ranking.stays(slot.unit);
                    if stays && slot.own.is_none() {
                        leaving.extend(slot.seat.take());
                        enter(slot, self.closed_to, self.began);
                    } else if !stays && let Some(own) = slot.own.take() {
                        self.early.extend(leave(slot, *own, self.closed_to));
                    }
                }
                self.expire();
            }
            (Decide::Limit(budgets), Decided::Places(places)) => {
                budgets.follow(places);
                let waits = |slot: &&mut super::slot::Slot| slot.own.is_none();
                let mut waiting: Vec<_> = self.slots.iter_mut().filter(waits).collect();
                waiting.sort_unstable_by_key(|slot| slot.order);
                for slot in waiting {
                    if budgets.take_place(slot.unit) {
                        *tally.counts.entry("admitted").or_default() += 1;
                        leaving.extend(slot.seat.take());
                        enter(slot, self.closed_to, self.began);
                    }
                }
            }
            // A decision is of its stage's kind.
            (Decide::Topk(_) | Decide::Limit(_), _) => {}
        }
        if let Some(other) = &mut self.other {
            other.leave(&leaving);
        }
        self.around
            .retain(|_, around| Arc::strong_count(around) > 1);
        self.pool.sweep();
    }

    /// Forgets series that have been silent for longer than the expiry.
    fn expire(&mut self) {
        let decide = &mut self.decide;
        self.slots
            .expire(self.edge, self.expiry, |slot| match decide {
                Decide::Topk(ranking) => ranking.leave(slot.measured, slot.load),
                Decide::Limit(budgets) if slot.own.is_some() => budgets.free_place(slot.unit),
                Decide::Limit(_) => {}
            });
    }
}
