//! The memo: fast keys of raw bytes to series, with a cursor that expects last round's order.
//!
//! A key is 128 bits over resource, scope, metric and the raw attribute region, under a secret made
//! from the process's own seed: nobody outside can make two series collide. Reordered attributes
//! only cost a second entry.

use crate::slab::Slab;
use crate::wire::index::UNKNOWN;
use crate::wire::walk;
use hashbrown::HashTable;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_secret};

/// Most entries of any memo or table: numbers are `u32`.
pub const MOST: usize = 1 << 28;

/// Levels of keys, so that the same bytes at another level give another key.
const LEVELS: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
const SPREAD: u128 = 0xDA94_2042_E4DD_58B5_2360_ED05_1FC6_5DA5;

/// There is one a series: 24 bytes.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Halves of the key; whole they would cost 8 bytes of padding.
    key: [u64; 2],
    /// Number of the series, and [`USED`].
    series: u32,
    /// The slot that came after this one in the last round.
    next: u32,
}

/// Set in `Slot::series`: found since the hand last passed. Numbers are below [`MOST`].
const USED: u32 = 1 << 31;

impl Slot {
    fn new(key: u128, series: u32) -> Slot {
        Slot {
            key: halves(key),
            series: series | USED,
            next: UNKNOWN,
        }
    }

    /// A key that no bytes have: a stale `next` must not find it.
    const FORGOTTEN: Slot = Slot {
        key: [u64::MAX; 2],
        series: UNKNOWN,
        next: UNKNOWN,
    };

    /// Its series; [`UNKNOWN`] where it was forgotten.
    #[inline]
    fn series(&self) -> u32 {
        if self.key == Slot::FORGOTTEN.key {
            UNKNOWN
        } else {
            self.series & !USED
        }
    }
}

#[inline]
fn halves(key: u128) -> [u64; 2] {
    [key as u64, (key >> 64) as u64]
}

/// A bounded cache of keys.
#[derive(Debug)]
pub struct Memo {
    secret: [u8; 192],
    slots: Slab<Slot>,
    index: HashTable<u32>,
    free: Vec<u32>,
    last: u32,
    /// The slot that was filled last.
    filled: u32,
    hand: usize,
    limit: usize,
}

impl Memo {
    /// A memo of at most `limit` keys.
    pub fn new(limit: usize, seed: u64) -> Memo {
        let mut secret = [0; 192];
        for (number, chunk) in (0u64..).zip(secret.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&xxh3_64_with_seed(&number.to_le_bytes(), seed).to_le_bytes());
        }
        Memo {
            secret,
            slots: Slab::default(),
            index: HashTable::new(),
            free: Vec::new(),
            last: UNKNOWN,
            filled: UNKNOWN,
            hand: 0,
            limit: limit.max(1),
        }
    }

    /// Remembers the series of a key; at the limit another key is forgotten.
    pub fn insert(&mut self, key: u128, series: u32) {
        if self.peek(key).is_some() {
            return;
        }
        let slot = Slot::new(key, series);
        if self.free.is_empty() && self.slots.len() >= self.limit {
            self.evict();
        }
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.slots.get_mut(number as usize) {
                    *place = slot;
                }
                number
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        // New series, too, speak in the same order the next time.
        if let Some(before) = self.slots.get_mut(self.filled as usize)
            && before.next == UNKNOWN
        {
            before.next = number;
        }
        self.filled = number;
        let slots = &self.slots;
        self.index.insert_unique(key as u64, number, |n| {
            slots.get(*n as usize).map_or(0, |s| s.key[0])
        });
    }

    /// The series of a key, without touching anything.
    pub fn peek(&self, key: u128) -> Option<u32> {
        let number = self.lookup(key)?;
        self.slots.get(number as usize).map(Slot::series)
    }

    fn lookup(&self, key: u128) -> Option<u32> {
        let key = halves(key);
        self.index
            .find(key[0], |n| {
                self.slots.get(*n as usize).is_some_and(|s| s.key == key)
            })
            .copied()
    }

    /// Second chance: the first key that was not found since the hand last passed.
    fn evict(&mut self) {
        for _ in 0..=self.slots.len() {
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            let Some(slot) = self.slots.get_mut(self.hand) else {
                return;
            };
            if slot.series() != UNKNOWN && slot.series & USED != 0 {
                slot.series &= !USED;
                continue;
            }
            let number = self.hand as u32;
            self.forget(number);
            return;
        }
    }

    fn forget(&mut self, number: u32) {
        let Some(slot) = self.slots.get_mut(number as usize) else {
            return;
        };
        if let Ok(found) = self.index.find_entry(slot.key[0], |n| *n == number) {
            found.remove();
            self.free.push(number);
        }
        *slot = Slot::FORGOTTEN;
    }

    /// Forgets the keys of series that are not kept.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        for number in 0..self.slots.len() {
            let lost = self
                .slots
                .get(number)
                .map(Slot::series)
                .is_some_and(|series| series != UNKNOWN && !keep(series));
            if lost {
                self.forget(number as u32);
            }
        }
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.index.capacity() * 5
    }
}

impl walk::Memo for Memo {
    #[inline]
    fn key(&self, level: u8, under: u128, bytes: &[u8]) -> u128 {
        let above = under
            .wrapping_add(LEVELS.wrapping_mul(u128::from(level) + 1))
            .wrapping_mul(SPREAD);
        xxh3_128_with_secret(bytes, &self.secret) ^ above.rotate_left(64)
    }

    #[inline]
    fn find(&mut self, key: u128) -> u32 {
        let expected = self
            .slots
            .get(self.last as usize)
            .map_or(UNKNOWN, |s| s.next);
        if let Some(slot) = self.slots.get_mut(expected as usize)
            && slot.key == halves(key)
        {
            slot.series |= USED;
            self.last = expected;
            return slot.series & !USED;
        }
        let Some(number) = self.lookup(key) else {
            return UNKNOWN;
        };
        if let Some(before) = self.slots.get_mut(self.last as usize) {
            before.next = number;
        }
        self.last = number;
        match self.slots.get_mut(number as usize) {
            Some(slot) => {
                slot.series |= USED;
                slot.series & !USED
            }
            None => UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use walk::Memo as _;

    #[test]
    fn keys_are_found_in_order_and_out_of_order_and_forgotten_at_the_limit() {
        let mut memo = Memo::new(3, 1);
        for n in 0..3u32 {
            memo.insert(u128::from(n) + 10, n);
        }
        for _ in 0..2 {
            assert_eq!([10, 11, 12].map(|k| memo.find(k)), [0, 1, 2]);
        }
        assert_eq!([12, 10].map(|k| memo.find(k)), [2, 0]);
        memo.insert(13, 3);
        assert_eq!(memo.find(13), 3);
        let known = [10, 11, 12].map(|k| memo.find(k) != UNKNOWN);
        assert_eq!(known.iter().filter(|k| **k).count(), 2);
    }

    #[test]
    fn new_keys_are_expected_in_the_order_in_which_they_came() {
        let mut memo = Memo::new(9, 1);
        for n in 0..4u32 {
            memo.insert(u128::from(n) + 10, n);
        }
        let expected = |memo: &Memo, n: u32| memo.slots.get(n as usize).map(|slot| slot.next);
        assert_eq!([0, 1, 2].map(|n| expected(&memo, n)), [1, 2, 3].map(Some));
        // What another order has shown since is not forgotten.
        assert_eq!([13, 10].map(|k| memo.find(k)), [3, 0]);
        memo.insert(14, 4);
        assert_eq!(expected(&memo, 3), Some(0));
    }

    #[test]
    fn the_same_bytes_at_another_level_or_place_give_another_key() {
        let memo = Memo::new(3, 1);
        let a = memo.key(1, memo.key(0, 0, b"r"), b"s");
        let b = memo.key(2, memo.key(0, 0, b"r"), b"s");
        let c = memo.key(1, memo.key(0, 0, b"s"), b"r");
        assert!(a != b && a != c && b != c);
        assert_ne!(Memo::new(3, 2).key(0, 0, b"r"), memo.key(0, 0, b"r"));
    }
}
