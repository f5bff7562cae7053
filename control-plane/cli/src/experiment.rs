//! `experiment`: start, status, wait, replay, promote, abort, windows.

mod replay;
mod show;

pub use show::{explained, show};

use crate::client::Client;
use crate::output::{OutputArgs, rows, text};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Start, watch and end experiments.
#[derive(Debug, Subcommand)]
pub enum ExperimentCommand {
    /// Start an experiment that was applied.
    Start { name: String },
    /// Where it stands: phase, figures, verdict with reasons.
    Status(StatusArgs),
    /// Wait for its end; exits 0 promote, 2 reject, 3 inconclusive, 4 no data, 1 error.
    Wait(WaitArgs),
    /// Make the candidate what is assigned.
    Promote {
        name: String,
        /// Also with an inconclusive verdict or none for want of data; never with a rejection.
        #[arg(long)]
        force: bool,
    },
    /// Replay captures with both pipelines for an experiment whose step replay waits for them.
    Replay(replay::ReplayArgs),
    /// Take the candidate back, whatever the experiment is doing: agents go back to the baseline, a promotion
    /// that still stands is rolled back. May be said again.
    #[command(alias = "cancel")]
    Abort {
        name: String,
        /// Why, for the record.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Its stored windows, one JSON object a line.
    Windows { name: String },
    /// The evidence: every step, every criterion with its threshold, reason and figures.
    Explain { name: String },
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    name: String,
    /// Tell every change until it ends.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct WaitArgs {
    name: String,
    /// Give up (exit code 1) after so many seconds.
    #[arg(long)]
    timeout: Option<u64>,
}

/// How often an experiment is asked for.
const ASK: Duration = Duration::from_millis(250);

pub async fn run(client: &Client, command: &ExperimentCommand) -> anyhow::Result<ExitCode> {
    match command {
        ExperimentCommand::Start { name } => {
            let e = client.post(&path(name, "/start"), &json!({})).await?;
            println!("experiment/{name} {}", phase(&e));
        }
        ExperimentCommand::Status(args) => status(client, args).await?,
        ExperimentCommand::Wait(args) => return wait(client, args).await,
        ExperimentCommand::Promote { name, force } => {
            let body = json!({ "force": force });
            let e = client.post(&path(name, "/promote"), &body).await?;
            println!(
                "experiment/{name} promoted: assignment/{}",
                text(&e, "/promotedTo")
            );
        }
        ExperimentCommand::Replay(args) => replay::run(client, args).await?,
        ExperimentCommand::Abort { name, reason } => {
            let body = reason
                .as_ref()
                .map_or(json!({}), |r| json!({ "reason": r }));
            let done = client.post(&path(name, "/abort"), &body).await?;
            println!(
                "experiment/{name} {}: {}",
                text(&done, "/experiment/phase"),
                text(&done, "/did")
            );
        }
        ExperimentCommand::Explain { name } => {
            let e = client.get(&path(name, "")).await?;
            print!("{}", show::explain(&e));
        }
        ExperimentCommand::Windows { name } => {
            let windows = client.get(&path(name, "/windows")).await?;
            for window in rows(&windows) {
                println!("{window}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn path(name: &str, verb: &str) -> String {
    format!(
        "/experiments/{}{verb}",
        name.trim_start_matches("experiment/")
    )
}

fn phase(e: &Value) -> String {
    text(e, "/phase")
}

fn ended(e: &Value) -> bool {
    matches!(
        e["phase"].as_str(),
        Some("Completed" | "Failed" | "Cancelled")
    )
}

async fn status(client: &Client, args: &StatusArgs) -> anyhow::Result<()> {
    let mut last = String::new();
    loop {
        let e = client.get(&path(&args.name, "")).await?;
        if !args.follow || ended(&e) {
            return args.output.print(&e, show);
        }
        let line = show::line(&e);
        if line != last {
            println!("{line}");
            last = line;
        }
        tokio::time::sleep(ASK).await;
    }
}

/// The exit code says what became of it.
async fn wait(client: &Client, args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    loop {
        let e = client.get(&path(&args.name, "")).await?;
        if ended(&e) {
            let outcome = e.pointer("/verdict/outcome").and_then(Value::as_str);
            println!(
                "experiment/{} {}: {}",
                args.name,
                phase(&e),
                text(&e, "/reason")
            );
            return Ok(ExitCode::from(code(&phase(&e), outcome)));
        }
        if args
            .timeout
            .is_some_and(|s| began.elapsed() >= Duration::from_secs(s))
        {
            anyhow::bail!(
                "experiment {} is {} still: {}",
                args.name,
                phase(&e),
                text(&e, "/reason")
            );
        }
        tokio::time::sleep(ASK).await;
    }
}

fn code(phase: &str, outcome: Option<&str>) -> u8 {
    match (phase, outcome) {
        ("Completed", Some("promote")) => 0,
        ("Completed", Some("reject")) => 2,
        ("Completed", Some("inconclusive")) => 3,
        ("Completed", Some("no data")) => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn exit_codes_are_those_that_scripts_rely_on() {
        for (phase, outcome, expected) in [
            ("Completed", Some("promote"), 0),
            ("Completed", Some("reject"), 2),
            ("Completed", Some("inconclusive"), 3),
            ("Completed", Some("no data"), 4),
            ("Failed", None, 1),
            ("Cancelled", Some("promote"), 1),
        ] {
            assert_eq!(code(phase, outcome), expected);
        }
    }
}
