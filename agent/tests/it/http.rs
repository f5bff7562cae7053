//! OTLP/HTTP as the specification says, and the admin pages.

use crate::support::{Sink, agent, client, http_request, page, request, to};
use prost::Message;
use std::time::{Duration, Instant};

const JSON_REQUEST: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"host.name","value":{"stringValue":"h1"}}]},
"scopeMetrics":[{"scope":{"name":"s"},"metrics":[{"name":"requests","unit":"1","sum":{"aggregationTemporality":2,"isMonotonic":true,
"dataPoints":[{"asInt":"7","startTimeUnixNano":"1000","timeUnixNano":"2000","attributes":[]},{"asInt":"x","timeUnixNano":"2000"}]}}]}]}]}"#;

#[tokio::test]
async fn protobuf_is_taken_with_every_compression() {
    let (sink, address) = Sink::start().await;
    let agent = agent(&to(address, "")).await;
    let plain = request(0..10).encode_to_vec();
    let zstd = zstd::encode_all(&plain[..], 3).unwrap();
    for (encoding, body) in [("identity", &plain), ("zstd", &zstd)] {
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", encoding),
        ];
        let address = agent.addresses.http.unwrap();
        let (code, answer, head) =
            http_request(address, "POST", "/v1/metrics", &headers, body).await;
        assert_eq!((code, answer.len()), (200, 0));
        assert_eq!(head["content-type"], "application/x-protobuf");
    }
    sink.wait_for(20).await;
}

#[tokio::test]
async fn json_is_taken_and_a_wrong_point_is_rejected_with_its_count() {
    let (sink, address) = Sink::start().await;
    let agent = agent(&to(address, "")).await;
    let headers = [("content-type", "application/json; charset=utf-8")];
    let address = agent.addresses.http.unwrap();
    let body = JSON_REQUEST.as_bytes();
    let (code, answer, head) = http_request(address, "POST", "/v1/metrics", &headers, body).await;
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(
        (code, &head["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    assert_eq!(
        answer["partialSuccess"]["rejectedDataPoints"], "1",
        "{answer}"
    );
    sink.wait_for(1).await;
    assert_eq!(sink.values(), vec![7]);
    let ledger = crate::delivery::balanced(&agent).await;
    assert_eq!(
        (&ledger["received"], &ledger["rejected"]),
        (&2.into(), &1.into())
    );
}

#[tokio::test]
async fn other_paths_and_methods_are_named() {
    let (_sink, address) = Sink::start().await;
    let agent = agent(&to(address, "")).await;
    let address = agent.addresses.http.unwrap();
    let (code, ..) = http_request(address, "POST", "/v1/traces", &[], b"").await;
    assert_eq!(code, 404);
    let (code, _, head) = http_request(address, "GET", "/v1/metrics", &[], b"").await;
    assert_eq!((code, &head["allow"]), (405, &"POST".parse().unwrap()));
}

#[tokio::test]
async fn the_admin_pages_answer() {
    let (_sink, address) = Sink::start().await;
    let agent = agent(&to(address, "")).await;
    assert_eq!(page(&agent, "/healthz").await.0, 200);
    let end = Instant::now() + Duration::from_secs(5);
    while page(&agent, "/readyz").await.0 != 200 {
        assert!(Instant::now() < end);
    }
    let (code, metrics) = page(&agent, "/metrics").await;
    assert_eq!(code, 200);
    for name in [
        "phoenix_agent_points_total{arm=\"baseline\",outcome=\"received\",reason=\"\"} 0",
        "phoenix_agent_points_held{arm=\"baseline\"} 0",
        "phoenix_agent_resident_bytes ",
        "# EOF",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    assert_eq!(page(&agent, "/debug/series").await.0, 400);
    assert_eq!(page(&agent, "/nothing").await.0, 404);
}

#[tokio::test]
async fn what_happens_to_a_series_is_told_of_those_that_speak_after_the_question() {
    let (_sink, address) = Sink::start().await;
    let agent = agent(&to(address, "")).await;
    let mut client = client(&agent).await;
    client.export(request([6])).await.unwrap();
    let mut question = std::pin::pin!(page(&agent, "/debug/series?host.name=h1&wait=1s"));
    let (code, found) = loop {
        tokio::select! {
            answer = &mut question => break answer,
            taken = client.export(request([7])) => drop(taken.unwrap()),
        }
    };
    assert_eq!(code, 200);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let series = found["series"].as_array().unwrap();
    assert_eq!(series.len(), 1, "each once: {found}");
    assert_eq!(series[0]["metric"], "requests");
    assert_eq!(
        series[0]["attributes"][0],
        serde_json::json!(["series", "7"])
    );
    assert_eq!(series[0]["fate"], "exported");
    assert!(
        found["listened_seconds"].as_f64().unwrap() >= 1.0,
        "{found}"
    );
}

#[tokio::test]
async fn a_plan_that_is_missing_or_broken_keeps_the_agent_from_being_ready() {
    let (_sink, address) = Sink::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.yaml");
    let settings = format!(
        "{}\npipeline: {{ file: {} }}",
        to(address, ""),
        file.display()
    );
    let agent = agent(&settings).await;
    let (code, why) = page(&agent, "/readyz").await;
    assert_eq!(code, 503);
    assert!(why.contains("plan"), "{why}");
    let pipeline =
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: p }\nspec: { stages: [] }\n";
    std::fs::write(&file, pipeline).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while page(&agent, "/readyz").await.0 != 200 {
        assert!(Instant::now() < end, "the file was not taken up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let hash = || async { page(&agent, "/debug/ledger").await.1 };
    let before: serde_json::Value = serde_json::from_str(&hash().await).unwrap();
    std::fs::write(&file, "kind: Pipeline\nspec: 7").unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while crate::support::own_metric(&agent, "phoenix_agent_pipelines_refused_total").await < 2.0 {
        assert!(Instant::now() < end, "the broken file was not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let after: serde_json::Value = serde_json::from_str(&hash().await).unwrap();
    assert_eq!(before["baseline_hash"], after["baseline_hash"]);
    assert_eq!(
        page(&agent, "/readyz").await.0,
        200,
        "the plan before it keeps running"
    );
}
