//! A step that runs: when it is passed, when it is stopped, and what comes after it.

use super::criteria::{self, ask};
use super::next::{Action, Fact, Look, Memory, first_phase, go};
use super::reports::expected_until;
use super::settle::complete;
use crate::app::experiments::Gone;
use crate::documents::Share;
use crate::model::Phase;
use phoenix_analysis::{Ask, Died, Outcome, Verdict, judge};
use std::collections::BTreeMap;

/// Both pipelines were read and compiled; nothing runs on agents.
pub(super) fn lint(look: &Look, memory: Memory) -> Action {
    let problems: Vec<String> = look
        .facts
        .problems
        .iter()
        .map(|p| match p.path.is_empty() {
            true => p.message.clone(),
            false => format!("{}: {}", p.path, p.message),
        })
        .collect();
    if problems.is_empty() {
        return look.advance("nothing stands against it".into(), None, memory);
    }
    look.fail(format!("lint: {}", problems.join("; ")), false)
}

/// Captures are brought by a person; they are judged as a shadow run is.
pub(super) fn replay(look: &Look, mut memory: Memory) -> Action {
    memory.agents.clear();
    if !look.facts.windows.is_empty() {
        let verdict = look.judge(&memory, u64::MAX, true);
        match verdict.outcome {
            Outcome::Promote => {
                let reason = verdict.reason.clone();
                return look.advance(reason, Some(verdict), memory);
            }
            Outcome::Reject => return complete(look, verdict, false, false),
            Outcome::Inconclusive | Outcome::NoData => {}
        }
    }
    if look.now_ms < look.deadline() {
        return Action::Wait;
    }
    let verdict = look.judge(&memory, u64::MAX, true);
    complete(look, verdict, false, false)
}

impl Look<'_> {
    /// The judge on what is there while the step runs.
    pub(super) fn so_far(&self, memory: &Memory) -> Verdict {
        self.judge(memory, expected_until(self.e, self.now_ms), memory.closed)
    }
}

pub(super) fn running(look: &Look, mut memory: Memory) -> Action {
    if let Some((agent, fallen)) = look.refusal() {
        let reason = format!(
            "agent {agent} fell back from the {}: {}",
            look.arm(),
            fallen.reason
        );
        let mut fallen = fallen.clone();
        fallen.reason.clone_from(&reason);
        memory.fallen = Some(fallen);
        return go(Phase::Analyzing, reason, memory);
    }
    let verdict = look.so_far(&memory);
    let said = |v: &Verdict| format!("{}: {}", v.outcome.name(), v.reason);
    match verdict.outcome {
        Outcome::Reject => go(Phase::Analyzing, said(&verdict), memory),
        Outcome::Promote if look.dwelt() => passed(look, verdict, memory),
        _ if look.now_ms >= look.deadline() => {
            memory.closed = true;
            let reason = format!("maxDuration has passed: {}", verdict.reason);
            go(Phase::Analyzing, reason, memory)
        }
        _ => Action::Wait,
    }
}

fn passed(look: &Look, verdict: Verdict, memory: Memory) -> Action {
    if look.e.at + 1 < look.course.len() {
        let reason = verdict.reason.clone();
        return look.advance(reason, Some(verdict), memory);
    }
    if look.everywhere(&memory) {
        // The candidate serves everybody: taking it back to wait for late reports would disturb more
        // than they could tell.
        return complete(look, verdict, true, true);
    }
    let reason = format!("{}: {}", verdict.outcome.name(), verdict.reason);
    go(Phase::Analyzing, reason, memory)
}

impl Look<'_> {
    /// The judge on the windows of the present step.
    pub(super) fn judge(&self, memory: &Memory, until_ms: u64, closed: bool) -> Verdict {
        let ask = ask(self, memory);
        let mut asked = criteria::criteria(self.e, self.step, memory, ask, until_ms);
        asked.closed = closed;
        asked.left_ms = self.left(memory);
        asked.died = Some(self.died(memory));
        judge(&asked, &self.facts.windows)
    }

    /// Agents that leave the denominators, and since when: told to stop, without the candidate, or not known any
    /// more (since ever: whoever deleted it knows that nothing will come).
    fn left(&self, memory: &Memory) -> BTreeMap<String, u64> {
        let of = |agent: &String| {
            let fact = self.facts.agents.iter().find(|a| a.agent == *agent);
            match fact.map(|a| a.gone) {
                None => Some(0),
                Some(Some(Gone::Left(since))) => Some(since),
                Some(_) => None,
            }
        };
        let took = memory.agents.iter();
        took.filter_map(|a| Some((a.clone(), of(a)?))).collect()
    }

    /// Agents whose process ended without a goodbye while it had the candidate.
    fn died(&self, memory: &Memory) -> BTreeMap<String, Died> {
        let of = |a: &Fact| {
            let silent = match a.gone {
                Some(Gone::Silent(since)) if memory.agents.contains(&a.agent) => Some(since),
                _ => None,
            };
            (silent.is_some() || a.deaths > 0 || a.died_ms > 0).then_some(Died {
                times: a.deaths,
                last_ms: silent.unwrap_or(a.died_ms),
                away: silent.is_some(),
            })
        };
        let agents = self.facts.agents.iter();
        agents
            .filter_map(|a| Some((a.agent.clone(), of(a)?)))
            .collect()
    }

    /// The step has lasted as long as it must.
    pub(super) fn dwelt(&self) -> bool {
        self.dwells_ms() == 0
    }

    /// For how long windows must come still. Time in which none came is no time in which the candidate was
    /// seen: the server may have been away, and with it the lease.
    pub(super) fn dwells_ms(&self) -> u64 {
        self.step.dwell_ms.saturating_sub(self.seen_ms())
    }

    /// The time that comparable reports of one agent with the second arm cover, of the one that has most: the
    /// clocks of two are not one.
    fn seen_ms(&self) -> u64 {
        let mut spans: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
        let windows = self.facts.windows.iter();
        for w in windows.filter(|w| w.void_reason.is_empty() && self.e.chosen.contains(&w.agent)) {
            let of = spans.entry(&w.agent).or_default();
            of.push((w.start_ms, w.end_ms));
        }
        spans.into_values().map(covered).max().unwrap_or(0)
    }

    /// The end of the whole run.
    pub(super) fn deadline(&self) -> u64 {
        let started = self.e.started_ms.unwrap_or(self.e.phase_ms);
        started.saturating_add(self.e.spec.max_duration.0)
    }

    /// Every agent runs the candidate for everything: there is nothing to compare with.
    pub(super) fn everywhere(&self, memory: &Memory) -> bool {
        match self.step.share {
            Share::Everything => true,
            Share::Nodes(_) => memory.agents.iter().all(|a| self.e.chosen.contains(a)),
            _ => false,
        }
    }

    /// The goal was shown by a step that is over.
    pub(super) fn shown_before(&self) -> bool {
        self.e.results.iter().any(|r| {
            let asked = r.verdict.as_ref().and_then(|v| v.pointer("/asked/ask"));
            let goal =
                asked.is_some_and(|a| serde_json::to_value(Ask::Goal).is_ok_and(|g| *a == g));
            let live = self.course.get(r.at).is_some_and(|s| s.compares());
            r.passed && goal && live
        })
    }

    /// On to the next step; the last one that passes without agents ends the run without having shown
    /// anything, which no document allows.
    fn advance(&self, reason: String, verdict: Option<Verdict>, memory: Memory) -> Action {
        let Some(step) = self.course.get(self.e.at + 1) else {
            return Action::Wait;
        };
        Action::Advance {
            result: self.result(true, reason.clone(), verdict.as_ref()),
            phase: first_phase(step),
            chosen: self.choose(step),
            reason: format!("{} passed: {reason}", self.step.name),
            memory: Memory {
                rss_before_bytes: memory.rss_before_bytes,
                ..Memory::default()
            },
        }
    }
}

/// How much time these spans cover together.
fn covered(mut spans: Vec<(u64, u64)>) -> u64 {
    spans.sort_unstable();
    let (mut seen, mut until) = (0, 0);
    for (start, end) in spans {
        seen += end.saturating_sub(start.max(until));
        until = until.max(end);
    }
    seen
}
