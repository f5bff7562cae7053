//! The built binary, a folder, captures and the smallest messages.

use phoenix_proto::otlp::metrics::v1::{
    AggregationTemporality, Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use prost::Message;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const SECOND: u64 = 1_000_000_000;

/// What a run of the command left.
pub struct Run {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `phoenix` with these arguments.
pub fn phoenix(arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_phoenix"))
        .args(arguments)
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap();
    Run {
        ok: output.status.success(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The JSON of a run that succeeds.
pub fn json(arguments: &[&str]) -> Value {
    let run = phoenix(arguments);
    assert!(run.ok, "{arguments:?}: {}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

/// A temporary folder.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// Real captures, from PHOENIX_CAPTURES or `shared/captures` in or beside the project.
pub fn captures() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders: Vec<PathBuf> = std::env::var_os("PHOENIX_CAPTURES")
        .map(PathBuf::from)
        .into_iter()
        .chain([
            root.join("shared/captures"),
            root.join("../shared/captures"),
        ])
        .collect();
    for folder in &folders {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        let mut found: Vec<String> = entries
            .map(|entry| entry.unwrap().path().to_string_lossy().into_owned())
            .filter(|path| path.contains(".binpb") || path.contains(".json"))
            .collect();
        found.sort();
        if !found.is_empty() {
            return found;
        }
    }
    eprintln!("SKIPPED: no captures in {folders:?}; set PHOENIX_CAPTURES");
    Vec::new()
}

fn message(name: &str, data: metric::Data) -> Vec<u8> {
    let metric = Metric {
        name: name.into(),
        data: Some(data),
        ..Default::default()
    };
    let scope = ScopeMetrics {
        metrics: vec![metric],
        ..Default::default()
    };
    let resource = ResourceMetrics {
        scope_metrics: vec![scope],
        ..Default::default()
    };
    MetricsData {
        resource_metrics: vec![resource],
    }
    .encode_to_vec()
}

fn point(value: u64, start: u64, time: u64) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: start * SECOND,
        time_unix_nano: time * SECOND,
        value: Some(number_data_point::Value::AsInt(value.cast_signed())),
        ..Default::default()
    }
}

/// One point of a gauge, at a time in seconds.
pub fn gauge(name: &str, value: u64, time: u64) -> Vec<u8> {
    let data_points = vec![point(value, 0, time)];
    message(name, metric::Data::Gauge(Gauge { data_points }))
}

/// One point of a cumulative counter, start and time in seconds.
pub fn counter(name: &str, value: u64, start: u64, time: u64) -> Vec<u8> {
    let sum = Sum {
        data_points: vec![point(value, start, time)],
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
        is_monotonic: true,
    };
    message(name, metric::Data::Sum(sum))
}
