//! `topk` and `limit`: who stays, what is folded, and that nothing is lost or counted twice.

use super::duel::{decoded, duel, plans, settings};
use super::workers::Node;
use super::{ALL, DECIDES, PLAIN, Wanted, for_all};
use phoenix_engine::compile::Plan;
use phoenix_engine::document;
use phoenix_engine::engine::Emitted;
use phoenix_model::reference::identity::{Identity, Kind, Temporality};
use phoenix_model::reference::point::{Data, Point, points};
use phoenix_model::reference::progress::{Amount, Last, Step, amount, step};
use phoenix_model::traffic::pipelines::Menu;
use phoenix_model::traffic::{Action, Case, encode, request};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const TOPK: Menu = Menu {
    filter: false,
    fraction: false,
    topk: true,
    most: 1,
    ..DECIDES
};

const LIMIT: Menu = Menu {
    topk: false,
    limit: true,
    ..TOPK
};

/// One of the two.
const FOLDS: Menu = Menu {
    limit: true,
    ..TOPK
};

#[test]
fn topk_keeps_and_folds_like_the_model() {
    let wanted = Wanted {
        menu: TOPK,
        ..PLAIN
    };
    for_all("topk", 300, wanted, duel);
}

#[test]
fn limit_keeps_and_folds_like_the_model() {
    let wanted = Wanted {
        menu: LIMIT,
        ..PLAIN
    };
    for_all("limit", 300, wanted, duel);
}

#[test]
fn stages_before_and_behind_a_topk_or_limit_see_what_the_model_says() {
    let menu = Menu { most: 3, ..ALL };
    let wanted = Wanted {
        menu,
        swaps: true,
        ..PLAIN
    };
    for_all("folds in a row", 150, wanted, duel);
}

#[test]
fn totals_made_of_deltas_at_a_topk_or_limit_are_what_the_model_says() {
    let menu = Menu {
        temporality: true,
        most: 2,
        ..FOLDS
    };
    let wanted = Wanted {
        menu,
        swaps: true,
        ..PLAIN
    };
    for_all("totals at folds", 100, wanted, duel);
}

/// What all series of each metric gained together, as one who reads the points sees it. `began`: what starts before
/// was counted by somebody else.
fn gained(all: &[Point], began: impl Fn(&Point) -> u64) -> BTreeMap<String, f64> {
    let mut lasts: BTreeMap<Rc<Identity>, Last> = BTreeMap::new();
    let mut sums = BTreeMap::new();
    let size = |amount: &Amount| match amount {
        Amount::Number(n) => n.number_as_f64(),
        Amount::Explicit(e) => e.count as f64,
        Amount::Exponential(e) => e.count as f64,
    };
    let finite = |data: &Data| match data {
        Data::Number(n) => n.as_f64().is_finite(),
        Data::Explicit(e) => e.sum.is_none_or(f64::is_finite),
        Data::Exponential(e) => e.sum.is_none_or(f64::is_finite),
        _ => false,
    };
    for point in all.iter().filter(|p| !p.ended() && finite(&p.data)) {
        let id = &point.identity;
        let counts = match id.kind {
            Kind::Sum => id.monotonic || id.temporality == Temporality::Delta,
            Kind::Histogram | Kind::Exponential => true,
            Kind::Gauge | Kind::Summary => false,
        };
        // Near the edge of 64 bits a total saturates.
        if !counts || id.name == "big" {
            continue;
        }
        let gain = match id.temporality {
            Temporality::Unspecified => continue,
            Temporality::Delta => amount(&point.data).as_ref().map_or(0.0, size),
            Temporality::Cumulative => {
                let last = lasts.get(id);
                let Step::Adds(amount, _) = step(last, point, began(point), false) else {
                    continue;
                };
                let last = Last {
                    start: point.start,
                    time: point.time,
                    gap: 0,
                    data: point.data.clone(),
                };
                lasts.insert(id.clone(), last);
                size(&amount)
            }
        };
        *sums.entry(id.name.clone()).or_insert(0.0) += gain;
    }
    sums
}

/// The same case with other numbers in its stages: they are other stages then.
fn changed(case: &Case) -> Case {
    let mut case = case.clone();
    for stage in case.pipelines.iter_mut().flat_map(|p| &mut p.stages) {
        for (one, other) in [
            ("series: 1,", "series: 3,"),
            ("series: 4,", "series: 2,"),
            ("k: 1,", "k: 3,"),
            ("k: 2,", "k: 1,"),
            ("interval: 10s", "interval: 20s"),
            ("interval: 60s", "interval: 30s"),
        ] {
            *stage = stage.replace(one, other);
        }
    }
    case
}

/// Members, `other` and overflow together gained what came in, and no budget is passed. Of every second case
/// swaps change the stage.
fn nothing_is_lost_or_counted_twice(case: &Case, workers: usize) -> Result<(), String> {
    let mut case = case.clone();
    for stage in case.pipelines.iter_mut().flat_map(|p| &mut p.stages) {
        // Who is silent for long is a baseline when it returns: a reader would not know.
        *stage = stage.replace("expiry: 100s", "expiry: 24h");
        *stage = stage.replace("expiry: 70s", "expiry: 24h");
        *stage = stage.replace(", other: false", "");
    }
    let other = changed(&case);
    let (Some((plan, _)), Some((another, _))) =
        (plans(&case, &case.first), plans(&other, &case.first))
    else {
        return Ok(());
    };
    let changes = case.seed % 4 < 2;
    let mut node = Node::new(&settings(case.began), &plan, case.began, workers);
    node.slow = case.seed.is_multiple_of(2);
    let (mut came, mut left) = (Vec::new(), Vec::new());
    let (mut now, mut swaps) = (case.began, 0);
    let mut keep = |all: Vec<Emitted>| {
        for emitted in all {
            left.extend(decoded(&emitted.out)?);
        }
        Ok::<(), String>(())
    };
    for action in &case.actions {
        match action {
            Action::Feed {
                points: sent,
                shape,
                now: t,
            } => {
                now = now.max(*t);
                came.extend(points(&request(sent)));
                keep(node.feed(&encode(sent, *shape).into(), now)?)?;
            }
            Action::Tick { now: t } => {
                now = now.max(*t);
                keep(node.edge(false, now))?;
            }
            Action::Swap { .. } => {
                swaps += 1;
                let next = if changes && swaps % 2 == 1 {
                    &another
                } else {
                    &plan
                };
                now = node.swap_instant(now);
                keep(node.swap(next, now))?;
            }
        }
    }
    keep(node.edge(true, now))?;
    if !changes {
        within_budget(&plan, &left)?;
    }
    // What a stage writes begins where it says, also where a late point takes it before the node began.
    let as_it_came: BTreeSet<_> = came.iter().map(|p| (p.identity.clone(), p.start)).collect();
    let began = |point: &Point| match as_it_came.contains(&(point.identity.clone(), point.start)) {
        true => case.began,
        false => 0,
    };
    let (came, left) = (gained(&came, |_| case.began), gained(&left, began));
    for (name, gain) in &came {
        let out = left.get(name).copied().unwrap_or(0.0);
        if (gain - out).abs() > 1e-6 * gain.abs().max(1.0) {
            return Err(format!("{name}: {gain} came in, {out} left"));
        }
    }
    Ok(())
}

/// Nobody loses a place in these cases: as many series as there are places were written, at most.
fn within_budget(plan: &Plan, left: &[Point]) -> Result<(), String> {
    let pipeline = &plan.baseline.document.spec;
    let [stage] = &pipeline.stages[..] else {
        return Ok(());
    };
    let document::Action::Limit(limit) = &stage.action else {
        return Ok(());
    };
    let all = limit.matches == document::Match::default()
        || limit.matches.metric == Some(document::Patterns::any_of(vec!["*".into()]));
    if !all || !pipeline.protect.is_empty() {
        return Ok(());
    }
    let mut budgets: BTreeMap<String, BTreeSet<Rc<Identity>>> = BTreeMap::new();
    let own = |p: &&Point| p.identity.lookup("otel.metric.overflow").is_none();
    for point in left.iter().filter(own) {
        let id = &point.identity;
        let budget = match &limit.per {
            document::Per::Plan => String::new(),
            document::Per::Metric => id.name.clone(),
            document::Per::Attribute(key) => format!("{:?}", id.lookup(key)),
        };
        budgets.entry(budget).or_default().insert(id.clone());
    }
    match budgets
        .iter()
        .find(|(_, ids)| ids.len() > limit.series as usize)
    {
        Some((budget, ids)) => Err(format!("{} series in budget {budget:?}", ids.len())),
        None => Ok(()),
    }
}

#[test]
fn members_and_others_together_gain_what_came_in() {
    let wanted = Wanted {
        menu: FOLDS,
        swaps: true,
        ..PLAIN
    };
    for_all("exact over changes", 300, wanted, |case| {
        nothing_is_lost_or_counted_twice(case, 1)
    });
}

#[test]
fn on_several_workers_they_do_too_and_no_budget_is_passed() {
    let wanted = Wanted {
        menu: FOLDS,
        swaps: true,
        ..PLAIN
    };
    for_all("exact over changes, workers", 300, wanted, |case| {
        nothing_is_lost_or_counted_twice(case, 2 + (case.seed % 3) as usize)
    });
}

#[test]
fn arms_and_swaps_keep_members_and_places() {
    let wanted = Wanted {
        menu: Menu { most: 2, ..ALL },
        swaps: true,
        arms: true,
        ..PLAIN
    };
    for_all("folds in arms", 100, wanted, duel);
}
