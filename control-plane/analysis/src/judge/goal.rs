//! Last: is the saving that was asked for reached?

use super::finding::{finding, ratio_text};
use super::saving::Measured;
use super::split::ALPHA;
use crate::criteria::{Criteria, Mode};
use crate::verdict::{Criterion, Ruling};
use serde_json::json;

/// 1 - 0.8 is a little less than 0.2 in binary; a share is not told apart more finely than this.
const EPSILON: f64 = 1e-9;

pub fn goal(criteria: &Criteria, measured: &Measured, windows: u64) -> Criterion {
    let (saving, target) = (&measured.saving, criteria.goal.target);
    let what = criteria.goal.saving.name();
    let mut figures = json!({
        "measure": what, "target": target, "saving": saving.saving, "lower": saving.lower,
        "upper": saving.upper, "windows": windows, "exact": saving.exact,
    });
    if let Some(estimate) = &measured.estimate {
        figures["look"] = json!({
            "windows": estimate.windows, "saving": estimate.saving, "alpha": estimate.alpha,
            "alpha_of_all_looks": ALPHA, "standard_error_over_windows": estimate.over_windows,
            "standard_error_over_agents": estimate.over_agents,
        });
    }
    let asked = ratio_text(target);
    let Some(found) = saving.saving else {
        let reason =
            format!("The saving of {what} is not known: no arm's volume could be compared.");
        return finding("goal", Ruling::Unknown, reason, figures);
    };
    let found = ratio_text(found);
    let reached = saving.lower.is_some_and(|l| l + EPSILON >= target);
    let missed = saving.upper.is_some_and(|u| u + EPSILON < target);
    let bounds = match (saving.lower, saving.upper) {
        (Some(lower), Some(upper)) if upper - lower > EPSILON => {
            format!("between {} and {}", ratio_text(lower), ratio_text(upper))
        }
        (Some(_), _) => "counted".into(),
        (None, _) => "with no lower bound yet".into(),
    };
    let (ruling, reason) = if reached {
        (
            Ruling::Pass,
            format!(
                "The candidate saves {found} of {what} ({bounds}, {windows} windows); {asked} were asked for."
            ),
        )
    } else if missed {
        (
            Ruling::Fail,
            format!(
                "The candidate saves only {found} of {what} ({bounds}, {windows} windows); {asked} were asked for."
            ),
        )
    } else if measured.all_held {
        (
            Ruling::Unknown,
            format!(
                "The candidate still holds everything that it took into windows, so its saving of {what} cannot be told."
            ),
        )
    } else if criteria.mode == Mode::Split && measured.estimate.is_none() {
        (
            Ruling::Unknown,
            format!("{found} of {what} so far; {windows} windows are too few for a bound."),
        )
    } else {
        (
            Ruling::Unknown,
            format!(
                "The saving of {what} is {bounds} ({windows} windows): whether it reaches {asked} is not clear."
            ),
        )
    };
    finding("goal", ruling, reason, figures)
}
