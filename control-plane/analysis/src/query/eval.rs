//! Evaluates the server's part of a query on one arm of the fleet, at one step.

use super::ast::Aggregation;
use super::fleet::Fleet;
use super::plan::{Each, Expr, Leaf};
use super::quantile::quantile;
use super::vector::{Value, Vector, aggregate, binary};
use phoenix_engine::query::partial::{Labels, Partial};
use std::collections::BTreeMap;

/// The value at the step that ends at `end_ms`; a single number has no labels. `None`: not all steps
/// that it asks for are known, or Prometheus would refuse it.
pub fn evaluate(expr: &Expr, fleet: &Fleet, side: usize, end_ms: u64) -> Option<Vector> {
    Some(match value(expr, fleet, side, end_ms)? {
        Value::Vector(vector) => vector,
        Value::Scalar(number) => Vector::from([(Labels::new(), number)]),
    })
}

fn value(expr: &Expr, fleet: &Fleet, side: usize, end_ms: u64) -> Option<Value> {
    let vector = |of: &Expr| match value(of, fleet, side, end_ms)? {
        Value::Vector(vector) => Some(vector),
        Value::Scalar(_) => None,
    };
    Some(match expr {
        Expr::Number(n) => Value::Scalar(*n),
        Expr::Inner(leaf) => Value::Vector(inner(leaf, fleet, side, end_ms)?),
        Expr::Aggregate(op, grouping, of) => Value::Vector(aggregate(*op, grouping, &vector(of)?)),
        Expr::Quantile(at, of) => Value::Vector(quantile(*at, &vector(of)?)),
        Expr::Each(each, of) => {
            let of = vector(of)?.into_iter();
            Value::Vector(of.map(|(labels, v)| (labels, one(*each, v))).collect())
        }
        Expr::Binary {
            op,
            as_bool,
            matching,
            sides,
        } => {
            let left = value(&sides.0, fleet, side, end_ms)?;
            let right = value(&sides.1, fleet, side, end_ms)?;
            binary(*op, *as_bool, matching, left, right)?
        }
    })
}

fn one(each: Each, value: f64) -> f64 {
    match each {
        Each::Abs => value.abs(),
        Each::Ceil => value.ceil(),
        Each::Floor => value.floor(),
        Each::AtLeast(least) => value.max(least),
        Each::AtMost(most) => value.min(most),
    }
}

/// The merged groups of an innermost aggregation over its steps.
fn inner(leaf: &Leaf, fleet: &Fleet, side: usize, end_ms: u64) -> Option<Vector> {
    let mut groups: BTreeMap<&Labels, Partial> = BTreeMap::new();
    let steps = fleet.arms.get(side).and_then(|arm| arm.get(&leaf.inner));
    for back in 0..leaf.steps {
        let end = end_ms.checked_sub(back * fleet.step_ms)?;
        if !fleet.known.contains(&end) {
            return None;
        }
        for (labels, partial) in steps
            .and_then(|steps| steps.get(&end))
            .into_iter()
            .flatten()
        {
            groups.entry(labels).or_default().merge(partial);
        }
    }
    let take = |partial: Partial| match leaf.take {
        Aggregation::Sum => partial.sum / leaf.per_seconds,
        Aggregation::Min => partial.min / leaf.per_seconds,
        Aggregation::Max => partial.max / leaf.per_seconds,
        Aggregation::Avg => partial.sum / partial.count as f64 / leaf.per_seconds,
        Aggregation::Count => partial.count as f64,
    };
    Some(
        groups
            .into_iter()
            .map(|(labels, p)| (labels.clone(), take(p)))
            .collect(),
    )
}
