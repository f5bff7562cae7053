//! Weights: the increments of a sampled series stand for those of the series that were not kept.
//!
//! What inputs of a weight add is added up exactly, apart from what others add. Only what is written is
//! scaled: whole numbers and buckets are totals times their weight, rounded to the nearest, and what a
//! window adds is the difference of two such totals. So a cumulative output never falls, and rounding
//! never adds up.

use super::explicit::Explicit;
use super::exponential::{Exponential, Side};
use super::number::Total;
use super::window::{Content, keep_common};

/// Contents by weight, smallest weight first.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Weighted {
    parts: Vec<(f64, Content)>,
}

impl Weighted {
    /// What inputs of this weight added.
    pub fn content(&mut self, weight: f64) -> &mut Content {
        let at = self.parts.partition_point(|(known, _)| *known < weight);
        if self.parts.get(at).is_none_or(|(known, _)| *known != weight) {
            self.parts.insert(at, (weight, Content::Empty));
        }
        &mut self.parts[at].1
    }

    /// What was added, weight by weight.
    pub fn contents(&mut self) -> impl Iterator<Item = &mut Content> {
        self.parts.iter_mut().map(|(_, content)| content)
    }

    /// Takes what another window or worker holds.
    pub fn merge(&mut self, other: Weighted) {
        for (weight, content) in other.parts {
            self.content(weight).merge(content);
        }
    }

    /// Adds a window's parts to these totals; what the window adds to what is written.
    pub fn step(&mut self, parts: Weighted) -> Content {
        match parts.parts.first() {
            Some((_, Content::Total(_))) => Content::Total(self.step_numbers(parts)),
            Some((_, Content::Explicit(_))) => {
                Content::Explicit(Box::new(self.step_explicit(parts)))
            }
            Some((_, Content::Exponential(_))) => {
                Content::Exponential(Box::new(self.step_exponential(parts)))
            }
            _ => Content::Empty,
        }
    }

    /// Whole numbers by their totals; others by themselves.
    fn step_numbers(&mut self, parts: Weighted) -> Total {
        let before = rounded(self.parts.iter().filter_map(scaled_number).sum());
        let mut doubles = None;
        for (weight, content) in parts.parts {
            match content {
                Content::Total(Total::Double(d)) => {
                    *doubles.get_or_insert(0.0) += weight * d;
                }
                content => self.content(weight).merge(content),
            }
        }
        let after = rounded(self.parts.iter().filter_map(scaled_number).sum());
        let mut step = Total::Int(after as i128 - before as i128);
        if let Some(doubles) = doubles {
            step.add(Total::Double(doubles));
        }
        step
    }

    /// At the bounds that all have in common. Where the totals' bounds change, so does what was rounded
    /// before.
    fn step_explicit(&mut self, mut parts: Weighted) -> Explicit {
        let mut step = Explicit::default();
        let mut first = true;
        let mut bounds: Option<Vec<f64>> = None;
        for (_, h) in self.parts.iter().chain(&parts.parts).filter_map(explicit) {
            match &mut bounds {
                None => bounds = Some(h.bounds.clone()),
                Some(common) => keep_common(common, &h.bounds),
            }
        }
        let bounds = bounds.unwrap_or_default();
        for (_, content) in self.parts.iter_mut().chain(&mut parts.parts) {
            if let Content::Explicit(h) = content {
                if h.counts.is_empty() {
                    h.counts.push(h.count);
                }
                h.reduce_to(&bounds);
            }
        }
        let before = scaled_counts(&self.parts, bounds.len() + 1);
        for (weight, h) in parts.parts.iter().filter_map(explicit) {
            let scaled = |n: Option<f64>| n.map(|n| n * weight);
            let range = (h.min, h.max);
            step.sum = if first {
                scaled(h.sum)
            } else {
                both(step.sum, scaled(h.sum), |a, b| a + b)
            };
            step.min = if first {
                range.0
            } else {
                both(step.min, range.0, f64::min)
            };
            step.max = if first {
                range.1
            } else {
                both(step.max, range.1, f64::max)
            };
            first = false;
        }
        self.merge(parts);
        let after = scaled_counts(&self.parts, bounds.len() + 1);
        step.counts = after
            .iter()
            .zip(&before)
            .map(|(a, b)| a.saturating_sub(*b))
            .collect();
        step.count = step.counts.iter().fold(0, |sum, n| sum.saturating_add(*n));
        step.bounds = bounds;
        step
    }

    /// At the scale and zero threshold that all have in common.
    fn step_exponential(&mut self, parts: Weighted) -> Exponential {
        let mut shape: Option<Exponential> = None;
        for (_, h) in self
            .parts
            .iter()
            .chain(&parts.parts)
            .filter_map(exponential)
        {
            match &mut shape {
                None => shape = Some(h.clone()),
                Some(shape) => shape.add(h),
            }
        }
        let shape = shape.unwrap_or_default();
        let mut step = Exponential::default();
        let mut first = true;
        for (weight, h) in parts.parts.iter().filter_map(exponential) {
            let scaled = |n: Option<f64>| n.map(|n| n * weight);
            step.sum = if first {
                scaled(h.sum)
            } else {
                both(step.sum, scaled(h.sum), |a, b| a + b)
            };
            step.min = if first {
                h.min
            } else {
                both(step.min, h.min, f64::min)
            };
            step.max = if first {
                h.max
            } else {
                both(step.max, h.max, f64::max)
            };
            first = false;
        }
        let mut before = self.scaled_exponential(&shape);
        self.merge(parts);
        let mut after = self.scaled_exponential(&shape);
        // Both have one shape, and nothing of the totals ever falls.
        if after.subtract(&mut before).is_err() {
            after.zero();
        }
        (after.sum, after.min, after.max) = (step.sum, step.min, step.max);
        after
    }

    /// The totals at a shape that cuts none of their buckets, scaled and rounded.
    fn scaled_exponential(&mut self, shape: &Exponential) -> Exponential {
        let empty = Exponential {
            sum: Some(0.0),
            scale: shape.scale,
            zero_threshold: shape.zero_threshold,
            ..Exponential::default()
        };
        let mut zero = 0.0;
        let mut sides: [Vec<(i64, f64)>; 2] = Default::default();
        for (weight, content) in &mut self.parts {
            let Content::Exponential(h) = content else {
                continue;
            };
            h.add(&empty);
            zero += *weight * h.zero_count as f64;
            for (side, into) in [&h.positive, &h.negative].into_iter().zip(&mut sides) {
                let filled = side.counts.iter().enumerate().filter(|(_, n)| **n > 0);
                into.extend(filled.map(|(i, n)| (side.offset + i as i64, *weight * *n as f64)));
            }
        }
        let [positive, negative] = sides.map(rounded_side);
        let mut scaled = Exponential {
            zero_count: rounded(zero) as u64,
            positive,
            negative,
            ..empty
        };
        let buckets = scaled.positive.counts.iter().chain(&scaled.negative.counts);
        scaled.count = buckets.fold(scaled.zero_count, |sum, n| sum.saturating_add(*n));
        scaled
    }

    /// Estimate of the bytes.
    pub fn bytes(&self) -> usize {
        let of = |content: &Content| match content {
            Content::Explicit(h) => size_of::<Explicit>() + h.bounds.capacity() * 16,
            Content::Exponential(h) => {
                200 + (h.positive.counts.capacity() + h.negative.counts.capacity()) * 8
            }
            _ => 0,
        };
        let each = self
            .parts
            .iter()
            .map(|(_, content)| of(content) + size_of::<(f64, Content)>());
        size_of::<Weighted>() + each.sum::<usize>()
    }
}

/// To the nearest whole number, halves up: so that the difference of two totals does not depend on
/// where they lie.
fn rounded(n: f64) -> f64 {
    (n + 0.5).floor()
}

fn both(a: Option<f64>, b: Option<f64>, f: impl Fn(f64, f64) -> f64) -> Option<f64> {
    Some(f(a?, b?))
}

fn scaled_number((weight, content): &(f64, Content)) -> Option<f64> {
    match content {
        Content::Total(Total::Int(n)) => Some(weight * *n as f64),
        _ => None,
    }
}

fn explicit((weight, content): &(f64, Content)) -> Option<(f64, &Explicit)> {
    match content {
        Content::Explicit(h) => Some((*weight, h)),
        _ => None,
    }
}

fn exponential((weight, content): &(f64, Content)) -> Option<(f64, &Exponential)> {
    match content {
        Content::Exponential(h) => Some((*weight, h)),
        _ => None,
    }
}

/// Buckets of equal bounds, scaled and rounded.
fn scaled_counts(parts: &[(f64, Content)], buckets: usize) -> Vec<u64> {
    let mut counts = vec![0.0; buckets];
    for (weight, h) in parts.iter().filter_map(explicit) {
        for (into, n) in counts.iter_mut().zip(&h.counts) {
            *into += weight * *n as f64;
        }
    }
    counts.into_iter().map(|n| rounded(n) as u64).collect()
}

/// One side of buckets from those of several histograms of one scale.
fn rounded_side(mut filled: Vec<(i64, f64)>) -> Side {
    // Stable: of one bucket they stay in the order of their weights.
    filled.sort_by_key(|(index, _)| *index);
    let (Some((first, _)), Some((last, _))) = (filled.first(), filled.last()) else {
        return Side::default();
    };
    let (first, width) = (*first, (last - first) as usize + 1);
    let mut counts = vec![0.0; width];
    for (index, n) in &filled {
        if let Some(into) = counts.get_mut((index - first) as usize) {
            *into += n;
        }
    }
    Side {
        offset: first,
        counts: counts.into_iter().map(|n| rounded(n) as u64).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    fn ints(parts: &[(f64, i128)]) -> Weighted {
        let mut all = Weighted::default();
        for (weight, n) in parts {
            *all.content(*weight) = Content::Total(Total::Int(*n));
        }
        all
    }

    #[test]
    fn whole_numbers_stay_whole_and_their_rounding_never_adds_up() {
        // 1/0.3 each: totals 3.33, 6.67, 10 are written as 3, 7, 10
        let mut totals = Weighted::default();
        let mut step = || totals.step(ints(&[(1.0 / 0.3, 1)]));
        let steps = [step(), step(), step()];
        let expected = [3, 4, 3].map(|n| Content::Total(Total::Int(n)));
        assert_eq!(steps, expected);
    }

    #[test]
    fn halves_go_up_wherever_the_total_lies() {
        let mut totals = Weighted::default();
        let written: Vec<Content> = [1, 0, 2, -3]
            .into_iter()
            .map(|n| totals.step(ints(&[(2.5, n)])))
            .collect();
        // totals 2.5, 2.5, 7.5, 0
        assert_eq!(
            written,
            [3, 0, 5, -8].map(|n| Content::Total(Total::Int(n)))
        );
    }

    #[test]
    fn doubles_are_scaled_as_they_are() {
        let mut parts = ints(&[(2.5, 1)]);
        *parts.content(10.0) = Content::Total(Total::Double(0.25));
        let step = Weighted::default().step(parts);
        assert_eq!(step, Content::Total(Total::Double(5.5)));
    }

    #[test]
    fn buckets_are_rounded_each_and_the_count_is_their_sum() {
        let h = Explicit {
            count: 3,
            sum: Some(4.0),
            min: Some(0.5),
            max: Some(2.0),
            bounds: vec![1.0],
            counts: vec![1, 2],
        };
        let mut totals = Weighted::default();
        let mut step = || {
            let mut parts = Weighted::default();
            *parts.content(2.5) = Content::Explicit(Box::new(h.clone()));
            totals.step(parts)
        };
        let of = |count, counts: [u64; 2]| {
            Content::Explicit(Box::new(Explicit {
                count,
                sum: Some(10.0),
                counts: counts.to_vec(),
                ..h.clone()
            }))
        };
        // totals 2.5 and 5, then 5 and 10
        assert_eq!(step(), of(8, [3, 5]));
        assert_eq!(step(), of(7, [2, 5]));
    }

    #[test]
    fn exponential_buckets_too_at_the_lower_of_both_scales() {
        let of = |scale, offset, counts: &[u64]| Exponential {
            count: counts.iter().sum::<u64>() + 1,
            zero_count: 1,
            sum: Some(1.0),
            scale,
            positive: Side {
                offset,
                counts: counts.to_vec(),
            },
            ..Exponential::default()
        };
        let mut totals = Weighted::default();
        let mut step = |h: Exponential| {
            let mut parts = Weighted::default();
            *parts.content(2.5) = Content::Exponential(Box::new(h));
            match totals.step(parts) {
                Content::Exponential(h) => *h,
                other => panic!("{other:?}"),
            }
        };
        let first = step(of(1, 2, &[1, 1]));
        assert_eq!((first.count, first.zero_count), (9, 3));
        assert_eq!(first.positive.counts, [3, 3]);
        // bucket 1 of scale 0 holds both: 5 so far, 7.5 now
        let second = step(of(0, 1, &[1]));
        assert_eq!((second.scale, second.count, second.zero_count), (0, 5, 2));
        assert_eq!(second.positive.counts, [3]);
        assert_eq!(second.sum, Some(2.5));
    }
}
