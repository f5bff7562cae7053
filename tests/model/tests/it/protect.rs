//! `protect` beats every stage: a protected series' points come out as they went in, at once and
//! once, and nothing else changes for their being there: they are in no aggregate, no other series.

use super::duel::{decoded, look};
use super::plans::emitted;
use super::{PLAIN, Wanted, for_all};
use bytes::Bytes;
use phoenix_model::reference::compare::{Look, differences};
use phoenix_model::reference::document::Match;
use phoenix_model::reference::point::{Point, points};
use phoenix_model::reference::{matcher, read};
use phoenix_model::traffic::{Action, Case, Sent, request};

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

/// The same protected set in every pipeline of the case, and no limit that rejects points.
fn protecting(case: &Case) -> Case {
    let mut case = case.clone();
    let rule = RULES[case.seed as usize % RULES.len()];
    case.seed -= case.seed % 5;
    for parts in &mut case.pipelines {
        parts.protect = vec![rule.into()];
    }
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
    let look = look(&case);
    let feeds = sent.into_iter().chain(std::iter::once(Vec::new()));
    // A swap that is refused is no call.
    if with.len() != case.actions.len() + 1 {
        return Ok(());
    }
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
}
