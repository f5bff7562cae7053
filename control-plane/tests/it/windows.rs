//! What agents report of an experiment: kept once, over a restart, and shown live.

use crate::support::{experiment, lab, window};
use phoenix_proto::control::Volume;
use phoenix_proto::control::server_message::Message as ToAgent;
use std::time::Duration;

#[tokio::test]
async fn windows_are_stored_once_and_acknowledged_always() {
    let mut lab = lab().await;
    let given = lab.start().await;
    for start in [10_000, 11_000, 12_000, 12_000] {
        let ack = lab
            .agent
            .window(window(&given, &lab.baseline, start, 40))
            .await;
        assert_eq!(
            (ack.start_ms, ack.experiment.as_str()),
            (start, given.experiment.as_str())
        );
    }
    let rest = &lab.plane.rest;
    let windows = rest.get("/experiments/e/windows").await;
    assert_eq!(windows.body.as_array().unwrap().len(), 3);
    assert_eq!(
        windows.at("/1/candidate/ledger/exported").as_u64(),
        Some(40)
    );
    let events = rest.get("/events").await;
    let stored = events.body.as_array().unwrap().iter();
    assert_eq!(
        stored.filter(|e| e["kind"] == "experiment.window").count(),
        3
    );
    let live = rest.get("/experiments/e").await;
    // The first is warm-up, for the verdict and here.
    assert_eq!(live.at("/live/comparable").as_u64(), Some(2));
    assert_eq!(live.at("/live/void").as_u64(), Some(1));
    assert_eq!(live.at("/live/baseline/pointsOut").as_u64(), Some(200));
    assert_eq!(live.at("/live/candidate/pointsOut").as_u64(), Some(80));
    // Nobody measured it.
    assert!(live.at("/live/candidate/cpuSeconds").is_null());
    // Of an experiment that is not known: let go.
    let mut stray = window(&given, &lab.baseline, 13_000, 40);
    stray.experiment = "unknown".into();
    lab.agent.window(stray).await;
    // A new run leaves nothing of the last one behind.
    let rest = &lab.plane.rest;
    rest.post("/experiments/e/abort", "").await;
    rest.put("/experiments/e", &experiment("e", "cut")).await;
    let left = lab.plane.app.windows("default", &given.experiment).await;
    assert_eq!(left.unwrap().len(), 0);
}

/// `Queries` as agents of before read it.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Queries1 {
    step_ms: u64,
    names: serde_json::Value,
    inner: Vec<serde_json::Value>,
}

#[tokio::test]
async fn what_agents_of_before_do_not_know_is_not_in_what_they_read() {
    let mut lab = lab().await;
    let asks = "prometheus: { url: 'http://127.0.0.1:1' }, onSuccess";
    let text = experiment("e", "cut").replace("onSuccess", asks);
    let rest = &lab.plane.rest;
    assert_eq!(rest.put("/experiments/e", &text).await.status, 201);
    rest.post("/experiments/e/start", "").await;
    let state = lab.agent.desired(|d| d.experiment.is_some()).await;
    let given = state.experiment.unwrap();
    assert!(given.query_volume);
    let read: Queries1 = serde_json::from_str(&given.queries).unwrap();
    assert_eq!((read.step_ms, read.inner.len()), (1000, 0));
    assert!(read.names["promote"].is_array() && read.names["style"].is_string());
    assert_eq!(read.names.as_object().map(|names| names.len()), Some(2));
}

#[tokio::test]
async fn a_restart_in_the_middle_goes_on_with_the_experiment_and_its_windows() {
    let mut lab = lab().await;
    let given = lab.start().await;
    lab.agent
        .window(window(&given, &lab.baseline, 10_000, 40))
        .await;
    lab.plane = lab.plane.restart().await;
    lab.agent.connect().await.unwrap();
    let state = lab.agent.desired(|_| true).await;
    let again = state.experiment.unwrap();
    assert_eq!(again.experiment, given.experiment);
    // Sent again, because the acknowledgement may have been lost.
    lab.agent
        .window(window(&given, &lab.baseline, 10_000, 40))
        .await;
    let windows = lab.plane.rest.get("/experiments/e/windows").await;
    assert_eq!(windows.body.as_array().unwrap().len(), 1);
    while let Ok(word) = tokio::time::timeout(Duration::from_millis(50), lab.agent.next()).await {
        assert!(matches!(word.unwrap(), ToAgent::Desired(_)));
    }
}

#[tokio::test]
async fn live_figures_leave_out_what_is_out_of_scope_and_count_windows() {
    let mut lab = lab().await;
    let given = lab.start().await;
    let rest = &lab.plane.rest;
    let outside = Some(Volume {
        points_in: 30,
        points_out: 20,
        bytes_in: 300,
        bytes_out: 200,
        ..Volume::default()
    });
    for start in [10_000, 11_000, 12_000] {
        let mut report = window(&given, &lab.baseline, start, 40);
        report.arms[0].unassigned = outside;
        report.arms[0].compared_bytes_in = Some(700);
        report.arms[0].compared_bytes_out = Some(750);
        lab.agent.window(report).await;
    }
    let live = rest.get("/experiments/e").await;
    for (path, n) in [
        ("/live/windows", 2),
        ("/live/baseline/pointsIn", 140),
        ("/live/baseline/pointsOut", 160),
        ("/live/baseline/bytesOut", 1500),
        ("/live/candidate/pointsOut", 80),
        ("/live/candidate/bytesOut", 800),
    ] {
        assert_eq!(live.at(path).as_u64(), Some(n), "{path}: {live:?}");
    }
    // An agent of before they were counted: the rest of its bytes holds what surrounds points outside, too.
    let mut report = window(&given, &lab.baseline, 13_000, 40);
    report.arms[0].unassigned = outside;
    lab.agent.window(report).await;
    let live = rest.get("/experiments/e").await;
    assert!(live.at("/live/baseline/bytesOut").is_null(), "{live:?}");
    assert_eq!(live.at("/live/baseline/pointsOut").as_u64(), Some(240));
}
