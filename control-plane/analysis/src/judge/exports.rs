//! Failed exports: the candidate is blamed for what the baseline's agents do not share.
//!
//! Exports fail in bursts, for reasons that both arms share, and are tried again at random times. So what is
//! compared is not how many tries failed but on which share of an arm's agents. A window in which they fail on more of the
//! candidate's is a question until enough passed without. It is evidence where they fail on half of the candidate's
//! agents or more and not on half of the baseline's in the time around it: an exact sign test over windows of the
//! fleet, a martingale, so it holds however often one looks.

use super::finding::finding;
use super::rare::counted;
use super::select::Selection;
use crate::criteria::{Ask, Criteria, Mode};
use crate::stats::binomial_evidence;
use crate::verdict::{Criterion, Ruling};
use crate::window::{Arm, Window};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};

const NAME: &str = "export errors";

/// The longest pause of an agent between two tries, where its settings say nothing else: outages of a shared next
/// hop show in both arms within this.
const PAUSE_MS: u64 = 30_000;

/// An agent cuts its window, sends it, and it is stored.
const ON_THE_WAY_MS: u64 = 5_000;

pub fn export_errors(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let rails = &criteria.guardrails;
    if !rails.compare_exports && rails.max_export_errors.is_none() {
        let count = selection.all.iter().map(|w| w.export_errors).sum();
        return counted(NAME, "failed exports", count, None);
    }
    let found = match (criteria.ask, criteria.mode) {
        (Ask::Bake, _) => alone(criteria, selection, |w| w.export_errors),
        (_, Mode::Shadow) => shadow(criteria, selection),
        // One stream holds both arms; agents that run the baseline alone can be held against those.
        (_, Mode::Split | Mode::Nodes) => {
            let sides = Sides::new(selection);
            match sides.agents {
                [0, _] | [_, 0] => alone(criteria, selection, |w| w.export_errors),
                _ => compared(criteria, selection, &sides),
            }
        }
    };
    match late(criteria, selection).filter(|_| found.outcome == Ruling::Pass) {
        Some(agent) => Criterion {
            outcome: Ruling::Unknown,
            reason: format!("{agent} is late with its reports: its exports may fail."),
            ..found
        },
        None => found,
    }
}

/// An agent with the candidate whose reports lag behind those of others: it keeps them back while it tries again.
fn late<'a>(criteria: &Criteria, selection: &Selection<'a>) -> Option<&'a str> {
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    for window in &selection.all {
        newest.insert(&window.agent, window.start_ms);
    }
    let latest = newest.values().max().copied()?;
    let lag = criteria
        .window_ms
        .saturating_mul(2)
        .saturating_add(ON_THE_WAY_MS);
    let away = |agent: &str| {
        let died = criteria.died.as_ref().and_then(|all| all.get(agent));
        criteria.left_ms.contains_key(agent) || died.is_some_and(|d| d.away)
    };
    let late = |agent: &&str| {
        let newest = newest.get(agent).copied().unwrap_or(latest);
        newest.saturating_add(lag) < latest && !away(agent)
    };
    selection.candidates.iter().copied().find(late)
}

/// Comparable windows that each agent has reported itself since it last failed.
fn since<'a>(selection: &Selection<'_>, failed: &BTreeMap<&'a str, u64>) -> BTreeMap<&'a str, u64> {
    let mut since: BTreeMap<&str, u64> = failed.keys().map(|agent| (*agent, 0)).collect();
    for window in selection.comparable() {
        let agent = window.agent.as_str();
        if let (Some(failed), Some(n)) = (failed.get(agent), since.get_mut(agent)) {
            *n += u64::from(window.start_ms > *failed);
        }
    }
    since
}

/// A shadow candidate exports nothing, or to a destination of its own.
fn shadow(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let of = |w: &Window| w.candidate_arm().and_then(|arm: &Arm| arm.export_errors);
    if selection.all.iter().any(|w| of(w).is_some()) {
        return alone(criteria, selection, |w| of(w).unwrap_or(0));
    }
    let of_agents: u64 = selection.all.iter().map(|w| w.export_errors).sum();
    let reason = format!(
        "{of_agents} exports failed, none of them of the candidate: a shadow candidate exports nothing."
    );
    let figures = json!({ "ofAgents": of_agents });
    finding(NAME, Ruling::NotAsked, reason, figures)
}

/// Nothing goes the same way that is the baseline's alone, so that failures prove nothing: they are a question
/// until the agent has had `minWindows` comparable windows without one.
fn alone(
    criteria: &Criteria,
    selection: &Selection<'_>,
    failures: impl Fn(&Window) -> u64,
) -> Criterion {
    let count = selection.all.iter().map(|w| failures(w)).sum();
    if criteria.guardrails.max_export_errors.is_some() || count == 0 {
        let limit = criteria.guardrails.max_export_errors.or(Some(0));
        return counted(NAME, "failed exports", count, limit);
    }
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for window in selection.all.iter().filter(|w| failures(w) > 0) {
        last.insert(&window.agent, window.start_ms);
    }
    let since = since(selection, &last);
    let least = u64::from(criteria.min_windows);
    let figures = json!({ "count": count, "agents": last.len(), "windowsSince": since });
    let told = format!("{count} exports failed, and there is no baseline to compare with");
    let waited = since.iter().find(|(_, windows)| **windows < least);
    let (ruling, reason) = match waited {
        Some((agent, windows)) => (
            Ruling::Unknown,
            format!(
                "{told}: {agent} has had {windows} comparable windows since, {least} are asked for."
            ),
        ),
        None => (
            Ruling::Pass,
            format!("{told}; none has failed for {least} windows."),
        ),
    };
    finding(NAME, ruling, reason, figures).against(format!("none for {least} windows"))
}

/// Failed tries by start of the window and agent, in each arm, and how many agents are in it.
struct Sides<'a> {
    failed: [BTreeMap<u64, BTreeMap<&'a str, u64>>; 2],
    agents: [usize; 2],
    /// Start of the newest report of each agent.
    newest: [BTreeMap<&'a str, u64>; 2],
}

/// The windows in which exports failed on a larger share of an arm's agents than of the other's.
#[derive(Default)]
struct Apart<'a> {
    windows: u64,
    tries: u64,
    /// When each of the agents failed so for the last time.
    agents: BTreeMap<&'a str, u64>,
    /// Of these windows, those that the time around them does not excuse.
    evidence: u64,
}

impl<'a> Sides<'a> {
    /// Of agents that have the candidate, and of those that run the baseline alone. Void reports count as well: an
    /// outage is a reason to be void.
    fn new(selection: &Selection<'a>) -> Sides<'a> {
        let mut failed: [BTreeMap<u64, BTreeMap<&str, u64>>; 2] = Default::default();
        let mut newest: [BTreeMap<&str, u64>; 2] = Default::default();
        for window in &selection.all {
            let agent = window.agent.as_str();
            let side = usize::from(selection.candidates.contains(agent));
            newest[side].insert(agent, window.start_ms);
            if window.export_errors > 0 {
                let here = failed[side].entry(window.start_ms).or_default();
                *here.entry(agent).or_default() += window.export_errors;
            }
        }
        Sides {
            failed,
            agents: [0, 1].map(|side: usize| newest[side].len()),
            newest,
        }
    }

    fn tries(&self, side: usize) -> u64 {
        let windows = self.failed[side].values();
        windows.flat_map(BTreeMap::values).sum()
    }

    /// How many agents of an arm failed in windows that began not further than `around_ms` from this one.
    fn near(&self, side: usize, start: u64, around_ms: u64) -> usize {
        let range = start.saturating_sub(around_ms)..=start.saturating_add(around_ms);
        let windows = self.failed[side].range(range);
        let agents: HashSet<&str> = windows.flat_map(|(_, of)| of.keys().copied()).collect();
        agents.len()
    }

    /// Half of an arm's agents have reported past this window: what failed there is known.
    fn told(&self, side: usize, start: u64) -> bool {
        let past = self.newest[side].values().filter(|newest| **newest > start);
        past.count() * 2 >= self.agents[side]
    }

    fn apart(&self, side: usize, around_ms: u64) -> Apart<'a> {
        let other = 1 - side;
        let larger =
            |ours: usize, theirs: usize| ours * self.agents[other] > theirs * self.agents[side];
        let mut apart = Apart::default();
        for (start, agents) in &self.failed[side] {
            if !larger(agents.len(), self.near(other, *start, 0)) {
                continue;
            }
            apart.windows += 1;
            apart.tries += agents.values().sum::<u64>();
            apart
                .agents
                .extend(agents.keys().map(|agent| (*agent, *start)));
            let [ours, theirs] = [side, other].map(|side| self.near(side, *start, around_ms));
            let half = ours * 2 >= self.agents[side] && theirs * 2 < self.agents[other];
            let known = self.told(other, *start);
            apart.evidence += u64::from(known && half && larger(ours, theirs));
        }
        apart
    }
}

/// Agents with the candidate against agents without.
fn compared(criteria: &Criteria, selection: &Selection<'_>, sides: &Sides<'_>) -> Criterion {
    let limit = criteria.guardrails.max_export_errors.unwrap_or(0);
    let around_ms = criteria.window_ms.saturating_add(PAUSE_MS);
    let [fewer, more] = [0, 1].map(|side| sides.apart(side, around_ms));
    let [baselines, candidates] = sides.agents;
    // The arm with more agents has more occasions to fail.
    let chance = candidates as f64 / (baselines + candidates) as f64;
    let evidence = binomial_evidence(more.evidence, fewer.evidence, chance.clamp(0.5, 0.99));
    let needed = 1.0 / criteria.alpha;
    let least = u64::from(criteria.min_windows).saturating_mul(more.evidence.max(1));
    let since = since(selection, &more.agents);
    let since = since.into_values().min().unwrap_or_default();
    let [baseline, candidate] = [0, 1].map(|side| sides.tries(side));
    let figures = json!({
        "baseline": baseline, "candidate": candidate,
        "candidateAlone": more.tries, "limit": limit, "agents": more.agents.keys().collect::<Vec<_>>(),
        "windowsCandidateAlone": more.windows, "windowsBaselineAlone": fewer.windows,
        "windowsSince": since, "evidence": evidence, "evidenceNeeded": needed,
    });
    let counts = format!(
        "{candidate} exports of agents with the candidate failed, {baseline} of those with the baseline"
    );
    let alone = format!(
        "{counts}; in {} windows on more of the candidate's",
        more.windows
    );
    let (ruling, reason) = if more.tries <= limit {
        let reason = match more.tries {
            0 => format!("{counts}; in no window on more of the candidate's."),
            tries => format!("{alone}: {tries}, {limit} allowed."),
        };
        (Ruling::Pass, reason)
    } else if evidence >= needed {
        (Ruling::Harm, format!("{alone}, and no chance."))
    } else if since < least || criteria.guardrails.max_export_errors.is_some() {
        let agents: Vec<&str> = more.agents.keys().take(5).copied().collect();
        let which = match more.agents.len() * 2 < candidates {
            true => format!(" (only {})", agents.join(", ")),
            false => String::new(),
        };
        let reason = format!(
            "{alone}{which}; it can be chance: they have reported {since} windows since, {least} are asked for."
        );
        (Ruling::Unknown, reason)
    } else {
        let reason = format!("{alone}, and in none of {since} windows since.");
        (Ruling::Pass, reason)
    };
    finding(NAME, ruling, reason, figures)
        .against(format!("at most {limit} that the baseline does not share"))
}
