//! Rates at the sinks, counted by the sinks.

use super::http::Api;
use super::stage::Stage;
use anyhow::Context;
use std::fmt;
use std::time::{Duration, Instant};

/// What the sinks of one kind have counted so far, all nodes together.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    at: Instant,
    pub points: u64,
    bytes: u64,
}

/// Rates between two readings.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    /// Points a second.
    pub points: f64,
    /// Uncompressed OTLP bytes a second.
    pub bytes: f64,
    seconds: f64,
}

impl Reading {
    /// What has left the nodes.
    pub async fn left(stage: &Stage) -> anyhow::Result<Reading> {
        Reading::of(stage.nodes.iter().map(|n| &n.sink)).await
    }

    /// What a shadow candidate would have sent.
    pub async fn shadow(stage: &Stage) -> anyhow::Result<Reading> {
        Reading::of(stage.nodes.iter().map(|n| &n.shadow)).await
    }

    async fn of(sinks: impl Iterator<Item = &Api>) -> anyhow::Result<Reading> {
        let mut sum = Reading {
            at: Instant::now(),
            points: 0,
            bytes: 0,
        };
        for sink in sinks {
            let totals = sink.get("/totals").await?;
            let field = |key: &str| {
                totals[key]
                    .as_u64()
                    .with_context(|| format!("a sink gave no {key}"))
            };
            sum.points += field("points")?;
            sum.bytes += field("bytes")?;
        }
        Ok(sum)
    }
}

impl Meter {
    /// Watches what leaves the nodes for a while.
    pub async fn watch(stage: &Stage, span: Duration) -> anyhow::Result<Meter> {
        let from = Reading::left(stage).await?;
        tokio::time::sleep(span).await;
        Ok(Meter::between(from, Reading::left(stage).await?))
    }

    pub fn between(from: Reading, to: Reading) -> Meter {
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
