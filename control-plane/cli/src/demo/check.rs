//! The verdict beside what the sinks counted, window by window, to the point.

use super::http::Api;
use super::stage::Stage;
use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Compares each window that the verdict used with the same stretch of the sinks' streams, and their
/// sums with the verdict's figures.
pub async fn verdict_is_what_the_sinks_count(
    stage: &Stage,
    experiment: &Value,
    windows: &Value,
) -> anyhow::Result<()> {
    let all = windows.as_array().context("windows")?;
    let used: Vec<&Value> = all.iter().filter(|w| w["voidReason"] == "").collect();
    let mut sums = [[0u64; 2]; 2];
    for window in &used {
        for (n, (arm, sink)) in [("baseline", &stage.sink), ("candidate", &stage.shadow)]
            .into_iter()
            .enumerate()
        {
            let arm = &window[arm];
            let counted = range(sink, arm).await?;
            for (what, said, seen) in [
                ("points", &arm["ledger"]["exported"], &counted["points"]),
                ("series", &arm["seriesOut"]["exact"], &counted["series"]),
                ("bytes", &arm["bytesOut"], &counted["bytes"]),
            ] {
                ensure!(
                    said == seen,
                    "{what}: the agent reported {said}, the sink counted {seen}, in window {window}"
                );
            }
            sums[n][0] += counted["points"].as_u64().context("points")?;
            sums[n][1] += counted["bytes"].as_u64().context("bytes")?;
        }
    }
    let verdict = &experiment["verdict"];
    ensure!(
        verdict["windows"]["used"].as_u64() == Some(used.len() as u64),
        "the verdict used {} windows, {} are comparable",
        verdict["windows"]["used"],
        used.len()
    );
    for (unit, n) in [("points", 0), ("bytes", 1)] {
        for (arm, counted) in [("baseline", sums[0][n]), ("candidate", sums[1][n])] {
            let said = &verdict["savings"][unit][arm];
            ensure!(
                said.as_f64() == Some(counted as f64),
                "{unit} of the {arm}: the verdict says {said}, the sink counted {counted}"
            );
        }
    }
    println!(
        "   sinks: {} windows; points {} -> {}, bytes {} -> {}: equal to the verdict in points, bytes and series of every window",
        used.len(),
        sums[0][0],
        sums[1][0],
        sums[0][1],
        sums[1][1]
    );
    Ok(())
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
