//! Who may come in: tokens, credentials, identities, sizes.

use crate::support::{FakeAgent, Plane, args, pipeline};
use phoenix_control_plane::serve::{Error, Server};
use std::os::unix::fs::PermissionsExt;
use tonic::Code;

#[tokio::test]
async fn every_route_of_the_document_wants_the_token() {
    let plane = Plane::start().await;
    let document: serde_json::Value =
        serde_json::from_str(&phoenix_control_plane::api::openapi()).unwrap();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace("{name}", "x").replace("{node}", "x");
        for method in methods.as_object().unwrap().keys() {
            for headers in [
                vec![],
                vec![("authorization", "Bearer wrong")],
                vec![("authorization", "Basic eDp5")],
            ] {
                let method = method.to_uppercase();
                let answer = plane.rest.send(&method, &path, &headers, "").await;
                assert_eq!(answer.status(), 401, "{method} {path}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 60, "only {tried} tried");
    let unknown = plane.rest.send("GET", "/api/v1/nothing", &[], "").await;
    assert_eq!(unknown.status(), 401);
    let document = plane
        .rest
        .send("GET", "/api/v1/openapi.json", &[], "")
        .await;
    assert_eq!(document.status(), 401);
}

#[tokio::test]
async fn the_probes_want_no_token() {
    let plane = Plane::start().await;
    for path in ["/healthz", "/readyz", "/api/v1/healthz", "/api/v1/readyz"] {
        assert_eq!(plane.rest.send("GET", path, &[], "").await.status(), 200);
    }
}

#[tokio::test]
async fn tokens_are_random_and_only_their_owner_reads_them() {
    let (one, two) = (Plane::start().await, Plane::start().await);
    assert_ne!(one.rest.token, two.rest.token);
    assert_ne!(one.rest.token, one.enrol_token());
    for file in ["admin.token", "enrol.token"] {
        let mode = std::fs::metadata(one.dir.path().join(file)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn plain_text_off_loopback_is_refused_unless_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = args(dir.path(), "0.0.0.0:0");
    assert!(matches!(
        Server::bind(&args).await.err(),
        Some(Error::PlainText(_))
    ));
    args.plain_text = true;
    assert!(Server::bind(&args).await.is_ok());
}

#[tokio::test]
async fn errors_have_one_form_whatever_refused() {
    let plane = Plane::start().await;
    let rest = &plane.rest;
    rest.get("/nothing").await.refused(404, "no-such-route");
    rest.call("PATCH", "/agents", "")
        .await
        .refused(405, "method-not-allowed");
    rest.get("/pipelines/none").await.refused(404, "not-found");
    rest.get("/events?after=x")
        .await
        .refused(400, "bad-request");
    rest.post("/pipelines", &"#".repeat(3 << 20))
        .await
        .refused(413, "body-too-large");
    let answer = rest
        .post("/pipelines", "kind: Pipeline\nspec: { stage: [] }")
        .await;
    answer.refused(422, "invalid-document");
    assert!(
        answer.at("/error/problems").as_array().unwrap().len() > 1,
        "{answer:?}"
    );
    plane.pipeline("p", "x").await;
    plane.assign("a", "p", 0).await;
    let answer = rest.post("/assignments/a/rollback", "{ \"too\": 1 }").await;
    answer.refused(400, "bad-request");
    rest.delete("/pipelines/p")
        .await
        .refused(409, "pipeline-assigned");
    let _ = pipeline("p", "x");
}

#[tokio::test]
async fn enrolment_wants_the_token_and_happens_once() {
    let plane = Plane::start().await;
    let wrong = FakeAgent::try_enrol(plane.address, "wrong", "n1").await;
    assert_eq!(wrong.unwrap_err().code(), Code::Unauthenticated);
    let admin = FakeAgent::try_enrol(plane.address, &plane.rest.token, "n1").await;
    assert_eq!(admin.unwrap_err().code(), Code::Unauthenticated);
    let nameless = FakeAgent::try_enrol(plane.address, &plane.enrol_token(), "").await;
    assert_eq!(nameless.unwrap_err().code(), Code::InvalidArgument);
    let _agent = plane.agent("n1").await;
    plane.rest.until("/agents/n1", |a| a.status == 200).await;
    let again = FakeAgent::try_enrol(plane.address, &plane.enrol_token(), "n1").await;
    assert_eq!(again.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test]
async fn a_credential_that_was_never_used_can_be_had_again_and_replaces_the_first() {
    let plane = Plane::start().await;
    let token = plane.enrol_token();
    let first = FakeAgent::try_enrol(plane.address, &token, "n1")
        .await
        .unwrap();
    let second = FakeAgent::try_enrol(plane.address, &token, "n1")
        .await
        .unwrap();
    let mut lost = FakeAgent::with(plane.address, "n1", &first);
    assert_eq!(
        lost.connect().await.unwrap_err().code(),
        Code::Unauthenticated
    );
    FakeAgent::with(plane.address, "n1", &second)
        .connect()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_credential_speaks_for_its_own_identity_only() {
    let plane = Plane::start().await;
    let one = plane.agent("n1").await;
    let mut other = FakeAgent::with(plane.address, "n2", &one.credential);
    other.connect().await.unwrap();
    assert_eq!(
        other.next().await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let mut wrong = FakeAgent::with(plane.address, "n1", "made-up");
    assert_eq!(
        wrong.connect().await.unwrap_err().code(),
        Code::Unauthenticated
    );
    let mut none = FakeAgent::with(plane.address, "n1", "");
    assert_eq!(
        none.connect().await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn a_deleted_agent_is_sent_away_and_may_enrol_again() {
    let plane = Plane::start().await;
    let mut agent = plane.agent("n1").await;
    agent.desired(|_| true).await;
    assert_eq!(plane.rest.delete("/agents/n1").await.status, 204);
    assert_eq!(agent.next().await.unwrap_err().code(), Code::Aborted);
    assert_eq!(
        agent.connect().await.unwrap_err().code(),
        Code::Unauthenticated
    );
    plane.rest.get("/agents/n1").await.refused(404, "not-found");
    let seen = agent.desired.clone();
    let token = plane.enrol_token();
    agent.credential = FakeAgent::try_enrol(plane.address, &token, "n1")
        .await
        .unwrap();
    agent.connect().await.unwrap();
    // The agent refuses an older revision of the same store: the server must go on from there.
    let state = agent.desired(|_| true).await;
    assert!(state.revision > seen.revision);
}
