//! Generated traffic over generated pipelines: the engine writes the model's points.

use super::duel::duel;
use super::plans::run;
use super::{ALL, DECIDES, PLAIN, Wanted, for_all};
use phoenix_model::traffic::Case;
use phoenix_model::traffic::pipelines::Menu;
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn a_pass_through_gives_back_every_point() {
    let menu = Menu { most: 0, ..DECIDES };
    let wanted = Wanted {
        menu,
        shapes: true,
        ..PLAIN
    };
    for_all("pass-through", 50, wanted, duel);
}

#[test]
fn filter_and_fraction_decide_like_the_model() {
    let wanted = Wanted {
        menu: DECIDES,
        shapes: true,
        ..PLAIN
    };
    for_all("filter and fraction", 150, wanted, duel);
}

#[test]
fn every_interval_samples_like_the_model() {
    let menu = Menu {
        every: true,
        quiet: false,
        ..DECIDES
    };
    for_all("sample every", 200, Wanted { menu, ..PLAIN }, duel);
}

#[test]
fn one_aggregation_counts_like_the_model() {
    let menu = Menu {
        filter: false,
        values: false,
        entities: false,
        fraction: false,
        every: false,
        quiet: false,
        aggregate: true,
        quantise: false,
        histogram: false,
        temporality: false,
        topk: false,
        limit: false,
        transform: false,
        most: 1,
    };
    let wanted = Wanted {
        menu,
        foreign_bounds: true,
        ..PLAIN
    };
    for_all("one aggregation", 400, wanted, duel);
}

#[test]
fn gauges_are_rounded_like_the_model_rounds() {
    let menu = Menu {
        quantise: true,
        every: true,
        ..DECIDES
    };
    let wanted = Wanted {
        menu,
        shapes: true,
        ..PLAIN
    };
    for_all("quantise", 200, wanted, duel);
}

#[test]
fn histograms_lose_buckets_like_the_model_says() {
    let menu = Menu {
        filter: false,
        fraction: false,
        histogram: true,
        temporality: false,
        aggregate: true,
        ..DECIDES
    };
    let wanted = Wanted {
        menu,
        shapes: true,
        swaps: true,
        ..PLAIN
    };
    for_all("histogram", 200, wanted, duel);
}

#[test]
fn a_share_of_entities_counts_for_all_like_the_model() {
    let menu = Menu {
        filter: false,
        values: false,
        quiet: false,
        ..ALL
    };
    for_all("weights", 250, Wanted { menu, ..PLAIN }, duel);
}

#[test]
fn what_says_nothing_new_is_held_back_like_the_model() {
    let menu = Menu {
        quiet: true,
        ..DECIDES
    };
    let wanted = Wanted {
        menu,
        shapes: true,
        ..PLAIN
    };
    for_all("quiet", 250, wanted, duel);
}

#[test]
fn aggregations_behind_a_dead_band_lose_nothing() {
    let menu = Menu {
        filter: false,
        values: false,
        fraction: false,
        every: false,
        ..ALL
    };
    for_all("behind a dead-band", 200, Wanted { menu, ..PLAIN }, duel);
}

#[test]
fn stages_in_a_row_count_like_the_model() {
    let wanted = Wanted {
        menu: ALL,
        shapes: true,
        ..PLAIN
    };
    for_all("stages in a row", 250, wanted, duel);
}

#[test]
fn filters_compare_values_like_the_model() {
    let menu = Menu {
        values: true,
        entities: false,
        fraction: false,
        ..DECIDES
    };
    let wanted = Wanted {
        menu,
        shapes: true,
        ..PLAIN
    };
    for_all("values", 200, wanted, duel);
}

#[test]
fn stages_behind_a_gate_lose_nothing() {
    let menu = Menu {
        filter: false,
        values: true,
        entities: true,
        aggregate: true,
        every: true,
        quiet: false,
        fraction: false,
        quantise: false,
        histogram: false,
        temporality: false,
        topk: false,
        limit: false,
        transform: false,
        most: 3,
    };
    let wanted = Wanted {
        menu,
        swaps: true,
        ..PLAIN
    };
    for_all("behind a gate", 200, wanted, duel);
}

#[test]
fn idle_entities_are_dropped_like_the_model_says() {
    let menu = Menu {
        filter: false,
        entities: true,
        fraction: false,
        every: true,
        most: 2,
        ..DECIDES
    };
    let wanted = Wanted {
        menu,
        swaps: true,
        ..PLAIN
    };
    for_all("idle entities", 250, wanted, |case| {
        duel(case)?;
        dropped_whole(case)
    });
    let dropped = DROPPED.load(Ordering::Relaxed);
    assert!(dropped > 0, "no entity was ever idle");
    eprintln!("{dropped} points of idle entities were dropped");
}

/// Points that filters of entities dropped, over all cases.
static DROPPED: AtomicU64 = AtomicU64::new(0);

fn dropped_whole(case: &Case) -> Result<(), String> {
    let mut most = 0;
    run(case, |engine, _| {
        let stages = engine.figures().baseline.stages;
        let of = stages.iter().filter_map(|s| s.counts.get("drop_when"));
        most = most.max(of.sum());
        Ok(())
    })?;
    DROPPED.fetch_add(most, Ordering::Relaxed);
    Ok(())
}
