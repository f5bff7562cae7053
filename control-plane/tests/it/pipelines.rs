//! Pipelines: versions by hash, validation, difference, deletion.

use crate::support::{Plane, pipeline};

#[tokio::test]
async fn the_same_content_is_one_version_and_new_content_the_next() {
    let plane = Plane::start().await;
    let rest = &plane.rest;
    let first = rest.post("/pipelines", &pipeline("p", "debug.*")).await;
    assert_eq!(
        (first.status, first.at("/version").as_u64()),
        (201, Some(1))
    );
    // Another way to write the same.
    let same = format!("# a comment\n{}", pipeline("p", "debug.*"));
    let same = rest.post("/pipelines", &same).await;
    assert_eq!(
        (same.status, same.at("/created").as_bool()),
        (200, Some(false))
    );
    assert_eq!(same.text("/hash"), first.text("/hash"));
    let second = rest.post("/pipelines", &pipeline("p", "trace.*")).await;
    assert_eq!(
        (second.status, second.at("/version").as_u64()),
        (201, Some(2))
    );
    let versions = rest.get("/pipelines/p/versions").await;
    assert_eq!(versions.text("/0/hash"), second.text("/hash"));
    assert_eq!(versions.text("/1/hash"), first.text("/hash"));
    let list = rest.get("/pipelines").await;
    assert_eq!(list.body.as_array().unwrap().len(), 1);
    assert!(
        rest.get("/pipelines/p")
            .await
            .text("/document")
            .contains("trace")
    );
    let old = format!("/pipelines/p?hash={}", &first.text("/hash")[..12]);
    assert!(rest.get(&old).await.text("/document").contains("debug"));
    // Old content applied again is the newest version.
    let back = rest.post("/pipelines", &pipeline("p", "debug.*")).await;
    assert_eq!(back.at("/version").as_u64(), Some(3));
}

#[tokio::test]
async fn a_dry_run_and_a_validation_keep_nothing() {
    let plane = Plane::start().await;
    let rest = &plane.rest;
    let dry = rest
        .post("/pipelines?dryRun=true", &pipeline("p", "x"))
        .await;
    assert_eq!(
        (dry.status, dry.at("/created").as_bool()),
        (200, Some(true))
    );
    let valid = rest.post("/pipelines/validate", &pipeline("p", "x")).await;
    assert_eq!(valid.at("/valid").as_bool(), Some(true));
    assert_eq!(valid.text("/hash"), dry.text("/hash"));
    let wrong = rest.post("/pipelines/validate", "kind: Pipeline").await;
    assert_eq!(
        (wrong.status, wrong.at("/valid").as_bool()),
        (200, Some(false))
    );
    assert!(!wrong.at("/problems").as_array().unwrap().is_empty());
    rest.get("/pipelines/p").await.refused(404, "not-found");
    assert_eq!(rest.get("/events").await.body.as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_difference_is_unified_text() {
    let plane = Plane::start().await;
    let one = plane.pipeline("p", "debug.*").await;
    let two = plane.pipeline("p", "trace.*").await;
    let path = format!("/pipelines/p/diff?from={one}&to={two}");
    let diff = plane.rest.get(&path).await.text("/diff");
    assert!(diff.contains("-") && diff.contains("debug.*"), "{diff}");
    assert!(
        diff.lines()
            .any(|l| l.starts_with('+') && l.contains("trace.*")),
        "{diff}"
    );
}

#[tokio::test]
async fn a_pipeline_that_nothing_uses_can_be_deleted() {
    let plane = Plane::start().await;
    let hash = plane.pipeline("p", "x").await;
    plane.assign("a", &hash, 0).await;
    plane
        .rest
        .delete("/pipelines/p")
        .await
        .refused(409, "pipeline-assigned");
    assert_eq!(plane.rest.delete("/assignments/a").await.status, 204);
    assert_eq!(plane.rest.delete("/pipelines/p").await.status, 204);
    plane
        .rest
        .get("/pipelines/p")
        .await
        .refused(404, "not-found");
    plane
        .assign("a", &hash, 0)
        .await
        .refused(422, "invalid-document");
}
