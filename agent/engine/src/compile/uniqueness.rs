//! Finds transforms that can give several series one identity, and the aggregation behind each that
//! adds up what has become one. Judged on the document alone: what is not proven is refused.

use super::transform::NewName;
use super::{Action as Compiled, Merged, Stage};
use crate::document::{
    Action, Aggregate, Condition, Match, Operation, Patterns, Problem, Transform,
};
use crate::matcher::pattern::Pattern;
use std::collections::BTreeSet;

/// Stages of a document by their index in it.
pub(super) fn find(stages: &[(usize, &str, &Action)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (position, (index, id, action)) in stages.iter().enumerate() {
        let Action::Transform(transform) = action else {
            continue;
        };
        for (number, what) in lossy(transform) {
            let known = Known::behind(transform);
            let behind = stages.get(position + 1..).unwrap_or_default();
            if let Err(refused) = covered(&known, behind) {
                let operation = transform.ops.get(number).map_or("", Operation::kind);
                let path = format!("spec.stages[{index}].transform.ops[{number}].{operation}");
                problems.push(Problem::new(path, refused.message(&what, id, &known)));
            }
        }
    }
    problems
}

/// Tells each lossy operation of a right document which aggregation is behind it.
pub(super) fn mark(documents: &[crate::document::Stage], stages: &mut [Stage]) {
    let all: Vec<(usize, &str, &Action)> = documents
        .iter()
        .enumerate()
        .map(|(index, stage)| (index, stage.id.as_str(), &stage.action))
        .collect();
    let merging: Vec<Option<Merged>> = stages
        .iter()
        .map(|stage| match &stage.action {
            Compiled::Aggregate(aggregate) => Some(Merged {
                functions: aggregate.functions.clone(),
                extracts: aggregate.extracts,
            }),
            _ => None,
        })
        .collect();
    for (position, stage) in stages.iter_mut().enumerate() {
        let (Compiled::Transform(compiled), Some((_, _, Action::Transform(transform)))) =
            (&mut stage.action, all.get(position))
        else {
            continue;
        };
        let behind = all.get(position + 1..).unwrap_or_default();
        let Ok(index) = covered(&Known::behind(transform), behind) else {
            continue;
        };
        let Some(Some(merged)) = merging.get(index) else {
            continue;
        };
        for (number, _) in lossy(transform) {
            if let Some(step) = compiled.steps.get_mut(number) {
                step.merged = Some(merged.clone());
            }
        }
    }
}

/// Operations that can give several series one identity, with words for what they do.
fn lossy(transform: &Transform) -> Vec<(usize, String)> {
    let mut names = names_of(&transform.matches);
    let mut all = Vec::new();
    for (number, operation) in transform.ops.iter().enumerate() {
        match operation {
            Operation::RenameMetric(rename) => {
                let new = NewName::of(rename);
                let several = match &new {
                    NewName::Around(pieces) => pieces.len() == 1 && !is_one(&names),
                    NewName::Exact { .. } => false,
                    NewName::Glob { to, .. } => to.len() == 1 && !is_one(&names),
                };
                if several {
                    let what = format!("the name `{}` for several metrics", rename.to);
                    all.push((number, what));
                }
                names = renamed(&names, &new);
            }
            Operation::Set(set) if set.overwrite => {
                all.push((number, format!("`{}` with one value", set.attribute)));
            }
            Operation::Normalise(normalise) => {
                all.push((number, format!("`{}` as a pattern", normalise.attribute)));
            }
            _ => {}
        }
    }
    all
}

/// What is known of every series that a transform changed.
struct Known {
    /// Patterns of which one matches its name.
    names: Vec<String>,
    /// All other conditions that held when the transform began.
    rule: Match,
    /// Keys whose attribute may have changed since.
    touched: BTreeSet<String>,
}

impl Known {
    fn behind(transform: &Transform) -> Known {
        let mut known = Known {
            names: names_of(&transform.matches),
            rule: transform.matches.clone(),
            touched: BTreeSet::new(),
        };
        for operation in &transform.ops {
            known.after(operation);
        }
        known
    }

    fn after(&mut self, operation: &Operation) {
        if let Operation::RenameMetric(rename) = operation {
            self.names = renamed(&self.names, &NewName::of(rename));
        }
        self.touched
            .extend(operation.keys().into_iter().map(String::from));
    }

    /// The same behind another transform, which may match only some of these series.
    fn through(&self, transform: &Transform) -> Known {
        let mut behind = Known {
            names: self.names.clone(),
            rule: self.rule.clone(),
            touched: self.touched.clone(),
        };
        for operation in &transform.ops {
            behind.after(operation);
        }
        for name in &self.names {
            if !behind.names.contains(name) {
                behind.names.push(name.clone());
            }
        }
        behind
    }

    /// The strongest rule that holds for all of these series.
    fn rule(&self) -> Match {
        let mut rule = self.rule.clone();
        let any = self.names.iter().any(|name| name == "*");
        rule.metric = (!any).then(|| Patterns::any_of(self.names.clone()));
        rule.attributes.retain(|key, _| !self.touched.contains(key));
        rule
    }
}

/// Why no aggregation takes all of it.
struct Refused<'a> {
    /// A stage that stands between.
    between: Option<(usize, &'a str)>,
    /// An aggregation that does not take all, and the condition that does not follow.
    partly: Option<(usize, &'a str, String)>,
}

impl Refused<'_> {
    fn message(&self, what: &str, id: &str, known: &Known) -> String {
        let rule = serde_json::to_string(&known.rule()).unwrap_or_default();
        let short: String = id.chars().take(55).collect();
        let mut text = format!(
            "{what}: this can give several series one identity, and no aggregation behind it takes all of them. Add \
             behind it `{{ id: {short}-merged, aggregate: {{ match: {rule}, without: [] }} }}`"
        );
        if let Some((index, id)) = self.between {
            text += &format!(
                ", and put `{id}` (spec.stages[{index}]) before the transform or behind the aggregation: it would mix \
                 points of different senders"
            );
        }
        if let Some((index, id, condition)) = &self.partly {
            text += &format!("; `{id}` (spec.stages[{index}]) does not do: {condition}");
        }
        text
    }
}

/// Index of the first aggregation behind that provably takes all.
fn covered<'a>(
    known: &Known,
    behind: &[(usize, &'a str, &'a Action)],
) -> Result<usize, Refused<'a>> {
    let mut refused = Refused {
        between: None,
        partly: None,
    };
    let mut now = known.through(&Transform {
        matches: Match::default(),
        ops: Vec::new(),
    });
    for (index, id, action) in behind {
        match action {
            Action::Filter(filter) if !filter.has_values() => {}
            Action::Sample(sample) if sample.fraction.is_some() => {}
            Action::Transform(transform) => now = now.through(transform),
            Action::Aggregate(aggregate) => match open(&now, aggregate) {
                None => return Ok(*index),
                Some(condition) => {
                    refused.partly = refused.partly.or(Some((*index, *id, condition)));
                }
            },
            _ => {
                refused.between = Some((*index, *id));
                return Err(refused);
            }
        }
    }
    Err(refused)
}

/// The first condition of a rule that does not follow from what is known.
fn open(known: &Known, aggregate: &Aggregate) -> Option<String> {
    if aggregate.keep_original {
        return Some("`keep_original` lets what has become one go on".into());
    }
    let rule = &aggregate.matches;
    let has = &known.rule;
    if let Some(metric) = &rule.metric
        && !known.names.iter().all(|name| covers(metric, name))
    {
        return Some(unproven("metric"));
    }
    if let Some(unit) = &rule.unit {
        let follows = |had: &Patterns| had.texts().iter().all(|text| covers(unit, text));
        if !has.unit.as_ref().is_some_and(follows) {
            return Some(unproven("unit"));
        }
    }
    let types = rule.types.is_empty()
        || (!has.types.is_empty() && has.types.iter().all(|t| rule.types.contains(t)));
    if !types {
        return Some(unproven("type"));
    }
    if rule.temporality.is_some() && rule.temporality != has.temporality {
        return Some(unproven("temporality"));
    }
    if rule.monotonic.is_some() && rule.monotonic != has.monotonic {
        return Some(unproven("monotonic"));
    }
    rule.attributes.iter().find_map(|(key, wanted)| {
        let had = has.attributes.get(key);
        let kept = !known.touched.contains(key);
        let held = kept && had.is_some_and(|had| follows(had, wanted));
        (!held).then(|| unproven(&format!("attributes.{key}")))
    })
}

fn unproven(condition: &str) -> String {
    format!("that its `{condition}` holds does not follow from the transform")
}

/// Whether an attribute that meets one condition meets the other.
pub(super) fn follows(had: &Condition, wanted: &Condition) -> bool {
    match (had, wanted) {
        (Condition::Text(had), Condition::Text(wanted)) => {
            had.texts().iter().all(|text| covers(wanted, text))
        }
        (Condition::Text(_) | Condition::Number(_), Condition::Presence(wanted)) => wanted.exists,
        _ => had == wanted,
    }
}

/// Whether every text that `pattern` matches is matched by one of these.
pub(super) fn covers(patterns: &Patterns, pattern: &str) -> bool {
    patterns.texts().iter().any(|wider| {
        if wider == pattern || wider == "*" {
            return true;
        }
        let (Ok(wide), Ok(narrow)) = (Pattern::parse(wider), Pattern::parse(pattern)) else {
            return false;
        };
        match (&wide, &narrow) {
            (_, Pattern::Exact(text)) => wide.matches(text),
            // A glob's own wildcards can only lie within a `*` of the wider one, if that has nothing
            // else that could take them.
            (Pattern::Glob(glob), Pattern::Glob(_)) if !wider.contains(['?', '\\']) => {
                glob.matches(pattern)
            }
            _ => false,
        }
    })
}

fn names_of(rule: &Match) -> Vec<String> {
    rule.metric
        .as_ref()
        .map_or_else(|| vec!["*".into()], |names| names.texts().to_vec())
}

fn is_one(names: &[String]) -> bool {
    matches!(names, [one] if matches!(Pattern::parse(one), Ok(Pattern::Exact(_))))
}

/// Patterns that match every name that a renaming leaves.
fn renamed(names: &[String], new: &NewName) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !all.contains(&name) {
            all.push(name);
        }
    };
    for name in names {
        let exact = matches!(Pattern::parse(name), Ok(Pattern::Exact(_)));
        let glob = matches!(Pattern::parse(name), Ok(Pattern::Glob(_)));
        match new {
            _ if exact => add(new.apply(name).unwrap_or_else(|| name.clone())),
            NewName::Around(pieces) => {
                add(pieces.join(if glob { name.as_str() } else { "*" }));
            }
            NewName::Exact { to, .. } => {
                add(to.clone());
                add(name.clone());
            }
            NewName::Glob { start, end, to } => {
                add(to.join("*"));
                // All that it matches is renamed, if that is what `from` is.
                if *name != format!("{start}*{end}") {
                    add(name.clone());
                }
            }
        }
    }
    all
}
