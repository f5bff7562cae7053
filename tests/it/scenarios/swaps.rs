//! Plans swapped under load: every increment is counted at the sink exactly once.

use super::counters::{CUMULATIVE, DELTA, HISTOGRAM, Increments, send};
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
    for n in 0..swaps() {
        let name = names[n % names.len()];
        let (status, body) = world
            .control
            .api
            .send(Method::PUT, "/assignments/all", Some(assignment(name)))
            .await;
        assert!(status.is_success(), "{body}");
        world.active(&hashes[name]).await;
    }
    stop.cancel();
    let mut truth = Increments::new();
    for sender in senders {
        truth.extend(
            sender
                .await
                .expect("no connection was dropped, no point refused"),
        );
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
        Some(truth.len() as u64),
        "every point was taken"
    );
    counts(&sink, |sink| {
        for metric in [CUMULATIVE, DELTA, HISTOGRAM] {
            let points: Vec<&Kept> = sink.kept().iter().filter(|p| p.metric == metric).collect();
            let sent: u64 = truth
                .iter()
                .filter(|(k, _)| k.0 == metric)
                .map(|(_, n)| n)
                .sum();
            assert!(
                points.len() > 1000,
                "{metric}: only {} points arrived",
                points.len()
            );
            assert_eq!(counted(metric, &points, &truth), sent, "{metric}");
        }
    });
}

/// The increments that arrived: a point that passed counts its own increment (known by its series and
/// time); an aggregated series counts the last value of each of its epochs, or its deltas.
fn counted(metric: &str, points: &[&Kept], truth: &Increments) -> u64 {
    let mut total = 0;
    let mut passed = std::collections::HashSet::new();
    let mut epochs: HashMap<(&str, u64), (u64, u64)> = HashMap::new();
    for point in points {
        let value = point
            .count
            .unwrap_or_else(|| point.value.expect("a value") as u64);
        if let (Some(a), Some(b)) = (point.attributes.get("a"), point.attributes.get("b")) {
            let key = (metric.to_owned(), a.clone(), b.clone(), point.time);
            total += truth
                .get(&key)
                .unwrap_or_else(|| panic!("{key:?} was never sent"));
            assert!(passed.insert(key), "a point arrived twice: {point:?}");
        } else if metric == DELTA {
            total += value;
        } else {
            let last = epochs.entry((&point.series, point.start)).or_default();
            assert!(
                point.time > last.0,
                "time of {} went back: {point:?}",
                point.series
            );
            assert!(
                value >= last.1,
                "a counter fell within its epoch: {point:?}"
            );
            *last = (point.time, value);
        }
    }
    total + epochs.values().map(|(_, value)| value).sum::<u64>()
}
