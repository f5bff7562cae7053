//! Documents from files, folders and standard input: read whole, parted, and checked before anything
//! is sent, so that every mistake is told at once with its file.

use crate::books;
use anyhow::{Context, bail};
use phoenix_control_plane::documents::{parse_assignment, parse_experiment};
use phoenix_engine::document::Problem;
use phoenix_engine::{compile, yaml};
use std::io::Read;
use std::path::{Path, PathBuf};

/// In the order in which they are applied: what others lead to comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Pipeline,
    Assignment,
    Experiment,
}

impl Kind {
    /// As in messages: `pipeline/NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pipeline => "pipeline",
            Kind::Assignment => "assignment",
            Kind::Experiment => "experiment",
        }
    }

    /// As in the API's paths.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Pipeline => "pipelines",
            Kind::Assignment => "assignments",
            Kind::Experiment => "experiments",
        }
    }
}

/// One document without mistakes of its own.
#[derive(Debug, Clone)]
pub struct Document {
    pub kind: Kind,
    pub name: String,
    pub text: String,
    /// `FILE`, or `FILE (document 2)`.
    pub origin: String,
    /// Of a pipeline.
    pub hash: Option<String>,
}

/// Reads and checks all documents, pipelines first.
///
/// # Errors
/// Every mistake, each with file and path.
pub fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Document>> {
    let mut documents: Vec<Document> = Vec::new();
    let mut mistakes = Vec::new();
    for (file, text) in texts(files)? {
        let parts = yaml::split_documents(&text);
        let many = parts.len() > 1;
        for (i, part) in parts.into_iter().enumerate() {
            let origin = if many {
                format!("{file} (document {})", i + 1)
            } else {
                file.clone()
            };
            let read = books::included(&part, Path::new(&file));
            match read.and_then(|part| Ok((check(&part)?, part))) {
                Ok(((kind, name, hash), part)) => {
                    let of_that_name = |d: &&Document| d.kind == kind && d.name == name;
                    if let Some(first) = documents.iter().find(of_that_name) {
                        mistakes.push(format!(
                            "{origin}: metadata.name: {}/{name} is in {}, too: give each a name of its own, or give one \
                             of them",
                            kind.name(),
                            first.origin
                        ));
                    }
                    documents.push(Document {
                        kind,
                        name,
                        text: part,
                        origin,
                        hash,
                    });
                }
                Err(problems) => mistakes.extend(problems.iter().map(|p| told(&origin, p))),
            }
        }
    }
    if !mistakes.is_empty() {
        bail!("nothing was sent:\n  {}", mistakes.join("\n  "));
    }
    if documents.is_empty() {
        bail!("no document found");
    }
    documents.sort_by_key(|d| d.kind);
    Ok(documents)
}

fn told(origin: &str, problem: &Problem) -> String {
    if problem.path.is_empty() {
        format!("{origin}: {}", problem.message)
    } else {
        format!("{origin}: {}: {}", problem.path, problem.message)
    }
}

fn check(text: &str) -> Result<(Kind, String, Option<String>), Vec<Problem>> {
    match yaml::kind_of(text).as_deref() {
        Some("Pipeline") => {
            let pipeline = compile::compile(text)?;
            Ok((
                Kind::Pipeline,
                pipeline.name.clone(),
                Some(pipeline.hash.clone()),
            ))
        }
        Some("Assignment") => {
            let document = parse_assignment(text)?;
            Ok((Kind::Assignment, document.metadata.name, None))
        }
        Some("Experiment") => {
            let document = parse_experiment(text)?;
            Ok((Kind::Experiment, document.metadata.name, None))
        }
        other => Err(match (yaml::read(text), other) {
            (Err(problems), _) => problems,
            (Ok(node), None) => vec![no_kind(&node, "Pipeline, Assignment or Experiment")],
            (_, Some("PriceBook")) => vec![Problem::new(
                "kind",
                "a price book is not applied: give it to an experiment as spec.goal.priceBook",
            )],
            (_, Some(kind)) => vec![Problem::new(
                "kind",
                format!("{kind:?}: write Pipeline, Assignment or Experiment"),
            )],
        }),
    }
}

/// What is wrong with a `kind` that is not there, or is no text.
pub fn no_kind(document: &yaml::Node, known: &str) -> Problem {
    let wrong = match document.get("kind") {
        None | Some(yaml::Node::Null) => "is missing".into(),
        Some(other) => format!("expected a text, found {}", other.what()),
    };
    Problem::new("kind", format!("{wrong}: write {known}"))
}

/// Name and text of every file that is meant.
fn texts(files: &[PathBuf]) -> anyhow::Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for file in files {
        for file in meant(file)? {
            let name = called(&file);
            let text = bytes(&file)
                .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
            let text = text.with_context(|| format!("cannot read {name}"))?;
            texts.push((name, text));
        }
    }
    Ok(texts)
}

/// What a file holds; `-`: standard input.
pub fn bytes(file: &Path) -> std::io::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file)
}

/// What people are told of where it came from.
pub fn called(file: &Path) -> String {
    match file.as_os_str() == "-" {
        true => "standard input".into(),
        false => file.display().to_string(),
    }
}

/// The file, or the documents of a folder, by name; folders in it are not entered.
///
/// # Errors
/// The folder cannot be read, or holds none.
pub fn meant(file: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !file.is_dir() {
        return Ok(vec![file.to_path_buf()]);
    }
    let mut files = Vec::new();
    let entries = std::fs::read_dir(file)
        .with_context(|| format!("cannot read the folder {}", file.display()))?;
    for entry in entries {
        let path = entry?.path();
        let known = path
            .extension()
            .is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if known && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{} holds no .yaml, .yml or .json file", file.display());
    }
    files.sort();
    Ok(files)
}
