//! The engine on the real captures, beside the same work done with the generated types.
//!
//! Prints ns and bytes a point; `cargo bench -p phoenix-benches`. Needs the captures.

#![allow(clippy::panic)]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use phoenix_benches::requests::{captures, points, read};
use phoenix_engine::compile::{Plan, compile};
use phoenix_engine::engine::{Engine, Settings, latest_time};
use prost::Message;
use std::hint::black_box;
use std::sync::Arc;

const HEAD: &str =
    "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: p }\nspec: { stages: ";

fn plan(stages: &str) -> Arc<Plan> {
    let pipeline = compile(&format!("{HEAD}{stages} }}\n")).unwrap_or_else(|p| panic!("{p:?}"));
    Plan::new(pipeline, None).unwrap_or_else(|p| panic!("{p:?}"))
}

/// Pipelines by row name.
const STAGES: [(&str, &str); 22] = [
    ("decode (pass through)", "[]"),
    (
        "filter",
        "[ { id: f, filter: { drop: [ { metric: [\"*.memory.*\", \"*duration*\"] } ] } } ]",
    ),
    (
        "filter by value",
        "[ { id: f, filter: { drop: [ { metric: \"*\", value: { lt: 5 } } ] } } ]",
    ),
    (
        "filter of entities",
        "[ { id: f, filter: { match: {}, entity: [process.pid], drop_when: [ { metric: process.cpu.time, by: rate, below: 0.01 } ] } } ]",
    ),
    (
        "aggregate",
        "[ { id: a, aggregate: { match: { type: [sum, histogram, exponential_histogram] }, without: [process.pid, process.command_line, customer.id, url.path], interval: 60s } } ]",
    ),
    (
        "sample fraction",
        "[ { id: s, sample: { match: { metric: \"*\" }, fraction: 0.5, entity: [process.pid] } } ]",
    ),
    (
        "sample every",
        "[ { id: s, sample: { match: { metric: \"*\" }, every: 60s } } ]",
    ),
    (
        "histogram",
        "[ { id: h, histogram: { match: { metric: \"*\" }, max_scale: 2, bounds: [0.01, 0.1, 1, 10, 100, 1000] } } ]",
    ),
    (
        "histogram, explicit",
        "[ { id: h, histogram: { match: { metric: \"*\" }, to: explicit, bounds: [0.01, 0.1, 1, 10, 100, 1000] } } ]",
    ),
    (
        "temporality, delta",
        "[ { id: t, temporality: { match: { metric: \"*\" }, to: delta } } ]",
    ),
    (
        "temporality, delta and cumulative",
        "[ { id: t, temporality: { match: { metric: \"*\" }, to: delta } }, { id: u, temporality: { match: { metric: \"*\" }, to: cumulative } } ]",
    ),
    (
        "quantise",
        "[ { id: q, quantise: { match: { metric: \"*\" } } } ]",
    ),
    (
        "quantise, sample every",
        "[ { id: q, quantise: { match: { metric: \"*\" } } }, { id: s, sample: { match: { metric: \"*\" }, every: 60s } } ]",
    ),
    (
        "aggregate, originals kept",
        "[ { id: a, aggregate: { match: { metric: \"*\" }, without: [process.pid, process.command_line, customer.id, url.path], function: max, summary: sum_count, rename: \"{name}.1m\", keep_original: true } } ]",
    ),
    (
        "sample fraction, weighted aggregate",
        "[ { id: s, sample: { match: { metric: \"*\" }, fraction: 0.5, entity: [process.pid] } }, { id: a, aggregate: { match: { type: [sum, histogram, exponential_histogram] }, without: [process.pid, process.command_line, customer.id, url.path], interval: 60s } } ]",
    ),
    (
        "sample deadband",
        "[ { id: s, sample: { match: { metric: \"*\" }, deadband: { relative: 0.05 } } } ]",
    ),
    (
        "sample unchanged",
        "[ { id: s, sample: { match: { metric: \"*\" }, unchanged: true } } ]",
    ),
    (
        "topk",
        "[ { id: t, topk: { entity: [process.pid], rank: { metric: process.cpu.time, by: rate }, k: 20, hysteresis: 2 } } ]",
    ),
    (
        "topk: everybody stays",
        "[ { id: t, topk: { entity: [process.pid], rank: { metric: \"process.*\", by: value }, k: 100000 } } ]",
    ),
    (
        "limit",
        "[ { id: l, limit: { series: 1000, per: metric, overflow: { keep: [service.name] } } } ]",
    ),
    (
        "transform",
        "[ { id: t, transform: { match: { metric: \"*\" }, ops: [ { rename_metric: { to: \"x.{name}\" } }, { set: { attribute: env, value: prod } } ] } } ]",
    ),
    (
        "transform + aggregate",
        "[ { id: t, transform: { match: { metric: \"*\" }, ops: [ { rename_metric: { to: \"x.{name}\" } }, { normalise: { attribute: url.path, patterns: [ids, uuids] } } ] } }, { id: a, aggregate: { match: { metric: \"*\" }, without: [process.pid, process.command_line, customer.id], interval: 60s } } ]",
    ),
];

struct Capture {
    name: &'static str,
    messages: Vec<(Bytes, u64)>,
    points: u64,
}

fn load() -> Vec<Capture> {
    let Some(folder) = captures() else {
        eprintln!("SKIPPED: no captures; set PHOENIX_CAPTURES");
        return Vec::new();
    };
    ["node-a-host", "node-a-app", "node-a-scrape"]
        .into_iter()
        .filter_map(|name| {
            let messages = read(&folder.join(format!("{name}.binpb.zst"))).ok()?;
            let decoded = messages
                .iter()
                .filter_map(|m| ExportMetricsServiceRequest::decode(m.clone()).ok());
            let points = decoded.map(|m| points(&m) as u64).sum();
            let mut now = 0;
            let timed = messages.into_iter().map(|m| {
                now = now.max(latest_time(&m).ok().flatten().unwrap_or(0));
                (m, now)
            });
            Some(Capture {
                name,
                messages: timed.collect(),
                points,
            })
        })
        .collect()
}

fn feed(engine: &mut Engine, capture: &Capture) -> u64 {
    let mut out = 0;
    for (message, now) in &capture.messages {
        if let Ok(fed) = engine.feed(message, *now) {
            out += fed.emitted.out.len() as u64;
        }
    }
    out
}

fn engine(c: &mut Criterion) {
    for capture in load() {
        let bytes: usize = capture.messages.iter().map(|(m, _)| m.len()).sum();
        println!(
            "{}: {} points, {:.0} bytes a point",
            capture.name,
            capture.points,
            bytes as f64 / capture.points as f64
        );
        let mut group = c.benchmark_group(capture.name);
        group
            .throughput(Throughput::Elements(capture.points))
            .sample_size(10);
        for (name, stages) in STAGES {
            let plan = plan(stages);
            let new = || Engine::new(Settings::default(), plan.clone(), 0);
            group.bench_function(format!("{name}: engine"), |b| {
                b.iter_batched(
                    new,
                    |mut e| black_box(feed(&mut e, &capture)),
                    BatchSize::PerIteration,
                )
            });
        }
        group.bench_function("decode + encode: generated types", |b| {
            b.iter(|| black_box(by_types(&capture, false)))
        });
        group.bench_function("decode + filter + encode: generated types", |b| {
            b.iter(|| black_box(by_types(&capture, true)))
        });
        let plans = [plan(STAGES[0].1), plan(STAGES[4].1)];
        let mut engine = Engine::new(Settings::default(), plans[1].clone(), 0);
        feed(&mut engine, &capture);
        let now = capture.messages.last().map_or(0, |m| m.1);
        let mut n = 0;
        group
            .throughput(Throughput::Elements(1))
            .bench_function("swap (all series known)", |b| {
                b.iter(|| {
                    n += 1;
                    black_box(engine.swap(plans[n % 2].clone(), now))
                })
            });
        group.finish();
    }
}

/// The same work through an object tree.
fn by_types(capture: &Capture, filter: bool) -> u64 {
    let mut out = 0;
    for (message, _) in &capture.messages {
        let Ok(mut request) = ExportMetricsServiceRequest::decode(message.clone()) else {
            continue;
        };
        if filter {
            for resource in &mut request.resource_metrics {
                for scope in &mut resource.scope_metrics {
                    scope
                        .metrics
                        .retain(|m| !m.name.contains(".memory.") && !m.name.contains("duration"));
                }
                resource.scope_metrics.retain(|s| !s.metrics.is_empty());
            }
            request
                .resource_metrics
                .retain(|r| !r.scope_metrics.is_empty());
        }
        out += request.encode_to_vec().len() as u64;
    }
    out
}

criterion_group!(benches, engine);
criterion_main!(benches);
