//! `protect` beats every stage: a protected series' points come out as they went in, at once and
//! once, and nothing else changes for their being there: they are in no aggregate, no other series.

use super::duel::{decoded, look, plans};
use super::plans::emitted;
use super::{PLAIN, Wanted, for_all};
use bytes::Bytes;
use phoenix_model::reference::compare::{Look, differences};
use phoenix_model::reference::document::{Match, Sample, Stage};
use phoenix_model::reference::identity::Identity;
use phoenix_model::reference::point::{Point, points};
use phoenix_model::reference::{matcher, read};
use phoenix_model::traffic::{Action, Case, Choice, Sent, request};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

const RULES: [&str; 6] = [
    "{ metric: [requests, load, rpc] }",
    "{ attributes: { route: /a } }",
    "{ type: [histogram, exponential_histogram, summary] }",
    "{ attributes: { process.pid: \"100\" } }",
    "{ temporality: delta }",
    "{ type: gauge, attributes: { method: GET } }",
];

fn is_protected(rules: &[Match], sent: &Sent) -> bool {
    let one = points(&request(std::slice::from_ref(sent)));
    one.iter().any(|p| matcher::any(rules, &p.identity))
}

/// Kinds of stages, a `filter` and a `sample` by what they do.
const KINDS: [&str; 12] = [
    "filter by rules",
    "filter of entities",
    "aggregate",
    "sample by fraction",
    "sample every",
    "sample of what is new",
    "quantise",
    "histogram",
    "temporality",
    "topk",
    "limit",
    "transform",
];

/// In how many cases that were compared a protected series spoke that a stage of this kind would have met.
static MET: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());

/// The kind of a stage that would have met the series, were it not protected.
fn meets(stage: &Stage, id: &Identity) -> Option<&'static str> {
    let matches = |rule: &Match| matcher::matches(rule, id);
    let (kind, met) = match stage {
        Stage {
            filter: Some(filter),
            ..
        } => match (&filter.drop, &filter.keep) {
            (Some(rules), _) => ("filter by rules", matcher::any(rules, id)),
            (None, Some(rules)) => ("filter by rules", !matcher::any(rules, id)),
            (None, None) => (
                "filter of entities",
                filter.matching.as_ref().is_none_or(matches),
            ),
        },
        Stage {
            sample: Some(sample),
            ..
        } => (way_of(sample), matches(&sample.matching)),
        Stage {
            aggregate: Some(of),
            ..
        } => ("aggregate", matches(&of.matching)),
        Stage {
            quantise: Some(of), ..
        } => ("quantise", matches(&of.matching)),
        Stage {
            histogram: Some(of),
            ..
        } => ("histogram", matches(&of.matching)),
        Stage {
            temporality: Some(of),
            ..
        } => ("temporality", matches(&of.matching)),
        Stage { topk: Some(of), .. } => ("topk", matches(&of.matching)),
        Stage {
            limit: Some(of), ..
        } => ("limit", matches(&of.matching)),
        Stage {
            transform: Some(of),
            ..
        } => ("transform", matches(&of.matching)),
        _ => return None,
    };
    met.then_some(kind)
}

fn way_of(sample: &Sample) -> &'static str {
    match (sample.fraction, &sample.every) {
        (Some(_), _) => "sample by fraction",
        (None, Some(_)) => "sample every",
        (None, None) => "sample of what is new",
    }
}

/// Kinds of stages that would have met a protected series while they ran. `sent`: of each call the protected points.
fn kinds_met(case: &Case, sent: &[Vec<Point>]) -> BTreeSet<&'static str> {
    let stages_of = |plan: &Choice| -> Vec<Stage> {
        let pipelines = std::iter::once(plan.baseline).chain(plan.candidate);
        pipelines
            .flat_map(|at| read(&case.pipelines[at].yaml()).spec.stages)
            .collect()
    };
    let mut stages = stages_of(&case.first);
    let mut kinds = BTreeSet::new();
    for (action, sent) in case.actions.iter().zip(sent) {
        if let Action::Swap { to, .. } = action {
            stages = stages_of(to);
        }
        for stage in &stages {
            kinds.extend(sent.iter().filter_map(|p| meets(stage, &p.identity)));
        }
    }
    kinds
}

/// The same protected set in every pipeline of the case, no limit that rejects points, and no swap that is refused.
fn protecting(case: &Case) -> Case {
    let mut case = case.clone();
    let rule = RULES[case.seed as usize % RULES.len()];
    case.seed -= case.seed % 5;
    for parts in &mut case.pipelines {
        parts.protect = vec![rule.into()];
    }
    let mut actions = std::mem::take(&mut case.actions);
    actions.retain(|action| match action {
        Action::Swap { to, .. } => plans(&case, to).is_some(),
        Action::Feed { .. } | Action::Tick { .. } => true,
    });
    case.actions = actions;
    case
}

fn split(all: Vec<Point>, rules: &[Match]) -> (Vec<Point>, Vec<Point>) {
    all.into_iter()
        .partition(|p| matcher::any(rules, &p.identity))
}

/// What is written with the protected series is those and what is written without them. A stage may make
/// a series of another one that a rule matches, too: it is written either way.
fn compare(
    sent: &[Point],
    (with, without): (&Bytes, &Bytes),
    rules: &[Match],
    look: Look,
) -> Result<Vec<String>, String> {
    let (protected, rest) = split(decoded(with)?, rules);
    let (alike, others) = split(decoded(without)?, rules);
    let expected: Vec<Point> = sent.iter().cloned().chain(alike).collect();
    let mut lines = differences(&expected, &protected, look);
    lines.extend(differences(&others, &rest, look));
    Ok(lines)
}

fn protected_series_are_left_alone(case: &Case) -> Result<(), String> {
    let case = protecting(case);
    let rules = read(&case.pipelines[0].yaml()).spec.protect;
    let mut others = case.clone();
    let mut sent: Vec<Vec<Point>> = Vec::new();
    for action in &mut others.actions {
        let mut came = Vec::new();
        if let Action::Feed { points: fed, .. } = action {
            let (protected, rest) = std::mem::take(fed)
                .into_iter()
                .partition(|one| is_protected(&rules, one));
            *fed = rest;
            came = points(&request(&protected));
        }
        sent.push(came);
    }
    let (with, without) = (emitted(&case)?, emitted(&others)?);
    // The first plan is refused.
    if with.is_empty() {
        return Ok(());
    }
    let (look, kinds) = (look(&case), kinds_met(&case, &sent));
    let feeds = sent.into_iter().chain(std::iter::once(Vec::new()));
    for (at, ((with, without), sent)) in with.iter().zip(&without).zip(feeds).enumerate() {
        let mut lines = compare(&sent, (&with.out, &without.out), &rules, look)?;
        if !with.shadow.is_empty() || !without.shadow.is_empty() {
            let shadow = (&with.shadow, &without.shadow);
            lines.extend(compare(&sent, shadow, &rules, look)?);
        }
        if !lines.is_empty() {
            let what = "`model`: what was sent, or what is written without it";
            return Err(format!("call {at} ({what}):\n{}", lines.join("\n")));
        }
    }
    let mut met = MET.lock().expect("nobody panics with it");
    for kind in kinds {
        *met.entry(kind).or_insert(0) += 1;
    }
    Ok(())
}

#[test]
fn protect_beats_every_stage() {
    let wanted = Wanted {
        swaps: true,
        arms: true,
        shapes: true,
        ..PLAIN
    };
    for_all("protect", 150, wanted, protected_series_are_left_alone);
    let met = MET.lock().expect("nobody panics with it");
    let missed: Vec<_> = KINDS.iter().filter(|k| !met.contains_key(**k)).collect();
    assert!(missed.is_empty(), "never met: {missed:?}, met: {met:?}");
    eprintln!("cases in which a protected series met a stage: {met:?}");
}
