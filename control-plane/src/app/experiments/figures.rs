//! Running figures of an experiment: sums over its comparable windows, nothing guessed.

use crate::model::{Experiment, Window};
use phoenix_engine::sketch::Sketch;
use phoenix_proto::control::{Cardinality, Volume};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Both arms so far, over what the verdict of the step compares.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Windows in which there is something to compare.
    pub windows: u64,
    /// Reports (a window of one agent each) that can be compared, and those that cannot.
    pub comparable: u64,
    pub void: u64,
    /// Agents with comparable reports.
    pub agents: u64,
    pub baseline: ArmFigures,
    pub candidate: ArmFigures,
}

/// One arm, without what is outside the comparison: out of scope, or without a key of the entity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArmFigures {
    pub points_in: u64,
    pub points_out: u64,
    /// Null where a report does not tell the bytes that are compared from others.
    pub bytes_in: Option<u64>,
    pub bytes_out: Option<u64>,
    /// Distinct series of all agents in their newest comparable window; null: not known.
    pub series_in: Option<u64>,
    pub series_out: Option<u64>,
    pub protected_points_in: u64,
    pub protected_points_out: u64,
    /// Thread time; null where a window lacks it.
    pub cpu_seconds: Option<f64>,
}

/// `compared`: the reports that the verdict compares, by agent, incarnation and start. `None`: no window was
/// reported for the present run.
pub fn figures(
    experiment: &Experiment,
    windows: &[Window],
    compared: &BTreeSet<(String, String, u64)>,
) -> Option<Figures> {
    let mut pairs: BTreeMap<_, Vec<&Window>> = BTreeMap::new();
    for w in windows {
        if w.experiment_revision == experiment.revision {
            let key = (w.identity.to_string(), w.incarnation.clone(), w.start_ms);
            pairs.entry(key).or_default().push(w);
        }
    }
    if pairs.is_empty() {
        return None;
    }
    let all = pairs.len() as u64;
    pairs.retain(|key, _| compared.contains(key));
    let newest = pairs.keys().map(|(_, _, start)| *start).max();
    let agents: BTreeSet<_> = pairs.keys().map(|(agent, _, _)| agent).collect();
    let of = |arm: &str| -> Vec<&Window> {
        let both = pairs.values().flatten();
        both.filter(|w| w.arm == arm).copied().collect()
    };
    Some(Figures {
        windows: pairs.keys().map(|k| k.2).collect::<BTreeSet<_>>().len() as u64,
        comparable: pairs.len() as u64,
        void: all - pairs.len() as u64,
        agents: agents.len() as u64,
        baseline: arm(&of("baseline"), newest),
        candidate: arm(&of("candidate"), newest),
    })
}

fn arm(windows: &[&Window], newest: Option<u64>) -> ArmFigures {
    let mut sum = ArmFigures {
        cpu_seconds: Some(0.0).filter(|_| !windows.is_empty()),
        bytes_in: Some(0),
        bytes_out: Some(0),
        ..ArmFigures::default()
    };
    for w in windows {
        let r = &w.report;
        let outside = r.unassigned.unwrap_or_default();
        if let Some(ledger) = &r.ledger {
            sum.points_in += ledger.received.saturating_sub(outside.points_in);
            sum.points_out += ledger.exported.saturating_sub(outside.points_out);
        }
        // Points share their resource's bytes, also with points outside.
        let all = outside.points_in == 0 && outside.points_out == 0;
        let of = |inside: Option<u64>, bytes| inside.or(Some(bytes).filter(|_| all));
        let came = of(r.compared_bytes_in, r.bytes_in);
        let left = of(r.compared_bytes_out, r.bytes_out);
        sum.bytes_in = sum.bytes_in.zip(came).map(|(a, b)| a + b);
        sum.bytes_out = sum.bytes_out.zip(left).map(|(a, b)| a + b);
        sum.protected_points_in += r.protected_points_in;
        sum.protected_points_out += r.protected_points_out;
        sum.cpu_seconds = sum.cpu_seconds.zip(r.cpu_seconds).map(|(a, b)| a + b);
    }
    let last: Vec<&&Window> = windows
        .iter()
        .filter(|w| Some(w.start_ms) == newest)
        .collect();
    let outside = |count: fn(&Volume) -> u64| -> u64 {
        let of = last.iter().filter_map(|w| w.report.unassigned.as_ref());
        of.map(count).sum()
    };
    // Series outside the comparison are counted by node: a node's own stay apart from another's.
    let of = |all: Option<u64>, outside: u64| all.map(|n| n.saturating_sub(outside));
    let all_in = union(last.iter().map(|w| w.report.series_in.as_ref()));
    let all_out = union(last.iter().map(|w| w.report.series_out.as_ref()));
    sum.series_in = of(all_in, outside(|v| v.series_in));
    sum.series_out = of(all_out, outside(|v| v.series_out));
    sum
}

/// Exact for one agent; else the union of the sketches, for series of two nodes may be the same.
fn union<'a>(all: impl Iterator<Item = Option<&'a Cardinality>>) -> Option<u64> {
    let all: Vec<&Cardinality> = all.collect::<Option<_>>()?;
    if let [one] = all.as_slice()
        && let Some(exact) = one.exact
    {
        return Some(exact);
    }
    let mut sketches = all.iter().map(|c| Sketch::from_bytes(&c.sketch).ok());
    let mut merged = sketches.next()??;
    for sketch in sketches {
        merged.merge(&sketch?);
    }
    Some(merged.estimate().round() as u64)
}
