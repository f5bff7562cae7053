//! What an experiment that is not over waits for, and how its agents stand: for people who look while it runs.

use super::next::{Facts, Look, Memory};
use crate::app::experiments::{Gone, Standing, standing};
use crate::app::{App, Error};
use crate::documents::Kind;
use crate::model::{Experiment, Phase};
use phoenix_analysis::{Criterion, Outcome, Ruling, Verdict};

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
    let returning = returning
        .filter(|a| a.gone == Some(Gone::Returning))
        .count();
    if returning > 0 {
        return Some(format!(
            "The control plane began anew: {returning} agents are on their way back to it."
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
            match (verdict.outcome, look.dwells_ms()) {
                (Outcome::Promote, left) if left > 0 => {
                    format!(
                        "All is well so far; it dwells for another {} s.",
                        left.div_ceil(1000)
                    )
                }
                _ => away(&verdict).unwrap_or(verdict.reason),
            }
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
