//! SIGTERM: nothing accepted is left behind, and the process says when that was not possible.

use crate::support::{Fault, Process, Sink, agent, client, request, to};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_drain_empties_the_queue() {
    let (sink, address) = Sink::start().await;
    sink.next([Fault::Busy(Duration::from_millis(500))]);
    let agent = agent(&to(address, "")).await;
    let mut client = client(&agent).await;
    for round in 0..10 {
        client
            .export(request(round * 10..round * 10 + 10))
            .await
            .unwrap();
    }
    let drained = agent.drain().await;
    assert_eq!(drained.lost, 0);
    assert_eq!(sink.values(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_drain_ends_in_time_with_a_next_hop_that_is_away() {
    let settings = to("127.0.0.1:1".parse().unwrap(), "").replace("drain: 5s", "drain: 1s");
    let agent = agent(&settings).await;
    client(&agent).await.export(request(0..7)).await.unwrap();
    let began = Instant::now();
    let drained = agent.drain().await;
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(drained.lost, 7);
}

#[tokio::test]
async fn the_process_says_what_can_be_lost_and_then_what_is() {
    let settings = to("127.0.0.1:1".parse().unwrap(), "").replace("drain: 5s", "drain: 1s");
    let process = Process::told(&settings);
    let endpoint = format!("http://{}", process.address("grpc"));
    type Client = opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient<tonic::transport::Channel>;
    let mut client = Client::connect(endpoint).await.unwrap();
    client.export(request(0..7)).await.unwrap();
    process.terminate();
    let (status, said) = tokio::task::spawn_blocking(move || process.end())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    for line in [
        "lost if this process is killed",
        "what the next hop does not take within 1s (`drain`) is lost",
        "SIGTERM: draining for at most 1s",
        "points are lost: the next hop did not take them within 1s (`drain`)",
        "lost=7",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
}

#[tokio::test]
async fn the_process_drains_on_sigterm_under_load_and_exits_0() {
    let (sink, address) = Sink::start().await;
    let mut process = Process::start(&to(address, ""), &[]);
    assert!(
        process.line.starts_with("phoenix-agent listening grpc="),
        "{}",
        process.line
    );
    let endpoint = format!("http://{}", process.address("grpc"));
    type Client = opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient<tonic::transport::Channel>;
    let mut client = Client::connect(endpoint).await.unwrap();
    let sender = tokio::spawn(async move {
        let mut accepted = 0;
        // Until the drain turns it away.
        while client
            .export(request(accepted * 50..accepted * 50 + 50))
            .await
            .is_ok()
        {
            accepted += 1;
        }
        accepted * 50
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.terminate();
    let accepted = sender.await.unwrap();
    let status = tokio::task::spawn_blocking(move || process.child.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(accepted > 0);
    let came = sink.values();
    assert!(
        came.len() as i64 >= accepted,
        "{} came, {accepted} were accepted",
        came.len()
    );
    assert!(
        came.iter().copied().eq(0..came.len() as i64),
        "in order, none twice"
    );
}
