//! Why a volume is not known although windows were compared: who does not tell it.

use super::select::Selection;
use crate::criteria::Measure;
use crate::window::Arm;
use std::collections::BTreeSet;

/// One clause; `None`: nobody lacks it.
pub fn why(selection: &Selection<'_>, measure: Measure) -> Option<String> {
    let (lacks, what): (fn(&Arm) -> bool, &str) = match measure {
        Measure::Bytes => (
            shares_bytes,
            "points in the scope share their resource's bytes with points outside, which is not counted apart by",
        ),
        Measure::Samples => (
            |arm| arm.samples_in.is_none() || arm.samples_out.is_none(),
            "Prometheus samples are not counted by",
        ),
        Measure::Points | Measure::Series | Measure::Money => return None,
    };
    let told = selection.comparable();
    let lacking = told.filter(|w| w.arms().any(|(_, arm)| lacks(arm)));
    let agents: BTreeSet<&str> = lacking.map(|w| w.agent.as_str()).collect();
    let first = agents.first()?;
    Some(match agents.len() {
        1 => format!("{what} {first}"),
        n => format!("{what} {n} agents, {first} among them"),
    })
}

/// What came in an earlier window may leave in this one.
fn shares_bytes(arm: &Arm) -> bool {
    let apart = arm.compared_bytes_in.is_some() && arm.compared_bytes_out.is_some();
    let beside = arm
        .unassigned
        .is_some_and(|v| v.points_in > 0 || v.points_out > 0);
    beside && !apart
}
