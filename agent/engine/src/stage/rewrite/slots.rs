//! Series of a stage that rewrites, by identity: what they become, and what is remembered of them.

use super::explicit::Spread;
use super::running::Running;
use crate::Nanos;
use crate::slab::Slab;
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
    /// Identity under which the series came in.
    pub came: u128,
    /// Number of its metric's name.
    pub metric: u32,
    /// What surrounds its points; `None`: what surrounded them when they came.
    pub around: Option<Arc<Surroundings>>,
    /// Memo key of the metric that `around` was made of.
    pub source: u128,
    /// What the stage remembers of it.
    pub kept: Kept,
    /// When the series last spoke.
    pub seen: Nanos,
}

/// What a stage remembers of a series; what it does not need is not there.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    running: Option<Box<Running>>,
    spread: Option<Box<Spread>>,
}

impl Kept {
    /// The total of its deltas.
    pub fn running(&mut self) -> &mut Running {
        self.running.get_or_insert_default()
    }

    /// Its observations by explicit bucket.
    pub fn spread(&mut self) -> &mut Spread {
        self.spread.get_or_insert_default()
    }

    fn bytes(&self) -> usize {
        let running = self.running.as_ref();
        let spread = self.spread.as_ref();
        running.map_or(0, |running| size_of::<Running>() + running.heap_size())
            + spread.map_or(0, |spread| size_of::<Spread>() + spread.heap_size())
    }
}

#[derive(Debug)]
struct Slot {
    identity: u128,
    generation: u32,
    seated: bool,
    anew: Anew,
}

/// All series of one stage.
#[derive(Debug, Default)]
pub struct Slots {
    slots: Slab<Slot>,
    free: Vec<u32>,
    by_identity: HashTable<u32>,
    swept: Nanos,
}

impl Slots {
    /// The ticket of a series; the same series gets the same, and what was remembered of one that was
    /// silent for longer than `expiry` is forgotten. `None`: more than `limit` series.
    pub fn ticket(
        &mut self,
        identity: u128,
        limit: usize,
        (now, expiry): (Nanos, Nanos),
    ) -> Option<Ticket> {
        let slots = &self.slots;
        let of = |n: &u32| slots.get(*n as usize);
        let known = self.by_identity.find(identity as u64, |n| {
            of(n).is_some_and(|slot| slot.identity == identity)
        });
        let number = match known {
            Some(number) => *number,
            None if self.by_identity.len() >= limit => return None,
            None => self.add(identity, now),
        };
        let slot = self.slots.get_mut(number as usize)?;
        if slot.anew.is_silent(now, expiry) {
            slot.anew = Anew::new(now);
        }
        Some(Ticket {
            slot: number,
            generation: slot.generation,
        })
    }

    fn add(&mut self, identity: u128, now: Nanos) -> u32 {
        let mut slot = Slot {
            identity,
            generation: 0,
            seated: true,
            anew: Anew::new(now),
        };
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(freed) = self.slots.get_mut(number as usize) {
                    slot.generation = freed.generation;
                    *freed = slot;
                }
                number
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.by_identity
            .insert_unique(identity as u64, number, |n| {
                slots
                    .get(*n as usize)
                    .map_or(0, |slot| slot.identity as u64)
            });
        number
    }

    /// What the series with this ticket becomes; `None` once it has expired. It has spoken at `now`.
    pub fn get_mut(&mut self, ticket: Ticket, now: Nanos, expiry: Nanos) -> Option<&mut Anew> {
        let anew = self.peek_mut(ticket)?;
        if anew.is_silent(now, expiry) {
            return None;
        }
        anew.seen = now;
        Some(anew)
    }

    /// The same, expired or not.
    pub fn peek_mut(&mut self, ticket: Ticket) -> Option<&mut Anew> {
        let slot = self.slots.get_mut(ticket.slot as usize)?;
        let valid = slot.seated && slot.generation == ticket.generation;
        valid.then_some(&mut slot.anew)
    }

    /// Whether nothing is remembered of the series: its place was freed, or is to be.
    pub fn has_forgotten(&self, ticket: Ticket, now: Nanos, expiry: Nanos) -> bool {
        let slot = self.slots.get(ticket.slot as usize);
        let slot = slot.filter(|slot| slot.seated && slot.generation == ticket.generation);
        slot.is_none_or(|slot| slot.anew.is_silent(now, expiry))
    }

    /// Identity and metric of what the series becomes, where that is another series.
    pub fn becomes(&self, ticket: Ticket) -> Option<(u128, u32)> {
        let anew = &self.slots.get(ticket.slot as usize)?.anew;
        anew.around.as_ref().map(|_| (anew.identity, anew.metric))
    }

    /// Frees series that have been silent for longer than `expiry`; whether it was time to.
    pub fn sweep(&mut self, now: Nanos, expiry: Nanos, mut freed: impl FnMut(&Anew)) -> bool {
        if self.slots.len() == 0 || now.saturating_sub(self.swept) < expiry / 4 {
            return false;
        }
        self.swept = now;
        for (number, slot) in (0u32..).zip(self.slots.iter_mut()) {
            if !slot.seated || !slot.anew.is_silent(now, expiry) {
                continue;
            }
            freed(&slot.anew);
            let at = slot.identity as u64;
            if let Ok(found) = self.by_identity.find_entry(at, |n| *n == number) {
                found.remove();
            }
            slot.generation = slot.generation.wrapping_add(1);
            slot.seated = false;
            slot.anew = Anew::default();
            self.free.push(number);
        }
        true
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        let kept = |slot: &Slot| slot.anew.kept.bytes();
        self.slots.capacity() * size_of::<Slot>()
            + self.by_identity.capacity() * 5
            + self.free.capacity() * 4
            + self.slots.iter().map(kept).sum::<usize>()
    }
}

impl Anew {
    fn new(now: Nanos) -> Anew {
        Anew {
            seen: now,
            ..Anew::default()
        }
    }

    fn is_silent(&self, now: Nanos, expiry: Nanos) -> bool {
        now.saturating_sub(self.seen) > expiry
    }
}
