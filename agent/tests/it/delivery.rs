//! What was accepted arrives, in order, once, whatever the next hop does.

use crate::support::{Fault, Sink, agent, client, own_metric, page, request, to};
use std::time::{Duration, Instant};
use tonic::Code;

#[tokio::test]
async fn what_goes_in_by_grpc_comes_out_unchanged_and_in_order() {
    let (sink, address) = Sink::start().await;
    let agent = agent(&to(address, "")).await;
    let mut client = client(&agent).await;
    let mut sent = Vec::new();
    for round in 0..20 {
        let request = request(round * 10..round * 10 + 10);
        sent.push(request.clone());
        let answer = client.export(request).await.unwrap().into_inner();
        assert_eq!(answer.partial_success, None);
    }
    sink.wait_for(200).await;
    assert_eq!(sink.values(), (0..200).collect::<Vec<_>>());
    let came: Vec<_> = sink
        .requests()
        .into_iter()
        .flat_map(|r| r.resource_metrics)
        .collect();
    let sent: Vec<_> = sent.into_iter().flat_map(|r| r.resource_metrics).collect();
    assert_eq!(came, sent);
    assert!(sink.requests().len() < 20, "requests are put together");
}

#[tokio::test]
async fn compressed_requests_are_taken_and_sent() {
    use tonic::codec::CompressionEncoding::{Gzip, Zstd};
    for (encoding, name) in [(Gzip, "gzip"), (Zstd, "zstd")] {
        let (sink, address) = Sink::start().await;
        let agent = agent(&to(address, &format!("    compression: {name}"))).await;
        let mut client = client(&agent).await.send_compressed(encoding);
        client.export(request(0..5000)).await.unwrap();
        sink.wait_for(5000).await;
        assert_eq!(sink.values(), (0..5000).collect::<Vec<_>>());
        assert_eq!(sink.header("grpc-encoding").as_deref(), Some(name));
    }
}

#[tokio::test]
async fn retryable_answers_are_retried_and_nothing_is_lost_or_doubled() {
    let (sink, address) = Sink::start().await;
    sink.next([
        Fault::Status(Code::Unavailable, "down"),
        Fault::Status(Code::Aborted, "again"),
        Fault::Status(Code::DeadlineExceeded, "slow"),
    ]);
    let agent = agent(&to(address, "")).await;
    let mut client = client(&agent).await;
    client.export(request(0..10)).await.unwrap();
    client.export(request(10..20)).await.unwrap();
    sink.wait_for(20).await;
    assert_eq!(sink.values(), (0..20).collect::<Vec<_>>());
    assert!(own_metric(&agent, "phoenix_agent_export_errors_total").await >= 3.0);
}

#[tokio::test]
async fn the_pause_that_the_next_hop_asks_for_is_kept() {
    let (sink, address) = Sink::start().await;
    let pause = Duration::from_millis(700);
    sink.next([Fault::Busy(pause)]);
    let agent = agent(&to(address, "")).await;
    client(&agent).await.export(request(0..3)).await.unwrap();
    sink.wait_for(3).await;
    let times = sink.times();
    assert!(times[1] - times[0] >= pause, "{:?}", times[1] - times[0]);
}

#[tokio::test]
async fn a_permanent_refusal_is_dropped_and_the_rest_goes_on() {
    let (sink, address) = Sink::start().await;
    sink.next([Fault::Status(Code::InvalidArgument, "no")]);
    let agent = agent(&to(address, "")).await;
    let mut client = client(&agent).await;
    client.export(request(0..10)).await.unwrap();
    while sink.times().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.export(request(10..20)).await.unwrap();
    sink.wait_for(10).await;
    assert_eq!(sink.values(), (10..20).collect::<Vec<_>>());
    let ledger = exported(&agent, 10).await;
    assert_eq!(ledger["dropped"]["next_hop"], 10);
}

#[tokio::test]
async fn a_partial_success_of_the_next_hop_is_counted() {
    let (sink, address) = Sink::start().await;
    sink.next([Fault::Partial(4)]);
    let agent = agent(&to(address, "")).await;
    client(&agent).await.export(request(0..10)).await.unwrap();
    sink.wait_for(10).await;
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let ledger = balanced(&agent).await;
        if ledger["dropped"]["next_hop"] == 4 && ledger["exported"] == 6 {
            break;
        }
        assert!(Instant::now() < end, "{ledger}");
    }
}

#[tokio::test]
async fn a_next_hop_that_hangs_is_given_up_and_asked_again() {
    let (sink, address) = Sink::start().await;
    sink.next([Fault::Hang]);
    let agent = agent(&to(address, "    timeout: 300ms")).await;
    client(&agent).await.export(request(0..3)).await.unwrap();
    sink.wait_for(3).await;
    assert_eq!(sink.values(), vec![0, 1, 2]);
}

#[tokio::test]
async fn a_full_queue_refuses_upstream_and_loses_nothing() {
    let (sink, address) = Sink::start().await;
    sink.next(std::iter::repeat_n(
        Fault::Busy(Duration::from_millis(100)),
        8,
    ));
    let more = "    queue: { bytes: 40KiB }\n    batch: { timeout: 20ms, points: 100 }";
    let settings = to(address, more).replace("    batch: { timeout: 20ms }\n", "");
    let agent = agent(&settings).await;
    let mut client = client(&agent).await;
    let mut refused = 0;
    for round in 0..50 {
        let request = request(round * 100..round * 100 + 100);
        while let Err(status) = client.export(request.clone()).await {
            assert_eq!(status.code(), Code::Unavailable);
            let status = <phoenix_agent::rpc::Status as prost::Message>::decode(status.details());
            assert!(status.unwrap().retry_delay().is_some(), "RetryInfo");
            refused += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            balanced(&agent).await;
        }
    }
    assert!(refused > 0, "the queue was never full");
    sink.wait_for(5000).await;
    assert_eq!(sink.values(), (0..5000).collect::<Vec<_>>());
    assert!(own_metric(&agent, "phoenix_agent_requests_refused_total").await >= f64::from(refused));
}

#[tokio::test]
async fn the_ledger_balances_while_points_wait() {
    let (sink, address) = Sink::start().await;
    sink.next([Fault::Busy(Duration::from_millis(600))]);
    let agent = agent(&to(address, "")).await;
    client(&agent).await.export(request(0..10)).await.unwrap();
    let ledger = balanced(&agent).await;
    assert_eq!(
        (ledger["received"].as_u64(), ledger["held"].as_i64()),
        (Some(10), Some(10))
    );
    sink.wait_for(10).await;
    let end = Instant::now() + Duration::from_secs(5);
    while balanced(&agent).await["exported"] != 10 {
        assert!(Instant::now() < end);
    }
}

/// The baseline's ledger; it must balance whenever it is looked at.
pub async fn balanced(agent: &phoenix_agent::process::Agent) -> serde_json::Value {
    let (code, text) = page(agent, "/debug/ledger").await;
    assert_eq!(code, 200, "{text}");
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    for arm in ["baseline", "node"] {
        let ledger: phoenix_engine::ledger::Ledger =
            serde_json::from_value(all[arm].clone()).unwrap();
        assert_eq!(ledger.imbalance(), 0, "{text}");
    }
    all["baseline"].clone()
}

/// Waits until so many points count as exported: those that a next hop has taken do once its answer was read.
pub async fn exported(agent: &phoenix_agent::process::Agent, points: u64) -> serde_json::Value {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let ledger = balanced(agent).await;
        if ledger["exported"] == points {
            return ledger;
        }
        assert!(Instant::now() < end, "{ledger}");
    }
}

#[tokio::test]
async fn what_is_larger_than_a_batch_is_divided_between_points() {
    let (sink, address) = Sink::start().await;
    let settings = to(address, "").replace("{ timeout: 20ms }", "{ timeout: 20ms, bytes: 8KiB }");
    let agent = agent(&settings).await;
    client(&agent).await.export(request(0..2000)).await.unwrap();
    sink.wait_for(2000).await;
    assert_eq!(sink.values(), (0..2000).collect::<Vec<_>>());
    let sizes: Vec<usize> = sink
        .requests()
        .iter()
        .map(prost::Message::encoded_len)
        .collect();
    assert!(sizes.iter().all(|s| *s <= 8192), "{sizes:?}");
    exported(&agent, 2000).await;
    assert_eq!(own_metric(&agent, "phoenix_agent_queue_bytes").await, 0.0);
}
