//! Clients nobody here wrote: what arrives behind the agent is what the reference model says.

use super::world::{balances, sink};
use phoenix_model::reference::{Model, Plan, Settings, compare, point};
use phoenix_simulator::sender::now;
use phoenix_tests::harness::{Agent, Process, Tap, collector, eventually, project, python};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

/// Windows are long against a run, so that it is known which one a point falls into.
const WINDOW: u64 = 12_000_000_000;

struct Line {
    folder: TempDir,
    agent: Agent,
    /// Before the agent.
    before: Tap,
    /// Behind it.
    behind: Tap,
    sink: phoenix_simulator::sink::Running,
    pipeline: String,
}

/// client -> tap -> agent -> tap -> sink.
async fn path(pipeline: &str) -> Line {
    let folder = tempfile::tempdir().expect("folder");
    let sink = sink().await;
    let behind = Tap::start(sink.otlp, sink.otlp).await;
    std::fs::write(folder.path().join("p.yaml"), pipeline).expect("written");
    let settings = format!(
        "node: {{ name: n1 }}\nreceivers: {{ otlp: {{ grpc: \"127.0.0.1:0\", http: \"127.0.0.1:0\" }} }}\nexporters: {{ otlp: {{ endpoint: \"http://{}\", protocol: grpc, compression: gzip }} }}\npipeline: {{ file: \"{}\" }}\nadmin: \"127.0.0.1:0\"\nworkers: 1\n",
        behind.address,
        folder.path().join("p.yaml").display(),
    );
    let agent = Agent::start(folder.path(), "n1", &settings).await;
    let before = Tap::start(agent.grpc, agent.http).await;
    Line {
        folder,
        agent,
        before,
        behind,
        sink,
        pipeline: pipeline.to_owned(),
    }
}

/// Waits until a window has begun and the one before is closed (lateness 1 s), and gives its end.
async fn window_begins() -> u64 {
    let into = Duration::from_nanos(now() % WINDOW);
    tokio::time::sleep(Duration::from_nanos(WINDOW) - into + Duration::from_millis(1300)).await;
    (now() / WINDOW + 1) * WINDOW
}

impl Line {
    /// Waits until the window that ends at `end` has left, then compares with the model.
    async fn equals_the_model(self, end: u64) {
        let lateness = 1_000_000_000;
        tokio::time::sleep(Duration::from_nanos(
            (end + lateness).saturating_sub(now()) + 1_500_000_000,
        ))
        .await;
        let ledger = self.agent.json("/debug/ledger").await;
        balances(&ledger["baseline"]);
        let began = ledger["began"]
            .as_u64()
            .expect("when the agent began to observe");
        let settings = Settings {
            node: "n1".into(),
            node_keys: [
                "host.name",
                "host.id",
                "k8s.node.name",
                "k8s.pod.uid",
                "service.instance.id",
            ]
            .map(String::from)
            .to_vec(),
            fleet_seed: 0,
            began,
            attributes: 1024,
            value_bytes: 65_536,
        };
        let mut model = Model::new(
            Plan {
                baseline: self.pipeline.clone(),
                candidate: None,
            },
            settings,
        );
        let seen = self.before.seen();
        let mut expected = Vec::new();
        for request in &seen {
            assert!(request.accepted, "a request was refused");
            assert!(request.at < end, "the client took longer than a window");
            expected.extend(model.feed(&request.request, request.at).out);
        }
        expected.extend(model.tick(end + lateness).out);
        let sent: usize = seen.iter().map(|s| point::points(&s.request).len()).sum();
        let got: Vec<_> = self
            .behind
            .seen()
            .iter()
            .flat_map(|s| point::points(&s.request))
            .collect();
        assert!(sent > 100, "the client sent only {sent} points");
        assert_eq!(
            ledger["baseline"]["received"].as_u64(),
            Some(sent as u64),
            "received"
        );
        assert_eq!(
            ledger["baseline"]["exported"].as_u64(),
            Some(got.len() as u64),
            "exported"
        );
        let differences = compare::differences(&expected, &got, compare::Look::Closely);
        assert!(
            differences.is_empty(),
            "{} of {}:\n{}",
            differences.len(),
            expected.len(),
            differences.join("\n")
        );
        assert!(got.len() < sent, "the pipeline cut nothing");
        eprintln!("{sent} points in, {} out, as the model says", got.len());
        self.sink.stop();
        drop(self.folder);
    }
}

const SDK: &str = r#"
apiVersion: phoenix/v1
kind: Pipeline
metadata: { name: sdk }
spec:
  stages:
    - id: no-debug
      filter: { drop: [ { metric: "debug.*" } ] }
    - id: customers
      aggregate: { match: { metric: [shop.orders, shop.request.duration] }, without: [customer.id], interval: 12s, lateness: 1s }
    - id: queue
      aggregate: { match: { metric: shop.queue.depth }, without: [worker], interval: 12s, lateness: 1s }
    - id: warmest
      aggregate: { match: { metric: shop.temperature }, without: [room], interval: 12s, lateness: 1s, function: max }
"#;

async fn sdk(protocol: &str) {
    let Some(python) = python() else { return };
    let path = path(SDK).await;
    let end = window_begins().await;
    let endpoint = format!("http://{}", path.before.address);
    let out = Command::new(python)
        .args([
            project("tests/it/scenarios/peers/sdk.py")
                .to_str()
                .expect("UTF-8"),
            protocol,
            &endpoint,
            "3",
        ])
        .env_remove("http_proxy")
        .output()
        .await
        .expect("python runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    path.equals_the_model(end).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_over_grpc_with_gzip() {
    sdk("grpc").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdk_over_http_with_gzip() {
    sdk("http").await;
}

const HOST: &str = r#"
apiVersion: phoenix/v1
kind: Pipeline
metadata: { name: host }
spec:
  protect:
    - attributes: { process.executable.name: otelcol }
  stages:
    - id: no-virtual
      filter: { drop: [ { metric: process.memory.virtual } ] }
    - id: by-executable
      aggregate:
        match: { metric: "process.*", type: sum }
        without: [process.pid, process.parent_pid, process.command, process.command_line, process.executable.path]
        interval: 12s
        lateness: 1s
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_collector_with_the_hostmetrics_receiver() {
    let Some(collector) = collector() else { return };
    let path = path(HOST).await;
    let end = window_begins().await;
    let config = path.folder.path().join("collector.yaml");
    std::fs::write(&config, collector_config(&path.before)).expect("written");
    let mut child = spawn(&collector, &config);
    eventually("the Collector to send", async || {
        (path.before.seen().len() >= 4).then_some(())
    })
    .await;
    Process::stop(&mut child).await;
    path.equals_the_model(end).await;
}

fn spawn(collector: &Path, config: &Path) -> tokio::process::Child {
    Command::new(collector)
        .args(["--config", config.to_str().expect("UTF-8")])
        .kill_on_drop(true)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the Collector runs")
}

fn collector_config(tap: &Tap) -> String {
    format!(
        r#"
receivers:
  hostmetrics:
    collection_interval: 1s
    scrapers:
      process:
        mute_process_all_errors: true
        metrics:
          process.threads: {{ enabled: true }}
          process.context_switches: {{ enabled: true }}
exporters:
  otlp: {{ endpoint: "{}", tls: {{ insecure: true }}, compression: gzip }}
service:
  telemetry: {{ metrics: {{ level: none }} }}
  pipelines:
    metrics: {{ receivers: [hostmetrics], exporters: [otlp] }}
"#,
        tap.address
    )
}
