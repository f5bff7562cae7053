//! Experiments carried through their phases by the pure function alone. The row goes through JSON
//! between two looks, as it does through the store: every look could be another process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::next::{Action, Fact, Facts, INITIALIZE_MS, Memory, SETTLE_MS, next};
use crate::documents::parse_experiment;
use crate::model::{Experiment, Phase};
use phoenix_analysis::{Arm, Outcome, Protected, Window};
use phoenix_engine::ledger::Ledger;

const START: u64 = 1_000_000;
const WINDOW: u64 = 10_000;
const AGENT: &str = "default/default/n1";

/// One experiment and the world around it.
struct Story {
    experiment: Experiment,
    facts: Facts,
    now: u64,
    promoted: bool,
    outcome: Option<Outcome>,
}

impl Story {
    fn new(rest: &str) -> Story {
        let text = format!(
            "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: e }}\n\
             spec: {{ candidate: c, maxDuration: 2m, steps: [{{ step: shadow, minWindows: 3 }}], goal: {{ saving: points, target: 20% }}{rest} }}\n"
        );
        let spec = parse_experiment(&text).unwrap().spec;
        Story {
            experiment: Experiment {
                tenant: "default".into(),
                name: "e".into(),
                id: "id".into(),
                revision: 1,
                row: 1,
                step: "shadow".into(),
                at: 0,
                spec,
                phase: Phase::Initializing,
                reason: String::new(),
                baseline_hash: Some("b".into()),
                candidate_hash: "c".into(),
                created_ms: START,
                phase_ms: START,
                started_ms: None,
                ended_ms: None,
                promoted_to: None,
                verdict: None,
                memory: serde_json::Value::Null,
                actor: "test".into(),
            },
            facts: Facts {
                agents: vec![Fact {
                    agent: AGENT.into(),
                    connected: true,
                    rss_bytes: Some(100),
                    state: "active".into(),
                    ..Fact::default()
                }],
                ..Facts::default()
            },
            now: START,
            promoted: false,
            outcome: None,
        }
    }

    /// One that runs, at the beginning of a window.
    fn running(rest: &str) -> Story {
        let mut story = Story::new(rest);
        story.facts.agents[0].runs_candidate = true;
        story.look();
        assert_eq!(story.phase(), Phase::Running);
        story
    }

    fn phase(&self) -> Phase {
        self.experiment.phase
    }

    /// Looks once and does what is said, as the loop and the store would.
    fn look(&mut self) {
        let text = serde_json::to_string(&self.experiment).unwrap();
        let mut e: Experiment = serde_json::from_str(&text).unwrap();
        match next(&e, &self.facts, self.now) {
            Action::Wait => return,
            Action::Go {
                phase,
                reason,
                memory,
            } => {
                (e.phase, e.phase_ms, e.reason) = (phase, self.now, reason);
                if phase == Phase::Running {
                    e.started_ms = Some(self.now);
                }
                e.memory = serde_json::to_value(memory).unwrap();
            }
            Action::Complete {
                verdict,
                promote,
                memory,
            } => {
                (e.phase, e.phase_ms) = (Phase::Completed, self.now);
                e.memory = serde_json::to_value(memory).unwrap();
                self.outcome = Some(verdict.outcome);
                self.promoted |= promote;
            }
        }
        assert!(
            matches!(e.phase, Phase::Completed) || !e.reason.is_empty(),
            "every phase has a reason"
        );
        self.experiment = e;
    }

    /// A window passes in which the candidate keeps `kept` of 100 points.
    fn window(&mut self, kept: u64) -> &mut Window {
        let arm = |hash: &str, exported| Arm {
            hash: hash.into(),
            ledger: Ledger {
                received: 100,
                exported,
                filtered: 100 - exported,
                ..Ledger::default()
            },
            bytes_in: 1000,
            bytes_out: exported * 10,
            protected: Protected {
                points_in: 2,
                points_out: 2,
                series_in: 1,
                series_out: 1,
            },
            ..Arm::default()
        };
        let start = self.now.div_ceil(WINDOW) * WINDOW;
        self.now = start + WINDOW;
        self.facts.newest_ms = self.now;
        self.facts.windows.push(Window {
            agent: AGENT.into(),
            incarnation: "i".into(),
            revision: 1,
            start_ms: start,
            end_ms: self.now,
            baseline: Some(arm("b", 100)),
            candidate: Some(arm("c", kept)),
            rss_bytes: Some(100),
            ..Window::default()
        });
        self.facts.windows.last_mut().unwrap()
    }

    /// The agents leave the candidate and their last reports have come.
    fn settle(&mut self) {
        assert_eq!(self.phase(), Phase::Analyzing, "{}", self.experiment.reason);
        self.look();
        assert_eq!(
            self.phase(),
            Phase::Analyzing,
            "last reports are waited for"
        );
        self.facts.agents[0].runs_candidate = false;
        self.now += SETTLE_MS.0;
        self.look();
    }
}

#[test]
fn a_good_candidate_runs_is_analysed_and_promoted() {
    let mut story = Story::new(", onSuccess: promote");
    story.look();
    assert_eq!(
        story.phase(),
        Phase::Initializing,
        "no agent has the candidate yet"
    );
    story.facts.agents[0].runs_candidate = true;
    story.look();
    assert_eq!(story.phase(), Phase::Running);
    let memory = Memory::of(&story.experiment);
    assert_eq!(memory.agents, [AGENT]);
    assert_eq!(memory.rss_before_bytes.get(AGENT), Some(&100));
    for n in 0..4 {
        assert_eq!(story.phase(), Phase::Running, "after {n} windows");
        story.window(50);
        story.look();
    }
    story.settle();
    assert_eq!(
        (story.phase(), story.outcome),
        (Phase::Completed, Some(Outcome::Promote))
    );
    assert!(story.promoted);
    story.look();
    assert_eq!(story.phase(), Phase::Completed, "an end is an end");
}

#[test]
fn hold_waits_for_a_person() {
    let mut story = Story::running("");
    for _ in 0..4 {
        story.window(50);
    }
    story.look();
    story.settle();
    assert_eq!(story.outcome, Some(Outcome::Promote));
    assert!(!story.promoted);
}

#[test]
fn harm_stops_the_run_at_once() {
    let mut story = Story::running(", onSuccess: promote");
    story.window(50);
    story.look();
    let window = story.window(50);
    window.candidate.as_mut().unwrap().protected.points_out = 1;
    story.look();
    story.settle();
    assert_eq!(
        (story.phase(), story.outcome),
        (Phase::Completed, Some(Outcome::Reject))
    );
    assert!(!story.promoted);
}

#[test]
fn time_runs_out_with_too_little_data() {
    let mut story = Story::running(", onSuccess: promote");
    story.window(50);
    story.window(50);
    story.look();
    assert_eq!(story.phase(), Phase::Running);
    story.now = START + 120_000;
    story.look();
    assert!(Memory::of(&story.experiment).closed);
    story.settle();
    assert_eq!(
        (story.phase(), story.outcome),
        (Phase::Completed, Some(Outcome::Inconclusive))
    );
    assert!(!story.promoted);
}

#[test]
fn no_report_at_all_is_no_data() {
    let mut story = Story::running("");
    story.now = START + 120_000;
    story.look();
    story.settle();
    assert_eq!(story.outcome, Some(Outcome::NoData));
}

#[test]
fn agents_that_do_not_take_the_candidate_in_time_fail_it_with_their_names() {
    let mut story = Story::new("");
    story.now = START + INITIALIZE_MS - 1;
    story.look();
    assert_eq!(story.phase(), Phase::Initializing);
    story.now += 1;
    story.look();
    assert_eq!(story.phase(), Phase::Failed);
    assert!(
        story.experiment.reason.contains("n1 (active)"),
        "{}",
        story.experiment.reason
    );

    let mut story = Story::new("");
    story.facts.agents[0].connected = false;
    story.now = START + INITIALIZE_MS;
    story.look();
    assert_eq!(story.phase(), Phase::Failed);
    assert!(
        story.experiment.reason.contains("connected"),
        "{}",
        story.experiment.reason
    );
}

#[test]
fn a_refused_candidate_fails_it_at_once() {
    let mut story = Story::new("");
    story.facts.agents[0].refused = Some("rejected (unknown stage)".into());
    story.look();
    assert_eq!(story.phase(), Phase::Failed);
    assert!(story.experiment.reason.contains("unknown stage"));
}

#[test]
fn an_agent_that_falls_back_ends_it_with_a_reject_where_the_windows_show_the_harm_and_else_fails_it()
 {
    let mut story = Story::running("");
    story.window(50);
    story.facts.agents[0].refused = Some("rolled-back (panic)".into());
    story.look();
    story.window(50).candidate.as_mut().unwrap().panics = 1;
    // That window had passed before; only its report came later.
    story.now = story.experiment.phase_ms;
    story.settle();
    assert_eq!(
        (story.phase(), story.outcome),
        (Phase::Completed, Some(Outcome::Reject))
    );

    let mut story = Story::running("");
    story.facts.agents[0].refused = Some("rolled-back (memory)".into());
    story.look();
    story.settle();
    assert_eq!(story.phase(), Phase::Failed);
    assert!(story.experiment.reason.contains("memory"));
}

#[test]
fn an_agent_that_never_leaves_is_waited_for_only_so_long() {
    let mut story = Story::running("");
    for _ in 0..4 {
        story.window(50);
    }
    story.look();
    assert_eq!(story.phase(), Phase::Analyzing);
    story.now += SETTLE_MS.0;
    story.look();
    assert_eq!(story.phase(), Phase::Analyzing);
    story.now += SETTLE_MS.1;
    story.look();
    assert_eq!(story.phase(), Phase::Completed);
}

#[test]
fn a_long_silence_of_the_server_changes_no_verdict() {
    // Windows come in while nobody looks; whoever looks then finds the same.
    let mut story = Story::running(", onSuccess: promote");
    for _ in 0..6 {
        story.window(50);
    }
    story.now += 3_000_000;
    story.look();
    story.settle();
    assert_eq!(story.outcome, Some(Outcome::Promote));
    assert!(story.promoted);
}
