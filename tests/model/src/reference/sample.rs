//! The sample stages: a fraction of entities, or the last point of every interval.

use super::Counts;
use super::document::{self, duration};
use super::identity::{Identity, Kind, Temporality};
use super::matcher;
use super::point::Point;
use super::progress::restarts;
use super::tracker::{Before, Tracker, finite};
use std::collections::BTreeMap;
use std::rc::Rc;

const LATENESS: u64 = 5_000_000_000;

/// One sample stage with its state.
#[derive(Debug, Clone)]
pub struct Sample {
    id: String,
    spec: document::Sample,
    every: u64,
    closed: u64,
    held: BTreeMap<u64, BTreeMap<Rc<Identity>, Point>>,
    pub counts: Counts,
    /// What it has released.
    pub released: Tracker,
}

/// What became of a point, and which points go on now.
pub struct Sampled {
    pub pass: Vec<Point>,
    pub sampled_out: u64,
}

impl Sample {
    pub fn new(id: &str, spec: &document::Sample, created: u64, source: &Tracker) -> Sample {
        let every = spec.every.as_deref().map_or(0, duration);
        Sample {
            id: id.into(),
            spec: spec.clone(),
            every,
            closed: created.checked_div(every).map_or(0, |n| n * every),
            released: source.clone(),
            held: BTreeMap::new(),
            counts: Counts::new(),
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    /// Whether points of the series wait here.
    pub fn decides(&self, id: &Identity) -> bool {
        self.every > 0
            && id.temporality != Temporality::Delta
            && matcher::matches(&self.spec.matching, id)
    }

    /// Whether the point is none of this stage's business, or kept as it is.
    pub fn lets_pass(&mut self, point: &Point) -> bool {
        let id = &point.identity;
        if !matcher::matches(&self.spec.matching, id) {
            return true;
        }
        if let Some(fraction) = self.spec.fraction {
            let entity = self.spec.entity.clone().unwrap_or_default();
            let place = id.place(&entity, &self.id);
            return place.is_none_or(|u| u < fraction);
        }
        if id.temporality == Temporality::Delta {
            self.note("not_sampled");
            return true;
        }
        false
    }

    /// Takes a point that this stage decides about.
    pub fn take(&mut self, point: &Point, before: &Before, now: u64, derived: bool) -> Sampled {
        let pass = |points| Sampled {
            pass: points,
            sampled_out: 0,
        };
        if self.spec.fraction.is_some() {
            return Sampled {
                pass: Vec::new(),
                sampled_out: 1,
            };
        }
        let id = &point.identity;
        let counts_up =
            id.temporality == Temporality::Cumulative && (id.kind != Kind::Sum || id.monotonic);
        let last = before
            .last
            .as_ref()
            .filter(|_| counts_up && !point.ended() && finite(point));
        let mut leaving: Vec<Point> = Vec::new();
        if point.ended() || last.is_some_and(|last| restarts(last, point)) {
            let held = self.held.values_mut();
            leaving.extend(held.filter_map(|window| window.remove(id)));
        }
        if point.ended() {
            leaving.push(point.clone());
            return pass(leaving);
        }
        let mut end = point.time.div_ceil(self.every) * self.every;
        if !derived && point.time > now + LATENESS {
            self.note("future");
            end = now.div_ceil(self.every) * self.every;
            end = end.max(self.closed + self.every);
        } else if end <= self.closed {
            self.note("late");
            return Sampled {
                pass: leaving,
                sampled_out: 1,
            };
        }
        let window = self.held.entry(end).or_default();
        match window.get(id) {
            None => {
                window.insert(id.clone(), point.clone());
                return pass(leaving);
            }
            Some(before) if point.time < before.time => {}
            Some(_) => {
                window.insert(id.clone(), point.clone());
            }
        }
        Sampled {
            pass: leaving,
            sampled_out: 1,
        }
    }

    /// What a swap lets go: of windows that have not ended only the last point passes.
    pub fn cut(&mut self, now: u64) -> (Vec<Point>, u64) {
        let open: Vec<u64> = self.held.keys().copied().filter(|end| *end > now).collect();
        let mut sampled_out = 0;
        for (at, end) in open.iter().enumerate() {
            let later: Vec<u64> = open[at + 1..].to_vec();
            let newer = |id: &Rc<Identity>, held: &BTreeMap<u64, BTreeMap<Rc<Identity>, Point>>| {
                later.iter().any(|end| held[end].contains_key(id))
            };
            let ids: Vec<Rc<Identity>> = self.held[end].keys().cloned().collect();
            for id in ids {
                if newer(&id, &self.held) {
                    self.held.get_mut(end).expect("open").remove(&id);
                    sampled_out += 1;
                }
            }
        }
        (self.close(now, true), sampled_out)
    }

    /// Releases what is held in windows that are due (in all of them with `everything`).
    pub fn close(&mut self, now: u64, everything: bool) -> Vec<Point> {
        if self.every == 0 {
            return Vec::new();
        }
        let due = now.saturating_sub(LATENESS) / self.every * self.every;
        let mark = if everything { u64::MAX } else { due };
        let mut all = Vec::new();
        while let Some((end, points)) = self.held.pop_first() {
            if end > mark {
                self.held.insert(end, points);
                break;
            }
            all.extend(points.into_values());
        }
        if !everything {
            self.closed = self.closed.max(mark);
        }
        all
    }

    /// Points in open windows.
    pub fn held(&self) -> u64 {
        self.held.values().map(|w| w.len() as u64).sum()
    }
}
