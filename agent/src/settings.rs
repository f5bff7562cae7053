//! The agent's start-up options: one YAML file, `PHOENIX_*` variables over it, flags over both.
//!
//! Everything is checked before anything starts; all mistakes are reported at once.

mod check;
mod overlay;
mod reader;

use crate::exporters::headers::Headers;
use phoenix_engine::document::Problem;
use phoenix_engine::prometheus::Naming;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use overlay::{environment, load};

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who this agent is.
    pub node: Node,
    /// Where points come from.
    pub receivers: Receivers,
    /// Where points go.
    pub exporters: Exporters,
    /// A watched pipeline document.
    pub pipeline_file: Option<PathBuf>,
    /// Where plans come from otherwise.
    pub control_plane: Option<ControlPlane>,
    /// Folder of the credential and of plans.
    pub state: Option<PathBuf>,
    /// Address of metrics, health and debug pages.
    pub admin: SocketAddr,
    /// What the process may use.
    pub limits: Limits,
    /// Threads of the data path, one core each.
    pub workers: usize,
    /// How long a drain may take to empty the queue.
    pub drain: Duration,
}

/// `node`.
#[derive(Debug, Clone)]
pub struct Node {
    /// Node name; default the host's name.
    pub name: String,
    /// Labels that assignments select by.
    pub labels: BTreeMap<String, String>,
    /// Tenant, default `default`.
    pub tenant: String,
    /// Cluster, default `default`.
    pub cluster: String,
    /// Resource attribute keys of which an output must keep one.
    pub keys: Vec<String>,
}

/// `receivers`.
#[derive(Debug, Clone, Default)]
pub struct Receivers {
    /// OTLP over gRPC and HTTP.
    pub otlp: Option<OtlpReceiver>,
    /// This machine's processes.
    pub host: Option<HostReceiver>,
    /// A capture to read once.
    pub file: Option<PathBuf>,
}

/// `receivers.otlp`.
#[derive(Debug, Clone)]
pub struct OtlpReceiver {
    /// gRPC address.
    pub grpc: Option<SocketAddr>,
    /// HTTP address.
    pub http: Option<SocketAddr>,
    /// Largest request, compressed and inflated alike.
    pub max_request: usize,
}

/// `receivers.host`.
#[derive(Debug, Clone)]
pub struct HostReceiver {
    /// Pause between two scans.
    pub every: Duration,
    /// Where the host's file system is mounted.
    pub root_path: PathBuf,
    /// Processes to report; empty: all.
    pub include: ProcessRules,
    /// Processes to leave out.
    pub exclude: ProcessRules,
}

/// `receivers.host.include` and `.exclude`: values as in a pipeline's matchers (exact, glob,
/// `/regex/`).
#[derive(Debug, Clone, Default)]
pub struct ProcessRules {
    /// Executable names.
    pub names: Vec<String>,
    /// Owners (user names).
    pub owners: Vec<String>,
    /// Command lines.
    pub command_lines: Vec<String>,
}

/// `exporters`.
#[derive(Debug, Clone, Default)]
pub struct Exporters {
    /// The next hop.
    pub otlp: Option<OtlpExporter>,
    /// A receiver of Prometheus remote write.
    pub remote_write: Option<RemoteWriteExporter>,
    /// A capture of what is exported.
    pub file: Option<FileExporter>,
    /// Where a shadow candidate's output goes.
    pub shadow: Option<ShadowExporter>,
    /// A backend that both arms of an experiment reach, each under a label.
    pub witness: Option<WitnessExporter>,
}

/// `exporters.witness`.
#[derive(Debug, Clone)]
pub struct WitnessExporter {
    /// Where to.
    pub remote_write: RemoteWriteExporter,
    /// The label that says `baseline` or `candidate`.
    pub arm_label: String,
    /// The label that says experiment and revision.
    pub run_label: String,
}

/// `exporters.shadow`: exactly one kind.
#[derive(Debug, Clone)]
pub enum ShadowExporter {
    /// To an OTLP endpoint.
    Otlp(Box<OtlpExporter>),
    /// To a receiver of Prometheus remote write.
    RemoteWrite(Box<RemoteWriteExporter>),
    /// To a capture.
    File(FileExporter),
}

/// How OTLP is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// Compression of a request or of a file's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// gzip level 1.
    Gzip,
    /// zstd level 1.
    Zstd,
}

/// `exporters.otlp`.
#[derive(Debug, Clone)]
pub struct OtlpExporter {
    /// Scheme, host, port and, for HTTP, path.
    pub endpoint: http::Uri,
    /// gRPC or HTTP.
    pub protocol: Protocol,
    /// Compression of requests.
    pub compression: Compression,
    /// Of one try, connecting included.
    pub timeout: Duration,
    /// Sent with every request; values are never printed.
    pub headers: Headers,
    /// For https endpoints.
    pub tls: Tls,
    /// When a request is full.
    pub batch: Batch,
    /// Bytes that may wait.
    pub queue_bytes: usize,
    /// Pauses between tries.
    pub retry: Retry,
}

/// `exporters.remote_write`.
#[derive(Debug, Clone)]
pub struct RemoteWriteExporter {
    /// The whole URL, like `http://127.0.0.1:9090/api/v1/write`.
    pub endpoint: http::Uri,
    /// Which message is sent.
    pub version: RemoteWriteVersion,
    /// Of one try, connecting included.
    pub timeout: Duration,
    /// Sent with every request; values are never printed.
    pub headers: Headers,
    /// For https endpoints.
    pub tls: Tls,
    /// What of resource and scope becomes labels.
    pub naming: Naming,
    /// Labels on every series that has none of the same name.
    pub labels: BTreeMap<String, String>,
    /// Whether resources are told of as `target_info`.
    pub target_info: bool,
    /// When a request is full, before its translation.
    pub batch: Batch,
    /// Bytes that may wait.
    pub queue_bytes: usize,
    /// Pauses between tries.
    pub retry: Retry,
}

/// `exporters.remote_write.version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteWriteVersion {
    /// 2.0 where the receiver takes it, else 1.0.
    Auto,
    /// `prometheus.WriteRequest`
    One,
    /// `io.prometheus.write.v2.Request`
    Two,
}

/// `tls` of an https endpoint; without `ca_file` the system's roots are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the certificates to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client's key.
    pub key_file: Option<PathBuf>,
}

/// `batch`: a request leaves when one of these is reached.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// Points.
    pub points: u64,
    /// Uncompressed bytes.
    pub bytes: usize,
    /// Age of the oldest point.
    pub timeout: Duration,
}

/// `retry`: full jitter between zero and a bound that doubles.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// First bound.
    pub initial: Duration,
    /// Largest bound.
    pub max: Duration,
    /// After this long a request is given up and counted as dropped; none: never.
    pub give_up: Option<Duration>,
}

/// `exporters.file`, in the Collector's file formats.
#[derive(Debug, Clone)]
pub struct FileExporter {
    /// Where to write; an existing file is appended to.
    pub path: PathBuf,
    /// Protobuf or JSON.
    pub format: FileFormat,
    /// `none` or `zstd` (each message by itself).
    pub compression: Compression,
}

/// Format of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Length-prefixed protobuf.
    Proto,
    /// One OTLP/JSON document a line.
    Json,
}

/// `control_plane`.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    /// `http://` or `https://` address of `phoenix serve`.
    pub endpoint: http::Uri,
    /// File with the enrolment token; needed until a credential is in the state folder.
    pub token_file: Option<PathBuf>,
    /// For https endpoints.
    pub tls: Tls,
    /// Bound of the jittered pause before a lost stream is opened again.
    pub reconnect_max: Duration,
}

/// `limits`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Resident bytes of the process.
    pub memory: usize,
    /// Series whose state is kept.
    pub series: usize,
    /// Bytes of requests that are being received or wait for the worker.
    pub in_flight: usize,
}

/// Why the settings could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error("cannot read settings {path}: {source}; give the right path with --settings")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The user's mistakes, all of them.
    #[error("{}", list(.0))]
    Wrong(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    let mut text = format!("{} mistake(s) in the settings:", problems.len());
    for problem in problems {
        let place = if problem.path.is_empty() {
            "(whole document)"
        } else {
            &problem.path
        };
        text.push_str(&format!("\n  {place}: {}", problem.message));
    }
    text
}

impl Settings {
    /// What an operator should know before the agent runs: what can be lost, what is open.
    pub fn warnings(&self) -> Vec<String> {
        let remote = self.exporters.remote_write.as_ref().map(|r| r.queue_bytes);
        let otlp = self.exporters.otlp.as_ref().map(|o| o.queue_bytes);
        let queue = otlp.or(remote).unwrap_or(crate::process::FILE_QUEUE);
        let mut lines = vec![format!(
            "open windows and up to {queue} bytes of queue are in memory: lost if this process is killed. SIGTERM and SIGINT write them, and what the next hop does not take within {:?} (`drain`) is lost",
            self.drain
        )];
        if let Some(otlp) = &self.receivers.otlp {
            for address in [otlp.grpc, otlp.http].into_iter().flatten() {
                if !address.ip().is_loopback() {
                    lines.push(format!(
                        "receivers.otlp takes plain text from the network on {address}"
                    ));
                }
            }
        }
        if self.pipeline_file.is_none() && self.control_plane.is_none() {
            lines.push(
                "NO PIPELINE: neither pipeline.file nor control_plane is set; everything is passed through unchanged"
                    .to_owned(),
            );
        }
        lines
    }
}
