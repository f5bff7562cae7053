//! Third: what the candidate does to the truth of the data.

use super::finding::{finding, ratio_text};
use super::select::Selection;
use crate::criteria::{Ask, Criteria, Mode};
use crate::verdict::{Criterion, Ruling};
use crate::window::Protected;
use serde_json::json;

/// Protected points that the candidate let through unchanged.
pub fn protected_points(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    retention(criteria, selection, "points", |p| {
        (p.points_in, p.points_out)
    })
}

/// Protected series of which at least a point was let through, window by window.
pub fn protected_series(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    retention(criteria, selection, "series", |p| {
        (p.series_in, p.series_out)
    })
}

fn retention(
    criteria: &Criteria,
    selection: &Selection<'_>,
    what: &str,
    figure: fn(&Protected) -> (u64, u64),
) -> Criterion {
    let (mut came, mut left) = (0u64, 0u64);
    let (mut baseline_in, mut baseline_out) = (0u64, 0u64);
    for window in selection.comparable() {
        let arm = |arm: &Option<crate::window::Arm>| {
            arm.as_ref().map_or((0, 0), |a| figure(&a.protected))
        };
        let (b_in, b_out) = arm(&window.baseline);
        let (c_in, c_out) = arm(&window.candidate);
        baseline_in += b_in;
        baseline_out += b_out;
        // In shadow both arms see everything that is compared: what only the baseline saw, the candidate
        // lost. Where the baseline also sees what is not compared, that cannot be told.
        let outside = window.baseline_arm().and_then(|a| a.unassigned);
        let alike = criteria.mode == Mode::Shadow
            && criteria.ask != Ask::Bake
            && outside.unwrap_or_default().points_in == 0;
        came += if alike { c_in.max(b_in) } else { c_in };
        left += c_out;
    }
    let kept = (came > 0).then(|| left as f64 / came as f64);
    let demanded = criteria.guardrails.protected_retention;
    let figures = json!({
        "candidateIn": came, "candidateOut": left, "retention": kept, "demanded": demanded,
        "baselineIn": baseline_in, "baselineOut": baseline_out,
    });
    let (ruling, reason) = match kept {
        Some(kept) if kept < demanded => (
            Ruling::Harm,
            format!(
                "{} of {came} protected {what} were lost ({} kept, {} demanded).",
                came.saturating_sub(left),
                ratio_text(kept),
                ratio_text(demanded)
            ),
        ),
        Some(_) => (
            Ruling::Pass,
            format!("{left} of {came} protected {what} left unchanged."),
        ),
        None if criteria.guardrails.protects => (
            Ruling::Unknown,
            "The protected set matched nothing, so nothing was checked.".into(),
        ),
        None => (
            Ruling::NotAsked,
            "The experiment names no protected set, and nothing matched what the baseline protects.".into(),
        ),
    };
    // What the baseline protects is measured as well.
    let asked = if criteria.guardrails.protects || kept.is_some() {
        format!("at least {} kept", ratio_text(demanded))
    } else {
        String::new()
    };
    finding(&format!("protected {what}"), ruling, reason, figures).against(asked)
}

/// An output that meets a passing series of the same identity gives one series two writers.
pub fn identity(selection: &Selection<'_>) -> Criterion {
    let count = |arm: &str| -> u64 {
        let arms = selection.comparable().flat_map(|w| w.arms());
        arms.filter(|(name, _)| *name == arm)
            .map(|(_, a)| a.identity_conflicts)
            .sum()
    };
    let (baseline, candidate) = (count("baseline"), count("candidate"));
    let figures = json!({ "baseline": baseline, "candidate": candidate });
    if baseline + candidate > 0 {
        finding(
            "identity",
            Ruling::Void,
            format!(
                "Outputs met passing series of the same identity ({baseline} in the baseline, \
                 {candidate} in the candidate): series have two writers."
            ),
            figures,
        )
    } else {
        finding(
            "identity",
            Ruling::Pass,
            "Every series has one writer.".into(),
            figures,
        )
    }
}
