//! Both accounts in words.

use super::client::{SHOWN, cut};
use super::figures::{Arm, figures};
use super::follow::{Follow, Key, Run, arm};
use crate::model::{Experiment, Witness, WitnessFigure, Word};
use phoenix_analysis::query::alerts::{Course, Firing};
use phoenix_analysis::query::rules::Rule;
use phoenix_analysis::witness::{Found, GROUPS, Worst};
use phoenix_engine::query::partial::Labels;
use std::time::{Duration, UNIX_EPOCH};

/// Labels of a group that are kept and shown, and characters of each.
const LABELS: usize = 30;
const LABEL: usize = 120;

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
            let key = (number, side);
            let mut row = match figure.alert() {
                Some(rule) => alert(follow, key, rule, e.spec.window.0, run.least),
                None => row(follow, key, said.tolerance, run.least),
            };
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

fn row(follow: &Follow, key: Key, tolerance: f64, least: u64) -> WitnessFigure {
    let found = follow.tallies.get(&key).map(|t| t.found(tolerance));
    let mut found = found.unwrap_or_default();
    if let Some(worst) = &mut found.worst {
        worst.labels = shown(&worst.labels);
    }
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

/// What is kept of a group's labels, and that there were more.
fn shown(labels: &Labels) -> Labels {
    let of = |(key, value): (&String, &String)| (cut(key, LABEL), cut(value, LABEL));
    let mut all: Labels = labels.iter().take(LABELS).map(of).collect();
    if labels.len() > LABELS {
        all.insert("...".into(), format!("{} (cut)", labels.len() - LABELS));
    }
    all
}

/// What both accounts decide of an alert.
fn alert(follow: &Follow, key: Key, rule: &Rule, window_ms: u64, least: u64) -> WitnessFigure {
    let of = |word: Word, reason: String| WitnessFigure {
        word,
        reason,
        ..WitnessFigure::default()
    };
    if let Some(why) = follow.reasons.get(&key) {
        return of(Word::NotComparable, why.clone());
    }
    let course = match follow.courses.get(&key) {
        Some(Some(course)) => course.clone(),
        Some(None) => return of(Word::NotComparable, format!("more than {GROUPS} alerts")),
        None => Course::default(),
    };
    let found = course.decided(rule, window_ms);
    let answered = found.baseline - (found.missed.len() as u64).min(found.baseline);
    let firsts = [
        ("not in the backend", found.missed.first()),
        ("in the backend alone", found.extra.first()),
        (
            "later in the backend",
            found.delayed.first().map(|(f, _)| f),
        ),
    ];
    let first = firsts.iter().find_map(|(what, f)| Some((*what, (*f)?)));
    let (word, reason) = match (few(found.steps, follow, least), first) {
        (Some(few), _) => few,
        (None, Some((what, firing))) => (
            Word::Disagrees,
            format!(
                "it fired {} times by the agents, {} by the backend: {} not there, {} there alone, {} later; the first {what} {}",
                found.baseline,
                found.candidate,
                found.missed.len(),
                found.extra.len(),
                found.delayed.len(),
                fired(firing)
            ),
        ),
        (None, None) if found.open > 0 => (
            Word::NotComparable,
            "it has just begun to fire in one account, the other may follow".into(),
        ),
        (None, None) if found.baseline == 0 => (
            Word::Agrees,
            format!("fired in neither, over {} windows", found.steps),
        ),
        (None, None) => (
            Word::Agrees,
            format!("fired alike, over {} windows", found.steps),
        ),
    };
    WitnessFigure {
        windows: found.steps,
        values: answered,
        missing: found.missed.len() as u64,
        labels: first.map_or_else(Labels::new, |(_, firing)| shown(&firing.labels)),
        agents: (found.steps > 0).then_some(found.baseline as f64),
        backend: (found.steps > 0).then_some(found.candidate as f64),
        ..of(word, reason)
    }
}

fn fired(firing: &Firing) -> String {
    let from = UNIX_EPOCH + Duration::from_millis(firing.from_ms);
    format!(
        "at {} {}",
        humantime::format_rfc3339_seconds(from),
        group(&shown(&firing.labels))
    )
}

/// Too few windows for a word.
fn few(windows: u64, follow: &Follow, least: u64) -> Option<(Word, String)> {
    match (windows, &follow.away) {
        (0, Some(why)) => Some((Word::NotAsked, why.clone())),
        (0, None) => Some((
            Word::NotAsked,
            "no window is known whole yet, its range included".into(),
        )),
        // Of a few windows the means are too rough.
        (n, _) if n < least => Some((
            Word::NotComparable,
            format!("{n} of {least} windows that a word needs"),
        )),
        _ => None,
    }
}

fn word(found: &Found, follow: &Follow, tolerance: f64, least: u64) -> (Word, String) {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    if let Some(few) = few(found.windows, follow, least) {
        return few;
    }
    if found.too_many {
        return (Word::NotComparable, format!("more than {GROUPS} groups"));
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
        false => format!("{}: {text}", group(&worst.labels)),
    }
}

/// A group as it is read.
fn group(labels: &Labels) -> String {
    let of = |(key, value): (&String, &String)| format!("{key}={value}");
    let all: Vec<String> = labels.iter().map(of).collect();
    format!("{{{}}}", cut(&all.join(","), SHOWN))
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
    // That no alert fired is no proof that anything is there.
    if of(Word::Agrees).any(|f| f.values > 0) {
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
        None if agree > 0 => (
            Word::NotComparable,
            "Nothing was there to compare but alerts, which fired in neither account.".into(),
        ),
        None => (
            Word::NotAsked,
            "Not asked: no window is known whole and old enough yet.".into(),
        ),
    }
}
