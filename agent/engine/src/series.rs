//! The series table: what is known of a series, found by fast key, else by identity.
//!
//! The node's table belongs to no plan and no arm, so that a swap never starts blind. Each arm has
//! one more for the points that its own stages write. The memo is a cache of fast keys before it:
//! losing an entry costs time, never a result.

pub mod memo;
pub mod names;

use crate::Nanos;
use crate::input::Input;
use crate::route::{Route, Routes};
use crate::slab::Slab;
use hashbrown::{HashMap, HashSet, HashTable};
use memo::Memo;
use std::collections::VecDeque;

/// What is known of one series.
#[derive(Debug)]
pub struct Entry {
    /// Canonical identity.
    pub identity: u128,
    /// Its way through the arms.
    pub routes: Routes,
    /// Last point of a cumulative series.
    pub input: Option<Input>,
    /// The engine's now when it last spoke; 0 in a free slot.
    pub seen: Nanos,
    /// Metric name, in [`names::Names`].
    pub metric: u32,
}

impl Entry {
    /// A series that has not spoken.
    pub fn new(identity: u128, metric: u32, input: Option<Input>) -> Entry {
        Entry {
            identity,
            routes: Routes::new(Route::VOID),
            input,
            seen: 0,
            metric,
        }
    }
}

/// Series by identity, behind a memo of fast keys.
#[derive(Debug)]
pub struct Table {
    /// Fast keys.
    pub memo: Memo,
    entries: Slab<Entry>,
    free: Vec<u32>,
    by_identity: HashTable<u32>,
    gone: Gone,
    counted: Counted,
    limit: usize,
    swept: Nanos,
}

/// Answer to [`Table::find_or_add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It was known.
    Known(u32),
    /// It is new; `returning` where its identity is remembered as expired.
    New {
        /// Its number.
        series: u32,
        /// It was here before and has expired.
        returning: bool,
    },
    /// There is no room.
    Full,
}

impl Table {
    /// A table of at most `limit` series, whose keys are seeded with `seed`.
    pub fn new(limit: usize, seed: u64) -> Table {
        let limit = limit.min(memo::MOST);
        Table {
            memo: Memo::new(limit.saturating_mul(2).min(memo::MOST), seed),
            entries: Slab::default(),
            free: Vec::new(),
            by_identity: HashTable::new(),
            gone: Gone::default(),
            counted: Counted::default(),
            limit,
            swept: 0,
        }
    }

    /// The series with this number.
    #[inline]
    pub fn get_mut(&mut self, series: u32) -> Option<&mut Entry> {
        self.entries.get_mut(series as usize)
    }

    /// The series with this number.
    pub fn get(&self, series: u32) -> Option<&Entry> {
        self.entries.get(series as usize)
    }

    /// The series of an identity.
    pub fn find(&self, identity: u128) -> Option<u32> {
        self.by_identity
            .find(short(identity), |i| self.is(*i, identity))
            .copied()
    }

    /// The series of an identity, made by `make(returning)` where it is new.
    pub fn find_or_add(&mut self, identity: u128, make: impl FnOnce(bool) -> Entry) -> Found {
        if let Some(series) = self.find(identity) {
            return Found::Known(series);
        }
        let series = match self.free.pop() {
            Some(series) => series,
            None if self.entries.len() < self.limit => self.entries.len() as u32,
            None => return Found::Full,
        };
        let returning = self.gone.remove(identity);
        let mut entry = make(returning);
        self.counted.restore(&mut entry);
        match self.entries.get_mut(series as usize) {
            Some(slot) => *slot = entry,
            None => self.entries.push(entry),
        }
        let entries = &self.entries;
        self.by_identity
            .insert_unique(short(identity), series, |i| {
                entries.get(*i as usize).map_or(0, |e| short(e.identity))
            });
        Found::New { series, returning }
    }

    fn is(&self, series: u32, identity: u128) -> bool {
        self.entries
            .get(series as usize)
            .is_some_and(|e| e.identity == identity)
    }

    /// Live series.
    pub fn len(&self) -> usize {
        self.by_identity.len()
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        let heap: usize = self
            .entries
            .iter()
            .filter_map(|e| e.input.as_ref().map(Input::heap_size))
            .sum();
        self.entries.capacity() * size_of::<Entry>()
            + self.by_identity.capacity() * 5
            + self.memo.bytes()
            + self.gone.bytes()
            + self.counted.stamps.capacity() * 33
            + heap
    }

    /// Whether a series that was freed may be counted twice in this window of figures: there were more
    /// than the table's limit.
    pub fn miscounts(&self, window: u32) -> bool {
        self.counted.full && self.counted.window == window
    }

    /// Frees what has been silent for longer than `expiry`, once every quarter of it. Whether it freed
    /// something. `window`: that of figures, in which no series is to be counted twice.
    pub fn sweep(&mut self, now: Nanos, expiry: Nanos, window: u32) -> bool {
        if now.saturating_sub(self.swept) < expiry / 4 {
            return false;
        }
        self.swept = now;
        self.counted.begin(window);
        let freed = self.free.len();
        for (series, entry) in self.entries.iter_mut().enumerate() {
            if entry.seen == 0 || now.saturating_sub(entry.seen) <= expiry {
                continue;
            }
            if entry.input.is_some() {
                self.gone.insert(entry.identity, self.limit);
            }
            self.counted.keep(entry, self.limit);
            let series = series as u32;
            if let Ok(found) = self
                .by_identity
                .find_entry(short(entry.identity), |i| *i == series)
            {
                found.remove();
            }
            *entry = Entry::new(0, 0, None);
            self.free.push(series);
        }
        if self.free.len() > freed {
            let entries = &self.entries;
            self.memo
                .retain(|series| entries.get(series as usize).is_some_and(|e| e.seen != 0));
        }
        self.free.len() > freed
    }
}

/// The identity's own low bits are hash enough.
fn short(identity: u128) -> u64 {
    identity as u64
}

/// Identities that expired, oldest forgotten first: a series that returns is a baseline.
#[derive(Debug, Default)]
struct Gone {
    known: HashSet<u128, Identity>,
    order: VecDeque<u128>,
}

impl Gone {
    fn insert(&mut self, identity: u128, limit: usize) {
        if self.known.insert(identity) {
            self.order.push_back(identity);
        }
        while self.order.len() > limit {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    fn remove(&mut self, identity: u128) -> bool {
        // Its place in the order stays until it is the oldest; an identity that expires twice may
        // so be forgotten a little early, which only a table at its limit can notice.
        !self.known.is_empty() && self.known.remove(&identity)
    }

    fn bytes(&self) -> usize {
        self.known.capacity() * 17 + self.order.capacity() * 16
    }
}

/// Stamps of series that were freed in the window in which they were counted: only where a window is longer
/// than the expiry, as that of a replay.
#[derive(Debug, Default)]
struct Counted {
    window: u32,
    /// Of both arms: when it came in and went out last.
    stamps: HashMap<u128, [(u32, u32); 2], Identity>,
    full: bool,
}

impl Counted {
    fn begin(&mut self, window: u32) {
        if self.window != window {
            *self = Counted {
                window,
                ..Counted::default()
            };
        }
    }

    fn keep(&mut self, entry: &Entry, limit: usize) {
        let stamps = entry.routes.stamps();
        let here = |(came, went): &(u32, u32)| *came == self.window || *went == self.window;
        if !stamps.iter().any(here) {
            return;
        }
        if self.stamps.len() < limit {
            self.stamps.insert(entry.identity, stamps);
        } else {
            self.full = true;
        }
    }

    fn restore(&mut self, entry: &mut Entry) {
        if self.stamps.is_empty() {
            return;
        }
        if let Some(stamps) = self.stamps.remove(&entry.identity) {
            entry.routes.set_stamps(stamps);
        }
    }
}

/// Hashes an identity by taking its low bits.
#[derive(Debug, Default, Clone, Copy)]
struct Identity(u64);

impl std::hash::BuildHasher for Identity {
    type Hasher = Identity;
    fn build_hasher(&self) -> Identity {
        Identity(0)
    }
}

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, identity: u128) {
        self.0 = short(identity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(table: &mut Table, identity: u128, now: Nanos) -> Found {
        let found = table.find_or_add(identity, |_| {
            Entry::new(identity, 0, Some(Input::new(true, false)))
        });
        if let Found::Known(series) | Found::New { series, .. } = found
            && let Some(entry) = table.get_mut(series)
        {
            entry.seen = now;
        }
        found
    }

    #[test]
    fn a_series_is_found_again_expires_and_is_known_to_return() {
        let mut table = Table::new(2, 0);
        let new = |series, returning| Found::New { series, returning };
        assert_eq!(add(&mut table, 7, 1), new(0, false));
        assert_eq!(add(&mut table, 8, 100), new(1, false));
        assert_eq!(add(&mut table, 7, 1), Found::Known(0));
        assert_eq!(add(&mut table, 9, 1), Found::Full);
        table.memo.insert(55, 0);
        table.memo.insert(66, 1);
        table.sweep(150, 60, 1);
        assert_eq!((table.len(), table.find(7)), (1, None));
        assert_eq!(table.memo.peek(55), None);
        assert_eq!(table.memo.peek(66), Some(1));
        assert_eq!(add(&mut table, 7, 150), new(0, true));
    }
}
