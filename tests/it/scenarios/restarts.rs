//! Control plane and agent die in the middle; the right things happen all the same.

use super::world::{World, agent_settings, pipeline};
use phoenix_tests::harness::{Agent, ControlPlane, Fleet, eventually, eventually_for};
use std::time::Duration;

const SPEC: &str = r#"  stages:
    - id: fold
      aggregate: { match: { metric: "process.*", type: sum }, without: [process.pid, process.parent_pid, process.command_line], interval: 1s, lateness: 1s }"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experiment_outlives_the_control_plane_and_the_agent() {
    let mut world = World::start().await;
    world
        .apply(&(pipeline("all", "  stages: []") + &pipeline("fold", SPEC)))
        .await;
    world.assign("all").await;
    let document = "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: { name: fold }\nspec: { baseline: all, candidate: fold, window: 1s, steps: [ { step: shadow, minWindows: 12 } ], maxDuration: 90s, goal: { saving: points, target: 20% }, onSuccess: promote }\n";
    let _fleet = Fleet::start(world.agent.grpc, &["--interval-ms", "150"]).await;
    world.apply(document).await;
    world
        .control
        .api
        .post("/experiments/fold/start", None)
        .await;
    windows_at_least(&world, 3).await;

    // The control plane dies; the agent goes on, and keeps its reports.
    let address = world.control.address.to_string();
    world.control.process.kill().await;
    let data = world.path().join("server");
    world.control = ControlPlane::start(&data, &address).await;
    windows_at_least(&world, 6).await;

    // The agent dies; a new one of the same node takes its place, from the plans on disk.
    world.agent.process.kill().await;
    let settings = agent_settings(
        world.path(),
        "n1",
        &world.control,
        world.sink.otlp,
        world.shadow.otlp,
    );
    world.agent = Agent::start(world.path(), "n1", &settings).await;
    let _fleet = Fleet::start(world.agent.grpc, &["--interval-ms", "150"]).await;

    let ended = world.ended("fold").await;
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    world
        .active(ended["candidateHash"].as_str().expect("hash"))
        .await;
    world.ledger().await;
}

async fn windows_at_least(world: &World, n: usize) {
    eventually_for(
        "windows to be stored",
        Duration::from_secs(60),
        async || {
            let windows = world
                .control
                .api
                .try_get("/experiments/fold/windows")
                .await?;
            (windows.as_array()?.len() >= n).then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_its_control_plane_boots_its_last_good_plan() {
    let mut world = World::start().await;
    world
        .apply(&pipeline(
            "good",
            "  stages: [ { id: no, filter: { drop: [ { metric: \"process.threads\" } ] } } ]",
        ))
        .await;
    let hash = world.assign("good").await;
    eventually("the plan to be proven healthy", async || {
        let agents = world.control.api.try_get("/agents").await?;
        (agents[0]["state"] == "healthy").then_some(())
    })
    .await;
    world.control.process.kill().await;
    assert!(world.agent.process.terminate().await.success());
    let settings = agent_settings(
        world.path(),
        "n1",
        &world.control,
        world.sink.otlp,
        world.shadow.otlp,
    );
    world.agent = Agent::start(world.path(), "n1", &settings).await;
    let ready = eventually("readiness", async || {
        (world.agent.status("/readyz").await == 200).then_some(())
    });
    ready.await;
    let fleet = Fleet::start(world.agent.grpc, &["--rounds", "3", "--interval-ms", "50"]).await;
    fleet.done().await;
    let ledger = world.ledger().await;
    assert!(
        ledger["baseline"]["filtered"].as_u64() > Some(0),
        "runs {hash}: {ledger}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_is_one_command_done_everywhere_in_ten_seconds() {
    let world = World::start().await;
    world
        .apply(&(pipeline("all", "  stages: []") + &pipeline("fold", SPEC)))
        .await;
    let first = world.assign("all").await;
    world.assign("fold").await;
    let began = std::time::Instant::now();
    let (code, out) = world.control.cli(&["rollback", "all"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    world.active(&first).await;
    let (code, out) = world.control.cli(&["history", "all"]).await;
    assert!(code == 0 && out.contains(&first[..8]), "{out}");
}
