//! Dead-bands and unchanged values: points that say nothing new are held back, not for long.

use super::arm::Clock;
use super::document::{self, duration};
use super::identity::{Identity, Kind, Temporality};
use super::number::Num;
use super::point::{Data, Point};
use super::progress::restarts;
use super::tracker::{Before, finite};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The last point that passed, of every series.
#[derive(Debug, Clone)]
pub struct Quiet {
    absolute: Option<f64>,
    relative: Option<f64>,
    heartbeat: u64,
    known: BTreeMap<Rc<Identity>, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    seen: u64,
    passed: Option<Point>,
    /// Its time; of one ahead of now, now.
    time: u64,
}

impl Quiet {
    /// Nothing where the stage thins out in another way.
    pub fn of(spec: &document::Sample) -> Option<Quiet> {
        let band = |key: &str| {
            spec.deadband
                .as_ref()
                .and_then(|band| band.get(key))
                .copied()
        };
        (spec.deadband.is_some() || spec.unchanged == Some(true)).then(|| Quiet {
            absolute: band("absolute"),
            relative: band("relative"),
            heartbeat: spec.heartbeat.as_deref().map_or(300_000_000_000, duration),
            known: BTreeMap::new(),
        })
    }

    fn has_band(&self) -> bool {
        self.absolute.is_some() || self.relative.is_some()
    }

    /// Whether it looks at points of the series.
    pub fn decides(&self, id: &Identity) -> bool {
        let number = matches!(id.kind, Kind::Gauge | Kind::Sum);
        !self.has_band() || (number && id.temporality != Temporality::Delta)
    }

    /// Whether the point is held back. `derived`: an aggregation of the arm wrote it; then it is not
    /// from the future. `last`: of its series, where a swap ends the stage that wrote it.
    pub fn holds_back(
        &mut self,
        point: &Point,
        before: &Before,
        at: Clock,
        (derived, last): (bool, bool),
    ) -> bool {
        let Clock { now, expiry } = at;
        let id = &point.identity;
        let mut known = self.known.remove(id).unwrap_or(Known {
            seen: now,
            passed: None,
            time: 0,
        });
        if now - known.seen > expiry || point.ended() {
            known.passed = None;
        }
        known.seen = now;
        let silent = !last && !point.ended() && self.says_nothing(&known, point, before);
        if !silent && !point.ended() && !matches!(point.data, Data::Nothing) {
            let newest = known.passed.is_none() || point.time >= known.time;
            if newest {
                known.passed = Some(point.clone());
                known.time = if derived {
                    point.time
                } else {
                    point.time.min(now)
                };
            }
        }
        self.known.insert(id.clone(), known);
        silent
    }

    fn says_nothing(&self, known: &Known, point: &Point, before: &Before) -> bool {
        let id = &point.identity;
        let Some(passed) = &known.passed else {
            return false;
        };
        let delta = id.temporality == Temporality::Delta;
        let counts = matches!(id.kind, Kind::Sum | Kind::Histogram | Kind::Exponential);
        let counts_up = id.temporality == Temporality::Cumulative && id.monotonic;
        let fell = self.has_band()
            && counts_up
            && finite(point)
            && before
                .last
                .as_ref()
                .is_some_and(|last| restarts(last, point));
        let restarted = counts && !delta && point.start_known() && point.start != passed.start;
        let overdue = point.time.saturating_sub(known.time) >= self.heartbeat;
        let change = delta && !is_zero(&point.data);
        !(fell || restarted || overdue || change) && self.same(&passed.data, &point.data)
    }

    fn same(&self, last: &Data, now: &Data) -> bool {
        match (last, now) {
            (Data::Number(a), Data::Number(b)) => self.near(*a, *b),
            (Data::Explicit(a), Data::Explicit(b)) => {
                a.count == b.count
                    && a.counts == b.counts
                    && a.bounds == b.bounds
                    && a.sum.map(number) == b.sum.map(number)
            }
            (Data::Exponential(a), Data::Exponential(b)) => {
                (a.scale, a.count, a.zero_count) == (b.scale, b.count, b.zero_count)
                    && a.zero_threshold == b.zero_threshold
                    && (&a.positive, &a.negative) == (&b.positive, &b.negative)
                    && a.sum.map(number) == b.sum.map(number)
            }
            // Bit for bit: quantiles of nothing are NaN, and the same NaN is nothing new.
            (a @ Data::Summary { .. }, b) => bits(a) == bits(b),
            (a, b) => a == b,
        }
    }

    fn near(&self, last: Num, now: Num) -> bool {
        if last.is_double() != now.is_double() {
            return false;
        }
        if last.is_nan() || now.is_nan() {
            return last.is_nan() && now.is_nan();
        }
        if last == now {
            return true;
        }
        let distance = match (last, now) {
            (Num::Int(a), Num::Int(b)) => (i128::from(a) - i128::from(b)).abs() as f64,
            (a, b) => (a.as_f64() - b.as_f64()).abs(),
        };
        if last.is_infinite() || now.is_infinite() {
            return false;
        }
        match (self.absolute, self.relative) {
            (Some(width), _) => distance <= width,
            (_, Some(share)) => distance <= share * last.as_f64().abs(),
            _ => false,
        }
    }
}

fn bits(data: &Data) -> Option<(u64, u64, Vec<(u64, u64)>)> {
    match data {
        Data::Summary {
            count,
            sum,
            quantiles,
        } => {
            let pairs = quantiles.iter().map(|(q, v)| (q.to_bits(), v.to_bits()));
            Some((*count, number(*sum), pairs.collect()))
        }
        _ => None,
    }
}

/// 0 and -0 are one number, the same NaN is one.
fn number(n: f64) -> u64 {
    (n + 0.0).to_bits()
}

fn is_zero(data: &Data) -> bool {
    match data {
        Data::Number(n) => n.as_f64() == 0.0,
        Data::Explicit(e) => e.count == 0,
        Data::Exponential(e) => e.count == 0,
        _ => false,
    }
}
