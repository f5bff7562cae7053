//! `phoenix-agent`: reads its settings, runs until it is told to stop, drains.

use anyhow::Context;
use clap::Parser;
use phoenix_agent::process::Agent;
use phoenix_agent::settings::{self, Settings};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes OTLP metrics on a node, cuts their volume inline, and forwards them.
///
/// Settings come from one YAML file; PHOENIX_* variables override it (PHOENIX_NODE_NAME is
/// node.name, PHOENIX_EXPORTERS_OTLP_ENDPOINT is exporters.otlp.endpoint), and flags override both.
/// Logs go to stderr; their level is set by RUST_LOG (default info).
#[derive(Parser)]
#[command(name = "phoenix-agent", version)]
struct Flags {
    /// The settings file (YAML).
    #[arg(long, env = "PHOENIX_SETTINGS", value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Check the settings, print every mistake, and exit.
    #[arg(long)]
    check: bool,
    /// Sets node.name.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Sets exporters.otlp.endpoint.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Sets pipeline.file.
    #[arg(long, value_name = "FILE")]
    pipeline: Option<String>,
    /// Sets control_plane.endpoint.
    #[arg(long, value_name = "URL")]
    control_plane: Option<String>,
    /// Sets any setting by its path, e.g. --set limits.memory=128MiB; can be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Writes logs as JSON, one object a line.
    #[arg(long, env = "PHOENIX_LOG_JSON")]
    log_json: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (path, value) = text
        .split_once('=')
        .ok_or("write it as PATH=VALUE, e.g. node.name=n1")?;
    Ok((path.trim().to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("phoenix-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: Flags) -> anyhow::Result<ExitCode> {
    let settings = load(&flags)?;
    if flags.check {
        println!("the settings are valid");
        return Ok(ExitCode::SUCCESS);
    }
    start_log(flags.log_json);
    // With ring as the one provider, so that no part of the process picks another.
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(settings))
}

fn load(flags: &Flags) -> anyhow::Result<Settings> {
    let mut over = settings::environment(std::env::vars());
    for (path, value) in [
        ("node.name", &flags.node),
        ("exporters.otlp.endpoint", &flags.endpoint),
        ("pipeline.file", &flags.pipeline),
        ("control_plane.endpoint", &flags.control_plane),
    ] {
        over.extend(value.clone().map(|v| (path.to_owned(), v)));
    }
    over.extend(flags.set.iter().cloned());
    Ok(settings::load(flags.settings.as_deref(), &over)?)
}

fn start_log(json: bool) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    // Levels by target; what `EnvFilter` can do beyond that needs regular expressions of its own.
    let filter: Targets = match wanted.trim() {
        "" => Targets::new().with_default(LevelFilter::INFO),
        wanted => wanted
            .parse()
            .unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO)),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let log = tracing_subscriber::registry().with(filter);
    if json {
        log.with(lines.json()).init();
    } else {
        log.with(lines).init();
    }
}

async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    let mut term = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    for line in settings.warnings() {
        tracing::warn!("{line}");
    }
    let drain = settings.drain;
    let mut agent = Agent::start(settings).await?;
    announce(&agent);
    tokio::select! {
        _ = term.recv() => tracing::info!("SIGTERM: draining for at most {drain:?}"),
        _ = int.recv() => tracing::info!("SIGINT: draining for at most {drain:?}"),
        reason = agent.failed() => {
            tracing::error!("{reason}; the agent ends so that it is started anew");
            return Ok(ExitCode::from(70));
        }
    }
    let drained = agent.drain().await;
    let (accepted, refused, lost) = (drained.accepted, drained.refused, drained.lost);
    if lost > 0 {
        tracing::error!(
            accepted,
            refused,
            lost,
            "points are lost: the next hop did not take them within {drain:?} (`drain`)"
        );
        return Ok(ExitCode::FAILURE);
    }
    tracing::info!(accepted, refused, "drained: nothing waits for the next hop");
    Ok(ExitCode::SUCCESS)
}

fn announce(agent: &Agent) {
    let mut line = "phoenix-agent listening".to_owned();
    let a = agent.addresses;
    for (name, address) in [("grpc", a.grpc), ("http", a.http), ("admin", Some(a.admin))] {
        if let Some(address) = address {
            line.push_str(&format!(" {name}={address}"));
        }
    }
    println!("{line}");
    // Scripts wait for this line through a pipe.
    let _closed = std::io::stdout().flush();
}
