//! The file exporter and the shadow exporter's setting.

use crate::support::{agent, client, request, try_agent, values};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

fn to_file(path: &std::path::Path, more: &str) -> String {
    format!(
        "receivers: {{ otlp: {{ grpc: \"127.0.0.1:0\" }} }}
admin: \"127.0.0.1:0\"
limits: {{ memory: 4GiB }}
exporters: {{ file: {{ path: {}{more} }} }}",
        path.display()
    )
}

fn messages(mut bytes: &[u8], zstd: bool) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        let message = &bytes[4..4 + length];
        found.push(if zstd {
            zstd::decode_all(message).unwrap()
        } else {
            message.to_vec()
        });
        bytes = &bytes[4 + length..];
    }
    found
}

#[tokio::test]
async fn protobuf_files_hold_every_point_also_after_a_restart() {
    for (more, zstd) in [("", false), (", compression: zstd", true)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.binpb");
        for round in 0..2 {
            let agent = agent(&to_file(&path, more)).await;
            let request = request(round * 10..round * 10 + 10);
            client(&agent).await.export(request).await.unwrap();
            assert_eq!(agent.drain().await.lost, 0);
        }
        let found: Vec<i64> = messages(&std::fs::read(&path).unwrap(), zstd)
            .iter()
            .flat_map(|m| values(&ExportMetricsServiceRequest::decode(&m[..]).unwrap()))
            .collect();
        assert_eq!(found, (0..20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn json_files_hold_a_document_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.json");
    let agent = agent(&to_file(&path, ", format: json")).await;
    client(&agent).await.export(request(0..3)).await.unwrap();
    agent.drain().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let metric = &line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
    assert_eq!(metric["sum"]["dataPoints"][2]["asInt"], "2");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_stops_the_start() {
    let path = std::path::Path::new("/nowhere/at/all.binpb");
    let error = try_agent(&to_file(path, "")).await.err().unwrap();
    assert!(
        error.contains("exporters.file: cannot write /nowhere/at/all.binpb"),
        "{error}"
    );
}

#[tokio::test]
async fn what_one_agent_wrote_another_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a.binpb"), dir.path().join("b.binpb"));
    let writer = agent(&to_file(&first, "")).await;
    client(&writer).await.export(request(0..100)).await.unwrap();
    assert_eq!(writer.drain().await.lost, 0);
    let settings = to_file(&second, "").replace(
        "{ otlp: { grpc: \"127.0.0.1:0\" } }",
        &format!("{{ file: {{ path: {} }} }}", first.display()),
    );
    let reader = agent(&settings).await;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while crate::delivery::balanced(&reader).await["received"] != 100 {
        assert!(std::time::Instant::now() < end);
    }
    assert_eq!(reader.drain().await.lost, 0);
    assert_eq!(
        std::fs::read(&first).unwrap(),
        std::fs::read(&second).unwrap()
    );
}
