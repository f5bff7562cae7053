//! A desired state is taken: what of it can run is ordered, what stands against it is told.

use super::{Baseline, Candidate, Effect, Machine, PASS_THROUGH, Time, prepare, say};
use phoenix_proto::control::{DesiredState, PlanState};
use std::time::Duration;

impl Machine {
    /// The server's complete desired state, or the same again to renew a lease.
    pub fn desired(&mut self, wanted: &DesiredState, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let before = self.outcomes.clone();
        if wanted.store_id == self.store_id && wanted.revision < self.revision {
            let text = format!(
                "refused revision {} of the desired state: {} was taken before",
                wanted.revision, self.revision
            );
            effects.push(say(true, text));
            effects.extend(self.reports());
            return effects;
        }
        let newer = wanted.store_id != self.store_id || wanted.revision != self.revision;
        if newer {
            self.store_id.clone_from(&wanted.store_id);
            self.revision = wanted.revision;
            self.refused.clear();
            self.outcomes.clear();
        }
        self.bake_for = Duration::from_millis(wanted.bake_ms.into());
        let wanted_id = wanted.experiment.as_ref().map(|e| &e.experiment);
        self.harmed
            .take_if(|harmed| wanted_id != Some(&harmed.experiment));
        self.before
            .take_if(|before| wanted_id != Some(&before.experiment));
        if self.fleet_seed != wanted.fleet_seed {
            self.fleet_seed = wanted.fleet_seed;
            effects.push(Effect::Reseed(wanted.fleet_seed));
        }
        let swaps = match self.wanted_baseline(wanted) {
            Some(baseline) => self.take(baseline, wanted, now, &mut effects),
            None => {
                self.save_if_changed(&mut effects);
                false
            }
        };
        // A swap reports when it is done; a mere renewal has nothing to say.
        if !swaps && (newer || self.outcomes != before) {
            effects.extend(self.reports());
        }
        effects
    }

    /// The baseline that is wanted, if it compiles and was not refused before.
    fn wanted_baseline(&mut self, wanted: &DesiredState) -> Option<Baseline> {
        let Some(pipeline) = &wanted.baseline else {
            return Some(prepare::pass_through());
        };
        if pipeline.hash == self.baseline.hash() {
            return Some(self.baseline.clone());
        }
        if self.refused.contains(&pipeline.hash) {
            return None;
        }
        match prepare::baseline(&prepare::stored(pipeline)) {
            Ok(baseline) => Some(baseline),
            Err(problems) => {
                self.refused.push(pipeline.hash.clone());
                self.outcome(PlanState::Rejected, &pipeline.hash, problems, "");
                None
            }
        }
    }

    /// Makes it what runs; false where it ran already.
    fn take(
        &mut self,
        baseline: Baseline,
        wanted: &DesiredState,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let lease = wanted.experiment.as_ref().map_or(0, |e| e.lease_ms);
        let candidate = match lease {
            0 => None,
            _ => self.wanted_candidate(&baseline, wanted),
        };
        self.lease = now + Duration::from_millis(lease.into());
        let new_baseline = baseline.hash() != self.baseline.hash();
        let key = |c: &Option<Candidate>| c.as_ref().map(|c| c.key.clone());
        let runs = if self.candidate_runs {
            key(&self.candidate)
        } else {
            None
        };
        let new_candidate = runs != key(&candidate);
        if new_baseline {
            if baseline.stored.is_none() {
                effects.push(say(true, PASS_THROUGH.into()));
            }
            let old = std::mem::replace(&mut self.baseline, baseline);
            self.outcomes.retain(|o| o.hash != old.hash());
            if old.proven {
                self.previous = Some(old);
            }
            self.baseline_bake = None;
            let hash = self.baseline.hash().to_owned();
            self.validated(&hash, effects);
        }
        if new_candidate {
            self.candidate_bake = None;
            if let Some(candidate) = &candidate {
                self.validated(&candidate.hash.clone(), effects);
            }
        }
        self.candidate_runs = candidate.is_some();
        self.lapsed.take_if(|_| candidate.is_some());
        self.candidate = candidate;
        // On disk as baking before it runs: a crash in the swap must not boot it.
        self.save_if_changed(effects);
        if new_baseline || new_candidate {
            self.order_swap(effects);
        } else {
            self.restate();
        }
        new_baseline || new_candidate
    }

    /// What is to run beside the baseline; what stands against it becomes an outcome.
    fn wanted_candidate(
        &mut self,
        baseline: &Baseline,
        wanted: &DesiredState,
    ) -> Option<Candidate> {
        let assignment = wanted.experiment.as_ref()?;
        if let Some(harmed) = &self.harmed
            && harmed.experiment == assignment.experiment
            && assignment
                .candidate
                .as_ref()
                .is_some_and(|c| c.hash == harmed.hash)
        {
            let status = harmed.status();
            self.put(status);
            return None;
        }
        let present = self.candidate.as_ref();
        match prepare::candidate(baseline, assignment, present) {
            Ok(candidate) => Some(candidate),
            Err((hash, problems)) => {
                self.outcome(PlanState::Rejected, &hash, problems, "");
                None
            }
        }
    }

    pub(super) fn order_swap(&mut self, effects: &mut Vec<Effect>) {
        let candidate = self.candidate.as_ref().filter(|_| self.candidate_runs);
        let trial = candidate.map(|c| c.trial.clone());
        self.swapping = vec![self.baseline.hash().to_owned()];
        if self.candidate_bake.is_none() {
            self.swapping.extend(candidate.map(|c| c.hash.clone()));
        }
        effects.push(Effect::Swap {
            plan: self.plan(),
            trial,
        });
    }
}
