//! How many places are taken in each budget, and how fast series come.
//!
//! Several workers share a budget without asking each other for every new series: at an edge worker 0
//! knows all places that are taken, gives free ones to series that wait, and divides what is still
//! free. A worker takes no place beyond its part, so a budget is never passed; a worker whose part is
//! used up lets series wait for the next edge though another has places left.

use crate::compile::Limit;
use crate::engine::Place;
use crate::stage::Tally;
use hashbrown::HashMap;

/// The budgets of a `limit`.
#[derive(Debug)]
pub struct Budgets {
    places: u32,
    at: Place,
    alarm: Option<u32>,
    taken: HashMap<u64, u32>,
    /// Places that this worker may have taken, of budgets that were in use at the last edge; of all
    /// others it has its part.
    allowed: HashMap<u64, u32>,
    /// What it told at an edge is not decided yet: until then it takes no place.
    waits: bool,
    /// Order of the last series that came.
    arrived: u64,
    /// Series that are new since the last edge.
    new: u32,
}

/// What a worker tells of its budgets at an edge.
#[derive(Debug)]
pub struct Standing {
    worker: usize,
    /// Places taken, by budget.
    taken: Vec<(u64, u32)>,
    /// Order and budget of series that wait, by order; of each budget at most as many as it has places.
    waiting: Vec<(u64, u64)>,
    new: u32,
}

/// One budget of all workers.
#[derive(Debug, Default)]
struct United {
    /// Places, by worker.
    held: Vec<u32>,
    /// Order and worker of those that wait.
    waiting: Vec<(u64, usize)>,
}

impl Budgets {
    /// Budgets of which no place is taken, on the worker at this place.
    pub fn new(limit: &Limit, at: Place) -> Budgets {
        Budgets {
            places: limit.series,
            at,
            alarm: limit.alarm,
            taken: HashMap::new(),
            allowed: HashMap::new(),
            waits: false,
            arrived: 0,
            new: 0,
        }
    }

    /// A new series: its place in the order, by when it came, on whatever worker.
    pub fn arrives(&mut self, now: u64) -> u64 {
        self.arrived = now.max(self.arrived + 1);
        self.new = self.new.saturating_add(1);
        self.arrived
    }

    /// Takes a place in a budget, if one is free.
    pub fn take_place(&mut self, budget: u64) -> bool {
        let part = part(self.places, self.at.worker, self.at.of);
        let allowed = self.allowed.get(&budget).copied().unwrap_or(part);
        let taken = self.taken.entry(budget).or_default();
        let free = !self.waits && *taken < allowed;
        *taken += u32::from(free);
        if *taken == 0 {
            self.taken.remove(&budget);
        }
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

    /// A window has ended: what this worker has, and who waits (order and budget). No place is taken
    /// before that is decided.
    pub fn tell(&mut self, mut waiting: Vec<(u64, u64)>) -> Standing {
        self.waits = true;
        waiting.sort_unstable();
        let mut told: HashMap<u64, u32> = HashMap::new();
        waiting.retain(|(_, budget)| {
            let told = told.entry(*budget).or_default();
            *told += 1;
            *told <= self.places
        });
        Standing {
            worker: self.at.worker,
            taken: self.taken.iter().map(|(b, n)| (*b, *n)).collect(),
            waiting,
            new: std::mem::take(&mut self.new),
        }
    }

    /// Gives free places to those that came first, and divides the rest: how many places each worker
    /// may have taken from here on, by budget. Tells whether more series were new than is usual.
    pub fn agree(
        &mut self,
        all: impl Iterator<Item = Standing>,
        tally: &mut Tally,
    ) -> Vec<(u64, Vec<u32>)> {
        let of = self.at.of.max(1);
        let mut new = 0u32;
        let mut budgets: HashMap<u64, United> = HashMap::new();
        for standing in all {
            new = new.saturating_add(standing.new);
            let worker = standing.worker;
            for (budget, taken) in standing.taken {
                let united = budgets.entry(budget).or_default();
                united.held.resize(of, 0);
                if let Some(held) = united.held.get_mut(worker) {
                    *held += taken;
                }
            }
            for (order, budget) in standing.waiting {
                let united = budgets.entry(budget).or_default();
                united.held.resize(of, 0);
                united.waiting.push((order, worker));
            }
        }
        if self.alarm.is_some_and(|most| new > most) {
            *tally.counts.entry("growth").or_default() += 1;
        }
        let divided = |(budget, united): (u64, United)| (budget, united.divide(self.places));
        budgets.into_iter().map(divided).collect()
    }

    /// From here on this worker may have taken so many places.
    pub fn follow(&mut self, places: &[(u64, Vec<u32>)]) {
        self.waits = false;
        let own = |(budget, held): &(u64, Vec<u32>)| Some((*budget, *held.get(self.at.worker)?));
        self.allowed = places.iter().filter_map(own).collect();
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        (self.taken.capacity() + self.allowed.capacity()) * 13
    }
}

impl United {
    fn divide(mut self, places: u32) -> Vec<u32> {
        let mut free = places.saturating_sub(self.held.iter().sum());
        self.waiting.sort_unstable();
        for (_, worker) in self.waiting {
            if free > 0
                && let Some(held) = self.held.get_mut(worker)
            {
                *held += 1;
                free -= 1;
            }
        }
        let of = self.held.len();
        for (worker, held) in self.held.iter_mut().enumerate() {
            *held += part(free, worker, of);
        }
        self.held
    }
}

/// A worker's part of so many places.
fn part(places: u32, worker: usize, of: usize) -> u32 {
    let of = u32::try_from(of.max(1)).unwrap_or(u32::MAX);
    let more = u32::try_from(worker).is_ok_and(|worker| worker < places % of);
    places / of + u32::from(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(worker: usize, series: u32) -> Budgets {
        let limit = Limit {
            series,
            per: crate::document::Per::Plan,
            alarm: Some(3),
        };
        Budgets::new(&limit, Place { worker, of: 3 })
    }

    /// An edge of all: what each may have taken of budget 7 from here on.
    fn edge(all: &mut [Budgets], waiting: [Vec<u64>; 3], tally: &mut Tally) -> Vec<u32> {
        let told: Vec<Standing> = all
            .iter_mut()
            .zip(waiting)
            .map(|(one, orders)| one.tell(orders.into_iter().map(|order| (order, 7)).collect()))
            .collect();
        let places = all[0].agree(told.into_iter(), tally);
        all.iter_mut().for_each(|one| one.follow(&places));
        places.first().map_or(Vec::new(), |(_, held)| held.clone())
    }

    #[test]
    fn the_parts_of_a_budget_are_the_budget() {
        for places in 0..20 {
            for of in 1..6 {
                let sum: u32 = (0..of).map(|worker| part(places, worker, of)).sum();
                assert_eq!(sum, places);
            }
        }
    }

    #[test]
    fn who_came_first_on_any_worker_gets_the_place_that_is_free() {
        let mut all = [worker(0, 5), worker(1, 5), worker(2, 5)];
        let mut tally = Tally::default();
        // Parts of 2, 2 and 1 of which the first and the last are used up.
        assert!(all[0].take_place(7) && all[0].take_place(7) && !all[0].take_place(7));
        assert!(all[2].take_place(7) && !all[2].take_place(7));
        let held = edge(&mut all, [vec![30], vec![], vec![10, 20]], &mut tally);
        assert_eq!(held, [2, 0, 3]);
        assert!(all[2].take_place(7) && all[2].take_place(7) && !all[2].take_place(7));
        assert!(!all[0].take_place(7) && !all[1].take_place(7));
        // One is freed: nobody waits, so that the first worker may use it.
        all[2].free_place(7);
        assert_eq!(
            edge(&mut all, [vec![], vec![], vec![]], &mut tally),
            [3, 0, 2]
        );
        assert!(!all[1].take_place(7) && all[0].take_place(7));
    }

    #[test]
    fn between_what_is_told_and_what_is_decided_no_place_is_taken() {
        let mut one = worker(1, 6);
        one.tell(Vec::new());
        assert!(!one.take_place(7));
        one.follow(&[]);
        assert!(one.take_place(7) && one.take_place(7) && !one.take_place(7));
    }

    #[test]
    fn growth_is_that_of_all_workers_together() {
        let mut all = [worker(0, 5), worker(1, 5), worker(2, 5)];
        let mut tally = Tally::default();
        all[0].arrives(1);
        all[0].arrives(1);
        all[1].arrives(5);
        edge(&mut all, [vec![], vec![], vec![]], &mut tally);
        assert_eq!(tally.counts.get("growth"), None);
        for one in &mut all {
            one.arrives(8);
            one.arrives(8);
        }
        edge(&mut all, [vec![], vec![], vec![]], &mut tally);
        assert_eq!(tally.counts.get("growth"), Some(&1));
    }
}
