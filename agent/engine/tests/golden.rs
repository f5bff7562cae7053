//! Golden cases: pipeline + input + what must come out, with values worked out by hand.
//!
//! Each `golden/cases/*.yaml` is one case: `purpose` in one line, `stages` of the pipeline, `series`
//! that speak, `calls` on an engine (times in seconds) with the lines that each must write, and at
//! the end the `ledger` and the stages' `counts`. A point is written as
//! `metric{point attributes|resource attributes} start..time = value`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "golden/case.rs"]
mod case;
#[path = "golden/otlp.rs"]
mod otlp;
#[path = "golden/show.rs"]
mod show;

use bytes::Bytes;
use case::{Call, Case, SECOND};
use phoenix_engine::compile::{Plan, compile};
use phoenix_engine::engine::{Emitted, Engine, Limits, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn plan(stages: &serde_yaml::Value, protect: &serde_yaml::Value) -> Arc<Plan> {
    let document = serde_json::json!({
        "apiVersion": "phoenix/v1",
        "kind": "Pipeline",
        "metadata": { "name": "golden" },
        "spec": { "protect": protect, "stages": stages },
    });
    Plan::new(compile(&document.to_string()).unwrap(), None).unwrap()
}

/// Runs a case; the rules and notes that its stages counted.
fn run(case: &Case) -> Result<BTreeSet<String>, String> {
    let protect = match &case.protect {
        serde_yaml::Value::Null => serde_yaml::Value::Sequence(Vec::new()),
        given => given.clone(),
    };
    let settings = Settings {
        node: "n1".into(),
        began: case.began * SECOND,
        limits: Limits {
            series: case.limit.unwrap_or(1000),
            ..Limits::default()
        },
        ..Settings::default()
    };
    let mut engine = Engine::new(settings, plan(&case.stages, &protect), 0);
    for (at, call) in case.calls.iter().enumerate() {
        let (emitted, expected): (Emitted, &[String]) = match call {
            Call::Feed {
                feed,
                points,
                expect,
            } => {
                let request = Bytes::from(otlp::request(case, points));
                let fed = engine
                    .feed(&request, case::nanos(*feed))
                    .map_err(|e| e.to_string())?;
                (fed.emitted, expect)
            }
            Call::Tick { tick, expect } => (engine.tick(case::nanos(*tick)), expect),
            Call::Swap {
                swap,
                stages,
                expect,
            } => (
                engine.swap(plan(stages, &protect), case::nanos(*swap)),
                expect,
            ),
            Call::Finish { finish, expect } => (engine.finish(case::nanos(*finish)), expect),
        };
        let got = show::lines(&emitted.out);
        if got.len() as u64 != emitted.points {
            return Err(format!(
                "calls[{at}]: says {} points, wrote {}",
                emitted.points,
                got.len()
            ));
        }
        if got != expected {
            return Err(format!(
                "calls[{at}] {call:?}:\n  expected {expected:#?}\n  got {got:#?}"
            ));
        }
    }
    figures(case, &engine)
}

fn figures(case: &Case, engine: &Engine) -> Result<BTreeSet<String>, String> {
    let report = engine.figures().baseline;
    let ledger = &report.ledger;
    if ledger.imbalance() != 0 {
        return Err(format!("the ledger does not balance: {ledger:?}"));
    }
    let mut account: BTreeMap<String, i64> = BTreeMap::new();
    for (name, n) in [
        ("received", ledger.received as i64),
        ("exported", ledger.exported as i64),
        ("filtered", ledger.filtered as i64),
        ("merged", ledger.merged),
        ("sampled_out", ledger.sampled_out as i64),
        ("suppressed", ledger.suppressed as i64),
        ("held", ledger.held),
        ("identity_conflicts", report.identity_conflicts as i64),
    ] {
        account.insert(name.into(), n);
    }
    for (reason, n) in &ledger.dropped {
        account.insert(format!("dropped.{reason}"), *n as i64);
    }
    account.retain(|_, n| *n != 0);
    if account != case.ledger {
        return Err(format!(
            "ledger:\n  expected {:?}\n  got {account:?}",
            case.ledger
        ));
    }
    for (id, counts) in &case.counts {
        let stage = report.stages.iter().find(|s| s.id == *id);
        let got = stage.map(|s| s.counts.clone()).unwrap_or_default();
        for (name, n) in counts {
            if got.get(name).copied().unwrap_or(0) != *n {
                return Err(format!("stage {id}: expected {counts:?}, got {got:?}"));
            }
        }
    }
    let counts = report.stages.iter().flat_map(|stage| stage.counts.keys());
    Ok(counts.chain(ledger.dropped.keys()).cloned().collect())
}

/// Name and content of every case.
fn cases() -> Vec<(String, Case)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cases");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let case: Case = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        (name, case)
    };
    paths.iter().map(read).collect()
}

#[test]
fn every_golden_case_writes_what_was_worked_out_by_hand() {
    let cases = cases();
    assert!(cases.len() >= 20, "cases are missing");
    let mut failed = Vec::new();
    for (name, case) in cases {
        assert!(!case.purpose.is_empty() && !case.calls.is_empty(), "{name}");
        if let Err(why) = run(&case) {
            failed.push(format!("{name} ({}): {why}", case.purpose));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// `docs/notes.md` explains every note that a case brings about, and none that there is not.
#[test]
fn every_note_of_a_stage_is_explained() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/notes.md");
    let text = std::fs::read_to_string(root).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let explained: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    for (name, case) in cases() {
        for note in run(&case).unwrap() {
            let note = if note.starts_with("drop[") {
                "drop[n]"
            } else {
                &note
            };
            assert!(explained.contains(note), "{name}: no row for `{note}`");
        }
    }
    let mut sources = String::new();
    read_all(
        concat!(env!("CARGO_MANIFEST_DIR"), "/src").as_ref(),
        &mut sources,
    );
    read_all(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../src/worker").as_ref(),
        &mut sources,
    );
    for note in explained {
        let written = format!("\"{}", note.trim_end_matches("n]"));
        assert!(sources.contains(&written), "nothing counts `{note}`");
    }
}

fn read_all(path: &std::path::Path, text: &mut String) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            read_all(&entry.unwrap().path(), text);
        }
    } else {
        text.push_str(&std::fs::read_to_string(path).unwrap());
    }
}

/// `docs/semantics.md` names for each rule the cases that show it, and leaves no case out.
#[test]
fn every_rule_names_golden_cases_that_exist() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/semantics.md");
    let text = std::fs::read_to_string(root).unwrap();
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/cases");
    let mut rules = 0;
    for row in text.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let named = row.trim_end_matches(" |").rsplit('|').next().unwrap();
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no case: {row}");
        for name in names {
            let path = format!("{cases}/{name}.yaml");
            assert!(std::path::Path::new(&path).exists(), "{name}: {row}");
        }
        rules += 1;
    }
    assert!(rules >= 22, "rules are missing");
    for entry in std::fs::read_dir(cases).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(text.contains(&format!("`{name}`")), "no rule names {name}");
    }
}
