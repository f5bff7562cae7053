//! What is evaluated of PromQL, held against a real Prometheus over the same points: where both differ, by how
//! much, and who is right. The table in docs/queries.md is made here.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
    Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use phoenix_agent::remote_write::{one, translate};
use phoenix_analysis::query::fleet::Fleet;
use phoenix_analysis::query::vector::Vector;
use phoenix_analysis::query::{ask, eval::evaluate};
use phoenix_analysis::{Arm, Guardrails, ProtectedQuery, Window};
use phoenix_engine::compile::Plan;
use phoenix_engine::engine::{Engine, Settings};
use phoenix_engine::prometheus::Naming;
use phoenix_simulator::sender::now;
use phoenix_tests::harness::{Prometheus, project};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

const S: u64 = 1_000_000_000;
const STEP: u64 = 10;
/// Queries are asked at this second after the base; all series have spoken from long before their range on.
const AT: u64 = 180;

/// Points of one series: seconds after the base, seconds at which its total began (gauges: 0), value.
type Course = Vec<(f64, u64, f64)>;

/// A series by its metric and the value of label `k`.
struct Given {
    metric: &'static str,
    k: &'static str,
    course: Course,
}

/// What both are asked, and what is to be said where they differ.
struct Case {
    what: &'static str,
    query: &'static str,
    series: Vec<Given>,
    /// How near both must be, or who is right and why.
    expected: Expected,
}

enum Expected {
    Same,
    /// Ours, Prometheus' (`None`: no value), and why.
    Differ(Option<f64>, Option<f64>, &'static str),
}

/// A counter from 0 on at the base, of so much a second, spoken every `every` seconds after `first`.
fn counter(metric: &'static str, k: &'static str, rate: f64, first: f64, every: f64) -> Given {
    let times = (0..).map(|n| first + f64::from(n) * every);
    let course = times.take_while(|t| *t <= AT as f64);
    Given {
        metric,
        k,
        course: course.map(|t| (t, 1, rate * t)).collect(),
    }
}

fn points(metric: &'static str, k: &'static str, course: &[(f64, u64, f64)]) -> Given {
    Given {
        metric,
        k,
        course: course.to_vec(),
    }
}

/// A counter that stands at 100 and grows by what is given, every 10 s from second 5 on, in its last points.
fn steps(metric: &'static str, grows: &[f64]) -> Given {
    let all = (AT / STEP) as usize;
    let mut value = 100.0;
    let course = (0..all).map(|n| {
        let from_end = all - n;
        value += match from_end <= grows.len() {
            true => grows[grows.len() - from_end],
            false => 0.0,
        };
        (n as f64 * 10.0 + 5.0, 1, value)
    });
    Given {
        metric,
        k: "a",
        course: course.collect(),
    }
}

fn cases() -> Vec<Case> {
    use Expected::{Differ, Same};
    let case = |what, query, series, expected| Case {
        what,
        query,
        series,
        expected,
    };
    vec![
        case(
            "a steady counter, points at the edges of steps",
            "rate(edge_total[1m])",
            vec![counter("edge", "a", 2.0, 10.0, 10.0)],
            Same,
        ),
        case(
            "a steady counter, points between the edges",
            "rate(between_total[1m])",
            vec![counter("between", "a", 2.0, 3.0, 10.0)],
            Same,
        ),
        case(
            "a sum over counters of different pace",
            "sum(rate(pace_total[1m]))",
            vec![
                counter("pace", "a", 2.0, 3.0, 10.0),
                counter("pace", "b", 5.0, 1.0, 5.0),
            ],
            Same,
        ),
        case(
            "`max by` and `avg` of rates",
            "max by (k) (rate(most_total[1m])) + ignoring (k) avg(rate(most_total[1m]))",
            vec![counter("most", "a", 2.0, 3.0, 10.0)],
            Same,
        ),
        case(
            "a quantile over buckets",
            "histogram_quantile(0.6, sum by (le) (rate(took_seconds_bucket[1m])))",
            vec![counter("took", "a", 2.0, 3.0, 10.0)],
            Same,
        ),
        case(
            "a level, the last point 100 s old",
            "max(old)",
            vec![points("old", "a", &[(40.0, 0, 7.0), (80.0, 0, 9.0)])],
            Same,
        ),
        case(
            "a total that falls: a restart that its value shows",
            "increase(falls_total[1m])",
            vec![points(
                "falls",
                "a",
                &[
                    (110.0, 1, 50.0),
                    (120.0, 1, 60.0),
                    (130.0, 1, 70.0),
                    (140.0, 1, 80.0),
                    (150.0, 141, 10.0),
                    (160.0, 141, 20.0),
                    (170.0, 141, 30.0),
                    (180.0, 141, 40.0),
                ],
            )],
            Same,
        ),
        case(
            "three requests, one at each of three points",
            "increase(three_total[1m])",
            vec![steps("three", &[0.0, 0.0, 1.0, 0.0, 1.0, 1.0])],
            Differ(
                Some(3.0),
                Some(3.6),
                "ours: there were three. Prometheus sees 50 s of points and extrapolates to 60 s",
            ),
        ),
        case(
            "what grew before the first point in the range",
            "increase(before_total[1m])",
            vec![steps("before", &[6.0, 0.0, 0.0, 0.0, 0.0, 0.0])],
            Differ(
                Some(6.0),
                Some(0.0),
                "ours: the point before the range says from where it grew. Prometheus looks at points in the range alone",
            ),
        ),
        case(
            "a counter that began in the range, its start known",
            "increase(born_total[1m])",
            vec![points(
                "born",
                "a",
                &[
                    (145.0, 141, 5.0),
                    (155.0, 141, 7.0),
                    (165.0, 141, 9.0),
                    (175.0, 141, 11.0),
                ],
            )],
            Differ(
                Some(11.0),
                Some(8.0),
                "ours: it began at 0. Prometheus loses the first value, and extrapolates half a pace to each side",
            ),
        ),
        case(
            "one point in the range",
            "increase(single_total[1m])",
            vec![points("single", "a", &[(100.0, 1, 5.0), (170.0, 1, 9.0)])],
            Differ(
                Some(4.0),
                None,
                "ours: it grew by 4 since the point before. Prometheus needs two points in the range",
            ),
        ),
        case(
            "a restart that its value does not show, its start known",
            "increase(hidden_total[1m])",
            vec![points(
                "hidden",
                "a",
                &[
                    (110.0, 1, 8.0),
                    (120.0, 1, 10.0),
                    (130.0, 1, 10.0),
                    (140.0, 1, 10.0),
                    (150.0, 141, 12.0),
                    (160.0, 141, 12.0),
                    (170.0, 141, 12.0),
                    (180.0, 141, 12.0),
                ],
            )],
            Differ(
                Some(12.0),
                Some(2.0),
                "ours: a new start is a restart. Prometheus sees totals alone, and 12 follows 10",
            ),
        ),
    ]
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.into())),
        }),
        ..Default::default()
    }
}

/// One point of a series as a request.
fn request(given: &Given, base: u64, (at, start, value): (f64, u64, f64)) -> (u64, Vec<u8>) {
    let time = base + (at * S as f64) as u64;
    let began = if start == 0 { 0 } else { base + start * S };
    let attributes = vec![text("k", given.k)];
    let number = NumberDataPoint {
        attributes: attributes.clone(),
        start_time_unix_nano: began,
        time_unix_nano: time,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..Default::default()
    };
    let (unit, data) = match given.metric {
        "took" => {
            let count = value as u64;
            let buckets = vec![count / 2, count - count / 2 - count / 4, count / 4];
            let histogram = Histogram {
                aggregation_temporality: 2,
                data_points: vec![HistogramDataPoint {
                    attributes,
                    start_time_unix_nano: began,
                    time_unix_nano: time,
                    count,
                    sum: Some(value),
                    bucket_counts: buckets,
                    explicit_bounds: vec![0.5, 1.0],
                    ..Default::default()
                }],
            };
            ("s", Data::Histogram(histogram))
        }
        _ if start == 0 => (
            "",
            Data::Gauge(Gauge {
                data_points: vec![number],
            }),
        ),
        _ => (
            "",
            Data::Sum(Sum {
                data_points: vec![number],
                aggregation_temporality: 2,
                is_monotonic: true,
            }),
        ),
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![text("host.name", "h")],
                ..Default::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![Metric {
                    name: given.metric.into(),
                    unit: unit.into(),
                    data: Some(data),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    (time, request.encode_to_vec())
}

/// Our answers, in the order of the cases.
fn ours(cases: &[Case], requests: &[(u64, Vec<u8>)], base: u64) -> Vec<Vector> {
    let guardrails = Guardrails {
        queries: cases
            .iter()
            .map(|case| ProtectedQuery {
                name: case.what.into(),
                expr: case.query.into(),
                tolerance: 0.01,
            })
            .collect(),
        ..Guardrails::default()
    };
    let asked = ask(&guardrails, STEP * 1000);
    assert_eq!(asked.problems.len(), 0, "{:?}", asked.problems);
    let settings = Settings {
        began: base,
        ..Settings::default()
    };
    let plan = Plan::pass_through()
        .asked(asked.inner.clone())
        .expect("queries");
    let mut engine = Engine::new(settings, plan, base);
    for (time, bytes) in requests {
        engine.feed(&bytes.clone().into(), *time).expect("taken");
    }
    engine.tick(base + (AT + 30) * S);
    let queries = engine.cut().baseline.queries;
    let window = Window {
        agent: "a".into(),
        start_ms: base / 1_000_000,
        baseline: Some(Arm {
            queries,
            ..Arm::default()
        }),
        ..Window::default()
    };
    let fleet = Fleet::whole(STEP * 1000, 0, &[window], &BTreeSet::new());
    let end = (base + AT * S) / 1_000_000;
    let queries = asked.queries.iter();
    queries
        .map(|(query, expr)| {
            let expr = expr.as_ref().expect("evaluated");
            let found = evaluate(expr, &fleet, 0, end);
            found.unwrap_or_else(|| panic!("{} is not known", query.expr))
        })
        .collect()
}

/// The one value of an answer.
fn single(values: impl Iterator<Item = f64>) -> Option<f64> {
    let all: Vec<f64> = values.collect();
    assert!(all.len() <= 1, "{all:?}");
    all.first().copied()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_answers_and_those_of_prometheus_over_the_same_points() {
    let Some(prometheus) = Prometheus::start().await else {
        return;
    };
    let version = prometheus.version().await;
    if !version.starts_with("2.") {
        eprintln!(
            "SKIPPED: the table is of Prometheus 2, whose ranges hold both edges; this is {version}"
        );
        prometheus.stop().await;
        return;
    }
    let cases = cases();
    // All that is asked lies in the past, and at the same place in a minute whenever it is run.
    let base = (now() / (600 * S)) * (600 * S) - 1200 * S;
    let mut requests: Vec<(u64, Vec<u8>)> = cases
        .iter()
        .flat_map(|case| &case.series)
        .flat_map(|given| given.course.iter().map(|p| request(given, base, *p)))
        .collect();
    requests.sort();
    for (_, bytes) in &requests {
        let told = translate(bytes, &Naming::default(), &BTreeMap::new()).expect("OTLP");
        let body = one(told.series.iter(), std::iter::empty());
        let body = snap::raw::Encoder::new()
            .compress_vec(&body)
            .expect("snappy");
        prometheus.write(body).await;
    }
    let own = ours(&cases, &requests, base);
    let mut table = String::from(
        "| | query | here | Prometheus | who is right |\n| --- | --- | --- | --- | --- |\n",
    );
    for (case, own) in cases.iter().zip(own) {
        let ours = single(own.into_values());
        let answer = prometheus
            .query(case.query, (base + AT * S) / 1_000_000)
            .await;
        let value = |row: &serde_json::Value| row["value"][1].as_str()?.parse::<f64>().ok();
        let theirs = single(answer.iter().map(|row| value(row).expect("a number")));
        let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * a.abs().max(1.0),
            (a, b) => a == b,
        };
        let why = match case.expected {
            Expected::Same => {
                assert!(near(ours, theirs), "{}: {ours:?} and {theirs:?}", case.what);
                assert!(ours.is_some(), "{}", case.what);
                "both"
            }
            Expected::Differ(here, there, why) => {
                assert!(near(ours, here), "{}: ours {ours:?}", case.what);
                assert!(near(theirs, there), "{}: Prometheus {theirs:?}", case.what);
                why
            }
        };
        let shown = |value: Option<f64>| match value {
            Some(n) => format!("{}", (n * 1e4).round() / 1e4),
            None => "no value".into(),
        };
        table.push_str(&format!(
            "| {} | `{}` | {} | {} | {why} |\n",
            case.what,
            case.query,
            shown(ours),
            shown(theirs)
        ));
    }
    prometheus.stop().await;
    let page = project("docs/queries.md");
    let text = std::fs::read_to_string(&page).expect("page");
    let from = "<!-- made by a test: prometheus -->\n";
    let (before, rest) = text.split_once(from).expect("a place for the table");
    let (kept, after) = rest.split_once("<!-- end -->").expect("its end");
    if std::env::var_os("UPDATE").is_some() {
        let made = format!("{before}{from}{table}<!-- end -->{after}");
        std::fs::write(&page, made).expect("written");
    } else {
        assert_eq!(kept, table, "docs/queries.md: run with UPDATE=1");
    }
}
