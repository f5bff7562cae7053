//! The stage that turns cumulative points into deltas, and deltas into running totals.

use super::arm::Clock;
use super::document;
use super::identity::{Identity, Kind, Temporality};
use super::matcher;
use super::number::Num;
use super::point::{Data, Point};
use super::progress::{Amount, Last, Step, amount, step};
use super::tracker::{Before, Tracker, finite};
use super::{Counts, Settings};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One stage with its state.
#[derive(Debug, Clone)]
pub struct Convert {
    spec: document::Convert,
    to: Temporality,
    began: u64,
    /// No total of an unknown start begins before this.
    floor: u64,
    totals: BTreeMap<Rc<Identity>, Total>,
    /// What it has written.
    pub written: Tracker,
    pub counts: Counts,
}

/// The running total of one series.
#[derive(Debug, Clone, Default)]
struct Total {
    seen: u64,
    start: u64,
    /// Of the newest point written; 0 before.
    time: u64,
    amount: Option<Amount>,
    /// A total was written.
    told: bool,
}

/// What became of a point.
pub enum Turned {
    /// It goes on as this.
    Into(Box<(Point, Before)>),
    /// It goes on as it came.
    Untouched,
    /// It goes on as it came, though the stage treats its series.
    Foreign,
    /// It adds nothing, or the next one says it too.
    Withheld,
    Dropped(&'static str),
}

impl Convert {
    pub fn new(spec: &document::Convert, settings: &Settings, created: u64) -> Convert {
        Convert {
            spec: spec.clone(),
            to: match spec.to.as_str() {
                "delta" => Temporality::Delta,
                _ => Temporality::Cumulative,
            },
            began: settings.began,
            floor: created.max(settings.began),
            totals: BTreeMap::new(),
            written: Tracker::default(),
            counts: Counts::new(),
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    /// Why a matching series stays what it is; an empty reason is not counted.
    fn reason(&self, id: &Identity) -> Option<&'static str> {
        if matches!(id.kind, Kind::Gauge | Kind::Summary) {
            return Some("other_type");
        }
        if id.temporality == self.to {
            return Some("");
        }
        if id.temporality == Temporality::Unspecified {
            return Some("unspecified_temporality");
        }
        (id.kind == Kind::Sum && !id.monotonic).then_some("not_monotonic")
    }

    /// What a series becomes.
    pub fn renames(&self, id: &Rc<Identity>) -> Rc<Identity> {
        if !matcher::matches(&self.spec.matching, id) || self.reason(id).is_some() {
            return id.clone();
        }
        Rc::new(Identity {
            temporality: self.to,
            ..(**id).clone()
        })
    }

    /// Whether the stage writes this series.
    pub fn writes(&self, id: &Identity) -> bool {
        let came = Identity {
            temporality: match self.to {
                Temporality::Delta => Temporality::Cumulative,
                _ => Temporality::Delta,
            },
            ..id.clone()
        };
        id.temporality == self.to
            && matcher::matches(&self.spec.matching, &came)
            && self.reason(&came).is_none()
    }

    pub fn take(&mut self, point: &Point, before: &Before, clock: Clock) -> Turned {
        if !matcher::matches(&self.spec.matching, &point.identity) {
            return Turned::Untouched;
        }
        if let Some(reason) = self.reason(&point.identity) {
            if !reason.is_empty() {
                self.note(reason);
            }
            return Turned::Untouched;
        }
        let turned = if self.to == Temporality::Delta {
            self.delta(point, before, clock)
        } else {
            self.cumulative(point, clock)
        };
        if matches!(turned, Turned::Withheld | Turned::Dropped(_)) {
            let as_written = Point {
                identity: self.renames(&point.identity),
                ..point.clone()
            };
            self.written.lives_as(&as_written, clock.now, clock.expiry);
        }
        turned
    }

    fn fault(&mut self, point: &Point) -> Option<Turned> {
        let unfit = match &point.data {
            Data::Nothing | Data::Misfit(_) => true,
            Data::Explicit(h) => !h.bounds.windows(2).all(|w| w[0] < w[1]),
            _ => false,
        };
        if !unfit && !finite(point) {
            return Some(Turned::Dropped("nan"));
        }
        if unfit {
            self.note("unfit");
            return Some(Turned::Foreign);
        }
        None
    }

    fn write(&mut self, point: &Point, start: u64, data: Data, clock: Clock) -> Turned {
        let new = Point {
            identity: self.renames(&point.identity),
            start,
            data,
            ..point.clone()
        };
        let mut before = self.written.before(&new, clock.now, clock.expiry);
        self.written.remember(&new, clock.now);
        if let Some(total) = self.totals.get_mut(&point.identity) {
            // A total begins with nothing: the first one counts in full, whoever reads it.
            if !total.told && before.last.is_none() {
                before.returned = false;
                before.seen = Some(clock.now);
                before.last = Some(Last {
                    start: 0,
                    time: 0,
                    gap: 0,
                    data: emptied(&new.data),
                });
            }
            total.told |= !new.ended();
        }
        Turned::Into(Box::new((new, before)))
    }

    fn delta(&mut self, point: &Point, before: &Before, clock: Clock) -> Turned {
        if point.ended() {
            return self.write(point, point.start, point.data.clone(), clock);
        }
        if let Some(fault) = self.fault(point) {
            return fault;
        }
        let last = before.last.as_ref();
        match step(last, point, self.began, before.returned) {
            Step::Ignored(why) | Step::Adds(_, Some(why @ ("baselined" | "negative"))) => {
                self.note(why);
                Turned::Withheld
            }
            Step::Incomparable => {
                self.note("unfit");
                Turned::Foreign
            }
            Step::Adds(added, note) => {
                if let Some(note) = note {
                    self.note(note);
                }
                let own = if point.start < point.time {
                    point.start
                } else {
                    0
                };
                let start = own.max(last.map_or(0, |last| last.time));
                self.write(point, start, data(&added), clock)
            }
        }
    }

    fn cumulative(&mut self, point: &Point, clock: Clock) -> Turned {
        let id = point.identity.clone();
        let mut total = self.totals.remove(&id).unwrap_or_default();
        if total.seen == 0 || clock.now - total.seen > clock.expiry {
            total = Total::default();
        }
        let own = (point.start != 0 && point.start < point.time).then_some(point.start);
        let floor = self.floor.max(clock.now.saturating_sub(clock.expiry));
        let begins = match (own, total.time) {
            (Some(start), time) => start.max(time),
            (None, 0) => floor.min(point.time.saturating_sub(1)),
            (None, time) => time,
        };
        total.seen = clock.now;
        if point.ended() {
            let start = total.amount.as_ref().map_or(point.start, |_| total.start);
            if point.time > total.time {
                (total.time, total.amount) = (point.time, None);
            }
            self.totals.insert(id, total);
            return self.write(point, start, point.data.clone(), clock);
        }
        if let Some(fault) = self.fault(point) {
            self.totals.insert(id, total);
            return fault;
        }
        if matches!(&point.data, Data::Number(n) if n.as_f64() < 0.0) {
            // The total would fall.
            self.note("negative");
            self.totals.insert(id, total);
            return Turned::Foreign;
        }
        let mut added = amount(&point.data).expect("a value").fitted();
        match &mut added {
            Amount::Number(_) => {}
            Amount::Explicit(h) => (h.min, h.max) = (None, None),
            Amount::Exponential(h) => (h.min, h.max) = (None, None),
        }
        let mut note = None;
        match total.amount.take() {
            None => {
                total.start = begins;
                total.amount = Some(added);
            }
            Some(had) => match together(&had, &added) {
                Ok(sum) => total.amount = Some(sum),
                Err(why) => {
                    note = Some(why);
                    total.start = total.time;
                    total.amount = Some(added);
                }
            },
        }
        if point.time <= total.time {
            self.note(note.unwrap_or("late"));
            self.totals.insert(id, total);
            return Turned::Withheld;
        }
        if let Some(note) = note {
            self.note(note);
        }
        total.time = point.time;
        let (start, now) = (total.start, data(total.amount.as_ref().expect("some")));
        self.totals.insert(id, total);
        self.write(point, start, now, clock)
    }
}

/// Both in one total; or why it has to begin anew.
fn together(had: &Amount, added: &Amount) -> Result<Amount, &'static str> {
    if let (Amount::Explicit(a), Amount::Explicit(b)) = (had, added)
        && a.bounds != b.bounds
    {
        return Err("bounds_changed");
    }
    let sum = had.plus(added).expect("of one kind");
    if let Amount::Number(n) = &sum
        && n.overflows()
    {
        return Err("saturated");
    }
    Ok(sum)
}

fn data(amount: &Amount) -> Data {
    match amount {
        Amount::Number(n) if n.overflows() => Data::Number(Num::Double(n.number_as_f64())),
        other => other.data(),
    }
}

fn emptied(data: &Data) -> Data {
    match data {
        Data::Number(Num::Int(_)) => Data::Number(Num::Int(0)),
        Data::Number(Num::Double(_)) => Data::Number(Num::Double(0.0)),
        Data::Explicit(h) => Data::Explicit(h.emptied()),
        Data::Exponential(h) => Data::Exponential(h.emptied()),
        other => other.clone(),
    }
}
