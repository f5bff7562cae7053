//! The sample stages: a fraction of entities, or the last point of every interval.

use super::Counts;
use super::document::{self, duration};
use super::identity::{Identity, Kind, Temporality};
use super::matcher;
use super::point::Point;
use super::progress::restarts;
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
}

/// What became of a point, and which points go on now.
pub struct Sampled {
    pub pass: Vec<Point>,
    pub sampled_out: u64,
}

impl Sample {
    pub fn new(id: &str, spec: &document::Sample) -> Sample {
        Sample {
            id: id.into(),
            spec: spec.clone(),
            every: spec.every.as_deref().map_or(0, duration),
            closed: 0,
            held: BTreeMap::new(),
            counts: Counts::new(),
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    pub fn take(&mut self, point: &Point, now: u64, derived: bool) -> Sampled {
        let pass = |points| Sampled {
            pass: points,
            sampled_out: 0,
        };
        if !matcher::matches(&self.spec.matching, &point.identity) {
            return pass(vec![point.clone()]);
        }
        if let Some(fraction) = self.spec.fraction {
            let entity = self.spec.entity.clone().unwrap_or_default();
            let place = point.identity.place(&entity, &self.id);
            if place.is_none_or(|u| u < fraction) {
                return pass(vec![point.clone()]);
            }
            return Sampled {
                pass: Vec::new(),
                sampled_out: 1,
            };
        }
        let id = &point.identity;
        if id.temporality == Temporality::Delta {
            self.note("not_sampled");
            return pass(vec![point.clone()]);
        }
        let mut end = point.time.div_ceil(self.every) * self.every;
        if !derived && point.time > now + LATENESS {
            self.note("future");
            end = now.div_ceil(self.every) * self.every;
        } else if end <= self.closed {
            if point.ended() {
                return pass(vec![point.clone()]);
            }
            self.note("late");
            return Sampled {
                pass: Vec::new(),
                sampled_out: 1,
            };
        }
        let window = self.held.entry(end).or_default();
        if point.ended() {
            let mut both: Vec<Point> = window.remove(id).into_iter().collect();
            both.push(point.clone());
            return pass(both);
        }
        let counts_up =
            id.temporality == Temporality::Cumulative && (id.kind != Kind::Sum || id.monotonic);
        let Some(before) = window.get(id).cloned() else {
            window.insert(id.clone(), point.clone());
            return pass(Vec::new());
        };
        if point.time < before.time {
            return Sampled {
                pass: Vec::new(),
                sampled_out: 1,
            };
        }
        window.insert(id.clone(), point.clone());
        if counts_up && restarts(&before, point) {
            return pass(vec![before]);
        }
        Sampled {
            pass: Vec::new(),
            sampled_out: 1,
        }
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
