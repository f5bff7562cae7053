//! A filter of whole entities on several workers: each tells what it measured and which entities
//! spoke, worker 0 decides who is dropped until the next edge.

use super::entities::{Course, Idle};
use crate::Nanos;
use crate::stage::entity::Measured;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// What a worker tells where a window ends.
#[derive(Debug, Default)]
pub struct Heard {
    windows: Vec<Measured>,
    /// Entities that spoke since the last time: when first and when last.
    spoken: Vec<(u64, Nanos, Nanos)>,
    /// When a series last found no slot.
    full: Option<Nanos>,
}

/// Who is dropped from an edge on.
#[derive(Debug, Clone)]
pub struct Dropped {
    /// The last window's end.
    pub edge: Nanos,
    /// Hashes, and when each last spoke.
    pub entities: Vec<(u64, Nanos)>,
}

impl Idle {
    /// What this worker knows, where a window ends.
    pub fn tell(&mut self, now: Nanos) -> Option<Heard> {
        let before = self.measure.closed_to();
        let windows = self.measure.close(now);
        (self.measure.closed_to() > before).then(|| Heard {
            windows,
            spoken: self.take_spoken(),
            full: self.full,
        })
    }

    /// Worker 0: decides, on what all have told, who is dropped until the next edge. `expiry`: who was
    /// silent for longer is new.
    pub fn agree(&mut self, (now, expiry): (Nanos, Nanos), others: Vec<Heard>) {
        let Some(own) = self.tell(now) else {
            return;
        };
        let mut all = own;
        for heard in others {
            all.unite(heard);
        }
        self.meet(&all, expiry);
        for window in &all.windows {
            let start = window.end.saturating_sub(self.interval);
            let whole = all.full.is_none_or(|full| full < start);
            for (hash, row) in window.rows() {
                if let Some(course) = self.book.get_mut(&hash) {
                    let held = self.bounds.iter().zip(row).all(|(c, n)| c.holds(*n));
                    course.judge((start, window.end), whole && held);
                }
            }
        }
        let edge = self.measure.closed_to();
        let idle = |(_, course): &(&u64, &Course)| course.is_idle(self.windows, edge);
        let idle = self.book.iter().filter(idle);
        let dropped = Dropped {
            edge,
            entities: idle.map(|(hash, course)| (*hash, course.seen)).collect(),
        };
        self.book
            .retain(|_, course| now.saturating_sub(course.seen) <= expiry);
        self.follow(&dropped);
        self.decided = Some(dropped);
    }

    fn meet(&mut self, all: &Heard, expiry: Nanos) {
        let mut spoken: HashMap<u64, (Nanos, Nanos)> = HashMap::new();
        for (hash, first, last) in &all.spoken {
            let span = spoken.entry(*hash).or_insert((*first, *last));
            *span = (span.0.min(*first), span.1.max(*last));
        }
        for (hash, (first, last)) in spoken {
            match self.book.entry(hash) {
                Entry::Vacant(place) => {
                    place.insert(Course::begins(first)).seen = last;
                }
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    if first.saturating_sub(known.seen) > expiry {
                        *known = Course::begins(first);
                    }
                    known.seen = known.seen.max(last);
                }
            }
        }
    }

    /// What worker 0 has decided for the others.
    pub fn take_decided(&mut self) -> Option<Dropped> {
        self.decided.take()
    }
}

impl Heard {
    fn unite(&mut self, other: Heard) {
        self.spoken.extend(other.spoken);
        self.full = self.full.max(other.full);
        for window in other.windows {
            let at = self.windows.partition_point(|w| w.end < window.end);
            match self.windows.get_mut(at) {
                Some(same) if same.end == window.end => same.unite(&window),
                _ => self.windows.insert(at, window),
            }
        }
    }
}
