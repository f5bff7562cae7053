//! What entities weigh in a window: values and rates of some metrics, summed up over an entity's series.
//!
//! Windows are (start, end], aligned to the Unix epoch, and close at end + lateness, as everywhere. Of
//! a term by *value*, an entity's measure is the sum over its series of the last value in the window;
//! by *rate*, what its series gained in the window (increments as the node's series table sees them,
//! values of deltas, observations of histograms) a second. A late point counts by rate in the window
//! that is open, by value not at all. What several workers measured adds up: [`Measured::unite`].
//!
//! The owner (a stage) keeps a [`Ticket`] a series, gives it back when the series falls silent, and
//! decides on what [`Measure::close`] gives.

use crate::Nanos;
use crate::aggregate::number::{Total, is_finite};
use crate::aggregate::window::grid_end;
use crate::input::{Increment, Observation};
use crate::matcher::Matcher;
use crate::view::{MetricType, PointView, SeriesView, Temporality};
use hashbrown::HashMap;

/// Most terms of one measure.
pub const MOST_TERMS: usize = 16;

/// How a metric weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Its last value in the window.
    Value,
    /// What it gained, a second.
    Rate,
}

/// One metric that weighs.
#[derive(Debug, Clone)]
pub struct Term {
    /// Which series.
    pub matcher: Matcher,
    /// How.
    pub by: By,
    /// Its part in a mix.
    pub weight: f64,
}

/// A series' place in a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    series: u32,
    entity: u32,
}

/// Terms that a series is part of, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    value: u16,
    rate: u16,
}

impl Part {
    /// The terms of a series; empty where it is part of none.
    pub fn of(terms: &[Term], series: &SeriesView<'_>) -> Part {
        let mut part = Part::default();
        for (bit, term) in terms.iter().enumerate().take(MOST_TERMS) {
            if term.matcher.matches(series) {
                match term.by {
                    By::Value => part.value |= 1 << bit,
                    By::Rate => part.rate |= 1 << bit,
                }
            }
        }
        part
    }

    /// The same without what says nothing: the value of a counter, and the rate of what has none.
    pub fn telling(terms: &[Term], series: &SeriesView<'_>) -> Part {
        let metric = &series.metric;
        let delta = metric.temporality == Temporality::Delta;
        let counter = metric.temporality == Temporality::Cumulative
            && (metric.monotonic || metric.kind != MetricType::Sum);
        let (value, rate) = match metric.kind {
            MetricType::Gauge => (true, false),
            MetricType::Summary => (false, false),
            MetricType::Sum => (delta || !metric.monotonic, delta || counter),
            MetricType::Histogram | MetricType::ExponentialHistogram => (false, delta || counter),
        };
        let part = Part::of(terms, series);
        Part {
            value: if value { part.value } else { 0 },
            rate: if rate { part.rate } else { 0 },
        }
    }

    /// Whether some term asks for its increments.
    pub fn has_rate(self) -> bool {
        self.rate != 0
    }

    /// The first term alone.
    pub fn first(by: By) -> Part {
        match by {
            By::Value => Part { value: 1, rate: 0 },
            By::Rate => Part { value: 0, rate: 1 },
        }
    }

    /// Whether it is part of none.
    pub fn is_empty(self) -> bool {
        self.value == 0 && self.rate == 0
    }
}

/// Measures of one closed window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Its end.
    pub end: Nanos,
    /// Entities with a measure, by their hash.
    pub entities: Vec<u64>,
    /// Their measures, one a term, entity after entity; NaN where an entity has none.
    pub terms: Vec<f64>,
}

impl Measured {
    /// Each entity with its measures.
    pub fn rows(&self) -> impl Iterator<Item = (u64, &[f64])> {
        let terms = self.width();
        self.entities
            .iter()
            .copied()
            .zip(self.terms.chunks_exact(terms))
    }

    fn width(&self) -> usize {
        (self.terms.len() / self.entities.len().max(1)).max(1)
    }

    /// Takes what another worker measured in the same window.
    pub fn unite(&mut self, other: &Measured) {
        if other.entities.is_empty() {
            return;
        }
        let width = if self.entities.is_empty() {
            other.width()
        } else {
            self.width()
        };
        let mut places: HashMap<u64, usize> = self.entities.iter().copied().zip(0..).collect();
        for (entity, row) in other.rows() {
            let place = *places.entry(entity).or_insert_with(|| {
                self.entities.push(entity);
                self.terms.extend(std::iter::repeat_n(f64::NAN, width));
                self.entities.len() - 1
            });
            for (bit, more) in row.iter().enumerate().filter(|(_, n)| !n.is_nan()) {
                if let Some(cell) = self.terms.get_mut(place * width + bit) {
                    add(cell, *more);
                }
            }
        }
    }
}

/// The measures of a stage's entities.
#[derive(Debug)]
pub struct Measure {
    terms: usize,
    interval: Nanos,
    lateness: Nanos,
    closed_to: Nanos,
    limit: usize,
    entities: Slab<Entity>,
    by_hash: HashMap<u64, u32>,
    series: Slab<Part>,
    open: Vec<Window>,
    pool: Vec<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Entity {
    hash: u64,
    series: u32,
}

/// One open window.
#[derive(Debug, Default)]
struct Window {
    end: Nanos,
    /// Gained: `entity * terms + term`; NaN: nothing came.
    gained: Vec<f64>,
    /// Last time and value by series; a NaN: none came.
    last: Vec<(Nanos, f64)>,
    /// Entity of each series in `last`.
    of: Vec<u32>,
}

impl Measure {
    /// A measure of so many terms. Windows that end at or before `created` are closed; at most
    /// `limit` entities and `limit` series.
    pub fn new(
        terms: usize,
        (interval, lateness): (Nanos, Nanos),
        created: Nanos,
        limit: usize,
    ) -> Measure {
        let interval = interval.max(1);
        Measure {
            terms: terms.clamp(1, MOST_TERMS),
            interval,
            lateness,
            closed_to: created - created % interval,
            limit,
            entities: Slab::default(),
            by_hash: HashMap::new(),
            series: Slab::default(),
            open: Vec::new(),
            pool: Vec::new(),
        }
    }

    /// A place for a series of the entity with this hash; `None` beyond the limit.
    pub fn join(&mut self, hash: u64, part: Part) -> Option<Ticket> {
        if self.series.live >= self.limit {
            return None;
        }
        let entity = match self.by_hash.get(&hash) {
            Some(known) => *known,
            None => {
                let number = self.entities.add(Entity { hash, series: 0 });
                self.by_hash.insert(hash, number);
                number
            }
        };
        if let Some(of) = self.entities.get_mut(entity) {
            of.series += 1;
        }
        let series = self.series.add(part);
        Some(Ticket { series, entity })
    }

    /// Gives a place back: the series has been silent for long.
    pub fn leave(&mut self, ticket: Ticket) {
        self.series.remove(ticket.series);
        for window in &mut self.open {
            if let Some(last) = window.last.get_mut(ticket.series as usize) {
                *last = (0, f64::NAN);
            }
        }
        let Some(entity) = self.entities.get_mut(ticket.entity) else {
            return;
        };
        entity.series -= 1;
        if entity.series == 0 {
            let hash = entity.hash;
            self.entities.remove(ticket.entity);
            self.by_hash.remove(&hash);
            let at = ticket.entity as usize * self.terms;
            for window in &mut self.open {
                if let Some(cells) = window.gained.get_mut(at..at + self.terms) {
                    cells.fill(f64::NAN);
                }
            }
        }
    }

    /// Takes a point of a series.
    #[inline]
    pub fn take(
        &mut self,
        ticket: Ticket,
        point: &PointView<'_>,
        delta: bool,
        seen: Option<&Observation<'_>>,
        now: Nanos,
    ) {
        let Some(part) = self.series.get(ticket.series).copied() else {
            return;
        };
        if part.is_empty() || point.no_recorded_value() {
            return;
        }
        let late = point.time <= self.closed_to;
        let ahead = point.time > now.saturating_add(self.lateness);
        let end = if late || ahead {
            grid_end(now.max(self.closed_to + 1), self.interval)
        } else {
            grid_end(point.time, self.interval)
        };
        let (terms, entity) = (self.terms, ticket.entity as usize);
        if part.rate != 0
            && let Some(gain) = gained(point, delta, seen)
        {
            let window = self.window(end);
            let at = entity * terms;
            if window.gained.len() < at + terms {
                window.gained.resize(at + terms, f64::NAN);
            }
            for bit in bits(part.rate) {
                if let Some(cell) = window.gained.get_mut(at + bit) {
                    add(cell, gain);
                }
            }
        }
        if part.value != 0
            && !late
            && let Some(value) = point.number.filter(|n| is_finite(*n))
        {
            let window = self.window(end);
            let at = ticket.series as usize;
            if window.last.len() <= at {
                window.last.resize(at + 1, (0, f64::NAN));
                window.of.resize(at + 1, 0);
            }
            if let (Some(last), Some(of)) = (window.last.get_mut(at), window.of.get_mut(at)) {
                if last.1.is_nan() || point.time >= last.0 {
                    *last = (point.time, value.as_f64());
                }
                *of = ticket.entity;
            }
        }
    }

    /// Closes the windows with end + lateness <= now, oldest first. A window in which nothing was
    /// measured is not among them.
    pub fn close(&mut self, now: Nanos) -> Vec<Measured> {
        let due = now.saturating_sub(self.lateness);
        let due = due - due % self.interval;
        self.closed_to = self.closed_to.max(due);
        let count = self.open.partition_point(|w| w.end <= due);
        let closing: Vec<Window> = self.open.drain(..count).collect();
        let mut closed = Vec::with_capacity(count);
        for mut window in closing {
            closed.push(self.measured(&window));
            window.gained.clear();
            window.last.clear();
            window.of.clear();
            self.pool.push(window);
        }
        self.pool.truncate(2);
        closed
    }

    /// End of the last window that has closed.
    pub fn closed_to(&self) -> Nanos {
        self.closed_to
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        let of =
            |w: &Window| w.gained.capacity() * 8 + w.last.capacity() * 16 + w.of.capacity() * 4;
        let windows: usize = self.open.iter().chain(&self.pool).map(of).sum();
        windows
            + self.by_hash.capacity() * 13
            + self.entities.slots.capacity() * size_of::<Option<Entity>>()
            + self.series.slots.capacity() * size_of::<Option<Part>>()
    }

    fn window(&mut self, end: Nanos) -> &mut Window {
        let at = self.open.partition_point(|w| w.end < end);
        if self.open.get(at).is_none_or(|w| w.end != end) {
            let mut window = self.pool.pop().unwrap_or_default();
            window.end = end;
            self.open.insert(at, window);
        }
        // Just put there if it was not.
        &mut self.open[at]
    }

    fn measured(&self, window: &Window) -> Measured {
        let mut cells = vec![f64::NAN; self.entities.slots.len() * self.terms];
        let seconds = self.interval as f64 / 1e9;
        for (cell, gained) in cells.iter_mut().zip(&window.gained) {
            *cell = gained / seconds;
        }
        for (series, ((_, value), entity)) in window.last.iter().zip(&window.of).enumerate() {
            let part = self.series.slots.get(series).copied().flatten();
            let Some(part) = part.filter(|_| !value.is_nan()) else {
                continue;
            };
            for bit in bits(part.value) {
                if let Some(cell) = cells.get_mut(*entity as usize * self.terms + bit) {
                    add(cell, *value);
                }
            }
        }
        let mut measured = Measured {
            end: window.end,
            ..Measured::default()
        };
        for (entity, row) in self.entities.slots.iter().zip(cells.chunks(self.terms)) {
            if let Some(entity) = entity.filter(|_| row.iter().any(|n| !n.is_nan())) {
                measured.entities.push(entity.hash);
                measured.terms.extend_from_slice(row);
            }
        }
        measured
    }
}

/// What a point adds to its series; `None` where that is not known.
fn gained(point: &PointView<'_>, delta: bool, seen: Option<&Observation<'_>>) -> Option<f64> {
    let gain = match (point.kind, seen.map(|seen| seen.increment)) {
        (_, Some(Increment::Number(total))) => total.as_f64(),
        (_, Some(Increment::Explicit(h))) => h.count as f64,
        (_, Some(Increment::Exponential(h))) => h.count as f64,
        // A duplicate or a baseline: the series spoke, and gained nothing that is known.
        (MetricType::Gauge | MetricType::Summary, _) => return None,
        (_, Some(Increment::None)) => 0.0,
        (MetricType::Sum, None) if delta => Total::from(point.number?).as_f64(),
        (MetricType::Histogram | MetricType::ExponentialHistogram, None) if delta => {
            crate::aggregate::read::count(point.body) as f64
        }
        _ => return None,
    };
    gain.is_finite().then_some(gain)
}

fn add(cell: &mut f64, more: f64) {
    *cell = if cell.is_nan() { more } else { *cell + more };
}

fn bits(set: u16) -> impl Iterator<Item = usize> {
    (0..MOST_TERMS).filter(move |bit| set & (1 << bit) != 0)
}

/// Numbered places; free ones are used again.
#[derive(Debug)]
struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    live: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            slots: Vec::new(),
            free: Vec::new(),
            live: 0,
        }
    }
}

impl<T> Slab<T> {
    fn add(&mut self, item: T) -> u32 {
        self.live += 1;
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        if let Some(slot) = self.slots.get_mut(number as usize) {
            *slot = Some(item);
        }
        number
    }

    fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(number as usize)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    fn remove(&mut self, number: u32) {
        if let Some(slot) = self.slots.get_mut(number as usize)
            && slot.take().is_some()
        {
            self.live -= 1;
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests;
