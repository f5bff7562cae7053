//! From stored windows to what the judge reads.

use crate::model::{Experiment, Window};
use phoenix_analysis as judge;
use phoenix_engine::ledger::Ledger;
use phoenix_engine::query::partial::{Group, Partial, Partials, Step, Volume};
use phoenix_proto::control as proto;
use std::collections::BTreeMap;

/// Why a window that came after the verdict is not part of it.
const TOO_LATE: &str = "after the verdict";

/// The reports of all steps with what is not judged: figures by stage and by metric.
pub fn detailed(experiment: &Experiment, rows: &[Window]) -> Vec<judge::Window> {
    gather(experiment, rows.iter(), true)
}

/// Tells with the first window of every step that was judged what the server knew besides the windows.
pub fn with_context(experiment: &Experiment, windows: &mut [judge::Window]) {
    for result in &experiment.results {
        let asked = result.verdict.as_ref().and_then(|v| v.get("asked"));
        let asked = asked.and_then(|a| serde_json::from_value(a.clone()).ok());
        let first = windows.iter_mut().find(|w| w.revision == result.revision);
        if let (Some(asked), Some(first)) = (asked, first) {
            first.context = Some(Box::new(judge::Context {
                passed: result.passed,
                asked,
            }));
        }
    }
}

/// The reports of an experiment's present step, one a window and agent, in order of time. What came
/// after the verdict is void: a verdict is only about what it saw.
pub fn reports(experiment: &Experiment, rows: &[Window]) -> Vec<judge::Window> {
    let present = |row: &&Window| row.experiment_revision == experiment.revision;
    gather(experiment, rows.iter().filter(present), false)
}

/// The reports of one step, which may be over.
pub fn of_run(experiment: &Experiment, rows: &[Window], revision: u64) -> Vec<judge::Window> {
    let of = |row: &&Window| row.experiment_revision == revision;
    gather(experiment, rows.iter().filter(of), false)
}

fn gather<'a>(
    experiment: &Experiment,
    rows: impl Iterator<Item = &'a Window>,
    detail: bool,
) -> Vec<judge::Window> {
    // The experiment's own list, which never changes: a document that is judged by may have another.
    let keys = experiment.spec.asked().inner.keys();
    let mut reports: BTreeMap<(u64, u64, String, String), judge::Window> = BTreeMap::new();
    for row in rows.filter(|row| row.experiment == experiment.id) {
        let revision = row.experiment_revision;
        let agent = row.identity.to_string();
        let key = (
            revision,
            row.start_ms,
            agent.clone(),
            row.incarnation.clone(),
        );
        let mut ended = experiment.results.iter();
        let judged = ended.find(|r| r.revision == revision);
        let late = judged
            .and_then(|r| r.judged_ms)
            .is_some_and(|at| row.received_ms > at);
        let report = reports.entry(key).or_insert_with(|| judge::Window {
            experiment: experiment.id.clone(),
            step: experiment.step_of(revision).into(),
            agent,
            incarnation: row.incarnation.clone(),
            revision: row.experiment_revision,
            start_ms: row.start_ms,
            end_ms: row.end_ms,
            void_reason: if late && row.void_reason.is_empty() {
                TOO_LATE.into()
            } else {
                row.void_reason.clone()
            },
            cpu_seconds: row.cpu_seconds,
            rss_bytes: row.rss_bytes,
            export_errors: row.export_errors,
            requests_refused: row.requests_refused,
            shared_cpu_seconds: row.shared_cpu_seconds,
            shared_memory_bytes: row.shared_memory_bytes,
            ..judge::Window::default()
        });
        let mut figures = match detail {
            true => figures(&row.report),
            false => arm(&row.report),
        };
        if figures.queries.is_some() {
            figures.query_keys.clone_from(&keys);
        }
        match row.arm.as_str() {
            "candidate" => report.candidate = Some(figures),
            _ => report.baseline = Some(figures),
        }
    }
    reports.into_values().collect()
}

/// When the newest of these windows was stored.
pub fn newest(rows: &[Window]) -> u64 {
    rows.iter().map(|r| r.received_ms).max().unwrap_or(0)
}

/// Reports of windows that ended up to here should have come by now. None is expected of the time
/// after `maxDuration`, however late somebody looks.
pub fn expected_until(experiment: &Experiment, now_ms: u64) -> u64 {
    /// An agent cuts its window, sends it, and it is stored.
    const ON_THE_WAY_MS: u64 = 5_000;
    let started = experiment.started_ms.unwrap_or(experiment.phase_ms);
    let end = started.saturating_add(experiment.spec.max_duration.0);
    now_ms
        .saturating_sub(experiment.spec.window.0 + ON_THE_WAY_MS)
        .min(end)
}

/// One arm with what is not judged.
pub fn figures(report: &proto::ArmReport) -> judge::Arm {
    let mut figures = arm(report);
    figures.stages = report.stages.iter().map(stage).collect();
    figures.metrics = report.metrics.iter().map(metric).collect();
    figures.attributes = report.attributes.iter().map(attribute).collect();
    figures
}

fn arm(report: &proto::ArmReport) -> judge::Arm {
    judge::Arm {
        hash: report.hash.clone(),
        ledger: report.ledger.as_ref().map(ledger).unwrap_or_default(),
        bytes_in: report.bytes_in,
        bytes_out: report.bytes_out,
        samples_in: report.samples_in,
        samples_out: report.samples_out,
        compared_bytes_in: report.compared_bytes_in,
        compared_bytes_out: report.compared_bytes_out,
        compared_series_in: report.compared_series_in.as_ref().map(count),
        compared_series_out: report.compared_series_out.as_ref().map(count),
        series_in: report.series_in.as_ref().map(count).unwrap_or_default(),
        series_out: report.series_out.as_ref().map(count).unwrap_or_default(),
        protected: judge::Protected {
            points_in: report.protected_points_in,
            points_out: report.protected_points_out,
            series_in: report.protected_series_in,
            series_out: report.protected_series_out,
        },
        cpu_seconds: report.cpu_seconds,
        panics: report.panics,
        identity_conflicts: report.identity_conflicts,
        entities: report.entities.as_ref().map(count),
        unassigned: report.unassigned.as_ref().map(|v| judge::Volume {
            points_in: v.points_in,
            points_out: v.points_out,
            bytes_in: v.bytes_in,
            bytes_out: v.bytes_out,
            series_in: v.series_in,
            series_out: v.series_out,
            samples_in: v.samples_in,
            samples_out: v.samples_out,
        }),
        queries: report.queries.as_ref().map(partials),
        stream_from: report.stream_from,
        stream_to: report.stream_to,
        added_latency: report.added_latency.as_ref().map(|l| judge::Latency {
            count: l.count,
            sum_ns: l.sum_ns,
            max_ns: l.max_ns,
            offset: l.offset,
            counts: l.counts.clone(),
        }),
        memory_bytes: report.memory_bytes,
        compressed_bytes_out: report.compressed_bytes_out,
        export_errors: report.export_errors,
        ..judge::Arm::default()
    }
}

fn partials(found: &proto::QueryPartials) -> Partials {
    let group = |g: &proto::QueryGroup| Group {
        labels: g.labels.clone().into_iter().collect(),
        value: Partial {
            sum: g.sum,
            count: g.count,
            min: g.min,
            max: g.max,
        },
    };
    Partials {
        from_ms: found.from_ms,
        until_ms: found.until_ms,
        steps: found
            .steps
            .iter()
            .map(|step| Step {
                inner: step.inner,
                end_ms: step.end_ms,
                groups: step.groups.iter().map(group).collect(),
            })
            .collect(),
        volume: found
            .volume
            .iter()
            .map(|v| Volume {
                end_ms: v.end_ms,
                series: v.series,
                samples: v.samples,
            })
            .collect(),
        late: found.late,
        unchecked: found.unchecked.clone().into_iter().collect(),
    }
}

fn stage(s: &proto::StageReport) -> judge::Stage {
    judge::Stage {
        id: s.id.clone(),
        kind: s.kind.clone(),
        points_in: s.points_in,
        points_out: s.points_out,
        absorbed: s.absorbed,
        emitted: s.emitted,
        counts: s.counts.clone().into_iter().collect(),
    }
}

fn metric(m: &proto::MetricReport) -> judge::Metric {
    judge::Metric {
        name: m.name.clone(),
        points_in: m.points_in,
        points_out: m.points_out,
        series_in: m.series_in,
        series_out: m.series_out,
    }
}

fn attribute(a: &proto::AttributeReport) -> judge::Attribute {
    judge::Attribute {
        key: a.key.clone(),
        series: a.series,
        values: a.values,
    }
}

fn count(cardinality: &proto::Cardinality) -> judge::Cardinality {
    judge::Cardinality {
        exact: cardinality.exact,
        sketch: cardinality.sketch.clone(),
    }
}

fn ledger(ledger: &proto::Ledger) -> Ledger {
    Ledger {
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
