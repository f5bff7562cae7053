//! What only the exporters know about a window: where in the stream it lies, what was refused of it.

use super::Experiment;
use crate::control::convert;
use crate::exporters::queue::Account as QueueAccount;
use phoenix_engine::report::Report;
use phoenix_proto::control::{Arm, WindowReport};

/// A report without what only the exporters know.
pub fn window(
    experiment: &Experiment,
    incarnation: &str,
    (start_ms, end_ms): (u64, u64),
    void: Option<&str>,
    report: &Report,
) -> WindowReport {
    let mut arms = vec![convert::arm(Arm::Baseline, &report.baseline, (0, 0))];
    let candidate = report.candidate.as_ref();
    arms.extend(candidate.map(|c| convert::arm(Arm::Candidate, c, (0, 0))));
    WindowReport {
        experiment: experiment.id.clone(),
        experiment_revision: experiment.revision,
        incarnation: incarnation.to_owned(),
        start_ms,
        end_ms,
        void_reason: void.unwrap_or_default().to_owned(),
        arms,
        shared_cpu_seconds: report.shared_cpu.map(convert::seconds),
        shared_memory_bytes: Some(report.shared_bytes),
        ..WindowReport::default()
    }
}

/// Fills in where the window lies in the exporters' streams (next hop and, where there is one, shadow),
/// what was sent of it, and moves what the next hop refused of it from `exported` to `dropped{next_hop}`.
pub fn place(
    report: &mut WindowReport,
    (split, shadow): (bool, bool),
    from: [QueueAccount; 2],
    to: [QueueAccount; 2],
) {
    let mut refused = to[0].refused - from[0].refused;
    if refused > 0 && report.void_reason.is_empty() && split {
        // One stream holds both arms; whose points were refused cannot be told.
        report.void_reason = "the next hop refused points".to_owned();
    }
    for arm in &mut report.arms {
        let of_shadow = arm.arm() == Arm::Candidate && !split;
        let side = usize::from(of_shadow);
        arm.stream_from = from[side].accepted;
        arm.stream_to = to[side].accepted;
        if !split && (shadow || !of_shadow) {
            let sent = to[side].bytes_sent - from[side].bytes_sent;
            arm.compressed_bytes_out = Some(sent);
            arm.export_errors = Some(to[side].errors - from[side].errors);
        }
        let Some(ledger) = arm.ledger.as_mut().filter(|_| !of_shadow) else {
            continue;
        };
        let here = refused.min(ledger.exported);
        refused -= here;
        ledger.exported -= here;
        if here > 0 {
            *ledger.dropped.entry("next_hop".to_owned()).or_default() += here;
        }
    }
    convert::fit(report);
}
