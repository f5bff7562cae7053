//! `phoenix-bench`: what the agent costs, whole and its engine alone, beside a Collector doing the same.

mod report;

use clap::{Parser, Subcommand};
use phoenix_benches::fed::{self, Fed};
use phoenix_benches::stream::Kind;
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Benchmarks with tables in Markdown.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// CPU seconds per million points and peak memory of whole processes.
    Process(Process),
    /// Where the resident memory of whole processes lies at its highest.
    Resident(Process),
    /// CPU seconds per million points of a whole agent with a shadow beside its pipeline, and without.
    Shadow(Shadow),
    /// Ratios of the engine alone: stages, a shadow arm, live series, order.
    Engine {
        /// Rounds of each; medians are compared.
        #[arg(long, default_value_t = 7)]
        rounds: usize,
    },
    /// Memory of a live series, as resident bytes.
    Memory {
        /// Live series.
        #[arg(long, default_value_t = 1_000_000)]
        series: usize,
    },
    /// One case of `memory`, in a process of its own.
    #[command(hide = true)]
    OneMemory {
        /// The stages.
        stages: String,
        /// Live series.
        series: usize,
        /// Histograms instead of numbers.
        #[arg(long)]
        histogram: bool,
    },
}

/// Options of `process`.
#[derive(clap::Args)]
struct Process {
    /// The agent's binary.
    #[arg(long)]
    agent: PathBuf,
    /// A Collector's binary to run beside it.
    #[arg(long)]
    collector: Option<PathBuf>,
    /// Points of a run.
    #[arg(long, default_value_t = 2_000_000)]
    points: u64,
    /// Runs of each case, interleaved; the median is shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Only rows whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Live series of the main table.
    #[arg(long, default_value_t = 10_000)]
    series: usize,
    /// More numbers of live series, for pass through and aggregate.
    #[arg(long, value_delimiter = ',', default_value = "200000,1000000")]
    more_series: Vec<usize>,
    /// Hosts differ in their name only: the load keeps one request in memory, whatever the number of
    /// series, and does not push the agent's state out of the caches that they share.
    #[arg(long)]
    alike: bool,
}

/// Options of `shadow`.
#[derive(clap::Args)]
struct Shadow {
    /// The agent's binary.
    #[arg(long)]
    agent: PathBuf,
    /// The control plane's binary.
    #[arg(long)]
    phoenix: PathBuf,
    /// Points of a run.
    #[arg(long, default_value_t = 5_000_000)]
    points: u64,
    /// Runs of each case, in turns; the median is shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Live series.
    #[arg(long, default_value_t = 10_000)]
    series: usize,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().what {
        What::Process(options) => runtime()?.block_on(report::process(&options)),
        What::Resident(options) => runtime()?.block_on(report::resident(&options)),
        What::Shadow(options) => runtime()?.block_on(report::shadow(&options)),
        What::Engine { rounds } => report::engine(rounds),
        What::Memory { series } => report::memory(series),
        What::OneMemory {
            stages,
            series,
            histogram,
        } => one_memory(&stages, series, histogram),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Prints resident bytes after four rounds and at the highest, the engine's estimate, and how many
/// series it knows.
fn one_memory(stages: &str, series: usize, histogram: bool) -> anyhow::Result<()> {
    let kind = if histogram {
        Kind::Histogram
    } else {
        Kind::Number
    };
    let plan = fed::plan(stages, None)?;
    let mut fed = Fed::small(plan, kind, series);
    let (before, _) = fed::resident()?;
    for _ in 0..4 {
        fed.round()?;
    }
    let (after, peak) = fed::resident()?;
    let (known, estimate) = fed.engine().state_size();
    println!("{} {} {estimate} {known}", after - before, peak - before);
    Ok(())
}
