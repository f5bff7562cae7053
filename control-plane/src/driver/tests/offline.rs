//! Windows judged without a server, step by step.

use crate::documents::{ExperimentSpec, parse_experiment};
use crate::driver::offline::verdict;
use phoenix_analysis::{Arm, Ask, Outcome, Window};
use phoenix_engine::ledger::Ledger;

fn spec(steps: &str) -> ExperimentSpec {
    let text = format!(
        "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: e }}\n\
         spec: {{ candidate: c, steps: {steps}, goal: {{ saving: points, target: 20% }} }}\n"
    );
    parse_experiment(&text).unwrap().spec
}

const COURSE: &str = "[ { step: lint }, { step: aa }, { step: shadow, minWindows: 3 }, \
     { step: ramp, by: node, to: [1 node, 100%] }, { step: bake, minWindows: 3 } ]";

fn arm(received: u64, exported: u64) -> Option<Arm> {
    Some(Arm {
        ledger: Ledger {
            received,
            exported,
            filtered: received - exported,
            ..Ledger::default()
        },
        bytes_in: received,
        bytes_out: exported,
        samples_in: Some(received),
        samples_out: Some(exported),
        ..Arm::default()
    })
}

/// Five windows of a step, of agents with what each arm received and kept.
fn step(name: &str, revision: u64, agents: &[[(u64, u64); 2]]) -> Vec<Window> {
    let mut all = Vec::new();
    for slot in 0..5 {
        for (n, [b, c]) in agents.iter().enumerate() {
            let start_ms = 1_000_000 * revision + slot * 10_000;
            all.push(Window {
                agent: format!("n{n}"),
                step: name.into(),
                revision,
                start_ms,
                end_ms: start_ms + 10_000,
                baseline: arm(b.0, b.1),
                candidate: arm(c.0, c.1),
                ..Window::default()
            });
        }
    }
    all
}

const SAME: [(u64, u64); 2] = [(100, 100), (100, 100)];
const HALF: [(u64, u64); 2] = [(100, 100), (100, 50)];
const BASE: [(u64, u64); 2] = [(100, 100), (0, 0)];
const CANDIDATE: [(u64, u64); 2] = [(0, 0), (100, 50)];

fn all_steps(aa: [(u64, u64); 2]) -> Vec<Window> {
    let mut all = step("bake", 6, &[CANDIDATE, CANDIDATE]);
    all.extend(step("ramp 100%", 5, &[CANDIDATE, CANDIDATE]));
    all.extend(step("ramp 1 node", 4, &[CANDIDATE, BASE]));
    all.extend(step("shadow", 3, &[HALF, HALF]));
    all.extend(step("aa", 2, &[aa, SAME]));
    all
}

#[test]
fn every_step_is_judged_for_what_it_is_asked_and_the_one_that_shows_the_goal_speaks() {
    let found = verdict(&spec(COURSE), &mut all_steps(SAME));
    assert_eq!(found.outcome, Outcome::Promote, "{}", found.reason);
    assert_eq!(found.asked.ask, Ask::Goal);
    assert_eq!(found.savings.points.saving, Some(0.5));
}

#[test]
fn a_baseline_that_differs_from_itself_ends_it_whatever_came_later() {
    let found = verdict(&spec(COURSE), &mut all_steps([(100, 100), (100, 99)]));
    assert_eq!((found.outcome, found.harm), (Outcome::Inconclusive, false));
    assert!(
        found.reason.contains("differs from itself"),
        "{}",
        found.reason
    );
}

#[test]
fn a_step_that_was_not_run_is_not_passed_and_windows_without_a_step_speak_for_themselves() {
    let mut some = step("shadow", 3, &[HALF, HALF]);
    some.extend(step("aa", 2, &[SAME]));
    let found = verdict(&spec(COURSE), &mut some);
    assert_eq!(found.outcome, Outcome::Inconclusive, "{}", found.reason);
    let mut unnamed = step("", 0, &[HALF]);
    let found = verdict(&spec(COURSE), &mut unnamed);
    assert_eq!(found.outcome, Outcome::Promote, "{}", found.reason);
}

#[test]
fn a_book_that_is_only_named_is_the_one_of_the_run_and_a_written_one_is_what_is_asked_now() {
    let text = |book: &str| {
        format!(
            "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: e }}\n\
             spec: {{ candidate: c, goal: {{ saving: money, target: 20%, priceBook: {book} }} }}\n"
        )
    };
    let named = parse_experiment(&text("azure-managed-prometheus"))
        .unwrap()
        .spec;
    let mut windows = step("shadow", 1, &[HALF, HALF]);
    let mut then = verdict(&named, &mut windows).asked;
    let price = |found: &phoenix_analysis::Verdict| found.money[0].before.unwrap().low.unwrap();
    let now = price(&verdict(&named, &mut windows));
    // The run was held against a book of the same name with twice the price.
    let book = &mut then.goal.money.as_mut().unwrap().book;
    book.spec.charges[0].tiers[0].price *= 2.0;
    windows[0].context = Some(Box::new(phoenix_analysis::Context {
        passed: true,
        asked: then,
    }));
    let found = verdict(&named, &mut windows);
    assert!((price(&found) - 2.0 * now).abs() < 1e-12 * now, "{found:?}");
    assert!(found.money.len() > 5, "shipped books are shown, too");
    let json = serde_json::to_string(&named.settled().goal.price_book).unwrap();
    let written = parse_experiment(&text(&json)).unwrap().spec;
    let again = price(&verdict(&written, &mut windows));
    assert!((again - now).abs() < 1e-12 * now);
}
