//! `sample every`: the last point of each window passes when the window closes, byte for byte. The
//! points of a delta series are added together.

mod held;

use super::{Closing, Tally};
use crate::Nanos;
use crate::aggregate::Written;
use crate::aggregate::window::grid_end;
use crate::slab::Slab;
use crate::splice::assemble::{Shared, Surroundings, assemble};
use crate::view::PointView;
use hashbrown::{HashMap, HashTable};
use held::{Held, Scratch};
use std::sync::Arc;

/// Note of a delta point that could not be added to what waited.
const NOT_ADDED: &str = "not_added";

/// A series' place in a `sample every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    slot: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot {
    identity: u128,
    generation: u32,
    delta: bool,
    /// For how many series its increments stand.
    weight: f64,
    /// Of its newest point: the rest of a series' metric may change, its schema_url, its description.
    around: Arc<Surroundings>,
    /// By window, oldest first; nearly always one, so that there is room for just that.
    held: Vec<Held>,
    /// Memory of the point that was released last.
    spare: Vec<u8>,
    seen: Nanos,
}

/// State of one `sample every`.
#[derive(Debug)]
pub struct Every {
    interval: Nanos,
    lateness: Nanos,
    closed_to: Nanos,
    slots: Slab<Option<Slot>>,
    generations: Slab<u32>,
    free: Vec<u32>,
    by_identity: HashTable<u32>,
    around: HashMap<u128, Arc<Surroundings>>,
    shared: Shared,
    /// Points that left before their window closed, at a reset or before the end of the series, with the
    /// numbers of their slots.
    early: Vec<(u32, Arc<Surroundings>, Vec<u8>)>,
    /// How many points stand in these.
    early_points: u64,
    scratch: Scratch,
    swept: Nanos,
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// It waits; whatever it replaced is counted.
    Held,
    /// It is older than what waits, or late.
    SampledOut,
    /// It goes on at once.
    Passes,
    /// The ticket has expired.
    Stale,
}

/// One point, as `sample every` sees it.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The point.
    pub point: PointView<'a>,
    /// Of a delta series: it is added to others, not put in their place.
    pub delta: bool,
    /// It begins a new epoch: the one before it was the last of the old.
    pub new_epoch: bool,
    /// A stage that ends wrote it: nothing of its series need come behind it.
    pub last: bool,
}

impl Every {
    /// A sample stage without state. Windows that end at or before `created` are closed.
    pub fn new(interval: Nanos, lateness: Nanos, created: Nanos) -> Every {
        Every {
            interval,
            lateness,
            closed_to: created - created % interval,
            slots: Slab::default(),
            generations: Slab::default(),
            free: Vec::new(),
            by_identity: HashTable::new(),
            around: HashMap::new(),
            shared: Shared::default(),
            early: Vec::new(),
            early_points: 0,
            scratch: Scratch::default(),
            swept: 0,
        }
    }

    /// A ticket for a series, and whether the series is new here or was silent for longer than the
    /// expiry; the same series gets the same. `None`: more than `limit` series.
    pub fn ticket(
        &mut self,
        identity: u128,
        metric: u128,
        around: impl FnOnce(&mut Shared) -> Option<Surroundings>,
        limit: usize,
        (now, expiry): (Nanos, Nanos),
    ) -> Option<(Ticket, bool)> {
        let slots = &self.slots;
        let of = |n: &u32| {
            slots
                .get(*n as usize)
                .and_then(|s| s.as_ref())
                .map(|s| s.identity)
        };
        let known = self
            .by_identity
            .find(identity as u64, |n| of(n) == Some(identity));
        let (slot, new) = match known {
            Some(slot) => {
                let known = slots.get(*slot as usize).and_then(Option::as_ref);
                let silent = |s: &Slot| s.held.is_empty() && now.saturating_sub(s.seen) > expiry;
                (*slot, known.is_some_and(silent))
            }
            None => {
                if self.by_identity.len() >= limit {
                    return None;
                }
                let around = self.intern(metric, around)?;
                (self.add(identity, around, now), true)
            }
        };
        let generation = self.generations.get(slot as usize).copied()?;
        Some((Ticket { slot, generation }, new))
    }

    /// Whether nothing is remembered of the series: its place was freed, or is to be.
    pub fn is_silent(&self, ticket: Ticket, now: Nanos, expiry: Nanos) -> bool {
        let slot = self.slots.get(ticket.slot as usize);
        let slot = slot.and_then(Option::as_ref);
        let slot = slot.filter(|slot| slot.generation == ticket.generation);
        slot.is_none_or(|s| s.held.is_empty() && now.saturating_sub(s.seen) > expiry)
    }

    fn intern(
        &mut self,
        metric: u128,
        around: impl FnOnce(&mut Shared) -> Option<Surroundings>,
    ) -> Option<Arc<Surroundings>> {
        if let Some(known) = self.around.get(&metric) {
            return Some(known.clone());
        }
        let new = Arc::new(around(&mut self.shared)?);
        self.around.insert(metric, new.clone());
        Some(new)
    }

    /// Tells what surrounds the series' next point, where that is not what surrounded the last.
    pub fn surround(
        &mut self,
        ticket: Ticket,
        metric: u128,
        around: impl FnOnce(&mut Shared) -> Option<Surroundings>,
    ) {
        let slot = self
            .slots
            .get(ticket.slot as usize)
            .and_then(Option::as_ref);
        if slot.is_none_or(|slot| slot.around.key() == metric) {
            return;
        }
        let new = self.intern(metric, around);
        let slot = self
            .slots
            .get_mut(ticket.slot as usize)
            .and_then(Option::as_mut);
        if let (Some(slot), Some(new)) = (slot, new) {
            slot.around = new;
        }
    }

    /// Notes for how many series the increments of a series stand; true where that has changed.
    pub fn weigh(&mut self, ticket: Ticket, weight: f64) -> bool {
        let Some(Some(slot)) = self.slots.get_mut(ticket.slot as usize) else {
            return false;
        };
        std::mem::replace(&mut slot.weight, weight) != weight
    }

    /// For how many series the increments of a series stand.
    pub fn weight(&self, identity: u128) -> f64 {
        let of = |n: &u32| self.slots.get(*n as usize).and_then(Option::as_ref);
        let same = |n: &u32| of(n).is_some_and(|slot| slot.identity == identity);
        let known = self.by_identity.find(identity as u64, same);
        known.and_then(of).map_or(1.0, |slot| slot.weight)
    }

    fn add(&mut self, identity: u128, around: Arc<Surroundings>, now: Nanos) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            (self.slots.len() - 1) as u32
        });
        let generation = self.generations.get(number as usize).copied().unwrap_or(0);
        if let Some(slot) = self.slots.get_mut(number as usize) {
            *slot = Some(Slot {
                identity,
                generation,
                delta: false,
                weight: 1.0,
                around,
                held: Vec::new(),
                spare: Vec::new(),
                seen: now,
            });
        }
        let slots = &self.slots;
        self.by_identity
            .insert_unique(identity as u64, number, |n| {
                slots
                    .get(*n as usize)
                    .and_then(|s| s.as_ref())
                    .map_or(0, |s| s.identity as u64)
            });
        number
    }

    /// Takes one point.
    pub fn take(
        &mut self,
        ticket: Ticket,
        arrival: &Arrival<'_>,
        now: Nanos,
        tally: &mut Tally,
    ) -> Took {
        let slot = self
            .slots
            .get_mut(ticket.slot as usize)
            .and_then(Option::as_mut);
        let Some(slot) = slot.filter(|slot| slot.generation == ticket.generation) else {
            return Took::Stale;
        };
        slot.seen = now;
        let point = &arrival.point;
        let ended = point.no_recorded_value();
        let alone = !ended && arrival.delta && self.scratch.read(point).is_none();
        if alone {
            *tally.counts.entry(NOT_ADDED).or_default() += 1;
        }
        if ended || alone || arrival.new_epoch {
            let waited = self.let_go(ticket.slot, tally) || arrival.last;
            if (ended || alone) && waited {
                // Behind what waited, or was let go just now: a later stage must not hear of an end first.
                self.let_go_behind(ticket.slot, point.body);
                return Took::Held;
            }
            if ended || alone {
                return Took::Passes;
            }
        }
        let mut end = grid_end(point.time, self.interval);
        let late = end <= self.closed_to;
        let ahead = point.time > now.saturating_add(self.lateness);
        if ahead || late {
            let note = if ahead { "future" } else { "late" };
            *tally.counts.entry(note).or_default() += 1;
            if late && !ahead && !arrival.delta {
                return Took::SampledOut;
            }
            end = grid_end(now, self.interval).max(self.closed_to + self.interval);
        }
        self.hold(ticket.slot, end, arrival, tally);
        if arrival.last {
            self.let_go(ticket.slot, tally);
        }
        Took::Held
    }

    /// Puts a point into a window.
    fn hold(&mut self, number: u32, end: Nanos, arrival: &Arrival<'_>, tally: &mut Tally) {
        let point = &arrival.point;
        if arrival.delta && !self.add_up(number, end, point) {
            *tally.counts.entry(NOT_ADDED).or_default() += 1;
            self.let_go(number, tally);
        }
        let Some(Some(slot)) = self.slots.get_mut(number as usize) else {
            return;
        };
        slot.delta = arrival.delta;
        let place = slot.held.partition_point(|held| held.end < end);
        match slot.held.get_mut(place) {
            Some(held) if held.end == end => {
                tally.sampled_out += u64::from(!arrival.delta);
                if point.time >= held.time {
                    held.time = point.time;
                    if !Arc::ptr_eq(&held.around, &slot.around) {
                        held.around = slot.around.clone();
                    }
                    held.body.clear();
                    held.body.extend_from_slice(point.body);
                }
            }
            _ => {
                let mut body = std::mem::take(&mut slot.spare);
                body.clear();
                body.extend_from_slice(point.body);
                let held = Held {
                    around: slot.around.clone(),
                    end,
                    time: point.time,
                    body,
                    points: 1,
                    sum: None,
                };
                slot.held.reserve_exact(1);
                slot.held.insert(place, held);
            }
        }
    }

    /// Adds a delta point to what waits in its window, if something does; false where that is not
    /// possible.
    fn add_up(&mut self, number: u32, end: Nanos, point: &PointView<'_>) -> bool {
        let Some(Some(slot)) = self.slots.get_mut(number as usize) else {
            return true;
        };
        let waits = slot.held.iter_mut().find(|held| held.end == end);
        waits.is_none_or(|held| held.add(point, &mut self.scratch))
    }

    /// Lets go what waits of a series; whether something did.
    fn let_go(&mut self, number: u32, tally: &mut Tally) -> bool {
        let Some(Some(slot)) = self.slots.get_mut(number as usize) else {
            return false;
        };
        let waited = !slot.held.is_empty();
        for mut held in slot.held.drain(..) {
            self.early_points += held.points;
            lose_exemplars(held.finish(&mut self.scratch), tally);
            self.early.push((number, held.around, held.body));
        }
        waited
    }

    /// Lets a point go behind what has just been let go of its series.
    fn let_go_behind(&mut self, number: u32, body: &[u8]) {
        if let Some(Some(slot)) = self.slots.get(number as usize) {
            self.early_points += 1;
            self.early
                .push((number, slot.around.clone(), body.to_vec()));
        }
    }

    /// Whether something left before its window closed.
    pub fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// Writes what left before its window closed.
    pub fn release_early(&mut self, written: &mut Written, tally: &mut Tally) {
        let emitted = self.early.len() as u64;
        let (mut told, mut from) = (HashMap::new(), 0);
        for at in 0..=self.early.len() {
            let next = self.early.get(at);
            // A series' points stay in order, also where they came in other bytes.
            let parts = next.is_none_or(|(number, around, _)| {
                *told.entry(*number).or_insert(around.key()) != around.key()
            });
            if parts {
                let run = self.early.get(from..at).unwrap_or_default();
                let points = run.iter().map(|(_, around, body)| (&**around, &body[..]));
                assemble(points, &mut written.request);
                told.clear();
                told.extend(next.map(|(number, around, _)| (*number, around.key())));
                from = at;
            }
        }
        self.early.clear();
        let points = std::mem::take(&mut self.early_points);
        release(points, emitted, written, tally);
    }

    /// Closes windows and writes their points.
    pub fn close(&mut self, now: Nanos, how: Closing, written: &mut Written, tally: &mut Tally) {
        // What an earlier stage has just released can be the end of an epoch here.
        if self.has_early() {
            self.release_early(written, tally);
        }
        let due = now.saturating_sub(self.lateness);
        let until = if how == Closing::Due {
            due - due % self.interval
        } else {
            Nanos::MAX
        };
        if how == Closing::Due && until <= self.closed_to {
            return;
        }
        if how == Closing::Swap {
            self.fold(now, tally);
        }
        let mut leaving: Vec<(Nanos, u32, usize)> = Vec::new();
        let mut points = 0;
        for (number, slot) in self.slots.iter_mut().enumerate() {
            for (place, held) in slot.iter_mut().flat_map(|s| s.held.iter_mut().enumerate()) {
                if held.end <= until {
                    points += held.points;
                    lose_exemplars(held.finish(&mut self.scratch), tally);
                    leaving.push((held.end, number as u32, place));
                }
            }
        }
        leaving.sort_unstable();
        let slots = &self.slots;
        // Window by window: a series' points stay in order, whatever bytes they came in.
        for window in leaving.chunk_by(|(one, ..), (other, ..)| one == other) {
            let points = window.iter().filter_map(|(_, number, place)| {
                let slot = slots.get(*number as usize)?.as_ref()?;
                let held = slot.held.get(*place)?;
                Some((&*held.around, &held.body[..]))
            });
            assemble(points, &mut written.request);
        }
        for slot in self.slots.iter_mut().flatten() {
            let gone = slot.held.partition_point(|held| held.end <= until);
            if let Some(held) = slot.held.drain(..gone).next_back() {
                slot.spare = held.body;
            }
        }
        release(points, leaving.len() as u64, written, tally);
        let last = leaving.last().map_or(0, |(end, _, _)| *end);
        self.closed_to = self
            .closed_to
            .max(if how == Closing::Due { until } else { last });
    }

    /// A swap: of the windows that have not ended only the last point passes; of deltas all.
    fn fold(&mut self, now: Nanos, tally: &mut Tally) {
        let thinned = |slot: &&mut Slot| !slot.delta;
        for slot in self.slots.iter_mut().flatten().filter(thinned) {
            let open = slot.held.partition_point(|held| held.end <= now);
            if slot.held.len() > open + 1 {
                let last = slot.held.len() - 1;
                tally.sampled_out += (last - open) as u64;
                slot.held.drain(open..last);
            }
        }
    }

    /// Frees series that have been silent for longer than `expiry`.
    pub fn sweep(&mut self, now: Nanos, expiry: Nanos) {
        if now.saturating_sub(self.swept) < expiry / 4 {
            return;
        }
        self.swept = now;
        for (number, place) in self.slots.iter_mut().enumerate() {
            let silent = place
                .as_ref()
                .is_some_and(|s| s.held.is_empty() && now.saturating_sub(s.seen) > expiry);
            if silent && let Some(slot) = place.take() {
                let number = number as u32;
                if let Ok(found) = self
                    .by_identity
                    .find_entry(slot.identity as u64, |n| *n == number)
                {
                    found.remove();
                }
                if let Some(generation) = self.generations.get_mut(number as usize) {
                    *generation += 1;
                }
                self.free.push(number);
            }
        }
        self.around
            .retain(|_, around| Arc::strong_count(around) > 1);
        self.shared.sweep();
    }

    /// At most how many points its open windows will write, but for those before a reset.
    pub fn to_write(&self) -> usize {
        self.slots.len()
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        let of_slot = |slot: &Slot| {
            let bodies = slot.held.iter().map(|held| held.body.capacity());
            bodies.sum::<usize>() + slot.spare.capacity() + slot.held.capacity() * size_of::<Held>()
        };
        let slots: usize = self.slots.iter().flatten().map(of_slot).sum();
        let around = self.around.values().map(|s| s.bytes()).sum::<usize>() + self.shared.bytes();
        slots
            + around
            + self.slots.capacity() * (size_of::<Option<Slot>>() + size_of::<u32>())
            + self.by_identity.capacity() * 5
    }
}

/// `points` that were taken in leave as `emitted` ones.
fn release(points: u64, emitted: u64, written: &mut Written, tally: &mut Tally) {
    written.points += emitted;
    tally.closed += points;
    tally.emitted += emitted;
}

fn lose_exemplars(lost: u64, tally: &mut Tally) {
    if lost > 0 {
        *tally.counts.entry("exemplars_dropped").or_default() += lost;
    }
}
