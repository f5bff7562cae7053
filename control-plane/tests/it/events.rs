//! Events: every change has one, and a stream can be taken up where it broke.

use crate::support::{Plane, experiment};
use phoenix_proto::control::PlanState;

#[tokio::test]
async fn every_change_has_its_event() {
    let plane = Plane::start().await;
    let rest = &plane.rest;
    plane.pipeline("p", "x").await;
    plane.assign("a", "p", 0).await;
    let mut agent = plane.agent("n1").await;
    let hash = plane.pipeline("p", "y").await;
    agent.baseline(&hash).await;
    agent.report(PlanState::Healthy, &hash).await;
    rest.until("/agents/n1", |a| a.at("/state") == "healthy")
        .await;
    rest.put("/experiments/e", &experiment("e", &hash)).await;
    rest.delete("/experiments/e").await;
    agent.disconnect();
    rest.until("/agents/n1", |a| a.at("/connected") == false)
        .await;
    rest.delete("/agents/n1").await;
    rest.delete("/assignments/a").await;
    rest.delete("/pipelines/p").await;
    let all = rest.get("/events").await;
    let all = all.body.as_array().unwrap();
    let sequences: Vec<u64> = all
        .iter()
        .map(|e| e["sequence"].as_u64().unwrap())
        .collect();
    assert!(sequences.windows(2).all(|w| w[0] < w[1]), "{sequences:?}");
    let kinds: Vec<&str> = all.iter().map(|e| e["kind"].as_str().unwrap()).collect();
    let mut sorted = kinds.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(
        sorted,
        [
            "agent.connected",
            "agent.deleted",
            "agent.desired",
            "agent.disconnected",
            "agent.enrolled",
            "agent.healthy",
            "assignment.changed",
            "assignment.created",
            "assignment.deleted",
            "experiment.created",
            "experiment.deleted",
            "pipeline.created",
            "pipeline.deleted",
        ],
        "{kinds:?}"
    );
    let changed = all
        .iter()
        .find(|e| e["kind"] == "assignment.changed")
        .unwrap();
    assert_eq!(changed["object"], "assignment/a");
    assert_eq!(changed["actor"], "admin");
    assert_eq!(changed["body"]["to"], hash.as_str());
    let healthy = all.iter().find(|e| e["kind"] == "agent.healthy").unwrap();
    assert_eq!(
        (
            healthy["actor"].as_str(),
            healthy["node"].as_str(),
            healthy["cluster"].as_str()
        ),
        (Some("agent:n1"), Some("n1"), Some("default"))
    );
    let later = rest.get(&format!("/events?after={}", sequences[2])).await;
    assert_eq!(later.at("/0/sequence").as_u64(), Some(sequences[3]));
    // The newest ones, oldest of them first.
    let two = rest.get("/events?limit=2").await;
    let of = |a: &serde_json::Value| -> Vec<u64> {
        let list = a.as_array().unwrap().iter();
        list.map(|e| e["sequence"].as_u64().unwrap()).collect()
    };
    assert_eq!(of(&two.body), sequences[sequences.len() - 2..]);
    let time = two.text("/0/time");
    let since = rest.get(&format!("/events?since={time}")).await;
    assert!(of(&since.body).contains(&sequences[sequences.len() - 2]));
    let none = rest.get("/events?since=2126-01-01T00:00:00Z").await;
    assert_eq!(of(&none.body), [0u64; 0]);
    rest.get("/events?since=yesterday")
        .await
        .refused(400, "bad-request");
    let kinds = async |query: &str| -> Vec<String> {
        let list = rest.get(&format!("/events?{query}")).await;
        let list = list.body.as_array().unwrap().iter();
        list.map(|e| e["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        kinds("kind=pipeline.*,assignment.deleted").await,
        [
            "pipeline.created",
            "pipeline.created",
            "assignment.deleted",
            "pipeline.deleted"
        ]
    );
    assert_eq!(kinds("kind=pipeline.*&limit=1").await, ["pipeline.deleted"]);
    let rest_of = kinds("except=agent.*,pipeline.created").await;
    assert_eq!(rest_of.len(), 6, "{rest_of:?}");
    rest.get("/events?kind=agent.%3F")
        .await
        .refused(400, "bad-request");
}

#[tokio::test]
async fn a_stream_begins_now_and_goes_on_after_the_last_event_seen() {
    let plane = Plane::start().await;
    plane.pipeline("p", "one").await;
    let mut stream = plane.rest.events("", None).await;
    let mut some = plane.rest.events("?kind=assignment.*", None).await;
    plane.pipeline("p", "two").await;
    let (seen, event) = stream.next().await.unwrap();
    assert_eq!(event["body"]["version"], 2);
    drop(stream);
    plane.assign("a", "p", 0).await;
    assert_eq!(some.next().await.unwrap().1["kind"], "assignment.created");
    plane.rest.delete("/assignments/a").await;
    assert_eq!(some.next().await.unwrap().1["kind"], "assignment.deleted");
    drop(some);
    // While nobody listened, across a restart.
    plane.pipeline("p", "three").await;
    let plane = plane.restart().await;
    plane.pipeline("p", "four").await;
    let mut stream = plane.rest.events("?except=assignment.*", Some(seen)).await;
    for version in [3, 4] {
        let (id, event) = stream.next().await.unwrap();
        assert_eq!(event["body"]["version"], version);
        assert_eq!(event["sequence"].as_u64(), Some(id));
    }
    // The end of the server ends the stream in order.
    let ended = tokio::spawn(async move { stream.next().await });
    plane.stop().await;
    assert!(ended.await.unwrap().is_none());
}

#[tokio::test]
async fn an_id_that_is_no_number_is_refused() {
    let plane = Plane::start().await;
    let bearer = format!("Bearer {}", plane.rest.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "text/event-stream"),
        ("last-event-id", "abc"),
    ];
    let answer = plane.rest.send("GET", "/api/v1/events", &headers, "").await;
    assert_eq!(answer.status(), 400);
}
