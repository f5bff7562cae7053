//! One sender's series: it counts on, and now and then does what real senders do to us.

use super::{Features, Metric, Sent};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
    exemplar, exponential_histogram_data_point::Buckets, number_data_point::Value,
    summary_data_point::ValueAtQuantile,
};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::rc::Rc;

pub const SECOND: u64 = 1_000_000_000;

/// How a series tells its start.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Starts {
    Known,
    Zero,
    AtTime,
}

/// Data of one point in its OTLP type.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Number(NumberDataPoint),
    Histogram(HistogramDataPoint),
    Exponential(ExponentialHistogramDataPoint),
    Summary(SummaryDataPoint),
}

/// One series as its sender holds it.
#[derive(Debug)]
pub struct Source {
    metric: Rc<Metric>,
    attributes: Vec<KeyValue>,
    starts: Starts,
    start: u64,
    time: u64,
    int: i64,
    double: f64,
    is_double: bool,
    /// Observed values (in thousandths) and how often, since the start.
    observed: BTreeMap<i64, u64>,
    bounds: Vec<f64>,
    scale: i32,
    zero_threshold: f64,
    octave: i32,
    with_sum: bool,
    with_range: bool,
    gone_until: u64,
    previous: Option<Body>,
}

const BOUNDS: [&[f64]; 5] = [
    &[1.0, 5.0, 10.0],
    &[1.0, 5.0, 10.0, 50.0],
    &[5.0, 10.0],
    &[2.0, 20.0],
    &[],
];

impl Source {
    pub fn new(
        metric: Rc<Metric>,
        attributes: Vec<KeyValue>,
        began: u64,
        rng: &mut ChaCha8Rng,
    ) -> Source {
        let starts = match rng.random_range(0..10) {
            0 => Starts::Zero,
            1 => Starts::AtTime,
            _ => Starts::Known,
        };
        let before = rng.random_bool(0.3);
        Source {
            start: if before {
                began - 500 * SECOND
            } else {
                began + 1
            },
            time: began,
            int: if metric.big { i64::MAX / 2 } else { 5 },
            double: 2.5,
            is_double: metric.double && rng.random_bool(0.5),
            observed: BTreeMap::new(),
            bounds: if rng.random_bool(0.8) {
                BOUNDS[0].to_vec()
            } else {
                bounds(metric.foreign_bounds, rng)
            },
            scale: rng.random_range(0..5),
            zero_threshold: 0.0,
            octave: rng.random_range(0..4) * 5,
            with_sum: rng.random_bool(0.9),
            with_range: rng.random_bool(0.7),
            gone_until: 0,
            previous: None,
            metric,
            attributes,
            starts,
        }
    }

    fn sent(&self, body: Body) -> Sent {
        Sent {
            metric: self.metric.clone(),
            attributes: self.attributes.clone(),
            body,
        }
    }

    /// What this series sends at `now`, oddities included; often one point.
    pub fn speak(&mut self, now: u64, features: &mut Features, rng: &mut ChaCha8Rng) -> Vec<Sent> {
        let odd = self.metric.oddity;
        let mut chance = |p: f64| rng.random_bool((p * odd).min(1.0));
        if now < self.gone_until {
            return Vec::new();
        }
        if chance(0.03) {
            let long = chance(0.5);
            features.see_of(
                self.metric.label(),
                if long {
                    "vanished past expiry"
                } else {
                    "vanished for a while"
                },
            );
            self.gone_until = now + if long { 400 } else { 17 } * SECOND;
            return Vec::new();
        }
        if self.gone_until > 0 {
            features.see_of(self.metric.label(), "returned");
            self.gone_until = 0;
        }
        if self.previous.is_some() && chance(0.03) {
            features.see_of(self.metric.label(), "duplicate");
            return self
                .previous
                .clone()
                .map(|body| self.sent(body))
                .into_iter()
                .collect();
        }
        if chance(0.05) {
            let fell = rng.random_bool(0.5);
            self.reset(fell, now, features);
        } else if self.previous.is_some() && rng.random_bool(0.03 * odd) {
            features.see_of(self.metric.label(), "start moved, same epoch");
            self.start = self.start.saturating_sub(3 * SECOND).max(1);
        }
        if rng.random_bool(0.2) {
            features.see("stands still");
            if self.metric.delta {
                (self.int, self.double) = (0, 0.0);
                self.observed.clear();
            }
        } else {
            self.count(features, rng);
        }
        let mut chance = |p: f64| rng.random_bool((p * odd).min(1.0));
        let mut time = now - 1 - (now / 7 % 1_500_000_000);
        if chance(0.02) {
            features.see_of(self.metric.label(), "future point");
            time = now + 200 * SECOND;
        } else if chance(0.03) {
            features.see_of(self.metric.label(), "a little ahead");
            time = now + 3 * SECOND;
        } else if chance(0.03) {
            features.see_of(self.metric.label(), "late point");
            time = now - 70 * SECOND;
        } else if chance(0.04) {
            features.see_of(self.metric.label(), "out of order");
            time = now.saturating_sub(13 * SECOND);
        }
        self.time = self.time.max(time);
        let start = match self.starts {
            Starts::Known => self.start,
            Starts::Zero => {
                features.see_of(self.metric.label(), "start unknown: zero");
                0
            }
            Starts::AtTime => {
                features.see_of(self.metric.label(), "start unknown: the point's time");
                time
            }
        };
        let ended = chance(0.03);
        if ended {
            features.see_of(self.metric.label(), "no recorded value");
        }
        // Summaries have none.
        let exemplars = if self.metric.kind != "summary" && chance(0.05) {
            rng.random_range(1..7)
        } else {
            0
        };
        let body = self.body(start, time, ended, exemplars, features, rng);
        if !ended {
            self.previous = Some(body.clone());
        }
        vec![self.sent(body)]
    }

    fn reset(&mut self, fell: bool, now: u64, features: &mut Features) {
        if fell {
            features.see_of(self.metric.label(), "reset, start as before");
        } else {
            features.see_of(self.metric.label(), "reset, new start");
            self.start = self.time.max(now - 4 * SECOND);
        }
        self.int = if self.metric.big { i64::MAX / 4 } else { 1 };
        self.double = 0.5;
        self.observed.clear();
    }

    fn count(&mut self, features: &mut Features, rng: &mut ChaCha8Rng) {
        let m = &self.metric;
        let most = if m.big { i64::MAX / 8 } else { 100 };
        let by = rng.random_range(0..most);
        if m.wanders {
            self.int = rng.random_range(-50..200);
            self.double = f64::from(rng.random_range(-5_000..20_000)) / 128.0;
        } else {
            match self.int.checked_add(by) {
                Some(int) => self.int = int,
                None => self.int = by,
            }
            self.double += by as f64 / 64.0;
        }
        let numeric = matches!(m.kind, "sum" | "gauge");
        if numeric && m.double && !self.is_double && rng.random_bool(0.02 * m.oddity) {
            features.see_of(self.metric.label(), "int becomes double");
            self.is_double = true;
            self.double = self.double.max(self.int as f64);
        }
        if m.delta {
            self.observed.clear();
        }
        for _ in 0..rng.random_range(0..6) {
            let value = [300, 1_700, 3_100, 7_300, 21_000, 99_000][rng.random_range(0..6)];
            let sign = if rng.random_bool(0.15) { -1 } else { 1 };
            *self.observed.entry(sign * value).or_insert(0) += rng.random_range(1..5);
        }
        let explicit = m.kind == "histogram";
        let exponential = m.kind == "exponential_histogram";
        if explicit && rng.random_bool(0.05 * m.oddity) {
            features.see_of(self.metric.label(), "bounds change");
            self.bounds = bounds(m.foreign_bounds, rng);
        }
        if exponential && rng.random_bool(0.05 * m.oddity) {
            features.see_of(self.metric.label(), "scale change");
            self.scale = (self.scale + rng.random_range(-2..=2)).clamp(-2, 5);
        }
        if exponential && rng.random_bool(0.05 * m.oddity) {
            features.see_of(self.metric.label(), "zero threshold change");
            self.zero_threshold = [0.0, 0.25, 0.29, 1.9][rng.random_range(0..4)];
        }
        if (explicit || exponential) && rng.random_bool(0.02 * m.oddity) {
            features.see_of(self.metric.label(), "sum goes missing");
            self.with_sum = !self.with_sum;
        }
    }

    fn body(
        &self,
        start: u64,
        time: u64,
        ended: bool,
        exemplars: usize,
        features: &mut Features,
        rng: &mut ChaCha8Rng,
    ) -> Body {
        let exemplars = self.exemplars(exemplars, time, features);
        let (flags, attributes) = (u32::from(ended), self.attributes.clone());
        let observed: Vec<(f64, u64)> = self
            .observed
            .iter()
            .map(|(v, n)| (*v as f64 / 1000.0, *n))
            .collect();
        let total: u64 = observed.iter().map(|(_, n)| n).sum();
        let sum: f64 = observed.iter().map(|(v, n)| v * *n as f64).sum();
        let (least, most) = (observed.first().map(|o| o.0), observed.last().map(|o| o.0));
        let range = self.with_range && !ended;
        let sum = self.odd_sum(sum, features, rng);
        match self.metric.kind {
            "histogram" => Body::Histogram(HistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count: if ended { 0 } else { total },
                sum: (self.with_sum && !ended).then_some(sum),
                bucket_counts: if ended {
                    Vec::new()
                } else {
                    bucket(&observed, &self.bounds)
                },
                explicit_bounds: if ended {
                    Vec::new()
                } else {
                    self.bounds.clone()
                },
                exemplars,
                flags,
                min: least.filter(|_| range),
                max: most.filter(|_| range),
            }),
            "exponential_histogram" => {
                let scaled: Vec<(f64, u64)> = observed
                    .iter()
                    .map(|(v, n)| (v * 2f64.powi(self.octave), *n))
                    .collect();
                let (positive, negative, zero_count) = self.exponential(&scaled);
                let factor = 2f64.powi(self.octave);
                Body::Exponential(ExponentialHistogramDataPoint {
                    attributes,
                    start_time_unix_nano: start,
                    time_unix_nano: time,
                    count: if ended { 0 } else { total },
                    sum: (self.with_sum && !ended).then_some(sum * factor),
                    scale: self.scale,
                    zero_count: if ended { 0 } else { zero_count },
                    positive: positive.filter(|_| !ended),
                    negative: negative.filter(|_| !ended),
                    flags,
                    exemplars,
                    min: least.filter(|_| range).map(|v| v * factor),
                    max: most.filter(|_| range).map(|v| v * factor),
                    zero_threshold: self.zero_threshold,
                })
            }
            "summary" => Body::Summary(SummaryDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count: total,
                sum,
                quantile_values: vec![ValueAtQuantile {
                    quantile: 0.5,
                    value: 3.1,
                }],
                flags,
            }),
            _ => Body::Number(NumberDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                exemplars,
                flags,
                value: (!ended).then(|| self.value(features, rng)),
            }),
        }
    }

    /// Now and then the sum of a histogram or summary is no number.
    fn odd_sum(&self, sum: f64, features: &mut Features, rng: &mut ChaCha8Rng) -> f64 {
        let of = match self.metric.kind {
            "summary" => "a summary's sum is NaN or infinite",
            "histogram" | "exponential_histogram" => "a histogram's sum is NaN or infinite",
            _ => return sum,
        };
        if !rng.random_bool(0.02 * self.metric.oddity) {
            return sum;
        }
        features.see_of(self.metric.label(), of);
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][rng.random_range(0..3)]
    }

    fn value(&self, features: &mut Features, rng: &mut ChaCha8Rng) -> Value {
        if self.is_double && rng.random_bool(0.03 * self.metric.oddity) {
            let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][rng.random_range(0..3)];
            features.see_of(
                self.metric.label(),
                if odd.is_nan() { "NaN" } else { "infinity" },
            );
            return Value::AsDouble(odd);
        }
        if self.is_double {
            return Value::AsDouble(self.double);
        }
        if self.metric.big {
            features.see_of(self.metric.label(), "near i64 overflow");
        }
        Value::AsInt(self.int)
    }

    fn exemplars(&self, n: usize, time: u64, features: &mut Features) -> Vec<Exemplar> {
        if n > 0 {
            features.see_of(self.metric.label(), "exemplars");
        }
        (0..n as u64)
            .map(|i| Exemplar {
                time_unix_nano: time - i,
                span_id: vec![1, 2, 3, 4, 5, 6, 7, i as u8],
                value: Some(exemplar::Value::AsDouble(i as f64)),
                ..Default::default()
            })
            .collect()
    }

    fn exponential(&self, observed: &[(f64, u64)]) -> (Option<Buckets>, Option<Buckets>, u64) {
        let (mut positive, mut negative, mut zero) = (BTreeMap::new(), BTreeMap::new(), 0);
        for (value, n) in observed {
            if value.abs() <= self.zero_threshold {
                zero += n;
                continue;
            }
            let side = if *value > 0.0 {
                &mut positive
            } else {
                &mut negative
            };
            let index = (value.abs().log2() * 2f64.powi(self.scale)).ceil() as i32 - 1;
            *side.entry(index).or_insert(0) += n;
        }
        (dense(&positive), dense(&negative), zero)
    }
}

fn bounds(foreign: bool, rng: &mut ChaCha8Rng) -> Vec<f64> {
    BOUNDS[rng.random_range(0..if foreign { 5 } else { 3 })].to_vec()
}

fn bucket(observed: &[(f64, u64)], bounds: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; bounds.len() + 1];
    for (value, n) in observed {
        let at = bounds
            .iter()
            .position(|b| value <= b)
            .unwrap_or(bounds.len());
        counts[at] += n;
    }
    counts
}

fn dense(side: &BTreeMap<i32, u64>) -> Option<Buckets> {
    let (first, last) = (*side.first_key_value()?.0, *side.last_key_value()?.0);
    Some(Buckets {
        offset: first,
        bucket_counts: (first..=last)
            .map(|i| side.get(&i).copied().unwrap_or(0))
            .collect(),
    })
}
