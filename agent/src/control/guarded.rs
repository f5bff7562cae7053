//! Which candidate the guardrails watch, and how long it took to go back.

use super::machine::{Time, Trial};
use super::plans::Before;
use crate::guard::{Answers, Breach, Guard, Refusals, Sample};
use std::time::Duration;

/// The candidate that is watched.
#[derive(Debug, Default)]
pub(super) struct Watch {
    guard: Option<Guard>,
    refusals: Refusals,
    /// Of the last experiment, before its first candidate ran. Later steps are held against the same.
    before: Option<Before>,
    /// When the present candidate's end was ordered.
    ordered: Option<Time>,
}

impl Watch {
    /// Watches nothing yet. `before`: as a process of before found it.
    pub fn since(before: Option<&Before>) -> Watch {
        Watch {
            before: before.cloned(),
            ..Watch::default()
        }
    }

    /// Another plan is about to run. `before`: the agent without its candidate.
    pub fn begin(&mut self, trial: Option<&Trial>, before: &Sample, now: Time) {
        self.ordered = None;
        self.idle(before.answers, now);
        let Some(trial) = trial else {
            self.guard = None;
            return;
        };
        let known = self.before.take().filter(|b| b.experiment == trial.id);
        let known = known.unwrap_or_else(|| Before {
            experiment: trial.id.clone(),
            rss_bytes: before.rss_bytes,
        });
        let before = Sample {
            rss_bytes: known.rss_bytes,
            ..*before
        };
        self.before = Some(known);
        self.guard = Some(Guard::new(trial.guardrails, &before, now));
    }

    /// What the candidate that is watched is held against.
    pub fn before(&self) -> Option<Before> {
        self.before.clone().filter(|_| self.guard.is_some())
    }

    /// Whether a candidate is watched.
    pub fn runs(&self) -> bool {
        self.guard.is_some()
    }

    /// Looks once at what the next hop says without a candidate that would be ended for it.
    pub fn idle(&mut self, answers: Answers, now: Time) {
        self.refusals.look(answers, false, now);
    }

    /// Looks once; what is too much, and then no more.
    pub fn look(&mut self, sample: &Sample, now: Time) -> Option<Breach> {
        let guard = self.guard.as_mut()?;
        let ends = guard.ends_if_refused();
        let refused = self.refusals.look(sample.answers, ends, now);
        let breach = guard.look(sample, now).or(refused)?;
        self.guard = None;
        self.ordered = Some(now);
        Some(breach)
    }

    /// The baseline runs alone again: how long there was harm, at most.
    pub fn ended(&mut self, breach: &Breach, now: Time) -> Duration {
        self.guard = None;
        let ordered = self.ordered.take().unwrap_or(now);
        breach.lasted + now.saturating_sub(ordered)
    }
}
