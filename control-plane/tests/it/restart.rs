//! A restart keeps everything.

use crate::support::{Plane, experiment};
use phoenix_proto::control::PlanState;

#[tokio::test]
async fn a_restart_keeps_documents_agents_credentials_tokens_and_events() {
    let plane = Plane::start().await;
    let bad = plane.pipeline("p", "bad").await;
    let hash = plane.pipeline("p", "x").await;
    plane.assign("a", "p", 0).await;
    let mut agent = plane.agent("n1").await;
    let state = agent.baseline(&hash).await;
    agent.report(PlanState::Healthy, &hash).await;
    agent.report(PlanState::Rejected, &bad).await;
    plane
        .rest
        .until("/agents/n1", |a| a.at("/state") == "rejected")
        .await;
    plane
        .rest
        .put("/experiments/e", &experiment("e", &bad))
        .await;
    let token = plane.rest.token.clone();
    let events = plane.rest.get("/events").await;
    let plane = plane.restart().await;
    assert_eq!(plane.rest.token, token);
    let after = plane.rest.get("/events").await;
    let before = events.body.as_array().unwrap();
    assert_eq!(&after.body.as_array().unwrap()[..before.len()], before);
    assert_eq!(plane.rest.get("/assignments/a").await.text("/hash"), hash);
    assert_eq!(
        plane.rest.get("/experiments/e").await.text("/phase"),
        "Pending"
    );
    let shown = plane.rest.get("/agents/n1").await;
    assert_eq!(shown.at("/connected").as_bool(), Some(false));
    assert_eq!(shown.text("/quarantine/0/hash"), bad);
    // The old credential opens a session, and the same state keeps its revision.
    agent.connect().await.unwrap();
    let again = agent.desired(|_| true).await;
    assert_eq!(again, state);
}
