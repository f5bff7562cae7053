//! What the demo prints while an experiment runs, and its verdict.

use super::meter::{Meter, Reading};
use super::stage::Stage;
use crate::prices::one_line;
use anyhow::{Context, bail, ensure};
use phoenix_analysis::prices::{Estimate, seen};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What each step of an experiment is there for.
pub fn course(experiment: &Value) {
    for step in experiment["steps"].as_array().into_iter().flatten() {
        let name = step["step"].as_str().unwrap_or("-");
        let what = match name {
            "aa" => "the baseline twice: is the measuring right?",
            "shadow" => {
                "both see everything, the baseline's output leaves: is enough saved, is anything harmed?"
            }
            "ramp 100%" => "the candidate's output leaves every node",
            "bake" => "the same, watched for longer; then it is promoted",
            name if name.starts_with("ramp") => {
                "the candidate's output leaves some nodes, the others are compared with them"
            }
            _ => "-",
        };
        println!("   {name:<12} {what}");
    }
    println!();
}

/// A line for each step and every few seconds, until the experiment is over; what it became.
pub async fn follow(stage: &Stage, name: &str) -> anyhow::Result<Value> {
    const EVERY: Duration = Duration::from_secs(3);
    println!(
        "   {:>4}  {:<12} {:<13} {:>8} {:>10} {:>14} {:>13}",
        "s", "step", "phase", "windows", "leaves/s", "would leave/s", "second arm on"
    );
    let began = Instant::now();
    let mut last = [Reading::left(stage).await?, Reading::shadow(stage).await?];
    let (mut step, mut shown) = (String::new(), Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let e = stage.api.get(&format!("/experiments/{name}")).await?;
        let phase = e["phase"].as_str().unwrap_or("-");
        let over = matches!(phase, "Completed" | "Failed" | "Cancelled");
        let now = e["step"].as_str().unwrap_or("-");
        if over || now != step || shown.elapsed() >= EVERY {
            if now != step {
                passed(&e, &step);
            }
            let readings = [Reading::left(stage).await?, Reading::shadow(stage).await?];
            let [left, would] = [0, 1].map(|n| Meter::between(last[n], readings[n]));
            println!(
                "   {:>4.0}  {:<12} {:<13} {:>8} {:>10.0} {:>14.0} {:>13}",
                began.elapsed().as_secs_f64(),
                now,
                phase,
                e.pointer("/live/windows")
                    .map_or("-".into(), Value::to_string),
                left.points,
                would.points,
                format!(
                    "{} of {}",
                    e["chosen"].as_array().map_or(0, Vec::len),
                    stage.nodes.len()
                )
            );
            (last, shown) = (readings, Instant::now());
            step = now.to_owned();
        }
        match phase {
            "Completed" => return Ok(e),
            "Failed" | "Cancelled" => bail!(
                "the experiment {phase}: {}",
                e["reason"].as_str().unwrap_or("no reason given")
            ),
            _ if began.elapsed() > Duration::from_secs(240) => bail!("the experiment does not end"),
            _ => {}
        }
    }
}

/// Why a step was passed.
fn passed(e: &Value, step: &str) {
    let steps = e["steps"].as_array().into_iter().flatten();
    for ended in steps.filter(|s| s["step"] == step && s["endedAt"].is_string()) {
        let word = |key: &str| ended[key].as_str().unwrap_or("-").to_owned();
        println!("         {step} {}: {}", word("state"), word("reason"));
    }
}

/// The step that the verdict is of: the one that stopped it, or else the one that showed the goal.
pub fn speaks(experiment: &Value) -> &str {
    let steps = experiment["steps"].as_array().into_iter().flatten();
    let stopped = steps.into_iter().find(|s| s["state"] == "stopped");
    stopped.and_then(|s| s["step"].as_str()).unwrap_or("shadow")
}

/// The verdict's criteria and its savings.
pub fn verdict(experiment: &Value) {
    let verdict = &experiment["verdict"];
    for criterion in verdict["criteria"].as_array().into_iter().flatten() {
        let word = |key: &str| criterion[key].as_str().unwrap_or("-").to_owned();
        if word("outcome") != "not asked" {
            println!(
                "   {:<18} {:<9} {}",
                word("name"),
                word("outcome"),
                word("reason")
            );
        }
    }
    for unit in ["points", "series", "bytes", "samples"] {
        let saving = &verdict["savings"][unit];
        // Series are distinct in a window: their sum over windows means nothing to people.
        let (label, windows) = match unit {
            "series" => ("series a window", verdict["windows"]["used"].as_f64()),
            other => (other, Some(1.0)),
        };
        let number = |key: &str| saving[key].as_f64();
        if let (Some(baseline), Some(candidate), Some(part), Some(n)) = (
            number("baseline"),
            number("candidate"),
            number("saving"),
            windows,
        ) {
            println!(
                "   {label:<18} {:>12.0} -> {:>12.0}   saving {:.2} %",
                baseline / n,
                candidate / n,
                100.0 * part
            );
        }
    }
}

/// What the saving is worth in a month under every price book that gives an amount.
pub fn money(experiment: &Value) -> anyhow::Result<()> {
    let money = experiment["verdict"]["money"].clone();
    let estimates: Vec<Estimate> = serde_json::from_value(money).context("verdict.money")?;
    ensure!(!estimates.is_empty(), "the verdict has no estimates");
    let (known, unknown): (Vec<_>, Vec<_>) = estimates.iter().partition(|e| e.unknown.is_none());
    let hours = estimates.first().map_or(0.0, |e| e.hours);
    println!(
        "   worth in a month (saved of the bill), for what these nodes send; extrapolated from {}:",
        seen(hours)
    );
    for estimate in known {
        println!("     {:<27} {}", estimate.book, one_line(estimate));
    }
    println!(
        "     no amount: {}   (phoenix prices list; --book takes your own)",
        unknown
            .iter()
            .map(|e| e.book.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(())
}

/// Waits until full windows of the new plan have reached the sinks.
pub async fn after_the_next_window(stage: &Stage) -> anyhow::Result<()> {
    let from = Reading::left(stage).await?;
    let began = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = Reading::left(stage).await?;
        if began.elapsed() > Duration::from_secs(6) && now.points > from.points {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(30) {
            bail!("nothing reached the sinks after the swap");
        }
    }
}
