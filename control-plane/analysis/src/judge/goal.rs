//! Last: is the saving that was asked for reached?

use super::finding::{finding, ratio_text};
use super::saving::Measured;
use super::select::Selection;
use super::unknown;
use crate::confidence::MIN_WINDOWS;
use crate::criteria::{Ask, Criteria, Measure, Mode};
use crate::verdict::{Criterion, Ruling};
use serde_json::json;

/// 1 - 0.8 is a little less than 0.2 in binary; a share is not told apart more finely than this.
const EPSILON: f64 = 1e-9;

pub fn goal(criteria: &Criteria, selection: &Selection<'_>, measured: &Measured) -> Criterion {
    let (saving, target) = (&measured.saving, criteria.goal.target);
    let windows = selection.windows.used;
    let reachable = reachable(criteria, selection);
    let mut figures = json!({
        "measure": criteria.goal.saving.name(), "target": target, "saving": saving.saving,
        "lower": saving.lower, "upper": saving.upper, "windows": windows, "exact": saving.exact,
        "reachable": reachable,
    });
    if let Some(found) = &measured.contrast {
        figures["bounds"] = json!({
            "alpha": found.bounds.alpha, "windows": found.bounds.windows,
            "blockWindows": found.bounds.block, "standardErrorOverWindows": found.bounds.standard_error,
            "standardErrorOverAgents": found.over_agents,
        });
    }
    let (ruling, reason) = match (saving.saving, unknown::why(selection, criteria.goal.saving)) {
        (None, Some(why)) => (
            Ruling::Unknown,
            format!(
                "The saving of {} is not known: {why}.",
                criteria.goal.saving.name()
            ),
        ),
        _ => rule(criteria, measured, windows, reachable),
    };
    let asked = match criteria.mode {
        Mode::Shadow => format!("at least {}, counted", ratio_text(target)),
        Mode::Split | Mode::Nodes => format!(
            "at least {}, sure to {}",
            ratio_text(target),
            ratio_text(1.0 - criteria.alpha)
        ),
    };
    let ruling = match (criteria.ask, ruling) {
        // A step of a ramp: the goal is shown, and only a clear miss counts.
        (Ask::Guardrails, Ruling::Unknown) => Ruling::NotAsked,
        (_, ruling) => ruling,
    };
    finding("goal", ruling, reason, figures).against(asked)
}

/// The most that any candidate could save: what is protected must stay. Shadow only, where it is counted.
fn reachable(criteria: &Criteria, selection: &Selection<'_>) -> Option<f64> {
    if criteria.mode != Mode::Shadow {
        return None;
    }
    let (mut protected, mut out) = (0u64, 0u64);
    for arm in selection.comparable().filter_map(|w| w.baseline_arm()) {
        if arm.unassigned.is_some_and(|v| v.points_in > 0) {
            return None;
        }
        let (kept, all) = match criteria.goal.saving {
            Measure::Points => (arm.protected.points_out, arm.ledger.exported),
            Measure::Series => (arm.protected.series_out, arm.series_out.exact?),
            Measure::Bytes | Measure::Samples | Measure::Money => return None,
        };
        (protected, out) = (protected + kept, out + all);
    }
    let kept = protected as f64 * criteria.guardrails.protected_retention;
    (out > 0 && protected > 0).then(|| (1.0 - kept / out as f64).max(0.0))
}

fn rule(
    criteria: &Criteria,
    measured: &Measured,
    windows: u64,
    reachable: Option<f64>,
) -> (Ruling, String) {
    let (saving, target) = (&measured.saving, criteria.goal.target);
    let (what, asked) = (criteria.goal.saving.name(), ratio_text(target));
    let Some(found) = saving.saving else {
        return (
            Ruling::Unknown,
            format!("The saving of {what} is not known: no arm's volume could be compared."),
        );
    };
    let found = ratio_text(found);
    let bounds = match (saving.lower, saving.upper) {
        (Some(lower), Some(upper)) if upper - lower > EPSILON => {
            format!("between {} and {}", ratio_text(lower), ratio_text(upper))
        }
        (Some(_), _) => "counted".into(),
        (None, _) => "with no lower bound yet".into(),
    };
    if saving.lower.is_some_and(|l| l + EPSILON >= target) {
        return (
            Ruling::Pass,
            format!(
                "The candidate saves {found} of {what} ({bounds}, {windows} windows); {asked} were asked for."
            ),
        );
    }
    if let Some(most) = reachable.filter(|most| most + EPSILON < target) {
        return (
            Ruling::Fail,
            format!(
                "No candidate can save {asked} of {what}: what is protected alone leaves {} to save.",
                ratio_text(most)
            ),
        );
    }
    if saving.upper.is_some_and(|u| u + EPSILON < target) {
        return (
            Ruling::Fail,
            format!(
                "The candidate saves only {found} of {what} ({bounds}, {windows} windows); {asked} were asked for."
            ),
        );
    }
    (
        Ruling::Unknown,
        unclear(criteria, measured, windows, &found, &bounds),
    )
}

/// Why it cannot be said.
fn unclear(
    criteria: &Criteria,
    measured: &Measured,
    windows: u64,
    found: &str,
    bounds: &str,
) -> String {
    let what = criteria.goal.saving.name();
    let bounded = measured.saving.lower.is_some() || measured.saving.upper.is_some();
    if measured.all_held {
        format!(
            "The candidate still holds everything that it took into windows, so its saving of {what} cannot be told."
        )
    } else if criteria.mode != Mode::Shadow && measured.contrast.is_none() {
        format!(
            "{found} of {what} so far; a bound needs {MIN_WINDOWS} windows and there are {windows}."
        )
    } else if criteria.mode == Mode::Nodes && !bounded {
        format!(
            "{found} of {what} so far; nodes differ, and there are too few of them for a bound: at least four \
             are needed (a shadow or a split needs one)."
        )
    } else {
        format!(
            "The saving of {what} is {bounds} ({windows} windows): whether it reaches {} is not clear.",
            ratio_text(criteria.goal.target)
        )
    }
}
