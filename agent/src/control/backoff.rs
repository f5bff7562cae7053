//! How long to wait before the next try, so that a fleet does not come back all at once.

use std::time::Duration;

/// First bound of the pauses between failed tries.
const FIRST: Duration = Duration::from_secs(1);

/// After a stream was lost: a jittered pause up to `max`. After a failed try: full jitter below a
/// bound that doubles up to `max`.
#[derive(Debug)]
pub struct Backoff {
    max: Duration,
    bound: Duration,
}

impl Backoff {
    /// Pauses up to `max`.
    pub fn new(max: Duration) -> Backoff {
        Backoff {
            max,
            bound: FIRST.min(max),
        }
    }

    /// A stream that worked was lost. `unit` is random in 0..1.
    pub fn lost(&mut self, unit: f64) -> Duration {
        self.bound = FIRST.min(self.max);
        self.max.mul_f64(unit)
    }

    /// A try failed. `unit` is random in 0..1.
    pub fn failed(&mut self, unit: f64) -> Duration {
        let pause = self.bound.mul_f64(unit);
        self.bound = self.bound.saturating_mul(2).min(self.max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_largest_and_begin_anew_after_a_stream() {
        let mut backoff = Backoff::new(Duration::from_secs(30));
        let bounds: Vec<u64> = (0..7).map(|_| backoff.failed(1.0).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.lost(0.5), Duration::from_secs(15));
        assert_eq!(backoff.failed(0.5), Duration::from_millis(500));
    }
}
