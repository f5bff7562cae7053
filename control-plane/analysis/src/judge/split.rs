//! The saving of a split: 1 - (candidate out/in) / (baseline out/in), with a confidence bound.
//!
//! The ratio of totals is linearised (delta method): each window contributes its residual, and the
//! bound is Student's t on them with one degree of freedom less than there are windows. With three
//! agents or more the same is done with agents as units, which also sees that the arms hold different
//! entities, and the wider of both bounds counts; with fewer, the bound speaks of these entities only.
//! An experiment is looked at again and again, so the error is spent over the looks: they are taken at
//! min, 2 min, 4 min, ... windows, with half of what is left of alpha each; the last look of a closed
//! experiment takes all windows and all that is left. Between looks the last one stands.

use super::saving::Held;
use super::select::Selection;
use super::volume::{Amount, Flow, flow};
use crate::criteria::{Criteria, Measure};
use crate::stats::t_upper;
use crate::window::Window;
use std::collections::BTreeMap;

/// Probability, over all looks together, that the lower bound lies above the truth.
pub const ALPHA: f64 = 0.05;

/// Agents from which on they are taken as units too.
const MIN_AGENTS: usize = 3;

/// The bounds at one look.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    pub saving: f64,
    pub lower: f64,
    pub upper: f64,
    /// Windows that this look took.
    pub windows: usize,
    /// Error probability spent on it, one side.
    pub alpha: f64,
    /// Standard errors over windows and over agents.
    pub over_windows: f64,
    pub over_agents: Option<f64>,
}

/// (candidate out/in) / (baseline out/in); `None` where something is 0 that divides.
pub fn ratio(total: &Flow) -> Option<f64> {
    let (ci, bo) = (total.candidate_in.value, total.baseline_out.value);
    (ci > 0.0 && bo > 0.0).then(|| total.candidate_out.value / ci * (total.baseline_in.value / bo))
}

/// The bounds at the last look that was due.
pub fn estimate(
    criteria: &Criteria,
    selection: &Selection<'_>,
    measure: Measure,
    flows: &[Flow],
    (held_baseline, held_candidate): (Held, Held),
) -> Option<Estimate> {
    let (windows, alpha) = look(criteria, flows.len())?;
    let flows = flows.get(..windows)?;
    let total = flows.iter().copied().reduce(Flow::plus)?;
    let theta = ratio(&total)?;
    let over_windows = standard_error(theta, &total, flows)?;
    let mut half = t_upper(alpha, (windows - 1) as f64) * over_windows;
    let agents = by_agent(selection, measure, windows);
    let over_agents = agents
        .filter(|a| a.len() >= MIN_AGENTS)
        .and_then(|a| standard_error(theta, &total, &a).map(|error| (error, a.len())));
    if let Some((error, count)) = over_agents {
        half = half.max(t_upper(alpha, (count - 1) as f64) * error);
    }
    // Points still held count as if they were to be written.
    let with = |c: f64, b: f64| {
        let mut moved = total;
        moved.candidate_out.value = (moved.candidate_out.value + c).max(0.0);
        moved.baseline_out.value += b;
        ratio(&moved)
    };
    let highest = with(held_candidate.still, -held_baseline.before)?;
    let lowest = with(-held_candidate.before, held_baseline.still)?;
    Some(Estimate {
        saving: 1.0 - theta,
        lower: 1.0 - (highest + half),
        upper: 1.0 - (lowest - half),
        windows,
        alpha,
        over_windows,
        over_agents: over_agents.map(|(error, _)| error),
    })
}

/// How many windows the last look that was due takes, and the alpha that it spends.
fn look(criteria: &Criteria, windows: usize) -> Option<(usize, f64)> {
    let first = (criteria.min_windows as usize).max(2);
    if windows < first {
        return (criteria.closed && windows >= 2).then_some((windows, ALPHA));
    }
    let (mut at, mut alpha) = (first, ALPHA / 2.0);
    while at.saturating_mul(2) <= windows {
        at *= 2;
        alpha /= 2.0;
    }
    // What is left after this look is as much as it spent.
    let last = criteria.closed && at < windows;
    Some((if last { windows } else { at }, alpha))
}

/// Standard error of the ratio from independent parts of the total (windows, or agents), with the
/// error of sketches.
fn standard_error(theta: f64, total: &Flow, parts: &[Flow]) -> Option<f64> {
    let n = parts.len() as f64;
    if n < 2.0 {
        return None;
    }
    let (bi, bo) = (total.baseline_in.value, total.baseline_out.value);
    let ci = total.candidate_in.value;
    let squares: f64 = parts
        .iter()
        .map(|part| {
            let residual = part.candidate_out.value / ci * (bi / bo)
                - theta
                    * (part.candidate_in.value / ci + part.baseline_out.value / bo
                        - part.baseline_in.value / bi);
            residual * residual
        })
        .sum();
    // One sketch errs the same way in window after window: its errors add up, they do not cancel.
    let relative = |a: Amount| {
        if a.value > 0.0 {
            (a.deviation() / a.value).powi(2)
        } else {
            0.0
        }
    };
    let sketches = relative(total.baseline_in)
        + relative(total.baseline_out)
        + relative(total.candidate_in)
        + relative(total.candidate_out);
    Some((n / (n - 1.0) * squares + theta * theta * sketches).sqrt())
}

/// The flow of each agent over the windows of a look.
fn by_agent(selection: &Selection<'_>, measure: Measure, windows: usize) -> Option<Vec<Flow>> {
    let mut agents: BTreeMap<&str, Flow> = BTreeMap::new();
    for reports in selection.used.values().take(windows) {
        let mut of: BTreeMap<&str, Vec<&Window>> = BTreeMap::new();
        for report in reports {
            of.entry(&report.agent).or_default().push(report);
        }
        for (agent, reports) in of {
            let flow = flow(&reports, measure)?;
            let sum = agents.entry(agent).or_default();
            *sum = sum.plus(flow);
        }
    }
    Some(agents.into_values().collect())
}
