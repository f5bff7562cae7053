//! Finds what a stage goes by and never meets: a metric of `rank`, `bands.load` or `drop_when` that does not come to
//! it, or keys of an entity or a budget that an aggregation before it removes. All entities would be alike, and nobody
//! be told. Judged on the document alone; what is not proven passes.

use super::uniqueness::{covers, follows};
use crate::document::{
    Action, Aggregate, By, Condition, Filter, How, Match, MetricType, Patterns, Per, Problem,
    Sample,
};
use std::slice;

/// What has a value to measure.
const WITH_VALUE: &[MetricType] = &[MetricType::Gauge, MetricType::Sum];

/// What a stage goes by.
struct Wanted<'a> {
    /// Its field, behind the stage's path.
    field: String,
    /// What is known of the series.
    series: Match,
    /// As well.
    within: Option<&'a Match>,
    /// Keys that the series must have.
    keys: &'a [String],
    /// Without any of these series the stage does nothing. Else the keys alone matter.
    needed: bool,
}

/// Stages of a document by their index in it, and the rules of `protect`.
pub(super) fn find(stages: &[(usize, &str, &Action)], protect: &[Match]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (position, (index, _, action)) in stages.iter().enumerate() {
        let before = stages.get(..position).unwrap_or_default();
        for wanted in wanted(action) {
            if let Some(why) = unmet(&wanted, *index, before, protect) {
                let path = format!("spec.stages[{index}].{}", wanted.field);
                problems.push(Problem::new(path, why));
            }
        }
    }
    problems
}

fn wanted(action: &Action) -> Vec<Wanted<'_>> {
    let metric = |metric: &Patterns, attributes, rate: bool| Match {
        metric: Some(metric.clone()),
        types: match rate {
            true => MetricType::WITH_TEMPORALITY.to_vec(),
            false => WITH_VALUE.to_vec(),
        },
        attributes,
        ..Match::default()
    };
    let place = |field: &str, number: usize, of: usize| match of {
        1 => field.to_owned(),
        _ => format!("{field}[{number}]"),
    };
    let keys_alone = |field: &str, series: &Match, keys| Wanted {
        field: field.into(),
        series: series.clone(),
        within: None,
        keys,
        needed: false,
    };
    match action {
        Action::Topk(topk) => {
            let ranks = topk.rank.iter().enumerate().map(|(number, rank)| Wanted {
                field: place("topk.rank", number, topk.rank.len()),
                series: metric(&rank.metric, rank.attributes.clone(), rank.by == By::Rate),
                within: Some(&topk.matches),
                keys: &topk.entity,
                needed: true,
            });
            let load = topk.bands.iter().map(|bands| Wanted {
                field: "topk.bands.load".into(),
                series: metric(
                    &bands.load.metric,
                    bands.load.attributes.clone(),
                    bands.load.by == By::Rate,
                ),
                within: None,
                keys: &[],
                needed: true,
            });
            ranks.chain(load).collect()
        }
        Action::Filter(Filter::Entities(filter)) => {
            let conditions = filter.drop_when.iter().enumerate();
            let wanted = conditions.filter_map(|(number, when)| {
                let told = when.series.metric.as_ref()?;
                let measured = metric(told, Default::default(), when.by == How::Rate);
                let types = match when.series.types.is_empty() {
                    true => measured.types,
                    false => when.series.types.clone(),
                };
                Some(Wanted {
                    field: format!("filter.drop_when[{number}]"),
                    series: Match {
                        types,
                        ..when.series.clone()
                    },
                    within: None,
                    keys: &filter.entity,
                    needed: true,
                })
            });
            wanted.collect()
        }
        Action::Sample(Sample {
            fraction: Some(_),
            matches,
            entity,
            ..
        }) => vec![keys_alone("sample.entity", matches, entity)],
        Action::Limit(limit) => match &limit.per {
            Per::Attribute(key) => {
                vec![keys_alone(
                    "limit.per",
                    &limit.matches,
                    slice::from_ref(key),
                )]
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Why no such series ever comes to the stage.
fn unmet(
    wanted: &Wanted<'_>,
    index: usize,
    before: &[(usize, &str, &Action)],
    protect: &[Match],
) -> Option<String> {
    let Some(names) = wanted.series.metric.as_ref() else {
        return lost(wanted.series.clone(), wanted, index, before, protect);
    };
    // Each text may be lost in a way of its own; the first is told.
    let of = |name: &String| {
        let metric = Some(Patterns::any_of(vec![name.clone()]));
        let series = Match {
            metric,
            ..wanted.series.clone()
        };
        lost(series, wanted, index, before, protect)
    };
    let all: Option<Vec<String>> = names.texts().iter().map(of).collect();
    all?.into_iter().next()
}

fn lost(
    series: Match,
    wanted: &Wanted<'_>,
    index: usize,
    before: &[(usize, &str, &Action)],
    protect: &[Match],
) -> Option<String> {
    let mut known = vec![series];
    known.extend(wanted.within.cloned());
    let mut next = index;
    for (at, id, action) in before.iter().rev() {
        // What stood between could not be read: nobody knows what it does.
        if at + 1 != next {
            return None;
        }
        next = *at;
        match action {
            Action::Filter(filter) if wanted.needed && drops(filter, &known) => {
                return Some(format!(
                    "nothing of it comes here, as `{id}` (spec.stages[{at}]) drops it: go by another metric, or put that \
                     filter behind"
                ));
            }
            Action::Filter(_) | Action::Sample(_) | Action::Quantise(_) => {}
            // An overflow series lacks most attributes and has one of its own.
            Action::Limit(_) => known.iter_mut().for_each(|known| known.attributes.clear()),
            Action::Aggregate(aggregate) => {
                if aggregate.rename.is_some() || aggregate.summary.is_some() {
                    return None;
                }
                if let Some(key) = merged_over(aggregate, wanted.keys, &known) {
                    return Some(format!(
                        "nothing of it has `{key}`, as `{id}` (spec.stages[{at}]) removes it: keep the key there, or put \
                         this stage before it"
                    ));
                }
                known.iter_mut().for_each(|known| known.attributes.clear());
            }
            // Names, attributes or types may be others before it.
            _ => return None,
        }
    }
    let protected = wanted.needed && next == 0 && protect.iter().any(|rule| holds(rule, &known));
    protected.then(|| {
        "`spec.protect` holds it, and what is protected passes every stage unseen: go by another metric, or do not \
         protect it"
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

/// One of the keys that nothing has behind the aggregation.
fn merged_over<'a>(aggregate: &Aggregate, keys: &'a [String], known: &[Match]) -> Option<&'a str> {
    // A gauge without a function passes as it is, and a summary.
    let gauges = known
        .iter()
        .all(|known| known.types.is_empty() || known.types.contains(&MetricType::Gauge));
    let summaries = known
        .iter()
        .all(|known| known.types.is_empty() || known.types.contains(&MetricType::Summary));
    if aggregate.keep_original
        || summaries
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
    let mut keys = keys.iter().filter(|key| !own(key));
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
