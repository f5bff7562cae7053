//! Finds a `deadband` or `unchanged` that holds back what a later aggregation adds up window by window: a
//! series that is held back for longer than a window is missing in it.

use super::Functions;
use crate::document::{
    Action, Aggregate, Condition, Function, Match, MetricType, Patterns, Problem, Sample,
    Temporality, same,
};
use crate::matcher::pattern::Pattern;

/// Functions that one missing input makes wrong, whatever it would have said.
const ADDING: [Function; 3] = [Function::Sum, Function::Mean, Function::Count];

/// Stages of a document by their index in it.
pub(super) fn find(stages: &[(usize, &str, &Action)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (position, (index, id, action)) in stages.iter().enumerate() {
        let Action::Aggregate(aggregate) = action else {
            continue;
        };
        let mut next = *index;
        for (at, _, action) in stages[..position].iter().rev() {
            // What could not be read may do anything.
            if at + 1 != next {
                break;
            }
            next = *at;
            match action {
                Action::Sample(sample) => {
                    if let Some(what) = missing(sample, aggregate) {
                        let interval = aggregate.interval;
                        problems.push(Problem::new(
                            format!("spec.stages[{at}].sample.heartbeat"),
                            format!(
                                "{what} can be held back for {}, and `{id}` (spec.stages[{index}]) adds up what speaks in \
                                 {interval}: what is held back would be missing there. Put this stage behind it, or write \
                                 `heartbeat: {interval}` or less",
                                sample.heartbeat
                            ),
                        ));
                    }
                }
                Action::Filter(_) | Action::Quantise(_) | Action::Limit(_) => {}
                // Names, attributes or types may be others before it, and windows have been filled.
                _ => break,
            }
        }
    }
    problems
}

/// What the gate surely holds back of what the aggregation adds up.
fn missing(gate: &Sample, aggregate: &Aggregate) -> Option<&'static str> {
    let quiet = gate.unchanged || gate.deadband.is_some();
    if !quiet || gate.heartbeat <= aggregate.interval || !meet(&gate.matches, &aggregate.matches) {
        return None;
    }
    let both = [&gate.matches, &aggregate.matches];
    let may_be = |wanted| {
        both.iter()
            .all(|m| m.types.is_empty() || m.types.contains(&wanted))
    };
    let grows = both.iter().any(|m| m.monotonic == Some(true));
    let gauges =
        may_be(MetricType::Gauge) && !grows && both.iter().all(|m| m.temporality.is_none());
    if gauges && adds(gate, aggregate) {
        return Some("a gauge");
    }
    let falls = both.iter().any(|m| m.monotonic == Some(false)) && !grows;
    let delta = both
        .iter()
        .any(|m| m.temporality == Some(Temporality::Delta));
    (may_be(MetricType::Sum) && falls && !delta).then_some("a sum that is not monotonic")
}

/// Whether gauges that come from the gate are added up.
fn adds(gate: &Sample, aggregate: &Aggregate) -> bool {
    if aggregate.functions.is_empty() {
        return aggregate.function.is_some_and(|f| ADDING.contains(&f));
    }
    // By name: one that is written out must be among them.
    let functions = Functions::compile(aggregate, "", &mut Vec::new());
    let metrics = [&gate.matches.metric, &aggregate.matches.metric];
    let listed = aggregate.functions.iter().map(|entry| &entry.metric);
    let all = metrics.iter().copied().flatten().chain(listed);
    let mut names = all.flat_map(Patterns::texts).filter(|text| {
        let exact = matches!(Pattern::parse(text), Ok(Pattern::Exact(_)));
        let comes = |of: &&Option<Patterns>| of.as_ref().is_none_or(|of| of.matches(text));
        exact && metrics.iter().all(comes)
    });
    names.any(|name| functions.of(name).is_some_and(|f| ADDING.contains(&f)))
}

/// Whether some series surely meets both, its type left aside.
fn meet(a: &Match, b: &Match) -> bool {
    let texts = |a: &Option<Patterns>, b: &Option<Patterns>| {
        a.as_ref()
            .zip(b.as_ref())
            .is_none_or(|(a, b)| a.surely_meet(b))
    };
    texts(&a.metric, &b.metric)
        && texts(&a.unit, &b.unit)
        && same(a.monotonic, b.monotonic)
        && same(a.temporality, b.temporality)
        && a.attributes
            .iter()
            .all(|(key, left)| match (left, b.attributes.get(key)) {
                (_, None) => true,
                (Condition::Text(left), Some(Condition::Text(right))) => left.surely_meet(right),
                (left, Some(right)) => left.may_meet(right),
            })
}
