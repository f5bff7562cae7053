//! Experiments of several steps, carried through by the pure function alone: facts in, phases out.

use super::{Story, fallen};
use crate::app::experiments::Gone;
use crate::documents::Share;
use crate::model::{Phase, StepResult};
use phoenix_analysis::{Outcome, Verdict};
use phoenix_engine::document::Problem;

const ALL: &str = "maxDuration: 1h, steps: [ { step: lint }, { step: replay, minWindows: 2 }, \
                   { step: aa, minWindows: 2 }, { step: shadow, minWindows: 2 }, \
                   { step: ramp, by: node, to: [1 node, 100%], minWindows: 2 }, \
                   { step: bake, minWindows: 2 } ], onSuccess: promote";

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

fn nothing(_: &mut Story) {}

fn passed(story: &Story) -> Vec<&str> {
    let results = story.experiment.results.iter();
    results
        .filter(|r| r.passed)
        .map(|r| r.step.as_str())
        .collect()
}

#[test]
fn all_steps_are_run_in_order_under_a_revision_each_and_the_last_promotes_without_a_detour() {
    let mut story = Story::of(ALL, 3);
    carry(&mut story, "", &nothing);
    assert_eq!(
        story.trace,
        [
            "replay Running",
            "aa Initializing",
            "aa Running",
            "shadow Initializing",
            "shadow Running",
            "ramp 1 node Initializing",
            "ramp 1 node Running",
            "ramp 100% Initializing",
            "ramp 100% Running",
            "bake Initializing",
            "bake Running",
            "bake Completed",
        ]
    );
    assert_eq!(story.outcome, Some(Outcome::Promote));
    assert!(story.promoted);
    let revisions: Vec<u64> = story
        .experiment
        .results
        .iter()
        .map(|r| r.revision)
        .collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6, 7]);
    let verdicts = story
        .experiment
        .results
        .iter()
        .filter(|r| r.verdict.is_some());
    assert_eq!(verdicts.count(), 6, "the verdict of every step is kept");
}

#[test]
fn one_node_is_one_of_three_and_stays_among_the_chosen() {
    let mut story = Story::of(ALL, 3);
    let mut chosen: Vec<Vec<String>> = Vec::new();
    let count = |story: &mut Story, chosen: &mut Vec<Vec<String>>| {
        let share = story.experiment.current().unwrap().share;
        if matches!(share, Share::Nodes(_) | Share::Everything) {
            chosen.push(story.experiment.chosen.clone());
        }
    };
    for _ in 0..60 {
        if story.phase().is_terminal() {
            break;
        }
        match story.phase() {
            Phase::Initializing => story.take(),
            _ if story.experiment.step == "lint" => {}
            _ => {
                story.window(50);
            }
        }
        story.look();
        count(&mut story, &mut chosen);
    }
    assert_eq!(chosen[0].len(), 1);
    assert_eq!(chosen.last().unwrap().len(), 3);
    assert!(chosen.last().unwrap().contains(&chosen[0][0]));
}

/// One row: in which step, what happens, how it ends, whether the candidate is barred.
struct Case {
    step: &'static str,
    odd: fn(&mut Story),
    end: (Phase, Option<Outcome>),
    barred: bool,
}

#[test]
fn each_step_stops_what_it_is_there_to_stop() {
    let loses = |story: &mut Story| {
        let last = story.facts.windows.last_mut().unwrap();
        let candidate = last.candidate.as_mut().unwrap();
        candidate.protected.points_in = 2;
        candidate.protected.points_out = 1;
    };
    let reject = (Phase::Completed, Some(Outcome::Reject));
    let inconclusive = (Phase::Completed, Some(Outcome::Inconclusive));
    let cases = [
        Case {
            step: "lint",
            odd: |story| {
                story.facts.problems = vec![Problem::new("candidate", "no such stage")];
            },
            end: (Phase::Failed, None),
            barred: false,
        },
        Case {
            step: "replay",
            odd: loses,
            end: reject,
            barred: true,
        },
        Case {
            // The two arms of one pipeline differ.
            step: "aa",
            odd: |story| {
                let last = story.facts.windows.last_mut().unwrap();
                let ledger = &mut last.candidate.as_mut().unwrap().ledger;
                (ledger.exported, ledger.filtered) = (80, 20);
            },
            end: inconclusive,
            barred: false,
        },
        Case {
            step: "shadow",
            odd: loses,
            end: reject,
            barred: true,
        },
        Case {
            // It saves nothing: no harm, and nothing to go on for.
            step: "shadow",
            odd: |story| {
                for window in &mut story.facts.windows {
                    window.candidate.clone_from(&window.baseline);
                    window.candidate.as_mut().unwrap().hash = "c".into();
                }
            },
            end: reject,
            barred: false,
        },
        Case {
            step: "ramp 1 node",
            odd: |story| {
                story.facts.agents[0].refused = fallen("rolled-back (panic)", true);
            },
            end: (Phase::Failed, None),
            barred: true,
        },
        Case {
            step: "ramp 100%",
            odd: loses,
            end: reject,
            barred: true,
        },
        Case {
            step: "bake",
            odd: loses,
            end: reject,
            barred: true,
        },
    ];
    for case in cases {
        let mut story = Story::of(ALL, 3);
        carry(&mut story, case.step, &case.odd);
        let end = (story.phase(), story.outcome);
        assert_eq!(end, case.end, "{}: {:#?}", case.step, story.trace);
        assert_eq!(story.quarantined.is_some(), case.barred, "{}", case.step);
        assert!(!story.promoted, "{}", case.step);
        let last = story.experiment.results.last().unwrap();
        assert_eq!((last.step.as_str(), last.passed), (case.step, false));
    }
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
        story.experiment.reason.starts_with("1 of 2 agents took"),
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

#[test]
fn a_portion_that_is_all_there_are_is_watched_and_not_compared() {
    let text = "onSuccess: promote, steps: [ { step: shadow, minWindows: 2 }, \
                { step: ramp, by: node, to: [50%], minWindows: 2, dwell: 1m } ]";
    for agents in [1, 2] {
        let mut story = Story::of(text, agents);
        let said = std::cell::Cell::new(0);
        carry(&mut story, "ramp 50%", &|story| {
            let told = [super::waits(story), story.experiment.reason.clone()];
            let told = told.iter().filter(|t| t.contains("left on the baseline"));
            said.set(said.get() + told.count());
        });
        assert_eq!(story.outcome, Some(Outcome::Promote));
        assert_eq!(said.get() > 0, agents == 1);
        let verdict = story.experiment.results[1].verdict.clone().unwrap();
        let verdict: Verdict = serde_json::from_value(verdict).unwrap();
        let asked = match agents {
            1 => phoenix_analysis::Ask::Bake,
            _ => phoenix_analysis::Ask::Guardrails,
        };
        assert_eq!(verdict.asked.ask, asked);
        assert!(verdict.windows.used >= 5, "it dwells");
    }
}

#[test]
fn an_agent_that_goes_away_leaves_the_denominator_and_the_step_goes_on() {
    let text = "steps: [ { step: shadow, minWindows: 12 } ]";
    let mut story = Story::of(text, 2);
    story.take();
    story.look();
    for _ in 0..3 {
        story.window(50);
    }
    story.facts.agents[1].connected = false;
    story.facts.agents[1].gone = Some(Gone::Left(story.now));
    carry(&mut story, "", &nothing);
    assert_eq!(story.outcome, Some(Outcome::Promote));
    let verdict: Verdict =
        serde_json::from_value(story.experiment.results[0].verdict.clone().unwrap()).unwrap();
    assert_eq!(verdict.windows.reports.missing, 0);
}

#[test]
fn an_agent_that_falls_silent_with_the_candidate_is_waited_for_and_then_told_of() {
    let text = "steps: [ { step: shadow, minWindows: 3 } ], maxDuration: 10m, onSuccess: promote";
    let mut story = Story::of(text, 2);
    story.take();
    story.look();
    for _ in 0..2 {
        story.window(50);
    }
    let silent = |story: &mut Story, gone: Option<Gone>| {
        let agent = &mut story.facts.agents[1];
        (agent.connected, agent.gone) = (gone.is_none(), gone);
    };
    let since = Some(Gone::Silent(story.now));
    silent(&mut story, since);
    for _ in 0..4 {
        story.window(50);
    }
    story.look();
    assert_eq!(story.phase(), Phase::Running, "it waits");
    let waits = super::waits(&story);
    assert!(waits.contains("n2") && waits.contains("silent"), "{waits}");

    // It comes back: a few windows more, and all is well.
    silent(&mut story, None);
    story.facts.agents[1].deaths = 1;
    story.facts.agents[1].died_ms = story.now;
    story.window(50);
    story.look();
    let waits = super::waits(&story);
    assert!(waits.contains("n2 died"), "{waits}");
    // Nor is it passed over where it is not known how it ended.
    story.facts.agents[1].deaths = 0;
    story.look();
    let waits = super::waits(&story);
    assert!(waits.contains("n2 ended unseen"), "{waits}");
    let back = story.experiment.clone();
    carry(&mut story, "", &nothing);
    assert_eq!(story.outcome, Some(Outcome::Promote));

    // It does not: the baseline stays, and the verdict says why.
    story.experiment = back;
    story.facts.agents[1].died_ms = 0;
    silent(&mut story, since);
    carry(&mut story, "", &nothing);
    assert_eq!(story.outcome, Some(Outcome::Inconclusive));
    let reason = &story.experiment.reason;
    assert!(
        reason.contains("n2") && reason.contains("silent"),
        "{reason}"
    );
    assert_eq!(story.quarantined, None);
}

#[test]
fn an_agent_that_dies_again_and_again_is_harm() {
    let text = "steps: [ { step: shadow, minWindows: 30 } ], maxDuration: 10m";
    let mut story = Story::of(text, 2);
    let dies: Odd = &|story| story.facts.agents[1].deaths += 1;
    carry(&mut story, "shadow", dies);
    assert_eq!(story.outcome, Some(Outcome::Reject));
    assert!(story.quarantined.unwrap().contains("n2 died 3 times"));
}

#[test]
fn nothing_is_decided_while_agents_are_on_their_way_back_to_a_new_server() {
    let text = "steps: [ { step: shadow, minWindows: 2 }, \
                { step: ramp, by: node, to: [50%], minWindows: 2 } ], maxDuration: 10m";
    let mut story = Story::of(text, 4);
    story.take();
    story.look();
    for _ in 0..4 {
        story.window(50);
    }
    for agent in &mut story.facts.agents[1..] {
        (agent.connected, agent.gone) = (false, Some(Gone::Returning));
    }
    story.look();
    assert_eq!(story.experiment.step, "shadow", "half of whom?");
    assert!(super::waits(&story).contains("3 agents are on their way"));
    for agent in &mut story.facts.agents {
        (agent.connected, agent.gone) = (true, None);
    }
    story.look();
    assert_eq!(story.experiment.chosen.len(), 2);

    // Nor does the time count in which nobody could answer.
    story.now += 10 * super::INITIALIZE_MS;
    story.facts.began_ms = story.now - 1;
    story.look();
    assert_eq!(story.phase(), Phase::Initializing);
    assert!(super::waits(&story).contains("0 of 4 agents run their part"));
}

#[test]
fn harm_that_is_known_does_not_wait_for_agents_that_are_on_their_way_back() {
    let text = "steps: [ { step: shadow, minWindows: 6 } ], maxDuration: 10m";
    let away = |story: &mut Story| {
        let agent = &mut story.facts.agents[1];
        (agent.connected, agent.gone) = (false, Some(Gone::Returning));
    };
    let falls: fn(&mut Story) =
        |story| story.facts.agents[0].refused = fallen("rolled-back (memory)", true);
    let dies: fn(&mut Story) = |story| story.facts.agents[0].deaths = 3;
    let loses: fn(&mut Story) = |story| {
        let window = story.facts.windows.first_mut().unwrap();
        window.candidate.as_mut().unwrap().panics = 1;
    };
    let mut story = Story::of(text, 2);
    away(&mut story);
    falls(&mut story);
    story.look();
    assert_eq!(story.phase(), Phase::Failed, "before anything ran");

    for harm in [falls, dies, loses] {
        let mut story = Story::of(text, 2);
        story.take();
        story.look();
        story.window(50);
        away(&mut story);
        story.look();
        assert_eq!(story.phase(), Phase::Running, "nothing is wrong");
        harm(&mut story);
        story.look();
        assert_eq!(story.phase(), Phase::Analyzing, "the candidate is stopped");
        story.now += super::SETTLE_MS.1;
        story.look();
        assert!(story.phase().is_terminal(), "{:?}", story.trace);
        assert!(story.quarantined.is_some());
    }
}

#[test]
fn what_ends_on_the_candidate_everywhere_holds_it_and_all_else_does_not() {
    let ramp = "{ step: ramp, by: node, to: [50%, 100%], minWindows: 2 }";
    let shadow = "{ step: shadow, minWindows: 2 }";
    for (steps, holds) in [
        (
            format!("{shadow}, {ramp}, {{ step: bake, minWindows: 2 }}"),
            true,
        ),
        (format!("{shadow}, {ramp}"), true),
        (shadow.to_string(), false),
    ] {
        let mut story = Story::of(&format!("maxDuration: 1h, steps: [ {steps} ]"), 2);
        carry(&mut story, "", &nothing);
        assert_eq!(story.outcome, Some(Outcome::Promote), "{steps}");
        assert_eq!((story.promoted, story.holds), (false, holds), "{steps}");
    }
}
