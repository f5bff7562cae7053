//! `phoenix replay`: a pipeline over captures, offline, in event time, with the engine of the agent.

pub mod captures;
mod merge;
mod outcome;
mod table;

use crate::prices::BookArgs;
use crate::validate;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use merge::Captures;
use outcome::{Outcome, Rejected};
use phoenix_agent::capture::{Message, Writer};
use phoenix_analysis::prices::{Usage, estimate};
use phoenix_engine::Nanos;
use phoenix_engine::compile::{Pipeline, Plan};
use phoenix_engine::engine::{
    Emitted, Engine, Limits, Refusal, Settings, for_each_point, latest_time,
};
use phoenix_engine::prometheus::samples;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Series whose state is kept. An agent is bounded by its memory; here the capture is.
pub const SERIES: usize = 10_000_000;

/// Run a pipeline over captures offline and show what it would cut.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The pipeline document.
    #[arg(long, short, value_name = "FILE")]
    pipeline: PathBuf,
    /// Captures of the Collector's file exporter (protobuf or JSON, plain or zstd); several are merged
    /// by time.
    #[arg(required = true, value_name = "CAPTURE")]
    captures: Vec<PathBuf>,
    /// Write what would have been exported to this file, as length-prefixed protobuf.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Node name, added as `phoenix.node` to outputs that would keep no node key.
    #[arg(long, default_value = "replay")]
    node: String,
    /// How the figures are printed.
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    books: BookArgs,
    /// Metrics in the table, those that changed most first.
    #[arg(long, default_value_t = 15, value_name = "N")]
    top: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
}

/// Replays and prints.
///
/// # Errors
/// The pipeline or a capture is wrong, or a file cannot be read or written.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let Some(pipeline) = read_pipeline(&args.pipeline)? else {
        return Ok(ExitCode::FAILURE);
    };
    let books = args.books.read()?;
    let mut outcome = replay(args, pipeline)?;
    let usage = usage(&outcome);
    outcome.prices = books.iter().map(|book| estimate(book, &usage)).collect();
    match args.output {
        Format::Table => print!("{}", table::render(&outcome, args.top)),
        Format::Json => println!("{}", serde_json::to_string_pretty(&outcome.json())?),
        Format::Yaml => print!("{}", serde_yaml::to_string(&outcome.json())?),
    }
    Ok(ExitCode::SUCCESS)
}

/// The stretch of the captures as a month.
fn usage(outcome: &Outcome) -> Usage {
    let ledger = outcome.ledger();
    let figures = &outcome.figures;
    let hours = outcome.ended.saturating_sub(outcome.began) as f64 / 3.6e12;
    let series = figures.series_in.exact.zip(figures.series_out.exact);
    let points = (ledger.received, ledger.exported);
    let bytes = (outcome.bytes_in, outcome.bytes_out);
    Usage::counted(hours, series, outcome.samples, points, bytes)
}

fn count_samples(request: &[u8]) -> Result<u64, Refusal> {
    let mut count = 0;
    for_each_point(request, |_, point| count += samples(point))?;
    Ok(count)
}

/// `None` when its problems were printed.
fn read_pipeline(path: &Path) -> anyhow::Result<Option<Arc<Pipeline>>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the pipeline {}", path.display()))?;
    match phoenix_engine::compile::compile(&text) {
        Ok(pipeline) => Ok(Some(pipeline)),
        Err(problems) => {
            for problem in &problems {
                eprintln!("{}", validate::line(path, problem));
            }
            eprintln!(
                "{}: the pipeline is not valid ({}); nothing was replayed",
                path.display(),
                validate::count(problems.len(), "problem")
            );
            Ok(None)
        }
    }
}

fn replay(args: &ReplayArgs, pipeline: Arc<Pipeline>) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    if let Some(path) = &args.write
        && args.captures.iter().any(|capture| same_file(capture, path))
    {
        bail!(
            "{} is a capture that is read; write to another file",
            path.display()
        );
    }
    let progress = progress(&args.captures);
    // Times must be known before the first point is fed: what a counter counted before then is not
    // ours. So the captures are read twice.
    progress.set_message("looking");
    let seen = merge::look(&args.captures, &progress)?;
    let began = seen.earliest.unwrap_or_default();
    let settings = Settings {
        node: args.node.clone(),
        began,
        limits: Limits {
            series: SERIES,
            elements: usize::MAX,
            ..Limits::default()
        },
        ..Settings::default()
    };
    let plan = Plan::new(Arc::clone(&pipeline), None)
        .map_err(|problems| anyhow::anyhow!(validate::lines(&args.pipeline, &problems)))?;
    let mut run = Run {
        engine: Engine::new(settings, plan, began),
        now: began,
        writer: args.write.as_deref().map(Writer::create).transpose()?,
        out: args.write.clone(),
        bytes_in: 0,
        bytes_out: 0,
        messages: 0,
        rejected: Rejected::default(),
        samples: args.books.any().then_some((0, 0)),
    };
    progress.set_message("replaying");
    for next in Captures::open(&args.captures, &progress)? {
        let (path, message) = next?;
        run.feed(&path, &message)?;
    }
    run.finish()?;
    progress.finish_and_clear();
    Ok(Outcome {
        pipeline,
        captures: args.captures.clone(),
        messages: run.messages,
        began,
        ended: run.now,
        took: started.elapsed(),
        figures: run.engine.figures().baseline,
        bytes_in: run.bytes_in,
        bytes_out: run.bytes_out,
        rejected: run.rejected,
        samples: run.samples,
        prices: Vec::new(),
    })
}

struct Run {
    engine: Engine,
    /// Event time: the largest point time so far.
    now: Nanos,
    writer: Option<Writer<std::io::BufWriter<std::fs::File>>>,
    out: Option<PathBuf>,
    bytes_in: u64,
    bytes_out: u64,
    messages: u64,
    rejected: Rejected,
    /// Prometheus samples that came in and that would have left, where they are asked for.
    samples: Option<(u64, u64)>,
}

impl Run {
    fn feed(&mut self, path: &Path, message: &Message) -> anyhow::Result<()> {
        let wrong = |error| merge::refused(path, message.offset, &error);
        self.now = self.now.max(
            latest_time(&message.bytes)
                .map_err(wrong)?
                .unwrap_or_default(),
        );
        let fed = self.engine.feed(&message.bytes, self.now).map_err(wrong)?;
        self.messages += 1;
        if let Some((came, _)) = &mut self.samples {
            *came += count_samples(&message.bytes).map_err(wrong)?;
        }
        self.bytes_in += message.bytes.len() as u64;
        self.rejected.json += message.rejected;
        let reason = fed.reason.or_else(|| message.reason.clone());
        self.rejected.first = self.rejected.first.take().or(reason);
        self.write(&fed.emitted)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let last = self.engine.finish(self.now);
        self.write(&last)?;
        if let Some(writer) = self.writer.take() {
            writer.finish().with_context(|| self.unwritten())?;
        }
        Ok(())
    }

    fn write(&mut self, emitted: &Emitted) -> anyhow::Result<()> {
        self.bytes_out += emitted.out.len() as u64;
        if let Some((_, left)) = &mut self.samples {
            // What the engine wrote can be read.
            *left += count_samples(&emitted.out).unwrap_or_default();
        }
        if let Some(writer) = &mut self.writer {
            let written = writer.write(&emitted.out);
            written.with_context(|| self.unwritten())?;
        }
        Ok(())
    }

    fn unwritten(&self) -> String {
        let path = self.out.as_deref().unwrap_or(Path::new(""));
        format!("cannot write {}", path.display())
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// A bar on standard error where that is a terminal; nothing otherwise. Counts bytes of the files,
/// each of which is read twice.
fn progress(captures: &[PathBuf]) -> ProgressBar {
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
    let total: u64 = captures.iter().map(size).sum();
    let bar = ProgressBar::new(total * 2);
    let template = "{msg:9} {bar:40} {percent:>3} %  {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
