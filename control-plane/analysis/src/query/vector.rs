//! Values by labels, and what operators do with them.

use super::ast::{Aggregation, Matching, Operator};
use phoenix_engine::query::Grouping;
use phoenix_engine::query::partial::Labels;
use std::collections::BTreeMap;

/// Values by labels.
pub type Vector = BTreeMap<Labels, f64>;

/// What an expression gives at a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number.
    Scalar(f64),
    /// Values by labels.
    Vector(Vector),
}

/// Labels that matching or grouping keeps.
fn keep(labels: &Labels, keeps: impl Fn(&str) -> bool) -> Labels {
    labels
        .iter()
        .filter(|(key, _)| keeps(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The labels of a value's group.
pub fn group(labels: &Labels, grouping: &Grouping) -> Labels {
    keep(labels, |key| match grouping {
        Grouping::By(keys) => keys.iter().any(|k| k == key),
        Grouping::Without(keys) => !keys.iter().any(|k| k == key),
    })
}

/// An aggregation of groups.
pub fn aggregate(op: Aggregation, grouping: &Grouping, of: &Vector) -> Vector {
    let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for (labels, value) in of {
        groups
            .entry(group(labels, grouping))
            .or_default()
            .push(*value);
    }
    let one = |values: Vec<f64>| {
        let sum: f64 = values.iter().sum();
        match op {
            Aggregation::Sum => sum,
            Aggregation::Avg => sum / values.len() as f64,
            Aggregation::Count => values.len() as f64,
            Aggregation::Min => values.into_iter().fold(f64::INFINITY, f64::min),
            Aggregation::Max => values.into_iter().fold(f64::NEG_INFINITY, f64::max),
        }
    };
    groups
        .into_iter()
        .map(|(labels, values)| (labels, one(values)))
        .collect()
}

/// An operator between two values. `None`: Prometheus would refuse (several values on one side match).
pub fn binary(
    op: Operator,
    as_bool: bool,
    matching: &Matching,
    left: Value,
    right: Value,
) -> Option<Value> {
    let each = |vector: Vector, calculate: &dyn Fn(f64) -> (f64, bool)| {
        let of = |(labels, value)| {
            let (result, holds) = calculate(value);
            let kept = if !op.compares() || as_bool {
                Some(result)
            } else {
                holds.then_some(value)
            };
            Some((labels, kept?))
        };
        Value::Vector(vector.into_iter().filter_map(of).collect())
    };
    Some(match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(calculate(op, a, b).0),
        (Value::Vector(a), Value::Scalar(b)) => each(a, &|value| calculate(op, value, b)),
        (Value::Scalar(a), Value::Vector(b)) => each(b, &|value| calculate(op, a, value)),
        (Value::Vector(a), Value::Vector(b)) if op.is_set() => {
            Value::Vector(set(op, matching, a, b))
        }
        (Value::Vector(a), Value::Vector(b)) => {
            Value::Vector(one_to_one(op, as_bool, matching, a, b)?)
        }
    })
}

fn key(labels: &Labels, matching: &Matching) -> Labels {
    keep(labels, |key| match matching {
        Matching::On(keys) => keys.iter().any(|k| k == key),
        Matching::Ignoring(keys) => !keys.iter().any(|k| k == key),
    })
}

fn one_to_one(
    op: Operator,
    as_bool: bool,
    matching: &Matching,
    left: Vector,
    right: Vector,
) -> Option<Vector> {
    let mut others: BTreeMap<Labels, f64> = BTreeMap::new();
    for (labels, value) in right {
        if others.insert(key(&labels, matching), value).is_some() {
            return None;
        }
    }
    let mut seen: BTreeMap<Labels, ()> = BTreeMap::new();
    let mut out = Vector::new();
    for (labels, value) in left {
        let own = key(&labels, matching);
        let Some(other) = others.get(&own) else {
            continue;
        };
        if seen.insert(own.clone(), ()).is_some() {
            return None;
        }
        let (result, holds) = calculate(op, value, *other);
        match op.compares() && !as_bool {
            true if holds => out.insert(own, value),
            true => None,
            false => out.insert(own, result),
        };
    }
    Some(out)
}

fn set(op: Operator, matching: &Matching, left: Vector, right: Vector) -> Vector {
    let keys = |vector: &Vector| -> Vec<Labels> {
        let mut keys: Vec<Labels> = vector.keys().map(|labels| key(labels, matching)).collect();
        keys.sort_unstable();
        keys
    };
    let there =
        |keys: &[Labels], labels: &Labels| keys.binary_search(&key(labels, matching)).is_ok();
    match op {
        Operator::Or => {
            let own = keys(&left);
            let added = right.into_iter().filter(|(labels, _)| !there(&own, labels));
            let added: Vec<(Labels, f64)> = added.collect();
            left.into_iter().chain(added).collect()
        }
        _ => {
            let theirs = keys(&right);
            let wanted = op == Operator::And;
            left.into_iter()
                .filter(|(labels, _)| there(&theirs, labels) == wanted)
                .collect()
        }
    }
}

/// The number that an operator gives, and whether a comparison holds.
fn calculate(op: Operator, a: f64, b: f64) -> (f64, bool) {
    use Operator::*;
    let number = match op {
        Add => a + b,
        Subtract => a - b,
        Multiply => a * b,
        Divide => a / b,
        Modulo => a % b,
        Power => a.powf(b),
        _ => {
            let holds = match op {
                Equal => a == b,
                NotEqual => a != b,
                Greater => a > b,
                GreaterEqual => a >= b,
                Less => a < b,
                _ => a <= b,
            };
            return (f64::from(u8::from(holds)), holds);
        }
    };
    (number, true)
}
