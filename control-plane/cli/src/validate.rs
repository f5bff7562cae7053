//! `phoenix validate`: documents are checked without a server, with the parsers that the server uses.

use crate::{books, documents};
use clap::{Args, ValueEnum};
use phoenix_analysis::prices;
use phoenix_control_plane::documents::{parse_assignment, parse_experiment};
use phoenix_engine::document::{Problem, kind_of, split_documents};
use phoenix_engine::yaml;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check documents (Pipeline, Assignment, Experiment, PriceBook) and print every problem; exits 1 where there is one.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Files with one document or several, parted by `---`; folders, of which every .yaml, .yml and .json file is
    /// checked (folders in them are not entered); `-`: standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How the result is printed.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Yaml,
}

/// One document of one file.
#[derive(Debug)]
struct Checked {
    file: PathBuf,
    kind: Option<String>,
    name: Option<String>,
    hash: Option<String>,
    problems: Vec<Problem>,
    /// No mistakes, and likely not what was meant.
    warnings: Vec<Problem>,
}

/// Checks and prints; the exit code is 1 when anything is wrong.
///
/// # Errors
/// The result cannot be printed.
pub fn run(args: &ValidateArgs) -> anyhow::Result<ExitCode> {
    let checked: Vec<Checked> = args
        .files
        .iter()
        .flat_map(|file| match documents::meant(file) {
            Ok(files) => files.iter().flat_map(|file| check_file(file)).collect(),
            Err(error) => vec![failed(file, format!("{error:#}"))],
        })
        .collect();
    match args.output {
        Format::Text => {
            checked.iter().for_each(print);
            if checked.len() > 1 {
                println!("{}", summary(&checked));
            }
        }
        Format::Json => println!("{}", serde_json::to_string_pretty(&json(&checked))?),
        Format::Yaml => print!("{}", serde_yaml::to_string(&json(&checked))?),
    }
    let wrong = checked.iter().any(|c| !c.problems.is_empty());
    Ok(ExitCode::from(u8::from(wrong)))
}

fn check_file(file: &Path) -> Vec<Checked> {
    let failed = |message: String| vec![failed(file, message)];
    let text = match documents::bytes(file) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                return failed(format!("not a text: no UTF-8 at byte {at}"));
            }
        },
        Err(error) => return failed(format!("cannot be read: {error}")),
    };
    let documents = split_documents(&text);
    if documents.is_empty() {
        return failed("the file holds no document".into());
    }
    documents.iter().map(|text| check(file, text)).collect()
}

/// Something of which no document could be read.
fn failed(file: &Path, message: String) -> Checked {
    Checked {
        file: file.to_path_buf(),
        kind: None,
        name: None,
        hash: None,
        problems: vec![Problem::new("", message)],
        warnings: Vec::new(),
    }
}

fn summary(checked: &[Checked]) -> String {
    let wrong: Vec<usize> = checked
        .iter()
        .map(|c| c.problems.len())
        .filter(|n| *n > 0)
        .collect();
    let all = count(checked.len(), "document");
    match wrong.as_slice() {
        [] => format!("{all}, all valid"),
        some => format!(
            "{all}: {} valid, {} not ({})",
            checked.len() - some.len(),
            some.len(),
            count(some.iter().sum(), "problem")
        ),
    }
}

fn check(file: &Path, text: &str) -> Checked {
    let mut checked = Checked {
        file: file.to_path_buf(),
        kind: kind_of(text),
        name: name_of(text),
        hash: None,
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let problems = match checked.kind.as_deref() {
        Some("Assignment") => parse_assignment(text).err(),
        Some("Experiment") => {
            let read = books::included(text, file).and_then(|text| parse_experiment(&text));
            match read {
                Ok(document) => {
                    checked.warnings = document.spec.warnings();
                    None
                }
                Err(problems) => Some(problems),
            }
        }
        Some("PriceBook") => prices::read(text).err(),
        Some(other) if other != "Pipeline" => Some(vec![Problem::new(
            "kind",
            format!("`{other}` is not known: write Pipeline, Assignment, Experiment or PriceBook"),
        )]),
        None => Some(match yaml::read(text) {
            Ok(node) => vec![documents::no_kind(
                &node,
                "Pipeline, Assignment, Experiment or PriceBook",
            )],
            Err(problems) => problems,
        }),
        _ => match phoenix_engine::compile::compile(text) {
            Ok(pipeline) => {
                checked.hash = Some(pipeline.hash.clone());
                None
            }
            Err(problems) => Some(problems),
        },
    };
    checked.problems = problems.unwrap_or_default();
    checked
}

fn name_of(text: &str) -> Option<String> {
    match yaml::read(text).ok()?.get("metadata")?.get("name")? {
        yaml::Node::Text(name) => Some(name.clone()),
        _ => None,
    }
}

fn print(checked: &Checked) {
    for problem in &checked.problems {
        println!("{}", line(&checked.file, problem));
    }
    for warning in &checked.warnings {
        println!("{} (warning)", line(&checked.file, warning));
    }
    if checked.problems.is_empty() {
        let kind = checked.kind.as_deref().unwrap_or_default();
        let name = checked.name.as_deref().unwrap_or_default();
        let hash = checked
            .hash
            .as_deref()
            .map_or(String::new(), |h| format!(" {h}"));
        println!(
            "{}: {kind} {name} is valid{hash}",
            documents::called(&checked.file)
        );
    }
}

fn json(checked: &[Checked]) -> Value {
    checked
        .iter()
        .map(|c| {
            json!({
                "file": c.file,
                "kind": c.kind,
                "name": c.name,
                "hash": c.hash,
                "valid": c.problems.is_empty(),
                "problems": c.problems,
                "warnings": c.warnings,
            })
        })
        .collect()
}

/// `file: path: message`.
pub fn line(file: &Path, problem: &Problem) -> String {
    format!("{}: {problem}", documents::called(file))
}

/// A line for each problem.
pub fn lines(file: &Path, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|p| line(file, p)).collect();
    lines.join("\n")
}

/// `1 problem`, `2 problems`.
pub fn count(number: usize, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}
