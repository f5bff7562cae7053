//! Swapping plans: every route of the old one is void, state that the new one shares is kept.

use super::{EXPIRY, Emitted, Engine, Hands, Outs, apart, together};
use crate::Nanos;
use crate::arm::close::Moment;
use crate::arm::{Arm, Split};
use crate::compile::{Action, Candidate, Division, Pipeline, Plan};
use crate::document::Matcher;
use crate::identity::entity_seed;
use crate::query::watch::{Pace, Watch};
use crate::stage::fold::folded::Folded;
use std::sync::Arc;

impl Engine {
    /// Runs another plan from here on. Changed aggregations write a last point stamped `now`;
    /// unchanged stages keep their state; known series are never baselined.
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
        let old = self.candidate.take();
        let stays = |arm: &Arm| {
            plan.candidate.as_ref().is_some_and(|c| {
                c.experiment == arm.experiment && c.pipeline.hash == arm.pipeline.hash && !arm.dead
            })
        };
        // A promoted split: the arm that wrote these outputs goes on with them.
        let promoted = |arm: &Arm| {
            exported
                && !arm.dead
                && !stays(arm)
                && arm.pipeline.hash == plan.baseline.hash
                && self.baseline.pipeline.hash != plan.baseline.hash
        };
        let remains = old.as_ref().is_some_and(stays);
        let promotes = old.as_ref().is_some_and(promoted);
        let (goes_on, times) = (keep && !promotes, (now, self.expiry));
        let mut folded = self
            .baseline
            .folded_so_far(shares(goes_on.then_some(&plan.baseline)), times);
        let of_candidate = old.as_ref().map_or_else(Folded::default, |arm| {
            let goes_on = remains && keep || promotes;
            arm.folded_so_far(shares(goes_on.then_some(&arm.pipeline)), times)
        });
        if exported {
            folded.unite(&of_candidate);
        }
        match old {
            Some(mut arm) if remains => {
                let next = plan.candidate.as_ref().map(|c| c.pipeline.clone());
                let before = if splits(&plan) {
                    &folded
                } else {
                    &of_candidate
                };
                self.renew_baseline(&plan.baseline, keep, &folded, now, hands, &mut outs);
                self.renew(&mut arm, next, keep, before, now, hands, &mut outs);
                arm.bytes_out += outs.candidate.bytes.len() as u64;
                self.candidate = Some(arm);
            }
            Some(mut arm) if promotes => {
                let estate = self.end(&mut arm, Some(&plan.baseline), true, now, hands, &mut outs);
                let mut baseline = self.take_baseline();
                let mut ended = self.end(&mut baseline, None, false, now, hands, &mut outs);
                ended.last = ended.last.max(estate.last);
                baseline.begin_stages(
                    plan.baseline.clone(),
                    self.generation,
                    estate,
                    &folded,
                    &self.settings,
                );
                baseline.begin_outputs_at(ended.last);
                self.baseline = baseline;
                arm.bytes_out += outs.candidate.bytes.len() as u64;
                self.ended
                    .push(arm.figures(&self.names, self.settings.is_shared()));
            }
            old => {
                self.renew_baseline(&plan.baseline, keep, &folded, now, hands, &mut outs);
                if let Some(mut arm) = old {
                    self.end(&mut arm, None, true, now, hands, &mut outs);
                    arm.bytes_out += outs.candidate.bytes.len() as u64;
                    self.ended
                        .push(arm.figures(&self.names, self.settings.is_shared()));
                }
            }
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

    fn renew_baseline(
        &mut self,
        next: &Arc<Pipeline>,
        keep: bool,
        folded: &Folded,
        now: Nanos,
        hands: &mut Hands,
        outs: &mut Outs,
    ) {
        let mut baseline = self.take_baseline();
        let next = Some(next.clone());
        self.renew(&mut baseline, next, keep, folded, now, hands, outs);
        self.baseline = baseline;
    }

    /// The same arm goes on with another pipeline, or with the same.
    #[allow(clippy::too_many_arguments)]
    fn renew(
        &mut self,
        arm: &mut Arm,
        next: Option<Arc<Pipeline>>,
        keep: bool,
        folded: &Folded,
        now: Nanos,
        hands: &mut Hands,
        outs: &mut Outs,
    ) {
        let Some(next) = next else { return };
        let candidate = arm.side == 1;
        let estate = self.end(
            arm,
            Some(&next).filter(|_| keep),
            candidate,
            now,
            hands,
            outs,
        );
        arm.begin_stages(next, self.generation, estate, folded, &self.settings);
    }

    /// Ends the stages that `next` does not share.
    #[allow(clippy::too_many_arguments)]
    fn end(
        &mut self,
        arm: &mut Arm,
        next: Option<&Arc<Pipeline>>,
        candidate: bool,
        now: Nanos,
        hands: &mut Hands,
        outs: &mut Outs,
    ) -> crate::arm::swap::Estate {
        let at = Moment {
            now,
            window: self.window,
        };
        let keeps = shares(next);
        let mut around = around!(self);
        let out = if candidate {
            &mut outs.candidate
        } else {
            &mut outs.baseline
        };
        let hand = &mut hands.ending[arm.side.min(1)];
        arm.end_stages(keeps, at, hand, &self.table, &mut around, out)
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
