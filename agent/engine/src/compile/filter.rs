//! A filter as the engine runs it: what it decides of a series, and what it leaves to its points.

mod entities;

use crate::document::{self, Comparison, Matcher, Problem};
use crate::route::Rule as Name;
use crate::view::{MetricType, MetricView, SeriesView, Temporality};

pub use entities::Entities;

/// A filter stage.
#[derive(Debug)]
pub enum Filter {
    /// By rules on series and values.
    Rules(Rules),
    /// By what entities use.
    Entities(Box<Entities>),
}

/// Rules of a filter.
#[derive(Debug)]
pub struct Rules {
    /// What no rule matches is dropped; else, what one matches.
    pub keep: bool,
    /// In document order.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Which series.
    pub matcher: Matcher,
    /// Which points; without one all of them.
    pub value: Option<Comparison>,
}

/// What a filter makes of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// All of its points go on.
    Pass,
    /// None does.
    Drop(Name),
    /// Each point is compared with these rules; the last of them may be one without a comparison.
    Points(Vec<u16>),
}

impl Filter {
    /// `None` when it added problems.
    pub(super) fn compile(
        filter: &document::Filter,
        id: &str,
        path: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<Filter> {
        let (keep, name, rules) = match filter {
            document::Filter::Drop(rules) => (false, "drop", rules),
            document::Filter::Keep(rules) => (true, "keep", rules),
            document::Filter::Entities(entities) => {
                return Entities::compile(entities, id, path, problems)
                    .map(|entities| Filter::Entities(Box::new(entities)));
            }
        };
        let compiled = rules.iter().enumerate().filter_map(|(index, rule)| {
            let path = format!("{path}.filter.{name}[{index}]");
            Some(Rule {
                matcher: Matcher::compile(&rule.series, &path, problems)?,
                value: rule.value,
            })
        });
        Some(Filter::Rules(Rules {
            keep,
            rules: compiled.collect(),
        }))
    }
}

impl Rules {
    /// Whether some rule looks at values.
    pub fn has_values(&self) -> bool {
        self.rules.iter().any(|rule| rule.value.is_some())
    }

    /// What becomes of a series.
    pub fn decide(&self, series: &SeriesView<'_>) -> Decision {
        let valued = has_value(&series.metric);
        let mut asked = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if (rule.value.is_some() && !valued) || !rule.matcher.matches(series) {
                continue;
            }
            match (rule.value.is_some(), self.keep) {
                (true, _) => asked.push(index as u16),
                (false, true) => return Decision::Pass,
                (false, false) if asked.is_empty() => {
                    return Decision::Drop(Name::Drop(index as u16));
                }
                // What the rules before it leave is dropped by this one.
                (false, false) => {
                    asked.push(index as u16);
                    break;
                }
            }
        }
        match (asked.is_empty(), self.keep) {
            (false, _) => Decision::Points(asked),
            (true, true) => Decision::Drop(Name::Keep),
            (true, false) => Decision::Pass,
        }
    }
}

/// Whether the points' values say something by themselves. Those of a counter only say how long it
/// has run.
fn has_value(metric: &MetricView<'_>) -> bool {
    match metric.kind {
        MetricType::Gauge => true,
        MetricType::Sum => metric.temporality == Temporality::Delta || !metric.monotonic,
        _ => false,
    }
}
