//! Exponential histograms: lowest scale, widest zero bucket, at most 160 buckets a side.

use super::explicit::total;
use std::collections::BTreeMap;

/// Buckets by index; empty ones are absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Exponential {
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub positive: BTreeMap<i32, u64>,
    pub negative: BTreeMap<i32, u64>,
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
}

/// Buckets an output has on one side at most.
pub const MOST_BUCKETS: i64 = 160;

/// Scales below are taken for this one; from here all buckets can be brought side by side.
const LEAST_SCALE: i32 = i32::MIN + 64;

/// The lower edge of bucket `index`: `2 ^ (index * 2^-scale)`.
fn lower_edge(scale: i32, index: i64) -> f64 {
    (index as f64 * 2f64.powi(scale.saturating_neg())).exp2()
}

fn span(side: &BTreeMap<i32, u64>) -> i64 {
    match (side.first_key_value(), side.last_key_value()) {
        (Some((first, _)), Some((last, _))) => i64::from(*last) - i64::from(*first) + 1,
        _ => 0,
    }
}

impl Exponential {
    /// The same observations at a lower scale: bucket pairs fall together.
    pub fn downscale(&mut self, scale: i32) {
        let by = (i64::from(self.scale) - i64::from(scale)).clamp(0, 31);
        for side in [&mut self.positive, &mut self.negative] {
            let mut folded = BTreeMap::new();
            for (index, n) in side.iter() {
                let into = folded.entry(index >> by).or_insert(0);
                *into = total(*into, n);
            }
            *side = folded;
        }
        self.scale = scale.min(self.scale);
    }

    /// Raises the zero threshold to at least `threshold`, and on to the edge of every bucket that
    /// it cuts; the content of buckets within goes to the zero count.
    pub fn widen(&mut self, threshold: f64) {
        // What is no number, or below zero, is no threshold.
        self.zero_threshold = self.zero_threshold.max(threshold).max(0.0);
        loop {
            let limit = self.zero_threshold;
            let mut raised = limit;
            for side in [&mut self.positive, &mut self.negative] {
                let inside: Vec<i32> = side
                    .keys()
                    .copied()
                    .filter(|i| lower_edge(self.scale, i64::from(*i)) < limit * (1.0 - 1e-12))
                    .collect();
                for index in inside {
                    let n = side.remove(&index).unwrap_or(0);
                    self.zero_count = total(self.zero_count, &n);
                    let upper = lower_edge(self.scale, i64::from(index) + 1);
                    // A threshold that is this edge but for rounding stays what it was.
                    if upper > limit * (1.0 + 1e-12) {
                        raised = raised.max(upper);
                    }
                }
            }
            if raised == limit {
                return;
            }
            self.zero_threshold = raised;
        }
    }

    /// Buckets from the first to the last filled one, on the wider side.
    pub fn width(&self) -> i64 {
        span(&self.positive).max(span(&self.negative))
    }

    /// No bucket is cut by the zero threshold; at most 160 buckets a side.
    pub fn fit(&mut self) {
        self.scale = self.scale.max(LEAST_SCALE);
        self.widen(self.zero_threshold);
        while span(&self.positive) > MOST_BUCKETS || span(&self.negative) > MOST_BUCKETS {
            self.downscale(self.scale - 1);
            self.widen(self.zero_threshold);
        }
    }

    /// Both at the lower scale and the wider zero bucket.
    pub fn alike(&self, other: &Exponential) -> (Exponential, Exponential) {
        let (mut a, mut b) = (self.clone(), other.clone());
        let scale = a.scale.min(b.scale).max(LEAST_SCALE);
        a.downscale(scale);
        b.downscale(scale);
        loop {
            let threshold = a.zero_threshold.max(b.zero_threshold);
            a.widen(threshold);
            b.widen(threshold);
            if a.zero_threshold == b.zero_threshold {
                return (a, b);
            }
        }
    }

    /// No observations, at this scale and threshold.
    pub fn emptied(&self) -> Exponential {
        Exponential {
            zero_count: 0,
            positive: BTreeMap::new(),
            negative: BTreeMap::new(),
            count: 0,
            sum: self.sum.map(|_| 0.0),
            min: None,
            max: None,
            ..self.clone()
        }
    }

    /// Whether counts have fallen since `earlier`; a change of scale or threshold is no fall.
    pub fn fell_since(&self, earlier: &Exponential) -> bool {
        let (now, before) = self.alike(earlier);
        let fell = |n: &BTreeMap<i32, u64>, b: &BTreeMap<i32, u64>| {
            b.iter().any(|(i, c)| n.get(i).copied().unwrap_or(0) < *c)
        };
        now.count < before.count
            || now.zero_count < before.zero_count
            || fell(&now.positive, &before.positive)
            || fell(&now.negative, &before.negative)
    }

    /// What was observed since `earlier`, which is not larger anywhere.
    pub fn since(&self, earlier: &Exponential) -> Exponential {
        let (mut now, before) = self.alike(earlier);
        now.count -= before.count;
        now.zero_count -= before.zero_count;
        for (side, old) in [
            (&mut now.positive, &before.positive),
            (&mut now.negative, &before.negative),
        ] {
            for (index, n) in old {
                if let Some(have) = side.get_mut(index) {
                    *have -= n;
                }
            }
            side.retain(|_, n| *n > 0);
        }
        now.sum = now.sum.zip(before.sum).map(|(n, b)| n - b);
        now.min = None;
        now.max = None;
        now
    }

    /// Both together, in at most 160 buckets a side.
    pub fn plus(&self, other: &Exponential) -> Exponential {
        let (mut a, b) = self.alike(other);
        a.count = total(a.count, &b.count);
        a.zero_count = total(a.zero_count, &b.zero_count);
        for (side, more) in [
            (&mut a.positive, &b.positive),
            (&mut a.negative, &b.negative),
        ] {
            for (index, n) in more {
                let into = side.entry(*index).or_insert(0);
                *into = total(*into, n);
            }
        }
        a.sum = a.sum.zip(b.sum).map(|(x, y)| x + y);
        a.min = a.min.zip(b.min).map(|(x, y)| x.min(y));
        a.max = a.max.zip(b.max).map(|(x, y)| x.max(y));
        a.fit();
        a
    }
}
