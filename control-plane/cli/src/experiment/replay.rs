//! `experiment replay`: both pipelines of an experiment over captures, in event time, with the engine of the
//! agent; the windows go to the step that waits for them.

use super::path;
use crate::client::Client;
use crate::output::text;
use crate::replay::captures;
use anyhow::{Context, anyhow, bail};
use clap::Args;
use phoenix_agent::control::convert;
use phoenix_analysis::Window;
use phoenix_control_plane::documents::ExperimentSpec;
use phoenix_control_plane::driver::reports;
use phoenix_engine::Nanos;
use phoenix_engine::compile::{self, Candidate, Division, Pipeline, Plan};
use phoenix_engine::document::{Matcher, parse_matchers};
use phoenix_engine::engine::{Engine, Limits, Settings, latest_time};
use phoenix_engine::query::Queries;
use phoenix_engine::report::Report;
use phoenix_proto::control as proto;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Args)]
pub struct ReplayArgs {
    name: String,
    /// Captures of the Collector's file exporter (protobuf or JSON, plain or zstd); several are merged by
    /// time.
    #[arg(required = true, value_name = "CAPTURE")]
    captures: Vec<PathBuf>,
}

pub async fn run(client: &Client, args: &ReplayArgs) -> anyhow::Result<()> {
    let e = client.get(&path(&args.name, "")).await?;
    let both = Both {
        baseline: match e["baselineHash"].as_str() {
            Some(hash) => pipeline(client, hash).await?,
            None => Pipeline::pass_through(),
        },
        candidate: pipeline(client, &text(&e, "/candidateHash")).await?,
        id: text(&e, "/id"),
        protect: matchers(&e, "guardrails/protect")?,
        scope: matchers(&e, "scope/match")?,
        queries: queries(&e)?,
        window: window(&e)?,
    };
    let windows = both.replay(&args.captures)?;
    if windows.is_empty() {
        bail!("the captures have no point");
    }
    let count = windows.len();
    let body = serde_json::to_value(&windows)?;
    let done = client.put(&path(&args.name, "/evidence"), &body).await?;
    println!(
        "experiment/{} {} windows of {} captures: {}",
        args.name,
        count,
        args.captures.len(),
        text(&done, "/phase")
    );
    Ok(())
}

async fn pipeline(client: &Client, hash: &str) -> anyhow::Result<Arc<Pipeline>> {
    let all = client.get("/pipelines").await?;
    let named = crate::output::rows(&all).iter().map(|p| text(p, "/name"));
    for name in named.collect::<Vec<_>>() {
        let versions = client.get(&format!("/pipelines/{name}/versions")).await?;
        let version = crate::output::rows(&versions)
            .iter()
            .find(|v| v["hash"] == hash);
        if version.is_some() {
            let found = client
                .get(&format!("/pipelines/{name}?hash={hash}"))
                .await?;
            let document = text(&found, "/document");
            return compile::compile(&document).map_err(|problems| {
                anyhow!("pipeline {name} does not compile here: {problems:?}")
            });
        }
    }
    bail!("there is no pipeline {hash}")
}

fn matchers(e: &Value, field: &str) -> anyhow::Result<Vec<Matcher>> {
    let written = e.pointer(&format!("/document/spec/{field}"));
    let text = written.map_or_else(|| "[]".into(), Value::to_string);
    parse_matchers(&text).map_err(|problems| anyhow!("{field}: {problems:?}"))
}

/// What is evaluated on both arms' outputs, as agents would.
fn queries(e: &Value) -> anyhow::Result<Queries> {
    let spec = e.pointer("/document/spec").cloned().unwrap_or_default();
    let spec: ExperimentSpec = serde_json::from_value(spec).context("the experiment's document")?;
    Ok(spec.asked().inner)
}

/// Nanoseconds.
fn window(e: &Value) -> anyhow::Result<Nanos> {
    let written = text(e, "/document/spec/window");
    let length =
        humantime::parse_duration(&written).with_context(|| format!("window {written}"))?;
    Ok(Nanos::try_from(length.as_nanos())?.max(1))
}

/// What is replayed.
struct Both {
    baseline: Arc<Pipeline>,
    candidate: Arc<Pipeline>,
    id: String,
    protect: Vec<Matcher>,
    scope: Vec<Matcher>,
    queries: Queries,
    window: Nanos,
}

impl Both {
    /// Windows in event time, cut where an agent would cut them. The first begins in the middle and the last
    /// ends there: neither is compared.
    fn replay(&self, files: &[PathBuf]) -> anyhow::Result<Vec<Window>> {
        let began = captures::began(files)?;
        let settings = Settings {
            node: "replay".into(),
            began,
            limits: Limits {
                series: crate::replay::SERIES,
                elements: usize::MAX,
                ..Limits::default()
            },
            ..Settings::default()
        };
        let candidate = Candidate {
            pipeline: self.candidate.clone(),
            experiment: self.id.clone(),
            division: Division::Shadow,
            protect: self.protect.clone(),
            scope: self.scope.clone(),
        };
        let plan = Plan::new(self.baseline.clone(), Some(candidate))
            .map_err(|problems| anyhow!("the pipelines cannot run side by side: {problems:?}"))?
            .asked(self.queries.clone())
            .map_err(|problems| anyhow!("guardrails.queries: {problems:?}"))?;
        let mut engine = Engine::new(settings, plan, began);
        let (mut windows, mut now) = (Vec::new(), began);
        let mut start = began - began % self.window;
        captures::each(files, |message| {
            let time = latest_time(message)?.unwrap_or_default();
            now = now.max(time);
            while now >= start + self.window {
                engine.tick(start + self.window);
                let void = if windows.is_empty() { "start" } else { "" };
                windows.push(self.report(&engine.cut(), start, void));
                start += self.window;
            }
            engine.feed(message, now)?;
            Ok(())
        })?;
        engine.finish(now);
        windows.push(self.report(&engine.cut(), start, "end"));
        Ok(windows)
    }

    fn report(&self, report: &Report, start: Nanos, void: &str) -> Window {
        let figures = |arm: proto::Arm, figures: &phoenix_engine::report::ArmFigures| {
            reports::figures(&convert::arm(arm, figures, (0, 0)))
        };
        let milli = |nanos: Nanos| nanos / 1_000_000;
        Window {
            agent: "replay".into(),
            incarnation: "replay".into(),
            start_ms: milli(start),
            end_ms: milli(start + self.window),
            void_reason: void.into(),
            baseline: Some(figures(proto::Arm::Baseline, &report.baseline)),
            candidate: report
                .candidate
                .as_ref()
                .map(|c| figures(proto::Arm::Candidate, c)),
            ..Window::default()
        }
    }
}
