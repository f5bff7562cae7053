//! Series of a stage that rewrites, by identity: what they become, and what is remembered of them.

use crate::Nanos;
use crate::splice::assemble::Surroundings;
use hashbrown::HashTable;
use std::sync::Arc;

/// A series' place in a stage that rewrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    slot: u32,
    generation: u32,
}

/// What a series becomes.
#[derive(Debug, Clone, Default)]
pub struct Anew {
    /// Identity of the rewritten series.
    pub identity: u128,
    /// Number of its metric's name.
    pub metric: u32,
    /// What surrounds its points; `None`: what surrounded them when they came.
    pub around: Option<Arc<Surroundings>>,
    /// Memo key of the metric that `around` was made of.
    pub source: u128,
    seen: Nanos,
}

#[derive(Debug)]
struct Slot {
    identity: u128,
    anew: Anew,
}

/// All series of one stage.
#[derive(Debug, Default)]
pub struct Slots {
    slots: Vec<Option<Slot>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    by_identity: HashTable<u32>,
    swept: Nanos,
}

impl Slots {
    /// The ticket of a series; the same series gets the same. `None`: more than `limit` series.
    pub fn ticket(&mut self, identity: u128, limit: usize, now: Nanos) -> Option<Ticket> {
        let slots = &self.slots;
        let of = |n: &u32| slots.get(*n as usize).and_then(|s| s.as_ref());
        let known = self.by_identity.find(identity as u64, |n| {
            of(n).is_some_and(|slot| slot.identity == identity)
        });
        let slot = match known {
            Some(slot) => *slot,
            None if self.by_identity.len() >= limit => return None,
            None => self.add(identity, now),
        };
        let generation = self.generations.get(slot as usize).copied()?;
        Some(Ticket { slot, generation })
    }

    fn add(&mut self, identity: u128, now: Nanos) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            (self.slots.len() - 1) as u32
        });
        if let Some(slot) = self.slots.get_mut(number as usize) {
            let anew = Anew {
                seen: now,
                ..Anew::default()
            };
            *slot = Some(Slot { identity, anew });
        }
        let slots = &self.slots;
        self.by_identity
            .insert_unique(identity as u64, number, |n| {
                let slot = slots.get(*n as usize).and_then(|s| s.as_ref());
                slot.map_or(0, |slot| slot.identity as u64)
            });
        number
    }

    /// What the series with this ticket becomes; `None` once it has expired. It has spoken at `now`.
    pub fn get_mut(&mut self, ticket: Ticket, now: Nanos) -> Option<&mut Anew> {
        if self.generations.get(ticket.slot as usize) != Some(&ticket.generation) {
            return None;
        }
        let slot = self.slots.get_mut(ticket.slot as usize)?.as_mut()?;
        slot.anew.seen = now;
        Some(&mut slot.anew)
    }

    /// Identity and metric of what the series becomes, where that is another series.
    pub fn becomes(&self, ticket: Ticket) -> Option<(u128, u32)> {
        let anew = &self.slots.get(ticket.slot as usize)?.as_ref()?.anew;
        anew.around.as_ref().map(|_| (anew.identity, anew.metric))
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
                .is_some_and(|slot| now.saturating_sub(slot.anew.seen) > expiry);
            if silent && let Some(slot) = place.take() {
                let number = number as u32;
                let at = slot.identity as u64;
                if let Ok(found) = self.by_identity.find_entry(at, |n| *n == number) {
                    found.remove();
                }
                if let Some(generation) = self.generations.get_mut(number as usize) {
                    *generation += 1;
                }
                self.free.push(number);
            }
        }
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        let around = |slot: &Slot| {
            // Shared between the series of a metric: about a tenth each.
            slot.anew.around.as_ref().map_or(0, |a| a.bytes() / 10)
        };
        self.slots.capacity() * (size_of::<Option<Slot>>() + 4)
            + self.by_identity.capacity() * 5
            + self.slots.iter().flatten().map(around).sum::<usize>()
    }
}
