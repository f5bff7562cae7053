//! Second witnesses of several experiments: one that hangs is nobody else's concern.

use crate::support::{FakeAgent, Plane, Prometheus, experiment};
use phoenix_proto::control::PlanState;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Applies and starts an experiment of one team's agents, with this backend; its agent takes the candidate.
async fn start(plane: &Plane, team: &str, backend: &str) -> FakeAgent {
    let token = plane.enrol_token();
    let credential = FakeAgent::try_enrol(plane.address, &token, team).await;
    let mut agent = FakeAgent::with(plane.address, team, &credential.unwrap());
    agent.labels.push(("team".into(), team.into()));
    agent.connect().await.unwrap();
    let text = experiment(team, "cut")
        .replace("env: prod", &format!("team: {team}"))
        .replace("goal:", &format!("prometheus: {{ {backend} }}, goal:"));
    let at = format!("/experiments/{team}");
    let put = plane.rest.put(&at, &text).await;
    assert_eq!(put.status, 201, "{put:?}");
    let started = plane.rest.post(&format!("{at}/start"), "").await;
    assert_eq!(started.status, 200, "{started:?}");
    let state = agent.desired(|d| d.experiment.is_some()).await;
    let candidate = state.experiment.unwrap().candidate.unwrap();
    agent.report(PlanState::Active, &candidate.hash).await;
    agent
}

#[tokio::test]
async fn a_backend_that_hangs_delays_no_other_experiment_and_not_the_end() {
    let Some(prometheus) = Prometheus::start().await else {
        return;
    };
    let plane = Plane::start().await;
    plane.pipeline("base", "debug.*").await;
    plane.pipeline("cut", "trace.*").await;
    plane.assign("a", "base", 0).await;

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let hangs = format!("url: '{url}', delay: 1s, timeout: 1m");
    let _slow = start(&plane, "slow", &hangs).await;
    let (mut asked, _) = silent.accept().await.unwrap();

    let answers = format!("url: 'http://{}', delay: 1s", prometheus.address);
    let _quick = start(&plane, "quick", &answers).await;
    let version = "/steps/0/witness/version";
    plane
        .rest
        .until("/experiments/quick", |a| a.at(version).is_string())
        .await;
    // All the while nothing was heard of the other: no answer, and no end of waiting for it.
    let slow = plane.rest.get("/experiments/slow").await;
    assert!(slow.at(version).is_null(), "{slow:?}");
    let reason = slow.text("/steps/0/witness/reason");
    assert!(!reason.contains("no answer"), "{reason}");

    let stopped = tokio::time::timeout(Duration::from_secs(20), plane.stop());
    stopped.await.expect("the server ends before the request");
    let mut request = Vec::new();
    asked.read_to_end(&mut request).await.unwrap();
    assert!(request.starts_with(b"GET /api/v1/status/buildinfo"));
}
