//! Nothing is allocated per point on the fast path: a known request costs a fixed number of
//! allocations, whatever its number of points.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use phoenix_engine::compile::{Candidate, Division, Plan, compile};
use phoenix_engine::engine::{Engine, Settings};
use prost::Message;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

const S: u64 = 1_000_000_000;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts what this thread allocates.
struct Counting;

// The one place for it: an allocator cannot be written without.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn attribute(key: &str, value: String) -> common::KeyValue {
    common::KeyValue {
        key: key.into(),
        value: Some(common::AnyValue {
            value: Some(common::any_value::Value::StringValue(value)),
        }),
        ..Default::default()
    }
}

/// `processes` resources of 4 metrics of 5 points: counters, gauges, histograms.
fn request(processes: u64, time: u64) -> Bytes {
    let point = |n: u64| pb::NumberDataPoint {
        attributes: vec![
            attribute("cpu", format!("cpu{n}")),
            attribute("state", "user".into()),
        ],
        start_time_unix_nano: S,
        time_unix_nano: time * S,
        value: Some(pb::number_data_point::Value::AsInt(
            (time * n).cast_signed(),
        )),
        ..Default::default()
    };
    let histogram = |n: u64| pb::HistogramDataPoint {
        attributes: vec![attribute("cpu", format!("cpu{n}"))],
        start_time_unix_nano: S,
        time_unix_nano: time * S,
        count: 3 * time,
        sum: Some(time as f64),
        bucket_counts: vec![time, time, time],
        explicit_bounds: vec![1.0, 2.0],
        ..Default::default()
    };
    let sum = |monotonic| {
        pb::metric::Data::Sum(pb::Sum {
            data_points: (0..5).map(point).collect(),
            aggregation_temporality: 2,
            is_monotonic: monotonic,
        })
    };
    let gauge = pb::metric::Data::Gauge(pb::Gauge {
        data_points: (0..5).map(point).collect(),
    });
    let histograms = pb::metric::Data::Histogram(pb::Histogram {
        data_points: (0..5).map(histogram).collect(),
        aggregation_temporality: 2,
    });
    let metric = |name: &str, data: &pb::metric::Data| pb::Metric {
        name: name.into(),
        data: Some(data.clone()),
        ..Default::default()
    };
    let metrics = [
        ("time", sum(true)),
        ("memory", sum(false)),
        ("load", gauge),
        ("latency", histograms),
    ];
    let resource_metrics = (0..processes).map(|pid| pb::ResourceMetrics {
        resource: Some(opentelemetry_proto::tonic::resource::v1::Resource {
            attributes: vec![
                attribute("host.name", "h".into()),
                attribute("process.pid", pid.to_string()),
            ],
            ..Default::default()
        }),
        scope_metrics: vec![pb::ScopeMetrics {
            metrics: metrics
                .iter()
                .map(|(name, data)| metric(name, data))
                .collect(),
            ..Default::default()
        }],
        ..Default::default()
    });
    pb::MetricsData {
        resource_metrics: resource_metrics.collect(),
    }
    .encode_to_vec()
    .into()
}

/// Allocations of one feed of a known request inside an open window.
fn allocations(plan: impl Fn() -> std::sync::Arc<Plan>, processes: u64) -> u64 {
    let mut engine = Engine::new(Settings::default(), plan(), 0);
    for time in 61..66 {
        engine.feed(&request(processes, time), time * S).unwrap();
    }
    let last = request(processes, 66);
    let before = COUNT.with(Cell::get);
    let fed = engine.feed(&last, 66 * S).unwrap();
    let count = COUNT.with(Cell::get) - before;
    assert_eq!(fed.received, processes * 20);
    count
}

#[test]
fn a_known_request_allocates_no_more_for_ten_times_the_points() {
    let alone = |stages: &str| {
        let text = format!(
            "{{apiVersion: phoenix/v1, kind: Pipeline, metadata: {{name: p}}, spec: {{stages: {stages}}}}}"
        );
        compile(&text).unwrap()
    };
    let pipelines = [
        "[]",
        "[{id: f, filter: {drop: [{metric: load}, {attributes: {cpu: cpu1}}]}}]",
        "[{id: f, filter: {drop: [{metric: \"*\", value: {lt: 70}}]}}]",
        "[{id: i, filter: {match: {}, entity: [process.pid], drop_when: [{metric: time, by: rate, below: 1}], for: 10s, interval: 10s}}]",
        "[{id: s, sample: {match: {}, fraction: 0.5, entity: [process.pid]}}]",
        "[{id: e, sample: {match: {}, every: 60s}}]",
        "[{id: q, quantise: {match: {}}}]",
        "[{id: q, quantise: {match: {}}}, {id: e, sample: {match: {}, every: 60s}}]",
        "[{id: h, histogram: {match: {}, bounds: [2]}}]",
        "[{id: t, temporality: {match: {}, to: delta}}]",
        "[{id: t, temporality: {match: {}, to: delta}}, {id: u, temporality: {match: {}, to: cumulative}}]",
        "[{id: u, sample: {match: {}, unchanged: true}}]",
        "[{id: d, sample: {match: {}, deadband: {relative: 0.5}}}]",
        "[{id: s, sample: {match: {}, fraction: 0.5, entity: [process.pid]}}, {id: a, aggregate: {match: {type: sum}, without: [cpu], interval: 60s}}]",
        "[{id: a, aggregate: {match: {type: sum}, without: [cpu], interval: 60s}}]",
        "[{id: a, aggregate: {match: {type: gauge}, without: [process.pid], function: sum, interval: 60s}}]",
        "[{id: a, aggregate: {match: {type: histogram}, without: [process.pid], interval: 60s}}]",
    ];
    for stages in pipelines {
        let plan = || Plan::new(alone(stages), None).unwrap();
        let shadow = || {
            let candidate = Candidate {
                pipeline: alone(stages),
                experiment: "x".into(),
                division: Division::Shadow,
                protect: Vec::new(),
                scope: Vec::new(),
            };
            Plan::new(alone("[]"), Some(candidate)).unwrap()
        };
        for (name, few, many) in [
            ("alone", allocations(plan, 10), allocations(plan, 100)),
            ("shadow", allocations(shadow, 10), allocations(shadow, 100)),
        ] {
            println!("{name} {stages}: {few} allocations for 200 points, {many} for 2000");
            // Buffers that grow by doubling may grow once or twice more.
            assert!(
                many <= few + 16,
                "{name} {stages}: {few} for 200 points, {many} for 2000"
            );
        }
    }
}
