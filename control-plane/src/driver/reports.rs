//! From stored windows to what the judge reads, and from an experiment to what it is asked.

use crate::documents::{Saving, Share};
use crate::driver::next::Memory;
use crate::model::{Experiment, Window};
use phoenix_analysis as judge;
use phoenix_engine::ledger::Ledger;
use phoenix_engine::query::partial::{Group, Partial, Partials, Step};
use phoenix_proto::control as proto;
use std::collections::BTreeMap;

/// Why a window that came after the verdict is not part of it.
const TOO_LATE: &str = "after the verdict";

/// The same with what is not judged: figures by stage and by metric.
pub fn detailed(experiment: &Experiment, rows: &[Window]) -> Vec<judge::Window> {
    gather(experiment, rows, true)
}

/// The reports of an experiment's present run, one a window and agent, in order of time. What came
/// after the verdict is void: a verdict is only about what it saw.
pub fn reports(experiment: &Experiment, rows: &[Window]) -> Vec<judge::Window> {
    gather(experiment, rows, false)
}

fn gather(experiment: &Experiment, rows: &[Window], detail: bool) -> Vec<judge::Window> {
    let judged = Memory::of(experiment).judged_ms;
    let mut reports: BTreeMap<(u64, String, String), judge::Window> = BTreeMap::new();
    let own = |row: &&Window| {
        row.experiment == experiment.id && row.experiment_revision == experiment.revision
    };
    for row in rows.iter().filter(own) {
        let agent = row.identity.to_string();
        let key = (row.start_ms, agent.clone(), row.incarnation.clone());
        let late = judged.is_some_and(|at| row.received_ms > at);
        let report = reports.entry(key).or_insert_with(|| judge::Window {
            experiment: experiment.id.clone(),
            step: experiment.step.clone(),
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
            baseline: None,
            candidate: None,
            cpu_seconds: row.cpu_seconds,
            rss_bytes: row.rss_bytes,
            export_errors: row.export_errors,
            requests_refused: row.requests_refused,
        });
        let mut figures = arm(&row.report);
        if detail {
            figures.stages = row.report.stages.iter().map(stage).collect();
            figures.metrics = row.report.metrics.iter().map(metric).collect();
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

/// What the judge is asked.
pub fn criteria(experiment: &Experiment, memory: &Memory, until_ms: u64) -> judge::Criteria {
    let spec = &experiment.spec;
    let rails = &spec.guardrails;
    let step = experiment.current();
    let (mode, percent) = match step.as_ref().map(|s| &s.share) {
        Some(Share::Entities { percent, .. }) => (judge::Mode::Split, *percent),
        _ => (judge::Mode::Shadow, 50.0),
    };
    let min_windows = step.as_ref().map_or(1, |s| s.min_windows);
    let goal = judge::Goal {
        saving: match spec.goal.saving {
            Saving::Points => judge::Measure::Points,
            Saving::Series => judge::Measure::Series,
            Saving::Bytes => judge::Measure::Bytes,
        },
        target: spec.goal.target.0,
    };
    judge::Criteria {
        percent,
        guardrails: judge::Guardrails {
            protects: !rails.protect.is_empty(),
            protected_retention: rails.protected_retention.0,
            max_export_errors: rails.max_export_errors,
            max_cpu_ratio: rails.max_cpu_ratio,
            max_rss_ratio: rails.max_rss_ratio,
            max_missing: rails.max_missing.0,
            ..judge::Guardrails::default()
        },
        agents: memory.agents.clone(),
        until_ms: Some(until_ms),
        // Nothing assigned: the agents pass everything through.
        baseline_hash: experiment.baseline_hash.clone(),
        candidate_hash: Some(experiment.candidate_hash.clone()),
        rss_before_bytes: memory.rss_before_bytes.clone(),
        closed: memory.closed,
        ..judge::Criteria::new(mode, spec.window.0, min_windows, goal)
    }
}

fn arm(report: &proto::ArmReport) -> judge::Arm {
    judge::Arm {
        hash: report.hash.clone(),
        ledger: report.ledger.as_ref().map(ledger).unwrap_or_default(),
        bytes_in: report.bytes_in,
        bytes_out: report.bytes_out,
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
        }),
        queries: report.queries.as_ref().map(partials),
        stream_from: report.stream_from,
        stream_to: report.stream_to,
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
