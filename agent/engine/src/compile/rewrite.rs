//! Stages that write matching points anew, one by one.

use crate::document::{self, Matcher, Problem};
use crate::stage::rewrite::histogram::Buckets;
use crate::view::Temporality;

/// A stage that rewrites points.
#[derive(Debug)]
pub struct Rewrite {
    /// Which series are rewritten.
    pub matcher: Matcher,
    /// How.
    pub op: Op,
}

/// What is done to a point.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Gauges are rounded to so many significant digits.
    Quantise {
        /// 1 to 15.
        digits: u8,
    },
    /// Histograms get fewer buckets.
    Histogram(Buckets),
    /// What is counted up is told as deltas or as totals.
    Temporality {
        /// What is written; not unspecified.
        to: Temporality,
    },
}

impl Op {
    /// The stage's key in the document.
    pub fn kind(&self) -> &'static str {
        match self {
            Op::Quantise { .. } => "quantise",
            Op::Histogram(_) => "histogram",
            Op::Temporality { .. } => "temporality",
        }
    }
}

pub(super) fn compile_quantise(
    quantise: &document::Quantise,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<Rewrite> {
    let at = format!("{path}.quantise.match");
    Some(Rewrite {
        matcher: Matcher::compile(&quantise.matches, &at, problems)?,
        op: Op::Quantise {
            digits: quantise.digits,
        },
    })
}

pub(super) fn compile_histogram(
    histogram: &document::Histogram,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<Rewrite> {
    let at = format!("{path}.histogram.match");
    Some(Rewrite {
        matcher: Matcher::compile(&histogram.matches, &at, problems)?,
        op: Op::Histogram(Buckets {
            max_scale: histogram.max_scale,
            max_buckets: histogram.max_buckets,
            bounds: histogram.bounds.clone(),
            to_explicit: histogram.to.is_some(),
        }),
    })
}

pub(super) fn compile_temporality(
    convert: &document::Convert,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<Rewrite> {
    let at = format!("{path}.temporality.match");
    Some(Rewrite {
        matcher: Matcher::compile(&convert.matches, &at, problems)?,
        op: Op::Temporality {
            to: match convert.to {
                document::Temporality::Delta => Temporality::Delta,
                document::Temporality::Cumulative => Temporality::Cumulative,
            },
        },
    })
}
