//! How an agent stands to the present step of an experiment: what it has, whether it runs that, and where it went.

use super::Member;
use crate::documents::{Kind, Step};
use crate::model::{AgentShare, Experiment};

/// Agents that a server of before had come back to a new one within this time: they wait up to 30 s between
/// two tries.
pub const RETURN_MS: u64 = 35_000;

/// How one agent stands to the present step.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What it is given; `None`: it has no second arm.
    pub share: Option<AgentShare>,
    /// It says that it runs that.
    pub runs: bool,
    /// `None`: it is connected.
    pub gone: Option<Gone>,
    /// Its processes that ended without a goodbye while they had the candidate, and when the last that may have
    /// died of it was last heard of (0: none). A/A has no candidate.
    pub deaths: u32,
    pub died_ms: u64,
}

/// An agent that is not connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It was connected when the server ended, and has not had the time to come back.
    Returning,
    /// It was told to stop, or had no candidate: since when.
    Left(u64),
    /// It had the candidate and went without a goodbye: when it was last heard of.
    Silent(u64),
}

/// How `member` stands. `began_ms`: when this server began.
pub fn standing(
    e: &Experiment,
    step: &Step,
    member: &Member,
    began_ms: u64,
    now_ms: u64,
) -> Standing {
    let (agent, status) = (&member.agent, &member.agent.status);
    let share = e.share_of(step, &agent.identity);
    let second = e.second(step).unwrap_or_default();
    // What a process of before said tells nothing of this one.
    let has_second = status.incarnation == agent.incarnation
        && status.experiment == e.id
        && status.candidate_hash == second;
    let tried = step.kind != Kind::Aa && share.as_ref().is_some_and(AgentShare::has_candidate);
    let goodbye = agent.stopped == agent.incarnation;
    let gone = if member.connected {
        None
    } else if !agent.away && now_ms < began_ms.saturating_add(RETURN_MS) {
        Some(Gone::Returning)
    } else if tried && has_second && !goodbye {
        Some(Gone::Silent(agent.last_seen_ms))
    } else {
        Some(Gone::Left(agent.last_seen_ms))
    };
    let died = agent
        .died
        .as_ref()
        .filter(|d| tried && d.experiment == e.id);
    Standing {
        runs: has_second && status.experiment_revision == e.revision,
        share,
        gone,
        deaths: died.map_or(0, |d| d.times),
        died_ms: died.map_or(0, |d| d.last_ms),
    }
}
