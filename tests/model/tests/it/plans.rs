//! Swaps, arms, and that the same calls give the same bytes.

use super::duel::{decoded, duel, look, plans, settings_of};
use super::{ALL, PLAIN, Wanted, for_all};
use bytes::Bytes;
use phoenix_engine::engine::{Emitted, Engine};
use phoenix_model::reference::compare::differences;
use phoenix_model::reference::point::Point;
use phoenix_model::traffic::pipelines::Menu;
use phoenix_model::traffic::{Action, Case, encode};
use std::sync::atomic::{AtomicU64, Ordering};

const AGGREGATES: Menu = Menu {
    filter: true,
    values: false,
    entities: false,
    fraction: false,
    every: false,
    quiet: false,
    aggregate: true,
    quantise: true,
    histogram: true,
    temporality: true,
    topk: false,
    limit: false,
    transform: false,
    most: 2,
};

#[test]
fn swaps_write_and_keep_what_the_model_says() {
    let wanted = Wanted {
        menu: AGGREGATES,
        swaps: true,
        ..PLAIN
    };
    for_all("swaps", 250, wanted, duel);
}

#[test]
fn both_arms_see_what_the_model_says() {
    let wanted = Wanted {
        arms: true,
        ..PLAIN
    };
    for_all("arms", 150, wanted, duel);
}

#[test]
fn experiments_about_some_metrics_and_of_whole_nodes_see_what_the_model_says() {
    static RUN: AtomicU64 = AtomicU64::new(0);
    let wanted = Wanted {
        // A topk or limit with places for what is out of scope is refused.
        menu: Menu {
            transform: false,
            topk: false,
            limit: false,
            ..ALL
        },
        swaps: true,
        arms: true,
        scopes: true,
        ..PLAIN
    };
    for_all("scopes and nodes", 250, wanted, |case| {
        let second = case.first.candidate.is_some() && !case.first.scope.is_empty();
        let runs = second && plans(case, &case.first).is_some();
        RUN.fetch_add(u64::from(runs), Ordering::Relaxed);
        duel(case)
    });
    // Stages that decide about whole entities have no scope by metrics.
    let run = RUN.load(Ordering::Relaxed);
    assert!(run >= 20, "{run} cases began with a scope");
}

/// A shadow of the same stages in a scope: both arms have the same bytes of what is in it.
fn the_same_in_a_scope_takes_the_same_bytes(case: &Case) -> Result<(), String> {
    let mut case = case.clone();
    case.first.candidate = Some(case.first.baseline);
    case.first.split = None;
    if case.first.scope.is_empty() || plans(&case, &case.first).is_none() {
        return Ok(());
    }
    COMPARED.fetch_add(1, Ordering::Relaxed);
    // What is released together has a resource's odd bytes as the first point of it brought them, and which is the
    // first depends on what comes beside it.
    let stages = &case.pipelines[case.first.baseline].stages;
    if stages.iter().any(|stage| stage.contains("every:")) {
        for action in &mut case.actions {
            if let Action::Feed { shape, .. } = action {
                (shape.unknown_fields, shape.long_varints) = (false, false);
            }
        }
    }
    run(&case, |engine, _| {
        let figures = engine.figures();
        let theirs = figures.candidate.ok_or("no candidate")?;
        let (ours, theirs) = (figures.baseline.compared_bytes, theirs.compared_bytes);
        let outside = figures.baseline.unassigned.map_or(0, |v| v.points_out);
        OUTSIDE.fetch_add(u64::from(outside > 0), Ordering::Relaxed);
        match ours == theirs {
            true => Ok(()),
            false => Err(format!("bytes in and out: {ours:?}, shadow {theirs:?}")),
        }
    })?;
    Ok(())
}

static COMPARED: AtomicU64 = AtomicU64::new(0);
static OUTSIDE: AtomicU64 = AtomicU64::new(0);

#[test]
fn arms_that_do_the_same_in_a_scope_have_the_same_bytes_of_it() {
    // What has a place in them depends on what comes beside it.
    let menu = Menu {
        topk: false,
        limit: false,
        ..ALL
    };
    let wanted = Wanted {
        menu,
        arms: true,
        scopes: true,
        shapes: true,
        ..PLAIN
    };
    for_all(
        "bytes in a scope",
        250,
        wanted,
        the_same_in_a_scope_takes_the_same_bytes,
    );
    let seen = [&COMPARED, &OUTSIDE].map(|n| n.load(Ordering::Relaxed));
    assert!(seen[0] >= 20 && seen[1] >= 100, "{seen:?}");
}

#[test]
fn arms_come_and_go_by_swaps() {
    let wanted = Wanted {
        menu: ALL,
        swaps: true,
        arms: true,
        ..PLAIN
    };
    for_all("arms and swaps", 250, wanted, duel);
}

/// What an engine emits, call by call; nothing where the plan is refused.
pub fn run(
    case: &Case,
    mut after: impl FnMut(&mut Engine, u64) -> Result<(), String>,
) -> Result<Vec<Emitted>, String> {
    let Some((plan, _)) = plans(case, &case.first) else {
        return Ok(Vec::new());
    };
    let mut engine = Engine::new(settings_of(case), plan, case.began);
    let mut all = Vec::new();
    let mut now = case.began;
    for action in &case.actions {
        all.push(match action {
            Action::Feed {
                points,
                shape,
                now: t,
            } => {
                now = *t;
                let bytes = Bytes::from(encode(points, *shape));
                engine.feed(&bytes, now).map_err(|e| e.to_string())?.emitted
            }
            Action::Tick { now: t } => {
                now = *t;
                engine.tick(now)
            }
            Action::Swap { to, now: t } => {
                let Some((plan, _)) = plans(case, to) else {
                    continue;
                };
                now = *t;
                engine.swap(plan, now)
            }
        });
        after(&mut engine, now)?;
    }
    all.push(engine.finish(now));
    Ok(all)
}

fn points_of(emitted: &Emitted) -> Result<(Vec<Point>, Vec<Point>), String> {
    Ok((decoded(&emitted.out)?, decoded(&emitted.shadow)?))
}

/// Call by call the same points, in any order.
pub fn same_points(case: &Case, one: &[Emitted], other: &[Emitted]) -> Result<(), String> {
    let look = look(case);
    for (at, (a, b)) in one.iter().zip(other).enumerate() {
        let ((a, a_shadow), (b, b_shadow)) = (points_of(a)?, points_of(b)?);
        let mut lines = differences(&a, &b, look);
        lines.extend(differences(&a_shadow, &b_shadow, look));
        if !lines.is_empty() {
            return Err(format!(
                "call {at} (`model` is the first run):\n{}",
                lines.join("\n")
            ));
        }
    }
    Ok(())
}

/// Another run of the case with other bytes.
pub fn emitted(case: &Case) -> Result<Vec<Emitted>, String> {
    run(case, |_, _| Ok(()))
}

fn is_deterministic(case: &Case) -> Result<(), String> {
    let (one, other) = (emitted(case)?, emitted(case)?);
    let differ = one
        .iter()
        .zip(&other)
        .position(|(a, b)| a.out != b.out || a.shadow != b.shadow);
    match differ {
        Some(at) => Err(format!("call {at}: other bytes the second time")),
        None => Ok(()),
    }
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    let wanted = Wanted {
        swaps: true,
        arms: true,
        shapes: true,
        ..PLAIN
    };
    for_all("determinism", 50, wanted, is_deterministic);
}

fn the_same_plan_changes_nothing(case: &Case) -> Result<(), String> {
    let calm = emitted(case)?;
    let swapped = run(case, |engine, now| {
        let Some((same, _)) = plans(case, &case.first) else {
            return Ok(());
        };
        let emitted = engine.swap(same, now);
        if emitted.points + emitted.shadow_points > 0 {
            return Err(format!(
                "a swap to the same plan wrote {} points",
                emitted.points
            ));
        }
        Ok(())
    })?;
    same_points(case, &calm, &swapped)
}

/// The case with ticks within windows, so that a swap can come at any instant.
fn with_instants(case: &Case) -> Case {
    let mut other = case.clone();
    other.actions.clear();
    for (at, action) in case.actions.iter().enumerate() {
        other.actions.push(action.clone());
        let of = |action: &Action| match action {
            Action::Feed { now, .. } | Action::Tick { now } | Action::Swap { now, .. } => *now,
        };
        if let Some(next) = case.actions.get(at + 1) {
            let (from, to) = (of(action), of(next));
            let share = (case.seed + at as u64 * 7) % 11;
            let now = from + to.saturating_sub(from) / 11 * share;
            other.actions.push(Action::Tick { now });
        }
    }
    other
}

fn what_runs_can_be_swapped_for_itself(case: &Case) -> Result<(), String> {
    let case = &with_instants(case);
    let calm = emitted(case)?;
    let swapped = run(case, |engine, now| {
        let same = engine.plan().clone();
        let emitted = engine.swap(same, now);
        match emitted.points + emitted.shadow_points {
            0 => Ok(()),
            n => Err(format!("a swap to the same plan wrote {n} points")),
        }
    })?;
    same_points(case, &calm, &swapped)
}

#[test]
fn whatever_plan_runs_a_swap_to_it_changes_no_output_at_any_instant() {
    let wanted = Wanted {
        swaps: true,
        arms: true,
        rounds: 20,
        ..PLAIN
    };
    for_all(
        "same plan, any instant",
        60,
        wanted,
        what_runs_can_be_swapped_for_itself,
    );
}

#[test]
fn a_swap_to_the_same_plan_changes_no_output() {
    let wanted = Wanted {
        arms: true,
        ..PLAIN
    };
    for_all("same plan", 50, wanted, the_same_plan_changes_nothing);
}
