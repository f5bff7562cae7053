//! Explicit histograms as accumulators: common bounds, rebinning, addition, subtraction.

/// An explicit histogram: one point's content, an increment, or a total.
///
/// Invariant: `counts` has one entry more than `bounds`, or both are empty (no buckets were sent).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explicit {
    /// Number of observations.
    pub count: u64,
    /// Their sum; `None` once any of what was added lacked it.
    pub sum: Option<f64>,
    /// Smallest observation; `None` once any lacked it.
    pub min: Option<f64>,
    /// Largest observation; `None` once any lacked it.
    pub max: Option<f64>,
    /// Upper bounds of all buckets but the last, strictly increasing.
    pub bounds: Vec<f64>,
    /// Observations a bucket.
    pub counts: Vec<u64>,
}

/// How a count or a bucket fell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fell;

impl Explicit {
    /// Takes over another's content, keeping the memory.
    pub fn copy_from(&mut self, other: &Explicit) {
        self.count = other.count;
        self.sum = other.sum;
        self.min = other.min;
        self.max = other.max;
        self.bounds.clear();
        self.bounds.extend_from_slice(&other.bounds);
        self.counts.clear();
        self.counts.extend_from_slice(&other.counts);
    }

    /// Keeps the shape and nothing of the content: a point that adds 0.
    pub fn zero(&mut self) {
        self.count = 0;
        self.sum = self.sum.map(|_| 0.0);
        (self.min, self.max) = (None, None);
        self.counts.fill(0);
    }

    /// Whether the buckets are what OTLP allows.
    pub fn is_well_formed(&self) -> bool {
        let lengths = self.counts.len() == self.bounds.len() + 1
            || (self.counts.is_empty() && self.bounds.is_empty());
        lengths
            && self.bounds.windows(2).all(|w| w[0] < w[1])
            && !self.bounds.iter().any(|b| b.is_nan())
    }

    /// Adds another with any bounds: the result has the common ones. Where none are common only
    /// count and sum stay exact (see [`shares_bounds`]).
    pub fn add(&mut self, other: &Explicit) {
        self.keep_common(other);
        add_rebinned(&mut self.counts, &self.bounds, other);
        self.count = self.count.saturating_add(other.count);
        self.sum = both(self.sum, other.sum, |a, b| a + b);
        self.min = both(self.min, other.min, f64::min);
        self.max = both(self.max, other.max, f64::max);
    }

    /// Subtracts the earlier state of the same series, at the common bounds.
    ///
    /// # Errors
    /// A count or bucket fell: the series was reset. `self` then holds nothing of use.
    pub fn subtract(&mut self, earlier: &Explicit) -> Result<(), Fell> {
        self.keep_common(earlier);
        self.count = self.count.checked_sub(earlier.count).ok_or(Fell)?;
        subtract_rebinned(&mut self.counts, &self.bounds, earlier)?;
        self.sum = both(self.sum, earlier.sum, |a, b| a - b);
        (self.min, self.max) = (None, None);
        Ok(())
    }

    /// Merges buckets until only bounds remain that the other has too.
    fn keep_common(&mut self, other: &Explicit) {
        if self.counts.is_empty() || other.counts.is_empty() {
            self.bounds.clear();
            self.counts.clear();
        } else if self.bounds != other.bounds {
            self.reduce_to(&other.bounds);
        }
    }

    /// Merges buckets so that only those of its bounds remain that `keep` (increasing) has.
    pub fn reduce_to(&mut self, keep: &[f64]) {
        let (mut kept, mut bucket) = (0, 0);
        let mut theirs = keep.iter().peekable();
        let mut carried = 0u64;
        for i in 0..self.bounds.len() {
            carried = carried.saturating_add(self.counts.get(i).copied().unwrap_or(0));
            let bound = self.bounds[i];
            while theirs.next_if(|b| **b < bound).is_some() {}
            if theirs.peek().is_some_and(|b| **b == bound) {
                self.bounds[kept] = bound;
                kept += 1;
                if let Some(slot) = self.counts.get_mut(bucket) {
                    *slot = carried;
                    bucket += 1;
                }
                carried = 0;
            }
        }
        if let Some(last) = self.counts.last().copied() {
            carried = carried.saturating_add(last);
            self.counts[bucket] = carried;
            self.counts.truncate(bucket + 1);
        }
        self.bounds.truncate(kept);
    }
}

fn both(a: Option<f64>, b: Option<f64>, f: impl Fn(f64, f64) -> f64) -> Option<f64> {
    Some(f(a?, b?))
}

/// Adds `other`'s buckets to `counts`, whose `bounds` are a subset of its own.
fn add_rebinned(counts: &mut [u64], bounds: &[f64], other: &Explicit) {
    let mut into = 0;
    for (i, n) in other.counts.iter().enumerate() {
        if let Some(slot) = counts.get_mut(into) {
            *slot = slot.saturating_add(*n);
        }
        if other
            .bounds
            .get(i)
            .is_some_and(|b| bounds.get(into) == Some(b))
        {
            into += 1;
        }
    }
}

fn subtract_rebinned(counts: &mut [u64], bounds: &[f64], other: &Explicit) -> Result<(), Fell> {
    let mut into = 0;
    for (i, n) in other.counts.iter().enumerate() {
        if let Some(slot) = counts.get_mut(into) {
            *slot = slot.checked_sub(*n).ok_or(Fell)?;
        }
        if other
            .bounds
            .get(i)
            .is_some_and(|b| bounds.get(into) == Some(b))
        {
            into += 1;
        }
    }
    Ok(())
}

/// Whether two sets of bounds (both increasing) can be added: equal, or with a bound in common.
pub fn shares_bounds(a: &[f64], b: &[f64]) -> bool {
    if a == b {
        return true;
    }
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            return true;
        }
        if x < y { i += 1 } else { j += 1 }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(bounds: &[f64], counts: &[u64], sum: Option<f64>) -> Explicit {
        Explicit {
            count: counts.iter().sum(),
            sum,
            min: None,
            max: None,
            bounds: bounds.to_vec(),
            counts: counts.to_vec(),
        }
    }

    #[test]
    fn equal_bounds_add_bucket_by_bucket() {
        let mut a = of(&[1.0, 2.0], &[1, 2, 3], Some(10.0));
        a.add(&of(&[1.0, 2.0], &[4, 0, 1], Some(5.0)));
        assert_eq!(a, of(&[1.0, 2.0], &[5, 2, 4], Some(15.0)));
    }

    #[test]
    fn different_bounds_add_at_the_common_ones() {
        // (..1] 1, (1..2] 2, (2..4] 3, (4..) 4   +   (..2] 10, (2..3] 20, (3..4] 30, (4..) 40
        // common 2 and 4: (..2] 3+10, (2..4] 3+50, (4..) 4+40
        let mut a = of(&[1.0, 2.0, 4.0], &[1, 2, 3, 4], Some(1.0));
        a.add(&of(&[2.0, 3.0, 4.0], &[10, 20, 30, 40], Some(2.0)));
        assert_eq!(a, of(&[2.0, 4.0], &[13, 53, 44], Some(3.0)));
    }

    #[test]
    fn without_a_common_bound_count_and_sum_stay_exact() {
        let mut a = of(&[1.0], &[1, 2], Some(1.0));
        a.add(&of(&[5.0], &[10, 20], Some(2.0)));
        assert_eq!(a, of(&[], &[33], Some(3.0)));
        assert!(!shares_bounds(&[1.0], &[5.0]));
        assert!(shares_bounds(&[1.0, 5.0], &[5.0]));
        assert!(shares_bounds(&[], &[]));
    }

    #[test]
    fn the_sum_goes_once_one_lacks_it() {
        let mut a = of(&[1.0], &[1, 2], Some(1.0));
        a.add(&of(&[1.0], &[1, 1], None));
        assert_eq!(a.sum, None);
        assert_eq!(a.counts, [2, 3]);
    }

    #[test]
    fn a_difference_is_taken_bucket_by_bucket_and_a_falling_bucket_is_a_reset() {
        let mut a = of(&[1.0], &[5, 7], Some(9.0));
        assert_eq!(a.subtract(&of(&[1.0], &[2, 7], Some(4.0))), Ok(()));
        assert_eq!(a, of(&[1.0], &[3, 0], Some(5.0)));
        // the count grows, one bucket falls
        let mut b = of(&[1.0], &[1, 20], Some(9.0));
        assert_eq!(b.subtract(&of(&[1.0], &[2, 7], Some(4.0))), Err(Fell));
    }

    #[test]
    fn a_change_of_bounds_is_no_reset_when_common_buckets_grew() {
        // earlier (..1] 1 (1..2] 2 (2..) 3; later (..2] 5 (2..) 3: common bound 2: 5-3, 3-3
        let mut a = of(&[2.0], &[5, 3], Some(9.0));
        assert_eq!(a.subtract(&of(&[1.0, 2.0], &[1, 2, 3], Some(4.0))), Ok(()));
        assert_eq!(a, of(&[2.0], &[2, 0], Some(5.0)));
    }

    #[test]
    fn malformed_buckets_are_told_apart() {
        assert!(of(&[1.0, 2.0], &[1, 2, 3], None).is_well_formed());
        assert!(of(&[], &[], None).is_well_formed());
        assert!(of(&[], &[3], None).is_well_formed());
        assert!(!of(&[2.0, 1.0], &[1, 2, 3], None).is_well_formed());
        assert!(!of(&[1.0], &[1], None).is_well_formed());
        assert!(!of(&[f64::NAN], &[1, 2], None).is_well_formed());
    }
}
