//! Two workers are one node: what comes in over either protocol leaves once, in every account.

use crate::support::{
    Process, Sink, agent, client, http_request, own_metric, page, text, to, values,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric, number_data_point};
use phoenix_agent::process::Agent;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const RESOURCES: usize = 20;

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}

/// One counter of each of many resources, all at `value`, counting since `start`.
fn round(start: u64, value: i64) -> ExportMetricsServiceRequest {
    let mut request = crate::support::request([value]);
    let one = request.resource_metrics.remove(0);
    for number in 0..RESOURCES {
        let mut of = one.clone();
        let resource = of.resource.as_mut().unwrap();
        resource.attributes.push(text("pid", &number.to_string()));
        let metric = &mut of.scope_metrics[0].metrics[0];
        if let Some(metric::Data::Sum(sum)) = &mut metric.data {
            sum.data_points = vec![NumberDataPoint {
                start_time_unix_nano: start,
                time_unix_nano: now(),
                value: Some(number_data_point::Value::AsInt(value)),
                ..Default::default()
            }];
        }
        request.resource_metrics.push(of);
    }
    request
}

/// An agent of two workers that sums all resources of a host in windows of a second.
async fn two(sink: std::net::SocketAddr, pipeline: &std::path::Path) -> Agent {
    let more = format!(
        "workers: 2\npipeline: {{ file: \"{}\" }}\n",
        pipeline.display()
    );
    agent(&to(sink, &more)).await
}

const FOLD: &str = "[ { id: a, aggregate: { match: { metric: requests }, without: [pid], interval: 1s, lateness: 0s } } ]";
/// Another window: every swap between the two ends an epoch.
const FOLD_SLOWLY: &str = "[ { id: a, aggregate: { match: { metric: requests }, without: [pid], interval: 2s, lateness: 0s } } ]";

fn pipeline(path: &std::path::Path, stages: &str) {
    let text = format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec: {{ stages: {stages} }}\n"
    );
    // Renamed into place, so that nobody reads half of it.
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// Last value by name and start: epochs of one output add up.
fn totals(requests: &[ExportMetricsServiceRequest]) -> BTreeMap<(String, u64), i64> {
    let mut totals = BTreeMap::new();
    let scopes = requests
        .iter()
        .flat_map(|r| &r.resource_metrics)
        .flat_map(|r| &r.scope_metrics);
    for metric in scopes.flat_map(|s| &s.metrics) {
        if let Some(metric::Data::Sum(sum)) = &metric.data {
            for point in &sum.data_points {
                if let Some(number_data_point::Value::AsInt(n)) = point.value {
                    let key = (metric.name.clone(), point.start_time_unix_nano);
                    let known: &mut i64 = totals.entry(key).or_default();
                    assert!(n >= *known, "an output fell");
                    *known = n;
                }
            }
        }
    }
    totals
}

async fn ledger(agent: &Agent) -> serde_json::Value {
    let (code, body) = page(agent, "/debug/ledger").await;
    assert_eq!(code, 200, "{body}");
    serde_json::from_str::<serde_json::Value>(&body).unwrap()["node"].clone()
}

fn imbalance(ledger: &serde_json::Value) -> i64 {
    let of = |name: &str| ledger[name].as_i64().unwrap();
    let dropped = ledger["dropped"].as_object().unwrap().values();
    let dropped: i64 = dropped.map(|n| n.as_i64().unwrap()).sum();
    let rest = [
        "exported",
        "filtered",
        "merged",
        "sampled_out",
        "suppressed",
        "rejected",
        "held",
    ];
    of("received") - dropped - rest.iter().map(|name| of(name)).sum::<i64>()
}

#[tokio::test]
async fn what_comes_in_over_either_protocol_leaves_once() {
    let (sink, address) = Sink::start().await;
    let agent = agent(&to(address, "workers: 2\n")).await;
    let mut client = client(&agent).await;
    let start = now();
    let http = agent.addresses.http.unwrap();
    let protobuf = [("content-type", "application/x-protobuf")];
    let series = "/debug/series?metric=requests&wait=0s";
    let (_, found) = page(&agent, series).await;
    assert!(
        !found.contains("\"fate\""),
        "both workers listen from here on"
    );
    for value in 1..=10 {
        client.export(round(start, value)).await.unwrap();
        let body = round(start, 100 + value).encode_to_vec();
        let (code, ..) = http_request(http, "POST", "/v1/metrics", &protobuf, &body).await;
        assert_eq!(code, 200);
    }
    let all = 2 * 10 * RESOURCES;
    sink.wait_for(all).await;
    // Whatever the settings of a moment, the account of the node is exact.
    let ledger = ledger(&agent).await;
    assert_eq!(ledger["received"], all as u64);
    assert_eq!(imbalance(&ledger), 0, "{ledger}");
    assert_eq!(
        own_metric(&agent, "phoenix_agent_requests_accepted").await,
        20.0
    );
    assert_eq!(
        own_metric(&agent, "phoenix_agent_state_series").await,
        RESOURCES as f64
    );
    let (code, found) = page(&agent, series).await;
    assert_eq!((code, found.matches("\"fate\"").count()), (200, RESOURCES));
    assert_eq!(page(&agent, "/readyz").await.0, 200);
    assert_eq!(agent.drain().await.lost, 0);
    assert_eq!(sink.values().len(), all);
}

#[tokio::test]
async fn a_malformed_request_is_refused_before_a_part_of_it_is_taken() {
    let (sink, address) = Sink::start().await;
    let agent = agent(&to(address, "workers: 2\n")).await;
    let mut body = round(now(), 1).encode_to_vec();
    // A resource at the end whose scope breaks off.
    body.extend_from_slice(&[0x0A, 4, 0x12, 2, 0x0A, 5]);
    let http = agent.addresses.http.unwrap();
    let protobuf = [("content-type", "application/x-protobuf")];
    let (code, ..) = http_request(http, "POST", "/v1/metrics", &protobuf, &body).await;
    assert_eq!(code, 400);
    assert_eq!(ledger(&agent).await["received"], 0);
    assert_eq!(agent.drain().await.lost, 0);
    assert!(sink.values().is_empty());
}

#[tokio::test]
async fn swaps_under_load_lose_and_double_nothing() {
    let (sink, address) = Sink::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    pipeline(&path, FOLD);
    let agent = two(address, &path).await;
    let stop = Arc::new(AtomicBool::new(false));
    let start = now();
    let (mut client, stopped) = (client(&agent).await, stop.clone());
    let sender = tokio::spawn(async move {
        let mut value = 0;
        while !stopped.load(Ordering::Relaxed) {
            value += 1;
            client.export(round(start, value)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        value
    });
    for stages in [FOLD_SLOWLY, FOLD, FOLD_SLOWLY, FOLD] {
        let before = own_metric(&agent, "phoenix_agent_generation").await;
        pipeline(&path, stages);
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while own_metric(&agent, "phoenix_agent_generation").await == before {
            assert!(std::time::Instant::now() < end, "no swap");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(imbalance(&ledger(&agent).await), 0);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let last: i64 = sender.await.unwrap();
    let drained = agent.drain().await;
    assert_eq!(drained.lost, 0);
    // Every increment of every resource is in exactly one epoch of one output.
    let sum: i64 = totals(&sink.requests()).values().sum();
    assert_eq!(sum, last * RESOURCES as i64);
}

/// Who ranks first among resources that may be dealt to either worker, and the sum of all others.
const BUSIEST: &str = "[ { id: t, topk: { entity: [pid], rank: { metric: requests, by: rate }, k: 3, interval: 1s, lateness: 500ms } } ]";

/// As `round`, but number `n` counts `n + 1` times as fast, and all spoke at once.
fn race(start: u64, value: i64) -> ExportMetricsServiceRequest {
    let mut request = round(start, value);
    let time = now();
    for (of, weight) in request.resource_metrics.iter_mut().zip(1..) {
        if let Some(metric::Data::Sum(sum)) = &mut of.scope_metrics[0].metrics[0].data {
            for point in &mut sum.data_points {
                point.time_unix_nano = time;
                point.value = Some(number_data_point::Value::AsInt(value * weight));
            }
        }
    }
    request
}

/// Last value by resource (of `other`: none) and start.
fn by_entity(requests: &[ExportMetricsServiceRequest]) -> BTreeMap<(Option<String>, u64), i64> {
    let mut totals = BTreeMap::new();
    for of in requests.iter().flat_map(|r| &r.resource_metrics) {
        let pid = of.resource.iter().flat_map(|r| &r.attributes);
        let pid = pid.filter(|kv| kv.key == "pid").find_map(|kv| {
            match kv.value.as_ref()?.value.as_ref()? {
                any_value::Value::StringValue(pid) => Some(pid.clone()),
                _ => None,
            }
        });
        for metric in of.scope_metrics.iter().flat_map(|s| &s.metrics) {
            let Some(metric::Data::Sum(sum)) = &metric.data else {
                continue;
            };
            for point in &sum.data_points {
                if let Some(number_data_point::Value::AsInt(n)) = point.value {
                    let known: &mut i64 = totals
                        .entry((pid.clone(), point.start_time_unix_nano))
                        .or_default();
                    assert!(n >= *known, "an output fell");
                    *known = n;
                }
            }
        }
    }
    totals
}

#[tokio::test]
async fn two_workers_rank_all_entities_and_lose_nothing() {
    let (sink, address) = Sink::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    pipeline(&path, BUSIEST);
    let agent = two(address, &path).await;
    let start = now();
    let mut client = client(&agent).await;
    let end = std::time::Instant::now() + Duration::from_secs(20);
    let mut last = 0;
    let members = |totals: &BTreeMap<(Option<String>, u64), i64>| -> BTreeSet<String> {
        totals.keys().filter_map(|(pid, _)| pid.clone()).collect()
    };
    // Until every member has spoken for itself for a while.
    loop {
        last += 1;
        client.export(race(start, last)).await.unwrap();
        let totals = by_entity(&sink.requests());
        let own: i64 = totals
            .iter()
            .filter(|((pid, _), _)| pid.is_some())
            .map(|(_, n)| n)
            .sum();
        if members(&totals).len() >= 3 && own > 1_000 {
            break;
        }
        assert!(std::time::Instant::now() < end, "no members: {totals:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(imbalance(&ledger(&agent).await), 0);
    assert_eq!(agent.drain().await.lost, 0);
    let totals = by_entity(&sink.requests());
    let expected: BTreeSet<String> = ["17", "18", "19"].map(String::from).into();
    assert_eq!(members(&totals), expected);
    // Every increment of every resource is in a member's own series or in `other`.
    let sum: i64 = totals.values().sum();
    let weights: i64 = (1..=RESOURCES as i64).sum();
    assert_eq!(sum, last * weights);
}

#[tokio::test]
async fn two_workers_drain_on_sigterm() {
    let (sink, address) = Sink::start().await;
    let mut process = Process::start(&to(address, "workers: 2\n"), &[]);
    let endpoint = format!("http://{}", process.address("grpc"));
    type Client = opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient<tonic::transport::Channel>;
    let mut client = Client::connect(endpoint).await.unwrap();
    let start = now();
    let sender = tokio::spawn(async move {
        let mut accepted = 0;
        while client.export(round(start, accepted)).await.is_ok() {
            accepted += 1;
        }
        accepted as usize
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.terminate();
    let accepted = sender.await.unwrap();
    let status = tokio::task::spawn_blocking(move || process.child.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    let came: Vec<i64> = sink.requests().iter().flat_map(values).collect();
    assert!(accepted > 0 && came.len() >= accepted * RESOURCES);
    assert_eq!(came.len() % RESOURCES, 0, "a request left in part");
}
