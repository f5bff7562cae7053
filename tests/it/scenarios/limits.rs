//! A node with little memory: the agent refuses work before it is killed.

use super::counters::text;
use super::world::{balances, sink};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
    number_data_point::Value,
};
use phoenix_simulator::sender::now;
use phoenix_tests::harness::{Process, binary, http_client};
use std::path::{Path, PathBuf};

/// A memory cgroup of 64 MiB (v1), removed when dropped; `None` where cgroups cannot be written.
struct Cgroup(PathBuf);

impl Cgroup {
    fn of_64_mib() -> Option<Cgroup> {
        let folder =
            Path::new("/sys/fs/cgroup/memory").join(format!("phoenix-test-{}", std::process::id()));
        std::fs::create_dir(&folder).ok()?;
        let group = Cgroup(folder);
        std::fs::write(group.0.join("memory.limit_in_bytes"), "67108864").ok()?;
        Some(group)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_64_mib_a_flood_of_series_is_refused_not_fatal() {
    let Some(group) = Cgroup::of_64_mib() else {
        eprintln!("SKIPPED: memory cgroups cannot be written here");
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    let sink = sink().await;
    std::fs::write(folder.path().join("p.yaml"), "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: p }\nspec: { stages: [ { id: sum, aggregate: { match: { metric: \"flood.*\" }, without: [nothing], interval: 1h } } ] }\n").expect("written");
    let settings = folder.path().join("agent.yaml");
    let pipeline = folder.path().join("p.yaml");
    std::fs::write(&settings, format!(
        "node: {{ name: n1 }}\nreceivers: {{ otlp: {{ grpc: \"127.0.0.1:0\", http: \"127.0.0.1:0\" }} }}\nexporters: {{ otlp: {{ endpoint: \"http://{}\", protocol: grpc }} }}\npipeline: {{ file: \"{}\" }}\nadmin: \"127.0.0.1:0\"\nworkers: 1\nlimits: {{ series: 5000000, in_flight: 8MiB }}\n",
        sink.otlp, pipeline.display())).expect("written");
    let script = format!(
        "echo $$ > {}/cgroup.procs && exec {} --settings {}",
        group.0.display(),
        binary("phoenix-agent").display(),
        settings.display()
    );
    let mut agent = Process::spawn("/bin/sh".into(), "phoenix-agent", &["-c", &script], &[]).await;

    let mut client = MetricsServiceClient::connect(format!("http://{}", agent.address("grpc")))
        .await
        .expect("connect");
    let (mut accepted, mut refused) = (0u64, 0u64);
    for round in 0..600 {
        match client.export(flood(round, 2000)).await {
            Ok(_) => accepted += 1,
            Err(status) => {
                let retryable = [tonic::Code::Unavailable, tonic::Code::ResourceExhausted];
                assert!(
                    retryable.contains(&status.code()),
                    "{status:?}: {}",
                    agent.output()
                );
                refused += 1;
                if refused > 50 {
                    break;
                }
            }
        }
        assert!(
            agent.is_running(),
            "killed after {accepted} requests: {}",
            agent.output()
        );
    }
    assert!(accepted > 0, "something was taken");
    assert!(
        refused > 0,
        "{accepted} requests of new series fitted in 64 MiB: the limit was never met"
    );
    let url = format!("http://{}/debug/ledger", agent.address("admin"));
    let ledger: serde_json::Value = http_client()
        .get(url)
        .send()
        .await
        .expect("alive")
        .json()
        .await
        .expect("JSON");
    balances(&ledger["baseline"]);
    let status = agent.terminate().await;
    assert!(status.success(), "{status}: {}", agent.output());
}

/// `n` counters never seen before.
fn flood(round: usize, n: usize) -> ExportMetricsServiceRequest {
    let time = now();
    let points = (0..n).map(|i| NumberDataPoint {
        attributes: vec![text("id", &format!("{round}-{i}-{}", "x".repeat(64)))],
        start_time_unix_nano: time - 1,
        time_unix_nano: time,
        value: Some(Value::AsInt(1)),
        ..NumberDataPoint::default()
    });
    let sum = Sum {
        data_points: points.collect(),
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    let metric = Metric {
        name: "flood.total".into(),
        data: Some(Data::Sum(sum)),
        ..Metric::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![metric],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}
