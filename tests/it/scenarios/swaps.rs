//! Plans swapped under load: every increment is counted at the sink exactly once.

use super::counters::{CUMULATIVE, DELTA, HISTOGRAM, Sent, increment, send};
use super::world::{World, assignment, counts, pipeline};
use phoenix_simulator::sink::Kept;
use reqwest::Method;
use std::collections::HashMap;
use tokio_util::sync::CancellationToken;

/// 200; a soak asks for more by `PHOENIX_SWAPS`.
fn swaps() -> usize {
    let asked = std::env::var("PHOENIX_SWAPS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// Plans that aggregate the same counters by different attributes, and one that passes everything.
fn plans() -> String {
    let fold = |name: &str, keys: &str| {
        let stage = format!(
            "  stages:\n    - id: {name}\n      aggregate: {{ match: {{ metric: \"t.*\" }}, without: [{keys}], interval: 1s, lateness: 1s }}"
        );
        pipeline(name, &stage)
    };
    pipeline("pass", "  stages: []")
        + &fold("by-b", "a")
        + &fold("by-a", "b")
        + &fold("by-none", "a, b")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_swaps_under_load_count_every_increment_once() {
    let world = World::start().await;
    world.apply(&plans()).await;
    world.assign("pass").await;
    let stop = CancellationToken::new();
    let senders: Vec<_> = (0..3)
        .map(|n| {
            tokio::spawn(send(
                world.agent.grpc,
                format!("sender-{n}"),
                n,
                stop.clone(),
            ))
        })
        .collect();
    let names = [
        "by-b", "pass", "by-a", "by-none", "by-b", "by-a", "pass", "by-none",
    ];
    let mut hashes = HashMap::new();
    for name in names {
        let found = world.control.api.get(&format!("/pipelines/{name}")).await;
        hashes.insert(name, found["hash"].as_str().expect("hash").to_owned());
    }
    let mut arrived = Arrived::default();
    for n in 0..swaps() {
        let name = names[n % names.len()];
        let (status, body) = world
            .control
            .api
            .send(Method::PUT, "/assignments/all", Some(assignment(name)))
            .await;
        assert!(status.is_success(), "{body}");
        world.active(&hashes[name]).await;
        if n % 100 == 99 {
            arrived.take(counts(&world.sink, |sink| sink.take_kept()));
            eprintln!("{} swaps, {} points arrived", n + 1, arrived.points());
        }
    }
    stop.cancel();
    let mut sent = Vec::<Sent>::new();
    for sender in senders {
        let done = sender.await;
        sent.push(done.expect("no connection was dropped, no point refused"));
    }
    let ledger = world.ledger().await;
    let World {
        mut agent, sink, ..
    } = world;
    assert!(
        agent.process.terminate().await.success(),
        "{}",
        agent.process.output()
    );

    assert_eq!(
        ledger["baseline"]["received"].as_u64(),
        Some(sent.iter().map(|sent| sent.points).sum()),
        "every point was taken"
    );
    arrived.take(counts(&sink, |sink| sink.take_kept()));
    for metric in [CUMULATIVE, DELTA, HISTOGRAM] {
        let expected: u64 = sent.iter().map(|sent| sent.increments[metric]).sum();
        let (points, counted) = arrived.counted(metric);
        assert!(points > 1000, "{metric}: only {points} points arrived");
        assert_eq!(counted, expected, "{metric}");
    }
}

/// The increments that arrived: a point that passed counts its own increment (known by its series and
/// time); an aggregated series counts the last value of each of its epochs, or its deltas.
#[derive(Default)]
struct Arrived {
    metrics: HashMap<String, Metric>,
    /// Time of the last point that passed, by series.
    passed: HashMap<String, u64>,
}

#[derive(Default)]
struct Metric {
    points: u64,
    /// Of points that are no part of an epoch.
    alone: u64,
    /// Last time and value, by series and start.
    epochs: HashMap<(String, u64), (u64, u64)>,
}

impl Arrived {
    fn take(&mut self, points: Vec<Kept>) {
        for point in points {
            let metric = self.metrics.entry(point.metric.clone()).or_default();
            metric.points += 1;
            let value = point
                .count
                .unwrap_or_else(|| point.value.expect("a value") as u64);
            if let (Some(a), Some(b)) = (point.attributes.get("a"), point.attributes.get("b")) {
                metric.alone += increment(&point.metric, (a, b), point.time);
                let last = self.passed.entry(point.series.clone()).or_default();
                assert!(point.time > *last, "a point arrived twice: {point:?}");
                *last = point.time;
            } else if point.metric == DELTA {
                metric.alone += value;
            } else {
                let epoch = (point.series.clone(), point.start);
                let last = metric.epochs.entry(epoch).or_default();
                assert!(point.time > last.0, "time went back: {point:?}");
                assert!(
                    value >= last.1,
                    "a counter fell within its epoch: {point:?}"
                );
                *last = (point.time, value);
            }
        }
    }

    fn points(&self) -> u64 {
        self.metrics.values().map(|metric| metric.points).sum()
    }

    /// Points and increments of a metric.
    fn counted(&self, metric: &str) -> (u64, u64) {
        let Some(metric) = self.metrics.get(metric) else {
            return (0, 0);
        };
        let epochs: u64 = metric.epochs.values().map(|(_, value)| value).sum();
        (metric.points, metric.alone + epochs)
    }
}
