//! The sample stages: a fraction of entities, or one point of every interval: the last, or of deltas
//! the sum.

use super::Counts;
use super::arm::Clock;
use super::document::{self, LATENESS, Stage, duration};
use super::identity::{Identity, Kind, Temporality};
use super::matcher;
use super::point::Point;
use super::progress::{Amount, amount, restarts};
use super::quiet::Quiet;
use super::tracker::{Before, Tracker, finite};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One sample stage with its state.
#[derive(Debug, Clone)]
pub struct Sample {
    id: String,
    spec: document::Sample,
    every: u64,
    lateness: u64,
    closed: u64,
    held: BTreeMap<u64, BTreeMap<Rc<Identity>, Held>>,
    pub counts: Counts,
    /// Of a stage that holds back what says nothing new.
    pub quiet: Option<Quiet>,
    /// For how many series the increments of those that wait here stand.
    weights: BTreeMap<Rc<Identity>, f64>,
    /// Points that were added to others and have left in them.
    merged: i64,
    /// What it has released.
    pub released: Tracker,
}

/// What waits of a series in a window.
#[derive(Debug, Clone)]
struct Held {
    point: Point,
    /// Points in it: more than one only where they are added.
    points: u64,
    /// Exemplars that found no room.
    surplus: u64,
}

/// What became of a point, and which points go on now.
pub struct Sampled {
    pub pass: Vec<Point>,
    pub sampled_out: u64,
    /// The point itself is none of this stage's business: it goes on behind `pass`.
    pub as_it_came: bool,
    /// It waits now, or a newer one does.
    pub held: bool,
}

impl Sample {
    pub fn new(stage: &Stage, spec: &document::Sample, created: u64, source: &Tracker) -> Sample {
        let every = spec.every.as_deref().map_or(0, duration);
        Sample {
            id: stage.id.clone(),
            spec: spec.clone(),
            every,
            lateness: LATENESS.max(stage.patience),
            closed: created.checked_div(every).map_or(0, |n| n * every),
            released: source.clone(),
            held: BTreeMap::new(),
            weights: BTreeMap::new(),
            quiet: Quiet::of(spec),
            merged: 0,
            counts: Counts::new(),
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    /// Whether points of the series wait here, or are looked at one by one.
    pub fn decides(&self, id: &Identity) -> bool {
        let quiet = self.quiet.as_ref().is_some_and(|quiet| quiet.decides(id));
        (self.every > 0 || quiet) && matcher::matches(&self.spec.matching, id)
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
        false
    }

    /// A series comes to this stage, which decides about it.
    pub fn meet(&mut self, id: &Rc<Identity>, before: &Before, at: Clock) {
        let waits = self.held.values().any(|window| window.contains_key(id));
        self.released.meet(id, before, (at.now, at.expiry), waits);
    }

    /// What the increments of a series that passes a fraction count for.
    pub fn weight(&self, id: &Identity) -> f64 {
        let counts = self.spec.weighted != Some(false) && matcher::matches(&self.spec.matching, id);
        let entity = self.spec.entity.clone().unwrap_or_default();
        match self.spec.fraction {
            Some(f) if counts && f > 0.0 && id.place(&entity, &self.id).is_some() => 1.0 / f,
            _ => 1.0,
        }
    }

    /// For how many series the increments of a series that waits here stand.
    pub fn weight_of(&self, id: &Rc<Identity>) -> f64 {
        self.weights.get(id).copied().unwrap_or(1.0)
    }

    /// Remembers for how many series the increments of a series stand.
    pub fn weigh(&mut self, id: &Rc<Identity>, weight: f64) {
        self.weights.insert(id.clone(), weight);
    }

    /// Takes a point that this stage decides about. `last`: of its series, where a swap ends the stage that wrote it.
    pub fn take(
        &mut self,
        point: &Point,
        before: &Before,
        now: u64,
        (derived, last): (bool, bool),
    ) -> Sampled {
        let mut sampled = self.hold(point, before, now, derived);
        if last && sampled.held {
            sampled.pass.extend(self.let_go(&point.identity));
        }
        sampled
    }

    fn hold(&mut self, point: &Point, before: &Before, now: u64, derived: bool) -> Sampled {
        let mut sampled = Sampled {
            pass: Vec::new(),
            sampled_out: 0,
            as_it_came: false,
            held: false,
        };
        if self.spec.fraction.is_some() {
            sampled.sampled_out = 1;
            return sampled;
        }
        let id = &point.identity;
        let is_delta = id.temporality == Temporality::Delta;
        let counts_up = id.kind == Kind::Summary
            || id.temporality == Temporality::Cumulative && (id.kind != Kind::Sum || id.monotonic);
        let last = before
            .last
            .as_ref()
            .filter(|_| counts_up && !point.ended() && finite(point));
        let addable = finite(point) && amount(&point.data).is_some();
        let alone = is_delta && !point.ended() && !addable;
        if alone {
            self.note("not_added");
        }
        if point.ended() || alone || last.is_some_and(|last| restarts(last, point)) {
            sampled.pass = self.let_go(id);
        }
        if point.ended() || alone {
            sampled.as_it_came = true;
            return sampled;
        }
        let grid = |time: u64| time.div_ceil(self.every).saturating_mul(self.every);
        let mut end = grid(point.time);
        let open = grid(now).max(self.closed + self.every);
        if !derived && point.time > now + self.lateness {
            self.note("future");
            end = open;
        } else if end <= self.closed {
            self.note("late");
            if !is_delta {
                sampled.sampled_out = 1;
                return sampled;
            }
            end = open;
        }
        sampled.held = true;
        let waits = self.held.get(&end).and_then(|window| window.get(id));
        if let (true, Some(waits)) = (is_delta, waits) {
            match waits.plus(point) {
                Some(sum) => {
                    let window = self.held.get_mut(&end).expect("it waits there");
                    window.insert(id.clone(), sum);
                    return sampled;
                }
                None => {
                    self.note("not_added");
                    sampled.pass = self.let_go(id);
                }
            }
        }
        let one = Held {
            point: point.clone(),
            points: 1,
            surplus: 0,
        };
        let window = self.held.entry(end).or_default();
        match window.get(id) {
            None => {
                window.insert(id.clone(), one);
                return sampled;
            }
            Some(before) if point.time < before.point.time => {}
            Some(_) => {
                window.insert(id.clone(), one);
            }
        }
        sampled.sampled_out = 1;
        sampled
    }

    /// All that waits of a series, oldest window first.
    fn let_go(&mut self, id: &Rc<Identity>) -> Vec<Point> {
        let held = self.held.values_mut();
        let leaving: Vec<Held> = held.filter_map(|window| window.remove(id)).collect();
        leaving.into_iter().map(|held| self.leaves(held)).collect()
    }

    fn leaves(&mut self, held: Held) -> Point {
        self.merged += held.points as i64 - 1;
        if held.surplus > 0 {
            *self.counts.entry("exemplars_dropped").or_insert(0) += held.surplus;
        }
        held.point
    }

    /// Points that were added to others and have left in them since the last call.
    pub fn take_merged(&mut self) -> i64 {
        std::mem::take(&mut self.merged)
    }

    /// What a swap lets go: of windows that have not ended only the last point passes; of deltas all.
    pub fn cut(&mut self, now: u64) -> (Vec<Point>, u64) {
        let open: Vec<u64> = self.held.keys().copied().filter(|end| *end > now).collect();
        let mut sampled_out = 0;
        for (at, end) in open.iter().enumerate() {
            let later: Vec<u64> = open[at + 1..].to_vec();
            let newer = |id: &Rc<Identity>, held: &BTreeMap<u64, BTreeMap<Rc<Identity>, Held>>| {
                later.iter().any(|end| held[end].contains_key(id))
            };
            let ids: Vec<Rc<Identity>> = self.held[end].keys().cloned().collect();
            for id in ids {
                if id.temporality != Temporality::Delta && newer(&id, &self.held) {
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
        let due = now.saturating_sub(self.lateness) / self.every * self.every;
        let mark = if everything { u64::MAX } else { due };
        let mut all = Vec::new();
        while let Some((end, points)) = self.held.pop_first() {
            if end > mark {
                self.held.insert(end, points);
                break;
            }
            all.extend(points.into_values().map(|held| self.leaves(held)));
        }
        if !everything {
            self.closed = self.closed.max(mark);
        }
        all
    }

    /// Points in open windows.
    pub fn held(&self) -> u64 {
        let held = self.held.values().flat_map(BTreeMap::values);
        held.map(|held| held.points).sum()
    }
}

impl Held {
    /// This and another point of the same delta series together: what it covers is what both cover,
    /// everything else is the newest point's. Nothing where they cannot be added.
    fn plus(&self, other: &Point) -> Option<Held> {
        let (mine, theirs) = (amount(&self.point.data)?, amount(&other.data)?);
        if let (Amount::Explicit(a), Amount::Explicit(b)) = (&mine, &theirs)
            && a.bounds != b.bounds
        {
            return None;
        }
        let sum = mine.plus(&theirs)?;
        if let Amount::Number(n) = &sum
            && n.overflows()
        {
            return None;
        }
        let newest = if other.time >= self.point.time {
            other
        } else {
            &self.point
        };
        let starts = [self.point.start, other.start];
        let mut exemplars = self.point.exemplars.clone();
        exemplars.extend(other.exemplars.iter().cloned());
        let surplus = exemplars.len().saturating_sub(4);
        exemplars.drain(..surplus);
        Some(Held {
            points: self.points + 1,
            surplus: self.surplus + surplus as u64,
            point: Point {
                start: starts.into_iter().filter(|s| *s > 0).min().unwrap_or(0),
                time: newest.time,
                data: sum.data(),
                exemplars,
                ..newest.clone()
            },
        })
    }
}
