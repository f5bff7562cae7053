//! Stages that write matching points anew, one by one.

use crate::document::{self, Matcher, Problem};

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
}

impl Op {
    /// The stage's key in the document.
    pub fn kind(&self) -> &'static str {
        match self {
            Op::Quantise { .. } => "quantise",
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
