//! Which candidate the guardrails watch, and how long it took to go back.

use super::machine::{Time, Trial};
use crate::guard::{Breach, Guard, Sample};
use std::time::Duration;

/// The candidate that is watched.
#[derive(Debug, Default)]
pub(super) struct Watch {
    guard: Option<Guard>,
    /// Of the last experiment: its id, and the resident bytes before its first candidate ran. Later steps
    /// are held against the same.
    before: Option<(String, Option<u64>)>,
    /// When the present candidate's end was ordered.
    ordered: Option<Time>,
}

impl Watch {
    /// Another plan is about to run. `before`: the agent without its candidate.
    pub fn begin(&mut self, trial: Option<&Trial>, before: &Sample, now: Time) {
        self.ordered = None;
        let Some(trial) = trial else {
            self.guard = None;
            return;
        };
        let known = self.before.take().filter(|(id, _)| *id == trial.id);
        let (id, rss_bytes) = known.unwrap_or_else(|| (trial.id.clone(), before.rss_bytes));
        self.before = Some((id, rss_bytes));
        let before = Sample {
            rss_bytes,
            ..*before
        };
        self.guard = Some(Guard::new(trial.guardrails, &before, now));
    }

    /// Whether a candidate is watched.
    pub fn runs(&self) -> bool {
        self.guard.is_some()
    }

    /// Looks once; what is too much, and then no more.
    pub fn look(&mut self, sample: &Sample, now: Time) -> Option<Breach> {
        let breach = self.guard.as_mut()?.look(sample, now)?;
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
