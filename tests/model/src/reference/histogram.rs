//! The stage that gives histograms fewer buckets.

use super::Counts;
use super::arm::Clock;
use super::document;
use super::explicit::{Explicit, total};
use super::exponential::Exponential;
use super::identity::{Identity, Kind, Temporality};
use super::matcher;
use super::point::{Data, Point};
use super::progress::{Amount, Last, Step, step};
use super::temporality::Turned;
use super::tracker::{Before, Tracker, finite};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One stage with its state.
#[derive(Debug, Clone)]
pub struct Histogram {
    spec: document::Histogram,
    began: u64,
    pub counts: Counts,
    /// What it has written.
    pub written: Tracker,
    /// Explicit buckets of exponential histograms.
    spreads: BTreeMap<Rc<Identity>, Spread>,
}

/// Observations of one series by explicit bucket.
#[derive(Debug, Clone)]
struct Spread {
    seen: u64,
    /// Of the last point.
    time: u64,
    counts: Vec<u64>,
}

impl Histogram {
    pub fn new(
        spec: &document::Histogram,
        settings: &super::Settings,
        source: &Tracker,
    ) -> Histogram {
        Histogram {
            spec: spec.clone(),
            began: settings.began,
            counts: Counts::new(),
            written: source.clone(),
            spreads: BTreeMap::new(),
        }
    }

    /// Whether the stage makes another series of this one.
    fn turns(&self, id: &Identity) -> bool {
        self.spec.to.is_some()
            && id.kind == Kind::Exponential
            && matcher::matches(&self.spec.matching, id)
    }

    /// What a series becomes.
    pub fn renames(&self, id: &Rc<Identity>) -> Rc<Identity> {
        if !self.turns(id) {
            return id.clone();
        }
        Rc::new(Identity {
            kind: Kind::Histogram,
            ..(**id).clone()
        })
    }

    /// Whether the stage makes this series of another one.
    pub fn writes(&self, id: &Identity) -> bool {
        let came = Identity {
            kind: Kind::Exponential,
            ..id.clone()
        };
        id.kind == Kind::Histogram && self.turns(&came)
    }

    /// An exponential histogram that becomes an explicit one.
    pub fn turn(&mut self, point: &Point, before: &Before, clock: Clock) -> Turned {
        let id = &point.identity;
        if !self.turns(id) {
            return Turned::Untouched;
        }
        let cumulative = id.temporality == Temporality::Cumulative;
        let known = self.spreads.remove(id);
        let mut known = known.filter(|known| clock.now - known.seen <= clock.expiry);
        let mut behind = None;
        if let (true, Some(last)) = (cumulative, &before.last)
            && let Data::Exponential(content) = &last.data
        {
            if known.as_ref().is_none_or(|known| known.time != last.time) {
                known = Some(self.fresh(content, last.time, clock));
            }
            let counts = known.as_ref().map_or_else(Vec::new, |k| k.counts.clone());
            behind = Some(Last {
                data: self.explicit(content, &counts),
                ..last.clone()
            });
        }
        let mut data = Data::Nothing;
        if let (Data::Exponential(content), false) = (&point.data, point.ended()) {
            let taken = if cumulative {
                self.step(point, content, before, known.clone(), clock)
            } else {
                Ok(self.fresh(content, point.time, clock))
            };
            match taken {
                Ok(spread) => {
                    data = self.explicit(content, &spread.counts);
                    known = Some(spread);
                }
                Err(withheld) => {
                    self.keep(id, known, clock);
                    let as_written = Point {
                        identity: self.renames(id),
                        ..point.clone()
                    };
                    self.written.lives_as(&as_written, clock.now, clock.expiry);
                    return withheld;
                }
            }
        }
        self.keep(id, known, clock);
        self.write(point, data, (before, behind), clock)
    }

    fn write(
        &mut self,
        point: &Point,
        data: Data,
        (before, behind): (&Before, Option<Last>),
        clock: Clock,
    ) -> Turned {
        let new = Point {
            identity: self.renames(&point.identity),
            data,
            ..point.clone()
        };
        let mut own = self.written.before(&new, clock.now, clock.expiry);
        self.written.remember(&new, clock.now);
        let time = |last: &Option<Last>| last.as_ref().map(|last| last.time);
        if time(&behind) > time(&own.last) || own.last.is_none() {
            own = Before {
                last: behind,
                ..before.clone()
            };
        }
        Turned::Into(Box::new((new, own)))
    }

    /// Buckets of this point alone.
    fn fresh(&self, content: &Exponential, time: u64, clock: Clock) -> Spread {
        Spread {
            seen: clock.now,
            time,
            counts: self.spread(content),
        }
    }

    /// Buckets with what a cumulative point adds to those before; or what becomes of it else.
    fn step(
        &mut self,
        point: &Point,
        content: &Exponential,
        before: &Before,
        had: Option<Spread>,
        clock: Clock,
    ) -> Result<Spread, Turned> {
        if !finite(point) {
            return Err(Turned::Dropped("nan"));
        }
        let last = before.last.as_ref();
        let mut spread = self.fresh(content, point.time, clock);
        match step(last, point, self.began, before.returned) {
            Step::Ignored(why) => {
                self.note(why);
                Err(Turned::Withheld)
            }
            Step::Adds(Amount::Exponential(grown), note) => {
                if let Some(note) = note {
                    self.note(note);
                }
                let epoch = |last: &Last| point.start != last.start && point.start >= last.time;
                let anew = note.is_some_and(|note| note != "start_drift");
                if let Some(had) = had.filter(|_| !anew && !last.is_none_or(epoch)) {
                    let more = self.spread(&grown);
                    spread.counts = had.counts.iter().zip(more).map(|(a, b)| a + b).collect();
                }
                Ok(spread)
            }
            _ => Ok(spread),
        }
    }

    fn keep(&mut self, id: &Rc<Identity>, known: Option<Spread>, clock: Clock) {
        if let Some(known) = known {
            let seen = clock.now;
            self.spreads.insert(id.clone(), Spread { seen, ..known });
        }
    }

    fn explicit(&self, content: &Exponential, counts: &[u64]) -> Data {
        Data::Explicit(Explicit {
            bounds: self.spec.bounds.clone().unwrap_or_default(),
            counts: counts.to_vec(),
            count: content.count,
            sum: content.sum,
            min: content.min,
            max: content.max,
        })
    }

    /// Each bucket where the largest value that it can hold lies.
    fn spread(&self, content: &Exponential) -> Vec<u64> {
        let bounds = self.spec.bounds.clone().unwrap_or_default();
        let mut counts = vec![0; bounds.len() + 1];
        let mut put = |most: f64, n: u64| {
            let at = bounds.iter().position(|bound| most <= *bound);
            let into = &mut counts[at.unwrap_or(bounds.len())];
            *into = total(*into, &n);
        };
        let edge = |index: i32| (f64::from(index) * 2f64.powi(-content.scale)).exp2();
        if content.zero_count > 0 {
            put(content.zero_threshold, content.zero_count);
        }
        for (index, n) in &content.positive {
            put(edge(index + 1), *n);
        }
        for (index, n) in &content.negative {
            put(-edge(*index), *n);
        }
        counts
    }

    /// Whether the stage writes the series anew.
    pub fn decides(&self, id: &Identity) -> bool {
        let exponential = self.spec.max_scale.is_some() || self.spec.max_buckets.is_some();
        matcher::matches(&self.spec.matching, id)
            && match id.kind {
                Kind::Histogram => self.spec.bounds.is_some(),
                Kind::Exponential => exponential && self.spec.to.is_none(),
                _ => false,
            }
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    /// The point as the stage writes it.
    pub fn rewrite(&mut self, mut point: Point) -> Point {
        if !self.decides(&point.identity) {
            if !self.turns(&point.identity)
                && matcher::matches(&self.spec.matching, &point.identity)
            {
                self.note("other_type");
            }
            return point;
        }
        if point.ended() {
            return point;
        }
        self.reduce(&mut point.data);
        point
    }

    /// What is known behind the stage, where this is known of a series that it writes anew.
    pub fn behind(&self, mut before: Before) -> Before {
        if let Some(last) = &mut before.last {
            self.clone().reduce(&mut last.data);
        }
        before
    }

    fn reduce(&mut self, data: &mut Data) {
        match data {
            Data::Explicit(h) => {
                let growing = h.bounds.windows(2).all(|w| w[0] < w[1]);
                if !growing {
                    self.note("unfit");
                    return;
                }
                let declared = self.spec.bounds.clone().unwrap_or_default();
                let kept: Vec<f64> = h
                    .bounds
                    .iter()
                    .copied()
                    .filter(|b| declared.contains(b))
                    .collect();
                if kept.is_empty() {
                    self.note("bounds_unknown");
                } else {
                    if kept.len() == 1 && h.bounds.len() > 1 && declared.len() > 1 {
                        self.note("one_bound");
                    }
                    *h = h.rebucket(&kept);
                }
            }
            Data::Misfit(_) => self.note("unfit"),
            Data::Exponential(h) => {
                if let Some(most) = self.spec.max_scale {
                    h.downscale(h.scale.min(most));
                }
                if let Some(most) = self.spec.max_buckets {
                    while h.width() > most {
                        h.downscale(h.scale - 1);
                    }
                }
            }
            _ => {}
        }
    }
}
