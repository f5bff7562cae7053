//! A filter of whole entities: all series of one that was idle for long are dropped, or none.
//!
//! Each window says of each entity whether it met every condition; an entity is dropped from one
//! window's edge to the next when it did so in as many windows in a row as are asked for. What is not
//! known is not low: a metric that was not seen in a window, a window that began before the entity was
//! known, a window in which some series found no slot to be measured in.

use crate::Nanos;
use crate::compile;
use crate::document::Comparison;
use crate::input::{Notes, Observation};
use crate::route::Rule;
use crate::stage::entity::{Measure, Part, Ticket};
use crate::stage::gate::Verdict;
use crate::view::{PointView, SeriesView, Temporality};
use hashbrown::HashMap;

/// A series of an entity.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    entity: u32,
    /// Its place in the measure, where it is measured.
    ticket: Option<Ticket>,
    /// Whether increments are measured.
    by_rate: bool,
    delta: bool,
    /// Whether it is dropped with its entity.
    gated: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entity {
    hash: u64,
    series: u32,
    /// Since when it is known; windows that began before it say nothing.
    since: Nanos,
    /// When it last spoke.
    seen: Nanos,
    /// Windows in a row in which every condition held, up to that which ends at `low`.
    run: u32,
    low: Nanos,
}

/// State of one such filter.
#[derive(Debug)]
pub struct Idle {
    bounds: Vec<Comparison>,
    windows: u32,
    interval: Nanos,
    lateness: Nanos,
    measure: Measure,
    entities: Vec<Entity>,
    free: Vec<u32>,
    by_hash: HashMap<u64, u32>,
    /// The last window's end: what was decided there holds until the next.
    edge: Nanos,
    /// When a series last found no slot: until then not all was measured.
    full: Option<Nanos>,
}

/// What of a series matters to the filter.
#[derive(Debug, Clone, Copy)]
pub struct Stake {
    part: Part,
    delta: bool,
    gated: bool,
}

impl Stake {
    /// `None` where the filter neither measures nor drops the series.
    pub fn of(filter: &compile::Entities, series: &SeriesView<'_>) -> Option<Stake> {
        let stake = Stake {
            part: Part::telling(&filter.terms, series),
            delta: series.metric.temporality == Temporality::Delta,
            gated: filter.matcher.matches(series),
        };
        (stake.gated || !stake.part.is_empty()).then_some(stake)
    }
}

impl Idle {
    /// A filter that knows no entity.
    pub fn new(filter: &compile::Entities, created: Nanos, limit: usize) -> Idle {
        let spans = (filter.interval, filter.lateness);
        Idle {
            bounds: filter.bounds.clone(),
            windows: filter.windows,
            interval: filter.interval,
            lateness: filter.lateness,
            measure: Measure::new(filter.bounds.len(), spans, created, limit),
            entities: Vec::new(),
            free: Vec::new(),
            by_hash: HashMap::new(),
            edge: created - created % filter.interval,
            full: None,
        }
    }

    /// A place for a series of the entity with this hash.
    pub fn join(&mut self, hash: u64, stake: Stake, now: Nanos) -> Member {
        let entity = self.entity(hash, now);
        let ticket = if stake.part.is_empty() {
            None
        } else {
            let ticket = self.measure.join(hash, stake.part);
            if ticket.is_none() {
                self.is_full(now);
            }
            ticket
        };
        Member {
            entity,
            ticket,
            by_rate: stake.part.has_rate(),
            delta: stake.delta,
            gated: stake.gated,
        }
    }

    fn entity(&mut self, hash: u64, now: Nanos) -> u32 {
        if let Some(known) = self.by_hash.get(&hash) {
            if let Some(entity) = self.entities.get_mut(*known as usize) {
                entity.series += 1;
            }
            return *known;
        }
        let entity = Entity {
            hash,
            series: 1,
            since: now,
            seen: now,
            run: 0,
            low: 0,
        };
        let number = self.free.pop().unwrap_or(self.entities.len() as u32);
        match self.entities.get_mut(number as usize) {
            Some(place) => *place = entity,
            None => self.entities.push(entity),
        }
        self.by_hash.insert(hash, number);
        number
    }

    /// Gives a place back: the series has been silent for long.
    pub fn leave(&mut self, member: &Member) {
        if let Some(ticket) = member.ticket {
            self.measure.leave(ticket);
        }
        let Some(entity) = self.entities.get_mut(member.entity as usize) else {
            return;
        };
        entity.series = entity.series.saturating_sub(1);
        if entity.series == 0 {
            self.by_hash.remove(&entity.hash);
            self.free.push(member.entity);
        }
    }

    /// A series that matters found no place.
    pub fn is_full(&mut self, now: Nanos) {
        self.full = Some(now);
    }

    /// Measures a point and decides about it.
    #[inline]
    pub fn decide(
        &mut self,
        member: &Member,
        point: &PointView<'_>,
        seen: Option<&Observation<'_>>,
        (now, expiry): (Nanos, Nanos),
    ) -> Verdict {
        let Some(entity) = self.entities.get_mut(member.entity as usize) else {
            return Verdict::Pass;
        };
        // As one that was forgotten, whether or not it has been swept yet.
        if now.saturating_sub(entity.seen) > expiry {
            (entity.since, entity.run) = (now, 0);
        }
        entity.seen = now;
        // What a baseline gained is not known.
        let blind = member.by_rate && seen.is_some_and(|seen| seen.notes.has(Notes::BASELINED));
        if let Some(ticket) = member.ticket.filter(|_| !blind) {
            self.measure.take(ticket, point, member.delta, seen, now);
        }
        let dropped = entity.run >= self.windows && entity.low == self.edge;
        if member.gated && dropped {
            Verdict::Filtered(Rule::Entity)
        } else {
            Verdict::Pass
        }
    }

    /// Whether increments of the member's series are asked for.
    pub fn observes(member: &Member) -> bool {
        member.by_rate
    }

    /// Closes windows: decides who is dropped until the next edge.
    pub fn close(&mut self, now: Nanos) {
        for window in self.measure.close(now) {
            let start = window.end.saturating_sub(self.interval);
            let whole = self.full.is_none_or(|full| full < start);
            for (hash, row) in window.rows() {
                let Some(entity) = self
                    .by_hash
                    .get(&hash)
                    .and_then(|n| self.entities.get_mut(*n as usize))
                else {
                    continue;
                };
                let mut held = self.bounds.iter().zip(row);
                if !whole || entity.since > start || !held.all(|(c, n)| c.holds(*n)) {
                    entity.run = 0;
                    continue;
                }
                let in_a_row = entity.run > 0 && entity.low == start;
                entity.run = if in_a_row {
                    entity.run.saturating_add(1)
                } else {
                    1
                };
                entity.low = window.end;
            }
        }
        self.edge = self.measure.closed_to();
    }

    /// A series must be kept for so long, as an open window may hold what it said.
    pub fn patience(&self) -> Nanos {
        self.interval
            .saturating_add(self.lateness.saturating_mul(2))
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        self.measure.bytes()
            + self.entities.capacity() * size_of::<Entity>()
            + self.by_hash.capacity() * 13
    }
}
