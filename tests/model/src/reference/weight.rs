//! Weights: the increments of kept series count for those of the series that a fraction left out.

use super::explicit::{Explicit, total};
use super::exponential::Exponential;
use super::number::{Num, Total};
use super::progress::Amount;
use std::collections::BTreeMap;

/// What inputs of each weight added since the output's first window; no weight is 1.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    parts: Vec<(f64, Amount)>,
}

/// Puts an amount to those of its weight, which are in order.
pub fn add(parts: &mut Vec<(f64, Amount)>, weight: f64, amount: &Amount) {
    match parts.iter_mut().find(|(known, _)| *known == weight) {
        Some((_, have)) => *have = have.plus(amount).expect("asked before"),
        None => {
            parts.push((weight, amount.fitted()));
            parts.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
    }
}

/// To the nearest whole number, halves up.
fn rounded(n: f64) -> i128 {
    (n + 0.5).floor() as i128
}

fn fold(values: &[Option<f64>], f: impl Fn(f64, f64) -> f64) -> Option<f64> {
    let known: Option<Vec<f64>> = values.iter().copied().collect();
    known?.into_iter().reduce(f)
}

impl Totals {
    /// What a window's parts add to what is written: the difference of the rounded totals.
    pub fn step(&mut self, parts: &[(f64, Amount)]) -> Option<Amount> {
        Some(match &parts.first()?.1 {
            Amount::Number(_) => Amount::Number(self.numbers(parts)),
            Amount::Explicit(_) => Amount::Explicit(self.explicit(parts)),
            Amount::Exponential(_) => Amount::Exponential(self.exponential(parts)),
        })
    }

    fn take(&mut self, parts: &[(f64, Amount)]) {
        for (weight, amount) in parts {
            add(&mut self.parts, *weight, amount);
        }
    }

    fn numbers(&mut self, parts: &[(f64, Amount)]) -> Total {
        let scaled = |parts: &[(f64, Amount)]| {
            let of = |(weight, amount): &(f64, Amount)| match amount {
                Amount::Number(n) => weight * n.number_as_f64(),
                _ => 0.0,
            };
            rounded(parts.iter().map(of).sum())
        };
        let before = scaled(&self.parts);
        let is_double = |amount: &Amount| matches!(amount, Amount::Number(n) if n.is_double());
        let (doubles, ints): (Vec<_>, Vec<_>) =
            parts.iter().cloned().partition(|(_, n)| is_double(n));
        self.take(&ints);
        let mut step = Total::of_int(scaled(&self.parts) - before);
        for (weight, amount) in doubles {
            if let Amount::Number(n) = amount {
                step.add(Num::Double(weight * n.number_as_f64()));
            }
        }
        step
    }

    fn explicit(&mut self, parts: &[(f64, Amount)]) -> Explicit {
        let of = |(weight, amount): &(f64, Amount)| match amount {
            Amount::Explicit(e) => (*weight, e.clone()),
            other => panic!("{other:?} among histograms"),
        };
        let both: Vec<_> = self.parts.iter().chain(parts).map(of).collect();
        let mut bounds = both[0].1.bounds.clone();
        for (_, e) in &both {
            bounds.retain(|b| e.bounds.contains(b));
        }
        let scaled = |parts: &[(f64, Amount)]| {
            let mut counts = vec![0.0; bounds.len() + 1];
            for (weight, e) in parts.iter().map(of) {
                let n = e.rebucket(&bounds).counts;
                counts
                    .iter_mut()
                    .zip(n)
                    .for_each(|(c, n)| *c += weight * n as f64);
            }
            counts.into_iter().map(rounded).collect::<Vec<i128>>()
        };
        let before = scaled(&self.parts);
        self.take(parts);
        let after = scaled(&self.parts);
        let counts: Vec<u64> = after
            .iter()
            .zip(before)
            .map(|(a, b)| (a - b) as u64)
            .collect();
        let of_parts: Vec<_> = parts.iter().map(of).collect();
        let list = |f: &dyn Fn(f64, &Explicit) -> Option<f64>| -> Vec<Option<f64>> {
            of_parts.iter().map(|(w, e)| f(*w, e)).collect()
        };
        Explicit {
            count: counts.iter().fold(0, total),
            counts,
            sum: fold(&list(&|w, e| e.sum.map(|s| s * w)), |a, b| a + b),
            min: fold(&list(&|_, e| e.min), f64::min),
            max: fold(&list(&|_, e| e.max), f64::max),
            bounds,
        }
    }

    fn exponential(&mut self, parts: &[(f64, Amount)]) -> Exponential {
        let of = |(weight, amount): &(f64, Amount)| match amount {
            Amount::Exponential(e) => (*weight, e.clone()),
            other => panic!("{other:?} among exponential histograms"),
        };
        let both = self.parts.iter().chain(parts).map(of);
        let shape = both
            .map(|(_, e)| e)
            .reduce(|a, b| a.plus(&b))
            .expect("some");
        let scaled = |parts: &[(f64, Amount)]| {
            let mut zero = 0.0;
            let mut sides: [BTreeMap<i32, f64>; 2] = Default::default();
            for (weight, mut e) in parts.iter().map(of) {
                e.downscale(shape.scale);
                e.widen(shape.zero_threshold);
                zero += weight * e.zero_count as f64;
                for (side, into) in [&e.positive, &e.negative].into_iter().zip(&mut sides) {
                    for (index, n) in side {
                        *into.entry(*index).or_insert(0.0) += weight * *n as f64;
                    }
                }
            }
            let whole = |side: BTreeMap<i32, f64>| -> BTreeMap<i32, i128> {
                side.into_iter().map(|(i, n)| (i, rounded(n))).collect()
            };
            let [positive, negative] = sides;
            (rounded(zero), whole(positive), whole(negative))
        };
        let before = scaled(&self.parts);
        self.take(parts);
        let after = scaled(&self.parts);
        let since = |after: BTreeMap<i32, i128>, before: BTreeMap<i32, i128>| {
            let grown = after
                .into_iter()
                .map(|(i, n)| (i, (n - before.get(&i).copied().unwrap_or(0)) as u64));
            grown
                .filter(|(_, n)| *n > 0)
                .collect::<BTreeMap<i32, u64>>()
        };
        let of_parts: Vec<_> = parts.iter().map(of).collect();
        let list = |f: &dyn Fn(f64, &Exponential) -> Option<f64>| -> Vec<Option<f64>> {
            of_parts.iter().map(|(w, e)| f(*w, e)).collect()
        };
        let zero_count = (after.0 - before.0) as u64;
        let (positive, negative) = (since(after.1, before.1), since(after.2, before.2));
        let buckets = positive.values().chain(negative.values());
        Exponential {
            scale: shape.scale,
            zero_threshold: shape.zero_threshold,
            zero_count,
            count: buckets.fold(zero_count, total),
            positive,
            negative,
            sum: fold(&list(&|w, e| e.sum.map(|s| s * w)), |a, b| a + b),
            min: fold(&list(&|_, e| e.min), f64::min),
            max: fold(&list(&|_, e| e.max), f64::max),
        }
    }
}
