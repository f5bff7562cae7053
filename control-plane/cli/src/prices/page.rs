//! Estimates for people.

use crate::output::table;
use phoenix_analysis::prices::{Charged, Estimate, Range, seen};
use std::fmt::Write;

/// A table of estimates, then what is to be known about them.
pub fn page(estimates: &[Estimate]) -> String {
    let mut out = rows(estimates);
    for estimate in estimates {
        let Some(why) = &estimate.unknown else {
            continue;
        };
        let _ = writeln!(out, "\n{}: {why}", estimate.book);
        for charge in &estimate.charges {
            if let Some(line) = quantity(charge) {
                let _ = writeln!(out, "  {line}");
            }
        }
    }
    out + &extrapolated(estimates)
}

/// The table alone; books that give no amount are only named.
pub fn brief(estimates: &[Estimate]) -> String {
    let (unknown, known): (Vec<&Estimate>, Vec<&Estimate>) =
        estimates.iter().partition(|e| e.unknown.is_some());
    let known: Vec<Estimate> = known.into_iter().cloned().collect();
    let mut out = rows(&known);
    if !unknown.is_empty() {
        let names: Vec<&str> = unknown.iter().map(|e| e.book.as_str()).collect();
        let _ = writeln!(
            out,
            "\nNo amount (`phoenix experiment explain` says why): {}.",
            names.join(", ")
        );
    }
    out + &extrapolated(estimates)
}

/// One line of an estimate that has an amount: what is saved of what, and what decides it.
pub fn one_line(estimate: &Estimate) -> String {
    format!(
        "{} of {} a month; {} (estimate, list price of {})",
        money(estimate.saved.as_ref(), &estimate.currency),
        money(estimate.before.as_ref(), &estimate.currency),
        binds(estimate),
        estimate.date
    )
}

fn rows(estimates: &[Estimate]) -> String {
    let row = |estimate: &Estimate| {
        vec![
            estimate.book.clone(),
            money(estimate.saved.as_ref(), &estimate.currency),
            money(estimate.before.as_ref(), &estimate.currency),
            binds(estimate),
            estimate.date.clone(),
        ]
    };
    let head = [
        "book",
        "saved a month",
        "of",
        "what decides it",
        "list price of",
    ];
    table(&head, estimates.iter().map(row))
}

fn extrapolated(estimates: &[Estimate]) -> String {
    let Some(hours) = estimates.first().map(|e| e.hours) else {
        return String::new();
    };
    format!(
        "\nEstimates by list prices, without discounts, of what was seen alone; extrapolated from {} to a month of 730 h.\n",
        seen(hours)
    )
}

fn binds(estimate: &Estimate) -> String {
    match (&estimate.nothing, &estimate.binds, &estimate.binds_after) {
        (Some(why), ..) => format!("nothing: {why}"),
        (None, Some(before), Some(after)) => format!("{before}, then {after}"),
        (None, Some(before), None) => before.clone(),
        // Without the candidate nothing is paid; with it something is.
        (None, None, Some(after)) => format!("nothing, then {after}"),
        (None, None, None) => "-".to_owned(),
    }
}

fn quantity(charge: &Charged) -> Option<String> {
    let (before, after) = (charge.before.as_ref()?, charge.after.as_ref()?);
    Some(format!(
        "{}: {} {} before, {} after",
        charge.name,
        range(before, number),
        charge.unit,
        range(after, number)
    ))
}

fn money(amount: Option<&Range>, currency: &str) -> String {
    match amount {
        None => "unknown".to_owned(),
        Some(amount) => format!("{} {currency}", range(amount, |n| format!("{n:.2}"))),
    }
}

fn range(range: &Range, number: impl Fn(f64) -> String) -> String {
    let end = |end: Option<f64>| end.map_or_else(|| "?".to_owned(), &number);
    let (low, high) = (end(range.low), end(range.high));
    if low == high {
        low
    } else {
        format!("{low} to {high}")
    }
}

/// Three digits that count.
fn number(n: f64) -> String {
    match n.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{n:.0}"),
        size if size >= 1.0 => format!("{n:.2}"),
        _ => format!("{n:.4}"),
    }
}
