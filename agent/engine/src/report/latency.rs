//! Durations as a histogram that adds up.

/// Buckets a doubling.
const FINE: f64 = 4.0;
/// Of all that 64 bits can say.
const BUCKETS: usize = 4 * 64;

/// Durations. Bucket `i` counts those in (2^(i/4), 2^((i+1)/4)] nanoseconds; 0 and 1 are in bucket 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Nanoseconds, all together.
    pub sum: u64,
    /// Nanoseconds of the longest.
    pub max: u64,
    /// As long as the last bucket that is not empty.
    pub buckets: Vec<u64>,
}

impl Latency {
    /// Counts one.
    pub fn add(&mut self, nanos: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(nanos);
        self.max = self.max.max(nanos);
        // A logarithm of 0 is below every bucket.
        let place = ((nanos as f64).log2() * FINE).ceil() as usize;
        let place = place.saturating_sub(1).min(BUCKETS - 1);
        if place >= self.buckets.len() {
            self.buckets.resize(place + 1, 0);
        }
        self.buckets[place] += 1;
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Latency) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        let length = self.buckets.len().max(other.buckets.len());
        self.buckets.resize(length, 0);
        for (own, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += theirs;
        }
    }

    /// The mean, nanoseconds; `None` of nothing.
    pub fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_lies_in_the_bucket_whose_bounds_hold_it() {
        for nanos in [0, 1, 2, 3, 1_000, 1_024, 1_025, 5_000_000, u64::MAX] {
            let mut latency = Latency::default();
            latency.add(nanos);
            let place = latency.buckets.len() - 1;
            let bound = |i: usize| (i as f64 / FINE).exp2();
            let holds =
                place == 0 || (bound(place) < nanos as f64 && nanos as f64 <= bound(place + 1));
            assert!(holds, "{nanos} in bucket {place}");
            assert_eq!((latency.count, latency.max), (1, nanos));
        }
    }

    #[test]
    fn what_is_merged_is_what_was_counted_in_one() {
        let (mut one, mut a, mut b) = (Latency::default(), Latency::default(), Latency::default());
        for nanos in (0..200).map(|n| n * n * 37) {
            one.add(nanos);
            if nanos % 2 == 0 {
                a.add(nanos)
            } else {
                b.add(nanos)
            }
        }
        a.merge(&b);
        assert_eq!(a, one);
        assert_eq!(a.mean(), Some(one.sum / 200));
        assert_eq!(Latency::default().mean(), None);
    }
}
