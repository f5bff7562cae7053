//! Goals in money: what is promoted is what a hand calculation of the bill says.

use crate::world::*;
use phoenix_analysis::prices::{PriceBook, read};
use phoenix_analysis::{
    Cardinality, Criteria, Measure, Mode, Money, Outcome, Ruling, Verdict, Window, judge,
};
use phoenix_engine::sketch::Sketch;

/// Windows of 10 s: six of them are a minute, of which a month has 43 800.
const MINUTES: f64 = 43_800.0;

fn book(charges: &str) -> PriceBook {
    read(&format!(
        "apiVersion: phoenix/v1\nkind: PriceBook\nmetadata: {{ name: ours }}\nspec: {{ currency: EUR, \
         date: 2026-11-26, source: contract, confidence: high, charges: {charges} }}\n"
    ))
    .unwrap()
}

/// A million samples cost 10.
const SAMPLES: &str = "[ { name: samples, counts: samples, how: all, per: 1000000, unit: 1 M, tiers: [ { price: 10 } ] } ]";

/// A million samples cost 10, the first 100 M are included.
const INCLUDED: &str = "[ { name: samples, counts: samples, how: all, per: 1000000, unit: 1 M, included: 100000000, \
     tiers: [ { price: 10 } ] } ]";

fn asked(mode: Mode, charges: &str, target: f64, per_month: Option<f64>) -> Criteria {
    let mut criteria = criteria(mode, Measure::Money, target);
    criteria.goal.money = Some(Box::new(Money {
        book: book(charges),
        per_month,
    }));
    criteria
}

fn goal(verdict: &Verdict) -> (Ruling, &str) {
    let goal = verdict.criteria.last().unwrap();
    assert_eq!(goal.name, "goal");
    (goal.outcome, goal.reason.as_str())
}

fn near(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!(
        (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
        "{found} is not {expected}"
    );
}

#[test]
fn a_share_of_the_bill_is_counted_and_promoted_at_exactly_the_target() {
    // Six windows of 3000 samples; the candidate writes 2400 of each.
    let windows = shadow(6, 800);
    let verdict = judge(&asked(Mode::Shadow, SAMPLES, 0.2, None), &windows);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    let found = &verdict.money[0];
    let month = 18_000.0 * MINUTES / 1e6 * 10.0;
    near(found.before.unwrap().low, month);
    near(found.saved.unwrap().low, 0.2 * month);
    near(found.share.unwrap().high, 0.2);
    for part in [
        "20 % of the bill",
        "1576.80 of 7884.00 EUR",
        "samples decides it",
        "from 1.0 min (too short for a bill)",
        "list price of 2026-11-26",
    ] {
        assert!(verdict.reason.contains(part), "{part}: {}", verdict.reason);
    }
    let spans = [0.002, 0.4, 2.5].map(phoenix_analysis::prices::seen);
    assert_eq!(spans, ["7 s (too short for a bill)", "24 min", "2.5 h"]);
    let verdict = judge(&asked(Mode::Shadow, SAMPLES, 0.201, None), &windows);
    assert_eq!(verdict.outcome, Outcome::Reject, "{}", verdict.reason);
    // What the verdict was asked holds the book: it can be judged again.
    let text = serde_json::to_string(&verdict).unwrap();
    let again: Verdict = serde_json::from_str(&text).unwrap();
    assert_eq!(judge(&again.asked, &windows), verdict);
}

#[test]
fn an_amount_is_held_against_what_is_left_after_what_is_included() {
    // 788.4 M samples a month: 688.4 M are paid for, with the candidate 530.72 M.
    let windows = shadow(6, 800);
    let verdict = judge(&asked(Mode::Shadow, INCLUDED, 0.0, Some(1576.0)), &windows);
    assert_eq!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    near(verdict.money[0].share.unwrap().low, 1576.8 / 6884.0);
    for (target, amount, outcome) in [
        (0.0, Some(1577.0), Outcome::Reject),
        (0.229, Some(1576.0), Outcome::Promote),
        (0.23, Some(1576.0), Outcome::Reject),
        (0.229, Some(1577.0), Outcome::Reject),
    ] {
        let verdict = judge(&asked(Mode::Shadow, INCLUDED, target, amount), &windows);
        assert_eq!(
            verdict.outcome, outcome,
            "{target} {amount:?}: {}",
            verdict.reason
        );
    }
    // All of it is included: there is no share of nothing, and no amount.
    let small: Vec<Window> = (0..=6)
        .map(|s| report("a", s, arm(100, 100), arm(100, 10)))
        .collect();
    let verdict = judge(&asked(Mode::Shadow, INCLUDED, 0.2, None), &small);
    assert_eq!(goal(&verdict).0, Ruling::Unknown, "{}", verdict.reason);
    assert!(
        verdict
            .reason
            .contains("nothing is paid without the candidate"),
        "{}",
        verdict.reason
    );
    assert!(
        verdict.reason.contains("within what is included"),
        "{}",
        verdict.reason
    );
    let verdict = judge(&asked(Mode::Shadow, INCLUDED, 0.0, Some(1.0)), &small);
    assert_eq!(verdict.outcome, Outcome::Reject, "{}", verdict.reason);
}

#[test]
fn the_meter_that_binds_decides_and_what_it_does_not_count_saves_nothing() {
    let larger = "[ { name: series, counts: series, how: all, per: 1, unit: series, tiers: [ { price: 1 } ] } ]";
    let mut windows = shadow(6, 500);
    for window in &mut windows {
        candidate(window).series_out = count(1000);
    }
    let verdict = judge(&asked(Mode::Shadow, larger, 0.01, None), &windows);
    assert_eq!(verdict.outcome, Outcome::Reject, "{}", verdict.reason);
    assert!(
        verdict
            .reason
            .contains("series decides it and stays the same"),
        "{}",
        verdict.reason
    );
    assert_eq!(verdict.savings.points.saving, Some(0.5));
}

#[test]
fn what_was_not_counted_is_unknown_and_is_never_promoted() {
    let mut windows = shadow(6, 100);
    baseline(&mut windows[3]).samples_out = None;
    let verdict = judge(&asked(Mode::Shadow, SAMPLES, 0.2, None), &windows);
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert!(
        verdict
            .reason
            .contains("Prometheus samples was not measured"),
        "{}",
        verdict.reason
    );
    let mut without = asked(Mode::Shadow, SAMPLES, 0.2, None);
    without.goal.money = None;
    assert_eq!(goal(&judge(&without, &windows)).0, Ruling::Unknown);
    // An arm that still holds what it took in has saved nothing yet.
    let mut windows = shadow(6, 100);
    for window in &mut windows {
        let ledger = &mut candidate(window).ledger;
        (ledger.filtered, ledger.held) = (0, 900);
    }
    let verdict = judge(&asked(Mode::Shadow, SAMPLES, 0.2, None), &windows);
    assert_eq!(verdict.outcome, Outcome::Inconclusive, "{}", verdict.reason);
}

#[test]
fn in_a_split_only_the_lower_bound_of_the_saving_counts() {
    let split = |kept: fn(u64) -> u64| -> Vec<Window> {
        (0..=24)
            .map(|slot| report("a", slot, arm(500, 500), arm(480, kept(slot))))
            .collect()
    };
    let steady = judge(
        &asked(Mode::Split, SAMPLES, 0.2, None),
        &split(|s| 240 + s % 3),
    );
    assert_eq!(steady.outcome, Outcome::Promote, "{}", steady.reason);
    let share = steady.money[0].share.unwrap();
    near(share.low, steady.savings.samples.lower.unwrap());
    // Half is saved on the mean, and nobody can be sure of a fifth.
    let noisy = judge(
        &asked(Mode::Split, SAMPLES, 0.2, None),
        &split(|s| if s % 2 == 0 { 0 } else { 480 }),
    );
    assert_eq!(goal(&noisy).0, Ruling::Unknown, "{}", noisy.reason);
    assert!(noisy.savings.samples.saving.unwrap() > 0.4);
    // An amount is what all of it would cost, and that is counted in shadow alone.
    let amount = judge(
        &asked(Mode::Split, SAMPLES, 0.2, Some(0.01)),
        &split(|s| 240 + s % 3),
    );
    assert_eq!(goal(&amount).0, Ruling::Unknown);
    assert!(amount.reason.contains("shadow alone"), "{}", amount.reason);
}

#[test]
fn bounds_of_several_meters_share_what_they_may_err() {
    let both = "[ { name: samples, counts: samples, how: all, per: 1000000, unit: 1 M, tiers: [ { price: 10 } ] }, \
                { name: points, counts: points, how: all, per: 1000000, unit: 1 M, tiers: [ { price: 10 } ] } ]";
    let windows: Vec<Window> = (0..=24)
        .map(|slot| report("a", slot, arm(500, 500), arm(480, 240 + 9 * (slot % 3))))
        .collect();
    let one = judge(&asked(Mode::Split, SAMPLES, 0.2, None), &windows);
    let two = judge(&asked(Mode::Split, both, 0.2, None), &windows);
    let low = |v: &Verdict| v.money[0].share.unwrap().low.unwrap();
    assert!(low(&two) < low(&one), "{} {}", low(&two), low(&one));
}

#[test]
fn shipped_books_are_shown_and_judge_nothing() {
    let verdict = judge(
        &criteria(Mode::Shadow, Measure::Points, 0.2),
        &shadow(6, 800),
    );
    assert!(verdict.money.is_empty());
    let priced = verdict.clone().priced();
    assert_eq!(priced.outcome, verdict.outcome);
    let of = |name: &str| priced.money.iter().find(|m| m.book == name).unwrap();
    assert!(of("azure-managed-prometheus").saved.is_some());
    assert!(of("new-relic").unknown.is_some());
    assert_eq!(of("grafana-cloud-pro").nothing.as_deref(), None);
    assert_eq!(priced.clone().priced(), priced);
    let none = judge(&criteria(Mode::Shadow, Measure::Points, 0.2), &[]).priced();
    assert!(none.money.is_empty());
}

fn sketched(ids: impl Iterator<Item = u64>) -> Cardinality {
    let (mut sketch, mut n) = (Sketch::default(), 0);
    for id in ids {
        sketch.insert(u128::from(id) << 64 | u128::from(id.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        n += 1;
    }
    Cardinality {
        exact: Some(n),
        sketch: sketch.to_bytes(),
    }
}

/// Series 0 to 99 are in scope, 1000 to 1049 are not. The candidate folds and writes 10 of 70 series a window.
fn scoped(told: bool) -> Vec<Window> {
    let window = |slot: u64| {
        let (mut b, mut c) = (arm(1500, 1500), arm(1000, 100));
        let unassigned = b.unassigned.as_mut().unwrap();
        (unassigned.points_in, unassigned.points_out) = (500, 500);
        (unassigned.bytes_in, unassigned.bytes_out) = (50_000, 50_000);
        (unassigned.series_in, unassigned.series_out) = (50, 50);
        let inside = || 0..100;
        b.series_in = sketched(inside().chain(1000..1050));
        b.series_out = b.series_in.clone();
        if told {
            b.compared_series_in = Some(sketched(inside()));
            b.compared_series_out = Some(sketched(inside()));
        }
        (c.ledger.filtered, c.ledger.merged) = (0, 900);
        c.series_in = sketched(inside());
        c.series_out = sketched(10 * slot..10 * slot + 10);
        report("a", slot, b, c)
    };
    (0..=7).map(window).collect()
}

#[test]
fn series_outside_the_scope_do_not_make_the_saving_look_larger() {
    let asked = |target| criteria(Mode::Shadow, Measure::Series, target);
    // 70 of 100 over all windows; with the 50 outside it would be 70 of 150.
    let verdict = judge(&asked(0.4), &scoped(true));
    let lower = verdict.savings.series.lower.unwrap();
    assert!((lower - 0.3).abs() < 0.02, "{lower}");
    assert_ne!(verdict.outcome, Outcome::Promote, "{}", verdict.reason);
    // Where only their number is known, they may have been others in every window.
    let verdict = judge(&asked(0.4), &scoped(false));
    assert_eq!(verdict.savings.series.lower, None, "{}", verdict.reason);
    assert_eq!(verdict.outcome, Outcome::Inconclusive, "{}", verdict.reason);
}

#[test]
fn a_bill_by_bytes_or_samples_says_who_does_not_tell_them() {
    let bytes = "[ { name: ingest, counts: bytes, how: all, per: 1000000000, unit: 1 GB, tiers: [ { price: 0.1 } ] } ]";
    let mut windows = shadow(6, 500);
    for window in &mut windows {
        let arm = baseline(window);
        arm.ledger.received += 10;
        arm.ledger.exported += 10;
        let outside = arm.unassigned.as_mut().unwrap();
        (outside.points_in, outside.points_out) = (10, 10);
    }
    let verdict = judge(&asked(Mode::Shadow, bytes, 0.2, None), &windows);
    let (ruling, reason) = goal(&verdict);
    assert_eq!(ruling, Ruling::Unknown);
    assert!(
        reason.ends_with("with points outside, which is not counted apart by default/default/a."),
        "{reason}"
    );

    let mut windows = shadow(6, 500);
    for window in &mut windows {
        baseline(window).samples_out = None;
    }
    let verdict = judge(&asked(Mode::Shadow, SAMPLES, 0.2, None), &windows);
    let (ruling, reason) = goal(&verdict);
    assert_eq!(ruling, Ruling::Unknown);
    assert!(
        reason.ends_with("Prometheus samples are not counted by default/default/a."),
        "{reason}"
    );
}
