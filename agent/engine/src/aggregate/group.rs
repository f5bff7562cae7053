//! Groups: one output series each, found by its identity.

use super::head::Head;
use super::rules::Kind;
use crate::Nanos;
use crate::slab::Slab;
use hashbrown::HashTable;
use std::sync::Arc;

/// What the worker side knows of one output.
#[derive(Debug)]
pub struct Group {
    /// Identity, place, attributes.
    pub head: Arc<Head>,
    /// How its points add up.
    pub kind: Kind,
    /// Start of its first epoch, as of when its first input spoke.
    pub start: Nanos,
    /// Now when an input last spoke, as of the last closed window.
    pub seen: Nanos,
    /// Inputs that sit in it.
    pub members: u32,
    /// Whether all inputs had the same resource schema_url.
    pub url_agrees: bool,
    /// Common bounds of all explicit histograms seen; `None` before the first.
    pub bounds: Option<Vec<f64>>,
    /// Whether it takes what found no room.
    pub overflow: bool,
    /// No window of it has closed yet.
    pub fresh: bool,
}

/// Where an output goes, for explanations.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Identity of the output.
    pub identity: u128,
    /// Its metric name.
    pub name: &'a str,
    /// Inputs that are live in it.
    pub inputs: u32,
}

impl Group {
    /// A group whose first input speaks now.
    pub fn new(head: Arc<Head>, kind: Kind, start: Nanos, now: Nanos) -> Group {
        Group {
            head,
            kind,
            start,
            seen: now,
            members: 0,
            url_agrees: true,
            bounds: None,
            overflow: false,
            fresh: true,
        }
    }

    /// Where it goes.
    pub fn place(&self) -> Place<'_> {
        Place {
            identity: self.head.identity,
            name: std::str::from_utf8(&self.head.name).unwrap_or_default(),
            inputs: self.members,
        }
    }
}

/// All groups, by slot.
#[derive(Debug, Default)]
pub struct Groups {
    slots: Slab<Option<Group>>,
    free: Vec<u32>,
    /// Slots by identity, which stands in the head.
    by_identity: HashTable<u32>,
}

impl Groups {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_identity.len()
    }

    /// Slots, free ones included.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The group in a slot.
    pub fn get(&self, slot: u32) -> Option<&Group> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// The group in a slot.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Group> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The slot of an output. Canonical bytes are compared, so two outputs never mix.
    pub fn find(&self, identity: u128, canonical: &[u8]) -> Option<u32> {
        let slot = self.known(identity)?;
        let same = self
            .get(slot)
            .is_some_and(|g| *g.head.canonical == *canonical);
        same.then_some(slot)
    }

    fn known(&self, identity: u128) -> Option<u32> {
        let same = |slot: &u32| self.get(*slot).is_some_and(|g| g.head.identity == identity);
        self.by_identity.find(identity as u64, same).copied()
    }

    /// Adds a group; `None` where another output has the same hash (or the slots are used up).
    pub fn insert(&mut self, group: Group) -> Option<u32> {
        let identity = group.head.identity;
        if self.known(identity).is_some() {
            return None;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.slots.get_mut(slot as usize)? = Some(group);
                slot
            }
            None => {
                self.slots.push(Some(group));
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        let slots = &self.slots;
        let hash = |slot: &u32| {
            let group = slots.get(*slot as usize).and_then(Option::as_ref);
            group.map_or(0, |g| g.head.identity as u64)
        };
        self.by_identity.insert_unique(identity as u64, slot, hash);
        Some(slot)
    }

    /// Frees one group.
    pub fn remove(&mut self, slot: u32) -> Option<Group> {
        let group = self.slots.get_mut(slot as usize)?.take()?;
        let hash = group.head.identity as u64;
        if let Ok(found) = self.by_identity.find_entry(hash, |known| *known == slot) {
            found.remove();
        }
        self.free.push(slot);
        Some(group)
    }

    /// Frees groups for which `gone` holds.
    pub fn remove_if(&mut self, mut gone: impl FnMut(u32, &Group) -> bool) {
        for (slot, place) in (0u32..).zip(self.slots.iter_mut()) {
            if let Some(group) = place
                && gone(slot, group)
            {
                let hash = group.head.identity as u64;
                if let Ok(found) = self.by_identity.find_entry(hash, |known| *known == slot) {
                    found.remove();
                }
                *place = None;
                self.free.push(slot);
            }
        }
    }

    /// Estimate of the bytes.
    pub fn bytes(&self) -> usize {
        let own: usize = self
            .slots
            .iter()
            .flatten()
            .map(|g| g.head.canonical.len() + g.head.attributes.len() + size_of::<Head>())
            .sum();
        own + self.slots.capacity() * size_of::<Option<Group>>() + self.by_identity.capacity() * 5
    }
}
