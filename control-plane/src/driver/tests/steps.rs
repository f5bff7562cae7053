//! Experiments of several steps, carried through by the pure function alone: facts in, phases out.

use super::Story;
use crate::model::{Phase, StepResult};
use phoenix_analysis::{Outcome, Verdict};

/// What happens in a step instead of a good window.
type Odd<'a> = &'a dyn Fn(&mut Story);

/// Carries a story on, a window a look, until it ends; in the step `at` something else happens.
fn carry(story: &mut Story, at: &str, odd: Odd) {
    for _ in 0..60 {
        if story.phase().is_terminal() {
            return;
        }
        match story.phase() {
            Phase::Initializing => story.take(),
            Phase::Analyzing => {
                for fact in &mut story.facts.agents {
                    fact.runs = false;
                }
                story.now += super::SETTLE_MS.1;
            }
            _ if story.experiment.step == "lint" => {}
            _ => {
                story.window(50);
            }
        }
        if story.experiment.step == at && story.phase() == Phase::Running {
            odd(story);
        }
        story.look();
    }
    panic!("it does not end: {:#?}", story.trace);
}

fn passed(story: &Story) -> Vec<&str> {
    let results = story.experiment.results.iter();
    results
        .filter(|r| r.passed)
        .map(|r| r.step.as_str())
        .collect()
}

#[test]
fn a_step_dwells_however_soon_it_is_clear_and_harm_does_not_wait_for_that() {
    let text = "steps: [ { step: shadow, minWindows: 2, dwell: 2m } ]";
    let mut story = Story::of(text, 1);
    story.take();
    story.look();
    while story.now < super::START + 110_000 {
        story.window(50);
        story.look();
        assert_eq!(story.phase(), Phase::Running, "at {}", story.now);
    }
    story.window(50);
    story.window(50);
    story.look();
    assert_eq!(story.phase(), Phase::Analyzing);

    let mut story = Story::of(text, 1);
    story.take();
    story.look();
    story.window(50);
    let window = story.window(50);
    window.candidate.as_mut().unwrap().protected.points_out = 1;
    story.look();
    assert_eq!(story.phase(), Phase::Analyzing);
}

#[test]
fn a_run_that_ends_by_time_before_its_last_step_promotes_nothing() {
    let text = "maxDuration: 10m, onSuccess: promote, steps: [ { step: shadow, minWindows: 2 }, \
                { step: bake, minWindows: 40 } ]";
    let mut story = Story::of(text, 1);
    carry(&mut story, "bake", &|story| {
        if story.now > super::START + 300_000 {
            story.now = super::START + 600_000;
        }
    });
    assert_eq!(story.outcome, Some(Outcome::Inconclusive));
    assert_eq!(passed(&story), ["shadow"]);
    assert!(!story.promoted);
}

#[test]
fn a_replay_waits_for_its_captures_and_ends_with_time() {
    let text = "maxDuration: 10m, steps: [ { step: replay, minWindows: 2 }, { step: shadow } ]";
    let mut story = Story::of(text, 1);
    story.look();
    assert!(story.trace.is_empty());
    story.now = super::START + 600_000;
    story.look();
    assert_eq!(story.phase(), Phase::Completed);
    assert_ne!(story.outcome, Some(Outcome::Promote));
}

#[test]
fn nodes_that_were_chosen_and_are_gone_are_replaced_before_anything_ran() {
    let text = "steps: [ { step: ramp, by: node, to: [1 node] } ]";
    let mut story = Story::of(text, 3);
    let first = story.experiment.chosen.clone();
    for fact in &mut story.facts.agents {
        fact.connected = !first.contains(&fact.agent);
    }
    story.look();
    assert_eq!(story.experiment.chosen.len(), 1);
    assert_ne!(story.experiment.chosen, first);
    story.deal();
    story.take();
    story.look();
    assert_eq!(story.phase(), Phase::Running);
    assert!(
        story.experiment.reason.starts_with("1 of 2 agents"),
        "{}",
        story.experiment.reason
    );
}

#[test]
fn a_ramp_alone_must_show_the_goal_by_its_last_portion_that_compares() {
    let text = "onSuccess: promote, steps: [ { step: ramp, by: entity, entity: [host.name], \
                to: [25%, 50%, 100%], minWindows: 2 } ]";
    let story = Story::of(text, 1);
    let course = story.experiment.spec.course();
    let asked = |at: usize, results: Vec<StepResult>| {
        let mut e = story.experiment.clone();
        (e.at, e.results) = (at, results);
        let look = super::super::next::Look {
            e: &e,
            facts: &story.facts,
            course: &course,
            step: &course[at],
            now_ms: 0,
        };
        super::super::criteria::ask(&look, &super::Memory::default())
    };
    use phoenix_analysis::Ask;
    assert_eq!(asked(0, vec![]), Ask::Guardrails);
    assert_eq!(asked(1, vec![]), Ask::Goal);
    assert_eq!(asked(2, vec![]), Ask::Bake);
    let mut verdict: Verdict = phoenix_analysis::judge(&super::super::criteria::nothing(), &[]);
    verdict.asked.ask = Ask::Goal;
    let shown = StepResult {
        at: 0,
        step: course[0].name.clone(),
        revision: 1,
        passed: true,
        reason: String::new(),
        started_ms: 0,
        ended_ms: 0,
        judged_ms: None,
        verdict: serde_json::to_value(verdict).ok(),
    };
    assert_eq!(
        asked(1, vec![shown]),
        Ask::Guardrails,
        "it was shown before"
    );
}
