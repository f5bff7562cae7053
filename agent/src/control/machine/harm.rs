//! What did harm is taken back.

use super::{Effect, Harmed, Machine, prepare, say};
use crate::guard::Breach;
use phoenix_proto::control::{Harm, PlanState};

impl Machine {
    /// The agent ended the candidate arm by itself and runs the baseline alone.
    pub fn candidate_ended(
        &mut self,
        experiment: &str,
        breach: &Breach,
        generation: u64,
    ) -> Vec<Effect> {
        self.generation = generation;
        let Some(candidate) = self.candidate.take_if(|c| c.trial.id == experiment) else {
            return Vec::new();
        };
        self.candidate_runs = false;
        self.candidate_bake = None;
        self.swapping.retain(|hash| *hash != candidate.hash);
        if candidate.hash != self.baseline.hash() {
            self.outcomes.retain(|o| o.hash != candidate.hash);
        }
        let harmed = Harmed {
            experiment: experiment.to_owned(),
            revision: candidate.trial.revision,
            hash: candidate.hash.clone(),
            harm: breach.harm.into(),
            measured: breach.measured,
            threshold: breach.threshold,
            reason: breach.reason.clone(),
        };
        self.put(harmed.status());
        self.harmed = Some(harmed);
        let mut effects = vec![say(true, format!("candidate ended: {}", breach.reason))];
        self.save_if_changed(&mut effects);
        effects.extend(self.report_of(&candidate.hash));
        effects
    }

    /// The baseline does harm: inside its bake, the plan proven before it comes back.
    pub fn harm(&mut self, reason: &str) -> Vec<Effect> {
        if self.baseline_bake.take().is_none() {
            return Vec::new();
        }
        let previous = self.previous.take().unwrap_or_else(prepare::pass_through);
        let bad = std::mem::replace(&mut self.baseline, previous);
        let hash = bad.hash().to_owned();
        self.refused.push(hash.clone());
        self.candidate = None;
        self.candidate_runs = false;
        self.candidate_bake = None;
        self.outcomes.clear();
        let mut effects = vec![say(
            true,
            format!("plan {} taken back: {reason}", bad.pipeline.name),
        )];
        self.save_if_changed(&mut effects);
        self.order_swap(&mut effects);
        // What became of the desired state is the last word, not that the old plan runs again.
        self.swapping.clear();
        self.outcome(PlanState::RolledBack, &hash, vec![], reason);
        if let Some(status) = self.outcomes.last_mut() {
            status.harm = Harm::Ledger.into();
        }
        effects
    }
}
