//! `phoenix validate` as a script uses it.

use crate::support::{Folder, phoenix};
use serde_json::Value;
use std::path::Path;

/// Every document that is shipped.
#[test]
fn the_examples_and_the_price_books_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = ["examples", "examples/demo", "prices"]
        .map(|name| root.join(name).to_string_lossy().into_owned());
    let mut arguments = vec!["validate"];
    arguments.extend(folders.iter().map(String::as_str));
    let run = phoenix(&arguments);
    assert!(run.ok, "{}{}", run.stdout, run.stderr);
    for part in [
        "demo/baseline.yaml: Pipeline",
        "PriceBook new-relic is valid",
    ] {
        assert!(run.stdout.contains(part), "{part} in {}", run.stdout);
    }
    let last = run.stdout.lines().last().unwrap();
    let valid = run.stdout.matches(" is valid").count();
    assert_eq!(last, format!("{valid} documents, all valid"));
    assert!(valid >= 18, "{last}");
}

#[test]
fn a_folder_is_summed_up_and_one_mistake_in_it_fails_it() {
    let folder = Folder::new();
    let book = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../prices/new-relic.yaml"),
    )
    .unwrap();
    folder.write("good.yaml", &book);
    folder.write("bad.yml", book.replace("\"2026-10-03\"", "lately"));
    folder.write("other.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    folder.write("settings.yaml", "node: { name: n }\n");
    folder.write("number.yaml", "kind: 4\n");
    folder.write("notes.md", "no document");
    let run = phoenix(&["validate", &folder.path("")]);
    assert!(!run.ok);
    for part in [
        "bad.yml: spec.date: ",
        "PriceBook new-relic is valid",
        "other.yaml: kind: `ConfigMap`",
        "settings.yaml: kind: is missing",
        "Experiment or PriceBook",
        "number.yaml: kind: expected a text, found a number: write Pipeline",
        "5 documents: 1 valid, 4 not (4 problems)",
    ] {
        assert!(run.stdout.contains(part), "{part} in {}", run.stdout);
    }
    let nothing = Folder::new();
    let run = phoenix(&["validate", &nothing.path("")]);
    assert!(!run.ok && run.stdout.contains("holds no"), "{}", run.stdout);
}

#[test]
fn every_problem_of_every_document_is_a_line() {
    let folder = Folder::new();
    let text = "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: P }\nspec: { stages: [ {} ] }\n---\n\
                apiVersion: phoenix/v1\nkind: Pipelin\nmetadata: { name: q }\nspec: {}\n---\n\
                apiVersion: phoenix/v1\nkind: Assignment\nmetadata: { name: a }\nspec: { selectr: {}, pipeline: p }\n";
    let file = folder.write("all.yaml", text);
    let run = phoenix(&["validate", &file]);
    assert!(!run.ok);
    for place in [
        "metadata.name",
        "spec.stages[0].id",
        "spec.stages[0]",
        "kind",
    ] {
        let line = format!("{file}: {place}: ");
        assert!(
            run.stdout.lines().any(|l| l.starts_with(&line)),
            "{line} in\n{}",
            run.stdout
        );
    }
    assert!(run.stdout.contains("selectr"), "{}", run.stdout);
}

#[test]
fn json_tells_each_document() {
    let folder = Folder::new();
    let text = "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: p }\nspec: { stages: [] }\n---\nkind: Pipeline\n";
    let file = folder.write("two.yaml", text);
    let run = phoenix(&["validate", &file, "-o", "json"]);
    assert!(!run.ok);
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(found[0]["valid"], true);
    assert_eq!(found[0]["name"], "p");
    assert_eq!(found[0]["hash"].as_str().map(str::len), Some(64));
    assert_eq!(found[1]["valid"], false);
    assert!(
        found[1]["problems"]
            .as_array()
            .is_some_and(|p| p.len() >= 3),
        "{found}"
    );
}

#[test]
fn what_cannot_be_read_is_a_problem() {
    let folder = Folder::new();
    let binary = folder.write("b.yaml", [0xff, 0xfe, 0]);
    let nothing = folder.write("n.yaml", "# only a comment\n");
    let missing = folder.path("missing.yaml");
    let run = phoenix(&["validate", &binary, &nothing, &missing]);
    assert!(!run.ok);
    for words in ["UTF-8", "no document", "cannot be read"] {
        assert!(run.stdout.contains(words), "{}", run.stdout);
    }
}

/// As in `phoenix validate ... | head`, when the reader has gone.
#[test]
fn a_reader_that_goes_away_ends_a_command_without_a_word() {
    let folder = Folder::new();
    let pipeline = folder.write(
        "p.yaml",
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: p }\nspec: { stages: [] }\n",
    );
    let capture = folder.path("none.binpb");
    let commands: [&[&str]; 3] = [
        &["validate", &pipeline, "-o", "json"],
        &["prices", "list"],
        &["replay", "--pipeline", &pipeline, &capture],
    ];
    for (arguments, to_stdout) in commands.into_iter().zip([true, true, false]) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_phoenix"));
        command.args(arguments);
        let output = match to_stdout {
            true => command.stdout(writer).output(),
            // What is wrong with it goes to standard error.
            false => command.stderr(writer).output(),
        };
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {output:?}");
        assert_eq!(output.stdout.len() + output.stderr.len(), 0, "{output:?}");
    }
}

#[test]
fn an_error_of_the_system_is_told_once() {
    let folder = Folder::new();
    let pipeline = folder.write(
        "p.yaml",
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: p }\nspec: { stages: [] }\n",
    );
    let run = phoenix(&["replay", "--pipeline", &pipeline, &folder.path("none")]);
    assert_eq!(run.stderr.matches("os error").count(), 1, "{}", run.stderr);
}
