//! Counters that `topk` and `limit` stages of a plan folded or counted anew, and up to when that is told.

use super::identity::Identity;
use std::collections::BTreeMap;
use std::rc::Rc;

/// By series.
#[derive(Debug, Clone, Default)]
pub struct Folded(BTreeMap<Rc<Identity>, u64>);

impl Folded {
    /// The latest counts.
    pub fn note(&mut self, id: &Rc<Identity>, told: u64) {
        let known = self.0.entry(id.clone()).or_insert(told);
        *known = told.max(*known);
    }

    /// What others have told, too.
    pub fn unite(&mut self, others: &Folded) {
        for (id, told) in &others.0 {
            self.note(id, *told);
        }
    }

    pub fn take(&mut self, id: &Rc<Identity>) -> Option<u64> {
        self.0.remove(id)
    }
}
