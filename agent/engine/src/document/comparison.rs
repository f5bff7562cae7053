//! A condition on a number: `{ gt: 5 }`, `{ gte: 0, lt: 1 }`, `{ eq: 0 }`.

use super::fields::Reader;
use crate::yaml::Node;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds that a number must keep, all of them. NaN keeps none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Comparison {
    /// Greater than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gt: Option<f64>,
    /// Greater than or equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gte: Option<f64>,
    /// Less than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lt: Option<f64>,
    /// Less than or equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lte: Option<f64>,
    /// Equal; stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eq: Option<f64>,
}

/// The keys of a comparison.
pub(super) const KEYS: [&str; 5] = ["gt", "gte", "lt", "lte", "eq"];

impl Comparison {
    /// Whether the number keeps every bound. NaN keeps none.
    pub fn holds(&self, number: f64) -> bool {
        !number.is_nan()
            && self.gt.is_none_or(|bound| number > bound)
            && self.gte.is_none_or(|bound| number >= bound)
            && self.lt.is_none_or(|bound| number < bound)
            && self.lte.is_none_or(|bound| number <= bound)
            && self.eq.is_none_or(|bound| number == bound)
    }

    /// Whether some number keeps the bounds of both.
    pub(crate) fn meets(&self, other: &Comparison) -> bool {
        if let Some(number) = self.eq {
            return other.holds(number);
        }
        if let Some(number) = other.eq {
            return self.holds(number);
        }
        let least = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::min);
        let most = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        // Both strict and not: the one that says more wins by `is_empty` below.
        let (gt, gte) = (most(self.gt, other.gt), most(self.gte, other.gte));
        let (lt, lte) = (least(self.lt, other.lt), least(self.lte, other.lte));
        [(gt, lt), (gt, lte), (gte, lt), (gte, lte)]
            .into_iter()
            .enumerate()
            .all(|(at, (low, high))| {
                let both = low.zip(high);
                both.is_none_or(|(low, high)| low < high || (at == 3 && low == high))
            })
    }

    /// Whether no number keeps the bounds.
    fn is_empty(&self) -> bool {
        let (Some(low), Some(high)) = (self.gt.or(self.gte), self.lt.or(self.lte)) else {
            return false;
        };
        low > high || (low == high && (self.gt.is_some() || self.lt.is_some()))
    }
}

impl Reader {
    /// A comparison at `path`. `None` where it added problems. `or`: what could be written instead.
    pub(super) fn comparison(
        &mut self,
        node: &Node,
        path: &str,
        or: &[&str],
    ) -> Option<Comparison> {
        let before = self.problems.len();
        let instead = [
            (">", "gt"),
            (">=", "gte"),
            ("<", "lt"),
            ("<=", "lte"),
            ("above", "gt"),
            ("below", "lt"),
            ("min", "gte"),
            ("max", "lte"),
            ("equals", "eq"),
        ];
        let fields = self.fields(node, path, &[&KEYS, or].concat(), &instead)?;
        let mut bound = |key: &str| {
            let node = fields.present(key)?;
            let number = self.number(node, &fields.path(key))?;
            if !number.is_finite() {
                self.problem(
                    fields.path(key),
                    format!("{number} is no bound: write a finite number, or leave `{key}` out"),
                );
            }
            // -0 and 0 are one number and must have one canonical form.
            Some(number + 0.0)
        };
        let read = Comparison {
            gt: bound("gt"),
            gte: bound("gte"),
            lt: bound("lt"),
            lte: bound("lte"),
            eq: bound("eq"),
        };
        let said = |key: &str| fields.present(key).is_some();
        for (strict, or_equal) in [("gt", "gte"), ("lt", "lte")] {
            if said(strict) && said(or_equal) {
                self.problem(
                    path,
                    format!("write `{strict}` or `{or_equal}`, not both: one of them says nothing"),
                );
            }
        }
        if said("eq") && KEYS[..4].iter().any(|key| said(key)) {
            self.problem(path, "`eq` says it all: leave the other bounds out");
        }
        if !KEYS.iter().any(|key| said(key)) && self.problems.len() == before {
            self.problem(
                path,
                "the comparison has no bound: write one of gt, gte, lt, lte, eq, such as `{ lt: 5 }`",
            );
        }
        if self.problems.len() == before && read.is_empty() {
            self.problem(
                path,
                "no number keeps these bounds: the lower one must be below the upper one",
            );
        }
        (self.problems.len() == before).then_some(read)
    }
}
