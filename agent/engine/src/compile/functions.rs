//! Which function an aggregation has for which gauge.

use crate::document::{self, Function, Problem};
use crate::matcher::pattern::Pattern;

/// Functions by metric name: the first entry that matches decides, else the stage's own function.
#[derive(Debug, Clone, Default)]
pub struct Functions {
    entries: Vec<(Vec<Pattern>, Function)>,
    /// Of what no entry matches; without one such a gauge passes, counted `not_aggregated`.
    rest: Option<Function>,
}

impl Functions {
    /// The functions of a stage; problems lie under `path`.
    pub(super) fn compile(
        aggregate: &document::Aggregate,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Functions {
        let mut entries = Vec::with_capacity(aggregate.functions.len());
        for (index, entry) in aggregate.functions.iter().enumerate() {
            let mut patterns = Vec::with_capacity(entry.metric.texts().len());
            for text in entry.metric.texts() {
                match Pattern::parse(text) {
                    Ok(pattern) => patterns.push(pattern),
                    Err(message) => problems.push(Problem::new(
                        format!("{path}.aggregate.functions[{index}].metric"),
                        message,
                    )),
                }
            }
            entries.push((patterns, entry.function));
        }
        Functions {
            entries,
            rest: aggregate.function,
        }
    }

    /// One function for all gauges.
    pub(super) fn all(function: Function) -> Functions {
        Functions {
            entries: Vec::new(),
            rest: Some(function),
        }
    }

    /// The function of a metric's gauges.
    pub fn of(&self, metric: &str) -> Option<Function> {
        self.entries
            .iter()
            .find(|(patterns, _)| patterns.iter().any(|p| p.matches(metric)))
            .map(|(_, function)| *function)
            .or(self.rest)
    }
}
