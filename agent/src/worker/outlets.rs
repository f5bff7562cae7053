//! Where the engine's output goes: into lanes of queues, one a worker.

use crate::exporters::queue::{Queue, Run};
use bytes::Bytes;
use phoenix_engine::engine::Emitted;
use std::sync::Arc;

/// Where the engine's output goes.
#[derive(Debug, Clone)]
pub struct Outlets {
    /// The next hop; the ledger follows this one.
    pub next_hop: Arc<Queue>,
    /// Copies of the same stream.
    pub copies: Vec<Arc<Queue>>,
    /// A shadow candidate's output.
    pub shadow: Option<Arc<Queue>>,
    /// What baseline and candidate write while there are two arms, for a second account of it.
    pub witness: Option<[Arc<Queue>; 2]>,
}

impl Outlets {
    /// Puts what an engine wrote into a worker's lanes.
    pub(super) fn emit(&self, lane: usize, emitted: Emitted, run: Option<&Run>) {
        if let (Some(queues), Some(run)) = (&self.witness, run) {
            let arms = by_arm(&emitted);
            for (queue, (bytes, points)) in queues.iter().zip(arms) {
                offer(queue, lane, bytes, points, Some(run.clone()));
            }
        }
        for copy in &self.copies {
            copy.push_to(lane, emitted.out.clone(), emitted.points);
        }
        self.next_hop.push_to(lane, emitted.out, emitted.points);
        if let Some(shadow) = &self.shadow {
            offer(shadow, lane, emitted.shadow, emitted.shadow_points, None);
        }
    }

    /// Whether new requests must be refused.
    pub(super) fn is_full(&self) -> bool {
        self.next_hop.is_full() || self.copies.iter().any(|q| q.is_full())
    }

    /// Puts a sync into a worker's lanes of the streams that have marks.
    pub(super) fn sync(&self, lane: usize, sync: u64) {
        self.next_hop.sync(lane, sync);
        if let Some(shadow) = &self.shadow {
            shadow.sync(lane, sync);
        }
    }

    /// No more will come from a worker.
    pub(super) fn close(&self, lane: usize) {
        let witness = self.witness.iter().flatten();
        for queue in self.copies.iter().chain(&self.shadow).chain(witness) {
            queue.close(lane);
        }
        self.next_hop.close(lane);
    }
}

/// Must never slow the baseline: what does not fit is lost and counted.
fn offer(queue: &Queue, lane: usize, bytes: Bytes, points: u64, run: Option<Run>) {
    if queue.is_full() {
        queue.lose(lane, points);
    } else {
        queue.push_of(lane, bytes, points, run);
    }
}

/// Baseline and candidate: what each wrote.
fn by_arm(emitted: &Emitted) -> [(Bytes, u64); 2] {
    let (bytes, points) = emitted.candidate;
    let at = emitted.out.len().saturating_sub(bytes);
    let candidate = match bytes {
        0 => (emitted.shadow.clone(), emitted.shadow_points),
        _ => (emitted.out.slice(at..), points),
    };
    let baseline = (emitted.out.slice(..at), emitted.points - points);
    [baseline, candidate]
}
