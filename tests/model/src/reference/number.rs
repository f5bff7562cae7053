//! Numbers as metrics have them: integers until the first double.

use std::cmp::Ordering;

/// One number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Num {
    Int(i64),
    Double(f64),
}

impl Num {
    pub fn as_f64(self) -> f64 {
        match self {
            Num::Int(i) => i as f64,
            Num::Double(d) => d,
        }
    }

    pub fn is_double(self) -> bool {
        matches!(self, Num::Double(_))
    }

    pub fn is_nan(self) -> bool {
        self.as_f64().is_nan()
    }

    pub fn is_infinite(self) -> bool {
        self.as_f64().is_infinite()
    }

    pub fn compare(self, other: Num) -> Ordering {
        match (self, other) {
            (Num::Int(a), Num::Int(b)) => a.cmp(&b),
            // 0 and -0 are one number. Who asks has dropped NaN.
            _ => {
                let order = self.as_f64().partial_cmp(&other.as_f64());
                order.unwrap_or(Ordering::Equal)
            }
        }
    }

    /// The same number as a double.
    pub fn widened(self) -> Num {
        Num::Double(self.as_f64())
    }
}

/// A sum wide enough not to overflow while a window is open.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Total {
    ints: i128,
    doubles: f64,
    double: bool,
}

impl Total {
    pub fn of(n: Num) -> Total {
        let mut total = Total::default();
        total.add(n);
        total
    }

    pub fn of_int(n: i128) -> Total {
        Total {
            ints: n,
            ..Total::default()
        }
    }

    pub fn is_double(self) -> bool {
        self.double
    }

    /// Nothing, in the number type of `n`.
    pub fn zero_like(n: Num) -> Total {
        Total {
            double: n.is_double(),
            ..Total::default()
        }
    }

    pub fn add(&mut self, n: Num) {
        match n {
            Num::Int(i) => self.ints += i128::from(i),
            Num::Double(d) => {
                self.doubles += d;
                self.double = true;
            }
        }
    }

    pub fn plus(self, other: Total) -> Total {
        Total {
            ints: self.ints + other.ints,
            doubles: self.doubles + other.doubles,
            double: self.double || other.double,
        }
    }

    /// `later - earlier`; a double as soon as one of them is.
    pub fn difference(later: Num, earlier: Num) -> Total {
        match (later, earlier) {
            (Num::Int(a), Num::Int(b)) => Total {
                ints: i128::from(a) - i128::from(b),
                ..Total::default()
            },
            _ => Total::of(Num::Double(later.as_f64() - earlier.as_f64())),
        }
    }

    /// The sum as a double, however wide.
    pub fn number_as_f64(self) -> f64 {
        self.ints as f64 + self.doubles
    }

    pub fn overflows(self) -> bool {
        match self.double {
            true => !self.number_as_f64().is_finite(),
            false => i64::try_from(self.ints).is_err(),
        }
    }

    /// The number to write; one that does not fit is cut at the edge.
    pub fn number(self) -> Num {
        if self.double {
            return Num::Double(self.number_as_f64().clamp(f64::MIN, f64::MAX));
        }
        let edge = if self.ints < 0 { i64::MIN } else { i64::MAX };
        Num::Int(i64::try_from(self.ints).unwrap_or(edge))
    }
}
