//! What dies while an experiment runs, the control plane in every phase or an agent under the candidate, changes
//! no verdict and goes unmentioned nowhere.

use super::world::{World, agent_settings, pipeline};
use phoenix_agent::capture::Writer;
use phoenix_proto::otlp::metrics::v1::{
    Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
    number_data_point::Value as Number,
};
use phoenix_tests::harness::{Agent, ControlPlane, Fleet, eventually, eventually_for};
use prost::Message;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const ALL: &str = "  stages: []";
const THIN: &str =
    r#"  stages: [ { id: thin, filter: { drop: [ { metric: "process.memory.*" } ] } } ]"#;

fn experiment(steps: &str) -> String {
    format!(
        "---\napiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: thin }}\nspec: {{ candidate: thin, \
         window: 1s, maxDuration: 5m, goal: {{ saving: points, target: 5% }}, onSuccess: promote, \
         steps: [ {steps} ] }}\n"
    )
}

async fn fleet(agent: &Agent, first: &str) -> Fleet {
    let args = ["--hosts", "2", "--processes", "8", "--services", "0"];
    let args = [&args[..], &["--interval-ms", "150", "--first", first]].concat();
    Fleet::start(agent.grpc, &args).await
}

/// Three nodes under load, and the experiment applied: that of the world, and two with their settings, which keep
/// a node's ports when it starts again.
async fn begin(steps: &str) -> (World, Vec<(Agent, String, Fleet)>, Fleet) {
    let world = World::start().await;
    let own = fleet(&world.agent, "4").await;
    let (sink, shadow) = (world.sink.otlp, world.shadow.otlp);
    let mut nodes = Vec::new();
    for (n, node) in ["a1", "a2"].into_iter().enumerate() {
        let settings = agent_settings(world.path(), node, &world.control, sink, shadow);
        let agent = Agent::start(world.path(), node, &settings).await;
        let settings = settings.replacen("127.0.0.1:0", &agent.grpc.to_string(), 1);
        let fleet = fleet(&agent, &(n * 2).to_string()).await;
        nodes.push((agent, settings, fleet));
    }
    world
        .apply(&(pipeline("all", ALL) + &pipeline("thin", THIN)))
        .await;
    world.assign("all").await;
    world.apply(&experiment(steps)).await;
    (world, nodes, own)
}

/// A capture of which the candidate drops a half.
fn capture(path: &Path) {
    let mut writer = Writer::create(path).expect("capture");
    for second in 1_700_000_000..1_700_000_010u64 {
        for name in ["process.memory.usage", "process.threads"] {
            let point = NumberDataPoint {
                time_unix_nano: second * 1_000_000_000,
                value: Some(Number::AsInt(1)),
                ..Default::default()
            };
            let data = Data::Gauge(Gauge {
                data_points: vec![point],
            });
            let metric = Metric {
                name: name.into(),
                data: Some(data),
                ..Default::default()
            };
            let data = MetricsData {
                resource_metrics: vec![ResourceMetrics {
                    scope_metrics: vec![ScopeMetrics {
                        metrics: vec![metric],
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
            };
            writer.write(&data.encode_to_vec()).expect("written");
        }
    }
    writer.finish().expect("finished");
}

impl World {
    async fn again(&mut self) {
        let (data, address) = (self.path().join("server"), self.control.address.to_string());
        self.control.process.kill().await;
        self.control = ControlPlane::start(&data, &address).await;
    }

    async fn thin(&self) -> Value {
        self.control.api.get("/experiments/thin").await
    }

    /// Waits until the experiment is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually_for(what, Duration::from_secs(60), async || {
            let found = self.control.api.try_get("/experiments/thin").await?;
            assert!(
                !["Failed", "Cancelled"].contains(&found["phase"].as_str()?),
                "{found:#}"
            );
            wanted(&found).then_some(found)
        })
        .await
    }
}

fn stands<'a>(e: &'a Value, node: &str) -> &'a Value {
    let all = e["agents"].as_array().expect("agents").iter();
    let named = |a: &&Value| a["agent"].as_str().is_some_and(|id| id.ends_with(node));
    all.clone().find(named).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_killed_in_every_phase_comes_to_the_verdict_and_the_promotion() {
    let steps = "{ step: lint }, { step: replay, minWindows: 3 }, { step: aa, minWindows: 2 }, \
                 { step: shadow, minWindows: 3 }, \
                 { step: ramp, by: node, to: [1 node, 100%], minWindows: 2 }, \
                 { step: bake, minWindows: 2 }";
    let (mut world, nodes, _own) = begin(steps).await;
    let path = world.path().join("capture.binpb");
    capture(&path);
    let path = path.to_str().expect("UTF-8 path").to_owned();
    world
        .control
        .api
        .post("/experiments/thin/start", None)
        .await;
    let mut killed: Vec<String> = Vec::new();
    let ended = loop {
        let e = world.thin().await;
        let phase = e["phase"].as_str().expect("phase").to_owned();
        assert!(phase != "Failed" && phase != "Cancelled", "{e:#}");
        if phase == "Completed" {
            break e;
        }
        let step = e["step"].as_str().expect("step").to_owned();
        let now = format!("{step} {phase}");
        if !killed.contains(&now) {
            world.again().await;
            killed.push(now);
            if step == "replay" {
                let brought = ["experiment", "replay", "thin", &path];
                let (code, said) = world.control.cli(&brought).await;
                assert_eq!(code, 0, "{said}");
            }
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    };
    for phase in [
        "replay Running",
        "aa Running",
        "shadow Running",
        "ramp 1 node Running",
        "ramp 100% Running",
        "bake Running",
    ] {
        assert!(
            killed.iter().any(|k| k == phase),
            "{phase} is not in {killed:?}"
        );
    }
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    for step in ended["steps"].as_array().expect("steps") {
        assert_eq!(step["state"], "passed", "{step:#}");
    }
    // Promoted: it stays so, and nobody is taken for dead.
    world.again().await;
    let candidate = ended["candidateHash"].as_str().expect("hash");
    let assigned = world.control.api.get("/assignments/all").await;
    assert_eq!(assigned["hash"], candidate, "{assigned:#}");
    eventually("all agents to run the candidate", async || {
        let agents = world.control.api.try_get("/agents").await?;
        let runs = |a: &Value| a["activeHash"] == candidate && a["experiment"].is_null();
        agents.as_array()?.iter().all(runs).then_some(())
    })
    .await;
    let events = world.control.api.get("/events?limit=10000").await;
    let died = |e: &&Value| e["kind"] == "agent.connected" && !e["body"]["died"].is_null();
    let died = events.as_array().expect("events").iter().find(died);
    assert_eq!(died, None);
    for (agent, _, _) in &nodes {
        super::world::balances(&agent.json("/debug/ledger").await["baseline"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_dies_in_a_ramp_is_shown_waited_for_and_taken_back() {
    let steps = "{ step: shadow, minWindows: 2 }, { step: ramp, by: node, to: [2 nodes], minWindows: 3, dwell: 8s }";
    let (world, mut nodes, _own) = begin(steps).await;
    world
        .control
        .api
        .post("/experiments/thin/start", None)
        .await;
    let ramp = |e: &Value| e["step"] == "ramp 2 nodes" && e["live"]["agents"] == 3;
    let e = world.until("all to report in the ramp", ramp).await;
    // One of the three nodes keeps the baseline: one that we started runs the candidate.
    let chosen = |node: &&str| stands(&e, node)["arm"] == "candidate";
    let victim = ["a1", "a2"].into_iter().position(|node| chosen(&node));
    let victim = victim.expect("two of three are chosen");
    let node = ["a1", "a2"][victim];
    nodes[victim].0.process.kill().await;
    let shown = world
        .until("its silence to be told", |e| {
            let waits = e["steps"][1]["reason"].as_str().unwrap_or_default();
            stands(e, node)["state"] == "silent" && waits.contains("silent")
        })
        .await;
    let (_, said) = world.control.cli(&["experiment", "status", "thin"]).await;
    assert!(said.contains(node) && said.contains("silent"), "{said}");
    // It has dwelt, and it waits still.
    let began = shown["steps"][1]["startedAt"].as_str().expect("began");
    let began = humantime::parse_rfc3339(began).expect("a time");
    eventually("the dwell to pass", async || {
        (began.elapsed().ok()? > Duration::from_secs(9)).then_some(())
    })
    .await;
    let e = world.thin().await;
    assert_eq!(
        (&e["step"], &e["phase"]),
        (&"ramp 2 nodes".into(), &"Running".into()),
        "{e:#}"
    );

    let settings = nodes[victim].1.clone();
    nodes[victim].0 = Agent::start(world.path(), node, &settings).await;
    let e = world
        .until("its death to be counted", |e| {
            stands(e, node)["deaths"] == 1 || e["phase"] == "Completed"
        })
        .await;
    assert_eq!(e["phase"], "Running", "it has to prove itself first");
    let ended = world.ended("thin").await;
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    let ramp = &ended["steps"][1]["verdict"];
    let criteria = ramp["criteria"].as_array().expect("criteria");
    let agents = criteria.iter().find(|c| c["name"] == "agents");
    let reason = agents.expect("agents")["reason"].as_str().expect("reason");
    assert!(reason.contains(node) && reason.contains("died"), "{reason}");
    assert_ne!(ramp["windows"]["reports"]["missing"], 0, "{ramp:#}");

    // Told to stop is not dead.
    assert!(nodes[0].0.process.terminate().await.success());
    let stopping = |e: &&Value| e["kind"] == "agent.stopping" && e["node"] == "a1";
    let events = world.control.api.get("/events?limit=100").await;
    let events = events.as_array().expect("events").clone();
    assert!(events.iter().any(|e| stopping(&e)), "{events:#?}");
}
