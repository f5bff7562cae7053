//! The filter of whole entities: idle ones are dropped, from one window's edge to the next.

use super::document::{self, LATENESS, duration};
use super::filter::has_value;
use super::identity::{Identity, Kind, Temporality, put_value};
use super::matcher;
use super::point::{Data, Point};
use super::progress::{Amount, Step, amount, step};
use super::tracker::{Before, finite};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The values of an entity's keys.
type Entity = Vec<u8>;

/// One condition of one entity in one window.
#[derive(Debug, Clone, Default)]
struct Cell {
    /// Time and value of the last point of each series.
    last: BTreeMap<Rc<Identity>, (u64, f64)>,
    gained: Option<f64>,
}

#[derive(Debug, Clone)]
struct Known {
    since: u64,
    seen: u64,
    /// Ends of the windows in which every condition held.
    low: Vec<u64>,
}

/// One filter of entities.
#[derive(Debug, Clone)]
pub struct Idle {
    spec: document::Filter,
    keys: Vec<String>,
    interval: u64,
    lateness: u64,
    windows: usize,
    began: u64,
    known: BTreeMap<Entity, Known>,
    open: BTreeMap<u64, BTreeMap<(Entity, usize), Cell>>,
    edge: u64,
}

impl Idle {
    pub fn new(spec: &document::Filter, created: u64, began: u64, patience: u64) -> Idle {
        let interval = spec.interval.as_deref().map_or(60_000_000_000, duration);
        let lasting = spec.lasting.as_deref().map_or(300_000_000_000, duration);
        let mut keys = spec.entity.clone().expect("an entity");
        keys.sort();
        Idle {
            spec: spec.clone(),
            keys,
            interval,
            lateness: LATENESS.max(patience),
            windows: (lasting / interval) as usize,
            began,
            known: BTreeMap::new(),
            open: BTreeMap::new(),
            edge: created / interval * interval,
        }
    }

    fn entity(&self, id: &Identity) -> Option<Entity> {
        let mut entity = Entity::new();
        for key in &self.keys {
            put_value(&mut entity, id.lookup(key)?);
        }
        Some(entity)
    }

    fn conditions(&self) -> &[document::When] {
        self.spec.drop_when.as_deref().expect("conditions")
    }

    /// Whether a condition measures the series.
    fn measures(when: &document::When, id: &Identity) -> bool {
        let tells = if when.is_rate() {
            has_rate(id)
        } else {
            has_value(id)
        };
        tells && matcher::matches(&when.series(), id)
    }

    /// Whether it has to do with the series.
    pub fn decides(&self, id: &Identity) -> bool {
        let measured = || {
            self.conditions()
                .iter()
                .any(|when| Self::measures(when, id))
        };
        self.entity(id).is_some() && (self.drops_with_entity(id) || measured())
    }

    fn drops_with_entity(&self, id: &Identity) -> bool {
        matcher::matches(self.spec.matching.as_ref().expect("a match"), id)
    }

    /// Measures the point; whether it is dropped.
    pub fn drops(&mut self, point: &Point, before: &Before, (now, expiry): (u64, u64)) -> bool {
        let id = &point.identity;
        let Some(entity) = self.entity(id).filter(|_| self.decides(id)) else {
            return false;
        };
        let fresh = Known {
            since: now,
            seen: now,
            low: Vec::new(),
        };
        let known = self.known.entry(entity.clone()).or_insert(fresh.clone());
        if now - known.seen > expiry {
            *known = fresh;
        }
        known.seen = now;
        self.measure(&entity, point, before, now);
        self.drops_with_entity(id) && self.is_idle(&entity)
    }

    fn is_idle(&self, entity: &Entity) -> bool {
        let low = &self.known[entity].low;
        (0..self.windows as u64).all(|back| {
            self.edge
                .checked_sub(back * self.interval)
                .is_some_and(|end| low.contains(&end))
        })
    }

    fn measure(&mut self, entity: &Entity, point: &Point, before: &Before, now: u64) {
        if point.ended() {
            return;
        }
        let gain = gain(point, before, self.began);
        // A baseline tells nothing, neither how much was gained nor what there is.
        let counts = self
            .conditions()
            .iter()
            .any(|when| when.is_rate() && Self::measures(when, &point.identity));
        if counts && matches!(gain, Gain::Baseline) {
            return;
        }
        let late = point.time <= self.edge;
        let window = if late || point.time > now + self.lateness {
            now.max(self.edge + 1)
        } else {
            point.time
        };
        let end = window.div_ceil(self.interval).saturating_mul(self.interval);
        for (at, when) in self.conditions().to_vec().iter().enumerate() {
            if !Self::measures(when, &point.identity) {
                continue;
            }
            let place = (entity.clone(), at);
            if let (true, Gain::Of(gain)) = (when.is_rate(), &gain) {
                let cell = self.open.entry(end).or_default().entry(place).or_default();
                cell.gained = Some(cell.gained.unwrap_or(0.0) + gain);
            } else if let (false, false, Data::Number(n)) = (when.is_rate(), late, &point.data)
                && finite(point)
            {
                let cell = self.open.entry(end).or_default().entry(place).or_default();
                let last = cell
                    .last
                    .entry(point.identity.clone())
                    .or_insert((point.time, n.as_f64()));
                if point.time >= last.0 {
                    *last = (point.time, n.as_f64());
                }
            }
        }
    }

    /// Windows that are due close.
    pub fn close(&mut self, now: u64) {
        let due = now.saturating_sub(self.lateness) / self.interval * self.interval;
        while let Some((end, cells)) = self.open.pop_first() {
            if end > due {
                self.open.insert(end, cells);
                break;
            }
            let (conditions, interval) = (self.conditions().to_vec(), self.interval);
            for (entity, known) in &mut self.known {
                let holds = |(at, when): (usize, &document::When)| {
                    let cell = cells.get(&(entity.clone(), at));
                    let used = cell.and_then(|cell| used(cell, interval));
                    used.is_some_and(|used| {
                        when.below.is_none_or(|below| used < below)
                            && when.above.is_none_or(|above| used > above)
                    })
                };
                let whole = known.since <= end - self.interval;
                if whole && conditions.iter().enumerate().all(holds) {
                    known.low.push(end);
                }
            }
        }
        self.edge = self.edge.max(due);
    }
}

/// What was used in a window.
fn used(cell: &Cell, interval: u64) -> Option<f64> {
    if let Some(gained) = cell.gained {
        return Some(gained / (interval as f64 / 1e9));
    }
    let values = cell.last.values().map(|(_, value)| value);
    (!cell.last.is_empty()).then(|| values.sum())
}

/// A counter, what comes as deltas, or a histogram.
fn has_rate(id: &Identity) -> bool {
    match (id.kind, id.temporality) {
        (Kind::Gauge | Kind::Summary, _) | (_, Temporality::Unspecified) => false,
        (Kind::Sum, Temporality::Cumulative) => id.monotonic,
        _ => true,
    }
}

enum Gain {
    Unknown,
    Baseline,
    Of(f64),
}

fn gain(point: &Point, before: &Before, began: u64) -> Gain {
    let id = &point.identity;
    let of = |amount: &Amount| {
        let gained = match amount {
            Amount::Number(total) => total.number().as_f64(),
            Amount::Explicit(e) => e.count as f64,
            Amount::Exponential(e) => e.count as f64,
        };
        Gain::Of(gained)
    };
    if !has_rate(id) {
        return Gain::Unknown;
    }
    if id.temporality == Temporality::Delta {
        if let Data::Misfit(histogram) = &point.data {
            return Gain::Of(histogram.count as f64);
        }
        let amount = amount(&point.data);
        let infinite = matches!(&point.data, Data::Number(n) if !n.as_f64().is_finite());
        return amount
            .filter(|_| !infinite)
            .map_or(Gain::Unknown, |a| of(&a));
    }
    if amount(&point.data).is_none() || !finite(point) {
        return Gain::Unknown;
    }
    match step(before.last.as_ref(), point, began, before.returned) {
        Step::Adds(_, Some("baselined" | "negative")) => Gain::Baseline,
        Step::Adds(amount, _) => of(&amount),
        Step::Ignored(_) => Gain::Of(0.0),
        Step::Incomparable => Gain::Unknown,
    }
}
