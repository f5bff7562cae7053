//! Harm is stopped on its node by the agent's own process, with the control plane killed.

use super::world::{World, pipeline};
use phoenix_tests::harness::{ControlPlane, Fleet, eventually};
use serde_json::Value;

/// Harm must have ended by then.
const CONTRACT: f64 = 5.0;

const DROPS_PROTECTED: &str = r#"  stages:
    - id: drop
      filter: { drop: [ { attributes: { process.executable.name: [nginx, java, node, sshd] } } ] }"#;

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

    /// A figure of the agent's own metrics.
    async fn figure(&self, name: &str) -> f64 {
        let text = self.agent.text("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|rest| rest.split_whitespace().last());
        value.and_then(|v| v.parse().ok()).expect("the figure")
    }
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
