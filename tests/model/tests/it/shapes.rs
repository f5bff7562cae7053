//! Stages that make other series of some: temporality, and exponential histograms at explicit bounds.

use super::duel::duel;
use super::{DECIDES, PLAIN, Wanted, for_all};
use phoenix_model::traffic::pipelines::Menu;

const SHAPES: Menu = Menu {
    filter: false,
    fraction: false,
    histogram: true,
    temporality: true,
    most: 2,
    ..DECIDES
};

#[test]
fn one_temporality_converts_like_the_model() {
    let menu = Menu {
        histogram: false,
        most: 1,
        ..SHAPES
    };
    let wanted = Wanted {
        menu,
        shapes: true,
        foreign_bounds: true,
        ..PLAIN
    };
    for_all("one temporality", 300, wanted, duel);
}

#[test]
fn temporality_and_histograms_in_a_row_convert_like_the_model() {
    let menu = Menu {
        filter: true,
        fraction: true,
        ..SHAPES
    };
    for_all("shapes in a row", 250, Wanted { menu, ..PLAIN }, duel);
}

#[test]
fn aggregations_count_what_was_converted() {
    let menu = Menu {
        aggregate: true,
        most: 3,
        ..SHAPES
    };
    let wanted = Wanted {
        menu,
        swaps: true,
        ..PLAIN
    };
    for_all("aggregations behind shapes", 300, wanted, duel);
}

#[test]
fn gates_and_samples_meet_what_was_converted() {
    let menu = Menu {
        filter: true,
        values: true,
        every: true,
        quiet: true,
        most: 3,
        ..SHAPES
    };
    for_all("gates and shapes", 250, Wanted { menu, ..PLAIN }, duel);
}

#[test]
fn transforms_and_shapes_go_together() {
    let menu = Menu {
        transform: true,
        aggregate: true,
        most: 3,
        ..SHAPES
    };
    let wanted = Wanted {
        menu,
        swaps: true,
        arms: true,
        ..PLAIN
    };
    for_all("transforms and shapes", 250, wanted, duel);
}
