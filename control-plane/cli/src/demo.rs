//! `phoenix demo`: the main job on this machine, told in two minutes, every figure counted at a sink.
//!
//! It only starts the product's binaries and talks to their public doors; what it applies lies in
//! `examples/demo` and can be applied by hand.

mod check;
mod http;
mod meter;
mod processes;
mod show;
mod stage;

use anyhow::{Context, bail, ensure};
use clap::Args;
use http::Api;
use meter::Meter;
use serde_json::{Value, json};
use stage::Stage;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const BASELINE: &str = include_str!("../../../examples/demo/baseline.yaml");
const ASSIGNMENT: &str = include_str!("../../../examples/demo/assignment.yaml");

/// A candidate and the experiment that tries it.
struct Trial {
    candidate: &'static str,
    experiment: &'static str,
    /// Of the experiment.
    name: &'static str,
    what: &'static str,
    files: &'static str,
}

const GOOD: Trial = Trial {
    candidate: include_str!("../../../examples/demo/candidate.yaml"),
    experiment: include_str!("../../../examples/demo/experiment.yaml"),
    name: "demo-fold-tail",
    what: "fold the tail of processes",
    files: "-f examples/demo/candidate.yaml -f examples/demo/experiment.yaml",
};

const HARMFUL: Trial = Trial {
    candidate: include_str!("../../../examples/demo/harmful.yaml"),
    experiment: include_str!("../../../examples/demo/harmful-experiment.yaml"),
    name: "demo-harmful",
    what: "keep a tenth of the processes and call it the whole",
    files: "-f examples/demo/harmful.yaml -f examples/demo/harmful-experiment.yaml",
};

/// How long the sinks are watched before and after.
const WATCH: Duration = Duration::from_secs(5);

/// Show the whole story on this machine: three agents, an experiment from A/A to promotion, counted at sinks.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Try a harmful candidate instead, which saves the most and corrupts counters: see it stopped.
    #[arg(long)]
    harm: bool,
    /// Stay up at the end and print the addresses to try.
    #[arg(long)]
    keep: bool,
    /// Folder for data and logs; a previous demo's is replaced.
    #[arg(long, default_value = ".phoenix-demo")]
    dir: PathBuf,
    /// Simulated hosts of each agent; the first agent also reads this machine's own processes.
    #[arg(long, default_value_t = 3)]
    hosts: usize,
}

/// Runs the demo; `Ok` only if verdict and sinks agree to the point.
///
/// # Errors
/// A part that does not start, another verdict than the story's, or a figure that differs.
pub async fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        told = tell(args) => told,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = asked.recv() => bail!("ended by SIGTERM"),
    }
}

async fn tell(args: &DemoArgs) -> anyhow::Result<()> {
    println!(
        "Phoenix demo: a control plane and three agents, each with a load and counting sinks."
    );
    let stage = Stage::start(&args.dir, args.hosts).await?;
    println!(
        "  data and logs: {}   this machine's processes + {} simulated hosts\n",
        args.dir.display(),
        args.hosts * stage.nodes.len()
    );
    let (baseline, before) = baseline(&stage).await?;
    if args.harm {
        harm(&stage, &baseline).await?;
    } else {
        promotion(&stage, &before).await?;
    }
    if args.keep {
        stage.addresses();
        std::future::pending::<()>().await;
    }
    stage.stop().await
}

/// Everything passes: the hash that the agents run, and what leaves them.
async fn baseline(stage: &Stage) -> anyhow::Result<(String, Meter)> {
    println!(
        "1. Baseline: everything passes   (phoenix apply -f examples/demo/baseline.yaml -f examples/demo/assignment.yaml)"
    );
    let hash = apply(&stage.api, BASELINE).await?;
    stage.api.put("/assignments/demo", ASSIGNMENT).await?;
    active(stage, &hash).await?;
    let before = Meter::watch(stage, WATCH).await?;
    ensure!(
        before.points > 0.0,
        "nothing arrives at the sinks; see the logs"
    );
    println!("   at the sinks: {before}\n");
    Ok((hash, before))
}

/// Applies a trial's documents, starts it and follows it to its end: the candidate's hash, and what
/// became of it.
async fn experiment(stage: &Stage, trial: &Trial) -> anyhow::Result<(String, Value)> {
    let (api, name) = (&stage.api, trial.name);
    println!(
        "2. Experiment: {}   (phoenix apply {})",
        trial.what, trial.files
    );
    let candidate = apply(api, trial.candidate).await?;
    let applied = api
        .put(&format!("/experiments/{name}"), trial.experiment)
        .await?;
    show::course(&applied);
    api.post(&format!("/experiments/{name}/start"), &json!({}))
        .await?;
    let ended = show::follow(stage, name).await?;
    println!(
        "\n3. Verdict: {}, by step {}   (phoenix experiment explain {name})",
        ended["verdict"]["outcome"].as_str().unwrap_or("none"),
        show::speaks(&ended)
    );
    show::verdict(&ended);
    let windows = api.get(&format!("/experiments/{name}/windows")).await?;
    check::shadow_is_what_the_sinks_count(stage, &ended, &windows).await?;
    Ok((candidate, ended))
}

async fn promotion(stage: &Stage, before: &Meter) -> anyhow::Result<()> {
    let (candidate, ended) = experiment(stage, &GOOD).await?;
    ensure!(
        ended["verdict"]["outcome"] == "promote",
        "the verdict is not promote; see the reasons above"
    );
    println!("\n4. Promoted: the agents swap without a restart");
    let began = Instant::now();
    active(stage, &candidate).await?;
    println!(
        "   active on all agents ({} ms after the verdict was read)",
        began.elapsed().as_millis()
    );
    show::after_the_next_window(stage).await?;
    let after = Meter::watch(stage, 2 * WATCH).await?;
    println!("   at the sinks: {after}");
    println!(
        "   volume at the sinks fell by {:.1} % of points, {:.1} % of bytes",
        before.fall_of_points(&after),
        before.fall_of_bytes(&after)
    );
    ensure!(
        after.points < before.points,
        "the volume at the sinks did not fall"
    );
    show::money(&ended)?;
    println!("\nDone: verdict and sinks agree to the point.");
    Ok(())
}

async fn harm(stage: &Stage, baseline: &str) -> anyhow::Result<()> {
    let (candidate, ended) = experiment(stage, &HARMFUL).await?;
    ensure!(
        ended["verdict"]["outcome"] == "reject",
        "the harmful candidate was not rejected; see the reasons above"
    );
    println!("\n4. Stopped: nothing that left a node was changed");
    active(stage, baseline).await?;
    println!("   all agents run the baseline");
    let barred = stage.api.get("/quarantine").await?;
    for q in barred.as_array().into_iter().flatten() {
        ensure!(q["hash"] == candidate, "another pipeline is quarantined");
        println!(
            "   quarantined {}: {}",
            &candidate.get(..12).unwrap_or_default(),
            q["reason"].as_str().unwrap_or("-")
        );
    }
    println!("\nDone: the candidate that saved the most was stopped in shadow.");
    Ok(())
}

async fn apply(api: &Api, document: &str) -> anyhow::Result<String> {
    let applied = api.post_text("/pipelines", document).await?;
    Ok(applied["hash"]
        .as_str()
        .context("the server gave no hash")?
        .to_owned())
}

/// Waits until every agent runs `hash` and nothing beside it.
async fn active(stage: &Stage, hash: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let agents = stage.api.get("/agents").await?;
        let all = agents.as_array().map(Vec::as_slice).unwrap_or_default();
        let runs = |a: &Value| a["activeHash"] == hash && a["candidateHash"].is_null();
        if all.len() == stage.nodes.len() && all.iter().all(runs) {
            return Ok(());
        }
        if all.iter().any(|a| a["state"] == "rejected") || began.elapsed() > Duration::from_secs(30)
        {
            bail!("the agents do not run {hash}: {agents}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
