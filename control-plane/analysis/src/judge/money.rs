//! A goal in money: what a month costs under a price book, without and with the candidate.
//!
//! Every volume that the book counts has bounds of its own; the bill is taken where all of them save least.
//! Only that counts: the goal is reached when the least that may be saved reaches it.

use super::finding::{finding, ratio_text};
use super::saving::measure;
use super::select::Selection;
use super::unknown;
use crate::criteria::{Ask, Criteria, Goal, Measure, Mode};
use crate::prices::{Counts, Estimate, PriceBook, Range, Usage, estimate, seen};
use crate::verdict::{Criterion, Ruling, Saving, Savings};
use serde_json::json;

/// A share is not told apart more finely than this.
const EPSILON: f64 = 1e-9;

/// The volumes that a goal is about.
pub fn volumes(goal: &Goal) -> Vec<Measure> {
    let Some(money) = &goal.money else {
        return vec![goal.saving];
    };
    let counts = |counts: Counts| match counts {
        Counts::Series => &[Measure::Series][..],
        Counts::Samples | Counts::SamplesPerMinute => &[Measure::Samples],
        Counts::SamplesAtMost => &[Measure::Samples, Measure::Points],
        Counts::Points => &[Measure::Points],
        Counts::Bytes => &[Measure::Bytes],
    };
    let mut all: Vec<Measure> = Vec::new();
    let charges = money.book.spec.charges.iter();
    for measure in charges.flat_map(|c| counts(c.counts)) {
        if !all.contains(measure) {
            all.push(*measure);
        }
    }
    all
}

/// What the saving is worth under the goal's book, by the bounds that the goal is held by; nothing where
/// the goal names none, or nothing was compared.
pub fn worth(criteria: &Criteria, selection: &Selection<'_>) -> Vec<Estimate> {
    let asks = matches!(criteria.ask, Ask::Goal | Ask::Guardrails);
    let money = criteria.goal.money.as_ref();
    let money = money.filter(|_| asks && selection.windows.used > 0);
    let found = money.map(|money| estimate(&money.book, &usage(criteria, selection)));
    found.into_iter().collect()
}

/// The volumes that the goal's book counts. Where bounds may err, all of them together do so no more often
/// than one alone would: they share alpha.
fn usage(criteria: &Criteria, selection: &Selection<'_>) -> Usage {
    let asked = volumes(&criteria.goal);
    let alpha = criteria.alpha / asked.len().max(1) as f64;
    let of = |volume| match asked.contains(&volume) {
        true => measure(criteria, selection, volume, alpha).saving,
        false => Saving::default(),
    };
    let savings = Savings {
        points: of(Measure::Points),
        series: of(Measure::Series),
        bytes: of(Measure::Bytes),
        samples: of(Measure::Samples),
    };
    let windows = (selection.windows.used, criteria.window_ms);
    Usage::over(&savings, windows, criteria.mode)
}

/// Is the saving that was asked for reached?
pub fn goal(criteria: &Criteria, selection: &Selection<'_>) -> Criterion {
    let Some(money) = &criteria.goal.money else {
        let reason = "The goal is in money and names no price book.".to_owned();
        return finding("goal", Ruling::Unknown, reason, json!({}));
    };
    let found = estimate(&money.book, &usage(criteria, selection));
    let demands = demands(criteria, &found);
    let figures = json!({
        "measure": Measure::Money.name(), "book": found.book, "currency": found.currency,
        "date": found.date, "target": (criteria.goal.target > 0.0).then_some(criteria.goal.target),
        "perMonth": money.per_month, "share": found.share, "saved": found.saved,
        "before": found.before, "binds": found.binds, "bindsAfter": found.binds_after,
        "windows": selection.windows.used, "hours": found.hours,
    });
    let (ruling, mut reason) = rule(&found, &demands);
    if found.unknown.is_some() {
        let mut lacking = volumes(&criteria.goal).into_iter();
        let why = lacking.find_map(|volume| unknown::why(selection, volume));
        reason.extend(why.map(|why| format!(" It is because {why}.")));
    }
    let ruling = match (criteria.ask, ruling) {
        // A step of a ramp: the goal is shown, and only a clear miss counts.
        (Ask::Guardrails, Ruling::Unknown) => Ruling::NotAsked,
        (_, ruling) => ruling,
    };
    let sure = match criteria.mode {
        Mode::Shadow => "counted".to_owned(),
        Mode::Split | Mode::Nodes => format!("sure to {}", ratio_text(1.0 - criteria.alpha)),
    };
    let asked: Vec<&str> = demands.iter().map(|d| d.asked.as_str()).collect();
    let asked = format!(
        "at least {}, {sure} ({})",
        asked.join(" and "),
        listed(&money.book)
    );
    finding("goal", ruling, reason, figures).against(asked)
}

fn listed(book: &PriceBook) -> String {
    format!("{}, list price of {}", book.name, book.spec.date)
}

/// One thing that is asked for.
struct Demand {
    /// As a person reads it.
    asked: String,
    least: f64,
    /// What is saved of it; `None`: not known.
    found: Option<Range>,
    /// Why it is not known.
    unknown: &'static str,
}

fn demands(criteria: &Criteria, found: &Estimate) -> Vec<Demand> {
    let share = (criteria.goal.target > 0.0).then(|| Demand {
        asked: format!("{} of the bill", ratio_text(criteria.goal.target)),
        least: criteria.goal.target,
        found: found.share,
        unknown: "nothing is paid without the candidate, so there is no share of it",
    });
    let money = criteria.goal.money.as_ref();
    let amount = money.and_then(|m| m.per_month).map(|least| Demand {
        asked: format!("{least:.2} {} a month", found.currency),
        least,
        // Elsewhere each arm has a part of what is sent: what all of it would cost is not counted.
        found: found.saved.filter(|_| criteria.mode == Mode::Shadow),
        unknown: "an amount is counted in shadow alone, where both arms see everything",
    });
    share.into_iter().chain(amount).collect()
}

fn rule(found: &Estimate, demands: &[Demand]) -> (Ruling, String) {
    if let Some(why) = &found.unknown {
        let reason = format!("The bill under {} is not known: {why}.", found.book);
        return (Ruling::Unknown, reason);
    }
    let said = said(found);
    let asked: Vec<&str> = demands.iter().map(|d| d.asked.as_str()).collect();
    let asked = asked.join(" and ");
    let low = |d: &Demand| d.found.and_then(|f| f.low);
    let high = |d: &Demand| d.found.and_then(|f| f.high);
    if demands
        .iter()
        .any(|d| high(d).is_some_and(|high| high + EPSILON < d.least))
    {
        let reason = format!("The candidate saves only {said}; {asked} were asked for.");
        return (Ruling::Fail, reason);
    }
    let reached = |d: &Demand| low(d).is_some_and(|low| low + EPSILON >= d.least);
    let Some(open) = demands.iter().find(|d| !reached(d)) else {
        let reason = format!("The candidate saves {said}; {asked} were asked for.");
        return (Ruling::Pass, reason);
    };
    let reason = match open.found {
        None => format!(
            "Whether {} are saved cannot be said: {} ({said}).",
            open.asked, open.unknown
        ),
        Some(_) => format!(
            "Whether {} are saved is not clear: so far {said}.",
            open.asked
        ),
    };
    (Ruling::Unknown, reason)
}

/// What is saved, of what, and what decides it.
fn said(found: &Estimate) -> String {
    let range = |range: Option<Range>, show: &dyn Fn(f64) -> String| {
        let end = |end: Option<f64>| end.map_or_else(|| "?".to_owned(), show);
        range.map_or_else(
            || "an unknown part".to_owned(),
            |range| match (end(range.low), end(range.high)) {
                (low, high) if low == high => low,
                (low, high) => format!("{low} to {high}"),
            },
        )
    };
    let amount = |n: f64| format!("{n:.2}");
    let decides = match (&found.nothing, &found.binds, &found.binds_after) {
        (Some(why), ..) => why.clone(),
        (None, Some(before), Some(after)) => format!("{before} decides it, then {after}"),
        (None, Some(before), None) => format!("{before} decides it"),
        (None, None, _) => "nothing is paid without the candidate".to_owned(),
    };
    format!(
        "{} of the bill, {} of {} {} a month ({decides}; an estimate from {} by {}, list price of {})",
        range(found.share, &ratio_text),
        range(found.saved, &amount),
        range(found.before, &amount),
        found.currency,
        seen(found.hours),
        found.book,
        found.date
    )
}
