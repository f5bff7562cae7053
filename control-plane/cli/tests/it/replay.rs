//! `phoenix replay` as a script uses it.

use crate::support::{Folder, captures, counter, gauge, json, phoenix};
use phoenix_agent::capture::{Format, Reader, Writer};
use serde_json::Value;
use std::path::Path;

const EMPTY: &str =
    "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: empty }\nspec: { stages: [] }\n";

fn pipeline(stages: &str) -> String {
    EMPTY.replace("stages: []", &format!("stages: [ {stages} ]"))
}

fn messages(path: &Path) -> Vec<Vec<u8>> {
    Reader::open(path)
        .unwrap()
        .map(|m| m.unwrap().bytes.to_vec())
        .collect()
}

fn number(found: &Value, pointer: &str) -> i64 {
    found
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or_else(|| panic!("{pointer} in {found}"))
}

/// `received = exported + everything in the ledger`, from the printed JSON alone.
fn assert_balanced(found: &Value) {
    let mut sum = number(found, "/exported/points");
    for (name, value) in found["ledger"].as_object().unwrap() {
        sum += match name.as_str() {
            "dropped" => value
                .as_object()
                .unwrap()
                .values()
                .map(|n| n.as_i64().unwrap())
                .sum(),
            _ => value.as_i64().unwrap(),
        };
    }
    assert_eq!(
        number(found, "/received/points"),
        sum,
        "{}",
        found["ledger"]
    );
    assert_eq!(
        number(found, "/ledger/held"),
        0,
        "every window is closed at the end"
    );
}

#[test]
fn an_empty_pipeline_gives_the_captures_back_unchanged() {
    let folder = Folder::new();
    let empty = folder.write("empty.yaml", EMPTY);
    for capture in captures() {
        let out = folder.path("out.binpb");
        let found = json(&[
            "replay",
            "--pipeline",
            &empty,
            &capture,
            "--write",
            &out,
            "-o",
            "json",
        ]);
        assert_eq!(found["received"], found["exported"]);
        assert_balanced(&found);
        assert!(
            messages(Path::new(&capture)) == messages(Path::new(&out)),
            "{capture} came back changed"
        );
    }
}

/// Points and series as the captures' own README counts them.
#[test]
fn captures_hold_what_their_readme_says() {
    let folder = Folder::new();
    let empty = folder.write("empty.yaml", EMPTY);
    for capture in captures() {
        let found = json(&["replay", "--pipeline", &empty, &capture, "-o", "json"]);
        let name = Path::new(&capture)
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let expected = match name.as_str() {
            "node-a-host.binpb.zst" => (87_496, 24_545),
            "node-a-scrape.binpb.zst" => (60_977, 1_302),
            "node-a-app.binpb.zst" => (100_388, 9_143),
            "node-c-host.json.zst" => (5_916, 3_633),
            "node-c-app.json.zst" => (6_819, 2_634),
            _ => continue,
        };
        let counted = (
            number(&found, "/received/points"),
            number(&found, "/received/series"),
        );
        assert_eq!(counted, expected, "{name}");
    }
}

/// A row of the README's table, as `scripts/template-table` writes it.
fn row(template: &Path, capture: &str, found: &Value) -> String {
    let spaced = |n: i64| {
        let digits = n.to_string();
        let groups = digits.as_bytes().rchunks(3).rev();
        let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
        groups.join(" ")
    };
    let cells = ["points", "series", "bytes"].map(|what| {
        let before = number(found, &format!("/received/{what}"));
        let after = number(found, &format!("/exported/{what}"));
        if before == after {
            return format!("{} (all)", spaced(before));
        }
        let cut = 100.0 * (1.0 - after as f64 / before as f64);
        let cut = format!("−{cut:.1} %").replace("−-", "+");
        format!("{} → {} ({cut})", spaced(before), spaced(after))
    });
    let template = template.file_stem().unwrap().to_string_lossy();
    let capture = Path::new(capture).file_name().unwrap().to_string_lossy();
    let capture = capture.split('.').next().unwrap();
    format!("| {template} | {capture} | {} |", cells.join(" | "))
}

/// What a replay says it exported is what it wrote, for every template over every capture, and what the README says.
#[test]
fn the_ledger_of_every_template_balances_and_agrees_with_what_was_written() {
    let folder = Folder::new();
    let empty = folder.write("empty.yaml", EMPTY);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (readme, templates) = (root.join("README.md"), root.join("examples"));
    let readme = std::fs::read_to_string(readme).unwrap();
    let mut drifted = Vec::new();
    for template in std::fs::read_dir(templates).unwrap() {
        let template = template.unwrap().path();
        if template.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        for capture in captures() {
            let out = folder.path("cut.binpb");
            let path = &template;
            let template = template.to_string_lossy();
            let found = json(&[
                "replay", "-p", &template, &capture, "--write", &out, "-o", "json",
            ]);
            assert_balanced(&found);
            let row = row(path, &capture, &found);
            let told = found["received"] == found["exported"] || readme.contains(&row);
            if !told && std::env::var_os("PHOENIX_CAPTURES").is_none() {
                drifted.push(row);
            }
            assert_eq!(found["identity_conflicts"], 0, "{template} on {capture}");
            let written = json(&["replay", "-p", &empty, &out, "-o", "json"]);
            assert_eq!(
                found["exported"], written["received"],
                "{template} on {capture}"
            );
        }
    }
    assert!(
        drifted.is_empty(),
        "README.md has drifted, run `make table`:\n{}",
        drifted.join("\n")
    );
}

#[test]
fn several_captures_are_merged_by_time() {
    let folder = Folder::new();
    let first = folder.capture(
        "a.binpb",
        &[gauge("a", 1, 10), gauge("a", 2, 30)],
        Format::Proto,
    );
    let second = folder.capture(
        "b.json",
        &[gauge("b", 1, 5), gauge("b", 2, 20)],
        Format::Json,
    );
    let empty = folder.write("empty.yaml", EMPTY);
    let out = folder.path("out.binpb");
    let found = json(&[
        "replay", "-p", &empty, &first, &second, "--write", &out, "-o", "json",
    ]);
    assert_eq!(number(&found, "/received/points"), 4);
    let expected = [
        gauge("b", 1, 5),
        gauge("a", 1, 10),
        gauge("b", 2, 20),
        gauge("a", 2, 30),
    ];
    assert_eq!(messages(Path::new(&out)), expected);
}

/// A counter that began with the capture counts from its first point; its windows close by the points'
/// own times, and the last one at the end.
#[test]
fn windows_follow_the_time_of_the_points() {
    let folder = Folder::new();
    let points: Vec<Vec<u8>> = (0..=4)
        .map(|n| counter("c", n * 10, 100, 100 + 30 * n))
        .collect();
    let capture = folder.capture("c.binpb", &points, Format::Proto);
    let document =
        pipeline("{ id: s, aggregate: { match: {}, by: [], interval: 60s, lateness: 0s } }");
    let document = folder.write("p.yaml", &document);
    let out = folder.path("out.json");
    let found = json(&[
        "replay", "-p", &document, "--node", "n7", &capture, "--write", &out, "-o", "json",
    ]);
    assert_balanced(&found);
    // Points at 100, 130, 160, 190, 220 s: windows that end at 120, 180 and 240 s.
    assert_eq!(number(&found, "/exported/points"), 3);
    assert_eq!(number(&found, "/ledger/merged"), 2);
    let written = std::fs::read_to_string(&out).unwrap();
    assert!(
        written.contains("\"phoenix.node\"") && written.contains("n7"),
        "{written}"
    );
    for end in ["120000000000", "180000000000", "240000000000"] {
        assert!(
            written.contains(&format!("\"timeUnixNano\":\"{end}\"")),
            "{written}"
        );
    }
    let last = written.trim_end().lines().last().unwrap();
    assert!(last.contains("40"), "the total of all increments: {last}");
}

#[test]
fn a_cut_capture_is_told_with_its_offset_and_nothing_is_written() {
    let folder = Folder::new();
    let empty = folder.write("empty.yaml", EMPTY);
    let whole = folder.capture(
        "whole.binpb",
        &[gauge("a", 1, 10), gauge("a", 2, 20)],
        Format::Proto,
    );
    let bytes = std::fs::read(&whole).unwrap();
    let cut = folder.write("cut.binpb", &bytes[..bytes.len() - 3]);
    let out = folder.path("out.binpb");
    let run = phoenix(&["replay", "-p", &empty, &cut, "--write", &out]);
    assert!(!run.ok);
    let place = format!(
        "ends in the middle of a message at byte {}",
        bytes.len() - 3
    );
    assert!(
        run.stderr.contains("cut.binpb") && run.stderr.contains(&place),
        "{}",
        run.stderr
    );
    assert!(run.stdout.is_empty() && !Path::new(&out).exists());
}

#[test]
fn what_is_no_capture_is_told_so() {
    let folder = Folder::new();
    let empty = folder.write("empty.yaml", EMPTY);
    for (name, content, words) in [
        (
            "a.binpb",
            &b"#!/bin/sh\necho this is no capture\n"[..],
            "not a capture",
        ),
        ("b.json", b"{\"name\": \"package\"}\n", "not a capture"),
        ("c.binpb", b"", "empty"),
        ("d.binpb", b"\0\0\0\x04\x0a\x7f\0\0", "not a capture"),
    ] {
        let file = folder.write(name, content);
        let run = phoenix(&["replay", "-p", &empty, &file]);
        assert!(
            !run.ok && run.stderr.contains(words) && run.stderr.contains(name),
            "{}",
            run.stderr
        );
    }
    let run = phoenix(&["replay", "-p", &empty, &folder.path("missing.binpb")]);
    assert!(
        !run.ok && run.stderr.contains("missing.binpb"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_pipeline_with_mistakes_is_told_all_of_them() {
    let folder = Folder::new();
    let capture = folder.capture("a.binpb", &[gauge("a", 1, 10)], Format::Proto);
    let document = folder.write(
        "p.yaml",
        pipeline("{ id: A, filtr: {} }, { filter: { drop: [] } }"),
    );
    let run = phoenix(&["replay", "-p", &document, &capture]);
    assert!(!run.ok);
    for path in [
        "stages[0].id",
        "stages[0].filtr",
        "stages[1].id",
        "stages[1].filter.drop",
    ] {
        assert!(
            run.stderr.contains(&format!("p.yaml: spec.{path}: ")),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn points_that_json_holds_wrongly_are_rejected_and_counted() {
    let folder = Folder::new();
    let empty = folder.write("empty.yaml", EMPTY);
    let line = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":"x"},{"timeUnixNano":"1","asInt":"2"}]}}]}]}]}"#;
    let capture = folder.write("a.json", format!("{line}\n"));
    let found = json(&["replay", "-p", &empty, &capture, "-o", "json"]);
    assert_eq!(number(&found, "/received/points"), 2);
    assert_eq!(number(&found, "/ledger/rejected"), 1);
    assert_balanced(&found);
}

#[test]
fn the_table_shows_volume_ledger_stages_and_metrics() {
    let folder = Folder::new();
    let capture = folder.capture(
        "a.binpb",
        &[gauge("a", 1, 10), gauge("b", 2, 20)],
        Format::Proto,
    );
    let document = folder.write(
        "p.yaml",
        pipeline("{ id: no-a, filter: { drop: [ { metric: a } ] } }"),
    );
    let run = phoenix(&["replay", "-p", &document, &capture]);
    assert!(run.ok, "{}", run.stderr);
    for words in [
        "points",
        "50.0 %",
        "+ filtered",
        "no-a",
        "drop[0] 1",
        "Metrics that changed most (1 of 1; 1 unchanged)",
    ] {
        assert!(run.stdout.contains(words), "`{words}` in\n{}", run.stdout);
    }
    assert!(
        run.stderr.is_empty(),
        "no progress where there is no terminal: {}",
        run.stderr
    );
}

#[test]
fn a_capture_is_not_overwritten_while_it_is_read() {
    let folder = Folder::new();
    let capture = folder.capture("a.binpb", &[gauge("a", 1, 10)], Format::Proto);
    let before = std::fs::read(&capture).unwrap();
    let empty = folder.write("empty.yaml", EMPTY);
    let run = phoenix(&["replay", "-p", &empty, &capture, "--write", &capture]);
    assert!(
        !run.ok && run.stderr.contains("another file"),
        "{}",
        run.stderr
    );
    assert_eq!(std::fs::read(&capture).unwrap(), before);
}

impl Folder {
    fn capture(&self, name: &str, messages: &[Vec<u8>], format: Format) -> String {
        let mut writer = Writer::new(Vec::new(), format, Default::default()).unwrap();
        messages.iter().for_each(|m| writer.write(m).unwrap());
        self.write(name, writer.finish().unwrap())
    }
}
