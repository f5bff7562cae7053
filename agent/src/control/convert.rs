//! The engine's figures as messages of the push protocol, inside their size limit.

use phoenix_engine::ledger::Ledger;
use phoenix_engine::query::partial::{Group, Partials};
use phoenix_engine::report::{
    ArmFigures, AttributeFigures, Cardinality, Latency, MetricFigures, StageFigures, Volume,
};
use phoenix_proto::control as proto;
use prost::Message;

/// Rows of a report's metric table before the row of the rest.
const METRICS: usize = 50;
/// Rows of a report's table of attribute keys before the row of the rest.
const ATTRIBUTES: usize = 50;
/// Largest window report.
pub const REPORT_BYTES: usize = 64 * 1024;
/// Largest message with what queries found: somewhat less than the control plane takes.
const MESSAGE_BYTES: usize = 960 * 1024;

/// One arm of a window report. `stream` is what lies in the arm's exporter: (from, to] in points.
pub fn arm(arm: proto::Arm, figures: &ArmFigures, stream: (u64, u64)) -> proto::ArmReport {
    proto::ArmReport {
        arm: arm.into(),
        hash: figures.hash.clone(),
        ledger: Some(ledger(&figures.ledger)),
        bytes_in: figures.bytes_in,
        bytes_out: figures.bytes_out,
        samples_in: figures.samples.map(|(came, _)| came),
        samples_out: figures.samples.map(|(_, left)| left),
        series_in: Some(cardinality(&figures.series_in)),
        series_out: Some(cardinality(&figures.series_out)),
        compared_series_in: figures.compared.as_ref().map(|(came, _)| cardinality(came)),
        compared_series_out: figures.compared.as_ref().map(|(_, left)| cardinality(left)),
        compared_bytes_in: figures.compared_bytes.map(|(came, _)| came),
        compared_bytes_out: figures.compared_bytes.map(|(_, left)| left),
        protected_points_in: figures.protected.points_in,
        protected_points_out: figures.protected.points_out,
        protected_series_in: figures.protected.series_in,
        protected_series_out: figures.protected.series_out,
        stages: figures.stages.iter().map(stage).collect(),
        metrics: largest(figures.metrics.iter().map(metric).collect(), METRICS),
        panics: figures.panics,
        identity_conflicts: figures.identity_conflicts,
        stream_from: stream.0,
        stream_to: stream.1,
        entities: figures.entities.as_ref().map(cardinality),
        unassigned: figures.unassigned.as_ref().map(volume),
        queries: figures.queries.as_ref().map(partials),
        cpu_seconds: figures.cpu.map(seconds),
        added_latency: figures.latency.as_ref().map(latency),
        memory_bytes: Some(figures.state_bytes),
        attributes: figures
            .attributes
            .as_deref()
            .map(attributes)
            .unwrap_or_default(),
        ..proto::ArmReport::default()
    }
}

fn partials(found: &Partials) -> proto::QueryPartials {
    let group = |group: &Group| proto::QueryGroup {
        labels: group.labels.clone().into_iter().collect(),
        sum: group.value.sum,
        count: group.value.count,
        min: group.value.min,
        max: group.value.max,
    };
    proto::QueryPartials {
        from_ms: found.from_ms,
        until_ms: found.until_ms,
        steps: found
            .steps
            .iter()
            .map(|step| proto::QueryStep {
                inner: step.inner,
                end_ms: step.end_ms,
                groups: step.groups.iter().map(group).collect(),
            })
            .collect(),
        late: found.late,
        unchecked: found.unchecked.clone().into_iter().collect(),
        volume: found
            .volume
            .iter()
            .map(|v| proto::QueryVolume {
                end_ms: v.end_ms,
                series: v.series,
                samples: v.samples,
            })
            .collect(),
    }
}

/// Nanoseconds as seconds.
pub fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn latency(latency: &Latency) -> proto::Latency {
    let empty = latency.buckets.iter().take_while(|n| **n == 0).count();
    proto::Latency {
        count: latency.count,
        sum_ns: latency.sum,
        max_ns: latency.max,
        offset: u32::try_from(empty).unwrap_or(u32::MAX),
        counts: latency.buckets.get(empty..).unwrap_or_default().to_vec(),
    }
}

/// The keys on most series, and a row without a key for the others.
fn attributes(rows: &[AttributeFigures]) -> Vec<proto::AttributeReport> {
    let of = |row: &AttributeFigures| proto::AttributeReport {
        key: row.key.clone(),
        series: row.series,
        values: row.values,
    };
    let (largest, rest) = rows.split_at(ATTRIBUTES.min(rows.len()));
    let mut reports: Vec<_> = largest.iter().map(of).collect();
    if !rest.is_empty() {
        let values = rest.iter().map(|row| row.values);
        reports.push(proto::AttributeReport {
            key: String::new(),
            series: rest.iter().map(|row| row.series).sum(),
            values: values.sum(),
        });
    }
    reports
}

/// The exact account of points.
pub fn ledger(ledger: &Ledger) -> proto::Ledger {
    proto::Ledger {
        received: ledger.received,
        exported: ledger.exported,
        filtered: ledger.filtered,
        merged: ledger.merged,
        sampled_out: ledger.sampled_out,
        suppressed: ledger.suppressed,
        rejected: ledger.rejected,
        dropped: ledger.dropped.clone().into_iter().collect(),
        held: ledger.held,
    }
}

fn cardinality(value: &Cardinality) -> proto::Cardinality {
    proto::Cardinality {
        exact: value.exact,
        sketch: value.sketch.to_bytes(),
    }
}

fn volume(value: &Volume) -> proto::Volume {
    proto::Volume {
        points_in: value.points_in,
        points_out: value.points_out,
        bytes_in: value.bytes_in,
        bytes_out: value.bytes_out,
        samples_in: value.samples.map(|(came, _)| came),
        samples_out: value.samples.map(|(_, left)| left),
        series_in: value.series_in,
        series_out: value.series_out,
    }
}

fn stage(stage: &StageFigures) -> proto::StageReport {
    proto::StageReport {
        id: stage.id.clone(),
        kind: stage.kind.clone(),
        points_in: stage.points_in,
        points_out: stage.points_out,
        absorbed: stage.absorbed,
        emitted: stage.emitted,
        counts: stage.counts.clone().into_iter().collect(),
    }
}

fn metric(metric: &MetricFigures) -> proto::MetricReport {
    proto::MetricReport {
        name: metric.name.clone(),
        points_in: metric.points_in,
        points_out: metric.points_out,
        series_in: metric.series_in,
        series_out: metric.series_out,
    }
}

/// The `keep` rows with most points and one row with an empty name for the others. A series has one
/// metric name, so that the rest's series may be added.
fn largest(mut rows: Vec<proto::MetricReport>, keep: usize) -> Vec<proto::MetricReport> {
    // The rest of an earlier call is not a metric.
    let mut rest = rows
        .iter()
        .position(|r| r.name.is_empty())
        .map(|at| rows.remove(at))
        .unwrap_or_default();
    rows.sort_by(|a, b| {
        let size = |r: &proto::MetricReport| r.points_in.saturating_add(r.points_out);
        size(b).cmp(&size(a)).then_with(|| a.name.cmp(&b.name))
    });
    for row in rows.drain(keep.min(rows.len())..) {
        rest.points_in += row.points_in;
        rest.points_out += row.points_out;
        rest.series_in += row.series_in;
        rest.series_out += row.series_out;
    }
    if rest.points_in + rest.points_out + rest.series_in + rest.series_out > 0 {
        rows.push(rest);
    }
    rows
}

/// Makes a window report fit into `REPORT_BYTES`, giving up detail first and the figures that are
/// judged never: rows of the metric table, then attribute keys, counts by rule, stages.
pub fn fit(report: &mut proto::WindowReport) {
    // What queries found has a limit of its own, and is no detail.
    let taken = |arm: &mut proto::ArmReport| arm.queries.take();
    let queries: Vec<_> = report.arms.iter_mut().map(taken).collect();
    fit_figures(report);
    for (arm, found) in report.arms.iter_mut().zip(queries) {
        arm.queries = found;
    }
    if report.encoded_len() > MESSAGE_BYTES {
        for found in report.arms.iter_mut().filter_map(|a| a.queries.as_mut()) {
            // Never half of it: these steps are not known.
            found.steps.clear();
            found.volume.clear();
            found.until_ms = found.from_ms;
        }
    }
}

fn fit_figures(report: &mut proto::WindowReport) {
    let mut keep = METRICS;
    while report.encoded_len() > REPORT_BYTES && keep > 0 {
        keep /= 2;
        for arm in &mut report.arms {
            arm.metrics = largest(std::mem::take(&mut arm.metrics), keep);
        }
    }
    if report.encoded_len() > REPORT_BYTES {
        report
            .arms
            .iter_mut()
            .for_each(|arm| arm.attributes.clear());
    }
    if report.encoded_len() > REPORT_BYTES {
        let stages = report.arms.iter_mut().flat_map(|arm| &mut arm.stages);
        stages.for_each(|stage| stage.counts.clear());
    }
    if report.encoded_len() > REPORT_BYTES {
        report.arms.iter_mut().for_each(|arm| arm.stages.clear());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use phoenix_engine::query::partial::{Partial, Step};

    fn figures(metrics: u64, name: usize) -> ArmFigures {
        ArmFigures {
            hash: "h".repeat(64),
            metrics: (0..metrics)
                .map(|i| MetricFigures {
                    name: format!("{i:0name$}"),
                    points_in: i,
                    points_out: 1,
                    series_in: 2,
                    series_out: 1,
                })
                .collect(),
            stages: (0..40)
                .map(|i| StageFigures {
                    id: format!("s{i}"),
                    counts: (0..60).map(|r| (format!("drop[{r}]"), r)).collect(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn the_fifty_largest_metrics_stay_and_the_rest_is_one_row() {
        let report = arm(proto::Arm::Baseline, &figures(200, 4), (3, 9));
        assert_eq!(report.metrics.len(), 51);
        assert_eq!(report.metrics[0].name, "0199");
        let rest = report.metrics.last().unwrap();
        assert_eq!((rest.name.as_str(), rest.points_out), ("", 150));
        let points: u64 = report.metrics.iter().map(|m| m.points_in).sum();
        assert_eq!(points, (0..200u64).sum::<u64>());
        assert_eq!((report.stream_from, report.stream_to), (3, 9));
    }

    #[test]
    fn what_queries_found_stays_whole_or_is_not_known_at_all() {
        let found = |groups: u64, name: usize| proto::WindowReport {
            arms: vec![proto::ArmReport {
                queries: Some(partials(&Partials {
                    from_ms: 10,
                    until_ms: 20,
                    steps: vec![Step {
                        inner: 0,
                        end_ms: 20,
                        groups: (0..groups)
                            .map(|n| Group {
                                labels: [("k".to_owned(), format!("{n:0name$}"))].into(),
                                value: Partial::of(1.0),
                            })
                            .collect(),
                    }],
                    ..Partials::default()
                })),
                ..arm(proto::Arm::Baseline, &figures(20, 4), (0, 0))
            }],
            ..Default::default()
        };
        let kept = |mut report: proto::WindowReport| {
            fit(&mut report);
            assert_eq!(report.arms[0].metrics.len(), 20);
            let found = report.arms[0].queries.clone().unwrap();
            (found.steps.len(), found.until_ms)
        };
        assert_eq!(kept(found(2_000, 100)), (1, 20));
        assert_eq!(kept(found(2_000, 1_000)), (0, 10));
    }

    #[test]
    fn a_report_that_is_too_large_loses_detail_and_no_points() {
        let mut report = proto::WindowReport {
            arms: vec![
                arm(proto::Arm::Baseline, &figures(200, 900), (0, 0)),
                arm(proto::Arm::Candidate, &figures(200, 900), (0, 0)),
            ],
            ..Default::default()
        };
        assert!(report.encoded_len() > REPORT_BYTES);
        fit(&mut report);
        assert!(report.encoded_len() <= REPORT_BYTES);
        for arm in &report.arms {
            let points: u64 = arm.metrics.iter().map(|m| m.points_in).sum();
            assert_eq!(points, (0..200u64).sum::<u64>());
            let rests = arm.metrics.iter().filter(|m| m.name.is_empty()).count();
            assert_eq!(rests, 1);
        }
    }
}
