//! A filter of whole entities: all series of one that was idle for long are dropped, or none.
//!
//! Each window says of each entity whether it met every condition; an entity is dropped from one
//! window's edge to the next when it did so in as many windows in a row as are asked for. What is not
//! known is not low: a metric that was not seen in a window, a window that began before the entity was
//! known, a window in which some series found no slot to be measured in. Series of one entity can be
//! dealt to several workers: then worker 0 knows the entities, and tells the others who is dropped
//! ([`agree`](super::agree)).

use super::agree::Dropped;
use crate::Nanos;
use crate::compile;
use crate::document::Comparison;
use crate::engine::Settings;
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
    course: Course,
}

/// What is known of one entity.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Since when it is known; windows that began before it say nothing. On one of several workers:
    /// when it first spoke since worker 0 was told, 0 where it did not.
    pub since: Nanos,
    /// When it last spoke.
    pub seen: Nanos,
    /// Windows in a row in which every condition held, up to that which ends at `low`.
    run: u32,
    /// Series that have a place here.
    series: u32,
    low: Nanos,
}

impl Course {
    /// An entity that speaks for the first time.
    pub fn begins(now: Nanos) -> Course {
        Course {
            since: now,
            seen: now,
            run: 0,
            series: 1,
            low: 0,
        }
    }

    /// A window has ended in which every condition held, or not.
    pub fn judge(&mut self, (start, end): (Nanos, Nanos), held: bool) {
        if !held || self.since > start {
            self.run = 0;
            return;
        }
        let in_a_row = self.run > 0 && self.low == start;
        self.run = if in_a_row {
            self.run.saturating_add(1)
        } else {
            1
        };
        self.low = end;
    }

    /// Whether so many windows in a row, up to the one that ends at `edge`, were low.
    pub fn is_idle(&self, windows: u32, edge: Nanos) -> bool {
        self.run >= windows && self.low == edge
    }
}

/// State of one such filter.
#[derive(Debug)]
pub struct Idle {
    pub(super) bounds: Vec<Comparison>,
    pub(super) windows: u32,
    pub(super) interval: Nanos,
    lateness: Nanos,
    pub(super) measure: Measure,
    entities: Vec<Entity>,
    free: Vec<u32>,
    by_hash: HashMap<u64, u32>,
    /// The last window's end: what was decided there holds until the next.
    edge: Nanos,
    /// When a series last found no slot: until then not all was measured.
    pub(super) full: Option<Nanos>,
    /// Of several workers: who is dropped until the next edge, and when it last spoke.
    dropped: HashMap<u64, Nanos>,
    /// Worker 0 of several: the entities of all.
    pub(super) book: HashMap<u64, Course>,
    pub(super) decided: Option<Dropped>,
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
    pub fn new(filter: &compile::Entities, created: Nanos, settings: &Settings) -> Idle {
        let spans = (filter.interval, filter.lateness);
        let limit = settings.stage_series();
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
            dropped: HashMap::new(),
            book: HashMap::new(),
            decided: None,
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
                entity.course.series += 1;
            }
            return *known;
        }
        let mut course = Course::begins(now);
        if let Some(seen) = self.dropped.get(&hash) {
            // Others of its series are elsewhere.
            (course.run, course.low, course.seen) = (self.windows, self.edge, *seen);
        }
        let entity = Entity { hash, course };
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
        entity.course.series = entity.course.series.saturating_sub(1);
        if entity.course.series == 0 {
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
        let course = &mut entity.course;
        // As one that was forgotten, whether or not it has been swept yet.
        if now.saturating_sub(course.seen) > expiry {
            (course.since, course.run) = (now, 0);
        }
        course.seen = now;
        if course.since == 0 {
            course.since = now;
        }
        let dropped = course.is_idle(self.windows, self.edge);
        // What a baseline gained is not known.
        let unknown = Notes::BASELINED.with(Notes::NEGATIVE);
        let blind = member.by_rate && seen.is_some_and(|seen| seen.notes.has(unknown));
        if let Some(ticket) = member.ticket.filter(|_| !blind) {
            self.measure.take(ticket, point, member.delta, seen, now);
        }
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

    /// A worker alone closes windows: decides who is dropped until the next edge.
    pub fn close(&mut self, now: Nanos) {
        for window in self.measure.close(now) {
            let start = window.end.saturating_sub(self.interval);
            let whole = self.full.is_none_or(|full| full < start);
            for (hash, row) in window.rows() {
                let entity = self.by_hash.get(&hash);
                if let Some(entity) = entity.and_then(|n| self.entities.get_mut(*n as usize)) {
                    let held = self.bounds.iter().zip(row).all(|(c, n)| c.holds(*n));
                    entity.course.judge((start, window.end), whole && held);
                }
            }
        }
        self.edge = self.measure.closed_to();
    }

    /// Which entities spoke since this was last asked: when first and when last.
    pub(super) fn take_spoken(&mut self) -> Vec<(u64, Nanos, Nanos)> {
        let spoken = |entity: &mut Entity| {
            let first = std::mem::take(&mut entity.course.since);
            (first > 0).then_some((entity.hash, first, entity.course.seen))
        };
        self.entities.iter_mut().filter_map(spoken).collect()
    }

    /// One of several workers: who is dropped until the next edge.
    pub fn follow(&mut self, dropped: &Dropped) {
        self.edge = dropped.edge;
        self.dropped = dropped.entities.iter().copied().collect();
        for entity in &mut self.entities {
            let course = &mut entity.course;
            course.run = 0;
            if let Some(seen) = self.dropped.get(&entity.hash) {
                (course.run, course.low) = (self.windows, self.edge);
                course.seen = course.seen.max(*seen);
            }
        }
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
            + self.dropped.capacity() * 17
            + self.book.capacity() * (size_of::<Course>() + 9)
    }
}
