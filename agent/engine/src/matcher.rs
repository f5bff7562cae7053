//! Rules that choose series, compiled. What they mean: all conditions of a rule must hold; a list of
//! values holds when one does.

pub mod glob;
pub mod pattern;
pub mod value;

use crate::document::{Comparison, Condition, Match, MetricType, Patterns, Problem, Temporality};
use crate::view::SeriesView;
use crate::wire::AnyValue;
use pattern::Pattern;

/// A compiled rule. Two are equal when they were written alike.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    metric: Option<Vec<Pattern>>,
    unit: Option<Vec<Pattern>>,
    /// One bit a type; 0 for any.
    types: u8,
    temporality: Option<Temporality>,
    monotonic: Option<bool>,
    attributes: Vec<(String, Test)>,
    rule: Match,
}

/// A condition on one attribute.
#[derive(Debug, Clone)]
enum Test {
    Text(Vec<Pattern>),
    Exists(bool),
    Number(Comparison),
}

impl Test {
    fn holds(&self, value: Option<AnyValue<'_>>) -> bool {
        match self {
            Test::Text(patterns) => value.is_some_and(|value| value::matches(patterns, value)),
            Test::Exists(wanted) => value.is_some() == *wanted,
            Test::Number(comparison) => value
                .and_then(value::number)
                .is_some_and(|number| comparison.holds(number)),
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        self.rule == other.rule
    }
}

impl Matcher {
    /// Compiles a rule; `None` when it added problems, which lie under `path`.
    pub fn compile(rule: &Match, path: &str, problems: &mut Vec<Problem>) -> Option<Matcher> {
        let before = problems.len();
        let mut compile = |patterns: &Patterns, path: String| -> Vec<Pattern> {
            let mut compiled = Vec::with_capacity(patterns.texts().len());
            for text in patterns.texts() {
                match Pattern::parse(text) {
                    Ok(pattern) => compiled.push(pattern),
                    Err(message) => problems.push(Problem::new(path.clone(), message)),
                }
            }
            compiled
        };
        let matcher = Matcher {
            metric: rule
                .metric
                .as_ref()
                .map(|p| compile(p, format!("{path}.metric"))),
            unit: rule
                .unit
                .as_ref()
                .map(|p| compile(p, format!("{path}.unit"))),
            types: rule.types.iter().fold(0, |bits, t| bits | bit(*t)),
            temporality: rule.temporality,
            monotonic: rule.monotonic,
            attributes: rule
                .attributes
                .iter()
                .map(|(key, condition)| {
                    let path = format!("{path}.attributes{}", crate::yaml::path_key(key));
                    let test = match condition {
                        Condition::Text(patterns) => Test::Text(compile(patterns, path)),
                        Condition::Presence(presence) => Test::Exists(presence.exists),
                        Condition::Number(comparison) => Test::Number(*comparison),
                    };
                    (key.clone(), test)
                })
                .collect(),
            rule: rule.clone(),
        };
        (problems.len() == before).then_some(matcher)
    }

    /// Whether all conditions of the rule hold for this series.
    pub fn matches(&self, series: &SeriesView<'_>) -> bool {
        let metric = &series.metric;
        let held = |patterns: &Option<Vec<Pattern>>, text: &str| {
            patterns.as_ref().is_none_or(|patterns| any(patterns, text))
        };
        (self.types == 0 || self.types & (1 << (metric.kind as u8)) != 0)
            && self
                .temporality
                .is_none_or(|wanted| wanted as u8 == metric.temporality as u8)
            && self
                .monotonic
                .is_none_or(|wanted| wanted == metric.monotonic)
            && held(&self.metric, metric.name)
            && held(&self.unit, metric.unit)
            && self
                .attributes
                .iter()
                .all(|(key, test)| test.holds(series.lookup(key)))
    }

    /// The rule as it was written.
    pub fn rule(&self) -> &Match {
        &self.rule
    }
}

fn bit(metric_type: MetricType) -> u8 {
    1 << (metric_type as u8)
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}
