//! Agents that die with a candidate, and those that only seem to.

use crate::support::{Answer, FakeAgent, Plane, experiment, lab_on, window};
use phoenix_proto::control::agent_message::Message as FromAgent;
use phoenix_proto::control::{Goodbye, PlanState};
use std::time::Duration;

/// An agent and its process's next life.
fn reborn(agent: &mut FakeAgent, life: &str) {
    agent.disconnect();
    agent.incarnation = life.into();
}

#[tokio::test]
async fn a_death_with_the_candidate_is_told_from_a_stop_and_shown_at_once() {
    let mut lab = lab_on(Plane::leasing(Duration::from_secs(60)).await).await;
    let given = lab.start().await;
    lab.agent
        .window(window(&given, &lab.baseline, 10_000, 40))
        .await;
    let rest = &lab.plane.rest;
    let at = "/experiments/e";
    let runs = |a: &Answer| a.at("/agents/0/state") == "runs";
    let shown = rest.until(at, runs).await;
    assert_eq!(shown.text("/agents/0/arm"), "both");
    assert_eq!(rest.get("/agents/n1").await.text("/arm"), "both");
    let waits = shown.text("/steps/0/reason");
    assert!(
        waits.contains("windows") || waits.contains("it begins"),
        "{waits}"
    );

    rest.until(at, |a| a.at("/phase") == "Running").await;
    lab.agent.disconnect();
    let shown = rest
        .until(at, |a| a.at("/agents/0/state") == "silent")
        .await;
    assert!(shown.text("/agents/0/since").starts_with("20"), "{shown:?}");
    let shown = rest
        .until(at, |a| a.text("/steps/0/reason").contains("silent"))
        .await;
    assert!(shown.text("/steps/0/reason").contains("n1"), "{shown:?}");

    // The same process: it was only cut off.
    lab.agent.connect().await.unwrap();
    rest.until(at, |a| a.at("/agents/0/state") != "silent")
        .await;
    let deaths = |a: &Answer| a.at("/agents/0/deaths").as_u64();
    assert_eq!(deaths(&rest.get(at).await), Some(0));
    // Another one.
    reborn(&mut lab.agent, "n1-2");
    lab.agent.connect().await.unwrap();
    rest.until(at, |a| deaths(a) == Some(1)).await;
    // One that was told to stop.
    lab.agent.desired(|d| d.experiment.is_some()).await;
    lab.agent.report(PlanState::Active, &lab.candidate).await;
    rest.until(at, runs).await;
    lab.agent.say(FromAgent::Goodbye(Goodbye {})).await;
    rest.until("/events", |a| a.body.to_string().contains("agent.stopping"))
        .await;
    reborn(&mut lab.agent, "n1-3");
    let left = rest.until(at, |a| a.at("/agents/0/state") == "left").await;
    assert_eq!(deaths(&left), Some(1));
    lab.agent.connect().await.unwrap();
    rest.until(at, |a| a.at("/agents/0/state") == "waits").await;
    assert_eq!(deaths(&rest.get(at).await), Some(1));
}

/// An agent that has the candidate, is gone as `goes` says, and is back as another process: how often it died, and
/// whether it is asked about.
async fn dies(lease: Duration, goes: impl AsyncFnOnce(&mut FakeAgent)) -> (Option<u64>, bool) {
    let mut lab = lab_on(Plane::leasing(lease).await).await;
    lab.start().await;
    let rest = &lab.plane.rest;
    let at = "/experiments/e";
    rest.until(at, |a| a.at("/agents/0/state") == "runs").await;
    goes(&mut lab.agent).await;
    reborn(&mut lab.agent, "the-next");
    lab.agent.connect().await.unwrap();
    let back = |a: &Answer| a.body.to_string().contains("the-next");
    rest.until("/events?limit=1000", back).await;
    let deaths = rest.get(at).await.at("/agents/0/deaths").as_u64();
    let events = rest.get("/events?limit=1000").await;
    let asked = |e: &serde_json::Value| e["body"]["died"].is_object();
    (deaths, events.body.as_array().unwrap().iter().any(asked))
}

#[tokio::test]
async fn a_death_is_only_counted_where_nothing_else_can_be() {
    let minute = Duration::from_secs(60);
    assert_eq!(
        dies(minute, async |_: &mut FakeAgent| {}).await,
        (Some(1), true)
    );
    // Its lease had lapsed when the connection was lost: it may have run the baseline.
    let silent = async |_: &mut FakeAgent| tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(
        dies(Duration::from_millis(150), silent).await,
        (Some(0), true)
    );
    // A life between, of which nothing is known.
    let between = async |agent: &mut FakeAgent| {
        reborn(agent, "between");
        agent.connect().await.unwrap();
        agent.desired(|_| true).await;
    };
    assert_eq!(
        dies(minute, between).await,
        (Some(1), true),
        "the first of them"
    );
    // One of a version that does not say goodbye may have been told to stop.
    let old = async |agent: &mut FakeAgent| {
        agent.disconnect();
        agent.says_goodbye = false;
        agent.connect().await.unwrap();
        agent.desired(|_| true).await;
    };
    assert_eq!(dies(minute, old).await, (Some(0), false));
    // Its connection was lost in time, and it lived on until its lease had lapsed: the next one knows.
    let cut_off = async |agent: &mut FakeAgent| {
        let given = agent.desired.experiment.as_ref();
        agent.lapsed = given.map(|e| e.experiment.clone()).unwrap();
    };
    assert_eq!(dies(minute, cut_off).await, (Some(0), false));
}

#[tokio::test]
async fn an_agent_that_dies_of_it_before_the_step_begins_is_harm_the_third_time() {
    let mut lab = lab_on(Plane::leasing(Duration::from_secs(60)).await).await;
    // It never takes its part, so that the step does not begin.
    let _other = lab.plane.agent("n2").await;
    let rest = &lab.plane.rest;
    rest.put("/experiments/e", &experiment("e", "cut")).await;
    rest.post("/experiments/e/start", "").await;
    for life in 2..=4 {
        lab.agent.desired(|d| d.experiment.is_some()).await;
        lab.agent.report(PlanState::Validated, &lab.candidate).await;
        rest.until("/agents/n1", |a| a.at("/state") == "validated")
            .await;
        reborn(&mut lab.agent, &format!("n1-{life}"));
        lab.agent.connect().await.unwrap();
    }
    let ended = rest
        .until("/experiments/e", |a| a.at("/phase") == "Failed")
        .await;
    let reason = ended.text("/reason");
    assert!(reason.contains("died 3 times"), "{reason}");
    let barred = rest.get("/quarantine").await;
    assert_eq!(barred.text("/0/hash"), lab.candidate, "{barred:?}");
}
