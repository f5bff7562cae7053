//! Assignments: priority, ties, following a name, the way back.

use crate::support::Plane;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_tie_is_refused_when_it_is_applied() {
    let plane = Plane::start().await;
    plane.pipeline("p", "x").await;
    assert_eq!(plane.assign("a", "p", 1).await.status, 201);
    plane
        .assign("b", "p", 1)
        .await
        .refused(409, "assignment-tie");
    assert_eq!(plane.assign("b", "p", 2).await.status, 201);
    // Nor may a change lead into one.
    plane
        .assign("b", "p", 1)
        .await
        .refused(409, "assignment-tie");
    assert_eq!(plane.assign("a", "p", 1).await.status, 200);
    let apart = "apiVersion: phoenix/v1\nkind: Assignment\nmetadata: { name: c }\nspec: { selector: \
                 { matchLabels: { env: test } }, pipeline: p, priority: 1 }\n";
    assert_eq!(plane.rest.put("/assignments/c", apart).await.status, 201);
}

#[tokio::test]
async fn an_assignment_needs_its_pipeline_and_its_name() {
    let plane = Plane::start().await;
    let answer = plane.assign("a", "p", 0).await;
    answer.refused(422, "invalid-document");
    assert_eq!(answer.text("/error/problems/0/path"), "spec.pipeline");
    plane.pipeline("p", "x").await;
    let text = crate::support::assignment("b", "p", 0);
    plane
        .rest
        .put("/assignments/a", &text)
        .await
        .refused(422, "invalid-document");
}

#[tokio::test]
async fn an_agent_follows_the_name_and_gets_the_change_at_once() {
    let plane = Plane::start().await;
    let mut agent = plane.agent("n1").await;
    let nothing = agent.desired(|_| true).await;
    assert!(nothing.baseline.is_none() && nothing.revision == 1);
    let one = plane.pipeline("p", "debug.*").await;
    plane.assign("a", "p", 0).await;
    let state = agent.baseline(&one).await;
    assert!(state.baseline.unwrap().document.contains("debug"));
    assert!(state.fleet_seed != 0 && !state.store_id.is_empty());
    // The best of several: the machine may be busy, a server that looks only now and then is slow always.
    let mut times = Vec::new();
    for i in 0..5 {
        let hash = plane.pipeline("p", &format!("v{i}.*")).await;
        let sent = Instant::now();
        let next = agent.baseline(&hash).await;
        times.push(sent.elapsed());
        assert_eq!(next.revision, 3 + i);
    }
    let best = times.iter().min().unwrap();
    assert!(*best < Duration::from_millis(100), "{times:?}");
}

#[tokio::test]
async fn a_rollback_goes_to_the_pipeline_before_and_back_again() {
    let plane = Plane::start().await;
    let rest = &plane.rest;
    let one = plane.pipeline("p", "one").await;
    plane.assign("a", "p", 0).await;
    rest.post("/assignments/a/rollback", "")
        .await
        .refused(409, "no-earlier-pipeline");
    let mut agent = plane.agent("n1").await;
    agent.baseline(&one).await;
    let two = plane.pipeline("p", "two").await;
    agent.baseline(&two).await;
    let back = rest.post("/assignments/a/rollback", "").await;
    assert_eq!(back.status, 200, "{back:?}");
    assert_eq!(
        (back.text("/from"), back.text("/to")),
        (two.clone(), one.clone())
    );
    assert_eq!(back.at("/agents").as_u64(), Some(1));
    agent.baseline(&one).await;
    // Said again (the answer may have been lost) it does not lead forward to what was bad.
    let again = rest.post("/assignments/a/rollback", "").await;
    again.refused(409, "no-earlier-pipeline");
    let said = again.text("/error/message");
    assert!(
        said.contains(&format!("leads to p ({})", &one[..12])) && said.contains("--to"),
        "{said}"
    );
    // Pinned: a new version of the name does not move it.
    let three = plane.pipeline("p", "three").await;
    assert!(agent.quiet(Duration::from_millis(300)).await);
    assert_eq!(rest.get("/assignments/a").await.text("/hash"), one);
    let to = format!("{{ \"to\": \"{}\" }}", three);
    assert_eq!(
        rest.post("/assignments/a/rollback", &to).await.text("/to"),
        three
    );
    agent.baseline(&three).await;
    // What a person named is no way back, and can be left again.
    let back = rest.post("/assignments/a/rollback", "").await;
    assert_eq!(back.text("/to"), one);
    let forth = rest.post("/assignments/a/rollback", &to).await;
    assert_eq!(forth.text("/to"), three);
    let unknown = format!("{{ \"to\": \"{}\" }}", "0".repeat(64));
    rest.post("/assignments/a/rollback", &unknown)
        .await
        .refused(404, "not-found");
    let history = rest.get("/assignments/a/history").await;
    let causes: Vec<&str> = history
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["cause"].as_str().unwrap())
        .collect();
    assert_eq!(
        causes,
        [
            "rolled-back-to",
            "rolled-back",
            "rolled-back-to",
            "rolled-back",
            "new-version",
            "applied"
        ]
    );
}

#[tokio::test]
async fn a_higher_priority_takes_over_and_gives_back() {
    let plane = Plane::start().await;
    let low = plane.pipeline("low", "one").await;
    let high = plane.pipeline("high", "two").await;
    plane.assign("low", "low", 0).await;
    let mut agent = plane.agent("n1").await;
    agent.baseline(&low).await;
    plane.assign("high", "high", 10).await;
    agent.baseline(&high).await;
    plane.rest.delete("/assignments/high").await;
    agent.baseline(&low).await;
    plane.rest.delete("/assignments/low").await;
    agent.desired(|d| d.baseline.is_none()).await;
}
