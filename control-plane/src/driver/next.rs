//! What an experiment does next: a pure function of where it stands, of what is known of its agents
//! and windows, and of the time. It may be asked again at any time, also by another process.

use super::reports::{criteria, expected_until};
use crate::documents::OnSuccess;
use crate::model::{Experiment, Phase};
use phoenix_analysis::{Outcome, Verdict, Window, judge};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long the agents may take to run the candidate.
pub const INITIALIZE_MS: u64 = 60_000;

/// How long after the end of a run its last reports are waited for: at least, and at most.
pub const SETTLE_MS: (u64, u64) = (1_000, 5_000);

/// The driver's own memory of an experiment, kept in its row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Agents that took the candidate: reports of all of them are expected.
    pub agents: Vec<String>,
    /// Their resident memory before the candidate's first window, where it was known.
    pub rss_before_bytes: BTreeMap<String, u64>,
    /// The run ended by time, not by a decision: no more windows will come.
    pub closed: bool,
    /// An agent fell back from the candidate, and why.
    pub fallen: Option<String>,
    /// The verdict is about the windows that were stored up to then.
    pub judged_ms: Option<u64>,
}

impl Memory {
    pub fn of(experiment: &Experiment) -> Memory {
        serde_json::from_value(experiment.memory.clone()).unwrap_or_default()
    }
}

/// What is known of one agent that the selector matches.
#[derive(Debug, Clone, Default)]
pub struct Fact {
    /// `tenant/cluster/node`.
    pub agent: String,
    pub connected: bool,
    /// It says that it runs this experiment's candidate.
    pub runs_candidate: bool,
    /// It refused the candidate or fell back from it, and why.
    pub refused: Option<String>,
    /// What it says of itself, for a person.
    pub state: String,
    pub rss_bytes: Option<u64>,
}

/// What is known of an experiment besides its row.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub agents: Vec<Fact>,
    pub windows: Vec<Window>,
    /// When the newest of these windows was stored.
    pub newest_ms: u64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Wait,
    /// Another phase, and why.
    Go {
        phase: Phase,
        reason: String,
        memory: Memory,
    },
    /// It is over: the verdict, and whether the candidate becomes what is assigned.
    Complete {
        verdict: Box<Verdict>,
        promote: bool,
        memory: Memory,
    },
}

/// What an experiment does next.
pub fn next(e: &Experiment, facts: &Facts, now_ms: u64) -> Action {
    let memory = Memory::of(e);
    match e.phase {
        Phase::Initializing => initializing(e, facts, memory, now_ms),
        Phase::Running => running(e, facts, memory, now_ms),
        Phase::Analyzing => analyzing(e, facts, memory, now_ms),
        Phase::Pending | Phase::Completed | Phase::Failed | Phase::Cancelled => Action::Wait,
    }
}

fn initializing(e: &Experiment, facts: &Facts, mut memory: Memory, now_ms: u64) -> Action {
    if let Some((agent, why)) = refusal(facts) {
        let reason = format!("agent {agent} did not take the candidate: {why}");
        return go(Phase::Failed, reason, memory);
    }
    let connected: Vec<&Fact> = facts.agents.iter().filter(|a| a.connected).collect();
    let waiting: Vec<&&Fact> = connected.iter().filter(|a| !a.runs_candidate).collect();
    if !connected.is_empty() && waiting.is_empty() {
        memory.agents = connected.iter().map(|a| a.agent.clone()).collect();
        memory.rss_before_bytes = connected
            .iter()
            .filter_map(|a| Some((a.agent.clone(), a.rss_bytes?)))
            .collect();
        let reason = match memory.agents.as_slice() {
            [one] => format!("{one} runs the candidate"),
            all => format!("{} agents run the candidate", all.len()),
        };
        return go(Phase::Running, reason, memory);
    }
    if now_ms < e.phase_ms.saturating_add(INITIALIZE_MS) {
        return Action::Wait;
    }
    let within = format!("within {} s", INITIALIZE_MS / 1000);
    let reason = if connected.is_empty() {
        format!("no agent that the selector matches was connected {within}")
    } else {
        let names: Vec<String> = waiting
            .iter()
            .map(|a| format!("{} ({})", a.agent, a.state))
            .collect();
        format!(
            "{} of {} connected agents did not take the candidate {within}: {}",
            waiting.len(),
            connected.len(),
            names.join(", ")
        )
    };
    go(Phase::Failed, reason, memory)
}

fn running(e: &Experiment, facts: &Facts, mut memory: Memory, now_ms: u64) -> Action {
    if let Some((agent, why)) = refusal(facts) {
        let reason = format!("agent {agent} fell back from the candidate: {why}");
        memory.fallen = Some(reason.clone());
        return go(Phase::Analyzing, reason, memory);
    }
    let verdict = judge(
        &criteria(e, &memory, expected_until(e, now_ms)),
        &facts.windows,
    );
    if verdict.outcome.is_decided() {
        let reason = format!("{}: {}", verdict.outcome.name(), verdict.reason);
        return go(Phase::Analyzing, reason, memory);
    }
    let started = e.started_ms.unwrap_or(e.phase_ms);
    if now_ms >= started.saturating_add(e.spec.max_duration.0) {
        memory.closed = true;
        let reason = format!("maxDuration has passed: {}", verdict.reason);
        return go(Phase::Analyzing, reason, memory);
    }
    Action::Wait
}

/// The agents go back to the baseline; their last reports come; the verdict is about all of them.
fn analyzing(e: &Experiment, facts: &Facts, mut memory: Memory, now_ms: u64) -> Action {
    let left = facts
        .agents
        .iter()
        .all(|a| !a.connected || !a.runs_candidate);
    let since = now_ms.saturating_sub(e.phase_ms);
    if since < SETTLE_MS.0 || (!left && since < SETTLE_MS.1) {
        return Action::Wait;
    }
    let until = expected_until(e, e.phase_ms);
    let verdict = judge(&criteria(e, &memory, until), &facts.windows);
    if let Some(fallen) = memory
        .fallen
        .clone()
        .filter(|_| verdict.outcome != Outcome::Reject)
    {
        return go(Phase::Failed, fallen, memory);
    }
    memory.judged_ms = Some(facts.newest_ms);
    Action::Complete {
        promote: verdict.outcome == Outcome::Promote && e.spec.on_success == OnSuccess::Promote,
        verdict: Box::new(verdict),
        memory,
    }
}

fn refusal(facts: &Facts) -> Option<(&str, &str)> {
    facts
        .agents
        .iter()
        .find_map(|a| a.refused.as_deref().map(|why| (a.agent.as_str(), why)))
}

fn go(phase: Phase, reason: String, memory: Memory) -> Action {
    Action::Go {
        phase,
        reason,
        memory,
    }
}
