//! What became of a desired state, pipeline by pipeline: the last word on each, in order of change.

use super::{Effect, Machine};
use phoenix_engine::document::Problem;
use phoenix_proto::control::{self as proto, PlanState, Status};

impl Machine {
    pub(super) fn outcome(
        &mut self,
        state: PlanState,
        hash: &str,
        problems: Vec<Problem>,
        reason: &str,
    ) {
        self.put(Status {
            state: state.into(),
            hash: hash.to_owned(),
            problems: problems
                .into_iter()
                .map(|p| proto::Problem {
                    path: p.path,
                    message: p.message,
                })
                .collect(),
            reason: reason.to_owned(),
            ..Default::default()
        });
    }

    pub(super) fn put(&mut self, status: Status) {
        // A pipeline against itself has one hash in both arms: what an experiment's arm did is told apart.
        self.outcomes
            .retain(|o| o.hash != status.hash || o.experiment != status.experiment);
        self.outcomes.push(status);
    }

    /// Says at once that it compiled: the swap comes only after it is on disk.
    pub(super) fn validated(&mut self, hash: &str, effects: &mut Vec<Effect>) {
        self.outcome(PlanState::Validated, hash, vec![], "");
        effects.extend(self.report_of(hash));
    }

    /// A renewal, or a revision that changes nothing that runs here.
    pub(super) fn restate(&mut self) {
        let hash = self.baseline.hash().to_owned();
        if !self.outcomes.iter().any(|o| o.hash == hash) {
            let baking = self.baseline_bake.is_some();
            let state = if baking {
                PlanState::Active
            } else {
                PlanState::Healthy
            };
            let reason = self.reason_of(&hash);
            self.outcome(state, &hash, vec![], &reason);
        }
        let Some(candidate) = self.candidate.as_ref().filter(|_| self.candidate_runs) else {
            return;
        };
        let hash = candidate.hash.clone();
        if !self.outcomes.iter().any(|o| o.hash == hash) {
            let baked = self.candidate_bake == Some(super::Time::MAX);
            let state = if baked {
                PlanState::Healthy
            } else {
                PlanState::Active
            };
            self.outcome(state, &hash, vec![], "");
        }
    }

    /// Why a plan runs that the desired state does not fully describe.
    pub(super) fn reason_of(&self, hash: &str) -> String {
        if hash != self.baseline.hash() {
            String::new()
        } else if self.candidate.is_some() && !self.candidate_runs {
            "the candidate's lease lapsed".into()
        } else if hash.is_empty() {
            "nothing is assigned: pass-through".into()
        } else {
            String::new()
        }
    }

    pub(super) fn reports(&self) -> Vec<Effect> {
        self.outcomes
            .iter()
            .map(|o| Effect::Report(self.complete(o)))
            .collect()
    }

    pub(super) fn report_of(&self, hash: &str) -> Option<Effect> {
        let outcome = self.outcomes.iter().rev().find(|o| o.hash == hash)?;
        Some(Effect::Report(self.complete(outcome)))
    }

    /// Adds what runs at this moment.
    fn complete(&self, outcome: &Status) -> Status {
        // Between the order and the swap the old plan still runs; what is said then is corrected
        // by `applied` a moment later.
        let candidate = self.candidate.as_ref().filter(|_| self.candidate_runs);
        let experiment = candidate.map(|c| c.trial.id.clone());
        let step = candidate.map(|c| c.trial.revision);
        Status {
            store_id: self.store_id.clone(),
            revision: self.revision,
            generation: self.generation,
            active_hash: self.baseline.hash().to_owned(),
            candidate_hash: candidate.map(|c| c.hash.clone()).unwrap_or_default(),
            experiment: experiment.unwrap_or_else(|| outcome.experiment.clone()),
            experiment_revision: step.unwrap_or(outcome.experiment_revision),
            ..outcome.clone()
        }
    }
}
