//! `phoenix-simulator`: a load with known truth, and a sink that counts.

use anyhow::Context;
use axum::extract::{Query, State as Shared};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::{Args, Parser, Subcommand};
use phoenix_simulator::sender::{self, Sending, State};
use phoenix_simulator::truth::{Live, Total};
use phoenix_simulator::{fleet, sink};
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Seeded metrics load with known truth, and a counting OTLP sink.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send the metrics of a fleet of hosts and services over OTLP/gRPC.
    Fleet(FleetArgs),
    /// Take OTLP and count points, bytes and series exactly.
    Sink(SinkArgs),
}

#[derive(Args)]
struct FleetArgs {
    /// Same seed, same fleet.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of the first host and service instance: give each of several fleets its own range.
    #[arg(long, default_value_t = 0)]
    first: usize,
    /// Hosts.
    #[arg(long, default_value_t = 4)]
    hosts: usize,
    /// Long-lived processes a host.
    #[arg(long, default_value_t = 16)]
    processes: usize,
    /// Service instances.
    #[arg(long, default_value_t = 4)]
    services: usize,
    /// Values of the label customer.id.
    #[arg(long, default_value_t = 200)]
    customers: usize,
    /// OTLP/gRPC endpoint to send to.
    #[arg(long, default_value = "http://127.0.0.1:4317")]
    endpoint: String,
    /// Milliseconds between rounds.
    #[arg(long, default_value_t = 1000)]
    interval_ms: u64,
    /// Stop after so many rounds (else on SIGTERM or POST /stop).
    #[arg(long)]
    rounds: Option<u64>,
    /// Compress requests with gzip.
    #[arg(long)]
    gzip: bool,
    /// Where truth and status are told over HTTP; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[derive(Args)]
struct SinkArgs {
    /// Where OTLP/gRPC and OTLP/HTTP are taken (one port); port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    otlp: SocketAddr,
    /// Where questions are answered over HTTP.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Keep every point for GET /points.
    #[arg(long)]
    keep: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    match Cli::parse().command {
        Command::Fleet(args) => run_fleet(args).await,
        Command::Sink(args) => run_sink(args).await,
    }
}

async fn ended() -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = term.recv() => {}
        r = tokio::signal::ctrl_c() => r?,
    }
    Ok(())
}

async fn run_sink(args: SinkArgs) -> anyhow::Result<()> {
    let options = sink::Options {
        otlp: args.otlp,
        rest: args.listen,
        keep: args.keep,
    };
    let running = sink::start(&options).await?;
    println!(
        "phoenix-simulator sink listening otlp={} rest={}",
        running.otlp, running.rest
    );
    tokio::select! {
        () = running.join() => anyhow::bail!("the sink stopped by itself"),
        r = ended() => r,
    }
}

async fn run_fleet(args: FleetArgs) -> anyhow::Result<()> {
    let state = Arc::new(State::default());
    let stop = CancellationToken::new();
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("bind {}", args.listen))?;
    println!(
        "phoenix-simulator fleet listening rest={}",
        listener.local_addr()?
    );
    let answers = axum::serve(listener, router(state.clone(), stop.clone()));
    let options = fleet::Options {
        seed: args.seed,
        first: args.first,
        hosts: args.hosts,
        processes: args.processes,
        services: args.services,
        customers: args.customers,
    };
    let sending = Sending {
        endpoint: args.endpoint,
        interval: Duration::from_millis(args.interval_ms.max(1)),
        rounds: args.rounds,
        gzip: args.gzip,
    };
    // Questions are answered until the end, also after the last round.
    let send = async {
        sender::run(&options, &sending, state.clone(), stop.clone()).await?;
        stop.cancelled().await;
        anyhow::Ok(())
    };
    tokio::select! {
        r = send => r,
        r = async { answers.await } => Ok(r?),
        r = ended() => r,
    }
}

#[derive(Clone)]
struct App {
    state: Arc<State>,
    stop: CancellationToken,
}

#[derive(Deserialize)]
struct Window {
    #[serde(default)]
    from: u64,
    to: Option<u64>,
    metric: Option<String>,
    by: Option<String>,
}

fn router(state: Arc<State>, stop: CancellationToken) -> Router {
    Router::new()
        .route(
            "/status",
            get(async |Shared(a): Shared<App>| {
                let status = a
                    .state
                    .status
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                Json(status.clone())
            }),
        )
        .route("/truth", get(truth))
        .route("/totals", get(totals))
        .route(
            "/pause",
            post(async |Shared(a): Shared<App>| a.state.status(|s| s.paused = true)),
        )
        .route(
            "/resume",
            post(async |Shared(a): Shared<App>| a.state.status(|s| s.paused = false)),
        )
        .route(
            "/stop",
            post(async |Shared(a): Shared<App>| a.stop.cancel()),
        )
        .with_state(App { state, stop })
}

/// Live series and points in (from, to], Unix nanoseconds.
async fn truth(Shared(app): Shared<App>, Query(q): Query<Window>) -> Json<Live> {
    let truth = app
        .state
        .truth
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    Json(truth.live(q.from, q.to.unwrap_or(u64::MAX)))
}

/// Totals of `metric` by the attributes `by=a,b` in (from, to].
async fn totals(Shared(app): Shared<App>, Query(q): Query<Window>) -> Json<Vec<Total>> {
    let by: Vec<String> =
        q.by.as_deref()
            .unwrap_or("")
            .split(',')
            .filter(|k| !k.is_empty())
            .map(str::to_owned)
            .collect();
    let truth = app
        .state
        .truth
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    Json(truth.totals(
        q.metric.as_deref().unwrap_or(""),
        &by,
        q.from,
        q.to.unwrap_or(u64::MAX),
    ))
}
