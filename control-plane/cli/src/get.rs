//! `get` and `history`: what the control plane holds.

use crate::client::Client;
use crate::output::{OutputArgs, count, hash, labels, named, rows, table, text};
use anyhow::{anyhow, bail};
use clap::Args;
use serde_json::Value;
use std::time::SystemTime;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    Pipeline,
    Assignment,
    Experiment,
    Agent,
    Event,
}

impl ObjectKind {
    /// Singular, plural and short names.
    pub fn parse(text: &str) -> anyhow::Result<ObjectKind> {
        Ok(match text.to_lowercase().as_str() {
            "pipeline" | "pipelines" | "p" => ObjectKind::Pipeline,
            "assignment" | "assignments" | "a" => ObjectKind::Assignment,
            "experiment" | "experiments" | "e" | "exp" => ObjectKind::Experiment,
            "agent" | "agents" | "node" | "nodes" => ObjectKind::Agent,
            "event" | "events" => ObjectKind::Event,
            _ => bail!("{text:?}: write pipeline, assignment, experiment, agent or events"),
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            ObjectKind::Pipeline => "pipeline",
            ObjectKind::Assignment => "assignment",
            ObjectKind::Experiment => "experiment",
            ObjectKind::Agent => "agent",
            ObjectKind::Event => "event",
        }
    }

    pub fn plural(self) -> &'static str {
        match self {
            ObjectKind::Pipeline => "pipelines",
            ObjectKind::Assignment => "assignments",
            ObjectKind::Experiment => "experiments",
            ObjectKind::Agent => "agents",
            ObjectKind::Event => "events",
        }
    }
}

/// Show pipelines, assignments, experiments, agents or events.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// pipelines, assignments, experiments, agents or events.
    #[arg(value_name = "KIND")]
    what: String,
    /// One of them.
    name: Option<String>,
    /// A version of a pipeline (hash or its beginning).
    #[arg(long)]
    hash: Option<String>,
    /// Events only: those since a time (2026-01-31T12:00:00Z) or for so long (10m, 2h).
    #[arg(long)]
    since: Option<String>,
    /// Events only: at most so many, the newest; 1000 by default, 10000 at most.
    #[arg(long)]
    limit: Option<u32>,
    /// Events only: those of this kind (experiment.phase), or of all that begin so (agent.*). Can be repeated.
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Events only: also experiment.window, one for each report of an agent, which is left out unless `--kind` covers
    /// it.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn get(client: &Client, args: &GetArgs) -> anyhow::Result<()> {
    let kind = ObjectKind::parse(&args.what)?;
    let mut path = format!("/{}", kind.plural());
    if let Some(name) = &args.name {
        if kind == ObjectKind::Event {
            bail!("events have no names: `phoenix get events`");
        }
        path.push_str(&format!("/{name}"));
    }
    if let Some(hash) = &args.hash {
        path.push_str(&format!("?hash={hash}"));
    }
    if kind == ObjectKind::Event {
        path.push_str(&range(args)?);
    } else if args.since.is_some() || args.limit.is_some() || args.all || !args.kind.is_empty() {
        bail!("--since, --limit, --kind and --all are for events");
    }
    let value = client.get(&path).await?;
    args.output.print(&value, |value| match (kind, &args.name) {
        (ObjectKind::Pipeline, Some(_)) => one_pipeline(value),
        (ObjectKind::Experiment, Some(_)) => crate::experiment::show(value),
        _ if value.is_array() => list(kind, rows(value)),
        _ => list(kind, std::slice::from_ref(value)),
    })
}

/// What nobody reads one by one.
const WINDOW: &str = "experiment.window";

/// The query of a list of events.
fn range(args: &GetArgs) -> anyhow::Result<String> {
    let mut query = format!("?limit={}", args.limit.unwrap_or(1000));
    if !args.kind.is_empty() {
        query.push_str(&format!("&kind={}", args.kind.join(",")));
    }
    let covers = |kind: &String| match kind.strip_suffix('*') {
        Some(begin) => WINDOW.starts_with(begin),
        None => kind == WINDOW,
    };
    if !args.all && !args.kind.iter().any(covers) {
        query.push_str(&format!("&except={WINDOW}"));
    }
    let Some(since) = &args.since else {
        return Ok(query);
    };
    let time = match humantime::parse_duration(since) {
        Ok(ago) => SystemTime::now() - ago,
        Err(_) => humantime::parse_rfc3339_weak(since)
            .map_err(|_| anyhow!("--since {since}: write 10m, 2h, or 2026-01-31T12:00:00Z"))?,
    };
    let time = humantime::format_rfc3339_millis(time);
    Ok(format!("{query}&since={time}"))
}

fn one_pipeline(value: &Value) -> String {
    format!(
        "# {} version {}, {}, by {}, {}\n{}",
        text(value, "/name"),
        text(value, "/version"),
        text(value, "/hash"),
        text(value, "/actor"),
        text(value, "/createdAt"),
        text(value, "/document"),
    )
}

fn list(kind: ObjectKind, values: &[Value]) -> String {
    if values.is_empty() {
        return format!("no {}", kind.plural());
    }
    let of = |cells: fn(&Value) -> Vec<String>| values.iter().map(cells);
    match kind {
        ObjectKind::Pipeline => table(
            &["name", "version", "hash", "created", "by", "description"],
            of(|v| {
                vec![
                    text(v, "/name"),
                    text(v, "/version"),
                    hash(v, "/hash"),
                    text(v, "/createdAt"),
                    text(v, "/actor"),
                    text(v, "/description"),
                ]
            }),
        ),
        ObjectKind::Assignment => {
            let barred = crate::quarantine::still_assigned(values, "/hash", "/quarantined");
            let all = table(
                &["name", "selector", "pipeline", "priority", "updated"],
                of(|v| {
                    vec![
                        text(v, "/name"),
                        match labels(v, "/spec/selector/matchLabels").as_str() {
                            "-" => "all agents".into(),
                            some => some.into(),
                        },
                        pipeline(v, "/spec/pipeline"),
                        text(v, "/spec/priority"),
                        text(v, "/updatedAt"),
                    ]
                }),
            );
            all + &barred
        }
        ObjectKind::Experiment => table(
            &[
                "name", "phase", "mode", "verdict", "windows", "started", "reason",
            ],
            of(|v| {
                vec![
                    text(v, "/name"),
                    text(v, "/phase"),
                    text(v, "/step"),
                    text(v, "/verdict/outcome"),
                    count(v, "/verdict/windows/used"),
                    text(v, "/startedAt"),
                    text(v, "/reason"),
                ]
            }),
        ),
        ObjectKind::Agent => crate::agents::list(values, None),
        ObjectKind::Event => table(
            &["sequence", "time", "object", "kind", "actor"],
            of(|v| {
                vec![
                    text(v, "/sequence"),
                    text(v, "/time"),
                    text(v, "/object"),
                    text(v, "/kind"),
                    text(v, "/actor"),
                ]
            }),
        ),
    }
}

/// What it leads to; `pinned`: written as a hash, so that a new version of the name does not move it.
fn pipeline(value: &Value, written: &str) -> String {
    let version = named(value, "/pipelineName", "/hash");
    match phoenix_control_plane::documents::is_hash(&text(value, written)) {
        true => format!("{version} pinned"),
        false => version,
    }
}

/// What an assignment led to, or the versions of a pipeline; newest first.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Name of an assignment (or pipeline/NAME).
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn history(client: &Client, args: &HistoryArgs) -> anyhow::Result<()> {
    if let Some(name) = args.name.strip_prefix("pipeline/") {
        let value = client.get(&format!("/pipelines/{name}/versions")).await?;
        return args
            .output
            .print(&value, |v| list(ObjectKind::Pipeline, rows(v)));
    }
    let name = args.name.trim_start_matches("assignment/");
    let value = client.get(&format!("/assignments/{name}/history")).await?;
    args.output.print(&value, |value| {
        table(
            &["time", "pipeline", "priority", "cause", "by"],
            rows(value).iter().map(|v| {
                vec![
                    text(v, "/time"),
                    pipeline(v, "/pipeline"),
                    text(v, "/priority"),
                    text(v, "/cause"),
                    text(v, "/actor"),
                ]
            }),
        )
    })
}
