//! Finds a `topk` of which a metric of `rank` never comes to it, or comes without the entity's keys: all
//! entities would rank alike, and nobody be told. Judged on the document alone; what is not proven passes.

use super::uniqueness::{covers, follows};
use crate::document::{
    Action, Aggregate, By, Condition, Filter, Match, MetricType, Patterns, Problem, Rank, Topk,
};

/// What has a value to rank by.
const WITH_VALUE: &[MetricType] = &[MetricType::Gauge, MetricType::Sum];

/// Stages of a document by their index in it, and the rules of `protect`.
pub(super) fn find(stages: &[(usize, &str, &Action)], protect: &[Match]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (position, (index, _, action)) in stages.iter().enumerate() {
        let Action::Topk(topk) = action else {
            continue;
        };
        let before = stages.get(..position).unwrap_or_default();
        for (number, rank) in topk.rank.iter().enumerate() {
            // Each text may be lost in a way of its own; the first is told.
            let lost = |name: &String| lost(name, rank, topk, *index, before, protect);
            let all: Option<Vec<String>> = rank.metric.texts().iter().map(lost).collect();
            let Some(why) = all.and_then(|all| all.into_iter().next()) else {
                continue;
            };
            let path = match topk.rank.len() {
                1 => format!("spec.stages[{index}].topk.rank"),
                _ => format!("spec.stages[{index}].topk.rank[{number}]"),
            };
            problems.push(Problem::new(path, why));
        }
    }
    problems
}

/// Why no series of this name is ever ranked.
fn lost(
    name: &str,
    rank: &Rank,
    topk: &Topk,
    index: usize,
    before: &[(usize, &str, &Action)],
    protect: &[Match],
) -> Option<String> {
    let types = match rank.by {
        By::Rate => MetricType::WITH_TEMPORALITY.to_vec(),
        By::Value => WITH_VALUE.to_vec(),
    };
    let mut known = [
        Match {
            metric: Some(Patterns::any_of(vec![name.into()])),
            types,
            attributes: rank.attributes.clone(),
            ..Match::default()
        },
        topk.matches.clone(),
    ];
    let mut next = index;
    for (at, id, action) in before.iter().rev() {
        // What stood between could not be read: nobody knows what it does.
        if at + 1 != next {
            return None;
        }
        next = *at;
        match action {
            Action::Filter(filter) if drops(filter, &known) => {
                return Some(format!(
                    "nothing of it is left to rank by, as `{id}` (spec.stages[{at}]) drops it: rank by another metric, or put \
                     the filter behind"
                ));
            }
            Action::Filter(_) | Action::Sample(_) | Action::Quantise(_) => {}
            // An overflow series lacks most attributes and has one of its own.
            Action::Limit(_) => known.iter_mut().for_each(|known| known.attributes.clear()),
            Action::Aggregate(aggregate) => {
                if aggregate.rename.is_some() || aggregate.summary.is_some() {
                    return None;
                }
                if let Some(key) = merged_over(aggregate, topk, &known) {
                    return Some(format!(
                        "nothing of it has `{key}` of the entity, as `{id}` (spec.stages[{at}]) removes it: keep the key \
                         there, or put the topk before it"
                    ));
                }
                known.iter_mut().for_each(|known| known.attributes.clear());
            }
            // Names, attributes or types may be others before it.
            _ => return None,
        }
    }
    let protected = next == 0 && protect.iter().any(|rule| holds(rule, &known));
    protected.then(|| {
        "`spec.protect` holds it, and what is protected passes unranked: rank by another metric, or do not protect it"
            .to_owned()
    })
}

/// Whether a filter drops everything of which this is known.
fn drops(filter: &Filter, known: &[Match]) -> bool {
    match filter {
        Filter::Drop(rules) => rules
            .iter()
            .any(|rule| rule.value.is_none() && holds(&rule.series, known)),
        Filter::Keep(rules) => rules
            .iter()
            .all(|rule| known.iter().any(|known| !known.may_meet(&rule.series))),
        Filter::Entities(_) => false,
    }
}

/// A key of the entity that nothing has behind the aggregation.
fn merged_over<'a>(aggregate: &Aggregate, topk: &'a Topk, known: &[Match]) -> Option<&'a str> {
    // A gauge without a function passes as it is.
    let gauges = known
        .iter()
        .all(|known| known.types.is_empty() || known.types.contains(&MetricType::Gauge));
    if aggregate.keep_original
        || (gauges && aggregate.function.is_none())
        || !holds(&aggregate.matches, known)
    {
        return None;
    }
    let removed = |key: &&String| match (&aggregate.by, &aggregate.without) {
        (Some(by), _) => !by.contains(key),
        (None, Some(without)) => without.contains(key),
        (None, None) => false,
    };
    // What an aggregation adds itself.
    let own = |key: &&String| key.starts_with("phoenix.");
    let mut keys = topk.entity.iter().filter(|key| !own(key));
    keys.find(removed).map(String::as_str)
}

/// Whether every series of which all of this is known matches the rule.
fn holds(rule: &Match, known: &[Match]) -> bool {
    let texts = |wanted: &Option<Patterns>, had: fn(&Match) -> &Option<Patterns>| {
        wanted.as_ref().is_none_or(|wanted| {
            let all = |had: &Patterns| had.texts().iter().all(|text| covers(wanted, text));
            let any = wanted.texts().iter().any(|text| text == "*");
            any || known
                .iter()
                .any(|known| had(known).as_ref().is_some_and(all))
        })
    };
    let types = |known: &Match| {
        !known.types.is_empty() && known.types.iter().all(|t| rule.types.contains(t))
    };
    let attribute = |key: &String, wanted: &Condition| {
        let had = |known: &Match| {
            known
                .attributes
                .get(key)
                .is_some_and(|had| follows(had, wanted))
        };
        known.iter().any(had)
    };
    texts(&rule.metric, |known| &known.metric)
        && texts(&rule.unit, |known| &known.unit)
        && (rule.types.is_empty() || known.iter().any(types))
        && (rule.temporality.is_none() || known.iter().any(|k| k.temporality == rule.temporality))
        && (rule.monotonic.is_none() || known.iter().any(|k| k.monotonic == rule.monotonic))
        && rule
            .attributes
            .iter()
            .all(|(key, wanted)| attribute(key, wanted))
}
