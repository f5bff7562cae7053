//! The verdict beside what the sinks counted, report by report, to the point.

use super::http::Api;
use super::stage::{Node, Stage};
use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Compares each report of the shadow step that its verdict used with the same stretch of the sinks'
/// streams, and their sums with the verdict's figures.
pub async fn shadow_is_what_the_sinks_count(
    stage: &Stage,
    experiment: &Value,
    windows: &Value,
) -> anyhow::Result<()> {
    let all = windows.as_array().context("windows")?;
    let shadow = |w: &&Value| w["step"] == "shadow" && w["voidReason"] == "";
    let used: Vec<&Value> = all.iter().filter(shadow).collect();
    let mut sums = [[0u64; 2]; 2];
    for window in &used {
        let node = node_of(stage, window)?;
        let arms = [("baseline", &node.sink), ("candidate", &node.shadow)];
        for (sum, (arm, sink)) in sums.iter_mut().zip(arms) {
            let counted = equal(window, arm, sink).await?;
            sum[0] += counted["points"].as_u64().context("points")?;
            sum[1] += counted["bytes"].as_u64().context("bytes")?;
        }
    }
    let steps = experiment["steps"].as_array().context("steps")?;
    let step = steps.iter().find(|s| s["step"] == "shadow");
    let verdict = step.map(|s| &s["verdict"]).context("a shadow step")?;
    let reports = &verdict["windows"]["reports"]["used"];
    ensure!(
        reports.as_u64() == Some(used.len() as u64),
        "the verdict used {reports} reports, {} are comparable",
        used.len()
    );
    for (unit, n) in [("points", 0), ("bytes", 1)] {
        for (arm, counted) in [("baseline", sums[0][n]), ("candidate", sums[1][n])] {
            let said = &verdict["savings"][unit][arm];
            ensure!(
                said.as_f64() == Some(counted as f64),
                "{unit} of the {arm}: the verdict says {said}, the sinks counted {counted}"
            );
        }
    }
    let [[points, bytes], [fewer, less]] = sums;
    println!(
        "   sinks: {} windows of {} nodes; points {points} -> {fewer}, bytes {bytes} -> {less}: equal to the verdict on the shadow step",
        used.len(),
        stage.nodes.len(),
    );
    Ok(())
}

fn node_of<'a>(stage: &'a Stage, window: &Value) -> anyhow::Result<&'a Node> {
    let mut nodes = stage.nodes.iter();
    nodes
        .find(|n| window["agent"] == n.identity.as_str())
        .with_context(|| format!("no node {}", window["agent"]))
}

/// What the sink counted in a window; an error where the agent reported something else.
async fn equal(window: &Value, arm: &str, sink: &Api) -> anyhow::Result<Value> {
    let arm = &window[arm];
    let counted = range(sink, arm).await?;
    for (what, said, seen) in [
        ("points", &arm["ledger"]["exported"], &counted["points"]),
        ("series", &arm["seriesOut"]["exact"], &counted["series"]),
        ("bytes", &arm["bytesOut"], &counted["bytes"]),
        ("samples", &arm["samplesOut"], &counted["samples"]),
    ] {
        ensure!(
            said == seen,
            "{what}: the agent reported {said}, the sink counted {seen}, in window {window}"
        );
    }
    Ok(counted)
}

/// The stretch of an arm's stream at its sink; waits until it has arrived.
async fn range(sink: &Api, arm: &Value) -> anyhow::Result<Value> {
    let at = |key: &str| {
        arm[key]
            .as_u64()
            .with_context(|| format!("{key} is missing in {arm}"))
    };
    let (from, to) = (at("streamFrom")?, at("streamTo")?);
    let began = Instant::now();
    while sink.get("/totals").await?["points"].as_u64().unwrap_or(0) < to {
        if began.elapsed() > Duration::from_secs(10) {
            bail!("the sink has not received what the agent says it sent: position {to}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sink.get(&format!("/range?from={from}&to={to}")).await
}
