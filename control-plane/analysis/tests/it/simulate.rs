//! Experiments with a known truth, by the thousand, through the judge as it is: how often it errs.
//!
//! `PHOENIX_EXPERIMENTS` (100) a scenario; `PHOENIX_REPORT` names a file for the table of results.
//! `scripts/test-long` runs 10 000 and writes benches/results/judge.md.

mod interval;
mod noise;
mod report;
mod run;
mod scenarios;
mod worlds;

use interval::Kept;
use run::Result;
use scenarios::{Promise, Scenario};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn experiments() -> u64 {
    std::env::var("PHOENIX_EXPERIMENTS").map_or(100, |n| n.parse().expect("a number"))
}

/// All scenarios, on all cores.
fn simulate(count: u64) -> Vec<(Scenario, Result)> {
    let scenarios = scenarios::all();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = run::run(scenario, count);
                    results.lock().unwrap().push((scenario.clone(), result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(scenario, _)| scenario.number);
    results
}

#[test]
fn the_judge_keeps_its_promises_in_simulated_experiments() {
    let count = experiments();
    let results = simulate(count);
    if let Some(path) = std::env::var_os("PHOENIX_REPORT") {
        std::fs::write(path, report::report(&results, count)).unwrap();
    }
    let mut broken = Vec::new();
    for (scenario, result) in &results {
        for promise in &scenario.promises {
            if promise.kept(result) == Kept::No {
                broken.push(format!("{}: {}: {result:?}", scenario.name, promise.text()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_promise_that_is_broken_is_seen() {
    // A candidate that saves what was asked for must not count as one that does not.
    let mut scenario = scenarios::all().remove(0);
    scenario.world.saving = 0.5;
    scenario.promises = vec![Promise::PromotedAtMost(0.05)];
    let result = run::run(&scenario, 30);
    assert_eq!(scenario.promises[0].kept(&result), Kept::No, "{result:?}");
}
