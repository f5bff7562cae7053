//! The series of a `topk` or `limit`, by ticket and by identity.

use super::slot::{Own, Slot};
use crate::Nanos;
use crate::slab::Slab;
use hashbrown::HashTable;

/// A series' place in the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    slot: u32,
    generation: u32,
}

/// All series of the stage.
#[derive(Debug, Default)]
pub struct Slots {
    slots: Slab<Option<Slot>>,
    generations: Slab<u32>,
    free: Vec<u32>,
    by_identity: HashTable<u32>,
}

impl Slots {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_identity.len()
    }

    /// The place of a series.
    pub fn find(&self, identity: u128) -> Option<Ticket> {
        let same = |n: &u32| {
            let slot = self.slots.get(*n as usize).and_then(Option::as_ref);
            slot.is_some_and(|slot| slot.identity == identity)
        };
        let slot = *self.by_identity.find(identity as u64, same)?;
        let generation = *self.generations.get(slot as usize)?;
        Some(Ticket { slot, generation })
    }

    /// The series that has the place; `None` once it has expired.
    pub fn get(&self, ticket: Ticket) -> Option<&Slot> {
        let generation = self.generations.get(ticket.slot as usize)?;
        if *generation != ticket.generation {
            return None;
        }
        self.slots.get(ticket.slot as usize)?.as_ref()
    }

    /// As [`Slots::get`].
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        let generation = self.generations.get(ticket.slot as usize)?;
        if *generation != ticket.generation {
            return None;
        }
        self.slots.get_mut(ticket.slot as usize)?.as_mut()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }

    /// As [`Slots::iter`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().flatten()
    }

    /// Gives a series a place.
    pub fn add(&mut self, slot: Slot) -> Ticket {
        let identity = slot.identity;
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            (self.slots.len() - 1) as u32
        });
        if let Some(place) = self.slots.get_mut(number as usize) {
            *place = Some(slot);
        }
        let slots = &self.slots;
        self.by_identity
            .insert_unique(identity as u64, number, |n| {
                let slot = slots.get(*n as usize).and_then(Option::as_ref);
                slot.map_or(0, |slot| slot.identity as u64)
            });
        let generation = self.generations.get(number as usize).copied().unwrap_or(0);
        Ticket {
            slot: number,
            generation,
        }
    }

    /// Forgets series that have been silent for longer than `expiry`; what each of them was is told.
    pub fn expire(&mut self, now: Nanos, expiry: Nanos, mut gone: impl FnMut(Slot)) {
        for (number, place) in (0u32..).zip(self.slots.iter_mut()) {
            let silent = |slot: &mut Slot| now.saturating_sub(slot.seen) > expiry;
            let Some(slot) = place.take_if(silent) else {
                continue;
            };
            let found = self
                .by_identity
                .find_entry(slot.identity as u64, |n| *n == number);
            if let Ok(found) = found {
                found.remove();
            }
            if let Some(generation) = self.generations.get_mut(number as usize) {
                *generation += 1;
            }
            self.free.push(number);
            gone(slot);
        }
    }

    /// An estimate of the bytes.
    pub fn bytes(&self) -> usize {
        let owns = self.iter().filter_map(|slot| slot.own.as_ref());
        let own = owns.map(|own| size_of::<Own>() + own.attributes.len());
        own.sum::<usize>()
            + self.slots.capacity() * (size_of::<Option<Slot>>() + size_of::<u32>())
            + self.by_identity.capacity() * 5
    }
}
