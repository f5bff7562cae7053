//! Figures of several workers as those of one node. A series is on one worker alone, so that counts
//! add; what many workers can see (an entity) is united by what it is.

use super::{
    ArmFigures, AttributeFigures, Cardinality, MetricFigures, Protected, Report, StageFigures,
    Volume,
};
use crate::ledger::Ledger;
use crate::query::partial::Partials;
use std::collections::BTreeMap;

impl Report {
    /// Takes the figures of another worker of the same node, cut at the same edge.
    pub fn unite(&mut self, other: Report) {
        self.baseline.unite(other.baseline);
        unite(&mut self.candidate, other.candidate, ArmFigures::unite);
        let mut theirs = other.ended.into_iter();
        for (own, ended) in self.ended.iter_mut().zip(theirs.by_ref()) {
            own.unite(ended);
        }
        self.ended.extend(theirs);
        self.shared_cpu = self.shared_cpu.zip(other.shared_cpu).map(|(a, b)| a + b);
        self.shared_bytes += other.shared_bytes;
        self.bytes_in += other.bytes_in;
    }
}

fn unite<T>(own: &mut Option<T>, other: Option<T>, how: impl Fn(&mut T, T)) {
    match (own, other) {
        (Some(own), Some(theirs)) => how(own, theirs),
        (own @ None, theirs) => *own = theirs,
        (Some(_), None) => {}
    }
}

fn sum(own: Option<(u64, u64)>, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
    let both = own.zip(other);
    both.map(|((a, b), (c, d))| (a + c, b + d))
}

impl ArmFigures {
    fn unite(&mut self, other: ArmFigures) {
        self.ledger.add(&other.ledger);
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.samples = sum(self.samples, other.samples);
        self.series_in.add(&other.series_in);
        self.series_out.add(&other.series_out);
        unite(&mut self.compared, other.compared, |own, theirs| {
            own.0.add(&theirs.0);
            own.1.add(&theirs.1);
        });
        self.compared_bytes = sum(self.compared_bytes, other.compared_bytes);
        self.protected.add(&other.protected);
        for (own, theirs) in self.stages.iter_mut().zip(&other.stages) {
            own.add(theirs);
        }
        unite_metrics(&mut self.metrics, other.metrics);
        self.panics += other.panics;
        self.identity_conflicts += other.identity_conflicts;
        unite(&mut self.entities, other.entities, Cardinality::unite);
        let add = |own: &mut Volume, theirs: Volume| own.add(&theirs);
        unite(&mut self.unassigned, other.unassigned, add);
        unite(&mut self.queries, other.queries, Partials::unite);
        self.cpu = self.cpu.zip(other.cpu).map(|(a, b)| a + b);
        unite(&mut self.latency, other.latency, |own, theirs| {
            own.merge(&theirs)
        });
        self.state_bytes += other.state_bytes;
        unite(&mut self.attributes, other.attributes, unite_attributes);
    }
}

impl Ledger {
    /// Adds another account.
    pub fn add(&mut self, other: &Ledger) {
        self.received += other.received;
        self.exported += other.exported;
        self.filtered += other.filtered;
        self.merged += other.merged;
        self.sampled_out += other.sampled_out;
        self.suppressed += other.suppressed;
        self.rejected += other.rejected;
        self.held += other.held;
        for (reason, points) in &other.dropped {
            *self.dropped.entry(reason.clone()).or_default() += points;
        }
    }
}

impl Cardinality {
    /// Adds what nobody else has seen.
    fn add(&mut self, other: &Cardinality) {
        self.exact = self.exact.zip(other.exact).map(|(a, b)| a + b);
        self.sketch.merge(&other.sketch);
    }

    /// Unites what both may have seen.
    fn unite(&mut self, other: Cardinality) {
        self.sketch.merge(&other.sketch);
        let both = self.exact.is_some() && other.exact.is_some();
        self.exact = None;
        if let (true, Some(own), Some(theirs)) = (both, &mut self.seen, other.seen) {
            own.extend(theirs);
            self.exact = Some(own.len() as u64);
        }
    }
}

impl Protected {
    fn add(&mut self, other: &Protected) {
        self.points_in += other.points_in;
        self.points_out += other.points_out;
        self.series_in += other.series_in;
        self.series_out += other.series_out;
    }
}

impl Volume {
    fn add(&mut self, other: &Volume) {
        self.points_in += other.points_in;
        self.points_out += other.points_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.samples = sum(self.samples, other.samples);
        self.series_in += other.series_in;
        self.series_out += other.series_out;
    }
}

impl StageFigures {
    fn add(&mut self, other: &StageFigures) {
        self.points_in += other.points_in;
        self.points_out += other.points_out;
        self.series_in += other.series_in;
        self.series_out += other.series_out;
        self.absorbed += other.absorbed;
        self.emitted += other.emitted;
        for (reason, points) in &other.counts {
            *self.counts.entry(reason.clone()).or_default() += points;
        }
    }
}

fn unite_attributes(own: &mut Vec<AttributeFigures>, other: Vec<AttributeFigures>) {
    let rows = std::mem::take(own).into_iter();
    let mut by_key: BTreeMap<String, AttributeFigures> =
        rows.map(|row| (row.key.clone(), row)).collect();
    for mut row in other {
        if let Some(known) = by_key.remove(&row.key) {
            row.series += known.series;
            row.seen = match (row.seen, known.seen) {
                (Some(mut theirs), Some(own)) => {
                    theirs.extend(own);
                    Some(theirs)
                }
                _ => None,
            };
            row.values = row.seen.as_ref().map(|seen| seen.len() as u64);
        }
        by_key.insert(row.key.clone(), row);
    }
    own.extend(by_key.into_values());
    AttributeFigures::sort(own);
}

fn unite_metrics(own: &mut Vec<MetricFigures>, other: Vec<MetricFigures>) {
    let rows = std::mem::take(own).into_iter();
    let mut by_name: BTreeMap<String, MetricFigures> =
        rows.map(|row| (row.name.clone(), row)).collect();
    for row in other {
        let into = by_name.entry(row.name.clone()).or_default();
        into.name = row.name;
        into.points_in += row.points_in;
        into.points_out += row.points_out;
        into.series_in += row.series_in;
        into.series_out += row.series_out;
    }
    own.extend(by_name.into_values());
    MetricFigures::sort(own);
}
