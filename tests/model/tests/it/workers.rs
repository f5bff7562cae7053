//! Several engines that were dealt the resources write what one engine writes.

use super::duel::{decoded, plans, settings_of};
use super::{ALL, DECIDES, PLAIN, Wanted, for_all};
use bytes::Bytes;
use phoenix_engine::compile::Plan;
use phoenix_engine::deal::{Dealer, Dealt};
use phoenix_engine::engine::{Decisions, Emitted, Engine, Place, Settings};
use phoenix_engine::report::{ArmFigures, Report};
use phoenix_model::reference::compare::{Look, clock, differences};
use phoenix_model::traffic::pipelines::Menu;
use phoenix_model::traffic::{Action, Case, encode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A `limit` is left out: which series have a place when it is used up depends on the worker.
const SHARED: Menu = Menu {
    limit: false,
    ..ALL
};

/// A `topk` and what decides about series alone.
const TOPK: Menu = Menu {
    topk: true,
    quantise: true,
    histogram: true,
    values: true,
    quiet: true,
    transform: true,
    most: 3,
    ..DECIDES
};

/// Filters of whole entities, whose series lie at different workers.
const ENTITIES: Menu = Menu {
    entities: true,
    values: true,
    most: 2,
    ..DECIDES
};

/// The engines of one node, with an edge before each call.
pub struct Node {
    engines: Vec<Engine>,
    dealer: Dealer,
    /// The others hear of what was decided only before the next edge.
    pub slow: bool,
    decided: Decisions,
}

impl Node {
    pub fn new(settings: &Settings, plan: &Arc<Plan>, now: u64, of: usize) -> Node {
        let engine = |worker| {
            let settings = Settings {
                place: Place { worker, of },
                ..settings.clone()
            };
            Engine::new(settings, plan.clone(), now)
        };
        Node {
            engines: (0..of).map(engine).collect(),
            dealer: Dealer::new(of, 7, settings.limits.clone()),
            slow: false,
            decided: Decisions::default(),
        }
    }

    /// An edge: every other engine gives its share, the first merges, the others follow.
    pub fn edge(&mut self, everything: bool, now: u64) -> Vec<Emitted> {
        let mut all = self.hear();
        let (first, others) = self.engines.split_first_mut().expect("an engine");
        let mut shares = Vec::new();
        for engine in others.iter_mut() {
            let (emitted, share) = if everything {
                engine.finish_share(now)
            } else {
                engine.tick_share(now)
            };
            all.push(emitted);
            shares.push(share);
        }
        let (emitted, decisions) = if everything {
            first.finish_merge(shares, now)
        } else {
            first.tick_merge(shares, now)
        };
        all.push(emitted);
        self.decided = decisions;
        if !self.slow {
            all.extend(self.hear());
        }
        all
    }

    /// The others follow what was decided at the last edge.
    fn hear(&mut self) -> Vec<Emitted> {
        let decided = std::mem::take(&mut self.decided);
        let others = self.engines.iter_mut().skip(1);
        others.map(|engine| engine.decide(&decided)).collect()
    }

    pub fn feed(&mut self, request: &Bytes, now: u64) -> Result<Vec<Emitted>, String> {
        let mut all = self.edge(false, now);
        let parts = match self.dealer.deal(request).map_err(|e| e.to_string())? {
            Dealt::Whole(worker) => vec![(worker, request.clone())],
            Dealt::Parts(parts) => parts,
        };
        for (worker, part) in parts {
            let fed = self.engines[worker].feed(&part, now);
            all.push(fed.map_err(|e| e.to_string())?.emitted);
        }
        Ok(all)
    }

    /// When all of them can swap, from `now` on.
    pub fn swap_instant(&self, now: u64) -> u64 {
        self.engines[0].swap_instant(now)
    }

    pub fn swap(&mut self, plan: &Arc<Plan>, at: u64) -> Vec<Emitted> {
        let mut all = self.hear();
        let (first, others) = self.engines.split_first_mut().expect("an engine");
        let mut shares = Vec::new();
        for engine in others.iter_mut() {
            let (emitted, share) = engine.swap_share(plan.clone(), at);
            all.push(emitted);
            shares.push(share);
        }
        let (emitted, decisions) = first.swap_merge(plan.clone(), shares, at);
        all.push(emitted);
        self.decided = decisions;
        if !self.slow {
            all.extend(self.hear());
        }
        all
    }

    fn figures(&self) -> Report {
        let mut reports = self.engines.iter().map(Engine::figures);
        let mut first = reports.next().expect("an engine");
        reports.for_each(|report| first.unite(report));
        first
    }
}

fn compare(one: &Emitted, many: &[Emitted]) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, of) in [
        ("out", (|e| &e.out) as fn(&Emitted) -> &Bytes),
        ("shadow", |e| &e.shadow),
    ] {
        let expected = decoded(of(one)).expect("OTLP");
        let got: Vec<_> = many
            .iter()
            .flat_map(|e| decoded(of(e)).expect("OTLP"))
            .collect();
        let differ = differences(&expected, &got, Look::Dealt);
        lines.extend(differ.into_iter().map(|line| format!("{what}: {line}")));
    }
    lines
}

/// Whether something that closes windows stands behind a `topk`: of members of other workers that stay no
/// longer it hears when its window has closed there.
fn hears_late(case: &Case) -> bool {
    case.pipelines.iter().any(|pipeline| {
        let mut stages = pipeline.stages.iter();
        let folds = |stage: &String| stage.contains("topk: {");
        stages.by_ref().any(&folds)
            && stages.any(|stage| folds(stage) || stage.contains("aggregate: {"))
    })
}

fn many_are_one(case: &Case) -> Result<(), String> {
    if hears_late(case) {
        return Ok(());
    }
    let Some((plan, _)) = plans(case, &case.first) else {
        return Ok(());
    };
    let settings = settings_of(case);
    let of = 2 + (case.seed % 3) as usize;
    let mut one = Engine::new(settings.clone(), plan.clone(), case.began);
    let mut node = Node::new(&settings, &plan, case.began, of);
    let mut last = case.began;
    for (at, action) in case.actions.iter().enumerate() {
        let (expected, got) = match action {
            Action::Feed { points, shape, now } => {
                last = last.max(*now);
                let bytes = Bytes::from(encode(points, *shape));
                let fed = one.feed(&bytes, last).map_err(|e| e.to_string())?;
                (fed.emitted, node.feed(&bytes, last)?)
            }
            Action::Tick { now } => {
                last = last.max(*now);
                (one.tick(last), node.edge(false, last))
            }
            Action::Swap { to, now } => {
                let Some((plan, _)) = plans(case, to) else {
                    continue;
                };
                // What is due closes first, so that the instant is known before anybody swaps.
                last = last.max(*now);
                let due = (one.tick(last), node.edge(false, last));
                let lines = compare(&due.0, &due.1);
                if !lines.is_empty() {
                    return Err(format!("call {at}, before the swap:\n{}", lines.join("\n")));
                }
                last = node.swap_instant(last);
                (one.swap(plan.clone(), last), node.swap(&plan, last))
            }
        };
        check(&one, &node, &expected, &got).map_err(|why| {
            format!(
                "call {at} at {} ({of} workers; `model` is one engine)\n{why}",
                clock(last)
            )
        })?;
    }
    let (expected, got) = (one.finish(last), node.edge(true, last));
    check(&one, &node, &expected, &got).map_err(|why| format!("finish ({of} workers)\n{why}"))
}

#[test]
fn one_aggregation_of_several_workers_is_that_of_one() {
    let menu = Menu {
        filter: false,
        values: false,
        fraction: false,
        aggregate: true,
        most: 1,
        ..DECIDES
    };
    for_all(
        "workers, one aggregation",
        150,
        Wanted { menu, ..PLAIN },
        many_are_one,
    );
}

#[test]
fn several_workers_rank_as_one() {
    let wanted = Wanted {
        menu: TOPK,
        swaps: true,
        ..PLAIN
    };
    for_all("workers, topk", 200, wanted, many_are_one);
}

#[test]
fn a_budget_that_is_not_used_up_is_that_of_one() {
    fn roomy(case: &Case) -> Result<(), String> {
        let mut case = case.clone();
        for stage in case.pipelines.iter_mut().flat_map(|p| &mut p.stages) {
            // The budget alone: the alarm has its `new_series`.
            for places in 1..6 {
                *stage = stage.replace(&format!(", series: {places},"), ", series: 400,");
            }
        }
        many_are_one(&case)
    }
    let menu = Menu {
        topk: false,
        limit: true,
        ..TOPK
    };
    for_all("workers, limit", 100, Wanted { menu, ..PLAIN }, roomy);
    let grown = GROWN.load(Ordering::Relaxed);
    assert!(grown > 0, "no case had more new series than is usual");
}

#[test]
fn several_workers_drop_entities_as_one() {
    let wanted = Wanted {
        menu: ENTITIES,
        swaps: true,
        ..PLAIN
    };
    for_all("workers, entities", 200, wanted, many_are_one);
}

#[test]
fn several_workers_write_what_one_does() {
    let wanted = Wanted {
        menu: SHARED,
        shapes: true,
        ..PLAIN
    };
    for_all("workers", 150, wanted, many_are_one);
}

#[test]
fn several_workers_swap_as_one() {
    let wanted = Wanted {
        menu: SHARED,
        swaps: true,
        arms: true,
        ..PLAIN
    };
    for_all("workers, arms and swaps", 150, wanted, many_are_one);
}

/// Windows with more new series than is usual: the most of one case.
static GROWN: AtomicU64 = AtomicU64::new(0);

/// What each `limit` has noted, where the workers together noted something else.
fn budgets(one: &ArmFigures, sum: &ArmFigures) -> Vec<String> {
    let mut lines = Vec::new();
    let limits = one.stages.iter().zip(&sum.stages);
    for (one, sum) in limits.filter(|(one, _)| one.kind == "limit") {
        for note in ["new_series", "growth", "over_budget", "admitted"] {
            let [a, b] = [one, sum].map(|s| s.counts.get(note).copied().unwrap_or(0));
            if a != b {
                lines.push(format!("{} {note}: {a}, summed {b}", one.id));
            }
            if note == "growth" {
                GROWN.fetch_max(a, Ordering::Relaxed);
            }
        }
    }
    lines
}

/// Points, accounts and what budgets have noted are the same of both.
fn check(one: &Engine, node: &Node, expected: &Emitted, got: &[Emitted]) -> Result<(), String> {
    let mut lines = compare(expected, got);
    let (single, sum) = (one.figures(), node.figures());
    for (name, a, b) in [
        ("baseline", Some(&single.baseline), Some(&sum.baseline)),
        (
            "candidate",
            single.candidate.as_ref(),
            sum.candidate.as_ref(),
        ),
    ] {
        let (Some(a), Some(b)) = (a, b) else { continue };
        if a.ledger != b.ledger {
            lines.push(format!(
                "{name}: ledger {:?}\n   summed {:?}",
                a.ledger, b.ledger
            ));
        }
        lines.extend(budgets(a, b).into_iter().map(|l| format!("{name} {l}")));
    }
    if lines.is_empty() {
        Ok(())
    } else {
        Err(lines.join("\n"))
    }
}
