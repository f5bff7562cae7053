//! What every worker has: an engine, its lane to the next hop, its clock.

use super::outlets::Outlets;
use super::{Accepted, Refused, Request, Shared};
use crate::clock::Clock;
use crate::exporters::queue::Run;
use crate::limits;
use bytes::Bytes;
use phoenix_engine::Nanos;
use phoenix_engine::engine::{Emitted, Engine};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What writing a point of a window takes until it is in the queue, bytes: its output, made at the
/// first close, its partial, and the request. Measured on counters with a few attributes and one
/// worker: 1.1 kB.
const WRITTEN: usize = 2048;
/// Between two looks at memory, nanoseconds.
const LOOK: Nanos = 1_000_000;

/// One worker's own.
pub struct Core {
    pub shared: Arc<Shared>,
    pub engine: Engine,
    pub outlets: Outlets,
    pub clock: Clock,
    /// Its number, and its lane in every queue.
    pub lane: usize,
    /// What of an experiment runs here.
    pub run: Option<Run>,
    /// When memory was last looked at.
    pub looked: Nanos,
}

impl Core {
    /// Why a request cannot be taken now.
    pub fn refusal(&mut self, now: Nanos) -> Option<Refused> {
        if self.outlets.is_full() {
            return Some(Refused::QUEUE_FULL);
        }
        self.is_memory_short(now).then_some(Refused::MEMORY_SHORT)
    }

    /// Takes a request in.
    pub fn feed(&mut self, bytes: &Bytes, now: Nanos) -> Result<Accepted, Refused> {
        let fed = self.engine.feed(bytes, now)?;
        self.emit(fed.emitted);
        Ok(Accepted {
            received: fed.received,
            rejected: fed.rejected,
            reason: fed.reason,
        })
    }

    /// Answers a request that `feed` has dealt with. Points that its receiver had rejected.
    pub fn answer(
        &self,
        request: Request,
        mut answer: Result<Accepted, Refused>,
        of_receiver: u64,
    ) -> u64 {
        let mut rejected = 0;
        if let Ok(accepted) = &mut answer {
            accepted.received += of_receiver;
            accepted.rejected += of_receiver;
            rejected = of_receiver;
            if request.first {
                let stats = &self.shared.stats;
                stats.requests_accepted.fetch_add(1, Ordering::Relaxed);
            }
        }
        let Request {
            bytes, hold, done, ..
        } = request;
        drop((bytes, hold));
        // A sender that has gone away may send again: the points are counted where they are.
        let _gone = done.send(answer);
        rejected
    }

    /// Puts what the engine wrote into this worker's lanes.
    pub fn emit(&self, emitted: Emitted) {
        self.outlets.emit(self.lane, emitted, self.run.as_ref());
    }

    /// The watch looks twenty times a second; a flood of new series fills a small node between two
    /// looks, so that the worker looks as well.
    fn is_memory_short(&mut self, now: Nanos) -> bool {
        let stats = &self.shared.stats;
        let refuse_at = stats.refuse_at.load(Ordering::Relaxed);
        if refuse_at > 0 && now.saturating_sub(self.looked) > LOOK {
            self.looked = now;
            // Open windows are written while their state is still there.
            let own = self.engine.to_write() as u64;
            let reserve = stats.to_write(self.lane, own) * WRITTEN as u64;
            if limits::private().is_some_and(|used| used as u64 + reserve >= refuse_at) {
                stats.memory_short.store(true, Ordering::Relaxed);
            }
        }
        stats.memory_short.load(Ordering::Relaxed)
    }

    /// Notes that the worker goes on.
    pub fn ticked(&mut self) {
        let now = self.clock.now();
        if let Some(own) = self.shared.stats.workers.get(self.lane) {
            own.last_tick.store(now, Ordering::Relaxed);
            let cpu = (limits::thread_cpu() * 1e9) as u64;
            own.cpu_nanos.store(cpu, Ordering::Relaxed);
        }
    }
}
