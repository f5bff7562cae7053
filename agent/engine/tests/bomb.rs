//! A flood of new series with long values stays inside the declared limits, keeps what can be added,
//! and harms nobody else. `PHOENIX_BOMB`: how many series (`scripts/test-long bomb`: ten million).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use phoenix_engine::compile::{Plan, compile};
use phoenix_engine::engine::{Engine, Limits, Settings};
use prost::Message;

const S: u64 = 1_000_000_000;

fn attribute(key: &str, value: String) -> common::KeyValue {
    common::KeyValue {
        key: key.into(),
        value: Some(common::AnyValue {
            value: Some(common::any_value::Value::StringValue(value)),
        }),
        ..Default::default()
    }
}

fn metric(name: &str, data: pb::metric::Data) -> pb::Metric {
    pb::Metric {
        name: name.into(),
        data: Some(data),
        ..Default::default()
    }
}

fn sum(temporality: i32, points: Vec<pb::NumberDataPoint>) -> pb::metric::Data {
    pb::metric::Data::Sum(pb::Sum {
        data_points: points,
        aggregation_temporality: temporality,
        is_monotonic: true,
    })
}

/// A calm counter of 10 series, and new series of three kinds, each with a value of `long` bytes.
fn request(round: u64, new: u64, long: usize) -> Bytes {
    let time = (round + 10) * S;
    let point = |attributes, value: i64| pb::NumberDataPoint {
        attributes,
        start_time_unix_nano: S,
        time_unix_nano: time,
        value: Some(pb::number_data_point::Value::AsInt(value)),
        ..Default::default()
    };
    let calm = (0..10).map(|n| point(vec![attribute("n", n.to_string())], round as i64 + 1));
    let flood = |kind: &str| -> Vec<pb::NumberDataPoint> {
        (0..new)
            .map(|n| {
                let id = format!("{kind}-{round}-{n}-{}", "x".repeat(long));
                point(vec![attribute("user.id", id)], 1)
            })
            .collect()
    };
    let gauges = pb::metric::Data::Gauge(pb::Gauge {
        data_points: flood("g"),
    });
    let metrics = vec![
        metric("calm", sum(2, calm.collect())),
        metric("flood.delta", sum(1, flood("d"))),
        metric("flood.counter", sum(2, flood("c"))),
        metric("flood.gauge", gauges),
    ];
    let data = pb::MetricsData {
        resource_metrics: vec![pb::ResourceMetrics {
            scope_metrics: vec![pb::ScopeMetrics {
                metrics,
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    Bytes::from(data.encode_to_vec())
}

/// Points of a metric, and the sum of their values.
fn read(out: &[u8], name: &str) -> (u64, i64) {
    let data = pb::MetricsData::decode(out).expect("valid OTLP");
    let metrics = data
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics);
    let mut seen = (0, 0);
    for metric in metrics.filter(|metric| metric.name == name) {
        if let Some(pb::metric::Data::Sum(sum)) = &metric.data {
            for point in &sum.data_points {
                seen.0 += 1;
                if let Some(pb::number_data_point::Value::AsInt(n)) = point.value {
                    seen.1 += n;
                }
            }
        }
    }
    seen
}

/// Bytes of this process that are resident.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("on Linux");
    let pages = statm.split(' ').nth(1).expect("its second number");
    pages.parse::<u64>().expect("a number") * 4096
}

/// New series of each kind in a round, and the bytes of the values that tell them apart.
fn flood(round: u64) -> (u64, usize) {
    match round % 20 {
        0 => (20, 60_000),
        10 => (3, 1 << 20),
        _ => (300, 200),
    }
}

/// An engine with room for 1000 series.
fn engine(stages: &str) -> Engine {
    let document = format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec: {{ stages: [ {stages} ] }}\n"
    );
    let pipeline = compile(&document).unwrap_or_else(|problems| panic!("{stages}: {problems:?}"));
    let plan = Plan::new(pipeline, None).expect("a plan");
    let settings = Settings {
        limits: Limits {
            series: 1_000,
            ..Limits::default()
        },
        ..Settings::default()
    };
    Engine::new(settings, plan, 0)
}

/// What came out of a flood.
#[derive(Default)]
struct Flooded {
    rounds: u64,
    /// Points of the calm series.
    calm: u64,
    /// Increments of deltas that were accepted, and that came out.
    sent: i64,
    delta: i64,
    /// Most bytes of state.
    largest: usize,
}

/// Resident bytes are of the process: one flood at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// So many new series in one engine, some of them with values that are too long.
fn flooded(engine: &mut Engine, series: u64) -> Flooded {
    let _alone = ALONE.lock();
    let mut all = Flooded {
        rounds: 1 + series / 820, // of each kind 20 + 3 + 18 * 300 in 20 rounds
        ..Flooded::default()
    };
    let mut early = 0;
    for round in 0..all.rounds {
        let (new, long) = flood(round);
        let fed = engine
            .feed(&request(round, new, long), (round + 10) * S)
            .expect("accepted");
        // A value of 1 MiB is longer than a value may be.
        let too_long = long > Limits::default().value_bytes;
        assert_eq!(fed.rejected, if too_long { 3 * new } else { 0 });
        all.sent += if too_long { 0 } else { new as i64 };
        let out = fed.emitted.out;
        all.calm += read(&out, "calm").0;
        all.delta += read(&out, "flood.delta").1;
        // The requests fed last are kept for explanations: at most 4 MiB.
        all.largest = all.largest.max(engine.state_size().1);
        if round == all.rounds / 2 {
            early = resident();
        }
    }
    let grown = resident().saturating_sub(early);
    assert!(grown < 32 << 20, "{grown} bytes more in the second half");
    let out = engine.finish((all.rounds + 40) * S).out;
    all.delta += read(&out, "flood.delta").1;
    assert_eq!(engine.figures().baseline.ledger.imbalance(), 0);
    all
}

/// New series in a flood.
fn series(by_default: u64) -> u64 {
    std::env::var("PHOENIX_BOMB").map_or(by_default, |n| n.parse().expect("a number"))
}

#[test]
fn a_flood_of_series_stays_in_bounds_and_deltas_still_add() {
    let mut engine = engine(
        "{ id: l, limit: { series: 20, per: metric, interval: 10s, alarm: { new_series: 100 } } }",
    );
    let all = flooded(&mut engine, series(50_000));
    assert_eq!(all.calm, 10 * all.rounds, "every point of the calm series");
    assert_eq!(all.delta, all.sent, "deltas are all there");
    assert!(all.largest < 8 << 20, "{} bytes of state", all.largest);
    let figures = engine.figures().baseline;
    let counts = &figures.stages[0].counts;
    assert!(counts["table_full"] > 0 && counts["growth"] > 0 && counts["over_budget"] > 0);
    assert!(figures.ledger.dropped["table_full"] > 0);
}

#[test]
fn no_stage_takes_more_than_its_bounds_and_other_series_pass() {
    let (of, drop) = ("match: { metric: \"flood.*\" }", "{ metric: \"flood.*\" }");
    for stage in [
        format!("{{ id: f, filter: {{ drop: [ {drop} ] }} }}"),
        format!(
            "{{ id: a, aggregate: {{ {of}, without: [user.id], function: max, interval: 10s }} }}"
        ),
        format!("{{ id: a, aggregate: {{ {of}, without: [], function: max, interval: 10s }} }}"),
        format!("{{ id: n, sample: {{ {of}, fraction: 0.5, entity: [user.id] }} }}"),
        format!("{{ id: e, sample: {{ {of}, every: 10s }} }}"),
        format!("{{ id: d, sample: {{ {of}, deadband: {{ relative: 0.05 }} }} }}"),
        format!("{{ id: t, temporality: {{ {of}, to: delta }} }}"),
        format!("{{ id: t, temporality: {{ {of}, to: cumulative }} }}"),
        format!("{{ id: q, quantise: {{ {of}, digits: 2 }} }}"),
        format!(
            "{{ id: k, topk: {{ {of}, entity: [user.id], rank: {{ metric: flood.gauge, by: value }}, k: 10, interval: 10s }} }}"
        ),
        format!(
            "{{ id: x, transform: {{ {of}, ops: [ {{ rename_attribute: {{ from: user.id, to: user }} }} ] }} }}"
        ),
        format!(
            "{{ id: x, transform: {{ {of}, ops: [ {{ normalise: {{ attribute: user.id, patterns: [ids, numbers, hex] }} }} ] }} }}, {{ id: m, aggregate: {{ {of}, without: [], function: sum }} }}"
        ),
    ] {
        let all = flooded(&mut engine(&stage), series(200_000) / 10);
        assert_eq!(all.calm, 10 * all.rounds, "calm points: {stage}");
        assert!(
            all.largest < 16 << 20,
            "{} bytes of state: {stage}",
            all.largest
        );
        eprintln!(
            "{} series, {} bytes at most: {stage}",
            820 * all.rounds,
            all.largest
        );
    }
}
