//! A real Collector and the engine do the same work on the captures; where their outputs differ,
//! `docs/collector.md` says who is right and why. Its table is made here (`make table`).

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use phoenix_agent::capture::Reader;
use phoenix_engine::compile::{self, compile};
use phoenix_engine::engine::{Engine, Settings, earliest_time, latest_time};
use phoenix_model::reference::compare::{Look, differences};
use phoenix_model::reference::identity::{Identity, Temporality};
use phoenix_model::reference::number::Num;
use phoenix_model::reference::point::{Data, Point, points};
use phoenix_tests::harness::{Process, captures, collector, eventually, project};
use prost::Message;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use tokio::process::Command;
use tonic::transport::Endpoint;

const CAPTURES: [&str; 3] = ["node-a-app", "node-a-host", "node-a-scrape"];
/// The attributes that both remove, and how both name what stays.
const KEEP: &str = "http.request.method, http.response.status_code, http.route, service, method, status, state, outcome, reason";

/// The messages of a capture, as they came.
fn messages(folder: &Path, name: &str) -> Vec<bytes::Bytes> {
    let reader = Reader::open(&folder.join(format!("{name}.binpb.zst"))).expect("a capture");
    reader
        .map(|message| message.expect("a message").bytes)
        .collect()
}

fn decode(bytes: &bytes::Bytes) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(bytes.clone()).expect("OTLP")
}

/// What the Collector makes of the messages, sent one after the other.
async fn by_the_collector(
    binary: &Path,
    processors: &str,
    uses: &str,
    sent: &[bytes::Bytes],
) -> Vec<Point> {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("out.binpb");
    let address: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a free port");
    let config = folder.path().join("config.yaml");
    let text = format!(
        "receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: \"{address}\", max_recv_msg_size_mib: 64 }} }} }} }}\nprocessors:\n{processors}\nexporters: {{ file: {{ path: \"{}\", format: proto }} }}\nservice:\n  telemetry: {{ metrics: {{ level: none }} }}\n  pipelines: {{ metrics: {{ receivers: [otlp], processors: [{uses}], exporters: [file] }} }}\n",
        out.display()
    );
    std::fs::write(&config, text).expect("written");
    let mut child = Command::new(binary)
        .args(["--config", config.to_str().expect("UTF-8")])
        .kill_on_drop(true)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the Collector runs");
    let channel = eventually("the Collector to listen", async || {
        Endpoint::from_shared(format!("http://{address}"))
            .ok()?
            .connect()
            .await
            .ok()
    })
    .await;
    let mut client = MetricsServiceClient::new(channel);
    for message in sent {
        client
            .export(decode(message))
            .await
            .expect("the Collector takes it");
    }
    // Stopping it flushes the file.
    Process::stop(&mut child).await;
    let reader = Reader::open(&out).expect("what the Collector wrote");
    reader
        .flat_map(|message| points(&decode(&message.expect("a message").bytes)))
        .collect()
}

/// What the engine makes of them.
fn by_the_engine(stages: &str, sent: &[bytes::Bytes]) -> Vec<Point> {
    let document = format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec: {{ stages: {stages} }}\n"
    );
    let pipeline = compile(&document).unwrap_or_else(|p| panic!("{p:?}"));
    let plan = compile::Plan::new(pipeline, None).expect("a plan");
    let began = sent
        .iter()
        .filter_map(|m| earliest_time(m).expect("OTLP"))
        .min()
        .unwrap_or(0);
    let mut engine = Engine::new(
        Settings {
            began,
            ..Settings::default()
        },
        plan,
        began,
    );
    let (mut now, mut out) = (began, Vec::new());
    for message in sent {
        now = now.max(latest_time(message).expect("OTLP").unwrap_or(now));
        out.push(engine.feed(message, now).expect("taken").emitted.out);
    }
    out.push(engine.finish(now).out);
    out.iter()
        .flat_map(|bytes| points(&decode(bytes)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_by_name_and_attribute_leaves_the_same_points() {
    let (Some(folder), Some(binary)) = (captures(), collector()) else {
        return;
    };
    let processors = "  filter:\n    error_mode: propagate\n    metrics:\n      metric:\n        - 'IsMatch(name, \"^(process\\\\.paging\\\\..*|go_.*|http\\\\.client\\\\..*)$\")'\n      datapoint:\n        - 'attributes[\"state\"] == \"wait\"'\n        - 'attributes[\"direction\"] == \"read\"'";
    let stages = "[ { id: f, filter: { drop: [ { metric: [\"process.paging.*\", \"go_*\", \"http.client.*\"] }, { attributes: { state: wait } }, { attributes: { direction: read } } ] } } ]";
    for name in CAPTURES {
        let sent = messages(&folder, name);
        let theirs = by_the_collector(&binary, processors, "filter", &sent).await;
        let ours = by_the_engine(stages, &sent);
        let lines = differences(&theirs, &ours, Look::Closely);
        assert!(
            lines.is_empty(),
            "{name}: the Collector left {}, the engine {}; {} differ:\n{}",
            theirs.len(),
            ours.len(),
            lines.len(),
            lines
                .iter()
                .take(10)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n")
        );
        assert!(ours.len() > 1000, "{name}: hardly anything is left");
        eprintln!("{name}: {} points left by both", ours.len());
    }
}

/// What a series of outputs adds up to.
#[derive(Debug, Default, Clone, Copy)]
struct Total {
    /// Delta: the sum. Cumulative: what it rose by after its first point.
    rise: f64,
    /// Times that a cumulative value fell with its start unchanged.
    falls: u64,
    points: u64,
}

/// Totals of monotonic sums by output, the node's mark left out.
fn totals(points: &[Point]) -> BTreeMap<Identity, Total> {
    let mut last: BTreeMap<Identity, (u64, f64)> = BTreeMap::new();
    let mut totals: BTreeMap<Identity, Total> = BTreeMap::new();
    for point in points {
        let Data::Number(number) = &point.data else {
            continue;
        };
        if !point.identity.monotonic {
            continue;
        }
        let mut identity = (*point.identity).clone();
        identity.resource.retain(|(key, _)| key != "phoenix.node");
        let value = match number {
            Num::Int(n) => *n as f64,
            Num::Double(n) => *n,
        };
        let total = totals.entry(identity.clone()).or_default();
        total.points += 1;
        if identity.temporality == Temporality::Delta {
            total.rise += value;
            continue;
        }
        if let Some((start, before)) = last.insert(identity, (point.start, value)) {
            if start == point.start && value < before * (1.0 - 1e-9) {
                total.falls += 1;
            } else if start == point.start {
                total.rise += value - before;
            } else {
                total.rise += value;
            }
        }
    }
    totals
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_with_attributes_aggregated_away_add_up_alike_or_it_is_written_down() {
    let (Some(folder), Some(binary)) = (captures(), collector()) else {
        return;
    };
    let processors = format!(
        "  metricstransform:\n    transforms:\n      - {{ include: \".*\", match_type: regexp, action: update, operations: [ {{ action: aggregate_labels, label_set: [{KEEP}], aggregation_type: sum }} ] }}"
    );
    let mut rows = String::new();
    for name in ["node-a-app", "node-a-scrape"] {
        let sent = messages(&folder, name);
        let theirs =
            totals(&by_the_collector(&binary, &processors, "metricstransform", &sent).await);
        // Only what lies on points is removed, as there: the resource's keys are kept.
        let resource: std::collections::BTreeSet<String> = sent
            .iter()
            .flat_map(|m| points(&decode(m)))
            .flat_map(|p| {
                p.identity
                    .resource
                    .iter()
                    .map(|(k, _)| k.clone())
                    .collect::<Vec<_>>()
            })
            .collect();
        let keep: Vec<String> = KEEP
            .split(", ")
            .map(String::from)
            .chain(resource)
            .map(|k| format!("\"{k}\""))
            .collect();
        let stages = format!(
            "[ {{ id: a, aggregate: {{ match: {{ type: sum }}, by: [{}], interval: 5s, expiry: 10m, merged_later: true }} }} ]",
            keep.join(", ")
        );
        let ours = totals(&by_the_engine(&stages, &sent));
        let mut counts: BTreeMap<&str, (u64, u64, u64, f64, f64)> = BTreeMap::new();
        for (identity, ours) in &ours {
            let kind = if identity.temporality == Temporality::Delta {
                "delta"
            } else {
                "cumulative"
            };
            let row = counts.entry(kind).or_default();
            row.0 += 1;
            let Some(theirs) = theirs.get(identity) else {
                continue;
            };
            let same = (ours.rise - theirs.rise).abs() <= 1e-9 * ours.rise.abs().max(1.0);
            if !same {
                eprintln!(
                    "{name}: {}: ours {ours:?}, the Collector's {theirs:?}",
                    identity.name
                );
            }
            row.1 += u64::from(same);
            row.2 += theirs.falls;
            row.3 += ours.rise;
            row.4 += theirs.rise;
            assert_eq!(ours.falls, 0, "an output of ours fell: {identity:?}");
            if kind == "delta" {
                assert!(
                    same,
                    "{identity:?}: ours {ours:?}, the Collector's {theirs:?}"
                );
            }
        }
        for (kind, (outputs, same, falls, ours, theirs)) in counts {
            rows += &format!(
                "| {name} | {kind} | {outputs} | {same} | {falls} | {ours:.0} | {theirs:.0} |\n"
            );
        }
    }
    eprintln!("{rows}");
    let page = project("docs/collector.md");
    let text = std::fs::read_to_string(&page).expect("docs/collector.md");
    let (head, rest) = text.split_once("<!-- table -->\n").expect("a table");
    let (old, tail) = rest.split_once("<!-- /table -->").expect("the table's end");
    let titles = "| capture | sums | outputs | equal rise | falls in the Collector's output | rise, Phoenix | rise, Collector |\n|---|---|--:|--:|--:|--:|--:|\n";
    let table = format!("{titles}{rows}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(
            &page,
            format!("{head}<!-- table -->\n{table}<!-- /table -->{tail}"),
        )
        .expect("written");
    } else {
        assert_eq!(
            old, table,
            "docs/collector.md has drifted: run `make table`"
        );
    }
}
