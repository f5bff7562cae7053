//! Counters and deltas below 0: what only grows never falls where it is written.

use super::duel::{decoded, duel, plans, settings_of};
use super::{ALL, PLAIN, Wanted, for_all};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use phoenix_engine::engine::Engine;
use phoenix_model::reference::identity::{Identity, Kind, Temporality};
use phoenix_model::reference::point::{Data, Point, points};
use phoenix_model::traffic::pipelines::Menu;
use phoenix_model::traffic::{Action, Body, Case, encode, request};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Stages that write totals.
const TOTALS: Menu = Menu {
    filter: false,
    values: false,
    entities: false,
    fraction: false,
    every: false,
    quiet: false,
    quantise: false,
    transform: false,
    most: 2,
    ..ALL
};

/// The case with some numbers of monotonic sums below 0.
fn below_zero(case: &Case) -> Case {
    let mut case = case.clone();
    for action in &mut case.actions {
        let Action::Feed { points, .. } = action else {
            continue;
        };
        for sent in points.iter_mut().filter(|sent| sent.metric.monotonic) {
            let Body::Number(point) = &mut sent.body else {
                continue;
            };
            // The same where the case is made smaller.
            if point.time_unix_nano / 7 % 9 != 0 {
                continue;
            }
            match &mut point.value {
                Some(Value::AsInt(n)) => *n = -*n,
                Some(Value::AsDouble(n)) => *n = -*n,
                None => {}
            }
        }
    }
    case
}

/// The case with deltas that do not say where they start. Those that are made say it always at the same
/// time, which no sender may: a total that begins anew would start where the one before did.
fn without_starts(case: &Case) -> Case {
    let mut case = case.clone();
    for action in &mut case.actions {
        let Action::Feed { points, .. } = action else {
            continue;
        };
        for sent in points.iter_mut().filter(|sent| sent.metric.delta) {
            if let Body::Number(point) = &mut sent.body {
                point.start_time_unix_nano = 0;
            }
        }
    }
    case
}

#[test]
fn counters_below_zero_are_counted_like_the_model_counts() {
    let wanted = Wanted {
        menu: TOTALS,
        swaps: true,
        ..PLAIN
    };
    for_all("below zero", 200, wanted, |case| duel(&below_zero(case)));
}

#[test]
fn no_total_that_a_stage_writes_falls() {
    let wanted = Wanted {
        menu: TOTALS,
        swaps: true,
        ..PLAIN
    };
    for_all("no total falls", 200, wanted, |case| {
        never_falls(&below_zero(&without_starts(case)))
    });
}

fn never_falls(case: &Case) -> Result<(), String> {
    let Some((plan, _)) = plans(case, &case.first) else {
        return Ok(());
    };
    let mut engine = Engine::new(settings_of(case), plan, case.began);
    let mut came: BTreeSet<Rc<Identity>> = BTreeSet::new();
    let mut totals: BTreeMap<Rc<Identity>, Point> = BTreeMap::new();
    let mut now = case.began;
    let mut look = |out: &bytes::Bytes, came: &BTreeSet<Rc<Identity>>| {
        for point in decoded(out)? {
            let id = point.identity.clone();
            let total =
                id.kind == Kind::Sum && id.monotonic && id.temporality == Temporality::Cumulative;
            // What passes falls as its sender lets it.
            if !total || came.contains(&id) || point.ended() {
                continue;
            }
            if let Some(before) = totals.insert(id.clone(), point.clone())
                && before.start == point.start
                && value(&point) < value(&before)
            {
                return Err(format!(
                    "{id} fell from {:?} to {:?}",
                    before.data, point.data
                ));
            }
        }
        Ok(())
    };
    for action in &case.actions {
        let out = match action {
            Action::Feed {
                points: sent,
                shape,
                now: t,
            } => {
                now = *t;
                came.extend(points(&request(sent)).into_iter().map(|p| p.identity));
                engine
                    .feed(&encode(sent, *shape).into(), now)
                    .map_err(|e| e.to_string())?
                    .emitted
                    .out
            }
            Action::Tick { now: t } => {
                now = *t;
                engine.tick(now).out
            }
            Action::Swap { to, now: t } => {
                let Some((plan, _)) = plans(case, to) else {
                    continue;
                };
                now = *t;
                engine.swap(plan, now).out
            }
        };
        look(&out, &came)?;
    }
    look(&engine.finish(now).out, &came)
}

fn value(point: &Point) -> f64 {
    match point.data {
        Data::Number(n) => n.as_f64(),
        _ => 0.0,
    }
}
