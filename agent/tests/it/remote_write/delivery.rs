//! How receivers are talked to: which version, what is tried again, what is counted.

use super::receiver::{Knows, Receiver};
use super::*;
use crate::delivery::{balanced, exported};
use crate::support::{agent, client, own_metric, page, request as numbers};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub fn settings(endpoint: &str, more: &str) -> String {
    format!(
        "node: {{ name: n1 }}
receivers: {{ otlp: {{ grpc: \"127.0.0.1:0\", max_request: 1MiB }} }}
admin: \"127.0.0.1:0\"
drain: 5s
limits: {{ memory: 4GiB, in_flight: 4MiB }}
exporters:
  remote_write:
    endpoint: \"{endpoint}\"
    batch: {{ timeout: 20ms }}
    retry: {{ initial: 50ms, max: 200ms }}
{more}"
    )
}

fn to(address: SocketAddr, more: &str) -> String {
    settings(&format!("http://{address}/api/v1/write"), more)
}

pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as u64
}

fn of_requests(taken: &[String]) -> usize {
    taken
        .iter()
        .filter(|s| s.starts_with("requests_total"))
        .count()
}

async fn versions_for(knows: Knows, version: &str) -> Vec<u8> {
    let (receiver, address) = Receiver::start(knows).await;
    let agent = agent(&to(address, &format!("    version: {version}"))).await;
    let mut client = client(&agent).await;
    for round in 1..4 {
        let values = round * 10..round * 10 + 10;
        client.export(numbers(values)).await.unwrap();
        receiver
            .wait(|t| of_requests(t) == 10 * round as usize)
            .await;
    }
    let ledger = balanced(&agent).await;
    assert_eq!(ledger["dropped"].get("next_hop"), None, "{ledger}");
    let mut versions = receiver.versions();
    versions.dedup();
    versions
}

#[tokio::test]
async fn the_receiver_decides_the_version_and_loses_nothing_by_it() {
    assert_eq!(versions_for(Knows::Two, "auto").await, [2]);
    assert_eq!(versions_for(Knows::One, "auto").await, [2, 1]);
    assert_eq!(versions_for(Knows::OneAnd400, "auto").await, [2, 1]);
    assert_eq!(versions_for(Knows::OneBlindly, "auto").await, [2, 1]);
    assert_eq!(versions_for(Knows::OneBlindly, "1.0").await, [1]);
    assert_eq!(versions_for(Knows::Two, "2.0").await, [2]);
}

#[tokio::test]
async fn a_version_that_was_asked_for_is_not_changed() {
    let (receiver, address) = Receiver::start(Knows::One).await;
    let agent = agent(&to(address, "    version: 2.0")).await;
    client(&agent).await.export(numbers(0..10)).await.unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while balanced(&agent).await["dropped"]["next_hop"] != 10 {
        assert!(Instant::now() < end);
    }
    assert_eq!(receiver.versions(), [2]);
}

#[tokio::test]
async fn server_errors_and_429_are_retried_after_the_pause_and_nothing_is_doubled() {
    let (receiver, address) = Receiver::start(Knows::Two).await;
    receiver.next([(500, None), (503, None), (429, Some(1))]);
    let agent = agent(&to(address, "    headers: { x-scope-orgid: tenant }")).await;
    client(&agent).await.export(numbers(0..10)).await.unwrap();
    receiver.wait(|t| of_requests(t) == 10).await;
    let times = receiver.times();
    assert!(times[3] - times[2] >= Duration::from_secs(1));
    assert_eq!(receiver.headers()[3]["x-scope-orgid"], "tenant");
    let agent_header = receiver.headers()[3]["user-agent"].clone();
    assert!(agent_header.to_str().unwrap().starts_with("phoenix-agent/"));
    let errors = own_metric(&agent, "phoenix_agent_export_errors_total").await;
    assert_eq!(errors, 3.0);
}

#[tokio::test]
async fn points_that_the_receiver_refuses_are_found_and_the_others_arrive() {
    for knows in [Knows::Two, Knows::OneBlindly] {
        let (receiver, address) = Receiver::start(knows).await;
        receiver.refuse("series=637");
        let agent = agent(&to(address, "")).await;
        client(&agent).await.export(numbers(0..1000)).await.unwrap();
        receiver.wait(|t| of_requests(t) == 999).await;
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let ledger = balanced(&agent).await;
            if ledger["dropped"]["next_hop"] == 1 && ledger["exported"] == 999 {
                break;
            }
            assert!(Instant::now() < end, "{ledger}");
        }
        let mut taken = receiver.taken();
        let all = taken.len();
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), all, "{knows:?}: a sample was taken twice");
        assert!(receiver.versions().len() < 40, "{knows:?}");
    }
}

#[tokio::test]
async fn other_refusals_are_counted_at_once_and_the_rest_goes_on() {
    let (receiver, address) = Receiver::start(Knows::Two).await;
    receiver.next([(401, None)]);
    let agent = agent(&to(address, "")).await;
    let mut client = client(&agent).await;
    client.export(numbers(0..10)).await.unwrap();
    while receiver.versions().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.export(numbers(10..20)).await.unwrap();
    receiver.wait(|t| of_requests(t) == 10).await;
    let ledger = exported(&agent, 10).await;
    assert_eq!(ledger["dropped"]["next_hop"], 10);
}

#[tokio::test]
async fn deltas_are_dropped_by_their_reason_to_the_point() {
    let (receiver, address) = Receiver::start(Knows::Two).await;
    let agent = agent(&to(address, "    scope_labels: false")).await;
    let time = now();
    let mixed = request(vec![
        metric(
            "a",
            "",
            sum(
                vec![number(1.0, time, &[]), number(1.0, time, &[("x", "y")])],
                DELTA,
            ),
        ),
        metric("b", "", exponential(time, -5)),
        metric("c", "", gauge(vec![number(3.0, time, &[])])),
    ]);
    let only = request(vec![metric(
        "a",
        "",
        sum(vec![number(1.0, time, &[])], DELTA),
    )]);
    let mut client = client(&agent).await;
    client.export(mixed).await.unwrap();
    receiver.wait(|t| !t.is_empty()).await;
    client.export(only).await.unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let ledger = balanced(&agent).await;
        let dropped = &ledger["dropped"];
        if dropped["not_cumulative"] == 3 && dropped["too_coarse"] == 1 && ledger["exported"] == 1 {
            assert_eq!(dropped.get("next_hop"), None);
            break;
        }
        assert!(Instant::now() < end, "{ledger}");
    }
    let (_, text) = page(&agent, "/metrics").await;
    assert!(
        text.contains("phoenix_agent_export_points_unfit_total{exporter=\"next_hop\",reason=\"not_cumulative\"} 3"),
        "{text}"
    );
    receiver.wait(|t| t.len() == 2).await;
    assert_eq!(receiver.taken()[0], "c{instance=i-1,job=shop/checkout} 3");
}

#[tokio::test]
async fn a_resource_is_told_of_in_a_request_of_its_own_once_a_minute_of_its_points() {
    let (receiver, address) = Receiver::start(Knows::Two).await;
    let agent = agent(&to(address, "")).await;
    let mut client = client(&agent).await;
    let time = now() - 300_000_000_000;
    for (round, second) in [0, 10, 20, 61, 70].into_iter().enumerate() {
        let time = time + second * 1_000_000_000;
        let points = vec![number(second as f64, time, &[])];
        let one = request(vec![metric("c", "", gauge(points))]);
        client.export(one).await.unwrap();
        let of_c = |t: &[String]| t.iter().filter(|s| s.starts_with("c{")).count();
        receiver.wait(|t| of_c(t) == round + 1).await;
    }
    let info = |t: &[String]| t.iter().filter(|s| s.starts_with("target_info")).count();
    receiver.wait(|t| info(t) == 2).await;
    assert_eq!(receiver.versions().len(), 7);
    let infos: Vec<_> = receiver
        .taken()
        .into_iter()
        .filter(|s| s.starts_with("target_info"))
        .collect();
    assert_eq!(
        infos[0],
        "target_info{host_name=h1,instance=i-1,job=shop/checkout} 1"
    );
}

#[tokio::test]
async fn two_workers_send_every_point_once() {
    let (receiver, address) = Receiver::start(Knows::One).await;
    let agent = agent(&to(address, "workers: 2")).await;
    let mut client = client(&agent).await;
    for round in 0..8i64 {
        let mut request = numbers(round * 50..round * 50 + 50);
        let host = format!("h{round}");
        request.resource_metrics[0]
            .resource
            .as_mut()
            .unwrap()
            .attributes = vec![text("host.name", &host)];
        client.export(request).await.unwrap();
    }
    receiver.wait(|t| of_requests(t) == 400).await;
    let mut taken = receiver.taken();
    taken.sort();
    taken.dedup();
    assert_eq!(of_requests(&taken), 400);
    balanced(&agent).await;
}
