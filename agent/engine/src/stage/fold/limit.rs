//! How many places are taken in each budget, and how fast series come.

use crate::compile::Limit;
use crate::stage::Tally;
use hashbrown::HashMap;

/// The budgets of a `limit`.
#[derive(Debug)]
pub struct Budgets {
    places: u32,
    alarm: Option<u32>,
    taken: HashMap<u64, u32>,
    arrived: u64,
    /// Series that are new since the last edge.
    new: u32,
}

impl Budgets {
    /// Budgets of which no place is taken.
    pub fn new(limit: &Limit) -> Budgets {
        Budgets {
            places: limit.series,
            alarm: limit.alarm,
            taken: HashMap::new(),
            arrived: 0,
            new: 0,
        }
    }

    /// A new series: its place in the order.
    pub fn arrives(&mut self) -> u64 {
        self.arrived += 1;
        self.new = self.new.saturating_add(1);
        self.arrived
    }

    /// Takes a place in a budget, if one is free.
    pub fn take_place(&mut self, budget: u64) -> bool {
        let taken = self.taken.entry(budget).or_default();
        let free = *taken < self.places;
        *taken += u32::from(free);
        free
    }

    /// Gives a place back.
    pub fn free_place(&mut self, budget: u64) {
        if let Some(taken) = self.taken.get_mut(&budget) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.taken.remove(&budget);
            }
        }
    }

    /// A window has ended: whether more series were new in it than is usual.
    pub fn alarm(&mut self, tally: &mut Tally) {
        if self.alarm.is_some_and(|most| self.new > most) {
            *tally.counts.entry("growth").or_default() += 1;
        }
        self.new = 0;
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        self.taken.capacity() * 13
    }
}
