//! Both arms of an experiment held against each other: over windows, and over the units that were divided.
//!
//! Over windows a confidence sequence (`confidence`) says how sure the contrast is for the entities and
//! nodes that were there. That others might have come into an arm is seen only over agents: where there
//! are enough of them the bound is widened to Student's t over agents, its alpha spent over looks at 12, 24,
//! 48, ... windows. By node, the node is what was divided.

use super::select::Selection;
use crate::confidence::{
    Bounds, Contrast, MIN_WINDOWS, Pair, Share, estimate, residuals, sequence,
};
use crate::criteria::{Criteria, Mode};
use crate::stats::t_upper;
use crate::window::{Arm, Window};
use std::collections::BTreeMap;

/// Degrees of freedom from which on a bound over agents is found.
const MIN_FREEDOM: usize = 2;

/// Agents that this takes: one is lost to the mean, by node one to the mean of each arm.
pub fn enough_agents(criteria: &Criteria, selection: &Selection<'_>) -> bool {
    let means = if criteria.mode == Mode::Nodes { 2 } else { 1 };
    selection.agents >= MIN_FREEDOM + means
}

/// A contrast with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrasted {
    pub bounds: Bounds,
    /// Standard error over agents; `None`: too few of them.
    pub over_agents: Option<f64>,
}

/// What an arm counts, and per what; `None`: not measured.
pub type Figure = fn(&Arm) -> Option<Share>;

/// A figure of every arm, by window of the fleet. `None`: an arm that took points did not measure it.
pub fn pairs(selection: &Selection<'_>, figure: Figure) -> Option<Vec<Pair>> {
    let of = |reports: &Vec<&Window>| {
        let each: Option<Vec<Pair>> = reports.iter().map(|w| pair(w, figure)).collect();
        Some(each?.into_iter().fold(Pair::default(), Pair::plus))
    };
    selection.used.values().map(of).collect()
}

fn pair(window: &Window, figure: Figure) -> Option<Pair> {
    let share = |arm: Option<&Arm>| match arm {
        None => Some(Share::default()),
        // By node an arm that nothing reached need not be measured.
        Some(arm) => figure(arm).or((arm.ledger.received == 0).then(Share::default)),
    };
    Some(Pair {
        baseline: share(window.baseline_arm())?,
        candidate: share(window.candidate_arm())?,
    })
}

/// The figure of each agent over the first `windows` windows.
pub fn by_agent(
    criteria: &Criteria,
    selection: &Selection<'_>,
    windows: usize,
    figure: Figure,
) -> Option<Vec<Pair>> {
    if !enough_agents(criteria, selection) {
        return None;
    }
    let mut agents: BTreeMap<&str, Pair> = BTreeMap::new();
    for report in selection.used.values().take(windows).flatten() {
        let sum = agents.entry(&report.agent).or_default();
        *sum = sum.plus(pair(report, figure)?);
    }
    Some(agents.into_values().collect())
}

/// Bounds of a contrast over windows, widened over agents. `agents` gives what each agent has counted in
/// so many windows, both arms in a shadow or a split, one of them by node.
pub fn contrast(
    criteria: &Criteria,
    windows: &[Pair],
    agents: impl Fn(usize) -> Option<Vec<Pair>>,
    kind: Contrast,
    (alpha, known_error): (f64, f64),
) -> Option<Contrasted> {
    let mut bounds = sequence(windows, kind, alpha, known_error)?;
    let (taken, spent) = look(criteria, windows.len(), alpha);
    let error = agents(taken).and_then(|units| unit_error(criteria.mode, &units, kind));
    if let Some((error, freedom)) = error {
        let total = windows.iter().take(taken).copied().reduce(Pair::plus)?;
        let half = t_upper(spent / 2.0, freedom as f64) * error;
        widen(&mut bounds, estimate(total, kind)?, half, kind);
    }
    Some(Contrasted {
        bounds,
        over_agents: error.map(|(error, _)| error),
    })
}

fn widen(bounds: &mut Bounds, centre: f64, half: f64, kind: Contrast) {
    let (low, high) = match kind {
        Contrast::Difference => (centre - half, centre + half),
        Contrast::Ratio => (centre * (-half).exp(), centre * half.exp()),
    };
    (bounds.low, bounds.high) = (bounds.low.min(low), bounds.high.max(high));
}

/// How many windows the last look at the agents takes, and the alpha that it spends: half of what is left at
/// each doubling; a closed experiment spends the rest on all windows.
fn look(criteria: &Criteria, windows: usize, alpha: f64) -> (usize, f64) {
    let (mut at, mut spent) = (MIN_WINDOWS, alpha / 2.0);
    while at.saturating_mul(2) <= windows {
        at *= 2;
        spent /= 2.0;
    }
    if criteria.closed {
        (windows, spent)
    } else {
        (at, spent)
    }
}

/// Standard error over agents and its degrees of freedom.
fn unit_error(mode: Mode, units: &[Pair], kind: Contrast) -> Option<(f64, usize)> {
    let errors = residuals(units, kind)?;
    if mode != Mode::Nodes {
        let freedom = errors.len().checked_sub(1).filter(|f| *f >= MIN_FREEDOM)?;
        let n = errors.len() as f64;
        let squares: f64 = errors.iter().map(|e| e * e).sum();
        return Some(((n / (n - 1.0) * squares).sqrt(), freedom));
    }
    // Every node is in one arm. What it adds is its own distance times its weight in the arm; the distance
    // varies alike in both arms, as it would if the candidate changed nothing but the level.
    let total = units.iter().copied().reduce(Pair::plus)?;
    let mut weights = 0.0;
    let mut squares = 0.0;
    let mut nodes = 0usize;
    for (unit, error) in units.iter().zip(&errors) {
        let (b, c) = (unit.baseline.per, unit.candidate.per);
        let weight = if c > 0.0 {
            c / total.candidate.per
        } else {
            b / total.baseline.per
        };
        if weight > 0.0 {
            nodes += 1;
            weights += weight * weight;
            squares += (error / weight) * (error / weight);
        }
    }
    let freedom = nodes.checked_sub(2).filter(|f| *f >= MIN_FREEDOM)?;
    Some(((squares / freedom as f64 * weights).sqrt(), freedom))
}
