//! Exponential histograms as accumulators: the lowest scale, the widest zero threshold, at most
//! 160 buckets a side, exact count and sum.

use super::explicit::Fell;

/// Most buckets an output has on each side; more are merged by scaling down.
pub const MAX_BUCKETS: i64 = 160;

/// Scales below are read as this one. No value tells them apart (from -11 on all numbers lie in two buckets), and from here
/// it can be lowered until all buckets that a point can name are two neighbours, which takes 32 steps.
pub const LEAST_SCALE: i32 = i32::MIN + 64;

/// Buckets of one sign: `counts[i]` is the bucket of index `offset + i`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Side {
    /// Index of the first bucket.
    pub offset: i64,
    /// Observations a bucket.
    pub counts: Vec<u64>,
}

/// An exponential histogram: one point's content, an increment, or a total.
///
/// Bucket `i` of scale `s` holds what lies in `(2^(i * 2^-s), 2^((i + 1) * 2^-s)]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exponential {
    /// Number of observations.
    pub count: u64,
    /// Their sum; `None` once any of what was added lacked it.
    pub sum: Option<f64>,
    /// Smallest observation; `None` once any lacked it.
    pub min: Option<f64>,
    /// Largest observation; `None` once any lacked it.
    pub max: Option<f64>,
    /// Resolution; every step down halves the number of buckets.
    pub scale: i32,
    /// Values of at most this magnitude are in the zero count.
    pub zero_threshold: f64,
    /// Observations near zero.
    pub zero_count: u64,
    /// Buckets of positive values.
    pub positive: Side,
    /// Buckets of negative values, by magnitude.
    pub negative: Side,
}

/// Lower edge of bucket `index` at `scale`.
fn edge(index: i64, scale: i32) -> f64 {
    if index == 0 {
        return 1.0;
    }
    (index as f64 * (-f64::from(scale)).exp2()).exp2()
}

/// Index of the bucket that holds `value` (> 0, finite) at `scale`.
fn bucket_of(value: f64, scale: i32) -> i64 {
    let estimate = value.log2() * f64::from(scale).exp2();
    let mut index = estimate.ceil().clamp(-1e15, 1e15) as i64 - 1;
    // The estimate is off by one at most, near the edges.
    if edge(index, scale) >= value {
        index -= 1;
    }
    if edge(index + 1, scale) < value {
        index += 1;
    }
    index
}

impl Side {
    fn copy_from(&mut self, other: &Side) {
        self.offset = other.offset;
        self.counts.clear();
        self.counts.extend_from_slice(&other.counts);
    }

    /// First and last index with observations, among those above `floor`, at a scale `by` lower.
    fn span(&self, by: u32, floor: Option<i64>) -> Option<(i64, i64)> {
        let above = |i: usize| self.counts[i] > 0 && floor.is_none_or(|f| self.index(i, by) > f);
        let first = (0..self.counts.len()).find(|i| above(*i))?;
        let last = (0..self.counts.len()).rfind(|i| above(*i))?;
        Some((self.index(first, by), self.index(last, by)))
    }

    fn index(&self, i: usize, by: u32) -> i64 {
        self.offset.saturating_add(i as i64) >> by.min(63)
    }

    /// Observations in bucket `index`, at a scale `by` lower.
    fn at(&self, index: i64, by: u32) -> bool {
        (0..self.counts.len()).any(|i| self.counts[i] > 0 && self.index(i, by) == index)
    }

    /// Moves what lies at or below bucket `floor` out; returns how much.
    fn cut(&mut self, floor: i64) -> u64 {
        let offset = self.offset;
        let below = |i: usize| offset.saturating_add(i as i64) <= floor;
        let mut moved = 0u64;
        for (i, n) in self.counts.iter_mut().enumerate() {
            if below(i) {
                moved = moved.saturating_add(std::mem::take(n));
            }
        }
        moved
    }

    fn scale_down(&mut self, by: u32) {
        if by == 0 || self.counts.is_empty() {
            return;
        }
        let first = self.index(0, by);
        let mut used = 0;
        for i in 0..self.counts.len() {
            let into = (self.index(i, by) - first) as usize;
            let n = std::mem::take(&mut self.counts[i]);
            self.counts[into] = self.counts[into].saturating_add(n);
            used = into + 1;
        }
        self.counts.truncate(used);
        self.offset = first;
    }

    /// Makes room for the buckets `first..=last` (and keeps those with observations).
    fn cover(&mut self, first: i64, last: i64) {
        if let Some(until) = self.counts.iter().rposition(|n| *n > 0) {
            self.counts.truncate(until + 1);
        } else {
            self.counts.clear();
            self.offset = first;
        }
        let empty = self.counts.iter().take_while(|n| **n == 0).count();
        if empty > 0 {
            self.counts.drain(..empty);
            self.offset += empty as i64;
        }
        if first < self.offset {
            let missing = (self.offset - first) as usize;
            self.counts.splice(..0, std::iter::repeat_n(0, missing));
            self.offset = first;
        }
        let needed = (last - self.offset + 1).max(0) as usize;
        if needed > self.counts.len() {
            self.counts.resize(needed, 0);
        }
    }

    /// Adds what of `other` (at a scale `by` higher) lies above `floor`; returns what lies below.
    fn add(&mut self, other: &Side, by: u32, floor: Option<i64>) -> u64 {
        if let Some((first, last)) = other.span(by, floor) {
            let (a, b) = self.span(0, None).unwrap_or((first, last));
            self.cover(a.min(first), b.max(last));
        }
        let mut below = 0u64;
        for (i, n) in other.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            let index = other.index(i, by);
            if floor.is_some_and(|f| index <= f) {
                below = below.saturating_add(*n);
            } else if let Some(slot) = self.counts.get_mut((index - self.offset) as usize) {
                *slot = slot.saturating_add(*n);
            }
        }
        below
    }

    /// Upper edges of the filled buckets, by magnitude, at the scale that they have.
    pub fn uppers(&self, scale: i32) -> impl Iterator<Item = (f64, u64)> + '_ {
        // No value in a bucket is 0, however small its edge.
        let least = f64::from_bits(1);
        self.filled()
            .map(move |(index, n)| (edge(index.saturating_add(1), scale).max(least), n))
    }

    /// Lower edges of the filled buckets, by magnitude, at the scale that they have.
    pub fn lowers(&self, scale: i32) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.filled().map(move |(index, n)| (edge(index, scale), n))
    }

    fn filled(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        let filled = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        filled.map(|(i, n)| (self.index(i, 0), *n))
    }

    fn subtract(&mut self, earlier: &Side) -> Result<(), Fell> {
        for (i, n) in earlier.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            let at = usize::try_from(earlier.index(i, 0) - self.offset).map_err(|_| Fell)?;
            let slot = self.counts.get_mut(at).ok_or(Fell)?;
            *slot = slot.checked_sub(*n).ok_or(Fell)?;
        }
        Ok(())
    }
}

impl Exponential {
    /// Takes over another's content, keeping the memory.
    pub fn copy_from(&mut self, other: &Exponential) {
        self.count = other.count;
        self.sum = other.sum;
        self.min = other.min;
        self.max = other.max;
        self.scale = other.scale;
        self.zero_threshold = other.zero_threshold;
        self.zero_count = other.zero_count;
        self.positive.copy_from(&other.positive);
        self.negative.copy_from(&other.negative);
    }

    /// Keeps scale and zero threshold and nothing of the content: a point that adds 0.
    pub fn zero(&mut self) {
        (self.count, self.zero_count) = (0, 0);
        self.sum = self.sum.map(|_| 0.0);
        (self.min, self.max) = (None, None);
        self.positive.counts.clear();
        self.negative.counts.clear();
    }

    /// Adds another of any scale, zero threshold and range; the result has at most
    /// [`MAX_BUCKETS`] buckets a side.
    pub fn add(&mut self, other: &Exponential) {
        let scale = self.scale.min(other.scale);
        self.scale_down_to(scale);
        let by = shift(other.scale, scale);
        let (zero, floor) = raised(
            self.zero_threshold.max(other.zero_threshold),
            scale,
            [
                (&self.positive, 0),
                (&self.negative, 0),
                (&other.positive, by),
                (&other.negative, by),
            ],
        );
        self.cut(floor);
        self.zero_threshold = zero;
        let width = |a: &Side, b: &Side| joined(a.span(0, None), b.span(by, floor));
        let widest =
            width(&self.positive, &other.positive).max(width(&self.negative, &other.negative));
        if widest > MAX_BUCKETS {
            // Rare: once a total is at its scale, all that follows meets it there.
            let mut other = other.clone();
            other.scale_down_to(scale);
            other.cut(floor);
            other.zero_threshold = zero;
            self.scale_down_to(scale.saturating_sub(1));
            return self.add(&other);
        }
        let below = [
            other.zero_count,
            self.positive.add(&other.positive, by, floor),
            self.negative.add(&other.negative, by, floor),
        ];
        self.zero_count = below.into_iter().fold(self.zero_count, u64::saturating_add);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.zip(other.sum).map(|(a, b)| a + b);
        self.min = self.min.zip(other.min).map(|(a, b)| a.min(b));
        self.max = self.max.zip(other.max).map(|(a, b)| a.max(b));
    }

    /// Brings a first addition into the form of a sum: at most [`MAX_BUCKETS`] a side, the zero
    /// threshold at the edge of a bucket.
    pub fn bound(&mut self) {
        let empty = Exponential {
            sum: Some(0.0),
            min: self.min,
            max: self.max,
            scale: self.scale,
            ..Exponential::default()
        };
        self.add(&empty);
    }

    /// Subtracts the earlier state of the same series, at the lower of both scales and the wider
    /// zero threshold. `earlier` is brought there too.
    ///
    /// # Errors
    /// A count or bucket fell: the series was reset. `self` then holds nothing of use.
    pub fn subtract(&mut self, earlier: &mut Exponential) -> Result<(), Fell> {
        let scale = self.scale.min(earlier.scale);
        self.scale_down_to(scale);
        earlier.scale_down_to(scale);
        let zero = self.zero_threshold.max(earlier.zero_threshold);
        if zero > 0.0 {
            let (zero, floor) = raised(
                zero,
                scale,
                [
                    (&self.positive, 0),
                    (&self.negative, 0),
                    (&earlier.positive, 0),
                    (&earlier.negative, 0),
                ],
            );
            self.cut(floor);
            earlier.cut(floor);
            self.zero_threshold = zero;
        }
        self.count = self.count.checked_sub(earlier.count).ok_or(Fell)?;
        self.zero_count = self
            .zero_count
            .checked_sub(earlier.zero_count)
            .ok_or(Fell)?;
        self.positive.subtract(&earlier.positive)?;
        self.negative.subtract(&earlier.negative)?;
        self.sum = self.sum.zip(earlier.sum).map(|(a, b)| a - b);
        (self.min, self.max) = (None, None);
        Ok(())
    }

    /// Buckets from the first to the last filled one, on the side that has more.
    pub fn widest(&self) -> i64 {
        let of = |side: &Side| {
            side.span(0, None)
                .map_or(0, |(first, last)| last - first + 1)
        };
        of(&self.positive).max(of(&self.negative))
    }

    /// The same observations at a lower scale.
    pub fn scale_down_to(&mut self, scale: i32) {
        let by = shift(self.scale, scale);
        self.positive.scale_down(by);
        self.negative.scale_down(by);
        self.scale = scale;
    }

    fn cut(&mut self, floor: Option<i64>) {
        if let Some(floor) = floor {
            let moved = self
                .positive
                .cut(floor)
                .saturating_add(self.negative.cut(floor));
            self.zero_count = self.zero_count.saturating_add(moved);
        }
    }
}

fn shift(from: i32, to: i32) -> u32 {
    u32::try_from(i64::from(from) - i64::from(to)).unwrap_or(0)
}

/// The zero threshold raised to the edge of a filled bucket that it cuts, and the last bucket that
/// lies below it.
fn raised<const N: usize>(zero: f64, scale: i32, sides: [(&Side, u32); N]) -> (f64, Option<i64>) {
    if zero.is_nan() || zero <= 0.0 || zero.is_infinite() {
        return (if zero > 0.0 { zero } else { 0.0 }, None);
    }
    let holds = bucket_of(zero, scale);
    let upper = edge(holds + 1, scale);
    if upper == zero {
        return (zero, Some(holds));
    }
    if sides.iter().any(|(side, by)| side.at(holds, *by)) {
        return (upper, Some(holds));
    }
    (zero, Some(holds - 1))
}

fn joined(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> i64 {
    match (a, b) {
        (Some(a), Some(b)) => a.1.max(b.1) - a.0.min(b.0) + 1,
        (Some(x), None) | (None, Some(x)) => x.1 - x.0 + 1,
        (None, None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(offset: i64, counts: &[u64]) -> Side {
        Side {
            offset,
            counts: counts.to_vec(),
        }
    }

    fn of(scale: i32, zero: (f64, u64), offset: i64, counts: &[u64]) -> Exponential {
        Exponential {
            count: zero.1 + counts.iter().sum::<u64>(),
            sum: Some(1.0),
            scale,
            zero_threshold: zero.0,
            zero_count: zero.1,
            positive: side(offset, counts),
            ..Exponential::default()
        }
    }

    #[test]
    fn the_lower_scale_wins_and_pairs_of_buckets_unite() {
        // scale 1, buckets 2,3,4 -> scale 0, buckets 1,1,2; plus scale 0, bucket 2
        let mut a = of(1, (0.0, 0), 2, &[5, 7, 9]);
        a.add(&of(0, (0.0, 1), 2, &[100]));
        assert_eq!(a.scale, 0);
        assert_eq!(a.positive, side(1, &[12, 109]));
        assert_eq!((a.count, a.zero_count, a.sum), (122, 1, Some(2.0)));
    }

    #[test]
    fn negative_indices_round_down() {
        // scale 1, buckets -3,-2,-1 -> scale 0, buckets -2,-1,-1
        let mut a = of(1, (0.0, 0), -3, &[1, 2, 4]);
        a.add(&of(0, (0.0, 0), 0, &[8]));
        assert_eq!(a.positive, side(-2, &[1, 6, 8]));
    }

    #[test]
    fn the_widest_zero_threshold_wins_and_is_raised_to_the_edge_of_a_bucket_that_it_cuts() {
        // scale 0: bucket 0 = (1,2], 1 = (2,4], 2 = (4,8]. Threshold 3 cuts bucket 1: raised to 4,
        // and 10 + 20 of `a`, 200 of the other move to the zero count.
        let mut a = of(0, (0.0, 1), 0, &[10, 20, 30]);
        a.add(&of(0, (3.0, 5), 1, &[200, 300]));
        assert_eq!(a.zero_threshold, 4.0);
        assert_eq!(a.zero_count, 1 + 5 + 10 + 20 + 200);
        assert_eq!(a.positive, side(2, &[330]));
        assert_eq!(a.count, 61 + 505);
    }

    #[test]
    fn counts_that_do_not_fit_together_are_the_most_that_fits() {
        let mut full = of(0, (0.0, 0), 0, &[u64::MAX]);
        full.negative = full.positive.clone();
        let mut a = of(0, (4.0, 1), 2, &[3]);
        a.add(&full);
        assert_eq!((a.zero_count, a.count), (u64::MAX, u64::MAX));
    }

    #[test]
    fn a_threshold_inside_an_empty_bucket_stays() {
        let mut a = of(0, (0.0, 0), 0, &[10, 0, 30]);
        a.add(&of(0, (3.0, 5), 2, &[300]));
        assert_eq!((a.zero_threshold, a.zero_count), (3.0, 15));
        assert_eq!(a.positive, side(2, &[330]));
    }

    #[test]
    fn more_than_160_buckets_scale_down() {
        // buckets 0 and 160 of scale 3 are 161 apart: one step down gives 0 and 80.
        let mut a = of(3, (0.0, 0), 0, &[1]);
        a.add(&of(3, (0.0, 0), 160, &[1]));
        assert_eq!((a.scale, a.positive.counts.len()), (2, 81));
        assert_eq!(a.count, 2);
    }

    #[test]
    fn a_lone_histogram_is_brought_into_the_form_of_a_sum() {
        // the threshold cuts bucket 0 = (1,2]: raised to 2, its 3 move
        let mut lone = of(0, (1.5, 1), 0, &[3, 4]);
        lone.bound();
        assert_eq!(
            (lone.zero_threshold, lone.zero_count, lone.count),
            (2.0, 4, 8)
        );
        assert_eq!(lone.positive.counts, [0, 4]);
        let mut wide = of(3, (0.0, 0), 0, &[1; 200]);
        wide.bound();
        assert_eq!((wide.scale, wide.positive), (2, side(0, &[2; 100])));
    }

    #[test]
    fn buckets_far_apart_never_take_much_memory() {
        let mut a = of(20, (0.0, 0), i64::from(i32::MIN), &[1]);
        a.add(&of(20, (0.0, 0), i64::from(i32::MAX), &[1]));
        assert!(a.positive.counts.len() <= 160);
        assert_eq!(a.positive.counts.iter().sum::<u64>(), 2);
    }

    #[test]
    fn a_difference_is_taken_at_the_lower_of_both_scales() {
        // later: scale 0, bucket 1: 12, 2: 9. earlier: scale 1, buckets 2: 5, 3: 6 -> bucket 1: 11
        let mut later = of(0, (0.0, 3), 1, &[12, 9]);
        let mut earlier = of(1, (0.0, 1), 2, &[5, 6]);
        assert_eq!(later.subtract(&mut earlier), Ok(()));
        assert_eq!((later.count, later.zero_count), (12, 2));
        assert_eq!(later.positive.counts, [1, 9]);
    }

    #[test]
    fn a_falling_bucket_is_a_reset_even_when_the_count_grows() {
        let mut later = of(0, (0.0, 0), 1, &[1, 90]);
        let mut earlier = of(0, (0.0, 0), 1, &[2, 5]);
        assert_eq!(later.subtract(&mut earlier), Err(Fell));
    }

    #[test]
    fn edges_and_buckets_agree() {
        for scale in [-3, -1, 0, 1, 3, 8, 20] {
            for index in [-200, -7, -1, 0, 1, 5, 200] {
                let upper = edge(index + 1, scale);
                if upper.is_finite() && upper > 0.0 && edge(index, scale) < upper {
                    assert_eq!(bucket_of(upper, scale), index, "{scale} {index}");
                }
            }
        }
    }

    #[test]
    fn addition_does_not_depend_on_the_order() {
        let parts = [
            of(3, (0.0, 1), -40, &[3; 90]),
            of(1, (0.01, 2), 5, &[7; 20]),
            of(2, (0.3, 0), -100, &[1; 150]),
        ];
        let total = |order: [usize; 3]| {
            let mut t = parts[order[0]].clone();
            t.add(&parts[order[1]]);
            t.add(&parts[order[2]]);
            t.positive.cover(0, 0);
            t
        };
        assert_eq!(total([0, 1, 2]), total([2, 1, 0]));
        assert_eq!(total([0, 1, 2]), total([1, 2, 0]));
    }
}
