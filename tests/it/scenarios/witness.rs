//! A second witness: a real Prometheus that both arms reach by remote write, asked by the server. It agrees
//! when it holds what the agents say that they wrote, disagrees when it lacks some of it, and is never taken
//! for agreement when it cannot be asked.

use super::world::{World, agent_settings, balances, pipeline, sink};
use phoenix_tests::harness::{Agent, ControlPlane, Fleet, Prometheus, eventually_for};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// Folds all processes of one executable.
const FOLD: &str = r#"  stages:
    - id: fold
      aggregate: { match: { metric: "process.*", type: sum }, without: [process.pid, process.parent_pid, process.command_line], interval: 1s, lateness: 1s }"#;

/// Keeps every key of a process.
const CUT: &str = r#"  stages:
    - id: cut
      filter: { drop: [ { metric: process.memory.virtual } ] }"#;

/// Of processes that live long: of others a backend knows no beginning.
const LONG: &str = r#"{process_executable_name!~\"sh|git|python3|cc1|curl|logrotate\"}"#;

/// Labels that keep series of different processes apart, in the backend and in queries.
const PROMOTE: &str = "[host.name, process.pid, process.executable.name]";

fn experiment(steps: &str, backend: &str) -> String {
    format!(
        r#"---
apiVersion: phoenix/v1
kind: Experiment
metadata: {{ name: fold }}
spec:
  baseline: all
  candidate: fold
  window: 1s
  maxDuration: 90s
  steps: [ {steps} ]
  goal: {{ saving: points, target: 20% }}
  names: {{ promote: {PROMOTE} }}
  prometheus: {{ {backend} }}
  guardrails:
    queries:
      - {{ name: cpu, expr: "sum by (host_name) (rate(process_cpu_time_seconds_total{LONG}[3s]))" }}
      - {{ name: io, expr: "sum(increase(process_disk_io_bytes_total{LONG}[4s])) / 2" }}
      - {{ name: threads, expr: "sum by (host_name) (process_threads{LONG})" }}
      - {{ name: latency, expr: "histogram_quantile(0.9, sum by (le) (rate(http_server_request_duration_seconds_bucket[3s])))" }}
    rules: |
      groups:
      - name: requests
        rules:
        - {{ alert: Requests, expr: "sum(rate(http_server_request_duration_seconds_count[3s])) > 0", for: 3s }}
        - {{ alert: None, expr: "sum(rate(http_server_request_duration_seconds_count[3s])) < 0" }}
  onSuccess: promote
"#
    )
}

/// A world whose agents write both arms to these addresses, one agent each.
struct Scene {
    world: World,
    /// Beside the world's own.
    others: Vec<Agent>,
    _fleets: Vec<Fleet>,
}

impl Scene {
    async fn start(witnesses: &[SocketAddr]) -> Scene {
        let folder = tempfile::tempdir().expect("folder");
        let control = ControlPlane::start(&folder.path().join("server"), "127.0.0.1:0").await;
        let (to, shadow) = (sink().await, sink().await);
        let (mut agents, mut fleets) = (Vec::new(), Vec::new());
        for (number, witness) in witnesses.iter().enumerate() {
            let node = format!("n{number}");
            let settings = agent_settings(folder.path(), &node, &control, to.otlp, shadow.otlp);
            let witness = format!(
                "  witness: {{ remote_write: {{ endpoint: \"http://{witness}/api/v1/write\", promote: {PROMOTE} }} }}\n  shadow:"
            );
            let settings = settings.replace("  shadow:", &witness);
            let agent = Agent::start(folder.path(), &node, &settings).await;
            let first = (number * 10).to_string();
            let args = [
                "--hosts",
                "2",
                "--processes",
                "12",
                "--services",
                "2",
                "--interval-ms",
                "100",
                "--first",
                &first,
            ];
            fleets.push(Fleet::start(agent.grpc, &args).await);
            agents.push(agent);
        }
        let agent = agents.remove(0);
        let world = World {
            folder,
            control,
            agent,
            sink: to,
            shadow,
        };
        world
            .apply(&(pipeline("all", "  stages: []") + &pipeline("fold", FOLD)))
            .await;
        world.assign("all").await;
        Scene {
            world,
            others: agents,
            _fleets: fleets,
        }
    }

    /// Runs the experiment to its end.
    async fn run(&self, steps: &str, backend: &str) -> Value {
        self.world.apply(&experiment(steps, backend)).await;
        let api = &self.world.control.api;
        api.post("/experiments/fold/start", None).await;
        self.world.ended("fold").await
    }

    /// What the backend told of a step, once that many windows were compared or as `enough` says.
    async fn heard(&self, step: usize, enough: impl Fn(&Value) -> bool) -> Value {
        let what = "the second witness to be heard";
        eventually_for(what, Duration::from_secs(60), async || {
            let found = self.world.control.api.try_get("/experiments/fold").await?;
            let heard = found["steps"][step]["witness"].clone();
            enough(&heard).then_some(heard)
        })
        .await
    }

    async fn balances(&self) {
        self.world.ledger().await;
        for agent in &self.others {
            let ledger = agent.json("/debug/ledger").await;
            balances(&ledger["baseline"]);
        }
    }
}

fn figure<'a>(heard: &'a Value, what: &str, arm: &str) -> &'a Value {
    let all = heard["figures"].as_array().expect("figures");
    let found = all.iter().find(|f| f["what"] == what && f["arm"] == arm);
    found.unwrap_or_else(|| panic!("no {what} of {arm} in {heard:#}"))
}

fn compared(heard: &Value, least: u64) -> bool {
    let all = heard["figures"].as_array();
    all.is_some_and(|all| {
        !all.is_empty() && all.iter().all(|f| f["windows"].as_u64() >= Some(least))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_holds_what_the_agents_say_that_both_arms_wrote() {
    let Some(prometheus) = Prometheus::start().await else {
        return;
    };
    let scene = Scene::start(&[prometheus.address]).await;
    let backend = format!(
        "url: '{}', delay: 5s, onDisagreement: hold",
        prometheus.url()
    );
    let ended = scene
        .run("{ step: shadow, minWindows: 6, dwell: 25s }", &backend)
        .await;
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    // It was asked while the step ran, and agreed.
    assert!(ended["promotedTo"].is_string(), "{ended:#}");
    let heard = scene.heard(0, |heard| compared(heard, 8)).await;
    assert_eq!(heard["word"], "agrees", "{heard:#}");
    assert_eq!(heard["version"].as_str().map(|v| v.is_empty()), Some(false));
    for what in [
        "series",
        "samples",
        "query cpu",
        "query io",
        "query threads",
        "query latency",
        "alert Requests",
        "alert None",
    ] {
        for arm in ["baseline", "candidate"] {
            let found = figure(&heard, what, arm);
            assert_eq!(found["word"], "agrees", "{found:#}");
            if what.starts_with("alert") {
                let fired = if what == "alert Requests" { 1.0 } else { 0.0 };
                assert_eq!(found["agents"], fired, "{found:#}");
                assert_eq!(found["backend"], fired, "{found:#}");
                continue;
            }
            let error = found["error"].as_f64().expect("a difference");
            // What is counted, and what is held, is the same; what is taken over a range lies around it.
            let exact = ["series", "samples", "query threads"].contains(&what);
            assert!(error <= if exact { 0.01 } else { 0.05 }, "{found:#}");
        }
    }
    let saving = |account: &str| {
        let of = |arm: &str| {
            figure(&heard, "series", arm)[account]
                .as_f64()
                .expect(account)
        };
        1.0 - of("candidate") / of("baseline")
    };
    assert!(saving("backend") > 0.05, "{heard:#}");
    assert!((saving("agents") - saving("backend")).abs() < 0.01);
    // Each arm under its own label, and nothing beside them.
    let any = prometheus
        .query("count by (phoenix_arm) ({phoenix_run!=\"\"})", now_ms())
        .await;
    assert_eq!(any.len(), 2, "{any:?}");
    scene.balances().await;
    prometheus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_split_each_arm_is_held_against_its_own_entities() {
    let Some(prometheus) = Prometheus::start().await else {
        return;
    };
    let scene = Scene::start(&[prometheus.address]).await;
    let steps =
        "{ step: ramp, by: entity, entity: [host.name, process.pid], to: [40%], dwell: 60s }";
    let backend = format!("url: '{}', delay: 5s", prometheus.url());
    // Protected queries need a step in which both arms see everything.
    let whole = experiment(steps, &backend);
    let (before, after) = whole.split_once("  guardrails:").expect("guardrails");
    let (_, after) = after.split_once("  onSuccess").expect("what follows");
    let document = format!("{before}  onSuccess{after}")
        .replace("candidate: fold", "candidate: cut")
        .replace("target: 20%", "target: 2%");
    scene.world.apply(&(pipeline("cut", CUT) + &document)).await;
    let api = &scene.world.control.api;
    api.post("/experiments/fold/start", None).await;
    let heard = scene.heard(0, |heard| compared(heard, 6)).await;
    assert_eq!(heard["word"], "agrees", "{heard:#}");
    let of = |arm: &str| {
        ["series", "samples"].map(|what| {
            let found = figure(&heard, what, arm);
            assert!(found["error"].as_f64() <= Some(0.01), "{found:#}");
            found["backend"].as_f64().expect("a number")
        })
    };
    let (baseline, candidate) = (of("baseline"), of("candidate"));
    assert!(
        candidate[0] > 0.0 && candidate[0] < baseline[0],
        "{heard:#}"
    );
    api.post("/experiments/fold/abort", None).await;
    prometheus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_one_agent_does_not_reach_disagrees_and_holds_the_promotion() {
    let Some(prometheus) = Prometheus::start().await else {
        return;
    };
    let scene = Scene::start(&[prometheus.address, nowhere()]).await;
    let backend = format!(
        "url: '{}', delay: 5s, onDisagreement: hold",
        prometheus.url()
    );
    let ended = scene
        .run("{ step: shadow, minWindows: 6, dwell: 25s }", &backend)
        .await;
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    assert_eq!(ended["promotedTo"], Value::Null, "{ended:#}");
    let reason = ended["reason"].as_str().expect("a reason");
    assert!(reason.contains("second witness"), "{reason}");
    let heard = scene.heard(0, |heard| compared(heard, 6)).await;
    assert_eq!(heard["word"], "disagrees", "{heard:#}");
    for arm in ["baseline", "candidate"] {
        let found = figure(&heard, "samples", arm);
        assert_eq!(found["word"], "disagrees", "{found:#}");
        let both = ["agents", "backend"].map(|key| found[key].as_f64().expect(key));
        // What the other agent wrote is there.
        assert!(both[1] > 0.0 && both[1] < 0.9 * both[0], "{found:#}");
    }
    let events = scene
        .world
        .control
        .api
        .get("/events?after=0&limit=1000")
        .await;
    let told = events.to_string().contains("experiment.witness");
    assert!(told, "no event tells of it");
    let (code, shown) = scene
        .world
        .control
        .cli(&["experiment", "explain", "fold"])
        .await;
    assert_eq!(code, 0, "{shown}");
    for word in [
        "second witness",
        "disagrees",
        "samples",
        &prometheus.url(),
        "5.00 %",
    ] {
        assert!(shown.contains(word), "no {word:?} in {shown}");
    }
    scene.balances().await;
    prometheus.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_cannot_be_reached_is_not_asked_and_holds_nobody_up() {
    let address = nowhere();
    let scene = Scene::start(&[address]).await;
    let backend = format!("url: 'http://{address}', delay: 1s, timeout: 1s");
    let ended = scene
        .run("{ step: shadow, minWindows: 6, dwell: 8s }", &backend)
        .await;
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    assert!(ended["promotedTo"].is_string(), "{ended:#}");
    let heard = scene
        .heard(0, |heard| heard["reason"].to_string().contains("refused"))
        .await;
    assert_eq!(heard["word"], "not asked", "{heard:#}");
    for found in heard["figures"].as_array().expect("figures") {
        assert_ne!(found["word"], "agrees", "{found:#}");
    }
}

/// Where nobody listens.
fn nowhere() -> SocketAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("address")
}

fn now_ms() -> u64 {
    phoenix_simulator::sender::now() / 1_000_000
}
