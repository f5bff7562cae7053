//! What an agent does with desired states, leases, bakes and harm. Pure: time is given, effects are
//! returned; `session` carries them out in order and calls `applied` after each swap.
//!
//! Invariants: what does not compile leaves the running plan untouched; a plan is on disk as baking
//! before it runs and as proven only after its bake; an older revision of the same store is refused;
//! a candidate without a lease never runs.

mod prepare;
mod status;

use super::plans::{Before, Harmed, Plans, Stored};
use crate::guard::Breach;
use phoenix_engine::compile::{Pipeline, Plan};
use phoenix_proto::control::{
    DesiredState, ExperimentAssignment, Guardrails, Harm, PlanState, Status,
};
use std::sync::Arc;
use std::time::Duration;

/// Since the process began; never goes back.
pub type Time = Duration;

/// The experiment that a swap starts, for the reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Unique id of the experiment.
    pub id: String,
    /// Its revision.
    pub revision: u64,
    /// Length of a window.
    pub window: Duration,
    /// What the agent watches by itself while it runs.
    pub guardrails: Guardrails,
}

/// What is to be done, in the order given.
#[derive(Debug)]
pub enum Effect {
    /// The fleet's seed changed.
    Reseed(u64),
    /// Run this plan; then call `applied`.
    Swap {
        /// One pipeline or two arms.
        plan: Arc<Plan>,
        /// Set where the plan has a candidate.
        trial: Option<Trial>,
    },
    /// Write this to the state folder before going on.
    Save(Plans),
    /// Tell the server, if it can be reached.
    Report(Status),
    /// Tell the operator.
    Say {
        /// Whether it is a warning.
        loud: bool,
        /// One sentence.
        text: String,
    },
}

/// A pipeline that serves, or served, as baseline.
#[derive(Debug, Clone)]
struct Baseline {
    pipeline: Arc<Pipeline>,
    /// None: pass-through, which is nothing that was assigned.
    stored: Option<Stored>,
    plan: Arc<Plan>,
    proven: bool,
}

impl Baseline {
    fn hash(&self) -> &str {
        self.stored.as_ref().map_or("", |s| &s.hash)
    }
}

/// What the server wants beside the baseline.
#[derive(Debug, Clone)]
struct Candidate {
    /// The assignment without lease and document: equal means nothing is to be done.
    key: ExperimentAssignment,
    hash: String,
    pipeline: Arc<Pipeline>,
    plan: Arc<Plan>,
    trial: Trial,
}

/// The decisions of one agent.
#[derive(Debug)]
pub struct Machine {
    store_id: String,
    revision: u64,
    fleet_seed: u64,
    generation: u64,
    baseline: Baseline,
    /// The proven plan to go back to while the baseline is being baked.
    previous: Option<Baseline>,
    baseline_bake: Option<Time>,
    candidate: Option<Candidate>,
    candidate_runs: bool,
    candidate_bake: Option<Time>,
    lease: Time,
    bake_for: Duration,
    /// Hashes that are reported as active once the swap that was ordered is done.
    swapping: Vec<String>,
    /// Baselines refused or taken back under this revision.
    refused: Vec<String>,
    /// A candidate that did harm here. It is not started again for this experiment, and is told of until the
    /// server's desired state is without the experiment: then it was heard.
    harmed: Option<Harmed>,
    /// The agent before the present experiment.
    before: Option<Before>,
    /// Found on disk as baking; forgotten once it is reported.
    unproven: Option<Stored>,
    outcomes: Vec<Status>,
    saved: Plans,
}

impl Machine {
    /// A machine that runs the plan last proven healthy, or passes everything through.
    pub fn boot(plans: Plans) -> (Machine, Vec<Effect>) {
        let mut machine = Machine::empty(plans.clone());
        let mut effects = Vec::new();
        if let Some(stored) = plans.proven {
            match prepare::baseline(&stored) {
                Ok(baseline) => {
                    machine.baseline = Baseline {
                        proven: true,
                        ..baseline
                    };
                    effects.push(say(false, format!("booted plan {}", stored.name)));
                }
                Err(problems) => {
                    effects.push(say(
                        true,
                        format!("the stored plan {} can no longer run", stored.name),
                    ));
                    machine.outcome(PlanState::Rejected, &stored.hash, problems, "");
                }
            }
        }
        if machine.baseline.stored.is_none() {
            effects.push(say(true, PASS_THROUGH.into()));
        }
        if machine.outcomes.is_empty() {
            let hash = machine.baseline.hash().to_owned();
            machine.outcome(PlanState::Healthy, &hash, vec![], "");
        }
        if let Some(stored) = plans.baking {
            let reason = "the agent ended before the bake of this plan did; it was not booted";
            effects.push(say(true, format!("plan {}: {reason}", stored.name)));
            machine.outcome(PlanState::Unproven, &stored.hash, vec![], reason);
            machine.unproven = Some(stored);
        }
        if let Some(harmed) = &machine.harmed {
            let status = harmed.status();
            machine.put(status);
        }
        (machine, effects)
    }

    fn empty(saved: Plans) -> Machine {
        Machine {
            store_id: saved.store_id.clone(),
            revision: saved.revision,
            fleet_seed: saved.fleet_seed,
            generation: 0,
            baseline: prepare::pass_through(),
            previous: None,
            baseline_bake: None,
            candidate: None,
            candidate_runs: false,
            candidate_bake: None,
            lease: Time::ZERO,
            bake_for: Duration::ZERO,
            swapping: Vec::new(),
            refused: Vec::new(),
            harmed: saved.harmed.clone(),
            before: saved.before.clone(),
            unproven: None,
            outcomes: Vec::new(),
            saved,
        }
    }

    /// The agent before the present experiment, also where another process measured it.
    pub fn before(&self) -> Option<&Before> {
        self.before.as_ref()
    }

    /// A candidate is watched, against this.
    pub fn watched(&mut self, before: Before) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.before = Some(before);
        self.save_if_changed(&mut effects);
        effects
    }

    /// What runs, or is about to.
    pub fn plan(&self) -> Arc<Plan> {
        match &self.candidate {
            Some(candidate) if self.candidate_runs => candidate.plan.clone(),
            _ => self.baseline.plan.clone(),
        }
    }

    /// Seed of canonical identities.
    pub fn fleet_seed(&self) -> u64 {
        self.fleet_seed
    }

    /// Store and revision of the last desired state that was taken.
    pub fn taken(&self) -> (&str, u64) {
        (&self.store_id, self.revision)
    }

    /// Whether the baseline's bake runs: the time in which harm takes it back.
    pub fn is_baking(&self) -> bool {
        self.baseline_bake.is_some()
    }

    /// A stream is open and Hello is sent: says where everything stands.
    pub fn connected(&mut self, generation: u64) -> Vec<Effect> {
        self.generation = generation;
        let mut effects = self.reports();
        self.unproven = None;
        self.save_if_changed(&mut effects);
        effects
    }

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

    fn order_swap(&mut self, effects: &mut Vec<Effect>) {
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

    /// The swap that was ordered is done.
    pub fn applied(&mut self, generation: u64, now: Time) -> Vec<Effect> {
        self.generation = generation;
        let until = now + self.bake_for;
        if !self.baseline.proven && self.baseline_bake.is_none() {
            self.baseline_bake = Some(until);
        }
        if self.candidate_runs && self.candidate_bake.is_none() {
            self.candidate_bake = Some(until);
        }
        for hash in std::mem::take(&mut self.swapping) {
            let proven = hash == self.baseline.hash() && self.baseline.proven;
            let state = if proven {
                PlanState::Healthy
            } else {
                PlanState::Active
            };
            let reason = self.reason_of(&hash);
            self.outcome(state, &hash, vec![], &reason);
        }
        self.reports()
    }

    /// Lets time pass: leases lapse and bakes end.
    pub fn tick(&mut self, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.baseline_bake.is_some_and(|until| until <= now) {
            self.baseline_bake = None;
            self.baseline.proven = true;
            self.previous = None;
            self.save_if_changed(&mut effects);
            let hash = self.baseline.hash().to_owned();
            self.outcome(PlanState::Healthy, &hash, vec![], "");
            effects.extend(self.report_of(&hash));
        }
        if self.candidate_runs && self.lease <= now {
            self.lapse(&mut effects);
        } else if self.candidate_bake.is_some_and(|until| until <= now) {
            // Kept past its end, so that it does not begin anew with the next swap.
            self.candidate_bake = Some(Time::MAX);
            if let Some(hash) = self.candidate.as_ref().map(|c| c.hash.clone()) {
                self.outcome(PlanState::Healthy, &hash, vec![], "");
                effects.extend(self.report_of(&hash));
            }
        }
        effects
    }

    fn lapse(&mut self, effects: &mut Vec<Effect>) {
        self.candidate_runs = false;
        self.candidate_bake = None;
        if let Some(candidate) = &self.candidate {
            let hash = candidate.hash.clone();
            self.outcomes.retain(|o| o.hash != hash);
        }
        let text = "the candidate's lease lapsed; back to the baseline";
        effects.push(say(true, text.into()));
        self.order_swap(effects);
    }

    /// When `tick` is next due.
    pub fn deadline(&self) -> Option<Time> {
        let lease = self.candidate_runs.then_some(self.lease);
        let bakes = [self.baseline_bake, self.candidate_bake];
        let due = bakes.into_iter().flatten().filter(|t| *t < Time::MAX);
        due.chain(lease).min()
    }

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

    fn save_if_changed(&mut self, effects: &mut Vec<Effect>) {
        let proven = match (&self.previous, self.baseline.proven) {
            (_, true) => self.baseline.stored.clone(),
            (previous, false) => previous.as_ref().and_then(|p| p.stored.clone()),
        };
        let baking = self
            .baseline
            .stored
            .clone()
            .filter(|_| !self.baseline.proven);
        let plans = Plans {
            store_id: self.store_id.clone(),
            revision: self.revision,
            fleet_seed: self.fleet_seed,
            proven,
            baking: baking.or_else(|| self.unproven.clone()),
            harmed: self.harmed.clone(),
            before: self.before.clone(),
        };
        if plans != self.saved {
            self.saved = plans.clone();
            effects.push(Effect::Save(plans));
        }
    }
}

const PASS_THROUGH: &str = "no plan is assigned: everything passes through unchanged";

fn say(loud: bool, text: String) -> Effect {
    Effect::Say { loud, text }
}

#[cfg(test)]
mod tests;
