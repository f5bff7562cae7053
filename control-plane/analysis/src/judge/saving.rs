//! How much was saved, and within which bounds.
//!
//! Shadow: both arms saw the same, so the saving is counted, not inferred; its bounds are wide only
//! by what is not counted yet (points still held in open windows) and by sketches.
//! Split, and by node: a ratio of ratios with a confidence bound (`contrast`).

use super::contrast::{Contrasted, contrast, enough_agents};
use super::select::Selection;
use super::volume::{Amount, Flow, flow, over_all_windows};
use crate::confidence::{self, Contrast, Pair, Share};
use crate::criteria::{Criteria, Measure, Mode};
use crate::verdict::Saving;
use crate::window::{Arm, Window};
use std::collections::BTreeMap;

/// A saving as shown, and what only the goal tells of it.
#[derive(Debug)]
pub struct Measured {
    pub saving: Saving,
    /// Split, and by node: how the bounds were found.
    pub contrast: Option<Contrasted>,
    /// Nothing of what the candidate took into windows has come out yet.
    pub all_held: bool,
}

/// Points that were still held at the end of what is compared, and points that were held before it.
/// Added up by runs of consecutive windows, because what a void window took in or gave out is unseen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    pub still: f64,
    pub before: f64,
}

/// `alpha`: of the bounds of a split, and by node.
pub fn measure(
    criteria: &Criteria,
    selection: &Selection<'_>,
    measure: Measure,
    alpha: f64,
) -> Measured {
    let flows: Option<Vec<Flow>> = selection.used.values().map(|r| flow(r, measure)).collect();
    let flows = flows.unwrap_or_default();
    let total = flows.iter().copied().reduce(Flow::plus);
    let all_held = all_held(selection);
    let Some(total) = total else {
        return Measured {
            saving: Saving::default(),
            contrast: None,
            all_held,
        };
    };
    let mut saving = Saving {
        baseline_in: Some(total.baseline_in.value.round() as u64),
        baseline: Some(total.baseline_out.value.round() as u64),
        candidate_in: Some(total.candidate_in.value.round() as u64),
        candidate: Some(total.candidate_out.value.round() as u64),
        exact: total.is_exact(),
        ..Saving::default()
    };
    let mut found = None;
    match criteria.mode {
        Mode::Shadow => shadow(&mut saving, selection, measure, total),
        Mode::Split | Mode::Nodes => {
            saving.saving = confidence::estimate(pair(&total), Contrast::Ratio).map(|r| 1.0 - r);
            found = divided(criteria, selection, measure, &flows, &total, alpha);
            if let Some(bounds) = found.as_ref().and_then(|f| bounds(criteria, f)) {
                let (low, high) = with_held(selection, measure, &total, bounds);
                (saving.lower, saving.upper) = (high.map(|h| 1.0 - h), low.map(|l| 1.0 - l));
            }
        }
    }
    if all_held && measure != Measure::Points {
        saving.lower = None;
    }
    Measured {
        saving,
        contrast: found,
        all_held,
    }
}

fn pair(flow: &Flow) -> Pair {
    let share = |out: Amount, came: Amount| Share {
        of: out.value,
        per: came.value,
    };
    Pair {
        baseline: share(flow.baseline_out, flow.baseline_in),
        candidate: share(flow.candidate_out, flow.candidate_in),
    }
}

/// What is kept of the candidate's volume against what is kept of the baseline's, where each arm had its
/// own part of it.
fn divided(
    criteria: &Criteria,
    selection: &Selection<'_>,
    measure: Measure,
    flows: &[Flow],
    total: &Flow,
    alpha: f64,
) -> Option<Contrasted> {
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
    let pairs: Vec<Pair> = flows.iter().map(pair).collect();
    let agents = |windows| {
        enough_agents(criteria, selection)
            .then(|| agents(selection, measure, windows))
            .flatten()
    };
    let spend = (alpha, sketches.sqrt());
    contrast(criteria, &pairs, agents, Contrast::Ratio, spend)
}

/// By node the node is what was divided: without a bound over nodes there is none.
fn bounds(criteria: &Criteria, found: &Contrasted) -> Option<(f64, f64)> {
    let known = criteria.mode != Mode::Nodes || found.over_agents.is_some();
    known.then_some((found.bounds.low, found.bounds.high))
}

/// Points still held count as if they were to be written.
fn with_held(
    selection: &Selection<'_>,
    measure: Measure,
    total: &Flow,
    (low, high): (f64, f64),
) -> (Option<f64>, Option<f64>) {
    let of = |pick| scale(held(selection, pick), selection, measure, pick);
    let (b, c) = (of(Window::baseline_arm), of(Window::candidate_arm));
    let total = pair(total);
    let Some(unmoved) = confidence::estimate(total, Contrast::Ratio) else {
        return (None, None);
    };
    // The bounds keep their distance, as factors, from what was counted.
    let moved = |bound: f64, candidate: f64, baseline: f64| {
        let mut moved = total;
        moved.candidate.of = (moved.candidate.of + candidate).max(0.0);
        moved.baseline.of += baseline;
        let factor = if unmoved > 0.0 { bound / unmoved } else { 1.0 };
        confidence::estimate(moved, Contrast::Ratio).map(|ratio| ratio * factor)
    };
    let lowest = moved(low, -c.before, b.still);
    let highest = moved(high, c.still, -b.before);
    (lowest, highest)
}

/// The flow of each agent over the first windows.
fn agents(selection: &Selection<'_>, measure: Measure, windows: usize) -> Option<Vec<Pair>> {
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
    Some(agents.values().map(pair).collect())
}

fn shadow(saving: &mut Saving, selection: &Selection<'_>, measure: Measure, total: Flow) {
    let (b, c) = (total.baseline_out, total.candidate_out);
    if b.value <= 0.0 {
        return;
    }
    saving.saving = Some(1.0 - c.value / b.value);
    let widen = |amount: Amount, pick| {
        let held = scale(held(selection, pick), selection, measure, pick);
        Amount {
            value: amount.value,
            low: (amount.low - held.before).max(0.0),
            high: amount.high + held.still,
        }
    };
    let (b, c) = (
        widen(b, Window::baseline_arm),
        widen(c, Window::candidate_arm),
    );
    let bounds = |b: Amount, c: Amount| {
        let lower = (b.low > 0.0).then(|| 1.0 - c.high / b.low);
        (lower, 1.0 - c.low / b.high)
    };
    let (mut lower, mut upper) = bounds(b, c);
    // Where outputs come less often than windows end, a window sees few of them: the series of all
    // windows together are held against it.
    if measure == Measure::Series && gathers(selection) {
        let whole = over_all_windows(selection).filter(|(b, _)| b.high > 0.0);
        if let Some((low, high)) = whole.map(|(b, c)| bounds(b, c)) {
            lower = lower.zip(low).map(|(a, b)| a.min(b));
            upper = upper.max(high);
        }
    }
    (saving.lower, saving.upper) = (lower, Some(upper));
}

/// Some arm takes points into windows of its own.
fn gathers(selection: &Selection<'_>) -> bool {
    let mut arms = selection.comparable().flat_map(|w| w.arms());
    arms.any(|(_, a)| a.ledger.held != 0 || a.ledger.merged != 0)
}

/// The candidate holds points and none of what it took in has come out.
fn all_held(selection: &Selection<'_>) -> bool {
    let came_out = selection
        .comparable()
        .filter_map(Window::candidate_arm)
        .any(|a| a.ledger.merged != 0 || a.ledger.sampled_out != 0);
    !came_out && held(selection, Window::candidate_arm).still > 0.0
}

fn held(selection: &Selection<'_>, pick: fn(&Window) -> Option<&Arm>) -> Held {
    let mut held = Held::default();
    let mut arms = selection.comparable().filter_map(pick);
    if arms.all(|a| a.ledger.held == 0) {
        return held;
    }
    for run in selection.runs() {
        let arms = run.iter().filter_map(|w| pick(w));
        let change = arms.map(|a| i128::from(a.ledger.held)).sum::<i128>() as f64;
        held.still += change.max(0.0);
        held.before += (-change).max(0.0);
    }
    held
}

/// Held points in the unit of the measure. A point that is held becomes at most one point; its bytes and
/// samples are not known yet: the larger of the mean point that came in and the mean that went out is taken.
fn scale(
    held: Held,
    selection: &Selection<'_>,
    measure: Measure,
    pick: fn(&Window) -> Option<&Arm>,
) -> Held {
    let factor = match measure {
        Measure::Points => 1.0,
        // Series are looked at over all windows together.
        Measure::Series | Measure::Money => 0.0,
        Measure::Bytes => a_point(selection, pick, |a| (a.bytes_in, a.bytes_out)),
        Measure::Samples => a_point(selection, pick, |a| {
            (
                a.samples_in.unwrap_or_default(),
                a.samples_out.unwrap_or_default(),
            )
        }),
    };
    Held {
        still: held.still * factor,
        before: held.before * factor,
    }
}

/// What a point is on the mean: the larger of what came in and of what went out.
fn a_point(
    selection: &Selection<'_>,
    pick: fn(&Window) -> Option<&Arm>,
    figure: fn(&Arm) -> (u64, u64),
) -> f64 {
    let sum = |figure: &dyn Fn(&Arm) -> u64| {
        let arms = selection.comparable().filter_map(pick);
        arms.map(figure).sum::<u64>() as f64
    };
    let mean = |all: f64, points: f64| if points > 0.0 { all / points } else { 0.0 };
    let came = mean(sum(&|a| figure(a).0), sum(&|a| a.ledger.received));
    let left = mean(sum(&|a| figure(a).1), sum(&|a| a.ledger.exported));
    came.max(left)
}
