//! `phoenix demo`: the main job on this machine, told in a minute, every figure counted at a sink.
//!
//! It only starts the product's binaries and talks to their public doors; what it applies lies in
//! `examples/demo` and can be applied by hand.

mod check;
mod http;
mod show;
mod stage;

use anyhow::{Context, bail, ensure};
use clap::Args;
use http::Api;
use serde_json::{Value, json};
use show::Meter;
use stage::Stage;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const BASELINE: &str = include_str!("../../../examples/demo/baseline.yaml");
const CANDIDATE: &str = include_str!("../../../examples/demo/candidate.yaml");
const ASSIGNMENT: &str = include_str!("../../../examples/demo/assignment.yaml");
const EXPERIMENT: &str = include_str!("../../../examples/demo/experiment.yaml");
const NAME: &str = "demo-fold-tail";

/// How long the sink is watched before and after.
const WATCH: Duration = Duration::from_secs(5);

/// Show the whole story on this machine: load, baseline, shadow experiment, verdict, promotion.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Stay up at the end and print the addresses to try.
    #[arg(long)]
    keep: bool,
    /// Folder for data and logs; a previous demo's is replaced.
    #[arg(long, default_value = ".phoenix-demo")]
    dir: PathBuf,
    /// Simulated hosts, beside this machine's own processes.
    #[arg(long, default_value_t = 8)]
    hosts: usize,
}

/// Runs the demo; `Ok` only if verdict and sinks agree to the point.
///
/// # Errors
/// A part that does not start, a verdict that is not `promote`, or a figure that differs.
pub async fn run(args: &DemoArgs) -> anyhow::Result<()> {
    tokio::select! {
        told = tell(args) => told,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn tell(args: &DemoArgs) -> anyhow::Result<()> {
    println!(
        "Phoenix demo: a control plane, an agent, a load and two counting sinks on this machine."
    );
    let stage = Stage::start(&args.dir, args.hosts).await?;
    let api = &stage.api;
    println!(
        "  data and logs: {}   this machine's processes + {} simulated hosts\n",
        args.dir.display(),
        args.hosts
    );

    println!(
        "1. Baseline: everything passes            (phoenix apply -f examples/demo/baseline.yaml -f examples/demo/assignment.yaml)"
    );
    let baseline = apply(api, BASELINE).await?;
    api.put("/assignments/demo", ASSIGNMENT).await?;
    active(api, &baseline).await?;
    let before = Meter::watch(&stage.sink, WATCH).await?;
    ensure!(
        before.points > 0.0,
        "nothing arrives at the sink; see the logs in {}",
        args.dir.display()
    );
    println!("   at the sink: {before}\n");

    println!(
        "2. Shadow experiment: fold the tail of processes   (phoenix apply -f examples/demo/candidate.yaml -f examples/demo/experiment.yaml)"
    );
    let candidate = apply(api, CANDIDATE).await?;
    api.put(&format!("/experiments/{NAME}"), EXPERIMENT).await?;
    api.post(&format!("/experiments/{NAME}/start"), &json!({}))
        .await?;
    let ended = show::follow(&stage, NAME).await?;

    println!(
        "\n3. Verdict: {}",
        ended["verdict"]["outcome"].as_str().unwrap_or("none")
    );
    show::verdict(&ended);
    let windows = api.get(&format!("/experiments/{NAME}/windows")).await?;
    check::verdict_is_what_the_sinks_count(&stage, &ended, &windows).await?;
    ensure!(
        ended["verdict"]["outcome"] == "promote",
        "the verdict is not promote; see the reasons above"
    );

    println!("\n4. Promoted: the agent swaps without a restart");
    let began = Instant::now();
    active(api, &candidate).await?;
    println!(
        "   active on the agent ({} ms after the verdict was read)",
        began.elapsed().as_millis()
    );
    show::after_the_next_window(&stage).await?;
    let after = Meter::watch(&stage.sink, 2 * WATCH).await?;
    println!("   at the sink: {after}");
    println!(
        "   volume at the sink fell by {:.1} % of points, {:.1} % of bytes",
        before.fall_of_points(&after),
        before.fall_of_bytes(&after)
    );
    ensure!(
        after.points < before.points,
        "the volume at the sink did not fall"
    );
    println!("\nDone: verdict and sinks agree to the point.");
    if args.keep {
        stage.addresses();
        std::future::pending::<()>().await;
    }
    stage.stop().await
}

async fn apply(api: &Api, document: &str) -> anyhow::Result<String> {
    let applied = api.post_text("/pipelines", document).await?;
    Ok(applied["hash"]
        .as_str()
        .context("the server gave no hash")?
        .to_owned())
}

/// Waits until the one agent runs `hash`.
async fn active(api: &Api, hash: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let agents = api.get("/agents").await?;
        let agent = agents.get(0).cloned().unwrap_or(Value::Null);
        if agent["activeHash"] == hash {
            return Ok(());
        }
        if agent["state"] == "rejected" || began.elapsed() > Duration::from_secs(30) {
            bail!("the agent does not run {hash}: {agent}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
