//! `phoenix-bench`: CPU seconds per million points of the agent, and of a Collector doing the same.

use anyhow::Context;
use clap::Parser;
use phoenix_benches::load;
use phoenix_benches::process::{Load, Measured, measure, start};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Sends the same stream through the agent and, if given, a real Collector; prints what each costs.
#[derive(Parser)]
struct Cli {
    /// The agent's binary.
    #[arg(long)]
    agent: PathBuf,
    /// A Collector's binary to run beside it.
    #[arg(long)]
    collector: Option<PathBuf>,
    /// Rounds of 200 requests of 1 000 points.
    #[arg(long, default_value_t = 10)]
    rounds: u64,
    /// Runs of each row; the median is shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// A row: what both do.
struct Row {
    name: &'static str,
    stages: &'static str,
    processors: &'static str,
    gzip: bool,
}

const ROWS: [Row; 4] = [
    Row {
        name: "pass through",
        stages: "[]",
        processors: "",
        gzip: false,
    },
    Row {
        name: "filter 25 %",
        stages: "[ { id: f, filter: { drop: [ { metric: app.requests.3 } ] } } ]",
        processors: "filter",
        gzip: false,
    },
    Row {
        name: "filter + aggregate",
        stages: "[ { id: f, filter: { drop: [ { metric: app.requests.3 } ] } }, { id: a, aggregate: { match: { metric: \"app.*\" }, without: [client.address, customer.id], interval: 2s, lateness: 1s } } ]",
        processors: "",
        gzip: false,
    },
    Row {
        name: "gzip both ways + filter",
        stages: "[ { id: f, filter: { drop: [ { metric: app.requests.3 } ] } } ]",
        processors: "filter",
        gzip: true,
    },
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let size = |gzip| Load {
        requests: 200,
        points: 1000,
        rounds: cli.rounds,
        gzip,
    };
    println!(
        "| what | process | points/s | CPU-s per million points | peak RSS MiB | bytes out a point in |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for row in &ROWS {
        let mut runs = Vec::new();
        for _ in 0..cli.runs {
            runs.push(agent(&cli.agent, row, &size(row.gzip)).await?);
        }
        print(row.name, "phoenix-agent", runs);
        let comparable = row.processors == "filter" || row.stages == "[]";
        if let Some(collector) = cli.collector.as_ref().filter(|_| comparable) {
            let mut runs = Vec::new();
            for _ in 0..cli.runs.min(2) {
                runs.push(peer(collector, row, &size(row.gzip)).await?);
            }
            print(row.name, "Collector 0.145", runs);
        }
    }
    Ok(())
}

fn print(row: &str, process: &str, mut runs: Vec<Measured>) {
    runs.sort_by(|a, b| a.cpu.total_cmp(&b.cpu));
    let Some(m) = runs.get(runs.len() / 2) else {
        return;
    };
    println!(
        "| {row} | {process} | {:.0} | {:.3} | {:.0} | {:.1} |",
        m.points as f64 / m.seconds,
        m.cpu_per_million(),
        m.peak_rss as f64 / (1 << 20) as f64,
        m.sink_bytes as f64 / m.points as f64,
    );
}

fn free() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn agent(program: &Path, row: &Row, size: &Load) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir()?;
    let (sink, received) = load::sink().await?;
    let (grpc, http, admin) = (free()?, free()?, free()?);
    let pipeline = folder.path().join("p.yaml");
    std::fs::write(
        &pipeline,
        format!(
            "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec: {{ stages: {} }}\n",
            row.stages
        ),
    )?;
    let settings = folder.path().join("agent.yaml");
    let compression = if row.gzip { "gzip" } else { "none" };
    std::fs::write(
        &settings,
        format!(
            "node: {{ name: n1 }}\nreceivers: {{ otlp: {{ grpc: \"{grpc}\", http: \"{http}\" }} }}\nexporters: {{ otlp: {{ endpoint: \"http://{sink}\", protocol: grpc, compression: {compression} }} }}\npipeline: {{ file: \"{}\" }}\nadmin: \"{admin}\"\nworkers: 1\nlimits: {{ memory: 1GiB, series: 1000000 }}\n",
            pipeline.display()
        ),
    )?;
    let peer = start(
        program,
        &["--settings", settings.to_str().context("UTF-8 path")?],
    )?;
    measure(&peer, grpc, &received, size).await
}

async fn peer(program: &Path, row: &Row, size: &Load) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir()?;
    let (sink, received) = load::sink().await?;
    let grpc = free()?;
    let config = folder.path().join("collector.yaml");
    let compression = if row.gzip { "gzip" } else { "none" };
    let processors = row.processors;
    std::fs::write(
        &config,
        format!(
            "receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: \"{grpc}\", max_recv_msg_size_mib: 64 }} }} }} }}\nprocessors:\n  filter: {{ metrics: {{ exclude: {{ match_type: strict, metric_names: [app.requests.3] }} }} }}\nexporters: {{ otlp: {{ endpoint: \"{sink}\", tls: {{ insecure: true }}, compression: {compression}, sending_queue: {{ enabled: false }} }} }}\nservice:\n  telemetry: {{ metrics: {{ level: none }} }}\n  pipelines: {{ metrics: {{ receivers: [otlp], processors: [{processors}], exporters: [otlp] }} }}\n"
        ),
    )?;
    let peer = start(
        program,
        &["--config", config.to_str().context("UTF-8 path")?],
    )?;
    measure(&peer, grpc, &received, size).await
}
