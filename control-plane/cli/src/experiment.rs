//! `experiment`: start, status, wait, replay, promote, abort, windows.

mod replay;
mod show;

pub use show::{explained, show};

use crate::client::{Client, Refused, Unanswered};
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
    /// Wait for its end. Exits 0 promote, 2 reject, 3 inconclusive, 4 no data, 5 failed, 6 cancelled, 7 timeout,
    /// 1 error. A control plane that does not answer is asked again until the timeout.
    Wait(WaitArgs),
    /// Make the candidate what is assigned.
    Promote {
        name: String,
        /// Also with an inconclusive verdict or none for want of data, or where another pipeline than its baseline
        /// is assigned by now; never with a rejection.
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
    /// Give up (exit code 7) after so many seconds; without it, never.
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

/// Exit code of `wait` whose time was up.
const TIMEOUT: u8 = 7;

/// The exit code says what became of it.
async fn wait(client: &Client, args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let until = args
        .timeout
        .map(|s| Instant::now() + Duration::from_secs(s));
    let mut away = false;
    loop {
        let up = |e: &anyhow::Error| {
            let refused = e.downcast_ref::<Refused>();
            let gone = e.downcast_ref::<Unanswered>().is_some();
            gone || refused.is_some_and(|r| r.status >= 500)
        };
        let state = match client.get(&path(&args.name, "?brief=true")).await {
            Ok(e) if ended(&e) => {
                let outcome = e.pointer("/verdict/outcome").and_then(Value::as_str);
                println!(
                    "experiment/{} {}: {}",
                    args.name,
                    phase(&e),
                    text(&e, "/reason")
                );
                return Ok(ExitCode::from(code(&phase(&e), outcome)));
            }
            Ok(e) => {
                away = false;
                format!("is {} still: {}", phase(&e), text(&e, "/reason"))
            }
            Err(error) if up(&error) => {
                if !away {
                    eprintln!("phoenix: {error:#}; asked again");
                }
                away = true;
                format!("is not known: {error:#}")
            }
            Err(error) => return Err(error),
        };
        if until.is_some_and(|until| Instant::now() >= until) {
            eprintln!("phoenix: experiment {} {state}", args.name);
            return Ok(ExitCode::from(TIMEOUT));
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
        ("Failed", _) => 5,
        ("Cancelled", _) => 6,
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
            ("Failed", None, 5),
            ("Cancelled", Some("promote"), 6),
        ] {
            assert_eq!(code(phase, outcome), expected);
        }
    }
}
