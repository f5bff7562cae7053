//! What the demo prints: rates at the sinks, the running table, the verdict.

use super::http::Api;
use super::stage::Stage;
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// Rates at a sink, measured between two readings of its totals.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    /// Points a second.
    pub points: f64,
    /// Uncompressed OTLP bytes a second.
    pub bytes: f64,
    seconds: f64,
}

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    points: u64,
    bytes: u64,
    series: u64,
}

async fn read(sink: &Api) -> anyhow::Result<Reading> {
    let totals = sink.get("/totals").await?;
    let field = |key: &str| {
        totals[key]
            .as_u64()
            .with_context(|| format!("the sink gave no {key}"))
    };
    Ok(Reading {
        at: Instant::now(),
        points: field("points")?,
        bytes: field("bytes")?,
        series: field("series")?,
    })
}

impl Meter {
    /// Watches a sink for a while.
    pub async fn watch(sink: &Api, span: Duration) -> anyhow::Result<Meter> {
        let from = read(sink).await?;
        tokio::time::sleep(span).await;
        Ok(Meter::between(from, read(sink).await?))
    }

    fn between(from: Reading, to: Reading) -> Meter {
        let seconds = to.at.duration_since(from.at).as_secs_f64().max(1e-9);
        Meter {
            points: (to.points - from.points) as f64 / seconds,
            bytes: (to.bytes - from.bytes) as f64 / seconds,
            seconds,
        }
    }

    pub fn fall_of_points(&self, after: &Meter) -> f64 {
        100.0 * (1.0 - after.points / self.points)
    }

    pub fn fall_of_bytes(&self, after: &Meter) -> f64 {
        100.0 * (1.0 - after.bytes / self.bytes)
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} points/s, {:.1} kB/s (counted over {:.0} s)",
            self.points,
            self.bytes / 1e3,
            self.seconds
        )
    }
}

/// One row a second while the experiment runs; what it became.
pub async fn follow(stage: &Stage, name: &str) -> anyhow::Result<Value> {
    println!("   counted at the sinks since the experiment began; rates over the last 5 s");
    println!(
        "   {:>4} {:<13} {:>7} {:>11} {:>11} {:>9} {:>9} {:>8} {:>13}",
        "s",
        "phase",
        "windows",
        "baseline/s",
        "candidate/s",
        "series",
        "series",
        "saving",
        "protected"
    );
    let first = [read(&stage.sink).await?, read(&stage.shadow).await?];
    let mut last: VecDeque<[Reading; 2]> = VecDeque::from([first]);
    let began = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = [read(&stage.sink).await?, read(&stage.shadow).await?];
        let experiment = stage.api.get(&format!("/experiments/{name}")).await?;
        let windows = stage
            .api
            .get(&format!("/experiments/{name}/windows"))
            .await?;
        let past = *last.front().unwrap_or(&first);
        let [base, cand] = [
            Meter::between(past[0], now[0]),
            Meter::between(past[1], now[1]),
        ];
        let grown = |n: usize| now[n].points - first[n].points;
        let saving = match grown(1) {
            0 => "-".to_owned(),
            n => format!("{:.1} %", 100.0 * (1.0 - n as f64 / grown(0) as f64)),
        };
        let phase = experiment["phase"].as_str().unwrap_or("-").to_owned();
        println!(
            "   {:>4.0} {:<13} {:>7} {:>11.0} {:>11.0} {:>9} {:>9} {:>8} {:>13}",
            began.elapsed().as_secs_f64(),
            phase,
            usable(&windows),
            base.points,
            cand.points,
            now[0].series,
            now[1].series,
            saving,
            protected(&windows)
        );
        last.push_back(now);
        if last.len() > 5 {
            last.pop_front();
        }
        match phase.as_str() {
            "Completed" => return Ok(experiment),
            "Failed" | "Cancelled" => bail!(
                "the experiment {phase}: {}",
                experiment["reason"].as_str().unwrap_or("no reason given")
            ),
            _ if began.elapsed() > Duration::from_secs(150) => bail!("the experiment does not end"),
            _ => {}
        }
    }
}

/// Windows that can be compared.
fn usable(windows: &Value) -> usize {
    windows.as_array().map_or(0, |all| {
        all.iter().filter(|w| w["voidReason"] == "").count()
    })
}

/// Protected points that left the candidate arm, of those that came in.
fn protected(windows: &Value) -> String {
    let all = windows.as_array().map(Vec::as_slice).unwrap_or_default();
    let sum = |key: &str| {
        all.iter()
            .filter_map(|w| w["candidate"]["protected"][key].as_u64())
            .sum::<u64>()
    };
    match sum("pointsIn") {
        0 => "-".to_owned(),
        n => format!("{}/{n}", sum("pointsOut")),
    }
}

/// The verdict's criteria and savings.
pub fn verdict(experiment: &Value) {
    let verdict = &experiment["verdict"];
    for criterion in verdict["criteria"].as_array().into_iter().flatten() {
        let word = |key: &str| criterion[key].as_str().unwrap_or("-").to_owned();
        println!(
            "   {:<14} {:<13} {}",
            word("name"),
            word("outcome"),
            word("reason")
        );
    }
    for unit in ["points", "series", "bytes"] {
        let saving = &verdict["savings"][unit];
        let number = |key: &str| saving[key].as_f64();
        if let (Some(baseline), Some(candidate), Some(part)) =
            (number("baseline"), number("candidate"), number("saving"))
        {
            println!(
                "   {unit:<7} {baseline:>12.0} -> {candidate:>12.0}   saving {:.2} %",
                100.0 * part
            );
        }
    }
}

/// Waits until a full window of the new plan has reached the sink.
pub async fn after_the_next_window(stage: &Stage) -> anyhow::Result<()> {
    let from = read(&stage.sink).await?;
    let began = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = read(&stage.sink).await?;
        if began.elapsed() > Duration::from_secs(6) && now.points > from.points {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(30) {
            bail!("nothing reached the sink after the swap");
        }
    }
}
