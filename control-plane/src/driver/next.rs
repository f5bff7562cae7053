//! What an experiment does next: a pure function of where it stands, of what is known of its agents
//! and windows, and of the time. It may be asked again at any time, also by another process.

use super::run;
use super::settle;
use crate::app::experiments::Gone;
use crate::desired::choose;
use crate::documents::{Kind, Share, Step};
use crate::model::{Experiment, Phase, StepResult};
use phoenix_analysis::{Verdict, Window};
use phoenix_engine::document::Problem;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long the agents may take to run a step.
pub const INITIALIZE_MS: u64 = 60_000;

/// How long after the end of a run its last reports are waited for: at least, and at most.
pub const SETTLE_MS: (u64, u64) = (1_000, 5_000);

/// How long a node that was chosen and went away may take to come back before another takes its part.
const BACK_MS: u64 = 15_000;

/// The driver's own memory of an experiment, kept in its row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Agents that took the present step: reports of all of them are expected.
    pub agents: Vec<String>,
    /// Their resident memory before the second arm's first window, where it was known.
    pub rss_before_bytes: BTreeMap<String, u64>,
    /// The run ended by time, not by a decision: no more windows will come.
    pub closed: bool,
    /// An agent fell back from the candidate.
    pub fallen: Option<Fallen>,
}

impl Memory {
    pub fn of(experiment: &Experiment) -> Memory {
        serde_json::from_value(experiment.memory.clone()).unwrap_or_default()
    }
}

/// An agent fell back from the second arm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fallen {
    pub reason: String,
    /// It ran and did harm, and was not only refused.
    pub harm: bool,
}

/// What is known of one agent that the selector matches.
#[derive(Debug, Clone, Default)]
pub struct Fact {
    /// `tenant/cluster/node`.
    pub agent: String,
    pub connected: bool,
    /// It is not connected, and how that came.
    pub gone: Option<Gone>,
    /// Its processes that died with the candidate, and when the last that may have was last heard of (0: none).
    pub deaths: u32,
    pub died_ms: u64,
    /// It has a part in the present step.
    pub given: bool,
    /// It says that it runs the present step of this experiment.
    pub runs: bool,
    /// It refused the candidate or fell back from it.
    pub refused: Option<Fallen>,
    /// What it says of itself, for a person.
    pub state: String,
    pub rss_bytes: Option<u64>,
}

/// What is known of an experiment besides its row.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub agents: Vec<Fact>,
    /// Of the present step.
    pub windows: Vec<Window>,
    /// When the newest of these windows was stored.
    pub newest_ms: u64,
    /// Lint only: what stands against the experiment.
    pub problems: Vec<Problem>,
    /// When this server began: nothing could be answered before.
    pub began_ms: u64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Wait,
    /// Other agents run the second arm: none of those chosen is there.
    Choose(Vec<String>),
    /// Another phase, and why.
    Go {
        phase: Phase,
        reason: String,
        memory: Memory,
    },
    /// The step is passed: on to the next one.
    Advance {
        result: Box<StepResult>,
        phase: Phase,
        chosen: Vec<String>,
        reason: String,
        memory: Memory,
    },
    /// It could not be carried through: no verdict.
    Fail {
        result: Box<StepResult>,
        reason: String,
        quarantine: Option<String>,
    },
    /// It is over: the verdict, and whether the candidate becomes what is assigned.
    Complete {
        result: Box<StepResult>,
        verdict: Box<Verdict>,
        promote: bool,
        /// The agents keep the candidate until a person decides.
        holds: bool,
        quarantine: Option<String>,
    },
}

/// One look at an experiment.
pub(super) struct Look<'a> {
    pub e: &'a Experiment,
    pub facts: &'a Facts,
    pub course: &'a [Step],
    pub step: &'a Step,
    pub now_ms: u64,
}

/// What an experiment does next.
pub fn next(e: &Experiment, facts: &Facts, now_ms: u64) -> Action {
    let course = e.spec.course();
    let Some(step) = course.get(e.at) else {
        return Action::Wait;
    };
    let look = Look {
        e,
        facts,
        course: &course,
        step,
        now_ms,
    };
    let memory = Memory::of(e);
    // Who is there, and what became of whom, is only known when they have had the time to come back. Harm
    // that is known needs nobody else.
    let returning = facts.agents.iter().any(|a| a.gone == Some(Gone::Returning));
    if returning && !look.harmed(&memory) {
        return Action::Wait;
    }
    match (e.phase, step.kind) {
        (Phase::Initializing, _) => look.initializing(memory),
        (Phase::Running, Kind::Lint) => run::lint(&look, memory),
        (Phase::Running, Kind::Replay) => run::replay(&look, memory),
        (Phase::Running, _) => run::running(&look, memory),
        (Phase::Analyzing, _) => settle::analyzing(&look, memory),
        (Phase::Pending | Phase::Completed | Phase::Failed | Phase::Cancelled, _) => Action::Wait,
    }
}

/// The phase in which a step begins.
pub fn first_phase(step: &Step) -> Phase {
    match step.on_agents() {
        true => Phase::Initializing,
        false => Phase::Running,
    }
}

impl Look<'_> {
    /// Something is known that ends the experiment, whatever those say who are not there yet.
    fn harmed(&self, memory: &Memory) -> bool {
        match (self.e.phase, self.step.on_agents()) {
            (Phase::Initializing, _) => self.refusal().is_some(),
            (Phase::Running, true) => self.refusal().is_some() || self.so_far(memory).harm,
            (Phase::Analyzing, _) => memory.fallen.is_some() || self.so_far(memory).harm,
            _ => false,
        }
    }

    fn initializing(&self, mut memory: Memory) -> Action {
        if let Some((agent, fallen)) = self.refusal() {
            let reason = format!(
                "agent {agent} did not take the {}: {}",
                self.arm(),
                fallen.reason
            );
            return self.fail(reason, fallen.harm);
        }
        let connected: Vec<&Fact> = self
            .facts
            .agents
            .iter()
            .filter(|a| a.connected && a.given)
            .collect();
        let waiting: Vec<&&Fact> = connected.iter().filter(|a| !a.runs).collect();
        if let Some(chosen) = self.other_nodes() {
            return Action::Choose(chosen);
        }
        // Without any of those that were chosen nobody would run the candidate.
        let chosen = |a: &&Fact| !self.by_node() || self.e.chosen.contains(&a.agent);
        if connected.iter().any(chosen) && waiting.is_empty() {
            memory.agents = connected.iter().map(|a| a.agent.clone()).collect();
            for (agent, bytes) in connected
                .iter()
                .filter_map(|a| Some((a.agent.clone(), a.rss_bytes?)))
            {
                // What it had before the first step counts: later ones start with an arm running.
                memory.rss_before_bytes.entry(agent).or_insert(bytes);
            }
            return go(Phase::Running, self.running_reason(&memory), memory);
        }
        if self.now_ms < self.since_ms().saturating_add(INITIALIZE_MS) {
            return Action::Wait;
        }
        self.fail(self.late(&connected, &waiting), false)
    }

    /// When the phase began, or this server where that was later: agents could not answer before.
    pub(super) fn since_ms(&self) -> u64 {
        self.e.phase_ms.max(self.facts.began_ms)
    }

    /// Where nodes are chosen and none of them is connected: those that are.
    fn other_nodes(&self) -> Option<Vec<String>> {
        if !self.by_node() {
            return None;
        }
        // One that died of it comes back, and must not take the next node with it.
        let back = |a: &Fact| match a.gone {
            Some(Gone::Left(since)) => self.now_ms < since.saturating_add(BACK_MS),
            Some(Gone::Silent(_) | Gone::Returning) => true,
            None => false,
        };
        let mut chosen = self.facts.agents.iter();
        if chosen.any(|a| self.e.chosen.contains(&a.agent) && (a.connected || back(a))) {
            return None;
        }
        let chosen = self.choose(self.step);
        (!chosen.is_empty()).then_some(chosen)
    }

    /// Who runs the second arm of a step that begins now.
    pub(super) fn choose(&self, step: &Step) -> Vec<String> {
        let agents = self.facts.agents.iter();
        let members: Vec<(String, bool)> = agents.map(|a| (a.agent.clone(), a.connected)).collect();
        choose(&step.share, &self.e.id, &members)
    }

    fn running_reason(&self, memory: &Memory) -> String {
        let chosen = memory.agents.iter().filter(|a| self.e.chosen.contains(a));
        match (self.by_node(), memory.agents.as_slice()) {
            (true, all) if self.everywhere(memory) => format!(
                "{} of {} agents took the {}: {}",
                chosen.count(),
                all.len(),
                self.arm(),
                super::waits::UNCOMPARED
            ),
            (true, all) => format!(
                "{} of {} agents took the {}",
                chosen.count(),
                all.len(),
                self.arm()
            ),
            (false, [one]) => format!("{one} took the {}", self.arm()),
            (false, all) => format!("{} agents took the {}", all.len(), self.arm()),
        }
    }

    /// Some nodes run the candidate, or a share of it, and the others the baseline.
    pub(super) fn by_node(&self) -> bool {
        matches!(self.step.share, Share::Nodes(_) | Share::Both { .. })
    }

    fn late(&self, connected: &[&Fact], waiting: &[&&Fact]) -> String {
        let within = format!("within {} s", INITIALIZE_MS / 1000);
        if connected.is_empty() {
            return format!("no agent that the selector matches was connected {within}");
        }
        let names: Vec<String> = waiting
            .iter()
            .map(|a| format!("{} ({})", a.agent, a.state))
            .collect();
        if names.is_empty() {
            return format!(
                "none of the agents that were chosen was connected {within}: {}",
                self.absent(&self.e.chosen).join(", ")
            );
        }
        format!(
            "{} of {} connected agents did not take the {} {within}: {}",
            waiting.len(),
            connected.len(),
            self.arm(),
            names.join(", ")
        )
    }

    /// What the second arm is called.
    pub(super) fn arm(&self) -> &'static str {
        match self.step.kind {
            Kind::Aa => "baseline twice",
            _ => "candidate",
        }
    }

    pub(super) fn refusal(&self) -> Option<(&str, &Fallen)> {
        let mut agents = self.facts.agents.iter();
        agents.find_map(|a| a.refused.as_ref().map(|why| (a.agent.as_str(), why)))
    }

    pub(super) fn result(
        &self,
        passed: bool,
        reason: String,
        verdict: Option<&Verdict>,
    ) -> Box<StepResult> {
        Box::new(StepResult {
            at: self.e.at,
            step: self.step.name.clone(),
            revision: self.e.revision,
            passed,
            reason,
            started_ms: self.e.step_ms(),
            ended_ms: self.now_ms,
            judged_ms: verdict.map(|_| self.facts.newest_ms),
            verdict: verdict.and_then(|v| serde_json::to_value(v.clone().priced()).ok()),
        })
    }

    /// It ends without a verdict.
    pub(super) fn fail(&self, reason: String, harm: bool) -> Action {
        // The baseline is what the fleet runs anyway: A/A never bars it.
        let quarantine = (harm && self.step.kind != Kind::Aa).then(|| reason.clone());
        Action::Fail {
            result: self.result(false, reason.clone(), None),
            reason,
            quarantine,
        }
    }
}

pub(super) fn go(phase: Phase, reason: String, memory: Memory) -> Action {
    Action::Go {
        phase,
        reason,
        memory,
    }
}
