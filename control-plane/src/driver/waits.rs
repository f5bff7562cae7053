//! What an experiment that is not over waits for, and how its agents stand: for people who look while it runs.

use super::next::{Fact, Facts, INITIALIZE_MS, Look, Memory};
use crate::app::experiments::{Gone, RETURN_MS, Standing, standing};
use crate::app::{App, Error};
use crate::documents::Kind;
use crate::model::{Experiment, Phase};
use phoenix_analysis::{Criterion, Outcome, Ruling, Verdict};
use std::time::{Duration, UNIX_EPOCH};

/// What is said of a portion of a ramp that is all there are.
pub(super) const UNCOMPARED: &str =
    "no agent was left on the baseline to compare it with, and it is watched as in bake";

/// An experiment at this moment, beyond its row.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// What the present step waits for, one sentence; `None`: it does not run.
    pub waits: Option<String>,
    /// The agents in scope, by identity, with what they say of themselves.
    pub agents: Vec<(String, Standing, String)>,
}

/// Looks without moving anything.
///
/// # Errors
/// The store cannot be read.
pub async fn outlook(app: &App, e: &Experiment) -> Result<Outlook, Error> {
    let Some(step) = e.current().filter(|_| e.is_live()) else {
        return Ok(Outlook::default());
    };
    let facts = super::facts(app, e, &step).await?;
    let members = app.members(e).await?;
    let now_ms = app.now_ms();
    let agents = members.iter().map(|m| {
        let stands = standing(e, &step, m, app.began_ms(), now_ms);
        let lapsed = |since: u64| now_ms > since.saturating_add(app.timing().lease_ms.into());
        let says = match stands.gone {
            Some(Gone::Silent(since)) if lapsed(since) => {
                "its lease has lapsed: if it lives, it runs the baseline".into()
            }
            _ => m.agent.status.reason.clone(),
        };
        (m.agent.identity.to_string(), stands, says)
    });
    Ok(Outlook {
        agents: agents.collect(),
        waits: match e.phase.is_active() {
            true => waits(e, &facts, now_ms),
            false => None,
        },
    })
}

/// What the present step waits for.
pub(super) fn waits(e: &Experiment, facts: &Facts, now_ms: u64) -> Option<String> {
    let course = e.spec.course();
    let step = course.get(e.at)?;
    let look = Look {
        e,
        facts,
        course: &course,
        step,
        now_ms,
    };
    let memory = Memory::of(e);
    let returning = facts.agents.iter();
    let returning: Vec<&str> = returning
        .filter(|a| a.gone == Some(Gone::Returning))
        .map(|a| a.agent.as_str())
        .collect();
    if !returning.is_empty() {
        let more = if returning.len() > 5 { ", ..." } else { "" };
        let some: Vec<&str> = returning.iter().take(5).copied().collect();
        return Some(format!(
            "The control plane began anew: {} agents are on their way back to it, and waited for until {} at most: \
             {}{more}.",
            returning.len(),
            clock(facts.began_ms.saturating_add(RETURN_MS)),
            some.join(", ")
        ));
    }
    Some(match (e.phase, step.kind) {
        (Phase::Initializing, _) => look.begins(),
        (Phase::Running, Kind::Lint) => "Both pipelines are read.".into(),
        (Phase::Running, Kind::Replay) if facts.windows.is_empty() => format!(
            "Captures are waited for: `phoenix experiment replay {} CAPTURE`.",
            e.name
        ),
        (Phase::Running, Kind::Replay) => look.judge(&memory, u64::MAX, true).reason,
        (Phase::Running, _) => {
            let verdict = look.so_far(&memory);
            let said = match (verdict.outcome, look.dwells_ms()) {
                (Outcome::Promote, left) if left > 0 => format!(
                    "All is well so far; it dwells for another {} s of windows.",
                    left.div_ceil(1000)
                ),
                _ => away(&verdict).unwrap_or(verdict.reason),
            };
            let parts = [
                Some(said),
                look.uncompared(&memory),
                look.apart(&memory),
                Some(look.at_most()),
            ];
            parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
        (Phase::Analyzing, _) => "The last reports are waited for.".into(),
        _ => return None,
    })
}

/// Agents that died come first: what else there is to say may hang on them.
fn away(verdict: &Verdict) -> Option<String> {
    let asked = |c: &&Criterion| c.name == "agents" && c.outcome == Ruling::Unknown;
    let found = verdict.criteria.iter().find(asked);
    found.map(|c| c.reason.clone())
}

impl Look<'_> {
    /// Who is waited for before the step runs, and until when.
    fn begins(&self) -> String {
        let given = self.facts.agents.iter().filter(|a| a.connected && a.given);
        let (runs, waiting): (Vec<&Fact>, Vec<&Fact>) = given.partition(|a| a.runs);
        let states = waiting.iter().map(|a| format!("{} ({})", a.agent, a.state));
        let mut names: Vec<String> = states.collect();
        let all = runs.len() + waiting.len();
        if self.by_node() {
            names.extend(self.absent(&self.e.chosen));
        }
        let what = match self.by_node() {
            true => "their part of the step".to_owned(),
            false => format!("the {}", self.arm()),
        };
        let mut said = match all {
            0 => "No agent of the scope is connected".to_owned(),
            all => format!("{} of {all} agents run {what}", runs.len()),
        };
        if !names.is_empty() {
            let more = if names.len() > 5 { ", ..." } else { "" };
            names.truncate(5);
            said.push_str(&format!("; waiting for {}{more}", names.join(", ")));
        }
        if all == 0 || all > runs.len() || !names.is_empty() {
            let until = clock(self.since_ms().saturating_add(INITIALIZE_MS));
            said.push_str(&format!(", at most until {until}; then it fails"));
        } else {
            said.push_str(": it begins");
        }
        said + "."
    }

    /// Those of `agents` that are not connected, each with what became of it.
    pub(super) fn absent(&self, agents: &[String]) -> Vec<String> {
        let gone = |agent: &String| {
            let fact = self.facts.agents.iter().find(|a| a.agent == *agent);
            Some(match fact {
                None => format!("{agent} (deleted)"),
                Some(fact) => match fact.gone? {
                    Gone::Returning => format!("{agent} (on its way back)"),
                    Gone::Left(since) => format!("{agent} (left at {})", clock(since)),
                    Gone::Silent(since) => format!("{agent} (silent since {})", clock(since)),
                },
            })
        };
        agents.iter().filter_map(gone).collect()
    }

    /// Who took the step and is not there any more, and whether anything can be compared without them.
    fn apart(&self, memory: &Memory) -> Option<String> {
        let absent = self.absent(&memory.agents);
        if absent.is_empty() {
            return None;
        }
        let mut said = format!("Not there: {}.", absent.join(", "));
        let there = self.facts.agents.iter().filter(|a| a.connected && a.given);
        let (with, without): (Vec<&Fact>, Vec<&Fact>) =
            there.partition(|a| self.e.chosen.contains(&a.agent));
        let none = match (with.len(), without.len()) {
            (0, _) => Some("candidate"),
            (_, 0) if self.by_node() && !self.everywhere(memory) => Some("baseline"),
            _ => None,
        };
        if let Some(arm) = none {
            said.push_str(&format!(
                " Nobody runs the {arm}: no window can be compared until an agent does."
            ));
        }
        Some(said)
    }

    /// A portion of a ramp beside which nobody runs the baseline.
    fn uncompared(&self, memory: &Memory) -> Option<String> {
        let says = self.step.kind == Kind::Ramp && self.everywhere(memory);
        says.then(|| format!("Every agent of this step runs the candidate: {UNCOMPARED}."))
    }

    /// The end of the run, however it stands.
    fn at_most(&self) -> String {
        format!(
            "At most until {} (maxDuration): then it ends with what has come.",
            clock(self.deadline())
        )
    }
}

/// As `2026-01-31T12:00:00Z`.
fn clock(ms: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}
