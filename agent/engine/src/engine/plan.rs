//! Swapping plans: every route of the old one is void, state that the new one shares is kept.

use super::{EXPIRY, Emitted, Engine, Hands, Outs, apart, together};
use crate::Nanos;
use crate::arm::close::Moment;
use crate::arm::swap::Estate;
use crate::arm::{Arm, Split};
use crate::compile::{Action, Candidate, Division, Pipeline, Plan};
use crate::document::Matcher;
use crate::identity::entity_seed;
use crate::query::watch::{Pace, Watch};
use crate::stage::fold::folded::Folded;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

impl Engine {
    /// Runs another plan from here on. What changed stages hold goes through the later stages of the old plan, open
    /// windows stamped `now`; unchanged stages keep their state; known series are never baselined.
    pub fn swap(&mut self, plan: Arc<Plan>, now: Nanos) -> Emitted {
        self.advance(now);
        self.swap_by(plan, self.now, &mut Hands::default())
    }

    /// As `swap`, at an instant that all workers share.
    pub(super) fn swap_by(&mut self, plan: Arc<Plan>, now: Nanos, hands: &mut Hands) -> Emitted {
        let mut outs = self.close(crate::stage::Closing::Due, now, hands);
        let exported = self.exports_candidate();
        // Where the division changes, entities change their arm: an output that one arm wrote may be
        // the other's from here on, so that each has to end what it has written.
        let keep = division(&self.plan) == division(&plan);
        self.generation += 1;
        let mut old = self.candidate.take();
        let stays = |arm: &Arm| {
            plan.candidate.as_ref().is_some_and(|c| {
                c.experiment == arm.experiment && c.pipeline.hash == arm.pipeline.hash && !arm.dead
            })
        };
        // A promoted split: the arm that wrote these outputs goes on with them.
        let served = self.baseline.pipeline.hash == plan.baseline.hash;
        let promoted = |arm: &Arm| {
            exported
                && !arm.dead
                && !stays(arm)
                && arm.pipeline.hash == plan.baseline.hash
                && !served
        };
        let mut of_candidate = old.as_mut().map_or_else(Estate::default, |arm| {
            let goes_on = stays(arm) && keep || promoted(arm);
            let next = Some(arm.pipeline.clone()).filter(|_| goes_on);
            let estate = self.end_candidate_stages(arm, next.as_ref(), now, hands, &mut outs);
            arm.bytes_out += outs.candidate.bytes.len() as u64;
            estate
        });
        let remains = old.as_ref().is_some_and(stays);
        let promotes = old.as_ref().is_some_and(promoted);
        let mut baseline = self.take_baseline();
        let next = Some(&plan.baseline).filter(|_| keep && !promotes);
        let mut estate = self.end(&mut baseline, next, now, hands, &mut outs);
        let mut folded = std::mem::take(&mut estate.folded);
        let folded_there = std::mem::take(&mut of_candidate.folded);
        if exported {
            folded.unite(&folded_there);
        }
        let next = plan.baseline.clone();
        if promotes {
            let last = estate.last.max(of_candidate.last);
            self.go_on(&mut baseline, next, of_candidate, &folded);
            baseline.begin_outputs_at(last);
        } else {
            self.go_on(&mut baseline, next, estate, &folded);
            if let Some(arm) = old.as_mut().filter(|_| remains) {
                // A shadow goes on with its own.
                let before = if splits(&plan) {
                    &folded
                } else {
                    &folded_there
                };
                self.go_on(arm, arm.pipeline.clone(), of_candidate, before);
            }
        }
        self.baseline = baseline;
        match old {
            Some(arm) if remains => self.candidate = Some(arm),
            Some(arm) => {
                let figures = arm.figures(&self.names, self.settings.is_shared());
                self.ended.push(figures);
            }
            None => {}
        }
        if self.candidate.is_none() {
            self.candidate = plan.candidate.as_ref().map(|c| self.fresh(c, now));
            // A shadow begins with nothing.
            if let Some(arm) = self.candidate.as_mut().filter(|_| splits(&plan)) {
                arm.follow_on(&folded);
            }
        }
        let emitted = self.leave(outs, exported);
        // Whether a sweep came to it or not: what had expired does not come back with a longer expiry.
        self.forgotten = self.forgotten.max(now.saturating_sub(self.patience));
        self.plan = plan;
        self.shape();
        emitted
    }

    fn fresh(&self, candidate: &Candidate, now: Nanos) -> Arm {
        Arm::new(
            candidate.pipeline.clone(),
            &candidate.experiment,
            1,
            self.generation,
            &self.settings,
            now,
        )
    }

    /// Moves the baseline out, so that the engine can lend itself to it.
    fn take_baseline(&mut self) -> Arm {
        let spare = Arm::new(Pipeline::pass_through(), "", 0, 0, &self.settings, 0);
        std::mem::replace(&mut self.baseline, spare)
    }

    /// Ends the stages that `next` does not share.
    fn end(
        &mut self,
        arm: &mut Arm,
        next: Option<&Arc<Pipeline>>,
        now: Nanos,
        hands: &mut Hands,
        outs: &mut Outs,
    ) -> Estate {
        let at = Moment {
            now,
            window: self.window,
        };
        let keeps = shares(next);
        let mut around = around!(self);
        let (hand, out) = match arm.side {
            0 => (&mut hands.ending[0], &mut outs.baseline),
            _ => (&mut hands.ending[1], &mut outs.candidate),
        };
        arm.end_stages(keeps, at, hand, &self.table, &mut around, out)
    }

    /// The same of a candidate, which a panic ends alone.
    fn end_candidate_stages(
        &mut self,
        arm: &mut Arm,
        next: Option<&Arc<Pipeline>>,
        now: Nanos,
        hands: &mut Hands,
        outs: &mut Outs,
    ) -> Estate {
        let written = (outs.candidate.bytes.len(), outs.candidate.points);
        let done = catch_unwind(AssertUnwindSafe(|| self.end(arm, next, now, hands, outs)));
        done.unwrap_or_else(|_| {
            // Nothing half written leaves.
            outs.candidate.bytes.truncate(written.0);
            outs.candidate.points = written.1;
            arm.end_by_panic();
            Estate::default()
        })
    }

    /// An arm goes on with another pipeline, or with the same.
    fn go_on(&self, arm: &mut Arm, next: Arc<Pipeline>, estate: Estate, folded: &Folded) {
        arm.begin_stages(next, self.generation, estate, folded, &self.settings);
    }

    /// What the ending plan wrote, by how that plan divided.
    fn leave(&mut self, outs: Outs, exported: bool) -> Emitted {
        self.baseline.bytes_out += outs.baseline.bytes.len() as u64;
        match exported {
            true => together(outs.baseline, &outs.candidate),
            false => apart(outs.baseline, outs.candidate),
        }
    }

    /// Queries begin anew with every plan: what an arm wrote before is another's.
    fn watch(&mut self) {
        /// An arm's points are written by then, also where the clock ticks in between.
        const SLACK: Nanos = 1_000_000_000;
        let (window, late) = self.plan.lag();
        let pace = Pace {
            began: self.now.max(self.settings.began),
            reach: window + SLACK,
            settle: late + SLACK,
        };
        for arm in std::iter::once(&mut self.baseline).chain(&mut self.candidate) {
            arm.watch = self
                .plan
                .queries
                .as_ref()
                .map(|asked| Box::new(Watch::new(asked.clone(), pace, &self.settings)));
        }
    }

    /// What the running plan asks of every point: the protected set, the split, the expiry.
    pub(super) fn shape(&mut self) {
        self.measured.clone_from(&self.plan.baseline.protect);
        self.meter.run(self.plan.candidate.is_some());
        (self.pass, self.cuts) = Default::default();
        self.split = None;
        self.scope.clear();
        if let Some(candidate) = &self.plan.candidate {
            self.scope.extend(candidate.scope.iter().cloned());
            self.measured.extend(candidate.protect.iter().cloned());
            if let Division::Split { entity, percent } = &candidate.division {
                let seed = entity_seed(&candidate.experiment);
                self.split = Some(Split::new(entity.clone(), *percent, seed));
            }
        }
        for arm in std::iter::once(&mut self.baseline).chain(&mut self.candidate) {
            let by_entity = self.split.as_ref().is_some_and(|s| !s.entity.is_empty());
            arm.entities = by_entity.then(Default::default);
            arm.weighs_outside = by_entity || !self.scope.is_empty();
            let part = self.split.is_some() || !self.scope.is_empty();
            arm.inside = part.then(Default::default);
            arm.compared = (arm.side == 0 && arm.weighs_outside).then(Default::default);
            arm.samples = self.plan.candidate.is_some().then_some((0, 0));
            arm.measured = self.meter.runs();
            (arm.cost, arm.attributes) = Default::default();
        }
        self.watch();
        let candidate = self.plan.candidate.as_ref().map(|c| &c.pipeline);
        let longest = std::iter::once(&self.plan.baseline)
            .chain(candidate)
            .flat_map(|pipeline| &pipeline.stages)
            .filter_map(|stage| match &stage.action {
                Action::Aggregate(aggregate) => Some(aggregate.expiry),
                Action::Fold(fold) => Some(fold.expiry),
                _ => None,
            })
            .max();
        self.patience = longest.unwrap_or(EXPIRY);
        self.advance(self.now);
    }
}

/// Whether the next pipeline has the same stage.
fn shares(next: Option<&Arc<Pipeline>>) -> impl Fn(&str) -> bool {
    move |fingerprint| {
        next.is_some_and(|next| next.stages.iter().any(|s| s.fingerprint == fingerprint))
    }
}

/// Whether both arms of a plan write to the output.
pub(super) fn splits(plan: &Plan) -> bool {
    let candidate = plan.candidate.as_ref();
    candidate.is_some_and(|c| matches!(c.division, Division::Split { .. }))
}

/// How a plan divides what it receives; nothing without a split.
fn division(plan: &Plan) -> Option<(&str, Vec<&str>, f64, &[Matcher])> {
    let candidate = plan.candidate.as_ref()?;
    match &candidate.division {
        Division::Shadow => None,
        Division::Split { entity, percent } => {
            let mut keys: Vec<&str> = entity.iter().map(String::as_str).collect();
            keys.sort_unstable();
            Some((&candidate.experiment, keys, *percent, &candidate.scope))
        }
    }
}
