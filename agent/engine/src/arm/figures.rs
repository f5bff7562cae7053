//! An arm's figures: sums over its paths and its stages' tallies.

use super::{Arm, Distinct};
use crate::engine::Fault;
use crate::engine::meter::Cost;
use crate::ledger::Ledger;
use crate::report::{ArmFigures, Cardinality, MetricFigures, Protected, StageFigures, Volume};
use crate::route::{End, Path};
use crate::series::names::Names;
use crate::stage::{Running, State, Tally};
use std::collections::BTreeMap;

/// What was counted under earlier plans since the last cut.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    pub(super) ledger: Ledger,
    pub(super) protected: Protected,
    /// By the stage's fingerprint.
    pub(super) stages: BTreeMap<String, StageFigures>,
    /// Panics caught.
    pub panics: u64,
}

impl Arm {
    /// Does what a test wants to go wrong.
    #[cold]
    #[allow(clippy::panic)]
    pub fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::Panic => panic!("asked for by a test"),
            Fault::Ledger => self.carried.ledger.filtered += 1,
        }
    }

    /// Figures since the last cut. `shared`: other workers may have seen the same entities.
    pub fn figures(&self, names: &Names, shared: bool) -> ArmFigures {
        ArmFigures {
            hash: self.pipeline.hash.clone(),
            ledger: self.ledger(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            samples: self.samples,
            series_in: cardinality(&self.series_in),
            series_out: cardinality(&self.series_out),
            compared: self.compared.as_ref().map(|both| {
                (
                    part(&both.0, &self.series_in),
                    part(&both.1, &self.series_out),
                )
            }),
            compared_bytes: self.inside.as_ref().map(|inside| inside.bytes),
            protected: self.protected(),
            stages: self.stage_figures(),
            metrics: self.metric_figures(names),
            panics: self.carried.panics,
            identity_conflicts: self.conflicts,
            entities: self.entities.as_ref().map(|e| e.cardinality(shared)),
            unassigned: (self.side == 0 && self.weighs_outside).then(|| self.unassigned()),
            cpu: self.measured.then_some(self.cost.cpu),
            latency: self.measured.then(|| self.cost.latency.clone()),
            state_bytes: self.bytes() as u64,
            attributes: self.attributes.as_ref().map(|a| a.figures(shared)),
            queries: None,
        }
    }

    /// Begins to count anew.
    pub fn reset(&mut self) {
        self.paths.reset();
        for running in &mut self.stages {
            running.tally = Tally::default();
            running.state.take_counts();
        }
        self.metrics.clear();
        self.series_in = Distinct::default();
        self.series_out = Distinct::default();
        if let Some(went_out) = &mut self.went_out {
            went_out.clear();
        }
        if let Some(entities) = &mut self.entities {
            entities.reset();
        }
        self.carried = Carried::default();
        (self.cost, self.attributes) = (Cost::default(), None);
        (self.bytes_in, self.bytes_out) = (0, 0);
        self.samples = self.samples.map(|_| (0, 0));
        self.compared = self.compared.take().map(|_| Default::default());
        if let Some(inside) = &mut self.inside {
            inside.bytes = (0, 0);
        }
        (self.rejected, self.conflicts) = (0, 0);
    }

    /// Series were freed and more of them may come again than is remembered: counts become estimates.
    pub fn miscounts(&mut self) {
        (self.series_in.inexact, self.series_out.inexact) = (true, true);
    }

    /// The account of points since the last cut.
    pub fn ledger(&self) -> Ledger {
        let mut ledger = self.carried.ledger.clone();
        ledger.received += self.rejected;
        ledger.rejected += self.rejected;
        for Path { way, points, .. } in self.paths.iter() {
            if way.end == End::Other {
                continue;
            }
            if way.entry == 0 {
                ledger.received += points;
            }
            match way.end {
                End::Emit => ledger.exported += points,
                End::Filtered => ledger.filtered += points,
                End::SampledOut => ledger.sampled_out += points,
                End::Hold | End::Absorb | End::Rewrite | End::Gate => {}
                End::Fold | End::Other => {}
            }
        }
        for (number, running) in self.stages.iter().enumerate() {
            let tally = &running.tally;
            ledger.sampled_out += tally.sampled_out;
            ledger.suppressed += tally.suppressed;
            for (reason, points) in &tally.dropped {
                *ledger.dropped.entry((*reason).into()).or_default() += points;
            }
            ledger.filtered += filtered(tally);
            if running.keeps_original() {
                // It takes copies: nothing is held or taken away, and what it writes is added.
                ledger.merged -= signed(tally.emitted);
                continue;
            }
            if matches!(running.state, State::Gate(_)) {
                continue;
            }
            let left = tally.closed + tally.sampled_out + tally.suppressed;
            ledger.held += signed(self.absorbed(number)) - signed(left);
            ledger.merged += signed(tally.closed) - signed(tally.emitted);
        }
        ledger
    }

    /// Points taken into the state of a stage.
    fn absorbed(&self, number: usize) -> u64 {
        let ending: u64 = self
            .paths
            .iter()
            .filter(|path| {
                let end = path.way.end;
                matches!(end, End::Hold | End::Absorb | End::Rewrite | End::Fold)
            })
            .filter(|path| usize::from(path.way.stage) == number)
            .map(|path| path.points)
            .sum();
        let Some(running) = self.stages.get(number) else {
            return ending;
        };
        let dropped: u64 = running.tally.dropped.values().sum();
        ending.saturating_sub(running.tally.passed + dropped + filtered(&running.tally))
    }

    pub(super) fn protected(&self) -> Protected {
        let mut sum = self.carried.protected;
        for Path {
            way,
            points,
            series,
            ..
        } in self.paths.iter()
        {
            if !way.measured {
                continue;
            }
            if way.entry == 0 {
                sum.points_in += points;
                sum.series_in += series;
            }
            if way.end == End::Emit {
                sum.points_out += points;
                sum.series_out += series;
            }
        }
        sum
    }

    /// What is outside the comparison. Of bytes: what there would not be without it.
    fn unassigned(&self) -> Volume {
        let inside = self.inside.as_ref().map_or((0, 0), |inside| inside.bytes);
        let mut sum = Volume {
            bytes_in: self.bytes_in.saturating_sub(inside.0),
            bytes_out: self.bytes_out.saturating_sub(inside.1),
            samples: self.samples.map(|_| (0, 0)),
            ..Volume::default()
        };
        for path in self.paths.iter().filter(|path| path.way.unassigned) {
            if path.way.entry == 0 {
                sum.points_in += path.points;
                sum.series_in += path.series;
                sum.samples = sum.samples.map(|(came, left)| (came + path.samples, left));
            }
            if path.way.end == End::Emit {
                sum.points_out += path.points;
                sum.series_out += path.series;
                sum.samples = sum.samples.map(|(came, left)| (came, left + path.samples));
            }
        }
        sum
    }

    pub(super) fn stage_figures(&self) -> Vec<StageFigures> {
        self.stages
            .iter()
            .zip(&self.pipeline.stages)
            .enumerate()
            .map(|(number, (running, stage))| {
                let mut figures = self
                    .carried
                    .stages
                    .get(&stage.fingerprint)
                    .cloned()
                    .unwrap_or_default();
                figures.id.clone_from(&stage.id);
                figures.kind = stage.kind().into();
                self.add_stage(number, running, &mut figures);
                figures
            })
            .collect()
    }

    fn add_stage(&self, number: usize, running: &Running, figures: &mut StageFigures) {
        for Path {
            way,
            points,
            series,
            ..
        } in self.paths.iter()
        {
            let (entry, end) = (usize::from(way.entry), usize::from(way.stage));
            if way.end == End::Other {
                continue;
            }
            if entry <= number && number <= end {
                figures.points_in += points;
                figures.series_in += series;
            }
            if (entry <= number && number < end) || entry == number + 1 {
                figures.points_out += points;
                figures.series_out += series;
            }
            let mut count = |reason: String| *figures.counts.entry(reason).or_default() += points;
            if end == number && way.end == End::Filtered {
                count(way.rule.name());
            }
            for (_, reason) in way
                .notes
                .iter()
                .filter(|(at, _)| usize::from(*at) == number)
            {
                count((*reason).into());
            }
        }
        for (rule, points) in &running.tally.filtered {
            *figures.counts.entry(rule.name()).or_default() += points;
        }
        if running.tally.suppressed > 0 {
            *figures.counts.entry("suppressed".into()).or_default() += running.tally.suppressed;
        }
        figures.absorbed += self.absorbed(number);
        figures.emitted += running.tally.emitted;
        let tallied = running.tally.counts.iter().chain(&running.tally.dropped);
        for (reason, points) in tallied {
            *figures.counts.entry((*reason).into()).or_default() += points;
        }
        if let Some(aggregation) = running.state.aggregation() {
            for (reason, points) in aggregation.counts().iter() {
                *figures.counts.entry(reason.into()).or_default() += points;
            }
        }
    }

    fn metric_figures(&self, names: &Names) -> Vec<MetricFigures> {
        let mut rows: Vec<MetricFigures> = self
            .metrics
            .iter()
            .enumerate()
            .filter(|(_, count)| count.points_in + count.points_out > 0)
            .map(|(number, count)| MetricFigures {
                name: names.name(number).into(),
                points_in: count.points_in,
                points_out: count.points_out,
                series_in: count.series_in,
                series_out: count.series_out,
            })
            .collect();
        MetricFigures::sort(&mut rows);
        rows
    }
}

fn cardinality(distinct: &Distinct) -> Cardinality {
    Cardinality {
        exact: (!distinct.inexact).then_some(distinct.count),
        sketch: distinct.sketch.clone(),
        seen: None,
    }
}

/// Of a part of what is counted, which is no more exact than the whole.
fn part(distinct: &Distinct, whole: &Distinct) -> Cardinality {
    let mut found = cardinality(distinct);
    found.exact = found.exact.filter(|_| !whole.inexact);
    found
}

fn filtered(tally: &Tally) -> u64 {
    tally.filtered.iter().map(|(_, points)| points).sum()
}

fn signed(points: u64) -> i64 {
    i64::try_from(points).unwrap_or(i64::MAX)
}
