//! Bad input: the right status and a reason, counted, and nothing else disturbed.

use crate::support::{Sink, agent, client, http_request, own_metric, request, to};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use phoenix_agent::process::Agent;
use phoenix_agent::rpc::{self, Code, Status};
use prost::Message;
use std::io::Write;

/// What it is, the status that is due, headers, body.
type Row = (
    &'static str,
    u16,
    Vec<(&'static str, &'static str)>,
    Vec<u8>,
);

const METRICS: &str = "/v1/metrics";
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// 900 kB of legal empty sub-messages: more elements than the limit.
fn empty_messages() -> Vec<u8> {
    // Field 1 (resource_metrics), length-delimited, empty.
    [0x0a, 0x00].repeat(450_000)
}

fn invalid_utf8() -> Vec<u8> {
    let mut request = request([1]);
    request.resource_metrics[0].scope_metrics[0].metrics[0].name = "MMMM".into();
    let mut bytes = request.encode_to_vec();
    let at = bytes.windows(4).position(|w| w == b"MMMM").unwrap();
    bytes[at..at + 4].copy_from_slice(&[0xff, 0xfe, 0xfd, 0xfc]);
    bytes
}

fn truncated() -> Vec<u8> {
    let mut bytes = request(0..10).encode_to_vec();
    bytes.truncate(bytes.len() - 3);
    bytes
}

async fn post(agent: &Agent, headers: &[(&str, &str)], body: &[u8]) -> (u16, Vec<u8>) {
    let address = agent.addresses.http.unwrap();
    let (code, body, _) = http_request(address, "POST", METRICS, headers, body).await;
    (code, body)
}

/// A gRPC call with whatever bytes; its status.
async fn call(agent: &Agent, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Status {
    let address = agent.addresses.grpc.unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender
        .send_request(request.body(Full::new(Bytes::from(body))).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    if let Some(status) = Status::from_headers(response.headers()) {
        return status;
    }
    let whole = response.into_body().collect().await.unwrap();
    Status::from_headers(whole.trailers().unwrap()).unwrap()
}

fn framed(compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut body = rpc::prefix(compressed, message.len()).to_vec();
    body.extend_from_slice(message);
    body
}

/// Good traffic still flows and the refusals were counted.
async fn undisturbed(agent: &Agent, sink: &Sink, refusals: usize) {
    let refused = own_metric(agent, "phoenix_agent_requests_refused_total").await;
    assert_eq!(refused, refusals as f64);
    assert_eq!(sink.values(), Vec::<i64>::new(), "no state changed");
    let ledger = crate::delivery::balanced(agent).await;
    assert_eq!(
        ledger["received"], 0,
        "a request refused whole is in no count of points"
    );
    client(agent).await.export(request([42])).await.unwrap();
    sink.wait_for(1).await;
    assert_eq!(
        own_metric(agent, "phoenix_agent_in_flight_bytes").await,
        0.0
    );
}

#[tokio::test]
async fn over_http_every_kind_of_bad_request_has_its_status() {
    let (sink, address) = Sink::start().await;
    let agent = agent(&to(address, "")).await;
    let good = request(0..10).encode_to_vec();
    let mut cut = gzip(&good);
    cut.truncate(cut.len() - 6);
    let bomb = gzip(&vec![0u8; 40_000_000]);
    let large = vec![0u8; 1_100_000];
    let wrong_types = br#"{"resourceMetrics":"none"}"#;
    let table: Vec<Row> = vec![
        ("malformed protobuf", 400, vec![PROTOBUF], vec![0xff; 40]),
        ("truncated protobuf", 400, vec![PROTOBUF], truncated()),
        ("invalid UTF-8", 400, vec![PROTOBUF], invalid_utf8()),
        (
            "truncated gzip",
            400,
            vec![PROTOBUF, ("content-encoding", "gzip")],
            cut,
        ),
        (
            "no gzip at all",
            400,
            vec![PROTOBUF, ("content-encoding", "gzip")],
            good.clone(),
        ),
        (
            "a zip bomb",
            413,
            vec![PROTOBUF, ("content-encoding", "gzip")],
            bomb,
        ),
        ("too large", 413, vec![PROTOBUF], large),
        (
            "unknown compression",
            415,
            vec![PROTOBUF, ("content-encoding", "br")],
            good.clone(),
        ),
        (
            "wrong content type",
            415,
            vec![("content-type", "text/plain")],
            good.clone(),
        ),
        ("no content type", 415, vec![], good.clone()),
        (
            "JSON with wrong types",
            400,
            vec![JSON],
            wrong_types.to_vec(),
        ),
        (
            "no JSON",
            400,
            vec![JSON],
            b"{\"resourceMetrics\":[".to_vec(),
        ),
    ];
    let refusals = table.len();
    for (what, expected, headers, body) in table {
        let (code, answer) = post(&agent, &headers, &body).await;
        assert_eq!(
            code,
            expected,
            "{what}: {}",
            String::from_utf8_lossy(&answer)
        );
        let reason = match headers.first() {
            Some(&JSON) => serde_json::from_slice::<serde_json::Value>(&answer).unwrap()["message"]
                .as_str()
                .unwrap()
                .to_owned(),
            Some(&PROTOBUF) => Status::decode(&answer[..]).unwrap().message,
            _ => String::from_utf8(answer).unwrap(),
        };
        assert!(reason.len() > 10, "{what}: {reason:?}");
    }
    undisturbed(&agent, &sink, refusals).await;
}

#[tokio::test]
async fn over_grpc_every_kind_of_bad_request_has_its_status() {
    let (sink, address) = Sink::start().await;
    let agent = agent(&to(address, "")).await;
    let export = phoenix_agent::receivers::grpc::EXPORT;
    let good = request(0..10).encode_to_vec();
    let zipped = gzip(&good);
    let bomb = gzip(&vec![0u8; 40_000_000]);
    let gz = ("grpc-encoding", "gzip");
    let none: Vec<(&str, &str)> = vec![];
    let mut two = framed(false, &good);
    two.extend(framed(false, &good));
    let table = vec![
        (
            "malformed",
            Code::INVALID_ARGUMENT,
            none.clone(),
            framed(false, &[0xff; 40]),
        ),
        (
            "truncated",
            Code::INVALID_ARGUMENT,
            none.clone(),
            framed(false, &truncated()),
        ),
        (
            "invalid UTF-8",
            Code::INVALID_ARGUMENT,
            none.clone(),
            framed(false, &invalid_utf8()),
        ),
        (
            "no prefix",
            Code::INVALID_ARGUMENT,
            none.clone(),
            vec![0, 0],
        ),
        ("two messages", Code::INVALID_ARGUMENT, none.clone(), two),
        (
            "truncated gzip",
            Code::INVALID_ARGUMENT,
            vec![gz],
            framed(true, &zipped[..zipped.len() - 6]),
        ),
        (
            "a zip bomb",
            Code::RESOURCE_EXHAUSTED,
            vec![gz],
            framed(true, &bomb),
        ),
        (
            "too large",
            Code::RESOURCE_EXHAUSTED,
            none.clone(),
            framed(false, &vec![0; 1_100_000]),
        ),
        (
            "unknown compression",
            Code::UNIMPLEMENTED,
            vec![("grpc-encoding", "snappy")],
            framed(true, &zipped),
        ),
    ];
    let mut refusals = table.len();
    for (what, expected, headers, body) in table {
        let status = call(&agent, export, &headers, body).await;
        assert_eq!(Code(status.code), expected, "{what}: {}", status.message);
        assert!(status.message.len() > 10, "{what}: {:?}", status.message);
        assert_eq!(status.retry_delay(), None, "{what}: must not be sent again");
    }
    let traces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let status = call(&agent, traces, &[], framed(false, &[])).await;
    assert_eq!(Code(status.code), Code::UNIMPLEMENTED);
    refusals += 1;
    undisturbed(&agent, &sink, refusals).await;
}

#[tokio::test]
async fn a_flood_of_empty_messages_is_refused_by_their_number() {
    let (sink, address) = Sink::start().await;
    let settings = to(address, "").replace("max_request: 1MiB", "max_request: 16MiB");
    let settings = settings.replace("in_flight: 4MiB", "in_flight: 64MiB");
    let agent = agent(&settings).await;
    let flood = empty_messages().repeat(12);
    let (code, answer) = post(&agent, &[PROTOBUF], &flood).await;
    assert_eq!(code, 413, "{}", String::from_utf8_lossy(&answer));
    undisturbed(&agent, &sink, 1).await;
}

#[tokio::test]
async fn limits_on_one_point_reject_that_point_alone() {
    let (sink, address) = Sink::start().await;
    let agent = agent(&to(address, "")).await;
    let mut mixed = request(0..10);
    let metric = &mut mixed.resource_metrics[0].scope_metrics[0].metrics[0];
    let Some(opentelemetry_proto::tonic::metrics::v1::metric::Data::Sum(sum)) = &mut metric.data
    else {
        unreachable!()
    };
    sum.data_points[3].attributes = (0..10_000)
        .map(|n| crate::support::text(&format!("k{n}"), "v"))
        .collect();
    sum.data_points[7].attributes = vec![crate::support::text("k", &"x".repeat(300_000))];
    let (code, answer) = post(&agent, &[PROTOBUF], &mixed.encode_to_vec()).await;
    assert_eq!(code, 200);
    type Response =
        opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
    let partial = Response::decode(&answer[..])
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(partial.rejected_data_points, 2, "{}", partial.error_message);
    assert!(!partial.error_message.is_empty());
    sink.wait_for(8).await;
    assert_eq!(sink.values(), vec![0, 1, 2, 4, 5, 6, 8, 9]);
    let ledger = crate::delivery::balanced(&agent).await;
    assert_eq!(
        (&ledger["received"], &ledger["rejected"]),
        (&10.into(), &2.into())
    );
}
