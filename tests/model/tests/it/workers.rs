//! Several engines that were dealt the resources write what one engine writes.

use super::duel::{decoded, plans, settings_of};
use super::{ALL, DECIDES, PLAIN, Wanted, for_all};
use bytes::Bytes;
use phoenix_engine::compile::Plan;
use phoenix_engine::deal::{Dealer, Dealt};
use phoenix_engine::engine::{Emitted, Engine, Place, Settings};
use phoenix_engine::report::Report;
use phoenix_model::reference::compare::{Look, clock, differences};
use phoenix_model::traffic::pipelines::Menu;
use phoenix_model::traffic::{Action, Case, encode};
use std::sync::Arc;

/// What decides for the whole node is left out: each worker decides for the series that it has.
const SHARED: Menu = Menu {
    entities: false,
    topk: false,
    limit: false,
    ..ALL
};

/// The engines of one node, with an edge before each call.
struct Node {
    engines: Vec<Engine>,
    dealer: Dealer,
}

impl Node {
    fn new(settings: &Settings, plan: &Arc<Plan>, now: u64, of: usize) -> Node {
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
        }
    }

    /// An edge: every other engine gives its share, the first merges, the others follow.
    fn edge(&mut self, everything: bool, now: u64) -> Vec<Emitted> {
        let (first, others) = self.engines.split_first_mut().expect("an engine");
        let mut all = Vec::new();
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
        others.iter_mut().for_each(|e| e.decide(&decisions));
        all
    }

    fn feed(&mut self, request: &Bytes, now: u64) -> Result<Vec<Emitted>, String> {
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

    fn swap(&mut self, plan: &Arc<Plan>, at: u64) -> Vec<Emitted> {
        let (first, others) = self.engines.split_first_mut().expect("an engine");
        let mut all = Vec::new();
        let mut shares = Vec::new();
        for engine in others.iter_mut() {
            let (emitted, share) = engine.swap_share(plan.clone(), at);
            all.push(emitted);
            shares.push(share);
        }
        let (emitted, decisions) = first.swap_merge(plan.clone(), shares, at);
        all.push(emitted);
        others.iter_mut().for_each(|e| e.decide(&decisions));
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

fn many_are_one(case: &Case) -> Result<(), String> {
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
                last = node.engines[0].swap_instant(last);
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

/// Points and accounts of both are the same.
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
    }
    if lines.is_empty() {
        Ok(())
    } else {
        Err(lines.join("\n"))
    }
}
