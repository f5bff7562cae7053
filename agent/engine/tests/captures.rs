//! Real captures through the engine: an empty pipeline gives back the same bytes, every ledger
//! balances, a filter is what decode + drop + encode says. Skipped where the captures are absent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "captures/read.rs"]
mod read;

use bytes::Bytes;
use opentelemetry_proto::tonic::metrics::v1::{MetricsData, metric::Data};
use phoenix_engine::compile::{Plan, compile};
use phoenix_engine::engine::{Engine, Settings, earliest_time, latest_time};
use phoenix_engine::report::Report;
use prost::Message;

/// Everything that leaves, in the order of the calls.
struct Run {
    out: Vec<Bytes>,
    points: u64,
    report: Report,
}

fn run(messages: &[Bytes], document: &str) -> Run {
    let plan = Plan::new(compile(document).unwrap(), None).unwrap();
    let began = messages
        .iter()
        .filter_map(|m| earliest_time(m).unwrap())
        .min()
        .unwrap();
    let settings = Settings {
        began,
        ..Settings::default()
    };
    let mut engine = Engine::new(settings, plan, began);
    let (mut out, mut points, mut now) = (Vec::new(), 0, began);
    for message in messages {
        now = now.max(latest_time(message).unwrap().unwrap_or(now));
        let fed = engine.feed(message, now).unwrap();
        points += fed.emitted.points;
        out.push(fed.emitted.out);
    }
    let last = engine.finish(now);
    points += last.points;
    out.push(last.out);
    Run {
        out,
        points,
        report: engine.cut(),
    }
}

fn document(stages: &str) -> String {
    format!(
        "{{apiVersion: phoenix/v1, kind: Pipeline, metadata: {{name: t}}, spec: {{stages: {stages}}}}}"
    )
}

fn points(data: &MetricsData) -> u64 {
    let count = |data: &Data| match data {
        Data::Gauge(d) => d.data_points.len(),
        Data::Sum(d) => d.data_points.len(),
        Data::Histogram(d) => d.data_points.len(),
        Data::ExponentialHistogram(d) => d.data_points.len(),
        Data::Summary(d) => d.data_points.len(),
    };
    data.resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics)
        .filter_map(|m| m.data.as_ref())
        .map(|d| count(d) as u64)
        .sum()
}

#[test]
fn an_empty_pipeline_gives_back_the_same_bytes() {
    for (name, messages) in read::captures() {
        let run = run(&messages, &document("[]"));
        for (sent, got) in messages.iter().zip(&run.out) {
            assert!(sent == got, "{name}");
        }
        let ledger = &run.report.baseline.ledger;
        let expected: u64 = messages
            .iter()
            .map(|m| points(&MetricsData::decode(&m[..]).unwrap()))
            .sum();
        assert_eq!(
            (ledger.received, ledger.exported, ledger.imbalance()),
            (expected, expected, 0),
            "{name}"
        );
        let figures = &run.report.baseline;
        println!(
            "{name}: {expected} points, {:?} series",
            figures.series_in.exact
        );
        assert_eq!(figures.series_in.exact, figures.series_out.exact);
        let exact = figures.series_in.exact.unwrap() as f64;
        assert!((figures.series_in.sketch.estimate() / exact - 1.0).abs() < 0.06);
    }
}

#[test]
fn a_filter_leaves_what_decoding_dropping_and_encoding_leaves() {
    for (name, messages) in read::captures() {
        let stages = r#"[{id: f, filter: {drop: [{metric: "*cpu*"}, {attributes: {state: [idle, user]}}]}}]"#;
        let run = run(&messages, &document(stages));
        for (sent, got) in messages.iter().zip(&run.out) {
            let mut data = MetricsData::decode(&sent[..]).unwrap();
            for resource in &mut data.resource_metrics {
                for scope in &mut resource.scope_metrics {
                    scope.metrics.retain_mut(|m| {
                        !m.name.contains("cpu") && drop_states(m.data.as_mut().unwrap())
                    });
                }
                resource.scope_metrics.retain(|s| !s.metrics.is_empty());
            }
            data.resource_metrics
                .retain(|r| !r.scope_metrics.is_empty());
            let got_data = MetricsData::decode(&got[..]).unwrap();
            assert_eq!(names(&got_data), names(&data), "{name}");
            // As bytes: a NaN does not equal itself. Both sides went through the same encoder.
            assert!(data.encode_to_vec() == got_data.encode_to_vec(), "{name}");
        }
        let ledger = &run.report.baseline.ledger;
        assert_eq!(ledger.imbalance(), 0);
        assert_eq!(ledger.exported, run.points);
    }
}

/// Metric names with their number of points.
fn names(data: &MetricsData) -> Vec<String> {
    let metrics = data
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics);
    metrics.map(|m| m.name.clone()).collect()
}

fn drop_states(data: &mut Data) -> bool {
    let drops = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]| {
        use opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue;
        attributes.iter().any(|kv| {
            kv.key == "state"
                && matches!(kv.value.as_ref().and_then(|v| v.value.as_ref()), Some(StringValue(s)) if s == "idle" || s == "user")
        })
    };
    match data {
        Data::Gauge(d) => {
            d.data_points.retain(|p| !drops(&p.attributes));
            !d.data_points.is_empty()
        }
        Data::Sum(d) => {
            d.data_points.retain(|p| !drops(&p.attributes));
            !d.data_points.is_empty()
        }
        Data::Histogram(d) => {
            d.data_points.retain(|p| !drops(&p.attributes));
            !d.data_points.is_empty()
        }
        Data::ExponentialHistogram(d) => {
            d.data_points.retain(|p| !drops(&p.attributes));
            !d.data_points.is_empty()
        }
        Data::Summary(d) => {
            d.data_points.retain(|p| !drops(&p.attributes));
            !d.data_points.is_empty()
        }
    }
}

#[test]
fn ledgers_balance_and_points_out_are_counted_whatever_the_stages() {
    let pipelines = [
        r#"[{id: a, aggregate: {match: {metric: "process.*"}, without: [process.pid, process.command_line, process.command, process.executable.path, process.parent_pid], function: sum, interval: 10s}}]"#,
        r#"[{id: s, sample: {match: {}, fraction: 0.3, entity: [process.pid]}}]"#,
        r#"[{id: e, sample: {match: {}, every: 60s}}]"#,
        r#"[{id: f, filter: {drop: [{metric: "*.utilization"}]}},
            {id: e, sample: {match: {type: gauge}, every: 30s}},
            {id: a, aggregate: {match: {type: [sum, histogram, exponential_histogram]}, without: [customer.id, url.path, process.pid, cpu, state], interval: 30s}},
            {id: g, aggregate: {match: {type: gauge}, without: [cpu, state], function: sum, interval: 60s}},
            {id: b, sample: {match: {}, fraction: 0.9, entity: [host.name]}}]"#,
    ];
    for (name, messages) in read::captures() {
        for stages in pipelines {
            let run = run(&messages, &document(stages));
            let decoded: u64 = run
                .out
                .iter()
                .map(|m| points(&MetricsData::decode(&m[..]).unwrap()))
                .sum();
            let figures = &run.report.baseline;
            assert_eq!(
                figures.ledger.imbalance(),
                0,
                "{name} {stages} {:?}",
                figures.ledger
            );
            assert_eq!(figures.ledger.held, 0, "{name} {:?}", figures.ledger);
            assert_eq!(
                (figures.ledger.exported, run.points),
                (decoded, decoded),
                "{name} {stages}"
            );
            assert_eq!(
                figures.bytes_out,
                run.out.iter().map(|m| m.len() as u64).sum::<u64>()
            );
            for pair in figures.stages.windows(2) {
                assert_eq!(pair[0].points_out, pair[1].points_in, "{name} {stages}");
            }
            assert_eq!(figures.stages[0].points_in, figures.ledger.received);
            println!("{name}: {:?}", figures.ledger);
            for stage in &figures.stages {
                println!("  {stage:?}");
            }
        }
    }
}
