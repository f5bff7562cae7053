//! Both accounts in words.

use super::figures::{Arm, figures};
use super::follow::{Follow, Run, arm};
use crate::model::{Experiment, Witness, WitnessFigure, Word};
use phoenix_analysis::witness::{Found, Worst};

/// What is to be said of a step.
pub fn witness(e: &Experiment, run: &Run, follow: &Follow) -> Witness {
    let Some(document) = &e.spec.prometheus else {
        return Witness::default();
    };
    let mut said = Witness {
        revision: run.revision,
        step: run.step.clone(),
        url: document.url.clone(),
        version: follow.version.clone(),
        tolerance: document.tolerance.0,
        until_ms: match follow.until_ms > run.from_ms {
            true => follow.until_ms,
            false => 0,
        },
        unreported: follow.unreported,
        ..Witness::default()
    };
    for (number, figure) in figures(&e.spec).iter().enumerate() {
        for side in [0, 1] {
            let of = Arm {
                backend: document,
                side,
                run: format!("{}/{}", e.id, run.revision),
            };
            let expr = figure.expr(&of, e.spec.window.0, follow.closed());
            let mut row = row(follow, (number, side), said.tolerance, run.least);
            row.what.clone_from(&figure.what);
            row.arm = arm(side).into();
            row.expr = expr;
            if let Some(why) = figure.alone() {
                (row.word, row.reason) = (Word::NotComparable, why.into());
            }
            said.figures.push(row);
        }
    }
    (said.word, said.reason) = all(&said, follow);
    said
}

fn row(follow: &Follow, key: (usize, usize), tolerance: f64, least: u64) -> WitnessFigure {
    let found = follow.tallies.get(&key).map(|t| t.found(tolerance));
    let found = found.unwrap_or_default();
    let (word, reason) = match follow.reasons.get(&key) {
        Some(why) => (Word::NotComparable, why.clone()),
        None => word(&found, follow, tolerance, least),
    };
    let worst = found.worst.unwrap_or_default();
    WitnessFigure {
        word,
        reason,
        windows: found.windows,
        values: found.values,
        missing: found.missing,
        labels: worst.labels,
        agents: worst.agents,
        backend: worst.backend,
        error: worst.error,
        ..WitnessFigure::default()
    }
}

fn word(found: &Found, follow: &Follow, tolerance: f64, least: u64) -> (Word, String) {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    if found.windows == 0 {
        return match &follow.away {
            Some(why) => (Word::NotAsked, why.clone()),
            None => (
                Word::NotAsked,
                "no window is known whole yet, its range included".into(),
            ),
        };
    }
    if found.windows < least {
        // Of a few windows the means are too rough.
        let reason = format!("{} of {least} windows that a word needs", found.windows);
        return (Word::NotComparable, reason);
    }
    if found.too_many {
        let most = phoenix_analysis::witness::GROUPS;
        return (Word::NotComparable, format!("more than {most} groups"));
    }
    let windows = match found.windows {
        1 => "1 window".into(),
        n => format!("{n} windows"),
    };
    match &found.worst {
        None if found.missing == 0 => (
            Word::NotComparable,
            format!("nothing to compare in {windows}"),
        ),
        worst if found.beyond => {
            let lacks = format!(
                "of {} values the backend lacks {}",
                found.values + found.missing,
                found.missing
            );
            let reason = match worst {
                Some(worst) if worst.backend.is_some() => format!("{} over {windows}", both(worst)),
                _ => format!("{lacks}, over {windows}"),
            };
            (Word::Disagrees, reason)
        }
        Some(Worst { error, .. }) => (
            Word::Agrees,
            format!(
                "within {} over {windows} ({} at most)",
                percent(error.unwrap_or(0.0)),
                percent(tolerance)
            ),
        ),
        None => (Word::Agrees, format!("over {windows}")),
    }
}

fn both(worst: &Worst) -> String {
    let number = |value: Option<f64>| value.map_or("nothing".into(), short);
    let error = match worst.error {
        Some(error) => format!(" ({:.1} % apart)", 100.0 * error),
        None => String::new(),
    };
    let text = format!(
        "agents {}, backend {}{error}",
        number(worst.agents),
        number(worst.backend)
    );
    match worst.labels.is_empty() {
        true => text,
        false => {
            let labels: Vec<String> = worst
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("{{{}}}: {text}", labels.join(","))
        }
    }
}

/// Five figures that matter.
fn short(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e15 {
        return format!("{value}");
    }
    let digits = 4 - value.abs().log10().floor().clamp(-8.0, 4.0) as i32;
    format!("{value:.*}", digits.max(0) as usize)
}

/// The word on all figures together.
fn all(said: &Witness, follow: &Follow) -> (Word, String) {
    let of = |word: Word| said.figures.iter().filter(move |f| f.word == word);
    let count = said.figures.len();
    if let Some(first) = of(Word::Disagrees).next() {
        let reason = format!(
            "{} of {count} figures disagree; {} of the {}: {}.",
            of(Word::Disagrees).count(),
            first.what,
            first.arm,
            first.reason
        );
        return (Word::Disagrees, reason);
    }
    if let Some(why) = &follow.away {
        return (Word::NotAsked, format!("Not asked: {why}."));
    }
    let agree = of(Word::Agrees).count();
    if agree > 0 {
        let windows = said.figures.iter().map(|f| f.windows).max().unwrap_or(0);
        let rest = count - agree;
        let mut reason =
            format!("{agree} of {count} figures agree, {windows} windows were compared");
        if rest > 0 {
            reason.push_str(&format!("; {rest} could not be compared"));
        }
        return (Word::Agrees, reason + ".");
    }
    match of(Word::NotComparable).next() {
        Some(first) => (
            Word::NotComparable,
            format!("{} of the {}: {}.", first.what, first.arm, first.reason),
        ),
        None => (
            Word::NotAsked,
            "Not asked: no window is known whole and old enough yet.".into(),
        ),
    }
}
