//! What is simulated, and what is promised of it.

use super::interval::{Kept, at_least, at_most};
use super::run::Result;
use super::worlds::World;
use phoenix_analysis::{Ask, Mode};

/// What must hold of the outcomes.
#[derive(Debug, Clone, Copy)]
pub enum Promise {
    PromotedAtMost(f64),
    PromotedAtLeast(f64),
    RejectedAtMost(f64),
    RejectedAtLeast(f64),
    /// 99 % of those decided were decided within so many windows.
    DecidedWithin(u64),
}

impl Promise {
    pub fn text(self) -> String {
        let percent = |share: f64| format!("{} %", (share * 1000.0).round() / 10.0);
        match self {
            Promise::PromotedAtMost(0.0) => "never promoted".into(),
            Promise::PromotedAtMost(s) => format!("promoted <= {}", percent(s)),
            Promise::PromotedAtLeast(s) => format!("promoted >= {}", percent(s)),
            Promise::RejectedAtMost(0.0) => "never rejected".into(),
            Promise::RejectedAtMost(s) => format!("rejected <= {}", percent(s)),
            Promise::RejectedAtLeast(s) => format!("rejected >= {}", percent(s)),
            Promise::DecidedWithin(n) => format!("99 % within {n} windows"),
        }
    }

    /// What so many experiments say of it, sure to 95 %.
    pub fn kept(self, result: &Result) -> Kept {
        let of = result.experiments;
        match self {
            Promise::PromotedAtMost(s) => at_most(result.promoted, of, s),
            Promise::PromotedAtLeast(s) => at_least(result.promoted, of, s),
            Promise::RejectedAtMost(s) => at_most(result.rejected, of, s),
            Promise::RejectedAtLeast(s) => at_least(result.rejected, of, s),
            Promise::DecidedWithin(n) => {
                let within = result.windows.iter().filter(|w| **w <= n).count() as u64;
                at_least(within, result.windows.len() as u64, 0.99)
            }
        }
    }
}

#[derive(Debug, Clone)]
pub struct Scenario {
    pub number: usize,
    pub name: &'static str,
    pub world: World,
    pub promises: Vec<Promise>,
}

/// The truth lies exactly on the target: the worst case for both errors.
const ON_TARGET: [Promise; 2] = [Promise::PromotedAtMost(0.05), Promise::RejectedAtMost(0.05)];

pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |name, world, promises: &[Promise]| {
        all.push(Scenario {
            number: all.len(),
            name,
            world,
            promises: promises.to_vec(),
        });
    };
    on_target(&mut add);
    effects(&mut add);
    by_node(&mut add);
    harm(&mut add);
    measuring(&mut add);
    all
}

type Add<'a> = dyn FnMut(&'static str, World, &[Promise]) + 'a;

fn on_target(add: &mut Add<'_>) {
    let base = World::default;
    add("split, truth on the target", base(), &ON_TARGET);
    let world = World {
        agents: 1,
        noise: 0.15,
        traffic: 0.6,
        ..base()
    };
    add(
        "split, on the target, one agent, heavy traffic noise",
        world,
        &ON_TARGET,
    );
    let world = World {
        drift: 2.0,
        ..base()
    };
    add(
        "split, on the target, traffic drifts to three times",
        world,
        &ON_TARGET,
    );
    let world = World { day: 0.8, ..base() };
    add(
        "split, on the target, time of day (80 % swing)",
        world,
        &ON_TARGET,
    );
    for (name, memory) in [
        ("split, on the target, windows correlated 0.5", 0.5),
        ("split, on the target, windows correlated 0.8", 0.8),
        ("split, on the target, windows correlated 0.9", 0.9),
    ] {
        let world = World { memory, ..base() };
        add(name, world, &ON_TARGET);
    }
    let world = World {
        agents: 4,
        bad_node: true,
        ..base()
    };
    add(
        "split, on the target, one bad node of four",
        world,
        &ON_TARGET,
    );
    let world = World {
        missing: 0.3,
        ..base()
    };
    add(
        "split, on the target, 30 % of reports missing",
        world,
        &ON_TARGET,
    );
    let world = World {
        memory: 0.8,
        day: 0.5,
        drift: 1.0,
        missing: 0.2,
        ..base()
    };
    add(
        "split, on the target, all of these at once",
        world,
        &ON_TARGET,
    );
}

fn effects(add: &mut Add<'_>) {
    let base = World::default;
    let world = World {
        saving: 0.0,
        ..base()
    };
    add("split, no effect", world, &[Promise::PromotedAtMost(0.0)]);
    let world = World {
        saving: 0.05,
        memory: 0.8,
        ..base()
    };
    add(
        "split, small effect (5 %), correlated 0.8",
        world,
        &[Promise::PromotedAtMost(0.01)],
    );
    let world = World {
        saving: 0.3,
        ..base()
    };
    add(
        "split, effect 30 %",
        world,
        &[Promise::PromotedAtLeast(0.9)],
    );
    let world = World {
        windows: 60,
        saving: 0.3,
        memory: 0.5,
        ..base()
    };
    add(
        "split, effect 30 %, correlated 0.5",
        world,
        &[Promise::PromotedAtLeast(0.9)],
    );
    let world = World {
        saving: 0.3,
        day: 0.8,
        drift: 1.0,
        missing: 0.2,
        ..base()
    };
    let name = "split, effect 30 %, time of day, drift, missing reports";
    add(name, world, &[Promise::PromotedAtLeast(0.9)]);
    let world = World {
        saving: 0.1,
        ..base()
    };
    add(
        "split, effect 10 %: the goal is out of reach",
        world,
        &[Promise::PromotedAtMost(0.0), Promise::RejectedAtLeast(0.9)],
    );
    let shadow = || World {
        mode: Mode::Shadow,
        noise: 0.0,
        ..base()
    };
    let world = World {
        saving: 0.202,
        missing: 0.3,
        ..shadow()
    };
    add(
        "shadow, effect a hair above the target",
        world,
        &[Promise::PromotedAtLeast(1.0)],
    );
    let world = World {
        saving: 0.19,
        day: 0.8,
        ..shadow()
    };
    add(
        "shadow, effect below the target",
        world,
        &[Promise::RejectedAtLeast(1.0)],
    );
    let world = World {
        saving: 0.3,
        missing: 0.8,
        ..shadow()
    };
    add(
        "shadow, effect 30 %, 80 % of reports missing",
        world,
        &[Promise::PromotedAtMost(0.05)],
    );
}

fn by_node(add: &mut Add<'_>) {
    let base = || World {
        mode: Mode::Nodes,
        nodes: 0.05,
        noise: 0.05,
        ..World::default()
    };
    let world = World {
        agents: 12,
        candidates: 6,
        ..base()
    };
    add(
        "12 nodes, 6 with the candidate, on the target",
        world,
        &ON_TARGET,
    );
    let world = World {
        agents: 10,
        candidates: 1,
        nodes: 0.1,
        memory: 0.5,
        ..base()
    };
    add(
        "10 nodes, 1 with the candidate, on the target, correlated 0.5",
        world,
        &ON_TARGET,
    );
    let world = World {
        agents: 8,
        candidates: 4,
        bad_node: true,
        ..base()
    };
    add(
        "8 nodes, 4 with the candidate, one of these bad, no effect",
        World {
            saving: 0.0,
            ..world
        },
        &[Promise::PromotedAtMost(0.0)],
    );
    let world = World {
        agents: 12,
        candidates: 6,
        saving: 0.35,
        ..base()
    };
    add(
        "12 nodes, 6 with the candidate, effect 35 %",
        world,
        &[Promise::PromotedAtLeast(0.9)],
    );
}

fn harm(add: &mut Add<'_>) {
    let shadow = || World {
        mode: Mode::Shadow,
        noise: 0.0,
        saving: 0.5,
        ..World::default()
    };
    let caught = |n| {
        [
            Promise::PromotedAtMost(0.0),
            Promise::RejectedAtLeast(0.99),
            Promise::DecidedWithin(n),
        ]
    };
    let world = World {
        cpu: Some((1.5, 0, 1.5)),
        ..shadow()
    };
    add("shadow, CPU exactly at its limit", world, &ON_TARGET);
    let world = World {
        cpu: Some((1.1, 0, 1.5)),
        ..shadow()
    };
    add(
        "shadow, CPU 1.1 times where 1.5 are allowed",
        world,
        &[Promise::PromotedAtLeast(0.9)],
    );
    let world = World {
        cpu: Some((2.5, 0, 1.5)),
        ..shadow()
    };
    add(
        "harm: CPU 2.5 times where 1.5 are allowed",
        world,
        &caught(30),
    );
    let world = World {
        cpu: Some((3.0, 24, 1.5)),
        dwells: true,
        windows: 60,
        ..shadow()
    };
    add(
        "harm: CPU 3 times, from window 24 of a long dwell on",
        world,
        &caught(54),
    );
    let world = World {
        latency: Some((1.0, 1.0)),
        ..shadow()
    };
    add("shadow, latency exactly at its limit", world, &ON_TARGET);
    let world = World {
        windows: 60,
        latency: Some((6.0, 2.0)),
        ..shadow()
    };
    add("harm: latency 6 ms where 2 are allowed", world, &caught(50));
    let split = || World {
        saving: 0.3,
        ..World::default()
    };
    let half_of_12_nodes = || World {
        mode: Mode::Nodes,
        agents: 12,
        candidates: 6,
        saving: 0.35,
        nodes: 0.05,
        noise: 0.05,
        ..World::default()
    };
    let world = World {
        errors: Some((0.2, 0.0)),
        ..half_of_12_nodes()
    };
    add(
        "12 nodes, 6 with the candidate, the next hop away in a fifth of the windows",
        world,
        &[Promise::PromotedAtLeast(0.9), Promise::RejectedAtMost(0.0)],
    );
    let world = World {
        errors: Some((0.05, 0.5)),
        ..half_of_12_nodes()
    };
    add(
        "harm: half of the windows of nodes with the candidate fail to export",
        world,
        &caught(48),
    );
    let world = World {
        loses: Some(9),
        noise: 0.3,
        memory: 0.8,
        ..split()
    };
    add(
        "harm: one protected point is lost in window 9",
        world,
        &[
            Promise::PromotedAtMost(0.0),
            Promise::RejectedAtLeast(1.0),
            Promise::DecidedWithin(9),
        ],
    );
}

fn measuring(add: &mut Add<'_>) {
    let base = || World {
        ask: Ask::Aa,
        saving: 0.0,
        ..World::default()
    };
    let world = World {
        memory: 0.5,
        ..base()
    };
    add(
        "A/A, split, correlated 0.5",
        world,
        &[Promise::PromotedAtLeast(0.9), Promise::RejectedAtMost(0.05)],
    );
    let world = World {
        saving: 0.15,
        ..base()
    };
    add(
        "A/A, split, the second arm loses 15 %",
        world,
        &[Promise::PromotedAtMost(0.01), Promise::RejectedAtLeast(0.9)],
    );
    let world = World {
        mode: Mode::Shadow,
        noise: 0.0,
        ..base()
    };
    add("A/A, shadow", world, &[Promise::PromotedAtLeast(1.0)]);
    let world = World {
        mode: Mode::Shadow,
        noise: 0.0,
        saving: 0.01,
        ..base()
    };
    add(
        "A/A, shadow, the second arm loses 1 %",
        world,
        &[Promise::RejectedAtLeast(1.0)],
    );
    let world = World {
        division: 0.7,
        saving: 0.5,
        ..World::default()
    };
    add(
        "split, 70 % of entities where 50 % were promised",
        world,
        &[Promise::PromotedAtMost(0.001)],
    );
}
