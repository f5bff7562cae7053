//! An agent in this process, requests to send, and a next hop that does as it is told.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use phoenix_agent::process::Agent;
use phoenix_agent::settings;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};

/// What the next hop does with one request.
#[derive(Debug, Clone)]
pub enum Fault {
    Status(Code, &'static str),
    /// With RetryInfo.
    Busy(Duration),
    Partial(i64),
    Hang,
}

#[derive(Default)]
struct Seen {
    requests: Vec<ExportMetricsServiceRequest>,
    times: Vec<Instant>,
    metadata: Vec<tonic::metadata::MetadataMap>,
    faults: VecDeque<Fault>,
}

#[derive(Clone, Default)]
pub struct Sink(Arc<Mutex<Seen>>);

#[tonic::async_trait]
impl MetricsService for Sink {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let fault = {
            let mut seen = self.0.lock().unwrap();
            seen.times.push(Instant::now());
            seen.metadata.push(request.metadata().clone());
            seen.faults.pop_front()
        };
        let mut response = ExportMetricsServiceResponse::default();
        match fault {
            Some(Fault::Status(code, message)) => return Err(Status::new(code, message)),
            Some(Fault::Busy(delay)) => {
                let status = phoenix_agent::rpc::Status::new(
                    phoenix_agent::rpc::Code::UNAVAILABLE,
                    "busy",
                    Some(delay),
                );
                let details = prost::Message::encode_to_vec(&status);
                return Err(Status::with_details(
                    Code::Unavailable,
                    "busy",
                    Bytes::from(details),
                ));
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Partial(rejected)) => {
                response.partial_success = Some(ExportMetricsPartialSuccess {
                    rejected_data_points: rejected,
                    error_message: "some were old".into(),
                });
            }
            None => {}
        }
        self.0.lock().unwrap().requests.push(request.into_inner());
        Ok(Response::new(response))
    }
}

impl Sink {
    /// Serves on a free port.
    pub async fn start() -> (Sink, SocketAddr) {
        Sink::start_on("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_on(address: SocketAddr) -> (Sink, SocketAddr) {
        let sink = Sink::default();
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = MetricsServiceServer::new(sink.clone())
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
            .accept_compressed(tonic::codec::CompressionEncoding::Zstd)
            .max_decoding_message_size(64 << 20);
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        (sink, address)
    }

    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().unwrap().faults.extend(faults);
    }

    pub fn times(&self) -> Vec<Instant> {
        self.0.lock().unwrap().times.clone()
    }

    pub fn requests(&self) -> Vec<ExportMetricsServiceRequest> {
        self.0.lock().unwrap().requests.clone()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let seen = self.0.lock().unwrap();
        let value = seen.metadata.first()?.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }

    /// Values of all points taken, in order.
    pub fn values(&self) -> Vec<i64> {
        self.requests().iter().flat_map(values).collect()
    }

    /// Waits until `count` points arrived.
    pub async fn wait_for(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.values().len() < count {
            assert!(
                Instant::now() < end,
                "{} of {count} points came",
                self.values().len()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The values in a request.
pub fn values(request: &ExportMetricsServiceRequest) -> Vec<i64> {
    let mut found = Vec::new();
    for metric in request
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics)
    {
        if let Some(metric::Data::Sum(sum)) = &metric.data {
            for point in &sum.data_points {
                if let Some(number_data_point::Value::AsInt(n)) = point.value {
                    found.push(n);
                }
            }
        }
    }
    found
}

pub fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.into())),
        }),
        ..Default::default()
    }
}

/// A request of cumulative points, one for each value, each a series of its own.
pub fn request(values: impl IntoIterator<Item = i64>) -> ExportMetricsServiceRequest {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_nanos() as u64;
    let data_points = values
        .into_iter()
        .map(|value| NumberDataPoint {
            attributes: vec![text("series", &value.to_string())],
            start_time_unix_nano: now - 1_000_000_000,
            time_unix_nano: now,
            value: Some(number_data_point::Value::AsInt(value)),
            ..Default::default()
        })
        .collect();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![text("host.name", "h1")],
                ..Default::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope {
                    name: "test".into(),
                    ..Default::default()
                }),
                metrics: vec![Metric {
                    name: "requests".into(),
                    unit: "1".into(),
                    data: Some(metric::Data::Sum(Sum {
                        data_points,
                        aggregation_temporality: AggregationTemporality::Cumulative.into(),
                        is_monotonic: true,
                    })),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

/// An agent with its settings given as YAML; `{sink}` is the next hop.
pub async fn agent(settings: &str) -> Agent {
    try_agent(settings).await.unwrap()
}

pub async fn try_agent(text: &str) -> Result<Agent, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let settings = settings::load(Some(file.path()), &[]).map_err(|e| e.to_string())?;
    Agent::start(settings).await.map_err(|e| e.to_string())
}

/// The usual settings: OTLP in, gRPC to `sink`, small batches; `more` is put under the exporter.
pub fn to(sink: SocketAddr, more: &str) -> String {
    format!(
        "node: {{ name: n1 }}
receivers: {{ otlp: {{ grpc: \"127.0.0.1:0\", http: \"127.0.0.1:0\", max_request: 1MiB }} }}
admin: \"127.0.0.1:0\"
drain: 5s
limits: {{ memory: 4GiB, in_flight: 4MiB }}
exporters:
  otlp:
    endpoint: \"http://{sink}\"
    batch: {{ timeout: 20ms }}
    retry: {{ initial: 50ms, max: 200ms }}
{more}"
    )
}

pub async fn client(agent: &Agent) -> MetricsServiceClient<Channel> {
    let address = format!("http://{}", agent.addresses.grpc.unwrap());
    MetricsServiceClient::connect(address).await.unwrap()
}

/// An admin page.
pub async fn page(agent: &Agent, path: &str) -> (u16, String) {
    let (code, body, _) = http_request(agent.addresses.admin, "GET", path, &[], b"").await;
    (code, String::from_utf8(body).unwrap())
}

/// One request over a connection of its own; status, body, headers.
pub async fn http_request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, Vec<u8>, ::http::HeaderMap) {
    use http_body_util::{BodyExt, Full};
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let mut request = ::http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body)))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (head.status.as_u16(), body, head.headers)
}

/// A metric of `/metrics` without labels, or the sum over its rows.
pub async fn own_metric(agent: &Agent, name: &str) -> f64 {
    let (code, text) = page(agent, "/metrics").await;
    assert_eq!(code, 200, "{text}");
    text.lines()
        .filter(|l| l.starts_with(name))
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// The program itself.
pub struct Process {
    pub child: Child,
    /// What it said when it was ready.
    pub line: String,
}

impl Process {
    pub fn start(settings: &str, env: &[(&str, &str)]) -> Process {
        Process::spawn(settings, env, Stdio::inherit())
    }

    /// What it says is kept for `end`.
    pub fn told(settings: &str) -> Process {
        Process::spawn(settings, &[], Stdio::piped())
    }

    fn spawn(settings: &str, env: &[(&str, &str)], said: Stdio) -> Process {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.yaml");
        std::fs::write(&file, settings).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_phoenix-agent"))
            .arg("--settings")
            .arg(&file)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Process { child, line }
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end; what it said.
    pub fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }

    pub fn address(&self, name: &str) -> String {
        let key = format!("{name}=");
        let part = self
            .line
            .split_whitespace()
            .find_map(|p| p.strip_prefix(&key));
        part.unwrap_or_else(|| panic!("{}", self.line)).to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
    }
}
