//! Finds aggregations that can write the same series: each would overwrite the other's points.

use super::stages::{EXTRACTED_COUNT, EXTRACTED_SUM};
use crate::document::{Action, Aggregate, Limit, Match, MetricType, Problem, same};
use crate::matcher::glob::Glob;
use crate::matcher::pattern::Pattern;

/// Stages of a document by their index in it.
pub(super) fn find(stages: &[(usize, &str, &Action)]) -> Vec<Problem> {
    let aggregations: Vec<(usize, &str, &Aggregate)> = stages
        .iter()
        .filter_map(|(index, id, action)| match action {
            Action::Aggregate(aggregate) => Some((*index, *id, aggregate)),
            _ => None,
        })
        .collect();
    let mut problems = limits(stages);
    for (position, (index, id, later)) in aggregations.iter().enumerate() {
        problems.extend(own(*index, id, "aggregate", later, stages));
        for (first, first_id, earlier) in &aggregations[..position] {
            if let Some(problem) = united((*first, first_id, earlier), (*index, id, later), stages)
            {
                problems.push(problem);
            } else if same_outputs(earlier, later, Apart::default()) {
                problems.push(Problem::new(
                    format!("spec.stages[{index}].aggregate"),
                    format!(
                        "`{id}` can write the same series as `{first_id}` (spec.stages[{first}]): same metric, same kept \
                         keys. Give one a `rename`, make their matches apart on a kept key, or make them one stage"
                    ),
                ));
            }
        }
    }
    problems
}

/// Two budgets that can write the same overflow series.
fn limits(stages: &[(usize, &str, &Action)]) -> Vec<Problem> {
    let limits: Vec<(usize, &str, Aggregate)> = stages
        .iter()
        .filter_map(|(index, id, action)| match action {
            Action::Limit(limit) => Some((*index, *id, overflow(limit))),
            _ => None,
        })
        .collect();
    let mut problems = Vec::new();
    for (position, (index, id, later)) in limits.iter().enumerate() {
        problems.extend(own(*index, id, "limit", later, stages));
        for (first, first_id, earlier) in &limits[..position] {
            if same_outputs(earlier, later, Apart::default()) {
                problems.push(Problem::new(
                    format!("spec.stages[{index}].limit"),
                    format!(
                        "`{id}` can write the same overflow series as `{first_id}` (spec.stages[{first}]): give them \
                         matches that are apart, or other keys in `overflow.keep`, or make them one stage"
                    ),
                ));
            }
        }
    }
    problems
}

/// What a budget writes, as the aggregation that it is.
fn overflow(limit: &Limit) -> Aggregate {
    Aggregate {
        matches: limit.matches.clone(),
        by: Some(limit.overflow.keep.clone()),
        without: None,
        interval: limit.interval,
        function: None,
        functions: Vec::new(),
        summary: None,
        keep_original: false,
        rename: None,
        lateness: limit.lateness,
        expiry: limit.expiry,
        merged_later: false,
        weighted: true,
    }
}

/// What parts two streams no longer, as a stage behind makes it one.
#[derive(Debug, Clone, Copy, Default)]
struct Apart {
    no_temporality: bool,
    no_buckets: bool,
}

/// A stage that makes one of two streams.
struct Converting<'a> {
    at: usize,
    id: &'a str,
    rule: &'a Match,
    apart: Apart,
}

/// Those behind a stage.
fn converting<'a>(
    first: usize,
    stages: &'a [(usize, &str, &Action)],
) -> impl Iterator<Item = Converting<'a>> {
    let behind = stages.iter().filter(move |(at, ..)| *at > first);
    behind.filter_map(|(at, id, action)| {
        let (no_temporality, rule) = match action {
            Action::Temporality(convert) => (true, &convert.matches),
            Action::Histogram(histogram) if histogram.to.is_some() => (false, &histogram.matches),
            _ => return None,
        };
        let apart = Apart {
            no_temporality,
            no_buckets: !no_temporality,
        };
        Some(Converting {
            at: *at,
            id,
            rule,
            apart,
        })
    })
}

impl Converting<'_> {
    fn what(&self) -> &'static str {
        match self.apart.no_temporality {
            true => "temporality",
            false => "kind of histogram",
        }
    }

    /// Whether it may convert what an aggregation writes.
    fn touches(&self, of: &Aggregate) -> bool {
        let names = outputs(of);
        self.rule.metric.as_ref().is_none_or(|patterns| {
            let parsed = patterns.texts().iter().map(|text| Pattern::parse(text));
            let at_least = |p: Pattern| names.iter().any(|name| name.intersects(&p.at_least()));
            parsed.into_iter().any(|p| p.map_or(true, at_least))
        })
    }

    /// Whether one stage writes both streams that this one makes one.
    fn parts(&self, of: &Aggregate) -> bool {
        let types = &of.matches.types;
        let any =
            |wanted: &[MetricType]| types.is_empty() || wanted.iter().any(|t| types.contains(t));
        if self.apart.no_temporality {
            let summed = [
                MetricType::Sum,
                MetricType::Histogram,
                MetricType::ExponentialHistogram,
            ];
            return of.matches.temporality.is_none() && any(&summed);
        }
        any(&[MetricType::Histogram]) && any(&[MetricType::ExponentialHistogram])
    }
}

/// One stage that writes two streams, which a stage behind it makes one.
fn own(
    index: usize,
    id: &str,
    kind: &str,
    of: &Aggregate,
    stages: &[(usize, &str, &Action)],
) -> Option<Problem> {
    let both = |c: &Converting<'_>| c.touches(of) && c.parts(of);
    let converting = converting(index, stages).find(both)?;
    let (at, by, what) = (converting.at, converting.id, converting.what());
    let pin = match converting.apart.no_temporality {
        true => "`temporality: cumulative` or `temporality: delta`",
        false => "`type: histogram` or `type: exponential_histogram`",
    };
    Some(Problem::new(
        format!("spec.stages[{index}].{kind}"),
        format!(
            "`{id}` writes a series for each {what} that it meets, and `{by}` (spec.stages[{at}]) makes them one. \
             Write {pin} into the match of `{id}`, or convert before it"
        ),
    ))
}

/// Two aggregations whose outputs only what a stage behind them makes one keeps apart.
fn united(
    (first, first_id, earlier): (usize, &str, &Aggregate),
    (index, id, later): (usize, &str, &Aggregate),
    stages: &[(usize, &str, &Action)],
) -> Option<Problem> {
    if same_outputs(earlier, later, Apart::default()) {
        return None;
    }
    let (at, by, what) = converting(first, stages)
        .filter(|c| same_outputs(earlier, later, c.apart))
        .find(|c| c.touches(earlier) || c.touches(later))
        .map(|c| (c.at, c.id, c.what()))?;
    Some(Problem::new(
        format!("spec.stages[{index}].aggregate"),
        format!(
            "only its {what} keeps what `{id}` writes apart from what `{first_id}` (spec.stages[{first}]) does, and `{by}` \
             (spec.stages[{at}]) makes it one. Give one a `rename`, convert before both, or make them one stage"
        ),
    ))
}

/// Different kept keys are let through: whether two series then meet shows only in their attributes,
/// and is counted as `identity_conflict` when it happens.
fn same_outputs(a: &Aggregate, b: &Aggregate, apart: Apart) -> bool {
    same_keys(a, b)
        && same_types(a, b, apart)
        && same_kind(&a.matches, &b.matches, apart)
        && same_name(a, b)
        && !parted(a, b)
}

/// Types that both can write: a summary becomes sums, or none of this stage's.
fn same_types(a: &Aggregate, b: &Aggregate, apart: Apart) -> bool {
    let written = |aggregate: &Aggregate| -> Vec<MetricType> {
        let types = &aggregate.matches.types;
        let sums = aggregate.summary.map(|_| MetricType::Sum);
        types
            .iter()
            .filter_map(|t| match t {
                MetricType::Summary => sums,
                MetricType::ExponentialHistogram if apart.no_buckets => Some(MetricType::Histogram),
                other => Some(*other),
            })
            .collect()
    };
    let any = |aggregate: &Aggregate| aggregate.matches.types.is_empty();
    let (left, right) = (written(a), written(b));
    any(a) || any(b) || left.iter().any(|t| right.contains(t))
}

fn same_keys(a: &Aggregate, b: &Aggregate) -> bool {
    a.by == b.by && a.without == b.without
}

fn same_kind(a: &Match, b: &Match, apart: Apart) -> bool {
    (apart.no_temporality || same(a.temporality, b.temporality))
        && same(a.monotonic, b.monotonic)
        && a.unit
            .as_ref()
            .zip(b.unit.as_ref())
            .is_none_or(|(a, b)| a.may_meet(b))
}

fn same_name(a: &Aggregate, b: &Aggregate) -> bool {
    // What is extracted has other names than the stage's other outputs.
    let extracts = a.summary.is_some() || b.summary.is_some();
    if a.rename == b.rename && !extracts {
        // The same name comes of the same name.
        let literal = a.rename.as_ref().is_some_and(|r| !r.contains("{name}"));
        return literal
            || a.matches
                .metric
                .as_ref()
                .zip(b.matches.metric.as_ref())
                .is_none_or(|(a, b)| a.may_meet(b));
    }
    let (a, b) = (outputs(a), outputs(b));
    a.iter().any(|a| b.iter().any(|b| a.intersects(b)))
}

/// Globs that together match at least every name that the aggregation writes.
fn outputs(aggregate: &Aggregate) -> Vec<Glob> {
    let names: Vec<Glob> = match &aggregate.matches.metric {
        None => vec![Glob::any()],
        Some(patterns) => patterns
            .texts()
            .iter()
            .map(|text| Pattern::parse(text).map_or_else(|_| Glob::any(), |p| p.at_least()))
            .collect(),
    };
    let names: Vec<Glob> = match &aggregate.rename {
        None => names,
        Some(rename) => {
            let pieces: Vec<String> = rename.split("{name}").map(String::from).collect();
            names.iter().map(|name| name.within(&pieces)).collect()
        }
    };
    if aggregate.summary.is_none() {
        return names;
    }
    let extracted = [EXTRACTED_SUM, EXTRACTED_COUNT].map(|end| [String::new(), end.to_string()]);
    let of = |name: &Glob| extracted.each_ref().map(|pieces| name.within(pieces));
    let mut all: Vec<Glob> = names.iter().flat_map(of).collect();
    // Of other types the names are the stage's own.
    if aggregate.matches.types[..] != [MetricType::Summary] {
        all.extend(names);
    }
    all
}

/// Whether conditions on a key that both keep part their outputs.
fn parted(a: &Aggregate, b: &Aggregate) -> bool {
    let keeps = |key: &String| match (&a.by, &a.without) {
        (Some(by), _) => by.contains(key),
        (None, Some(without)) => !without.contains(key),
        (None, None) => true,
    };
    a.matches.attributes.iter().any(|(key, left)| {
        keeps(key)
            && b.matches
                .attributes
                .get(key)
                .is_some_and(|right| !left.may_meet(right))
    })
}
