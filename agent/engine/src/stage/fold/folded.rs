//! What a plan hands to the next one of its `topk` and `limit` stages.

use crate::Nanos;
use hashbrown::HashMap;

/// Counters of which not all is told in their own series as it came, by identity: up to when it is told.
#[derive(Debug, Clone, Default)]
pub struct Folded(HashMap<u128, Nanos>);

impl Folded {
    /// Of what several stages or arms have told, the latest counts.
    pub fn note(&mut self, identity: u128, told: Nanos) {
        let known = self.0.entry(identity).or_default();
        *known = told.max(*known);
    }

    /// Adds what others have told.
    pub fn unite(&mut self, others: &Folded) {
        self.0.reserve(others.0.len());
        others.0.iter().for_each(|(id, told)| self.note(*id, *told));
    }

    /// Whether a counter is among them.
    pub fn contains(&self, identity: u128) -> bool {
        self.0.contains_key(&identity)
    }

    /// Up to when a counter is told; it is no longer among them.
    pub fn take(&mut self, identity: u128) -> Option<Nanos> {
        self.0.remove(&identity)
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        self.0.capacity() * (size_of::<(u128, Nanos)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_of_two_arms_counts() {
        let (mut all, mut candidate) = (Folded::default(), Folded::default());
        for (id, told) in [(1, 20), (2, 5)] {
            all.note(id, told);
        }
        for (id, told) in [(1, 10), (2, 15), (3, 0)] {
            candidate.note(id, told);
        }
        all.unite(&candidate);
        let told = [1, 2, 3].map(|id| all.take(id));
        assert_eq!(told, [Some(20), Some(15), Some(0)]);
        assert!(!all.contains(1));
    }
}
