//! Experiments with a real agent: what is reported is what the sinks count; verdicts are right.

use super::world::{World, counts, pipeline};
use phoenix_simulator::sink::{Division, Totals};
use phoenix_tests::harness::{Fleet, eventually};
use reqwest::Method;
use serde_json::Value;

/// Folds all processes of one executable.
const FOLD: &str = r#"  protect: [ { attributes: { process.executable.name: [nginx, postgres] } } ]
  stages:
    - id: fold
      aggregate: { match: { metric: "process.*", type: sum }, without: [process.pid, process.parent_pid, process.command_line], interval: 1s, lateness: 1s }"#;

const ALL: &str = r#"  protect: [ { attributes: { process.executable.name: [nginx, postgres] } } ]
  stages: []"#;

/// Drops a protected executable, which saves more than anything else.
const DROPS_PROTECTED: &str = r#"  stages:
    - id: drop
      filter: { drop: [ { attributes: { process.executable.name: [nginx, java, node, sshd] } } ] }"#;

pub(super) fn experiment(name: &str, candidate: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: {name} }}\nspec: {{ baseline: all, candidate: {candidate}, window: 1s, {rest} }}\n"
    )
}

pub(super) async fn begin(rest: &[&str]) -> (World, Fleet) {
    let world = World::start().await;
    world
        .apply(
            &(pipeline("all", ALL) + &pipeline("fold", FOLD) + &pipeline("drops", DROPS_PROTECTED)),
        )
        .await;
    world.assign("all").await;
    let mut args = vec![
        "--hosts",
        "3",
        "--processes",
        "16",
        "--services",
        "2",
        "--interval-ms",
        "150",
    ];
    args.extend(rest);
    let fleet = Fleet::start(world.agent.grpc, &args).await;
    (world, fleet)
}

impl World {
    pub(super) async fn run(&self, name: &str, document: &str) -> Value {
        self.apply(document).await;
        self.control
            .api
            .post(&format!("/experiments/{name}/start"), None)
            .await;
        self.ended(name).await
    }

    pub(super) async fn windows(&self, name: &str) -> Vec<Value> {
        let body = self
            .control
            .api
            .get(&format!("/experiments/{name}/windows"))
            .await;
        body.as_array().expect("a list").clone()
    }
}

/// An arm's account of a window beside what a sink counted in the same stretch of its stream.
fn same(arm: &Value, sink: &Totals) {
    assert_eq!(
        arm["ledger"]["exported"].as_u64(),
        Some(sink.points),
        "points: {arm} {sink:?}"
    );
    assert_eq!(
        arm["seriesOut"]["exact"].as_u64(),
        Some(sink.series),
        "series: {arm} {sink:?}"
    );
}

pub(super) fn stream(arm: &Value) -> (u64, u64) {
    (
        arm["streamFrom"].as_u64().expect("streamFrom"),
        arm["streamTo"].as_u64().expect("streamTo"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shadow_saving_is_the_one_counted_at_two_sinks_and_promotion_swaps() {
    let (world, fleet) = begin(&[]).await;
    let rest = "steps: [ { step: shadow, minWindows: 6 } ], maxDuration: 60s, goal: { saving: points, target: 20% }, onSuccess: promote";
    let ended = world.run("fold", &experiment("fold", "fold", rest)).await;
    assert_eq!(ended["phase"], "Completed", "{ended}");
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    let candidate = ended["candidateHash"].as_str().expect("hash").to_owned();
    world.active(&candidate).await;

    let mut sums = [[0u64; 2]; 2];
    let windows = world.windows("fold").await;
    let used: Vec<_> = windows.iter().filter(|w| w["voidReason"] == "").collect();
    assert!(used.len() >= 6, "{windows:#?}");
    for window in &used {
        for (n, (arm, sink)) in [("baseline", &world.sink), ("candidate", &world.shadow)]
            .into_iter()
            .enumerate()
        {
            let arm = &window[arm];
            let (from, to) = stream(arm);
            let counted = eventually("the window to arrive at the sink", async || {
                counts(sink, |s| s.totals().points >= to)
                    .then(|| counts(sink, |s| s.range(from, to)))
            })
            .await
            .expect("a window's edges are edges of requests");
            same(arm, &counted);
            assert_eq!(arm["bytesOut"].as_u64(), Some(counted.bytes), "bytes");
            let samples = arm["samplesOut"].as_u64();
            assert_eq!(samples, Some(counted.samples), "samples");
            assert_eq!(
                arm["ledger"]["received"], window["baseline"]["ledger"]["received"],
                "both arms saw the same"
            );
            sums[n][0] += counted.points;
            sums[n][1] += counted.bytes;
        }
    }
    let verdict = &ended["verdict"];
    assert_eq!(
        verdict["windows"]["used"].as_u64(),
        Some(used.len() as u64),
        "{verdict:#}"
    );
    for (n, unit) in ["points", "bytes"].into_iter().enumerate() {
        let saving = &verdict["savings"][unit];
        assert_eq!(
            saving["baseline"].as_f64(),
            Some(sums[0][n] as f64),
            "{unit}: {saving}"
        );
        assert_eq!(
            saving["candidate"].as_f64(),
            Some(sums[1][n] as f64),
            "{unit}: {saving}"
        );
        let counted = 1.0 - sums[1][n] as f64 / sums[0][n] as f64;
        let said = saving["saving"].as_f64().expect("saving");
        assert!(
            (said - counted).abs() < 1e-12,
            "{unit}: said {said}, counted {counted}"
        );
    }
    fleet.tell("/stop").await;
    world.ledger().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_is_divided_by_the_published_hash() {
    let (world, _fleet) = begin(&[]).await;
    let half = r#"  protect: [ { attributes: { process.executable.name: [nginx, postgres] } } ]
  stages: [ { id: thin, filter: { drop: [ { metric: "process.memory.*" } ] } } ]"#;
    world.apply(&pipeline("thin", half)).await;
    let rest = "steps: [ { step: ramp, by: entity, entity: [host.name, process.pid], to: [40%], minWindows: 5 } ], maxDuration: 30s, goal: { saving: points, target: 1% }, onSuccess: hold";
    let ended = world.run("split", &experiment("split", "thin", rest)).await;
    assert_eq!(ended["phase"], "Completed", "{ended:#}");
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    let id = ended["id"].as_str().expect("id").to_owned();
    let division = Division {
        experiment: id,
        entity: vec!["host.name".into(), "process.pid".into()],
        percent: 40.0,
    };
    counts(&world.sink, |s| s.divide(Some(division)));
    let windows = world.windows("split").await;
    let used: Vec<_> = windows.iter().filter(|w| w["voidReason"] == "").collect();
    assert!(used.len() >= 5, "{windows:#?}");
    for window in used {
        let (from, to) = stream(&window["baseline"]);
        let counted = counts(&world.sink, |s| s.range(from, to)).expect("edges of requests");
        same(
            &window["baseline"],
            counted.baseline.as_ref().expect("divided"),
        );
        same(
            &window["candidate"],
            counted.candidate.as_ref().expect("divided"),
        );
        assert!(
            counted.candidate.is_some_and(|c| c.points > 0),
            "the candidate saw something"
        );
    }
    world.ledger().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_drops_a_protected_series_is_rejected_and_never_promoted() {
    let (world, _fleet) = begin(&[]).await;
    let before = world.control.api.get("/assignments/all").await;
    let rest = "steps: [ { step: shadow, minWindows: 3 } ], maxDuration: 60s, goal: { saving: points, target: 1% }, onSuccess: promote";
    let ended = world
        .run("drops", &experiment("drops", "drops", rest))
        .await;
    // Its own agent may end it before there are windows enough for a verdict.
    assert_ne!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    let reasons = ended.to_string();
    assert!(reasons.contains("protected"), "{reasons}");
    let after = world.control.api.get("/assignments/all").await;
    assert_eq!(after["hash"], before["hash"], "never promoted");
    let (status, body) = world
        .control
        .api
        .send(Method::POST, "/experiments/drops/promote", None)
        .await;
    assert!(
        status.is_client_error(),
        "a rejected candidate cannot be promoted: {status} {body}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_little_data_is_inconclusive_and_keeps_the_baseline() {
    let (mut world, _fleet) = begin(&[]).await;
    let before = world.control.api.get("/assignments/all").await;
    let rest = "steps: [ { step: shadow, minWindows: 12 } ], maxDuration: 15s, goal: { saving: points, target: 20% }, onSuccess: promote";
    world.apply(&experiment("short", "fold", rest)).await;
    world
        .control
        .api
        .post("/experiments/short/start", None)
        .await;
    eventually("some windows", async || {
        let windows = world
            .control
            .api
            .try_get("/experiments/short/windows")
            .await?;
        (windows.as_array()?.len() >= 4).then_some(())
    })
    .await;
    // The only agent goes away: what it saw is not enough to judge.
    assert!(world.agent.process.terminate().await.success());
    let ended = world.ended("short").await;
    assert_eq!(ended["verdict"]["outcome"], "inconclusive", "{ended:#}");
    let after = world.control.api.get("/assignments/all").await;
    assert_eq!(after["hash"], before["hash"]);
    let (code, out) = world.control.cli(&["experiment", "wait", "short"]).await;
    assert_eq!(code, 3, "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_that_would_mix_the_arms_is_refused_with_the_stage_named() {
    let (world, _fleet) = begin(&[]).await;
    let rest = "steps: [ { step: ramp, by: entity, entity: [process.pid], to: [50%], minWindows: 3 } ], maxDuration: 30s, goal: { saving: points, target: 1% }";
    let (status, body) = world
        .control
        .api
        .send(
            Method::PUT,
            "/experiments/mixed",
            Some(
                experiment("mixed", "fold", rest)
                    .trim_start_matches("---\n")
                    .to_owned(),
            ),
        )
        .await;
    assert!(status.is_client_error(), "{status} {body}");
    assert!(
        body.to_string().contains("fold") && body.to_string().contains("shadow"),
        "{body}"
    );
}
