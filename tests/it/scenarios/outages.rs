//! A next hop that is away while a ramp runs is nobody's fault; one that takes only the baseline's points is the
//! candidate's, and so is one that refuses what it took before.

use super::world::{World, agent_settings, pipeline, sink};
use axum::Router;
use axum::http::StatusCode;
use phoenix_tests::harness::{Agent, ControlPlane, Fleet, Process, eventually};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const PIPELINES: [(&str, &str); 2] = [
    ("all", "  stages: []"),
    (
        "thin",
        r#"  stages: [ { id: thin, filter: { drop: [ { metric: "process.memory.*" } ] } } ]"#,
    ),
];

const RAMP: &str = "step: ramp, by: node, to: [1 node], minWindows: 3, dwell: 15s";

fn experiment(step: &str) -> String {
    format!(
        "---\napiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: thin }}\nspec: {{ candidate: thin, \
         window: 1s, maxDuration: 90s, goal: {{ saving: points, target: 5% }}, onSuccess: promote, \
         steps: [ {{ step: shadow, minWindows: 2 }}, {{ {step} }} ] }}\n"
    )
}

/// Two nodes under load, each before a hop of its own or both before one, in a shadow step and another.
struct Ramp {
    world: World,
    other: Agent,
    _fleets: [Fleet; 2],
}

impl Ramp {
    /// `exporter`: of OTLP, without its address.
    async fn start(hops: [SocketAddr; 2], exporter: &str, step: &str) -> Ramp {
        let folder = tempfile::tempdir().expect("folder");
        let control = ControlPlane::start(&folder.path().join("server"), "127.0.0.1:0").await;
        let (sink, shadow) = (sink().await, sink().await);
        let start = async |node: &str, hop: SocketAddr| {
            let settings = agent_settings(folder.path(), node, &control, hop, shadow.otlp);
            let settings = settings.replacen("protocol: grpc, compression: none", exporter, 1);
            Agent::start(folder.path(), node, &settings).await
        };
        let agent = start("n1", hops[0]).await;
        let other = start("n2", hops[1]).await;
        let fleet = async |agent: &Agent, first: &str| {
            let args = ["--hosts", "2", "--processes", "8", "--services", "0"];
            let args = [&args[..], &["--interval-ms", "150", "--first", first]].concat();
            Fleet::start(agent.grpc, &args).await
        };
        let fleets = [fleet(&agent, "0").await, fleet(&other, "2").await];
        let world = World {
            folder,
            control,
            agent,
            sink,
            shadow,
        };
        let documents = PIPELINES.map(|(name, spec)| pipeline(name, spec)).concat();
        world.apply(&documents).await;
        world.assign("all").await;
        world.apply(&experiment(step)).await;
        let start = "/experiments/thin/start";
        world.control.api.post(start, None).await;
        Ramp {
            world,
            other,
            _fleets: fleets,
        }
    }

    /// Waits until both nodes report in the ramp; which of them has the candidate.
    async fn runs(&self) -> usize {
        eventually("both to report in the ramp", async || {
            let e = self.world.control.api.try_get("/experiments/thin").await?;
            let runs = e["step"] == "ramp 1 node" && e["live"]["agents"] == 2;
            let agents = e["agents"].as_array().filter(|_| runs)?.iter();
            let chosen = agents.filter(|a| a["arm"] == "candidate");
            let names: Vec<&str> = chosen.filter_map(|a| a["agent"].as_str()).collect();
            assert_eq!(names.len(), 1, "{e:#}");
            Some(usize::from(names[0].ends_with("n2")))
        })
        .await
    }

    /// Waits until an export has failed on both nodes.
    async fn noticed(&self) {
        for agent in [&self.world.agent, &self.other] {
            eventually("an export to fail", async || {
                let text = agent.text("/metrics").await;
                let of = |line: &&str| line.starts_with("phoenix_agent_export_errors_total");
                let failed = text.lines().filter(of).any(|line| !line.ends_with(" 0"));
                failed.then_some(())
            })
            .await;
        }
    }
}

/// What the judge found of failed exports in the ramp.
fn exports(e: &Value) -> &Value {
    let criteria = e["steps"][1]["verdict"]["criteria"].as_array();
    let mut criteria = criteria.expect("criteria").iter();
    let found = criteria.find(|c| c["name"] == "export errors");
    found.expect("export errors")
}

async fn sink_at(address: &str) -> Process {
    Process::start("phoenix-simulator", &["sink", "--otlp", address], &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_hop_that_is_away_for_a_moment_in_a_ramp_ends_nothing() {
    let mut hop = sink_at("127.0.0.1:0").await;
    let address = hop.address("otlp");
    let exporter = "protocol: grpc, compression: none, retry: { initial: 200ms, max: 500ms }";
    let ramp = Ramp::start([address; 2], exporter, RAMP).await;
    ramp.runs().await;
    hop.kill().await;
    ramp.noticed().await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let _hop = sink_at(&address.to_string()).await;

    let ended = ramp.world.ended("thin").await;
    assert_eq!(ended["phase"], "Completed", "{ended:#}");
    assert_eq!(ended["verdict"]["outcome"], "promote", "{ended:#}");
    let found = exports(&ended);
    for arm in ["baseline", "candidate"] {
        assert_ne!(
            found["figures"][arm], 0,
            "the outage was in the ramp: {found:#}"
        );
    }
    let barred = ramp.world.control.api.get("/quarantine").await;
    assert_eq!(barred.as_array().map(Vec::len), Some(0), "{barred:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_whose_points_alone_are_refused_is_ended_and_barred() {
    let (hops, refuses) = (
        [hop().await, hop().await],
        "protocol: http, compression: none",
    );
    let ramp = Ramp::start([hops[0].0, hops[1].0], refuses, RAMP).await;
    let chosen = ramp.runs().await;
    hops[chosen].1.store(true, Ordering::Relaxed);
    let ended = ramp.world.ended("thin").await;
    assert_eq!(ended["verdict"]["outcome"], "reject", "{ended:#}");
    assert_eq!(exports(&ended)["outcome"], "harm", "{ended:#}");
    let barred = ramp.world.control.api.get("/quarantine").await;
    assert_eq!(barred[0]["hash"], ended["candidateHash"], "{barred:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_runs_everywhere_and_is_refused_is_ended_and_barred() {
    let (address, refuses) = hop().await;
    let exporter = "protocol: http, compression: none";
    let bake = "step: bake, minWindows: 3, dwell: 60s";
    let fleet = Ramp::start([address; 2], exporter, bake).await;
    let api = &fleet.world.control.api;
    eventually("both to report in the bake", async || {
        let e = api.try_get("/experiments/thin").await?;
        let runs = e["step"] == "bake" && e["live"]["agents"] == 2;
        runs.then_some(())
    })
    .await;
    refuses.store(true, Ordering::Relaxed);
    let ended = fleet.world.ended("thin").await;
    assert_eq!(ended["phase"], "Failed", "{ended:#}");
    let reason = ended["reason"].as_str().expect("reason");
    assert!(
        reason.contains("refuses what the candidate writes"),
        "{reason}"
    );
    let barred = api.get("/quarantine").await;
    assert_eq!(barred[0]["hash"], ended["candidateHash"], "{barred:#}");
}

/// A hop that takes everything, or refuses it.
async fn hop() -> (SocketAddr, Arc<AtomicBool>) {
    let refuses = Arc::new(AtomicBool::new(false));
    let told = refuses.clone();
    let answer = move |_: axum::body::Bytes| {
        let refuses = told.load(Ordering::Relaxed);
        async move {
            match refuses {
                true => StatusCode::BAD_REQUEST,
                false => StatusCode::OK,
            }
        }
    };
    let any = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = any.expect("bind");
    let address = listener.local_addr().expect("address");
    let app = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, refuses)
}
