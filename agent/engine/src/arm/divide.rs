//! How a split divides: by the hash of each series' entity, the same on every node.

use crate::identity::Canonical;
use crate::report::Cardinality;
use crate::sketch::Sketch;
use crate::view::SeriesView;
use hashbrown::HashSet;

/// A split, ready to divide.
#[derive(Debug, Clone)]
pub struct Split {
    /// Attribute keys in byte order.
    pub entity: Vec<String>,
    /// The candidate's share, 0 to 1.
    pub share: f64,
    /// Seed of the entity hash.
    pub seed: u64,
    /// Entity hash by series of the node's table, as its route was resolved; 0 for none.
    hashes: Vec<u64>,
}

impl Split {
    /// A split by these keys.
    pub fn new(mut entity: Vec<String>, percent: f64, seed: u64) -> Split {
        entity.sort_unstable();
        Split {
            entity,
            share: percent / 100.0,
            seed,
            hashes: Vec::new(),
        }
    }

    /// The entity hash of a series, kept for [`Split::hash`]; `None` where it lacks a key: then it
    /// belongs to the baseline and is outside the comparison.
    pub fn divide(
        &mut self,
        view: &SeriesView<'_>,
        series: u32,
        canonical: &mut Canonical,
    ) -> Option<u64> {
        let hash = canonical.entity_hash(view, &self.entity, self.seed);
        let place = series as usize;
        if place < crate::series::memo::MOST {
            if place >= self.hashes.len() {
                self.hashes.resize(place + 1, 0);
            }
            if let Some(slot) = self.hashes.get_mut(place) {
                *slot = hash.unwrap_or(0);
            }
        }
        hash
    }

    /// The series belongs to no entity.
    pub fn leave_out(&mut self, series: u32) {
        if let Some(slot) = self.hashes.get_mut(series as usize) {
            *slot = 0;
        }
    }

    /// The entity hash of a series whose route was resolved.
    pub fn hash(&self, series: u32) -> Option<u64> {
        self.hashes
            .get(series as usize)
            .copied()
            .filter(|hash| *hash != 0)
    }
}

/// Distinct entities since the last cut.
#[derive(Debug, Clone, Default)]
pub struct Entities {
    seen: HashSet<u64>,
    full: bool,
    sketch: Sketch,
}

impl Entities {
    /// Counts one, of at most `limit` that are counted exactly.
    pub fn add(&mut self, hash: u64, limit: usize) {
        if self.seen.len() >= limit && !self.seen.contains(&hash) {
            self.full = true;
            self.sketch.insert(u128::from(hash));
        } else if self.seen.insert(hash) {
            self.sketch.insert(u128::from(hash));
        }
    }

    /// How many; and which, where other workers may have seen the same.
    pub fn cardinality(&self, shared: bool) -> Cardinality {
        Cardinality {
            exact: (!self.full).then_some(self.seen.len() as u64),
            sketch: self.sketch.clone(),
            seen: shared.then(|| self.seen.clone()),
        }
    }

    /// Begins to count anew.
    pub fn reset(&mut self) {
        self.seen.clear();
        self.full = false;
        self.sketch = Sketch::default();
    }
}
