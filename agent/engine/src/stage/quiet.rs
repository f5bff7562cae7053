//! `sample deadband` and `sample unchanged`: points that say nothing new are held back.

use super::gate::{Arrival, Verdict};
use crate::Nanos;
use crate::aggregate::explicit::Explicit;
use crate::aggregate::exponential::{Exponential, Side};
use crate::aggregate::read::{read_explicit, read_exponential};
use crate::compile::Band;
use crate::view::{MetricType, MetricView, Number, PointView, Temporality};
use crate::wire::otlp::summary_point;
use crate::wire::{Value, fields};
use xxhash_rust::xxh3::xxh3_128;

/// State that all series of the stage share.
#[derive(Debug)]
pub struct Quiet {
    band: Band,
    heartbeat: Nanos,
    explicit: Explicit,
    exponential: Exponential,
    bytes: Vec<u8>,
}

/// What is remembered of one series.
#[derive(Debug, Clone, Copy)]
pub struct Recall {
    /// Its points are changes since the one before.
    delta: bool,
    passed: Option<Passed>,
}

/// The last point that passed.
#[derive(Debug, Clone, Copy)]
struct Passed {
    start: Nanos,
    /// Its time; of one ahead of now, now.
    time: Nanos,
    said: Said,
}

/// What a point says.
#[derive(Debug, Clone, Copy)]
enum Said {
    Number(Number),
    /// Hash of a histogram's or summary's content, and whether it holds nothing.
    Content(u128, bool),
}

impl Recall {
    /// A series that has not spoken.
    pub fn of(metric: &MetricView<'_>) -> Recall {
        Recall {
            delta: metric.temporality == Temporality::Delta,
            passed: None,
        }
    }

    /// The series is as if it had not spoken.
    pub fn forget(&mut self) {
        self.passed = None;
    }
}

/// Whether the stage decides about series of this metric: a dead-band is for numbers that are not
/// changes.
pub fn applies(band: Band, metric: &MetricView<'_>) -> bool {
    let number = matches!(metric.kind, MetricType::Gauge | MetricType::Sum);
    band == Band::Unchanged || (number && metric.temporality != Temporality::Delta)
}

impl Quiet {
    /// A stage that has seen nothing.
    pub fn new(band: Band, heartbeat: Nanos) -> Quiet {
        Quiet {
            band,
            heartbeat,
            explicit: Explicit::default(),
            exponential: Exponential::default(),
            bytes: Vec::new(),
        }
    }

    /// Whether it asks what a point says of its series: a counter can fall by less than the band.
    pub fn observes(&self) -> bool {
        self.band != Band::Unchanged
    }

    /// What becomes of a point.
    #[inline]
    pub fn decide(&mut self, recall: &mut Recall, arrival: &Arrival<'_>) -> Verdict {
        let point = &arrival.view;
        if arrival.returns || point.no_recorded_value() {
            recall.passed = None;
        }
        if point.no_recorded_value() {
            return Verdict::Pass;
        }
        let Some(said) = self.said(point) else {
            return Verdict::Pass;
        };
        if let Some(last) = &recall.passed {
            let reset = self.observes() && arrival.seen.is_some_and(|seen| seen.new_epoch);
            if !reset && !arrival.last && !self.is_news(last, point, said, recall.delta) {
                return Verdict::Suppressed;
            }
        }
        if recall.passed.is_none_or(|last| point.time >= last.time) {
            recall.passed = Some(Passed {
                start: point.start,
                time: point.time.min(arrival.now),
                said,
            });
        }
        Verdict::Pass
    }

    fn is_news(&self, last: &Passed, point: &PointView<'_>, said: Said, delta: bool) -> bool {
        let counts = !matches!(point.kind, MetricType::Gauge | MetricType::Summary);
        let known = point.start != 0 && point.start != point.time;
        let restarts = counts && !delta && known && point.start != last.start;
        restarts
            || point.time.saturating_sub(last.time) >= self.heartbeat
            || self.differs(last.said, said)
            // An equal change is news; no change after no change is not.
            || (delta && !is_nothing(said))
    }

    fn differs(&self, last: Said, said: Said) -> bool {
        match (last, said) {
            (Said::Content(one, _), Said::Content(other, _)) => one != other,
            (Said::Number(last), Said::Number(said)) => self.moved(last, said),
            _ => true,
        }
    }

    fn moved(&self, last: Number, said: Number) -> bool {
        let (size, distance) = match (last, said) {
            (Number::Int(a), Number::Int(b)) => {
                let distance = (i128::from(a) - i128::from(b)).unsigned_abs();
                ((a as f64).abs(), distance as f64)
            }
            (Number::Double(a), Number::Double(b)) => {
                if a == b || (a.is_nan() && b.is_nan()) {
                    return false;
                }
                if !a.is_finite() || !b.is_finite() {
                    return true;
                }
                (a.abs(), (a - b).abs())
            }
            // Another type of number.
            _ => return true,
        };
        match self.band {
            Band::Unchanged => distance > 0.0,
            Band::Absolute(width) => distance > width,
            Band::Relative(share) => distance > share * size,
        }
    }

    /// What a point says; `None` where it has no value.
    fn said(&mut self, point: &PointView<'_>) -> Option<Said> {
        self.bytes.clear();
        let count = match point.kind {
            MetricType::Gauge | MetricType::Sum => return point.number.map(Said::Number),
            MetricType::Histogram => self.put_explicit(point.body),
            MetricType::ExponentialHistogram => self.put_exponential(point.body),
            MetricType::Summary => self.put_summary(point.body),
        };
        Some(Said::Content(xxh3_128(&self.bytes), count == 0))
    }

    fn put_explicit(&mut self, body: &[u8]) -> u64 {
        let h = &mut self.explicit;
        read_explicit(body, h);
        put(&mut self.bytes, h.count);
        put_optional(&mut self.bytes, h.sum);
        put(&mut self.bytes, h.bounds.len() as u64);
        h.bounds
            .iter()
            .for_each(|b| put_number(&mut self.bytes, *b));
        h.counts.iter().for_each(|n| put(&mut self.bytes, *n));
        h.count
    }

    fn put_exponential(&mut self, body: &[u8]) -> u64 {
        let h = &mut self.exponential;
        read_exponential(body, h);
        put(&mut self.bytes, h.count);
        put_optional(&mut self.bytes, h.sum);
        put(&mut self.bytes, i64::from(h.scale).cast_unsigned());
        put(&mut self.bytes, h.zero_count);
        put_number(&mut self.bytes, h.zero_threshold);
        put_side(&mut self.bytes, &h.positive);
        put_side(&mut self.bytes, &h.negative);
        h.count
    }

    fn put_summary(&mut self, body: &[u8]) -> u64 {
        let (mut count, mut sum) = (0, 0.0f64);
        for field in fields(body) {
            match (field.number, field.value) {
                (summary_point::COUNT, value) => count = value.bits(),
                (summary_point::SUM, value) => sum = value.double(),
                (summary_point::QUANTILE_VALUES, Value::Bytes(pair)) => {
                    let mut halves = [0; 2];
                    for half in fields(pair) {
                        if let Some(into) = halves.get_mut((half.number as usize).wrapping_sub(1)) {
                            *into = half.value.bits();
                        }
                    }
                    halves
                        .into_iter()
                        .for_each(|half| put(&mut self.bytes, half));
                }
                _ => {}
            }
        }
        put(&mut self.bytes, count);
        put_number(&mut self.bytes, sum);
        count
    }

    /// An estimate of the bytes it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

fn is_nothing(said: Said) -> bool {
    match said {
        Said::Number(number) => number.as_f64() == 0.0,
        Said::Content(_, nothing) => nothing,
    }
}

fn put(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn put_optional(out: &mut Vec<u8>, n: Option<f64>) {
    put(out, u64::from(n.is_some()));
    put_number(out, n.unwrap_or(0.0));
}

/// 0 and -0 are one number.
fn put_number(out: &mut Vec<u8>, n: f64) {
    put(out, (n + 0.0).to_bits());
}

/// Filled buckets with their indices: how many empty ones lie around them says nothing.
fn put_side(out: &mut Vec<u8>, side: &Side) {
    put(out, side.counts.iter().filter(|n| **n > 0).count() as u64);
    for (i, n) in side.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        put(out, side.offset.saturating_add(i as i64).cast_unsigned());
        put(out, *n);
    }
}
