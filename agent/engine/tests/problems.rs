//! `docs/problems.md`: every problem of a pipeline document, made from examples that have them.
//!
//! `problems/*.yaml` hold the examples: a stage, stages, a rule, a whole document, a split, or a scope. Each is
//! compiled; what it says is a row of the page. A message in the sources that no example brings about
//! fails a test, and so does a page that has drifted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use phoenix_engine::compile::{Candidate, Division, Pipeline, Plan, compile};
use phoenix_engine::document::{Problem, parse_matchers};
use regex::Regex;
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    /// Place in the page.
    order: usize,
    title: String,
    examples: Vec<Example>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Example {
    /// The action of a stage.
    Stage(String),
    /// A list of stages, in flow style.
    Stages(String),
    /// A rule of a filter's `drop`.
    Rule(String),
    /// A whole document.
    Document(String),
    /// A text that is written so often.
    Repeated { text: String, times: usize },
    /// The candidate's stage, and how a split divides.
    Split {
        stage: String,
        entity: Vec<String>,
        percent: f64,
    },
    /// The candidate's stage, and the rules of an experiment's scope.
    Scope { stage: String, scope: String },
}

fn document(stages: &str) -> String {
    format!(
        "{{apiVersion: phoenix/v1, kind: Pipeline, metadata: {{name: p}}, spec: {{stages: {stages}}}}}"
    )
}

fn stage(action: &str) -> String {
    document(&format!("[{{id: s0, {action}}}]"))
}

impl Example {
    /// As it stands on the page.
    fn shown(&self) -> String {
        match self {
            Example::Stage(text)
            | Example::Stages(text)
            | Example::Rule(text)
            | Example::Document(text) => code(text),
            Example::Repeated { text, times } => format!("{} × {times}", code(text)),
            Example::Split {
                stage,
                entity,
                percent,
            } => format!(
                "{}, split by {} at {percent} %",
                code(stage),
                code(&format!("[{}]", entity.join(", ")))
            ),
            Example::Scope { stage, scope } => {
                format!("{}, scope {}", code(stage), code(scope))
            }
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let of = |text: &str| compile(text).err().unwrap_or_default();
        match self {
            Example::Stage(text) => of(&stage(text)),
            Example::Stages(text) => of(&document(text)),
            Example::Rule(text) => of(&stage(&format!("filter: {{drop: [{text}]}}"))),
            Example::Document(text) => of(text),
            Example::Repeated { text, times } => of(&text.repeat(*times)),
            Example::Split {
                stage: action,
                entity,
                percent,
            } => {
                let candidate = Candidate {
                    pipeline: compile(&stage(action)).expect("a right pipeline"),
                    experiment: "e".into(),
                    division: Division::Split {
                        entity: entity.clone(),
                        percent: *percent,
                    },
                    protect: Vec::new(),
                    scope: Vec::new(),
                };
                Plan::new(Pipeline::pass_through(), Some(candidate))
                    .err()
                    .unwrap_or_default()
            }
            Example::Scope {
                stage: action,
                scope,
            } => {
                let candidate = Candidate {
                    pipeline: compile(&stage(action)).expect("a right pipeline"),
                    experiment: "e".into(),
                    division: Division::Shadow,
                    protect: Vec::new(),
                    scope: parse_matchers(scope).expect("right rules"),
                };
                Plan::new(Pipeline::pass_through(), Some(candidate))
                    .err()
                    .unwrap_or_default()
            }
        }
    }
}

/// A cell of a table: one line, bars escaped.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn code(text: &str) -> String {
    let text = text.trim().replace('\n', "⏎");
    let ticks = if text.contains('`') { "``" } else { "`" };
    if text.is_empty() {
        "(nothing)".into()
    } else {
        format!("{ticks}{}{ticks}", cell(&text))
    }
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn sections() -> Vec<Section> {
    let entries = std::fs::read_dir(folder("tests/problems")).unwrap();
    let mut sections: Vec<Section> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            // By way of JSON, which writes a variant as a mapping of one key.
            let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
            serde_json::from_value(value).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
        .collect();
    sections.sort_by(|a, b| (a.order, &a.title).cmp(&(b.order, &b.title)));
    sections
}

const HEAD: &str = "<!-- Made from agent/engine/tests/problems by `make generate`. -->

# Problems of a pipeline document

`phoenix validate`, `phoenix apply` and the agent say all problems of a document at once, each with the path of the place and what to write
instead. This page is made from the code: each example is compiled, and what it says is shown. A document with a problem changes nothing: the
plan that runs goes on.
";

fn page(sections: &[Section]) -> String {
    let mut text = String::from(HEAD);
    for section in sections {
        text += &format!(
            "\n## {}\n\n| written | path | problem, and what to do |\n|---|---|---|\n",
            section.title
        );
        for example in &section.examples {
            let problems = example.problems();
            assert!(!problems.is_empty(), "no problem: {}", example.shown());
            for problem in problems {
                let path = match problem.path.as_str() {
                    "" => "(document)".into(),
                    path => code(path),
                };
                text += &format!(
                    "| {} | {path} | {} |\n",
                    example.shown(),
                    cell(&problem.message)
                );
            }
        }
    }
    text
}

#[test]
fn the_page_is_up_to_date() {
    let path = folder("../../docs/problems.md");
    let page = page(&sections());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/problems.md has drifted: run `UPDATE=1 cargo test -p phoenix-engine --test problems`"
    );
}

/// Where documents are read and compiled. Other documents than pipelines are read by `typed`,
/// in the words of `words`.
const SOURCES: [&str; 8] = [
    "document",
    "document.rs",
    "compile",
    "compile.rs",
    "matcher",
    "matcher.rs",
    "yaml",
    "yaml.rs",
];
const NOT_READ: [&str; 5] = ["tests", "tests.rs", "schema.rs", "typed.rs", "words.rs"];
/// Descriptions in the JSON Schema.
const NO_MESSAGES: [&str; 2] = ["Exact text, a glob", "A length of time:"];

fn rust_files(path: &Path, all: &mut Vec<PathBuf>) {
    if NOT_READ.iter().any(|name| path.ends_with(name)) {
        return;
    }
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            rust_files(&entry.unwrap().path(), all);
        }
    } else {
        all.push(path.to_path_buf());
    }
}

/// Texts of at least three words in a source: its messages and the parts of them.
fn messages(source: &str) -> Vec<String> {
    let code: Vec<&str> = source
        .split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', '/']))
        .collect();
    let text = Regex::new(r#"(?s)"((?:[^"\\]|\\.)*)""#).unwrap();
    let broken = Regex::new(r"\\\n\s*").unwrap();
    let code = code.join("\n");
    text.captures_iter(&code)
        .map(|found| {
            broken
                .replace_all(&found[1], "")
                .replace("\\\"", "\"")
                .replace("\\\\", "\\")
        })
        .filter(|text| text.split_whitespace().count() >= 3)
        .filter(|text| !NO_MESSAGES.iter().any(|start| text.starts_with(start)))
        .collect()
}

/// Whether a text stands in a message, as it is or with its places filled.
fn stands_in(text: &str, said: &[String]) -> bool {
    let place = Regex::new(r"\\\{[A-Za-z_.:?]*\\\}").unwrap();
    // `{{` and `}}` are braces, `{..}` are places.
    let marked = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let filled = place
        .replace_all(&regex::escape(&marked), "(?s:.*)")
        .into_owned();
    let filled = filled.replace('\u{1}', r"\{").replace('\u{2}', r"\}");
    let filled = Regex::new(&filled).unwrap();
    said.iter()
        .any(|message| message.contains(text) || filled.is_match(message))
}

#[test]
fn every_message_in_the_sources_has_an_example() {
    let said: Vec<String> = sections()
        .iter()
        .flat_map(|section| &section.examples)
        .flat_map(Example::problems)
        .map(|problem| problem.message)
        .collect();
    let mut files = Vec::new();
    for source in SOURCES {
        rust_files(&folder("src").join(source), &mut files);
    }
    let mut without = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        for text in messages(&source) {
            if !stands_in(&text, &said) {
                without.push(format!("{}: {text}", file.display()));
            }
        }
    }
    assert!(
        without.is_empty(),
        "add an example to tests/problems for each of:\n{}",
        without.join("\n")
    );
}

/// Pages of the stages, whose examples are lists of stages, or documents from `stages:` on.
#[test]
fn every_example_on_the_pages_of_the_stages_compiles() {
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/stages");
    let mut examples = 0;
    for page in std::fs::read_dir(pages).unwrap() {
        let page = page.unwrap().path();
        let text = std::fs::read_to_string(&page).unwrap();
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let spec = match block.starts_with("- ") {
                true => format!("stages:\n{block}"),
                false => block.to_string(),
            };
            let spec = spec.replace('\n', "\n  ");
            let head = "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: p }\n";
            let document = match block.starts_with("apiVersion") {
                true => block.to_string(),
                false => format!("{head}spec:\n  {spec}\n"),
            };
            if let Err(problems) = compile(&document) {
                panic!("{}:\n{block}\n{problems:#?}", page.display());
            }
            examples += 1;
        }
    }
    assert!(examples >= 10, "{examples}");
}
