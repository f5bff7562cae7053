//! The engine against the reference model, on generated and on recorded traffic.
//!
//! `PHOENIX_CASES=n` runs n cases a property (default: enough for a minute in all), from seed
//! `PHOENIX_FROM` (0) on; `PHOENIX_SEED=n` one seed of each, made small where it fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod captured;
mod duel;
mod encoding;
mod falling;
mod generated;
mod model;
mod plans;
mod protect;
mod ranks;
mod shapes;
mod transforms;
mod workers;

use phoenix_model::traffic::pipelines::Menu;
use phoenix_model::traffic::{Case, Features, Wanted, case, shrink::shrink};

/// Nothing that changes a point: filter and fraction.
const DECIDES: Menu = Menu {
    filter: true,
    values: false,
    entities: false,
    fraction: true,
    every: false,
    quiet: false,
    aggregate: false,
    quantise: false,
    histogram: false,
    temporality: false,
    topk: false,
    limit: false,
    transform: false,
    most: 4,
};

/// Every kind of stage.
const ALL: Menu = Menu::ALL;

/// One plan, plain encodings, no arms.
const PLAIN: Wanted = Wanted {
    menu: ALL,
    swaps: false,
    arms: false,
    scopes: false,
    foreign_bounds: false,
    shapes: false,
    rounds: 40,
};

/// Checks `holds` on the cases of many seeds; panics with the smallest failing case.
fn for_all(name: &str, cases: u64, wanted: Wanted, holds: fn(&Case) -> Result<(), String>) {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let cases = number("PHOENIX_CASES").unwrap_or(cases);
    // Of a seed that is asked for by itself the smallest case is worth waiting for.
    let (seeds, patience) = match number("PHOENIX_SEED") {
        Some(seed) => (seed..seed + 1, 300),
        None => {
            let from = number("PHOENIX_FROM").unwrap_or(0);
            (from..from + cases, 20)
        }
    };
    let started = std::time::Instant::now();
    for seed in seeds {
        let case = case(seed, wanted, &mut Features::default());
        if holds(&case).is_ok() {
            continue;
        }
        let until = std::time::Instant::now() + std::time::Duration::from_secs(patience);
        let mut fails = |c: &Case| std::time::Instant::now() < until && holds(c).is_err();
        let small = shrink(&case, 3_000, &mut fails);
        let why = holds(&small).err().unwrap_or_default();
        panic!("{name}: seed {seed}\n{}\n{why}", duel::describe(&small));
    }
    eprintln!("{name}: {cases} cases in {:.1?}", started.elapsed());
}
