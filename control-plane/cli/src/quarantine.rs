//! `quarantine`: pipelines that did harm and are not given to agents again.

use crate::client::Client;
use crate::output::{OutputArgs, hash, rows, table, text};
use clap::Subcommand;
use serde_json::Value;
use std::collections::BTreeMap;

/// Pipelines that did harm in an experiment: nothing assigns or tries them again until they are lifted.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// What is quarantined, why, and by which experiment.
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Let a pipeline be tried again, also by agents that fell back from it.
    Lift {
        /// Its hash, or the first 6 digits or more; its name, where one version of it is quarantined.
        #[arg(value_name = "HASH|NAME")]
        which: String,
    },
}

/// A warning for each quarantined pipeline that agents or assignments (`all`) are still led to; `hash` and `why`: where
/// they say so.
pub fn still_assigned(all: &[Value], hash: &str, why: &str) -> String {
    let of = |v: &Value| Some((text(v, hash), v.pointer(why)?.as_str()?.to_owned()));
    let found: BTreeMap<String, String> = all.iter().filter_map(of).collect();
    let says = |(hash, why): (String, String)| {
        let hash = hash.get(..12).unwrap_or(&hash).to_owned();
        format!(
            "\nwarning: {hash} is assigned and quarantined: {why}\n  lead the assignment elsewhere (`phoenix rollback`), \
             or `phoenix quarantine lift {hash}`\n"
        )
    };
    found.into_iter().map(says).collect()
}

pub async fn run(client: &Client, command: &QuarantineCommand) -> anyhow::Result<()> {
    match command {
        QuarantineCommand::List { output } => {
            let all = client.get("/quarantine").await?;
            output.print(&all, |all| {
                table(
                    &["hash", "pipeline", "experiment", "since", "reason"],
                    rows(all).iter().map(|q| {
                        vec![
                            hash(q, "/hash"),
                            text(q, "/pipeline"),
                            text(q, "/experiment"),
                            text(q, "/since"),
                            text(q, "/reason"),
                        ]
                    }),
                )
            })
        }
        QuarantineCommand::Lift { which } => {
            let which = which.trim_start_matches("pipeline/");
            let lifted = client.delete(&format!("/quarantine/{which}")).await?;
            println!(
                "pipeline/{} {} lifted",
                text(&lifted, "/pipeline"),
                hash(&lifted, "/hash")
            );
            Ok(())
        }
    }
}
