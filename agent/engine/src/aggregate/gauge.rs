//! Gauges of one group in one window: every function's state at once, mergeable.

use super::number::{Total, less};
use crate::Nanos;
use crate::document::Function;
use crate::view::Number;

/// What a window holds of a group of gauges.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gauges {
    /// Inputs with a value.
    count: u64,
    /// Of the inputs' last values.
    sum: Total,
    /// Over all points.
    min: Option<Number>,
    /// Over all points.
    max: Option<Number>,
    /// Newest: time, then identity.
    last: Option<(Nanos, u128, Number)>,
    /// A double was seen: the output is one.
    double: bool,
}

impl Gauges {
    /// Takes a point (`min` and `max` are over all of them).
    pub fn point(&mut self, value: Number) {
        self.double |= matches!(value, Number::Double(_));
        if self.min.is_none_or(|min| less(value, min)) {
            self.min = Some(value);
        }
        if self.max.is_none_or(|max| less(max, value)) {
            self.max = Some(value);
        }
    }

    /// Takes the last value of one input.
    pub fn input(&mut self, time: Nanos, identity: u128, value: Number) {
        self.count += 1;
        self.sum.add(value.into());
        if self.last.is_none_or(|(t, i, _)| (t, i) < (time, identity)) {
            self.last = Some((time, identity, value));
        }
    }

    /// Takes another worker's part.
    pub fn merge(&mut self, other: &Gauges) {
        self.count += other.count;
        self.sum.add(other.sum);
        let double = self.double || other.double;
        if let (Some(min), Some(max)) = (other.min, other.max) {
            self.point(min);
            self.point(max);
        }
        self.double = double;
        if let Some((time, identity, _)) = other.last
            && self.last.is_none_or(|(t, i, _)| (t, i) < (time, identity))
        {
            self.last = other.last;
        }
    }

    /// The output's value, if any input had one.
    pub fn value(&self, function: Function) -> Option<Number> {
        if self.count == 0 {
            return None;
        }
        let value = match function {
            Function::Sum => Some(self.sum.saturated()),
            Function::Min => self.min,
            Function::Max => self.max,
            Function::Last => self.last.map(|(_, _, value)| value),
            Function::Mean => Some(Number::Double(self.sum.as_f64() / self.count as f64)),
            Function::Count => {
                return Some(Number::Int(i64::try_from(self.count).unwrap_or(i64::MAX)));
            }
        };
        value.map(|v| {
            if self.double {
                Number::Double(v.as_f64())
            } else {
                v
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Number::{Double, Int};

    #[test]
    fn each_function_gives_what_its_name_says_and_merging_changes_nothing() {
        // input 1: 4 then 10 (t=20); input 2: 7 then 1 (t=30)
        let mut whole = Gauges::default();
        [4, 10, 7, 1].iter().for_each(|v| whole.point(Int(*v)));
        whole.input(20, 1, Int(10));
        whole.input(30, 2, Int(1));
        let (mut a, mut b) = (Gauges::default(), Gauges::default());
        [4, 10].iter().for_each(|v| a.point(Int(*v)));
        [7, 1].iter().for_each(|v| b.point(Int(*v)));
        a.input(20, 1, Int(10));
        b.input(30, 2, Int(1));
        a.merge(&b);
        assert_eq!(a, whole);
        for (function, expected) in [
            (Function::Sum, Int(11)),
            (Function::Min, Int(1)),
            (Function::Max, Int(10)),
            (Function::Last, Int(1)),
            (Function::Mean, Double(5.5)),
            (Function::Count, Int(2)),
        ] {
            assert_eq!(whole.value(function), Some(expected), "{function:?}");
        }
    }

    #[test]
    fn equally_new_values_are_decided_by_the_larger_identity() {
        let mut g = Gauges::default();
        g.input(20, 9, Int(1));
        g.input(20, 3, Int(2));
        assert_eq!(g.value(Function::Last), Some(Int(1)));
    }

    #[test]
    fn a_double_among_ints_makes_the_output_a_double() {
        let mut g = Gauges::default();
        g.point(Int(1));
        g.point(Double(2.5));
        g.input(1, 1, Int(1));
        g.input(1, 2, Double(2.5));
        assert_eq!(g.value(Function::Min), Some(Double(1.0)));
        assert_eq!(g.value(Function::Sum), Some(Double(3.5)));
        assert_eq!(g.value(Function::Count), Some(Int(2)));
    }

    #[test]
    fn without_a_value_there_is_none() {
        assert_eq!(Gauges::default().value(Function::Count), None);
    }
}
