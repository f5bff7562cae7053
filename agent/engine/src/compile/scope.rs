//! An experiment's scope: whether a series is inside must stay known in what stages write.
//!
//! An output is taken for what it is called. So a stage that merges must keep every key that the scope
//! goes by, and must leave the name where the scope goes by names: else one output would stand for series
//! inside and outside, or for neither. And what is outside must not take the places of what is inside: the
//! baseline has it, the candidate does not, and the same stages would do something else in both.

use super::{Action, Decide, Filter, Pipeline, Stage};
use crate::document::{self, Match, Matcher, Operation, Patterns, Per, Problem};

const UNTOLD: &str = "what is inside the experiment's scope and what is not could not be told apart behind it. \
    Scope by what the stage keeps, or leave the scope out";
const GIVES_PLACES: &str = "gives its places to series outside the experiment's scope, too";
const UNLIKE: &str = "the candidate has only those inside, and the same stage would keep others in it. Write all that \
    one rule of the scope asks for into the stage's `match` (and into what tells the load), or leave the scope out";

/// What stands against this scope in an arm's pipeline.
pub(super) fn problems(arm: &str, pipeline: &Pipeline, scope: &[Matcher]) -> Vec<Problem> {
    let mut keys: Vec<&str> = scope.iter().flat_map(keys_of).collect();
    keys.sort_unstable();
    keys.dedup();
    let by_name = scope.iter().any(goes_by_name);
    let mut problems = Vec::new();
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let described = &pipeline.document.spec.stages[index].action;
        let later = &pipeline.stages[index + 1..];
        let found = lost(stage, &keys)
            .or_else(|| changed(described, &keys))
            .or_else(|| {
                let names = by_name && names_anew(stage, described, later);
                names.then(|| "gives other names to what it or a later stage merges".to_owned())
            })
            .or_else(|| (!scope.is_empty() && decides(stage, &keys, by_name)).then(decided));
        let untold = found.map(|what| (what, UNTOLD));
        let shared = || shares(stage, scope).then(|| (GIVES_PLACES.to_owned(), UNLIKE));
        problems.extend(untold.or_else(shared).map(|(what, so)| {
            Problem::new(
                format!("{arm}.spec.stages[{index}].{}", stage.kind()),
                format!(
                    "stage `{}` of pipeline `{}` {what}: {so}",
                    stage.id, pipeline.name
                ),
            )
        }));
    }
    problems
}

fn keys_of(matcher: &Matcher) -> impl Iterator<Item = &str> {
    matcher.rule().attributes.keys().map(String::as_str)
}

fn goes_by_name(matcher: &Matcher) -> bool {
    let rule = matcher.rule();
    rule.metric.is_some()
        || rule.unit.is_some()
        || !rule.types.is_empty()
        || rule.temporality.is_some()
        || rule.monotonic.is_some()
}

fn lost(stage: &Stage, keys: &[&str]) -> Option<String> {
    let keeps = |key: &&&str| match &stage.action {
        Action::Aggregate(aggregate) => aggregate.keys.keeps(key),
        Action::Fold(fold) => fold.keeps(key),
        _ => true,
    };
    let lost: Vec<&str> = keys.iter().filter(|key| !keeps(key)).copied().collect();
    (!lost.is_empty()).then(|| format!("removes {}, which the scope goes by", lost.join(", ")))
}

fn changed(stage: &document::Action, keys: &[&str]) -> Option<String> {
    let document::Action::Transform(transform) = stage else {
        return None;
    };
    let touched = transform.ops.iter().flat_map(Operation::keys);
    let changed: Vec<&str> = touched.filter(|key| keys.contains(key)).collect();
    (!changed.is_empty())
        .then(|| format!("changes {}, which the scope goes by", changed.join(", ")))
}

/// Whether a merged output is called otherwise than what was merged.
fn names_anew(stage: &Stage, described: &document::Action, later: &[Stage]) -> bool {
    if let Action::Aggregate(aggregate) = &stage.action {
        return aggregate.rename.is_some() || aggregate.extracts;
    }
    let document::Action::Transform(transform) = described else {
        return false;
    };
    let renames = |op: &Operation| matches!(op, Operation::RenameMetric(_));
    let merges = |stage: &Stage| matches!(stage.action, Action::Aggregate(_) | Action::Fold(_));
    transform.ops.iter().any(renames) && later.iter().any(merges)
}

/// Whether a stage decides about whole entities of which the scope may hold a part.
fn decides(stage: &Stage, keys: &[&str], by_name: bool) -> bool {
    let Action::Filter(Filter::Entities(filter)) = &stage.action else {
        return false;
    };
    by_name
        || keys
            .iter()
            .any(|key| !filter.entity.iter().any(|e| e == key))
}

fn decided() -> String {
    "decides about whole entities, of which the scope may hold a part".to_owned()
}

/// Whether series outside the scope take places of those inside.
fn shares(stage: &Stage, scope: &[Matcher]) -> bool {
    let Action::Fold(fold) = &stage.action else {
        return false;
    };
    if scope.is_empty() {
        return false;
    }
    let inside = |of: &Matcher| scope.iter().any(|whole| lies_in(of.rule(), whole.rule()));
    match &fold.decide {
        Decide::Topk(topk) => {
            let load = topk.load.as_ref();
            !inside(&fold.matcher) || load.is_some_and(|(term, _)| !inside(&term.matcher))
        }
        Decide::Limit(limit) => {
            let own = |whole: &Matcher| has_its_budget(whole.rule(), &limit.per);
            !inside(&fold.matcher) && !scope.iter().all(own)
        }
    }
}

/// Whether a budget is of series inside alone, or of series outside alone.
fn has_its_budget(whole: &Match, per: &Per) -> bool {
    match per {
        Per::Plan => false,
        Per::Metric => {
            let only = Match {
                metric: whole.metric.clone(),
                ..Match::default()
            };
            *whole == only
        }
        Per::Attribute(key) => {
            let condition = whole.attributes.get(key).cloned();
            let only = Match {
                attributes: condition.map(|c| (key.clone(), c)).into_iter().collect(),
                ..Match::default()
            };
            *whole == only
        }
    }
}

/// Whether all that a rule matches is matched by the other, as far as the same conditions tell.
fn lies_in(part: &Match, whole: &Match) -> bool {
    fn same<T: PartialEq>(part: &Option<T>, whole: &Option<T>) -> bool {
        whole.is_none() || part == whole
    }
    let among = |part: &Option<Patterns>, whole: &Option<Patterns>| match (part, whole) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(part), Some(whole)) => part.texts().iter().all(|t| whole.texts().contains(t)),
    };
    let one_of = |t| whole.types.contains(t);
    let types = whole.types.is_empty() || !part.types.is_empty() && part.types.iter().all(one_of);
    let holds = |(key, condition)| part.attributes.get(key) == Some(condition);
    among(&part.metric, &whole.metric)
        && among(&part.unit, &whole.unit)
        && types
        && same(&part.temporality, &whole.temporality)
        && same(&part.monotonic, &whole.monotonic)
        && whole.attributes.iter().all(holds)
}
