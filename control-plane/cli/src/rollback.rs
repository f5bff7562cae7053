//! `rollback`: one command, done when every connected agent runs the earlier pipeline.

use crate::client::Client;
use crate::output::{hash, named, rows, text};
use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Lead an assignment back to an earlier pipeline, and wait until its connected agents run it.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Name of the assignment.
    assignment: String,
    /// Hash (or its beginning) of the pipeline; without it the one before the present that neither an abort nor a
    /// quarantine took away.
    #[arg(long)]
    to: Option<String>,
    /// Seconds to wait for the agents.
    #[arg(long, default_value_t = 10)]
    timeout: u64,
}

pub async fn rollback(client: &Client, args: &RollbackArgs) -> anyhow::Result<()> {
    let began = Instant::now();
    let name = args.assignment.trim_start_matches("assignment/");
    let body = args.to.as_ref().map_or(json!({}), |to| json!({ "to": to }));
    let done = client
        .post(&format!("/assignments/{name}/rollback"), &body)
        .await?;
    let to = done["to"].as_str().unwrap_or_default().to_owned();
    println!(
        "assignment/{name}: {} -> {}",
        named(&done, "/fromName", "/from"),
        named(&done, "/toName", "/to")
    );
    loop {
        let agents = client.get("/agents").await?;
        let connected: Vec<&Value> = rows(&agents)
            .iter()
            .filter(|a| a["connected"] == true && a["assignedHash"] == to.as_str())
            .collect();
        let behind: Vec<&&Value> = connected
            .iter()
            .filter(|a| a["activeHash"] != to.as_str())
            .collect();
        let active = connected.len() - behind.len();
        let took = began.elapsed();
        if behind.is_empty() {
            println!(
                "{active} of {} connected agents run it after {:.1} s",
                connected.len(),
                took.as_secs_f64()
            );
            return Ok(());
        }
        if took >= Duration::from_secs(args.timeout) {
            let names: Vec<String> = behind
                .iter()
                .map(|a| {
                    format!(
                        "{} runs {} ({}: {})",
                        text(a, "/node"),
                        hash(a, "/activeHash"),
                        text(a, "/state"),
                        text(a, "/reason")
                    )
                })
                .collect();
            bail!(
                "{active} of {} connected agents run it after {} s; still behind:\n  {}",
                connected.len(),
                args.timeout,
                names.join("\n  ")
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
