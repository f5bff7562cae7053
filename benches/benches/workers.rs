//! Two engines on two threads, fed from memory, beside one: what a second worker brings.
//!
//! Prints points a second by the clock and by the CPU time of the busiest thread (the clock says
//! nothing on a machine that does other work), and the ratio to one engine: with requests that were
//! dealt before (senders that are one resource), and with each thread dealing half of them, which all
//! have to be divided. An edge every 64 requests. Synthetic: 40 resources a request. Beside it what the
//! machine lets two threads do by the clock: the same requests to two engines that share nothing.

#![allow(clippy::panic, clippy::unwrap_used)]

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::resource::v1::Resource;
use phoenix_engine::compile::{Plan, compile};
use phoenix_engine::deal::{Dealer, Dealt};
use phoenix_engine::engine::{Engine, Limits, Place, Settings, Share};
use prost::Message;
use std::hint::black_box;
use std::sync::{Arc, mpsc};
use std::time::Instant;

const SECOND: u64 = 1_000_000_000;
const ROUNDS: u64 = 300;
const RESOURCES: u64 = 40;
const POINTS: u64 = 25;
const EDGE: usize = 64;

const STAGES: [(&str, &str); 3] = [
    ("pass through", "[]"),
    (
        "filter",
        "[ { id: f, filter: { drop: [ { attributes: { n: \"1?\" } } ] } } ]",
    ),
    (
        "aggregate",
        "[ { id: a, aggregate: { match: { metric: \"*\" }, without: [pid], interval: 10s, lateness: 0s } } ]",
    ),
];

fn text(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..Default::default()
    }
}

fn request(round: u64) -> Bytes {
    let now = round * SECOND;
    let point = |n: u64| otlp::NumberDataPoint {
        attributes: vec![text("n", n.to_string()), text("route", format!("/r/{n}"))],
        start_time_unix_nano: 1,
        time_unix_nano: now,
        value: Some(otlp::number_data_point::Value::AsInt(
            (round * n).cast_signed(),
        )),
        ..Default::default()
    };
    let of = |pid: u64| otlp::ResourceMetrics {
        resource: Some(Resource {
            attributes: vec![text("pid", pid.to_string()), text("host.name", "h1".into())],
            ..Default::default()
        }),
        scope_metrics: vec![otlp::ScopeMetrics {
            metrics: vec![otlp::Metric {
                name: "work.done".into(),
                data: Some(otlp::metric::Data::Sum(otlp::Sum {
                    data_points: (0..POINTS).map(point).collect(),
                    aggregation_temporality: 2,
                    is_monotonic: true,
                })),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let all = ExportMetricsServiceRequest {
        resource_metrics: (0..RESOURCES).map(of).collect(),
    };
    all.encode_to_vec().into()
}

/// CPU time of this thread, nanoseconds.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn engine(plan: &Arc<Plan>, worker: usize, of: usize) -> Engine {
    let settings = Settings {
        place: Place { worker, of },
        ..Settings::default()
    };
    Engine::new(settings, plan.clone(), 0)
}

/// Wall and busiest thread's CPU time, nanoseconds.
fn one(plan: &Arc<Plan>, requests: &[Bytes]) -> (u64, u64) {
    let (began, used) = (Instant::now(), cpu());
    let mut engine = engine(plan, 0, 1);
    for (round, request) in requests.iter().enumerate() {
        engine.feed(request, (round as u64 + 1) * SECOND).unwrap();
    }
    (began.elapsed().as_nanos() as u64, cpu() - used)
}

/// As `one`, by two engines that know nothing of each other.
fn apart(plan: &Arc<Plan>, parts: [&[Bytes]; 2]) -> (u64, u64) {
    let began = Instant::now();
    let busiest = std::thread::scope(|scope| {
        let other = scope.spawn(|| one(plan, parts[1]).1);
        one(plan, parts[0]).1.max(other.join().unwrap())
    });
    (began.elapsed().as_nanos() as u64, busiest)
}

fn two(plan: &Arc<Plan>, parts: [&[Bytes]; 2]) -> (u64, u64) {
    let began = Instant::now();
    let (give, take) = mpsc::sync_channel::<Share>(1024);
    let other = |requests: &[Bytes]| {
        let mut engine = engine(plan, 1, 2);
        for (round, request) in requests.iter().enumerate() {
            let now = (round as u64 + 1) * SECOND;
            engine.feed(request, now).unwrap();
            if round % EDGE == EDGE - 1 {
                give.send(engine.tick_share(now).1).unwrap();
            }
        }
        cpu()
    };
    let busiest = std::thread::scope(|scope| {
        let helper = scope.spawn(move || other(parts[1]));
        let used = cpu();
        let mut engine = engine(plan, 0, 2);
        for (round, request) in parts[0].iter().enumerate() {
            let now = (round as u64 + 1) * SECOND;
            engine.feed(request, now).unwrap();
            if round % EDGE == EDGE - 1 {
                engine.tick_merge(vec![take.recv().unwrap()], now);
            }
        }
        (cpu() - used).max(helper.join().unwrap())
    });
    (began.elapsed().as_nanos() as u64, busiest)
}

fn main() {
    let requests: Vec<Bytes> = (1..=ROUNDS).map(request).collect();
    let mut dealer = Dealer::new(2, 1, Limits::default());
    let mut parts: [Vec<Bytes>; 2] = Default::default();
    for request in &requests {
        let Ok(Dealt::Parts(dealt)) = dealer.deal(request) else {
            panic!("all resources of one worker");
        };
        for (worker, part) in dealt {
            parts[worker].push(part);
        }
    }
    // Again, of what is known now, and as in an agent: parts are let go once they are fed.
    let began = cpu();
    for request in &requests {
        drop(black_box(dealer.deal(request)));
    }
    let points = ROUNDS * RESOURCES * POINTS;
    let dealing = (cpu() - began) as f64;
    let each = dealing / points as f64;
    println!("dealing and validating: {each:.0} ns a point");
    println!(
        "| pipeline | one engine, M points/s | two, M points/s | ratio | two that share nothing | by CPU of the busiest | with dealing |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, stages) in STAGES {
        let document = format!(
            "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec: {{ stages: {stages} }}\n"
        );
        let pipeline = compile(&document).unwrap_or_else(|p| panic!("{p:?}"));
        let plan = Plan::new(pipeline, None).unwrap_or_else(|p| panic!("{p:?}"));
        let median = |mut runs: Vec<(u64, u64)>| {
            runs.sort_unstable_by_key(|run| run.1);
            runs[runs.len() / 2]
        };
        let alone = median((0..5).map(|_| one(&plan, &requests)).collect());
        let pair = median((0..5).map(|_| two(&plan, [&parts[0], &parts[1]])).collect());
        let free = median(
            (0..5)
                .map(|_| apart(&plan, [&parts[0], &parts[1]]))
                .collect(),
        );
        let rate = |nanos: u64| points as f64 * 1e3 / nanos as f64;
        println!(
            "| {name} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            rate(alone.0),
            rate(pair.0),
            alone.0 as f64 / pair.0 as f64,
            alone.0 as f64 / free.0 as f64,
            alone.1 as f64 / pair.1 as f64,
            alone.1 as f64 / (pair.1 as f64 + dealing / 2.0),
        );
    }
}
