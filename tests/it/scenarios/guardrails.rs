//! Harm is stopped on its node by the agent's own process, with the control plane killed.

use super::world::{World, pipeline};
use phoenix_tests::harness::{ControlPlane, Fleet, eventually};
use serde_json::Value;

/// Harm must have ended by then.
const CONTRACT: f64 = 5.0;

const DROPS_PROTECTED: &str = r#"  stages:
    - id: drop
      filter: { drop: [ { attributes: { process.executable.name: [nginx, java, node, sshd] } } ] }"#;

/// Holds every point back and keeps the state of every series, to write nearly as much.
const HEAVY: &str = r#"  stages:
    - id: fold
      aggregate: { match: { metric: "process.*" }, without: [process.parent_pid], interval: 60s }"#;

const EXPERIMENT: &str = r#"---
apiVersion: phoenix/v1
kind: Experiment
metadata: { name: drops }
spec:
  baseline: all
  candidate: drops
  window: 1s
  steps: [ { step: shadow, minWindows: 60 } ]
  maxDuration: 10m
  goal: { saving: points, target: 1% }
  guardrails: { protect: [ { attributes: { process.executable.name: [nginx, postgres] } } ] }
"#;

impl World {
    async fn candidate(&self) -> Option<Value> {
        let ledger = self.agent.json("/debug/ledger").await;
        Some(ledger["candidate"].clone()).filter(|c| !c.is_null())
    }

    /// A figure of the agent's own metrics; a page that the workers are too busy for is asked for again.
    async fn figure(&self, name: &str) -> f64 {
        eventually(name, async || {
            let text = self.agent.text("/metrics").await;
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().last()?.parse().ok()
        })
        .await
    }
}

/// An experiment in a shadow step that does not end by itself.
fn watched(candidate: &str, rail: &str) -> String {
    format!(
        "---\napiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: {candidate} }}\nspec: {{ baseline: all, \
         candidate: {candidate}, window: 1s, maxDuration: 10m, goal: {{ saving: points, target: 1% }}, \
         steps: [ {{ step: shadow, minWindows: 300 }} ], guardrails: {{ {rail} }} }}\n"
    )
}

/// A candidate that asks too much of its node is ended there, with the control plane killed. `rail`: what is asked,
/// given the memory that the agent takes under the same load with the baseline alone.
async fn ends_what_exceeds(rail: impl Fn(f64) -> String, said: &str) {
    let mut world = World::start().await;
    let pipelines = pipeline("all", "  stages: []") + &pipeline("heavy", HEAVY);
    world.apply(&pipelines).await;
    let baseline = world.assign("all").await;
    let args = ["--hosts", "4", "--processes", "400", "--services", "0"];
    let fleet = Fleet::start(world.agent.grpc, &args).await;
    eventually("every series to be known", async || {
        (fleet.ask("/status").await["rounds"].as_u64()? >= 5).then_some(())
    })
    .await;
    let rail = rail(world.figure("phoenix_agent_resident_bytes").await);

    // The harm begins when nobody but the agent can see it.
    fleet.tell("/pause").await;
    world.apply(&watched("heavy", &rail)).await;
    let start = "/experiments/heavy/start";
    world.control.api.post(start, None).await;
    eventually("the candidate to run", async || world.candidate().await).await;
    let address = world.control.address.to_string();
    world.control.process.kill().await;
    fleet.tell("/resume").await;
    // Its own count: the workers are busy.
    eventually("the candidate to be ended", async || {
        let ended = world.figure("phoenix_agent_candidates_ended_total").await;
        (ended == 1.0).then_some(())
    })
    .await;
    let took = world.figure("phoenix_agent_rollback_seconds").await;
    assert!(took < CONTRACT, "{took} s");

    let data = world.path().join("server");
    world.control = ControlPlane::start(&data, &address).await;
    let ended = world.ended("heavy").await;
    assert_eq!(ended["phase"], "Failed", "{ended:#}");
    let reason = ended["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(said), "{reason}");
    let barred = world.control.api.get("/quarantine").await;
    assert_eq!(barred[0]["hash"], ended["candidateHash"], "{barred:#}");
    let why = barred[0]["reason"].as_str().unwrap_or_default();
    assert!(why.contains(said), "{why}");
    world.active(&baseline).await;
    fleet.tell("/stop").await;
    assert!(world.candidate().await.is_none());
    world.ledger().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_takes_too_much_memory_is_ended_with_the_control_plane_killed() {
    let rail = |before: f64| format!("maxRss: {}", (before * 1.15) as u64);
    ends_what_exceeds(rail, "bytes of memory with the candidate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_holds_requests_up_is_ended_with_the_control_plane_killed() {
    let rail = |_| "maxAddedLatency: 1ms".into();
    ends_what_exceeds(rail, "ms more in the candidate's arm").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_loses_protected_points_is_ended_with_the_control_plane_killed() {
    let mut world = World::start().await;
    let pipelines = pipeline("all", "  stages: []") + &pipeline("drops", DROPS_PROTECTED);
    world.apply(&pipelines).await;
    let baseline = world.assign("all").await;
    world.apply(EXPERIMENT).await;
    let start = "/experiments/drops/start";
    world.control.api.post(start, None).await;
    eventually("the candidate to run", async || world.candidate().await).await;
    let address = world.control.address.to_string();
    world.control.process.kill().await;

    // Nothing came before: the harm begins with these processes.
    let args = [
        "--hosts",
        "2",
        "--processes",
        "16",
        "--services",
        "0",
        "--interval-ms",
        "150",
    ];
    let fleet = Fleet::start(world.agent.grpc, &args).await;
    eventually("the candidate to be ended", async || {
        world.candidate().await.is_none().then_some(())
    })
    .await;
    assert_eq!(
        world.figure("phoenix_agent_candidates_ended_total").await,
        1.0
    );
    let took = world.figure("phoenix_agent_rollback_seconds").await;
    assert!(took < CONTRACT, "{took} s");

    // The control plane comes back and hears of it.
    let data = world.path().join("server");
    world.control = ControlPlane::start(&data, &address).await;
    let ended = world.ended("drops").await;
    let reason = ended["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("protected points"), "{ended:#}");
    let barred = world.control.api.get("/quarantine").await;
    assert_eq!(barred[0]["hash"], ended["candidateHash"], "{barred:#}");
    let agents = world.control.api.get("/agents").await;
    assert_eq!(agents[0]["activeHash"], baseline, "{agents:#}");
    assert_ne!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    assert!(
        world.candidate().await.is_none(),
        "and does not begin again"
    );
    fleet.tell("/stop").await;
    world.ledger().await;
}
