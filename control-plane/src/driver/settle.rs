//! The end of a run: last reports, the verdict of the last step, and what follows from it.

use super::next::SETTLE_MS;
use super::next::{Action, Look, Memory};
use super::reports::expected_until;
use crate::documents::{Kind, OnFailure, OnSuccess, Step};
use phoenix_analysis::{Ask, Outcome, Verdict};

/// The agents go back to the baseline; their last reports come; the verdict is about all of them.
pub(super) fn analyzing(look: &Look, memory: Memory) -> Action {
    let agents = look.facts.agents.iter();
    let left = agents.clone().all(|a| !a.connected || !a.runs);
    let since = look.now_ms.saturating_sub(look.since_ms());
    if since < SETTLE_MS.0 || (!left && since < SETTLE_MS.1) {
        return Action::Wait;
    }
    let until = expected_until(look.e, look.e.phase_ms);
    let verdict = look.judge(&memory, until, memory.closed);
    if let Some(fallen) = memory
        .fallen
        .as_ref()
        .filter(|_| verdict.outcome != Outcome::Reject)
    {
        return look.fail(fallen.reason.clone(), fallen.harm);
    }
    let passed = verdict.outcome == Outcome::Promote && look.dwelt();
    complete(look, verdict, passed, false)
}

/// Ends the experiment with the verdict of its present step, passed or not. `on`: the candidate runs everywhere.
pub(super) fn complete(look: &Look, verdict: Verdict, passed: bool, on: bool) -> Action {
    let verdict = verdict.priced();
    let result = look.result(passed, verdict.reason.clone(), Some(&verdict));
    let mut judged: Vec<Judged> = look
        .e
        .results
        .iter()
        .filter_map(|r| {
            let verdict = serde_json::from_value(r.verdict.clone()?).ok()?;
            Some(Judged {
                at: r.at,
                passed: r.passed,
                verdict,
            })
        })
        .collect();
    let harm = verdict.harm;
    judged.push(Judged {
        at: look.e.at,
        passed,
        verdict,
    });
    let verdict = conclude(look.course, &judged);
    let rejected = verdict.outcome == Outcome::Reject;
    let promoted = verdict.outcome == Outcome::Promote;
    let bars = harm || look.e.spec.on_failure == OnFailure::Quarantine;
    Action::Complete {
        result,
        promote: promoted && look.e.spec.on_success == OnSuccess::Promote,
        holds: promoted && on && look.e.spec.on_success == OnSuccess::Hold,
        quarantine: (rejected && bars).then(|| verdict.reason.clone()),
        verdict: Box::new(verdict),
    }
}

/// The judge's word on one step.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Place of the step in the course.
    pub at: usize,
    /// It was passed: the verdict says so and the step lasted as long as it must.
    pub passed: bool,
    pub verdict: Verdict,
}

/// The verdict on an experiment whose steps were judged: that of the first one that was not passed;
/// where all were, that of the last one which showed the goal.
pub fn conclude(course: &[Step], judged: &[Judged]) -> Verdict {
    let of = |at: usize| judged.iter().find(|j| j.at == at);
    for (at, step) in course.iter().enumerate() {
        match of(at) {
            Some(found) if !found.passed => return stopped(step, found),
            // Nothing is measured in lint.
            None if step.kind != Kind::Lint => return not_run(step, judged),
            _ => {}
        }
    }
    let live = |j: &&Judged| course.get(j.at).is_some_and(Step::compares);
    let goal = |j: &&Judged| j.verdict.asked.ask == Ask::Goal;
    match judged.iter().rev().find(|j| live(j) && goal(j)) {
        Some(found) => found.verdict.clone(),
        None => inconclusive(
            judged,
            "No step could compare the candidate with the baseline.".into(),
        ),
    }
}

fn stopped(step: &Step, found: &Judged) -> Verdict {
    let mut verdict = found.verdict.clone();
    if step.kind == Kind::Aa && verdict.outcome == Outcome::Reject {
        // It says nothing of the candidate.
        verdict.outcome = Outcome::Inconclusive;
        verdict.harm = false;
        verdict.reason = format!(
            "The baseline differs from itself, the measuring cannot be trusted: {}",
            verdict.reason
        );
    } else if verdict.outcome == Outcome::Promote {
        verdict.outcome = Outcome::Inconclusive;
        verdict.reason = format!("maxDuration passed before step {} had dwelt.", step.name);
    }
    verdict
}

fn not_run(step: &Step, judged: &[Judged]) -> Verdict {
    let reason = format!("maxDuration passed before step {} was run.", step.name);
    inconclusive(judged, reason)
}

/// The figures of the last step with another outcome.
fn inconclusive(judged: &[Judged], reason: String) -> Verdict {
    let mut verdict = match judged.last() {
        Some(last) => last.verdict.clone(),
        None => phoenix_analysis::judge(&super::criteria::nothing(), &[]),
    };
    verdict.outcome = Outcome::Inconclusive;
    verdict.reason = reason;
    verdict
}
