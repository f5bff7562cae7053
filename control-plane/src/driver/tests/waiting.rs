//! Who and what is waited for: said with names and times, and counted as the verdict counts.

use super::{START, Story, waits};
use crate::app::experiments::{Gone, figures};
use crate::driver::compared;
use crate::model::{Phase, Window};
use phoenix_analysis::Outcome;
use phoenix_proto::control::{ArmReport, Ledger};

const NODES: &str =
    "maxDuration: 10m, steps: [ { step: ramp, by: node, to: [1 node], minWindows: 2 } ]";

/// A ramp of one of two nodes that runs; the place of the one with the candidate, and of the other.
fn ramp() -> (Story, [usize; 2]) {
    let mut story = Story::of(NODES, 2);
    story.take();
    story.look();
    assert_eq!(story.phase(), Phase::Running);
    let chosen = story.experiment.chosen.first().cloned().unwrap();
    let agents = &story.facts.agents;
    let with = agents.iter().position(|a| a.agent == chosen).unwrap();
    (story, [with, 1 - with])
}

/// What the store holds of these windows.
fn rows(story: &Story) -> Vec<Window> {
    let arms = |w: &phoenix_analysis::Window| {
        [
            ("baseline", w.baseline.clone()),
            ("candidate", w.candidate.clone()),
        ]
    };
    let windows = story.facts.windows.iter();
    let row = |(w, name, arm): (&phoenix_analysis::Window, &str, phoenix_analysis::Arm)| Window {
        identity: super::identity(&w.agent),
        incarnation: w.incarnation.clone(),
        experiment: story.experiment.id.clone(),
        experiment_revision: w.revision,
        arm: name.into(),
        start_ms: w.start_ms,
        end_ms: w.end_ms,
        received_ms: w.end_ms,
        void_reason: String::new(),
        cpu_seconds: None,
        shared_cpu_seconds: None,
        shared_memory_bytes: None,
        rss_bytes: None,
        export_errors: 0,
        requests_refused: 0,
        report: ArmReport {
            hash: arm.hash,
            ledger: Some(Ledger {
                received: arm.ledger.received,
                exported: arm.ledger.exported,
                ..Ledger::default()
            }),
            ..ArmReport::default()
        },
    };
    windows
        .flat_map(|w| arms(w).map(|(name, arm)| (w, name, arm.unwrap())))
        .map(row)
        .collect()
}

#[test]
fn a_ramp_without_the_other_side_says_who_is_missing_since_when_and_until_when_it_waits() {
    for (gone, how) in [
        (Some(Gone::Left(START)), "left at 1970-01-01T00:16:40Z"),
        (
            Some(Gone::Silent(START)),
            "silent since 1970-01-01T00:16:40Z",
        ),
        (None, "deleted"),
    ] {
        let (mut story, [_, other]) = ramp();
        let name = story.facts.agents[other].agent.clone();
        match gone {
            Some(_) => {
                (
                    story.facts.agents[other].connected,
                    story.facts.agents[other].gone,
                ) = (false, gone)
            }
            None => drop(story.facts.agents.remove(other)),
        }
        for _ in 0..4 {
            story.window(50);
        }
        story.look();
        assert_eq!(story.phase(), Phase::Running);
        let said = waits(&story);
        for part in [
            &format!("{name} ({how})"),
            "Nobody runs the baseline",
            "At most until 1970-01-01T00:26:40Z (maxDuration)",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
        // And nothing is counted that the verdict does not compare.
        let rows = rows(&story);
        let found = figures(
            &story.experiment,
            &rows,
            &compared(&story.experiment, &rows),
        )
        .unwrap();
        assert_eq!((found.windows, found.comparable, found.void), (0, 0, 4));
    }
}

#[test]
fn figures_count_what_the_verdict_compares() {
    let (mut story, _) = ramp();
    for _ in 0..4 {
        story.window(50);
    }
    let rows = rows(&story);
    let found = figures(
        &story.experiment,
        &rows,
        &compared(&story.experiment, &rows),
    )
    .unwrap();
    // Three after the warm-up, of two agents each.
    assert_eq!((found.windows, found.comparable, found.void), (3, 6, 2));
    assert_eq!(
        (found.baseline.points_out, found.candidate.points_out),
        (300, 150)
    );
}

#[test]
fn a_step_does_not_begin_without_any_of_those_that_were_chosen() {
    let mut story = Story::of(NODES, 2);
    let chosen = story.experiment.chosen.first().cloned().unwrap();
    let agents = &mut story.facts.agents;
    let with = agents.iter().position(|a| a.agent == chosen).unwrap();
    (agents[with].connected, agents[with].gone) = (false, Some(Gone::Silent(START)));
    story.take();
    story.look();
    assert_eq!(story.phase(), Phase::Initializing);
    let said = waits(&story);
    let name =
        format!("1 of 1 agents run their part of the step; waiting for {chosen} (silent since");
    assert!(said.starts_with(&name), "{said}");
    assert!(
        said.contains("at most until 1970-01-01T00:17:40Z"),
        "{said}"
    );
    story.now += super::INITIALIZE_MS;
    story.look();
    assert_eq!(story.phase(), Phase::Failed);
    assert!(
        story.experiment.reason.contains(&chosen),
        "{}",
        story.experiment.reason
    );
}

#[test]
fn nobody_is_waited_for_by_no_name() {
    let mut story = Story::new("");
    story.take();
    assert_eq!(waits(&story), "1 of 1 agents run the candidate: it begins.");
}

#[test]
fn a_chosen_node_that_is_away_when_the_step_begins_has_the_candidate_when_it_is_back() {
    let text =
        "maxDuration: 10m, steps: [ { step: ramp, by: node, to: [2 nodes], minWindows: 2 } ]";
    let mut story = Story::of(text, 3);
    let away = story.experiment.chosen.first().cloned().unwrap();
    let agents = &mut story.facts.agents;
    let away = agents.iter().position(|a| a.agent == away).unwrap();
    (agents[away].connected, agents[away].gone) = (false, Some(Gone::Left(START)));
    story.take();
    story.look();
    assert_eq!(story.phase(), Phase::Running);
    let back = &mut story.facts.agents[away];
    (back.connected, back.gone, back.runs) = (true, None, true);
    for _ in 0..4 {
        story.window(50);
    }
    let said = waits(&story);
    assert!(!said.contains("not divided"), "{said}");
    let rows = rows(&story);
    let found = figures(
        &story.experiment,
        &rows,
        &compared(&story.experiment, &rows),
    )
    .unwrap();
    assert_eq!(found.comparable, 9, "three agents after the warm-up");
}

#[test]
fn a_dwell_is_of_one_agents_clock_and_of_windows_that_are_not_void() {
    let text = "maxDuration: 1h, steps: [ { step: shadow, minWindows: 2, dwell: 1m } ]";
    let mut story = Story::of(text, 2);
    story.take();
    story.look();
    for n in 0..4 {
        story.window(50);
        // The other agent's clock is half a window ahead, and one window of each is void.
        for w in story.facts.windows.iter_mut().rev().take(2) {
            let ahead = u64::from(w.agent.ends_with("n2")) * 5_000;
            (w.start_ms, w.end_ms) = (w.start_ms + ahead, w.end_ms + ahead);
            if n == 2 {
                w.void_reason = "stalled".into();
            }
        }
    }
    let look = waits(&story);
    assert!(
        look.contains("dwells for another 30 s of windows"),
        "{look}"
    );
}

#[test]
fn a_step_dwells_in_windows_and_not_while_none_came() {
    let text = "maxDuration: 1h, steps: [ { step: shadow, minWindows: 2, dwell: 1m } ]";
    let mut story = Story::of(text, 1);
    story.take();
    story.look();
    for _ in 0..4 {
        story.window(50);
    }
    // The server is away for a while, and looks again before any report has come.
    story.now += 30_000;
    story.look();
    assert_eq!(story.phase(), Phase::Running);
    let said = waits(&story);
    assert!(
        said.contains("dwells for another 20 s of windows"),
        "{said}"
    );
    // What the agents kept for it counts.
    story.now -= 30_000;
    story.window(50);
    story.window(50);
    story.now += 10_000;
    story.look();
    story.settle();
    assert_eq!(story.outcome, Some(Outcome::Promote));
}
