//! What an agent does with desired states, leases, bakes and harm. Pure: time is given, effects are
//! returned; `session` carries them out in order and calls `applied` after each swap.
//!
//! Invariants: what does not compile leaves the running plan untouched; a plan is on disk as baking
//! before it runs and as proven only after its bake; an older revision of the same store is refused;
//! a candidate without a lease never runs.

mod desired;
mod harm;
mod prepare;
mod status;

use super::plans::{Before, Harmed, Plans, Stored};
use phoenix_engine::compile::{Pipeline, Plan};
use phoenix_proto::control::{ExperimentAssignment, Guardrails, PlanState, Status};
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
    /// The experiment whose candidate's lease lapsed, here or in a process before.
    lapsed: Option<String>,
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
            lapsed: saved.lapsed.clone(),
            unproven: None,
            outcomes: Vec::new(),
            saved,
        }
    }

    /// The agent before the present experiment, also where another process measured it.
    pub fn before(&self) -> Option<&Before> {
        self.before.as_ref()
    }

    /// The experiment of which the candidate's lease lapsed, and that has not run since; empty: none.
    pub fn lapsed(&self) -> &str {
        self.lapsed.as_deref().unwrap_or_default()
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
            self.lapsed = Some(candidate.trial.id.clone());
        }
        self.save_if_changed(effects);
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
            lapsed: self.lapsed.clone(),
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
