//! Transforms: the engine writes the model's points under the model's names.

use super::duel::duel;
use super::{DECIDES, PLAIN, Wanted, for_all};
use phoenix_model::traffic::pipelines::Menu;

const TRANSFORMS: Menu = Menu {
    transform: true,
    most: 3,
    ..DECIDES
};

#[test]
fn transforms_change_names_like_the_model() {
    let wanted = Wanted {
        menu: TRANSFORMS,
        shapes: true,
        ..PLAIN
    };
    for_all("transform", 250, wanted, duel);
}

#[test]
fn transforms_before_and_behind_stages_that_keep_points() {
    let menu = Menu {
        every: true,
        aggregate: true,
        ..TRANSFORMS
    };
    for_all("transform in a row", 250, Wanted { menu, ..PLAIN }, duel);
}

#[test]
fn transforms_come_and_go_by_swaps_and_arms() {
    let menu = Menu {
        every: true,
        aggregate: true,
        ..TRANSFORMS
    };
    let wanted = Wanted {
        menu,
        swaps: true,
        arms: true,
        ..PLAIN
    };
    for_all("transform, swaps and arms", 250, wanted, duel);
}

#[test]
fn transforms_before_and_behind_a_topk_or_limit() {
    let menu = Menu {
        topk: true,
        limit: true,
        filter: false,
        fraction: false,
        ..TRANSFORMS
    };
    for_all("transform and folds", 300, Wanted { menu, ..PLAIN }, duel);
}

#[test]
fn transforms_come_and_go_around_a_topk_or_limit() {
    let menu = Menu {
        topk: true,
        limit: true,
        aggregate: true,
        every: true,
        ..TRANSFORMS
    };
    let wanted = Wanted {
        menu,
        swaps: true,
        arms: true,
        ..PLAIN
    };
    for_all("transform and folds, swaps and arms", 200, wanted, duel);
}

#[test]
fn weights_go_by_what_a_series_is_called() {
    let menu = Menu {
        quiet: true,
        aggregate: true,
        ..TRANSFORMS
    };
    for_all("transform and weights", 150, Wanted { menu, ..PLAIN }, duel);
}
