//! `apply`, `diff` and `delete`.

use crate::client::{Client, Refused};
use crate::documents::{self, Document, Kind};
use anyhow::{Context, bail};
use clap::Args;
use reqwest::Method;
use serde_json::Value;
use similar::TextDiff;
use std::path::PathBuf;

/// Apply documents: Pipeline, Assignment, Experiment.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A file (several documents parted by `---` are fine), a folder, or - for standard input.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Check only; change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub async fn apply(client: &Client, args: &ApplyArgs) -> anyhow::Result<()> {
    let documents = documents::read(&args.files)?;
    let mut failed = 0;
    for document in &documents {
        match send(client, document, args.dry_run).await {
            Ok(line) => println!("{line}"),
            Err(e) if e.downcast_ref::<Refused>().is_some() => {
                failed += 1;
                eprintln!("{}: {e}", document.origin);
            }
            Err(e) => return Err(e),
        }
    }
    if failed > 0 {
        bail!("{failed} of {} documents were refused", documents.len());
    }
    Ok(())
}

async fn send(client: &Client, document: &Document, dry_run: bool) -> anyhow::Result<String> {
    let named = format!("{}/{}", document.kind.name(), document.name);
    if document.kind == Kind::Pipeline {
        let path = if dry_run {
            "/pipelines?dryRun=true"
        } else {
            "/pipelines"
        };
        let (_, body) = client.document(Method::POST, path, &document.text).await?;
        let what = match (body["created"].as_bool(), dry_run) {
            (Some(true), false) => "created",
            (Some(true), true) => "would be created",
            _ => "unchanged",
        };
        let (version, hash) = (&body["version"], crate::output::hash(&body, "/hash"));
        return Ok(format!("{named} {what} (version {version}, {hash})"));
    }
    if dry_run {
        if let Ok(read) = phoenix_control_plane::documents::parse_experiment(&document.text) {
            for warning in crate::books::warnings(&read.spec) {
                eprintln!("{named}: warning: {warning}");
            }
        }
        return Ok(format!("{named} is valid (checked here, not sent)"));
    }
    let path = format!("/{}/{}", document.kind.plural(), document.name);
    let (status, body) = client.document(Method::PUT, &path, &document.text).await?;
    let what = if status == 201 { "created" } else { "applied" };
    for warning in crate::output::rows(&body["warnings"]) {
        if let Some(warning) = warning.as_str() {
            eprintln!("{named}: warning: {warning}");
        }
    }
    Ok(match document.kind {
        Kind::Experiment if body["phase"] == "Pending" => format!(
            "{named} {what} (Pending); `phoenix experiment start {}` starts it",
            document.name
        ),
        Kind::Experiment => format!(
            "{named} unchanged ({}, step {}); `phoenix experiment status {}` shows it",
            crate::output::text(&body, "/phase"),
            crate::output::text(&body, "/step"),
            document.name
        ),
        _ => format!("{named} {what} ({})", crate::output::hash(&body, "/hash")),
    })
}

/// What would change: documents against the server, or two versions of a pipeline.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// File, folder or - with documents to compare with the server.
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "versions")]
    files: Vec<PathBuf>,
    /// Two hashes (or their beginnings) of pipeline versions.
    #[arg(value_name = "HASH", num_args = 2, required_unless_present = "files")]
    versions: Vec<String>,
    /// Exit with 1 if there is a difference.
    #[arg(long)]
    exit_code: bool,
}

/// True: there is a difference, and the caller asked for an exit code.
pub async fn diff(client: &Client, args: &DiffArgs) -> anyhow::Result<bool> {
    let mut differs = false;
    if let [from, to] = args.versions.as_slice() {
        let (from, to) = (version(client, from).await?, version(client, to).await?);
        differs = show(&from, &to);
    } else {
        for document in documents::read(&args.files)? {
            let there = on_server(client, &document).await?;
            let here = (document.origin.clone(), normal(&document)?);
            differs |= show(&there, &here);
        }
    }
    if !differs {
        println!("no difference");
    }
    Ok(differs && args.exit_code)
}

/// Prints a unified diff. True: there was one.
fn show(from: &(String, String), to: &(String, String)) -> bool {
    if from.1 == to.1 {
        return false;
    }
    let diff = TextDiff::from_lines(&from.1, &to.1);
    print!("{}", diff.unified_diff().header(&from.0, &to.0));
    true
}

/// A pipeline version by the beginning of its hash, whatever pipeline it belongs to.
async fn version(client: &Client, prefix: &str) -> anyhow::Result<(String, String)> {
    let pipelines = client.get("/pipelines").await?;
    let mut found = Vec::new();
    for name in crate::output::rows(&pipelines) {
        let name = name["name"].as_str().unwrap_or_default();
        let versions = client.get(&format!("/pipelines/{name}/versions")).await?;
        for version in crate::output::rows(&versions) {
            let hash = version["hash"].as_str().unwrap_or_default();
            if hash.starts_with(prefix) {
                found.push((name.to_owned(), hash.to_owned()));
            }
        }
    }
    match found.as_slice() {
        [] => bail!("no pipeline version has a hash that begins with {prefix}"),
        [(name, hash)] => {
            let body = client
                .get(&format!("/pipelines/{name}?hash={hash}"))
                .await?;
            let text = body["document"]
                .as_str()
                .context("the server gave no document")?;
            Ok((
                format!("{name} {}", crate::output::hash(&body, "/hash")),
                text.to_owned(),
            ))
        }
        many => bail!(
            "{} versions begin with {prefix}: write more of the hash",
            many.len()
        ),
    }
}

/// What the server holds under the document's name, in the same form; empty where there is nothing.
async fn on_server(client: &Client, document: &Document) -> anyhow::Result<(String, String)> {
    let named = format!("server {}/{}", document.kind.name(), document.name);
    let path = format!("/{}/{}", document.kind.plural(), document.name);
    let body = match client.get(&path).await {
        Ok(body) => body,
        Err(e) if e.downcast_ref::<Refused>().is_some_and(|r| r.status == 404) => {
            return Ok((format!("{named} (not there)"), String::new()));
        }
        Err(e) => return Err(e),
    };
    let text = match document.kind {
        // The same content is no difference, whatever its comments.
        Kind::Pipeline if body["hash"].as_str() == document.hash.as_deref() => normal(document)?,
        Kind::Pipeline => body["document"].as_str().unwrap_or_default().to_owned(),
        Kind::Assignment => serde_yaml::to_string(&sorted(&body["spec"]))?,
        Kind::Experiment => {
            let spec = body.pointer("/document/spec").unwrap_or(&Value::Null);
            serde_yaml::to_string(&sorted(spec))?
        }
    };
    Ok((named, text))
}

/// A document in the form in which it is compared: the text of a pipeline, else its spec with defaults.
fn normal(document: &Document) -> anyhow::Result<String> {
    use phoenix_control_plane::documents::{parse_assignment, parse_experiment};
    let spec = match document.kind {
        Kind::Pipeline => return Ok(document.text.clone()),
        Kind::Assignment => parse_assignment(&document.text).map(|d| serde_json::to_value(d.spec)),
        Kind::Experiment => {
            parse_experiment(&document.text).map(|d| serde_json::to_value(d.spec.settled()))
        }
    };
    let spec = spec.map_err(|_| anyhow::anyhow!("{} is not valid", document.origin))??;
    Ok(serde_yaml::to_string(&sorted(&spec))?)
}

/// JSON objects are kept in order of their keys, so both sides have the same one.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(b.0));
            pairs
                .into_iter()
                .map(|(k, v)| (k.clone(), sorted(v)))
                .collect()
        }
        Value::Array(all) => all.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// Delete an object, or what documents name.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// pipeline, assignment, experiment or agent.
    #[arg(required_unless_present = "files")]
    kind: Option<String>,
    #[arg(required_unless_present = "files")]
    name: Option<String>,
    /// Delete what these documents name.
    #[arg(short, long = "file", value_name = "FILE", conflicts_with_all = ["kind", "name"])]
    files: Vec<PathBuf>,
}

pub async fn delete(client: &Client, args: &DeleteArgs) -> anyhow::Result<()> {
    let mut meant = Vec::new();
    if let (Some(kind), Some(name)) = (&args.kind, &args.name) {
        let kind = crate::get::ObjectKind::parse(kind)?;
        meant.push((kind.name(), kind.plural(), name.clone()));
    } else {
        // What leads to others goes first.
        for document in documents::read(&args.files)?.into_iter().rev() {
            meant.push((document.kind.name(), document.kind.plural(), document.name));
        }
    }
    for (kind, plural, name) in meant {
        client.delete(&format!("/{plural}/{name}")).await?;
        println!("{kind}/{name} deleted");
    }
    Ok(())
}
