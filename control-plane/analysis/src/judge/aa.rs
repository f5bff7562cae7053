//! The baseline against itself: both arms run the same pipeline, so whatever differs was made by the
//! measuring, and no verdict of this experiment could be believed.

use super::finding::{finding, ratio_text};
use super::saving::Measured;
use crate::criteria::{Criteria, Mode};
use crate::verdict::{Criterion, Ruling};
use serde_json::json;

/// A share is not told apart more finely than this.
const EPSILON: f64 = 1e-9;

/// What could pass for the goal where no share is asked for.
const LARGE: f64 = 0.05;

/// In shadow both arms must have written the same, to the point and the byte; points that an arm still
/// holds count either way. In a split and by node the arms hold different entities: their bounds must
/// reach into the margin.
pub fn aa(criteria: &Criteria, measured: &[(&str, &Measured)]) -> Criterion {
    let margin = match criteria.mode {
        Mode::Shadow => EPSILON,
        Mode::Split | Mode::Nodes => criteria.aa_margin,
    };
    let figures = json!({
        "margin": margin,
        "differences": measured.iter().map(|(what, m)| ((*what).to_string(), json!({
            "found": m.saving.saving, "lower": m.saving.lower, "upper": m.saving.upper,
        }))).collect::<serde_json::Map<_, _>>(),
    });
    let name = "a/a";
    let asked = match criteria.mode {
        Mode::Shadow => "equal to the point".to_string(),
        _ => format!("equal to {}", ratio_text(margin)),
    };
    let differs = measured.iter().find_map(|(what, m)| {
        let (lower, upper) = (m.saving.lower?, m.saving.upper?);
        (lower > margin || upper < -margin).then_some((*what, m.saving.saving?))
    });
    if let Some((what, saving)) = differs {
        let reason = format!(
            "Both arms run the same pipeline and the second wrote {} {} {what} than the first: the \
             measuring is broken, or the arms hold things too different to be compared.",
            ratio_text(saving.abs()),
            if saving > 0.0 { "fewer" } else { "more" },
        );
        return finding(name, Ruling::Fail, reason, figures).against(asked);
    }
    // Points are always counted; of the rest, what the goal is about must be known.
    let asked_for = super::money::volumes(&criteria.goal);
    let about = |what: &str| what == "points" || asked_for.iter().any(|m| m.name() == what);
    let unknown = |what: &str, m: &Measured| {
        about(what) && (m.saving.lower.is_none() || m.saving.upper.is_none())
    };
    if let Some((what, _)) = measured.iter().find(|(what, m)| unknown(what, m)) {
        let reason = format!("Whether both arms wrote the same {what} is not known yet.");
        return finding(name, Ruling::Unknown, reason, figures).against(asked);
    }
    // Not to have found a difference says little while the bounds are wide: one that could pass for the goal
    // must be out of the question.
    let target = match criteria.goal.target {
        share if share > 0.0 => share,
        // An amount alone is asked for.
        _ => LARGE,
    };
    let vague = measured.iter().find(|(what, m)| {
        let within = |bound: Option<f64>| bound.is_some_and(|b| b.abs() <= target);
        about(what) && !(within(m.saving.lower) && within(m.saving.upper))
    });
    if let Some((what, _)) = vague.filter(|_| criteria.mode != Mode::Shadow) {
        let reason = format!(
            "No difference was found in {what}, but one of {} cannot be ruled out yet.",
            ratio_text(target)
        );
        return finding(name, Ruling::Unknown, reason, figures).against(asked);
    }
    let reason = match criteria.mode {
        Mode::Shadow => "Both arms wrote the same.".to_string(),
        _ => format!(
            "No difference beyond {} was found between two arms of the same pipeline.",
            ratio_text(margin)
        ),
    };
    finding(name, Ruling::Pass, reason, figures).against(asked)
}
