//! What a filter decides point by point: comparisons of values; and, in a file of its own, about
//! whole entities.

pub mod agree;
pub mod entities;

use super::gate::Verdict;
use crate::compile::Rules;
use crate::document::Comparison;
use crate::route::Rule;
use crate::view::PointView;

/// Value conditions of one filter.
#[derive(Debug)]
pub struct Values {
    keep: bool,
    /// By rule; nothing where a rule has no comparison.
    comparisons: Vec<Option<Comparison>>,
    /// Lists of rules that some series is asked about.
    lists: Vec<Vec<u16>>,
}

impl Values {
    /// Those of a filter; `None` where it looks at no values.
    pub fn of(filter: &Rules) -> Option<Values> {
        filter.has_values().then(|| Values {
            keep: filter.keep,
            comparisons: filter.rules.iter().map(|rule| rule.value).collect(),
            lists: Vec::new(),
        })
    }

    /// The number of a list of rules.
    pub fn list(&mut self, rules: Vec<u16>) -> u32 {
        let known = self.lists.iter().position(|list| *list == rules);
        known.unwrap_or_else(|| {
            self.lists.push(rules);
            self.lists.len() - 1
        }) as u32
    }

    /// What becomes of a point. One without a value (no recorded value) meets no comparison, and `keep`
    /// lets it pass, so that the end of a series is never lost.
    #[inline]
    pub fn decide(&self, list: u32, point: &PointView<'_>) -> Verdict {
        // NaN meets no comparison.
        let valued = point.number.filter(|_| !point.no_recorded_value());
        let number = valued.map_or(f64::NAN, |number| number.as_f64());
        let rules = self.lists.get(list as usize).map_or(&[][..], |list| list);
        let met = rules.iter().find(|rule| {
            let comparison = self.comparisons.get(usize::from(**rule));
            comparison.is_some_and(|c| c.is_none_or(|c| c.holds(number)))
        });
        match (met, self.keep) {
            (Some(rule), false) => Verdict::Filtered(Rule::Drop(*rule)),
            (None, true) if !point.no_recorded_value() => Verdict::Filtered(Rule::Keep),
            _ => Verdict::Pass,
        }
    }
}
