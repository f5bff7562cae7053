//! Experiments carried through their phases by the pure function alone. The row goes through JSON
//! between two looks, as it does through the store: every look could be another process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod offline;
mod steps;
mod waiting;
mod witness;

use super::next::{
    Action, Fact, Facts, Fallen, INITIALIZE_MS, Memory, SETTLE_MS, first_phase, next,
};
use crate::desired::choose;
use crate::documents::parse_experiment;
use crate::model::{AgentShare, Experiment, Identity, Phase};
use phoenix_analysis::{Arm, Cardinality, Outcome, Protected, Window};
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
    holds: bool,
    outcome: Option<Outcome>,
    quarantined: Option<String>,
    /// `step phase`, as it changed.
    trace: Vec<String>,
}

fn document(rest: &str) -> String {
    format!(
        "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: e }}\n\
         spec: {{ candidate: c, goal: {{ saving: points, target: 20% }}, {rest} }}\n"
    )
}

impl Story {
    /// One agent and a shadow step.
    fn new(rest: &str) -> Story {
        let steps = "maxDuration: 2m, steps: [{ step: shadow, minWindows: 3 }]";
        Story::of(&format!("{steps}{rest}"), 1)
    }

    /// So many agents; it has just been started.
    fn of(rest: &str, agents: usize) -> Story {
        let spec = parse_experiment(&document(rest)).unwrap().spec;
        let first = spec.course().remove(0);
        let agent = |n: usize| Fact {
            agent: format!("default/default/n{n}"),
            connected: true,
            rss_bytes: Some(100),
            state: "active".into(),
            ..Fact::default()
        };
        let agents: Vec<Fact> = (1..=agents).map(agent).collect();
        let members: Vec<_> = agents.iter().map(|a| (a.agent.clone(), true)).collect();
        let mut story = Story {
            experiment: Experiment {
                tenant: "default".into(),
                name: "e".into(),
                id: "id".into(),
                revision: 1,
                row: 1,
                phase: first_phase(&first),
                chosen: choose(&first.share, "id", &members),
                chosen_all: false,
                assigned: Default::default(),
                step: first.name,
                at: 0,
                results: Vec::new(),
                spec,
                reason: "started".into(),
                baseline_hash: Some("b".into()),
                candidate_hash: "c".into(),
                created_ms: START,
                phase_ms: START,
                step_started_ms: None,
                started_ms: None,
                ended_ms: None,
                promoted_to: None,
                witness: Vec::new(),
                taken_back: false,
                holds: false,
                verdict: None,
                memory: serde_json::Value::Null,
                actor: "test".into(),
            },
            facts: Facts {
                agents,
                ..Facts::default()
            },
            now: START,
            promoted: false,
            holds: false,
            outcome: None,
            quarantined: None,
            trace: Vec::new(),
        };
        if story.phase() == Phase::Running {
            story.experiment.started_ms = Some(START);
            story.experiment.step_started_ms = Some(START);
        }
        story.deal();
        story
    }

    /// Who has a part in the present step.
    fn deal(&mut self) {
        let step = self.experiment.current().unwrap();
        for fact in &mut self.facts.agents {
            let identity = identity(&fact.agent);
            fact.given = self.experiment.share_of(&step, &identity).is_some();
            fact.runs = false;
        }
    }

    /// Those that are to take the present step say that they run it.
    fn take(&mut self) {
        for fact in &mut self.facts.agents {
            fact.runs = fact.given && fact.connected;
        }
    }

    /// One that runs, at the beginning of a window.
    fn running(rest: &str) -> Story {
        let mut story = Story::new(rest);
        story.take();
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
        let enter = |e: &mut Experiment, phase: Phase, reason: String| {
            (e.phase, e.phase_ms, e.reason) = (phase, self.now, reason);
            if phase == Phase::Running {
                e.started_ms = e.started_ms.or(Some(self.now));
                e.step_started_ms = Some(self.now);
            }
        };
        let mut next_step = false;
        match next(&e, &self.facts, self.now) {
            Action::Wait => return,
            Action::Choose(chosen) => e.chosen = chosen,
            Action::Go {
                phase,
                reason,
                memory,
            } => {
                enter(&mut e, phase, reason);
                e.memory = serde_json::to_value(memory).unwrap();
            }
            Action::Advance {
                result,
                phase,
                chosen,
                reason,
                memory,
            } => {
                e.results.push(*result);
                e.at += 1;
                e.revision += 1;
                e.step = e.current().unwrap().name;
                e.chosen = chosen;
                e.memory = serde_json::to_value(memory).unwrap();
                enter(&mut e, phase, reason);
                next_step = true;
            }
            Action::Fail {
                result,
                reason,
                quarantine,
            } => {
                e.results.push(*result);
                enter(&mut e, Phase::Failed, reason);
                self.quarantined = quarantine;
            }
            Action::Complete {
                result,
                verdict,
                promote,
                holds,
                quarantine,
            } => {
                self.holds = holds;
                e.results.push(*result);
                enter(&mut e, Phase::Completed, verdict.reason.clone());
                self.outcome = Some(verdict.outcome);
                self.promoted |= promote;
                self.quarantined = quarantine;
            }
        }
        assert!(!e.reason.is_empty(), "every phase has a reason");
        self.trace.push(format!("{} {}", e.step, e.phase.name()));
        self.experiment = e;
        if next_step {
            self.facts.windows.clear();
            self.deal();
        }
    }

    /// A window passes in which the candidate keeps `kept` of 100 points; the report of the first agent.
    fn window(&mut self, kept: u64) -> &mut Window {
        let e = &self.experiment;
        let step = e.current().unwrap();
        let start = self.now.div_ceil(WINDOW) * WINDOW;
        self.now = start + WINDOW;
        self.facts.newest_ms = self.now;
        let second = e.second(&step).unwrap_or_default().to_owned();
        let kept = if second == "b" { 100 } else { kept };
        let first = self.facts.windows.len();
        for fact in self.facts.agents.iter().filter(|a| a.connected) {
            let (baseline, candidate) = match e.share_of(&step, &identity(&fact.agent)) {
                Some(AgentShare::Split { entity, percent }) if entity.is_empty() => {
                    (100 - percent as u64, percent as u64)
                }
                Some(AgentShare::Split { .. }) => (50, 50),
                // A replay has the windows of a shadow run.
                Some(AgentShare::Shadow) | None => (100, 100),
            };
            self.facts.windows.push(Window {
                agent: fact.agent.clone(),
                incarnation: "i".into(),
                revision: e.revision,
                start_ms: start,
                end_ms: self.now,
                baseline: Some(arm("b", baseline, 100)),
                candidate: Some(arm(&second, candidate, kept)),
                rss_bytes: Some(100),
                ..Window::default()
            });
        }
        &mut self.facts.windows[first]
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
        for fact in &mut self.facts.agents {
            fact.runs = false;
        }
        self.now += SETTLE_MS.0;
        self.look();
    }
}

/// What people are told that it waits for.
fn waits(story: &Story) -> String {
    super::waits::waits(&story.experiment, &story.facts, story.now).unwrap_or_default()
}

fn identity(agent: &str) -> Identity {
    let mut parts = agent.split('/').map(str::to_owned);
    let mut part = || parts.next().unwrap();
    Identity {
        tenant: part(),
        cluster: part(),
        node: part(),
    }
}

fn fallen(reason: &str, harm: bool) -> Option<Fallen> {
    let reason = reason.into();
    Some(Fallen { reason, harm })
}

/// An arm that received so many points and kept so many of a hundred.
fn arm(hash: &str, received: u64, kept: u64) -> Arm {
    let exported = received * kept / 100;
    let some = u64::from(received > 0);
    let series = |n: u64| Cardinality {
        exact: Some(n),
        ..Cardinality::default()
    };
    Arm {
        hash: hash.into(),
        ledger: Ledger {
            received,
            exported,
            filtered: received - exported,
            ..Ledger::default()
        },
        bytes_in: received * 10,
        bytes_out: exported * 10,
        series_in: series(received),
        series_out: series(exported),
        protected: Protected {
            points_in: 2 * some,
            points_out: 2 * some,
            series_in: some,
            series_out: some,
        },
        ..Arm::default()
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
    story.take();
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
    story.facts.agents[0].refused = fallen("rejected (unknown stage)", false);
    story.look();
    assert_eq!(story.phase(), Phase::Failed);
    assert!(story.experiment.reason.contains("unknown stage"));
    assert_eq!(story.quarantined, None, "it never ran");
}

#[test]
fn an_agent_that_falls_back_ends_it_with_a_reject_where_the_windows_show_the_harm_and_else_fails_it()
 {
    let mut story = Story::running("");
    story.window(50);
    story.facts.agents[0].refused = fallen("rolled-back (panic)", true);
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
    story.facts.agents[0].refused = fallen("rolled-back (memory)", true);
    story.look();
    story.settle();
    assert_eq!(story.phase(), Phase::Failed);
    assert!(story.experiment.reason.contains("memory"));
    assert!(story.quarantined.unwrap().contains("memory"));
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
