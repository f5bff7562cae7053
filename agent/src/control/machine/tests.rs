//! Decisions of the control client, with injected time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::control::guarded::Watch;
use crate::guard::{Breach, Sample};
use phoenix_engine::compile::{Division, compile};
use phoenix_proto::control as proto;
use phoenix_proto::control::{DesiredState, Harm, Mode};

const SECOND: Duration = Duration::from_secs(1);

fn pipeline(name: &str) -> proto::Pipeline {
    let document = format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: {name} }}\nspec:\n  stages:\n    - id: s\n      filter: {{ drop: [ {{ metric: {name} }} ] }}\n"
    );
    proto::Pipeline {
        hash: compile(&document).unwrap().hash.clone(),
        name: name.into(),
        document,
    }
}

fn broken(name: &str) -> proto::Pipeline {
    proto::Pipeline {
        hash: name.into(),
        name: name.into(),
        document: "kind: Pipeline\nstages: 5\n".into(),
    }
}

fn state(revision: u64, baseline: Option<proto::Pipeline>) -> DesiredState {
    DesiredState {
        store_id: "store".into(),
        revision,
        fleet_seed: 7,
        baseline,
        experiment: None,
        bake_ms: 10_000,
    }
}

fn with_candidate(mut state: DesiredState, candidate: proto::Pipeline) -> DesiredState {
    state.experiment = Some(ExperimentAssignment {
        experiment: "e1".into(),
        experiment_revision: 1,
        candidate: Some(candidate),
        mode: Mode::Shadow.into(),
        window_ms: 10_000,
        lease_ms: 30_000,
        ..Default::default()
    });
    state
}

/// A machine with the side of `session`: swaps are done at once, everything is written down.
struct Agent {
    machine: Machine,
    now: Time,
    generation: u64,
    running: Arc<Plan>,
    trial: Option<Trial>,
    disk: Plans,
    seed: u64,
    reported: Vec<Status>,
    said: Vec<String>,
}

impl Agent {
    fn boot(disk: Plans) -> Agent {
        let (machine, effects) = Machine::boot(disk.clone());
        let mut agent = Agent {
            running: machine.plan(),
            seed: machine.fleet_seed(),
            machine,
            now: SECOND,
            generation: 0,
            trial: None,
            disk,
            reported: vec![],
            said: vec![],
        };
        agent.perform(effects);
        agent
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reseed(seed) => self.seed = seed,
                Effect::Save(plans) => self.disk = plans,
                Effect::Report(status) => self.reported.push(status),
                Effect::Say { text, .. } => self.said.push(text),
                Effect::Swap { plan, trial } => {
                    // Whatever is swapped in is on disk before: as proven, or as baking.
                    let on_disk = [&self.disk.proven, &self.disk.baking];
                    let hash = &plan.baseline.hash;
                    let known = on_disk
                        .iter()
                        .any(|s| s.as_ref().is_some_and(|s| s.hash == *hash));
                    assert!(known || *hash == Plan::pass_through().baseline.hash);
                    (self.running, self.trial) = (plan, trial);
                    self.generation += 1;
                    let effects = self.machine.applied(self.generation, self.now);
                    self.perform(effects);
                }
            }
        }
    }

    fn connect(&mut self) -> Vec<(PlanState, String)> {
        let effects = self.machine.connected(self.generation);
        self.perform(effects);
        self.reports()
    }

    fn desired(&mut self, state: &DesiredState) -> Vec<(PlanState, String)> {
        let effects = self.machine.desired(state, self.now);
        self.perform(effects);
        self.reports()
    }

    /// Time passes, stopping at each deadline as `session` does.
    fn wait(&mut self, time: Duration) -> Vec<(PlanState, String)> {
        let end = self.now + time;
        while let Some(due) = self.machine.deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            let effects = self.machine.tick(self.now);
            self.perform(effects);
        }
        self.now = end;
        self.reports()
    }

    /// What was reported since the last call; every status names the revision taken.
    fn reports(&mut self) -> Vec<(PlanState, String)> {
        let taken = self.machine.taken();
        assert!(
            self.reported
                .iter()
                .all(|s| (s.store_id.as_str(), s.revision) == taken)
        );
        self.reported
            .drain(..)
            .map(|s| (s.state(), s.hash))
            .collect()
    }

    fn candidate(&self) -> Option<&str> {
        self.running
            .candidate
            .as_ref()
            .map(|c| c.pipeline.hash.as_str())
    }
}

use PlanState::{Active, Healthy, Rejected, RolledBack, Unproven, Validated};

#[test]
fn a_plan_is_validated_active_and_healthy_only_after_its_bake() {
    let mut agent = Agent::boot(Plans::default());
    assert!(agent.said[0].contains("everything passes through"));
    assert_eq!(agent.connect(), [(Healthy, String::new())]);
    let a = pipeline("a");
    let reports = agent.desired(&state(1, Some(a.clone())));
    assert_eq!(
        reports,
        [(Validated, a.hash.clone()), (Active, a.hash.clone())]
    );
    assert_eq!(
        (agent.running.baseline.hash.as_str(), agent.seed),
        (a.hash.as_str(), 7)
    );
    assert_eq!(agent.disk.baking.as_ref().unwrap().hash, a.hash);
    assert_eq!(agent.disk.proven, None);
    assert_eq!(agent.wait(SECOND * 9), []);
    assert_eq!(agent.wait(SECOND), [(Healthy, a.hash.clone())]);
    assert_eq!(agent.disk.proven.as_ref().unwrap().hash, a.hash);
    assert_eq!((agent.disk.baking.as_ref(), agent.disk.revision), (None, 1));
    // The same revision again says nothing and changes nothing.
    assert_eq!(agent.desired(&state(1, Some(a.clone()))), []);
    // A revision that changes nothing here is answered without a swap.
    assert_eq!(
        agent.desired(&state(2, Some(a.clone()))),
        [(Healthy, a.hash)]
    );
    assert_eq!((agent.generation, agent.disk.revision), (1, 2));
}

#[test]
fn what_does_not_compile_leaves_the_running_plan_untouched() {
    let mut agent = Agent::boot(Plans::default());
    let a = pipeline("a");
    agent.desired(&state(1, Some(a.clone())));
    agent.wait(SECOND * 10);
    agent.desired(&state(2, Some(broken("b"))));
    let status = agent.machine.reports();
    let [Effect::Report(status)] = status.as_slice() else {
        panic!()
    };
    assert_eq!((status.state(), status.hash.as_str()), (Rejected, "b"));
    assert!(!status.problems.is_empty());
    assert_eq!(status.active_hash, a.hash);
    assert_eq!(
        (agent.running.baseline.hash.as_str(), agent.generation),
        (a.hash.as_str(), 1)
    );
    assert_eq!(agent.disk.proven.as_ref().unwrap().hash, a.hash);
    // A document that this agent understands otherwise than the server did must not run either.
    let mut other = pipeline("c");
    other.hash = "0".repeat(64);
    assert_eq!(
        agent.desired(&state(3, Some(other))).last().unwrap().0,
        Rejected
    );
    assert_eq!(agent.generation, 1);
}

#[test]
fn an_older_revision_of_the_same_store_is_refused_and_of_another_store_taken() {
    let mut agent = Agent::boot(Plans::default());
    let (a, b) = (pipeline("a"), pipeline("b"));
    agent.desired(&state(5, Some(a.clone())));
    agent.reports();
    assert_eq!(
        agent.desired(&state(4, Some(b.clone()))),
        [(Active, a.hash.clone())]
    );
    assert_eq!(agent.running.baseline.hash, a.hash);
    assert!(agent.said.last().unwrap().contains("refused revision 4"));
    let mut other = state(1, Some(b.clone()));
    other.store_id = "restored".into();
    agent.desired(&other);
    assert_eq!(agent.running.baseline.hash, b.hash);
    assert_eq!(agent.disk.store_id, "restored");
    // Across a restart, too.
    let mut again = Agent::boot(agent.disk.clone());
    let mut older = other.clone();
    older.revision = 0;
    again.desired(&older);
    assert!(again.said.last().unwrap().contains("refused revision 0"));
}

#[test]
fn a_plan_whose_bake_did_not_end_is_never_booted_and_reported_unproven_once() {
    let mut agent = Agent::boot(Plans::default());
    let (a, b) = (pipeline("a"), pipeline("b"));
    agent.desired(&state(1, Some(a.clone())));
    agent.wait(SECOND * 10);
    agent.desired(&state(2, Some(b.clone())));
    agent.wait(SECOND * 5);
    // Killed here.
    let mut agent = Agent::boot(agent.disk.clone());
    assert_eq!(agent.running.baseline.hash, a.hash);
    assert_eq!((agent.machine.taken(), agent.seed), (("store", 2), 7));
    assert_eq!(
        agent.connect(),
        [(Healthy, a.hash.clone()), (Unproven, b.hash.clone())]
    );
    assert_eq!(agent.disk.baking, None);
    // The server sends it again; this time its bake ends.
    let reports = agent.desired(&state(2, Some(b.clone())));
    assert_eq!(
        reports,
        [(Validated, b.hash.clone()), (Active, b.hash.clone())]
    );
    assert_eq!(agent.disk.proven.as_ref().unwrap().hash, a.hash);
    agent.wait(SECOND * 10);
    let mut agent = Agent::boot(agent.disk.clone());
    assert_eq!(agent.running.baseline.hash, b.hash);
    assert_eq!(agent.connect(), [(Healthy, b.hash)]);
}

#[test]
fn killed_before_it_could_say_so_it_says_unproven_at_the_next_start() {
    let mut agent = Agent::boot(Plans::default());
    let a = pipeline("a");
    agent.desired(&state(1, Some(a.clone())));
    let agent = Agent::boot(agent.disk.clone());
    assert!(
        agent
            .said
            .iter()
            .any(|s| s.contains("everything passes through"))
    );
    let mut agent = Agent::boot(agent.disk.clone());
    assert_eq!(agent.connect().last().unwrap(), &(Unproven, a.hash));
}

#[test]
fn what_is_counted_beside_queries_comes_beside_their_json_and_is_taken_from_it_too() {
    let asked = |queries: &str, query_volume: bool| {
        let mut agent = Agent::boot(Plans::default());
        let mut state = with_candidate(state(1, Some(pipeline("a"))), pipeline("b"));
        let e = state.experiment.as_mut().unwrap();
        (e.queries, e.query_volume) = (queries.into(), query_volume);
        agent.desired(&state);
        assert!(agent.candidate().is_some(), "{queries}");
        let queries = agent.running.queries.as_ref();
        queries.is_some_and(|q| q.queries.volume)
    };
    assert!(asked(r#"{"stepMs":1000,"inner":[]}"#, true));
    assert!(!asked(r#"{"stepMs":1000,"inner":[]}"#, false));
    assert!(asked(r#"{"stepMs":1000,"inner":[],"volume":true}"#, false));
    assert!(!asked("", true), "steps of no length");
}

#[test]
fn a_candidate_runs_on_a_lease_that_lapses_and_comes_back() {
    let mut agent = Agent::boot(Plans::default());
    let (a, b) = (pipeline("a"), pipeline("b"));
    agent.desired(&state(1, Some(a.clone())));
    agent.wait(SECOND * 10);
    let trial = with_candidate(state(2, Some(a.clone())), b.clone());
    let reports = agent.desired(&trial);
    let expected = [
        (Validated, b.hash.clone()),
        (Healthy, a.hash.clone()),
        (Active, b.hash.clone()),
    ];
    assert_eq!(reports, expected);
    assert_eq!(agent.candidate(), Some(b.hash.as_str()));
    assert_eq!(agent.trial.as_ref().unwrap().window, SECOND * 10);
    assert_eq!(agent.wait(SECOND * 10), [(Healthy, b.hash.clone())]);
    // Renewed in time: nothing happens for another lease.
    agent.wait(SECOND * 15);
    assert_eq!(agent.desired(&trial), []);
    assert_eq!(agent.wait(SECOND * 29), []);
    assert_eq!(agent.generation, 2);
    // The server is away: back to the baseline, the revision stays.
    assert_eq!(agent.wait(SECOND), [(Healthy, a.hash.clone())]);
    assert_eq!((agent.candidate(), agent.trial.as_ref()), (None, None));
    assert_eq!(agent.machine.taken(), ("store", 2));
    // A process that follows knows, and tells.
    let id = trial.experiment.as_ref().map(|e| e.experiment.as_str());
    let next = Agent::boot(agent.disk.clone());
    assert_eq!(Some(next.machine.lapsed()), id);
    let reports = agent.connect();
    assert_eq!(reports, [(Healthy, a.hash.clone())]);
    // It is back with the same revision.
    agent.desired(&trial);
    assert_eq!(agent.candidate(), Some(b.hash.as_str()));
    assert_eq!(agent.generation, 4);
    let next = Agent::boot(agent.disk.clone());
    assert_eq!((agent.machine.lapsed(), next.machine.lapsed()), ("", ""));
    // Boots never start a candidate.
    let agent = Agent::boot(agent.disk.clone());
    assert_eq!(
        (agent.candidate(), agent.running.baseline.hash.as_str()),
        (None, a.hash.as_str())
    );
}

#[test]
fn a_candidate_that_did_harm_is_reported_and_not_started_again() {
    let mut agent = Agent::boot(Plans::default());
    let (a, b) = (pipeline("a"), pipeline("b"));
    let mut trial = with_candidate(state(1, Some(a.clone())), b.clone());
    agent.desired(&trial);
    agent.reports();
    agent.generation += 1; // The worker's own swap.
    let breach = Breach::new(Harm::Latency, (7e6, 5e6), "it was slow");
    let effects = agent
        .machine
        .candidate_ended("e1", &breach, agent.generation);
    let [
        Effect::Say { .. },
        Effect::Save(disk),
        Effect::Report(status),
    ] = effects.as_slice()
    else {
        panic!()
    };
    assert_eq!(
        (status.state(), status.hash.as_str()),
        (RolledBack, b.hash.as_str())
    );
    assert_eq!(
        (status.reason.as_str(), status.experiment.as_str()),
        ("it was slow", "e1")
    );
    assert_eq!(
        (status.harm(), status.measured, status.threshold),
        (Harm::Latency, Some(7e6), Some(5e6))
    );
    let disk = disk.clone();
    assert_eq!(
        (status.candidate_hash.as_str(), status.generation),
        ("", agent.generation)
    );
    let generation = agent.generation;
    // Renewals, and revisions for other reasons, do not bring it back.
    agent.desired(&trial);
    trial.revision = 2;
    let reports = agent.desired(&trial);
    assert!(reports.contains(&(RolledBack, b.hash.clone())));
    assert_eq!(agent.generation, generation);
    // Nor does the experiment's next step, nor a restart of the agent, which tells of it again.
    trial.revision = 3;
    trial.experiment.as_mut().unwrap().experiment_revision = 2;
    agent.desired(&trial);
    assert!(agent.machine.plan().candidate.is_none());
    let mut again = Agent::boot(disk);
    assert!(again.connect().contains(&(RolledBack, b.hash.clone())));
    again.desired(&trial);
    assert_eq!(again.candidate(), None);
    // A desired state without the experiment has heard of it; another experiment may try.
    let mut done = state(4, Some(a.clone()));
    again.desired(&done);
    assert_eq!(again.disk.harmed, None);
    done.revision = 5;
    assert!(!again.desired(&done).contains(&(RolledBack, b.hash.clone())));
    trial.revision = 6;
    trial.experiment.as_mut().unwrap().experiment = "e2".into();
    agent.desired(&trial);
    assert_eq!(
        agent
            .machine
            .plan()
            .candidate
            .as_ref()
            .unwrap()
            .pipeline
            .hash,
        b.hash
    );
    assert!(
        agent
            .machine
            .candidate_ended("other", &breach, 9)
            .is_empty()
    );
}

#[test]
fn a_refused_candidate_does_not_hold_up_the_baseline() {
    let mut agent = Agent::boot(Plans::default());
    let a = pipeline("a");
    let reports = agent.desired(&with_candidate(state(1, Some(a.clone())), broken("b")));
    assert!(reports.contains(&(Rejected, "b".into())));
    assert_eq!(reports.last().unwrap(), &(Active, a.hash.clone()));
    assert_eq!(
        (agent.candidate(), agent.running.baseline.hash.as_str()),
        (None, a.hash.as_str())
    );
    // A split without an entity is refused by the plan, not by the document.
    let mut split = with_candidate(state(2, Some(a)), pipeline("b"));
    let experiment = split.experiment.as_mut().unwrap();
    (experiment.mode, experiment.percent) = (Mode::Split.into(), 50.0);
    assert!(agent.desired(&split).iter().any(|r| r.0 == Rejected));
    let experiment = split.experiment.as_mut().unwrap();
    (experiment.entity, experiment.percent) = (vec!["host.name".into()], 50.0);
    split.revision = 3;
    agent.desired(&split);
    let division = agent.running.candidate.as_ref().unwrap().division.clone();
    assert!(matches!(division, Division::Split { percent, .. } if percent == 50.0));
}

#[test]
fn harm_within_the_bake_brings_back_the_plan_proven_before() {
    let mut agent = Agent::boot(Plans::default());
    let (a, b) = (pipeline("a"), pipeline("b"));
    agent.desired(&state(1, Some(a.clone())));
    agent.wait(SECOND * 10);
    agent.desired(&state(2, Some(b.clone())));
    assert!(agent.machine.is_baking());
    agent.reports();
    let effects = agent.machine.harm("the ledger does not balance");
    agent.perform(effects);
    assert_eq!(agent.running.baseline.hash, a.hash);
    assert_eq!(agent.reports(), [(RolledBack, b.hash.clone())]);
    assert_eq!(
        (
            agent.disk.proven.as_ref().unwrap().hash.as_str(),
            &agent.disk.baking
        ),
        (a.hash.as_str(), &None)
    );
    // The same revision does not bring it back; outside of a bake there is nothing to go back to.
    agent.desired(&state(2, Some(b)));
    assert_eq!(agent.running.baseline.hash, a.hash);
    assert!(agent.machine.harm("again").is_empty());
}

#[test]
fn nothing_assigned_is_pass_through_said_loudly_and_remembered() {
    let mut agent = Agent::boot(Plans::default());
    let a = pipeline("a");
    agent.desired(&state(1, Some(a)));
    agent.wait(SECOND * 10);
    agent.reports();
    agent.said.clear();
    let reports = agent.desired(&state(2, None));
    assert_eq!(reports.last().unwrap(), &(Healthy, String::new()));
    assert!(agent.said[0].contains("everything passes through"));
    assert_eq!(
        agent.running.baseline.hash,
        Plan::pass_through().baseline.hash
    );
    assert_eq!((&agent.disk.proven, &agent.disk.baking), (&None, &None));
}

#[test]
fn what_the_agent_had_before_an_experiment_outlives_its_process_and_not_the_experiment() {
    let mut agent = Agent::boot(Plans::default());
    let wanted = with_candidate(state(1, Some(pipeline("a"))), pipeline("b"));
    agent.desired(&wanted);
    let before = Before {
        experiment: "e1".into(),
        rss_bytes: Some(100),
    };
    let effects = agent.machine.watched(before.clone());
    agent.perform(effects);
    assert_eq!(agent.disk.before, Some(before.clone()));
    assert!(agent.machine.watched(before.clone()).is_empty(), "once");

    // A new process, its tables empty: not twice what it has now, but twice what the first one had is too much.
    let mut again = Agent::boot(agent.disk);
    again.connect();
    again.desired(&wanted);
    let trial = again.trial.clone().map(|trial| Trial {
        guardrails: Guardrails {
            max_memory_ratio: Some(2.0),
            ..Guardrails::default()
        },
        ..trial
    });
    let sample = |rss| Sample {
        rss_bytes: Some(rss),
        ..Sample::default()
    };
    let mut watch = Watch::since(again.machine.before());
    watch.begin(trial.as_ref(), &sample(10), SECOND);
    assert_eq!(watch.before(), Some(before));
    for seconds in 2..4 {
        assert_eq!(watch.look(&sample(200), SECOND * seconds), None);
    }
    assert_eq!(
        watch.look(&sample(201), SECOND * 4),
        None,
        "once may be chance"
    );
    let breach = watch.look(&sample(201), SECOND * 5).unwrap();
    assert_eq!((breach.harm, breach.measured), (Harm::Memory, 2.01));

    again.desired(&state(2, Some(pipeline("a"))));
    assert_eq!(again.disk.before, None);
}
