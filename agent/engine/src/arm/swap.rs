//! A plan ends, another begins: stages that are the same keep their state, the others write it out.

use super::close::{Moment, Out};
use super::figures::Carried;
use super::{Arm, Around, folds};
use crate::Nanos;
use crate::aggregate::Written;
use crate::compile::Pipeline;
use crate::engine::Settings;
use crate::route::Paths;
use crate::series::Table;
use crate::splice::runs::Runs;
use crate::stage::fold::folded::Folded;
use crate::stage::partial::Hand;
use crate::stage::{Closing, Running, State};
use std::sync::Arc;

/// What is left of a pipeline that ends: the stages that its successor may keep, and what successors of the others
/// are told.
#[derive(Debug, Default)]
pub struct Estate {
    kept: Vec<(String, Running)>,
    /// Latest time that an ended stage has written: they count from there.
    pub last: Nanos,
    /// Counters that ended stages have folded or written anew.
    pub folded: Folded,
}

impl Arm {
    /// Ends every stage that `keeps` does not keep, each in its place: what it holds goes through the later
    /// stages, whether they end or not; none holds it back for a point that may never come. The figures so far are carried; the arm is left without stages.
    #[allow(clippy::too_many_arguments)]
    pub fn end_stages(
        &mut self,
        keeps: impl Fn(&str) -> bool,
        at: Moment,
        hand: &mut Hand,
        node: &Table,
        around: &mut Around<'_>,
        out: &mut Out,
    ) -> Estate {
        let pipeline = self.pipeline.clone();
        self.ending = true;
        let mut estate = Estate {
            last: at.now,
            ..Estate::default()
        };
        for (number, stage) in pipeline.stages.iter().enumerate() {
            let running = self.stages.get_mut(number);
            if let Some(running) = running.filter(|_| !keeps(&stage.fingerprint)) {
                let mut written = Written::default();
                let ending = (at.now, Closing::Swap, around.expiry);
                let last = running.close_by(number, ending, hand, &mut written);
                estate.last = estate.last.max(last);
                self.written(number, written, at, node, around, out);
            }
            self.release(number, at, node, around, out);
        }
        self.ending = false;
        self.carry();
        let running = std::mem::take(&mut self.stages);
        for (stage, running) in pipeline.stages.iter().zip(running) {
            if keeps(&stage.fingerprint) {
                estate.kept.push((stage.fingerprint.clone(), running));
            } else if let State::Fold(fold) = &running.state {
                fold.put_folded(&mut estate.folded, (at.now, around.expiry));
            }
        }
        self.paths = Paths::default();
        self.guises.clear();
        estate
    }

    /// Keeps what was counted so far, beside what the next plan counts.
    pub(super) fn carry(&mut self) {
        let ledger = self.ledger();
        let protected = self.protected();
        let mut stages = std::mem::take(&mut self.carried.stages);
        for (figures, stage) in self.stage_figures().into_iter().zip(&self.pipeline.stages) {
            stages.insert(stage.fingerprint.clone(), figures);
        }
        for running in &mut self.stages {
            running.tally = Default::default();
            running.state.take_counts();
        }
        self.rejected = 0;
        self.paths.reset();
        self.carried = Carried {
            ledger,
            protected,
            stages,
            panics: self.carried.panics,
        };
    }

    /// Runs another pipeline from here on, with the stages of `estate` where they are the same. `folded`: by
    /// stages that have ended, in what the arm writes on.
    pub fn begin_stages(
        &mut self,
        pipeline: Arc<Pipeline>,
        generation: u32,
        mut estate: Estate,
        folded: &Folded,
        settings: &Settings,
    ) {
        self.stages = pipeline
            .stages
            .iter()
            .map(|stage| {
                let kept = estate
                    .kept
                    .iter()
                    .position(|(of, _)| *of == stage.fingerprint);
                match kept {
                    Some(place) => estate.kept.swap_remove(place).1,
                    None => {
                        let mut begun = Running::new(stage, settings, estate.last);
                        begun.follow_on(folded);
                        begun
                    }
                }
            })
            .collect();
        let known = self.went_out.take().unwrap_or_default();
        self.went_out = folds(&pipeline).then_some(known);
        self.pipeline = pipeline;
        self.generation = generation;
    }

    /// Tells a new arm what stages have folded, in what it writes on.
    pub fn follow_on(&mut self, folded: &Folded) {
        for running in &mut self.stages {
            running.follow_on(folded);
        }
    }

    /// Outputs that begin in this arm from here on start at `time` or later: until then they were
    /// another arm's.
    pub fn begin_outputs_at(&mut self, time: Nanos) {
        for running in &mut self.stages {
            if let Some(aggregation) = running.state.aggregation_mut() {
                aggregation.begin_at(time);
            }
        }
    }

    /// A panic ended the arm: its state is not to be trusted, what it held is lost and counted.
    pub fn end_by_panic(&mut self) {
        (self.dead, self.ending) = (true, false);
        let direct = |running: &Running| match &running.state {
            State::Rewrite(rewriter) => rewriter.direct.points,
            _ => 0,
        };
        // Counted as exported when they were written anew, and lost with the buffer.
        let written: u64 = self.stages.iter().map(direct).sum::<u64>() + self.leaving.points;
        self.carry();
        let ledger = &mut self.carried.ledger;
        if written > 0 {
            ledger.exported = ledger.exported.saturating_sub(written);
            *ledger.dropped.entry("panic".into()).or_default() += written;
        }
        if ledger.held != 0 {
            let lost = u64::try_from(ledger.held).unwrap_or(0);
            *ledger.dropped.entry("panic".into()).or_default() += lost;
            ledger.held -= i64::try_from(lost).unwrap_or(0);
        }
        // What was under way between two stages.
        if let Ok(lost @ 1..) = u64::try_from(ledger.imbalance()) {
            *ledger.dropped.entry("panic".into()).or_default() += lost;
        }
        self.carried.panics += 1;
        self.stages = Vec::new();
        self.paths = Paths::default();
        self.guises.clear();
        self.leaving = Runs::default();
    }
}
