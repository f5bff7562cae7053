//! Builds windows with a known truth.

use phoenix_analysis::{
    Arm, Cardinality, Criteria, Goal, Guardrails, Measure, Mode, Protected, Volume, Window,
};
use phoenix_engine::ledger::Ledger;

pub const WINDOW_MS: u64 = 10_000;

pub fn criteria(mode: Mode, saving: Measure, target: f64) -> Criteria {
    Criteria {
        guardrails: Guardrails {
            protects: true,
            compare_exports: true,
            ..Guardrails::default()
        },
        ..Criteria::new(mode, WINDOW_MS, 6, Goal::new(saving, target))
    }
}

/// An arm that exports `exported` of `received` points and filters the rest.
pub fn arm(received: u64, exported: u64) -> Arm {
    Arm {
        ledger: Ledger {
            received,
            exported,
            filtered: received - exported,
            ..Ledger::default()
        },
        bytes_in: received * 100,
        bytes_out: exported * 100,
        samples_in: Some(received * 3),
        samples_out: Some(exported * 3),
        series_in: count(received),
        series_out: count(exported),
        protected: Protected {
            points_in: 10,
            points_out: 10,
            series_in: 5,
            series_out: 5,
        },
        entities: Some(count(received / 10)),
        unassigned: Some(Volume::default()),
        ..Arm::default()
    }
}

pub fn count(exact: u64) -> Cardinality {
    Cardinality {
        exact: Some(exact),
        sketch: Vec::new(),
    }
}

/// The report of `agent` of window number `slot`.
pub fn report(agent: &str, slot: u64, baseline: Arm, candidate: Arm) -> Window {
    Window {
        agent: agent.into(),
        incarnation: "i1".into(),
        revision: 1,
        start_ms: 1_000_000 + slot * WINDOW_MS,
        end_ms: 1_000_000 + (slot + 1) * WINDOW_MS,
        baseline: Some(baseline),
        candidate: Some(candidate),
        ..Window::default()
    }
}

/// One agent, shadow: a warm-up window and `n` more in which the candidate keeps `kept` of 1000 points.
pub fn shadow(n: u64, kept: u64) -> Vec<Window> {
    (0..=n)
        .map(|slot| report("default/default/a", slot, arm(1000, 1000), arm(1000, kept)))
        .collect()
}

pub fn candidate(window: &mut Window) -> &mut Arm {
    window.candidate.as_mut().unwrap()
}

pub fn baseline(window: &mut Window) -> &mut Arm {
    window.baseline.as_mut().unwrap()
}
