//! One query on both arms over time: how far apart its values are.

use super::eval::evaluate;
use super::fleet::Fleet;
use super::plan::Expr;
use phoenix_engine::query::partial::Labels;
use serde::Serialize;
use std::collections::BTreeMap;

/// Differences are taken against at least this share of the group's largest value on the baseline: what
/// is next to nothing is not measured in per cent of itself.
pub const FLOOR: f64 = 0.01;

/// What a comparison over all steps found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compared {
    /// Steps at which both arms could be evaluated.
    pub steps: u64,
    /// Values of the baseline.
    pub values: u64,
    /// Values of the baseline beyond the tolerance, missing ones among them.
    pub beyond: u64,
    /// Values of the baseline that the candidate does not have.
    pub missing: u64,
    /// Values of the candidate that the baseline does not have. There is nothing to compare them with: an
    /// output of an aggregation goes on where the series that fed it were too short for a value.
    pub surplus: u64,
    /// The largest difference; a missing value goes before all.
    pub worst: Option<Worst>,
}

/// One value of both arms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worst {
    /// The group.
    pub labels: Labels,
    /// When: end of the step, Unix epoch milliseconds.
    #[serde(rename = "atMs")]
    pub at_ms: u64,
    /// `None`: no data.
    pub baseline: Option<f64>,
    /// `None`: no data.
    pub candidate: Option<f64>,
    /// Relative difference; `None` where one of both is missing, or the baseline is always 0.
    pub error: Option<f64>,
}

/// End of a step, and both arms' values there.
type Pair = (u64, Option<f64>, Option<f64>);

/// Compares a query on both arms, at every step that is known.
pub fn compare(expr: &Expr, fleet: &Fleet, tolerance: f64) -> Compared {
    let mut compared = Compared::default();
    let mut pairs: BTreeMap<Labels, Vec<Pair>> = BTreeMap::new();
    for end in &fleet.known {
        let both = (
            evaluate(expr, fleet, 0, *end),
            evaluate(expr, fleet, 1, *end),
        );
        let (Some(baseline), Some(mut candidate)) = both else {
            continue;
        };
        compared.steps += 1;
        for (labels, value) in baseline {
            let other = candidate.remove(&labels);
            pairs
                .entry(labels)
                .or_default()
                .push((*end, Some(value), other));
        }
        for (labels, value) in candidate {
            pairs
                .entry(labels)
                .or_default()
                .push((*end, None, Some(value)));
        }
    }
    for (labels, values) in pairs {
        let sizes = values.iter().filter_map(|(_, baseline, _)| *baseline);
        let largest = sizes
            .map(f64::abs)
            .filter(|v| v.is_finite())
            .fold(0.0, f64::max);
        for (at_ms, baseline, candidate) in values {
            let worst = Worst {
                labels: labels.clone(),
                at_ms,
                baseline,
                candidate,
                error: error(baseline, candidate, largest * FLOOR),
            };
            compared.add(worst, tolerance);
        }
    }
    compared
}

/// `None`: a value is missing, or stands against nothing.
fn error(baseline: Option<f64>, candidate: Option<f64>, floor: f64) -> Option<f64> {
    let (a, b) = (baseline?, candidate?);
    if a == b || (a.is_nan() && b.is_nan()) {
        return Some(0.0);
    }
    let error = (b - a).abs() / a.abs().max(floor);
    error.is_finite().then_some(error)
}

impl Compared {
    fn add(&mut self, value: Worst, tolerance: f64) {
        if value.baseline.is_none() {
            self.surplus += 1;
            return;
        }
        self.values += 1;
        self.missing += u64::from(value.candidate.is_none());
        self.beyond += u64::from(value.error.is_none_or(|error| error > tolerance));
        // A missing value goes before one that stands against nothing, and that before all others.
        let size = |w: &Worst| match (w.error, w.candidate) {
            (Some(error), _) => (0, error),
            (None, Some(_)) => (1, 0.0),
            (None, None) => (2, w.baseline.map_or(0.0, f64::abs)),
        };
        let larger = self.worst.as_ref().is_none_or(|worst| {
            let (a, b) = (size(&value), size(worst));
            a.0 > b.0 || (a.0 == b.0 && a.1 > b.1)
        });
        if larger {
            self.worst = Some(value);
        }
    }
}
