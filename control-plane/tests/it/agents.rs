//! Agents: what is shown of them, two sessions, quarantine.

use crate::support::Plane;
use phoenix_proto::control::{Heartbeat, Ledger, PlanState};
use std::time::Duration;
use tonic::Code;

const MOMENT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn what_an_agent_says_is_shown() {
    let plane = Plane::start().await;
    let hash = plane.pipeline("p", "x").await;
    plane.assign("a", "p", 0).await;
    let mut agent = plane.agent("n1").await;
    agent.baseline(&hash).await;
    let before = plane.rest.get("/agents/n1").await;
    assert!(before.at("/state").is_null() && before.at("/heartbeat").is_null());
    agent.report(PlanState::Healthy, &hash).await;
    let ledger = Ledger {
        received: 10,
        exported: 7,
        filtered: 3,
        ..Ledger::default()
    };
    agent
        .heartbeat(Heartbeat {
            ledger: Some(ledger),
            series: Some(5),
            bytes_in: 1000,
            ..Heartbeat::default()
        })
        .await;
    let shown = plane
        .rest
        .until("/agents/n1", |a| !a.at("/heartbeat").is_null())
        .await;
    assert_eq!(shown.text("/state"), "healthy");
    assert_eq!(shown.text("/activeHash"), hash);
    assert_eq!(shown.text("/desiredHash"), hash);
    assert_eq!(shown.at("/connected").as_bool(), Some(true));
    assert_eq!(shown.text("/labels/env"), "prod");
    assert_eq!(shown.at("/heartbeat/ledger/filtered").as_u64(), Some(3));
    assert_eq!(shown.at("/heartbeat/series").as_u64(), Some(5));
    // Not said: not known.
    assert!(shown.at("/heartbeat/rssBytes").is_null());
    agent.disconnect();
    let gone = plane
        .rest
        .until("/agents/n1", |a| a.at("/connected") == false)
        .await;
    assert!(gone.at("/heartbeat").is_null());
    assert_eq!(gone.text("/state"), "healthy");
}

#[tokio::test]
async fn a_second_session_closes_the_older_and_is_counted() {
    let plane = Plane::start().await;
    let hash = plane.pipeline("p", "x").await;
    plane.assign("a", "p", 0).await;
    let mut first = plane.agent("n1").await;
    first.baseline(&hash).await;
    let mut second = crate::support::FakeAgent::with(plane.address, "n1", &first.credential);
    second.connect().await.unwrap();
    second.baseline(&hash).await;
    let ended = loop {
        if let Err(status) = first.next().await {
            break status;
        }
    };
    assert_eq!(ended.code(), Code::Aborted);
    let shown = plane.rest.get("/agents/n1").await;
    assert_eq!(shown.at("/superseded").as_u64(), Some(1));
    assert_eq!(shown.at("/connected").as_bool(), Some(true));
    assert_eq!(plane.app.live().superseded(), 1);
    // The newer one goes on.
    let next = plane.pipeline("p", "y").await;
    second.baseline(&next).await;
}

#[tokio::test]
async fn a_rejected_pipeline_is_not_sent_again_and_the_last_healthy_one_is_kept() {
    let plane = Plane::start().await;
    let good = plane.pipeline("p", "good").await;
    plane.assign("a", "p", 0).await;
    let mut agent = plane.agent("n1").await;
    agent.baseline(&good).await;
    agent.report(PlanState::Healthy, &good).await;
    let bad = plane.pipeline("p", "bad").await;
    agent.baseline(&bad).await;
    agent.report(PlanState::Rejected, &bad).await;
    agent.baseline(&good).await;
    let shown = plane.rest.get("/agents/n1").await;
    assert_eq!(shown.text("/assignedHash"), bad);
    assert_eq!(shown.text("/desiredHash"), good);
    assert_eq!(shown.text("/quarantine/0/hash"), bad);
    // Nor on a new session.
    agent.disconnect();
    agent.connect().await.unwrap();
    let state = agent.desired(|_| true).await;
    assert_eq!(state.baseline.unwrap().hash, good);
    // Another pipeline is welcome.
    let next = plane.pipeline("p", "next").await;
    agent.baseline(&next).await;
    // Another version of the agent may try the refused one.
    plane.assign("a", &bad, 0).await;
    agent
        .desired(|d| d.baseline.as_ref().is_some_and(|p| p.hash == good))
        .await;
    agent.disconnect();
    agent.version = "2".into();
    agent.connect().await.unwrap();
    agent.baseline(&bad).await;
}

#[tokio::test]
async fn an_unproven_pipeline_is_sent_twice_more_then_never() {
    let plane = Plane::start().await;
    let hash = plane.pipeline("p", "x").await;
    plane.assign("a", "p", 0).await;
    let mut agent = plane.agent("n1").await;
    let mut revision = agent.baseline(&hash).await.revision;
    agent.report(PlanState::Active, &hash).await;
    for boot in 0..3u32 {
        // The process died before the bake ended; it comes back and says so.
        agent.disconnect();
        agent.incarnation = format!("boot-{boot}");
        agent.connect().await.unwrap();
        agent.report(PlanState::Unproven, &hash).await;
        let next = agent.desired(|_| true).await;
        assert!(
            next.revision > revision,
            "boot {boot}: sent before it was counted"
        );
        revision = next.revision;
        match boot {
            0 | 1 => assert_eq!(next.baseline.unwrap().hash, hash),
            _ => assert!(next.baseline.is_none()),
        }
        // Saying it twice in one life counts once.
        agent.report(PlanState::Active, &hash).await;
        agent.report(PlanState::Unproven, &hash).await;
        assert!(agent.quiet(MOMENT).await);
    }
    let shown = plane.rest.get("/agents/n1").await;
    assert_eq!(shown.at("/quarantine/0/barred").as_bool(), Some(true));
}

#[tokio::test]
async fn a_revision_only_grows_and_only_when_the_content_changes() {
    let plane = Plane::start().await;
    let one = plane.pipeline("p", "one").await;
    plane.assign("a", "p", 0).await;
    let mut agent = plane.agent("n1").await;
    let first = agent.baseline(&one).await.revision;
    // Nothing that this agent runs has changed.
    plane.pipeline("other", "two").await;
    assert!(agent.quiet(MOMENT).await);
    agent.disconnect();
    agent.connect().await.unwrap();
    assert_eq!(agent.desired(|_| true).await.revision, first);
    let two = plane.pipeline("p", "two").await;
    assert_eq!(agent.baseline(&two).await.revision, first + 1);
    let back = plane.pipeline("p", "one").await;
    assert_eq!(back, one);
    assert_eq!(agent.baseline(&one).await.revision, first + 2);
}
