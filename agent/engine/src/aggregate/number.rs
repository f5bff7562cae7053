//! Numbers of OTLP and their totals: int while all are ints, double from the first double on.

use crate::view::Number;

/// Whether the value can be added: neither NaN nor infinite.
pub fn is_finite(number: Number) -> bool {
    match number {
        Number::Int(_) => true,
        Number::Double(d) => d.is_finite(),
    }
}

/// Whether the value is not a number.
pub fn is_nan(number: Number) -> bool {
    matches!(number, Number::Double(d) if d.is_nan())
}

/// Whether `a` is less than `b`, across int and double.
pub fn less(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a < b,
        (a, b) => a.as_f64() < b.as_f64(),
    }
}

/// A sum of numbers. Ints are kept in 128 bits, so that only what is written can overflow and the
/// order of additions (and of workers) never matters while all are ints.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Total {
    /// All so far were ints.
    Int(i128),
    /// One was a double.
    Double(f64),
}

impl Default for Total {
    fn default() -> Self {
        Total::Int(0)
    }
}

impl From<Number> for Total {
    fn from(number: Number) -> Self {
        match number {
            Number::Int(i) => Total::Int(i128::from(i)),
            Number::Double(d) => Total::Double(d),
        }
    }
}

impl Total {
    /// The total as a double.
    pub fn as_f64(self) -> f64 {
        match self {
            Total::Int(i) => i as f64,
            Total::Double(d) => d,
        }
    }

    /// Whether it is below 0.
    pub fn is_negative(self) -> bool {
        match self {
            Total::Int(i) => i < 0,
            Total::Double(d) => d < 0.0,
        }
    }

    /// Adds another total; a double on either side makes the result a double.
    pub fn add(&mut self, other: Total) {
        *self = match (*self, other) {
            (Total::Int(a), Total::Int(b)) => Total::Int(a.saturating_add(b)),
            (a, b) => Total::Double(a.as_f64() + b.as_f64()),
        };
    }

    /// `later - earlier`, as an increment.
    pub fn difference(later: Number, earlier: Number) -> Total {
        match (later, earlier) {
            (Number::Int(a), Number::Int(b)) => Total::Int(i128::from(a) - i128::from(b)),
            (a, b) => Total::Double(a.as_f64() - b.as_f64()),
        }
    }

    /// The number to write; `None` where an int does not fit 64 bits.
    pub fn fits(self) -> Option<Number> {
        match self {
            Total::Int(i) => i64::try_from(i).ok().map(Number::Int),
            Total::Double(d) => Some(Number::Double(d)),
        }
    }

    /// Whether a sum of finite numbers has become too large to go on with.
    pub fn overflows(self) -> bool {
        match self {
            Total::Int(i) => i64::try_from(i).is_err(),
            Total::Double(d) => !d.is_finite(),
        }
    }

    /// The nearest number that can be written, of a sum of finite numbers.
    pub fn saturated(self) -> Number {
        match self {
            Total::Int(i) => {
                Number::Int(i.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
            }
            Total::Double(d) => Number::Double(d.clamp(f64::MIN, f64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_stay_ints_until_the_first_double() {
        let mut total = Total::default();
        total.add(Number::Int(3).into());
        total.add(Number::Int(4).into());
        assert_eq!(total, Total::Int(7));
        total.add(Number::Double(0.5).into());
        assert_eq!(total, Total::Double(7.5));
        total.add(Number::Int(1).into());
        assert_eq!(total, Total::Double(8.5));
    }

    #[test]
    fn a_total_past_64_bits_does_not_fit_and_saturates() {
        let mut total = Total::from(Number::Int(i64::MAX));
        total.add(Number::Int(1).into());
        assert_eq!(total.fits(), None);
        assert_eq!(total.saturated(), Number::Int(i64::MAX));
    }

    #[test]
    fn differences_of_extreme_ints_are_exact() {
        let d = Total::difference(Number::Int(i64::MAX), Number::Int(i64::MIN));
        assert_eq!(d, Total::Int(u64::MAX as i128));
    }
}
