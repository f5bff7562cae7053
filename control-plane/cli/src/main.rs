//! The `phoenix` command.

#[macro_use]
mod print;

mod agents;
mod apply;
mod books;
mod client;
mod demo;
mod documents;
mod experiment;
mod get;
mod judge;
mod output;
mod prices;
mod quarantine;
mod replay;
mod rollback;
mod validate;

use clap::{Parser, Subcommand};
use client::{Client, ServerArgs};
use std::future::Future;
use std::io::IsTerminal;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Cuts the volume of metrics that leave a node, and proves what each cut saves and costs.
#[derive(Debug, Parser)]
#[command(name = "phoenix", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Replay(replay::ReplayArgs),
    Judge(judge::JudgeArgs),
    Validate(validate::ValidateArgs),
    #[command(subcommand)]
    Prices(prices::PricesCommand),
    /// Run the control plane: API and agents on one port.
    Serve(phoenix_control_plane::serve::ServeArgs),
    Apply(apply::ApplyArgs),
    Get(get::GetArgs),
    Diff(apply::DiffArgs),
    Delete(apply::DeleteArgs),
    History(get::HistoryArgs),
    Rollback(rollback::RollbackArgs),
    Agents(agents::AgentsArgs),
    #[command(subcommand, visible_alias = "exp")]
    Experiment(experiment::ExperimentCommand),
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    print::until_closed(|| match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("phoenix: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Serve(args) => {
            log("info");
            block(async {
                let shutdown = CancellationToken::new();
                tokio::spawn(until_signal(shutdown.clone()));
                phoenix_control_plane::serve::serve(args.clone(), shutdown).await?;
                Ok(ExitCode::SUCCESS)
            })
        }
        Command::Replay(args) => replay::run(args),
        Command::Judge(args) => judge::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Prices(command) => prices::run(command),
        Command::Demo(args) => block(async {
            demo::run(args).await?;
            Ok(ExitCode::SUCCESS)
        }),
        _ => block(remote(&cli)),
    }
}

/// What talks to a control plane.
async fn remote(cli: &Cli) -> anyhow::Result<ExitCode> {
    log("warn");
    let client = Client::new(&cli.server)?;
    match &cli.command {
        Command::Apply(args) => apply::apply(&client, args).await?,
        Command::Get(args) => get::get(&client, args).await?,
        Command::Diff(args) => {
            if apply::diff(&client, args).await? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Delete(args) => apply::delete(&client, args).await?,
        Command::History(args) => get::history(&client, args).await?,
        Command::Rollback(args) => rollback::rollback(&client, args).await?,
        Command::Agents(args) => agents::agents(&client, args).await?,
        Command::Quarantine(command) => quarantine::run(&client, command).await?,
        Command::Experiment(command) => return experiment::run(&client, command).await,
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Replay(_)
        | Command::Judge(_)
        | Command::Validate(_)
        | Command::Prices(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn block(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// Ctrl-C or SIGTERM.
async fn until_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
    shutdown.cancel();
}

/// Logs go to standard error; `RUST_LOG` says how much.
fn log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
