//! How an experiment is shown to people.

use crate::output::{coloured, count, grouped, hash, percent, rows, table, text};
use crate::prices::{brief, page};
use phoenix_analysis::prices::Estimate;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// All of it: where it stands, what was saved, every criterion with its reason.
pub fn show(e: &Value) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "experiment/{}  {}  ({})\n{}\n",
        text(e, "/name"),
        coloured(&text(e, "/phase")),
        text(e, "/step"),
        waits(e).unwrap_or_else(|| text(e, "/reason"))
    );
    out += &table(
        &["baseline", "candidate", "started", "ended", "promoted to"],
        [vec![
            hash(e, "/baselineHash"),
            hash(e, "/candidateHash"),
            text(e, "/startedAt"),
            text(e, "/endedAt"),
            text(e, "/promotedTo"),
        ]],
    );
    out += &steps(e);
    out += &warnings(e);
    out += &agents(rows(&e["agents"]));
    if e["verdict"].is_object() {
        let reason = text(&e["verdict"], "/reason");
        if !text(e, "/reason").contains(&reason) {
            let _ = write!(out, "\n{reason}");
        }
        out += &verdict(&e["verdict"]);
        out += &worth(&e["verdict"], brief);
    } else if e["live"].is_object() {
        out += &live(&e["live"]);
    }
    let heard = rows(&e["steps"])
        .iter()
        .filter(|s| s["witness"].is_object());
    for step in heard {
        let _ = write!(
            out,
            "\nsecond witness, step {}: {}",
            text(step, "/step"),
            heard_in_short(&step["witness"])
        );
    }
    out
}

/// What the backend tells, in one line.
fn heard_in_short(witness: &Value) -> String {
    format!(
        "{}   {}\n",
        coloured(&text(witness, "/word")),
        text(witness, "/reason")
    )
}

/// Both accounts, figure by figure.
fn heard(witness: &Value) -> String {
    let mut out = format!(
        "\nsecond witness {} (Prometheus {}): {}",
        text(witness, "/url"),
        text(witness, "/version"),
        heard_in_short(witness)
    );
    let number = |f: &Value, at: &str| match f.pointer(at).and_then(Value::as_f64) {
        Some(n) if n == n.trunc() && n.abs() < 1e15 => format!("{n}"),
        Some(n) => format!("{n:.4}"),
        None => "-".into(),
    };
    out += &table(
        &[
            "figure", "arm", "", "agents", "backend", "apart", "windows", "missing", "reason",
        ],
        rows(&witness["figures"]).iter().map(|f| {
            vec![
                text(f, "/what"),
                text(f, "/arm"),
                coloured(&text(f, "/word")),
                number(f, "/agents"),
                number(f, "/backend"),
                percent(f, "/error"),
                count(f, "/windows"),
                count(f, "/missing"),
                text(f, "/reason"),
            ]
        }),
    );
    let _ = writeln!(
        out,
        "means a window, of the group that differs most; they agree within {}; of alerts, how often they fired",
        percent(witness, "/tolerance")
    );
    out
}

/// Each step with what became of it; one alone is told by the verdict.
fn steps(e: &Value) -> String {
    let all = rows(&e["steps"]);
    if all.len() < 2 {
        return String::new();
    }
    let row = |s: &Value| {
        vec![
            text(s, "/step"),
            coloured(&text(s, "/state")),
            count(s, "/verdict/windows/used"),
            percent(s, "/verdict/savings/points/saving"),
            // Of the present one it is said above.
            match s["state"].as_str() {
                Some("running") => "-".into(),
                _ => text(s, "/reason"),
            },
        ]
    };
    let head = ["step", "state", "windows", "points saved", "reason"];
    format!("\n{}", table(&head, all.iter().map(row)))
}

/// How many agents do what; one by one only those that something is to be said of.
fn agents(all: &[Value]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for agent in all {
        let arm = crate::agents::arm(agent);
        let part = if arm == "-" { "no part".into() } else { arm };
        let what = format!("{part}: {}", text(agent, "/state"));
        *counts.entry(what).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(what, n)| format!("{n} {what}"))
        .collect();
    let mut out = format!("\nagents: {}\n", counts.join(", "));
    let odd = all.iter().filter(|a| {
        let quiet = matches!(a["state"].as_str(), Some("runs" | "returning"));
        !quiet || a["deaths"].as_u64() > Some(0) || a["says"].is_string()
    });
    let odd: Vec<Vec<String>> = odd
        .map(|a| {
            vec![
                text(a, "/agent"),
                crate::agents::arm(a),
                coloured(&text(a, "/state")),
                text(a, "/since"),
                count(a, "/deaths"),
                text(a, "/says"),
            ]
        })
        .collect();
    if !odd.is_empty() {
        out += &table(&["agent", "arm", "state", "since", "deaths", "says"], odd);
    }
    out
}

/// Every step that was judged, with its evidence; an experiment that was not judged yet as it stands.
pub fn explain(e: &Value) -> String {
    let judged: Vec<&Value> = rows(&e["steps"])
        .iter()
        .filter(|s| s["verdict"].is_object() || s["witness"].is_object())
        .collect();
    if judged.is_empty() {
        return show(e);
    }
    let mut out = format!(
        "experiment/{}  {}\n{}\n",
        text(e, "/name"),
        coloured(&text(e, "/phase")),
        text(e, "/reason")
    );
    for step in judged {
        let _ = writeln!(
            out,
            "\nstep {}: {}",
            text(step, "/step"),
            coloured(&text(step, "/state"))
        );
        if step["verdict"].is_object() {
            out += &explained(&step["verdict"]);
        }
        if step["witness"].is_object() {
            out += &heard(&step["witness"]);
        }
    }
    out
}

/// A verdict with the figures behind every criterion.
pub fn explained(value: &Value) -> String {
    let mut out = format!("{}\n{}", text(value, "/reason"), verdict(value));
    out += &worth(value, page);
    out.push_str("\nfigures\n");
    for criterion in rows(&value["criteria"]) {
        let figures = criterion["figures"].as_object();
        let figures: Vec<String> = figures
            .into_iter()
            .flatten()
            .filter(|(_, v)| !v.is_null())
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let _ = writeln!(out, "  {}: {}", text(criterion, "/name"), figures.join(" "));
    }
    let _ = writeln!(out, "judge version {}", text(value, "/judgeVersion"));
    out
}

/// What of the document is likely not what was meant.
fn warnings(e: &Value) -> String {
    let all = rows(&e["warnings"]).iter().filter_map(Value::as_str);
    all.map(|w| format!("\nwarning: {w}\n")).collect()
}

/// What the saving is worth in a month; nothing where the verdict does not say.
fn worth(verdict: &Value, show: fn(&[Estimate]) -> String) -> String {
    let estimates: Vec<Estimate> =
        serde_json::from_value(verdict["money"].clone()).unwrap_or_default();
    match estimates.is_empty() {
        true => String::new(),
        false => format!("\nwhat it is worth\n\n{}", show(&estimates)),
    }
}

fn verdict(verdict: &Value) -> String {
    let mut out = format!(
        "\nverdict: {}   {} windows compared, {} void, {} expected; {} reports missing\n\n",
        coloured(&text(verdict, "/outcome")),
        count(verdict, "/windows/used"),
        count(verdict, "/windows/void"),
        count(verdict, "/windows/expected"),
        count(verdict, "/windows/reports/missing"),
    );
    out += &table(
        &[
            "",
            "baseline",
            "candidate",
            "saving",
            "at least",
            "at most",
            "counted",
        ],
        ["points", "series", "bytes", "samples"].map(|what| {
            let at = |field: &str| format!("/savings/{what}/{field}");
            // Series are distinct in a window: their sum over windows means nothing to people.
            let (label, windows) = match what {
                "series" => ("series a window", verdict.pointer("/windows/used")),
                other => (other, None),
            };
            let shown = |field: &str| {
                let windows = windows.and_then(Value::as_f64).filter(|n| *n > 0.0);
                match (verdict.pointer(&at(field)).and_then(Value::as_f64), windows) {
                    (Some(sum), Some(n)) => grouped((sum / n).round() as i128),
                    _ => count(verdict, &at(field)),
                }
            };
            vec![
                label.into(),
                shown("baseline"),
                shown("candidate"),
                percent(verdict, &at("saving")),
                percent(verdict, &at("lower")),
                percent(verdict, &at("upper")),
                text(verdict, &at("exact")),
            ]
        }),
    );
    out.push('\n');
    out += &table(
        &["criterion", "found", "asked for", "reason"],
        rows(&verdict["criteria"]).iter().map(|c| {
            vec![
                text(c, "/name"),
                text(c, "/outcome"),
                text(c, "/threshold"),
                text(c, "/reason"),
            ]
        }),
    );
    out
}

fn live(live: &Value) -> String {
    let mut out = format!(
        "\nso far: {} windows can be compared ({} reports of {} agents); {} reports are void\n\n",
        count(live, "/windows"),
        count(live, "/comparable"),
        count(live, "/agents"),
        count(live, "/void")
    );
    out += &table(
        &["", "baseline", "candidate", "saving"],
        [
            ("points", "pointsOut"),
            ("series", "seriesOut"),
            ("bytes", "bytesOut"),
        ]
        .map(|(what, field)| {
            vec![
                what.into(),
                count(live, &format!("/baseline/{field}")),
                count(live, &format!("/candidate/{field}")),
                saving(live, field),
            ]
        }),
    );
    out
}

/// Of shadow arms: both saw the same. A split compares ratios, so nothing is said before its verdict.
fn saving(live: &Value, field: &str) -> String {
    let read = |arm: &str, field: &str| {
        live.pointer(&format!("/{arm}/{field}"))
            .and_then(Value::as_f64)
    };
    let same = read("baseline", "pointsIn") == read("candidate", "pointsIn");
    match (read("baseline", field), read("candidate", field)) {
        (Some(b), Some(c)) if b > 0.0 && same => format!("{:.2} %", 100.0 * (1.0 - c / b)),
        _ => "-".into(),
    }
}

/// What its present step waits for; `None`: it does not run.
fn waits(e: &Value) -> Option<String> {
    let present = rows(&e["steps"]).iter().find(|s| s["state"] == "running");
    present?["reason"].as_str().map(str::to_owned)
}

/// One line while it runs.
pub fn line(e: &Value) -> String {
    let step = format!("{} {}", text(e, "/step"), text(e, "/phase"));
    let said = waits(e).unwrap_or_else(|| text(e, "/reason"));
    let mut line = format!("{step:<22} {said}");
    if e["live"].is_object() {
        let _ = write!(
            line,
            "   {} windows, {} -> {} points (saving {})",
            count(&e["live"], "/windows"),
            count(&e["live"], "/baseline/pointsOut"),
            count(&e["live"], "/candidate/pointsOut"),
            saving(&e["live"], "pointsOut")
        );
    }
    line
}
