//! Rows of earlier versions are read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::documents::{Share, Step};
use serde_json::{Value, json};

/// An experiment as it was stored before there were steps.
fn old(name: &str, traffic: Value) -> Value {
    let mut spec = json!({
        "selector": { "matchLabels": { "env": "prod" } },
        "baseline": null, "candidate": "cut", "window": "10s", "minWindows": 4, "maxDuration": "10m",
        "goal": { "saving": "points", "target": 0.2 },
        "guardrails": { "protect": [], "protectedRetention": 1.0, "maxExportErrors": 0,
            "maxCpuRatio": null, "maxRssRatio": null },
        "onSuccess": "hold",
    });
    spec.as_object_mut()
        .unwrap()
        .extend(traffic.as_object().unwrap().clone());
    json!({
        "tenant": "default", "name": name, "id": name, "revision": 3, "spec": spec,
        "phase": "Completed", "step": "shadow", "reason": "promote", "baselineHash": "b",
        "candidateHash": "c", "createdMs": 1, "phaseMs": 2, "startedMs": 1, "endedMs": 2,
        "promotedTo": null, "verdict": null, "memory": null, "actor": "admin",
    })
}

#[tokio::test]
async fn experiments_of_before_there_were_steps_are_read_with_the_steps_they_had() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("store.db")).await.unwrap();
    let rows = [
        old(
            "all",
            json!({ "mode": "shadow", "entity": [], "percent": 50.0 }),
        ),
        old(
            "half",
            json!({ "mode": "split", "entity": ["host.name"], "percent": 12.5 }),
        ),
    ];
    for body in &rows {
        let name = body["name"].as_str().unwrap();
        sqlx::query("INSERT INTO experiments (tenant, name, id, phase, row, body) VALUES ('default', ?1, ?1, 'Completed', 1, ?2)")
            .bind(name)
            .bind(body.to_string())
            .execute(&store.writer)
            .await
            .unwrap();
    }
    sqlx::raw_sql(include_str!("../../../migrations/0002_steps.sql"))
        .execute(&store.writer)
        .await
        .unwrap();
    let read = store.experiments(None).await.unwrap();
    let steps: Vec<Vec<Step>> = read.iter().map(|e| e.spec.course()).collect();
    assert_eq!((steps[0].len(), steps[1].len()), (1, 1));
    assert_eq!(
        (steps[0][0].name.as_str(), steps[0][0].min_windows),
        ("shadow", 4)
    );
    let half = Share::Entities {
        entity: vec!["host.name".into()],
        percent: 12.5,
    };
    assert_eq!((&steps[1][0].share, steps[1][0].min_windows), (&half, 4));
    let env = &read[1].spec.scope.selector.match_labels["env"];
    assert_eq!((env.as_str(), read[1].revision), ("prod", 3));
}
