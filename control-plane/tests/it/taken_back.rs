//! What a person, a rollback or a quarantine takes back after a verdict, and what that leaves.

use crate::support::{Lab, experiment, lab, none};
use phoenix_control_plane::app::Error;
use phoenix_control_plane::model::{Phase, PhaseChange};
use phoenix_control_plane::store;
use phoenix_proto::control::DesiredState;
use serde_json::json;

impl Lab {
    /// Ends an experiment as the driver does.
    async fn ends(&self, name: &str, change: PhaseChange, promote: bool) {
        let app = &self.plane.app;
        loop {
            let e = app.experiment("default", name).await.unwrap();
            let fence = app.lease("driver", 5_000).await.unwrap().unwrap();
            match app.complete(&fence, &e, change.clone(), promote).await {
                Ok(_) => return,
                // The driver was first, with an earlier phase.
                Err(Error::Store(store::Error::Conflict)) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }

    /// Another experiment finds harm in the same candidate.
    async fn quarantined(&self) {
        let other = experiment("f", "cut").replace("prod", "test");
        self.plane.rest.put("/experiments/f", &other).await;
        let harm = PhaseChange {
            phase: Some(Phase::Failed),
            quarantine: Some("it panics".into()),
            ..PhaseChange::default()
        };
        self.ends("f", harm, false).await;
    }
}

/// The verdict is promote; the candidate is held, or not.
fn good(holds: bool) -> PhaseChange {
    PhaseChange {
        phase: Some(Phase::Completed),
        reason: "promote: all is well".into(),
        verdict: Some(json!({ "outcome": "promote", "reason": "all is well" })),
        holds,
        ..PhaseChange::default()
    }
}

#[tokio::test]
async fn a_hold_that_ended_without_a_promotion_is_not_promoted_later() {
    let mut lab = lab().await;
    lab.plane.pipeline("other", "other.*").await;
    for how in [
        "abort",
        "assignment",
        "quarantine",
        "abort of what was not held",
    ] {
        lab.start().await;
        lab.ends("e", good(!how.ends_with("not held")), false).await;
        let rest = &lab.plane.rest;
        match how {
            "assignment" => {
                lab.plane.assign("a", "other", 0).await;
            }
            "quarantine" => {
                lab.quarantined().await;
                let lifted = rest.delete("/quarantine/cut").await;
                assert_eq!(lifted.status, 200, "{lifted:?}");
            }
            _ => {
                let did = rest.post("/experiments/e/abort", "").await;
                assert_eq!(did.at("/changed").as_bool(), Some(true), "{did:?}");
                let again = rest.post("/experiments/e/abort", "").await;
                assert_eq!(again.at("/changed").as_bool(), Some(false), "{again:?}");
            }
        }
        let shown = rest.get("/experiments/e").await;
        assert_eq!(shown.at("/holds").as_bool(), Some(false), "{how}");
        assert_eq!(shown.text("/verdict/outcome"), "promote");
        for body in ["", "{ \"force\": true }"] {
            let refused = rest.post("/experiments/e/promote", body).await;
            refused.refused(409, "not-promotable");
            let said = refused.text("/error/message");
            assert!(
                said.contains("taken back") && said.contains(&shown.text("/reason")),
                "{how}: {said}"
            );
        }
        if how == "assignment" {
            lab.plane.assign("a", "base", 0).await;
        }
        let baseline = lab.baseline.clone();
        let back =
            |d: &DesiredState| none(d) && d.baseline.as_ref().is_some_and(|b| b.hash == baseline);
        lab.agent.desired(back).await;
    }
}

#[tokio::test]
async fn a_rollback_goes_to_nothing_that_an_abort_or_a_quarantine_took_away() {
    let mut lab = lab().await;
    lab.start().await;
    lab.ends("e", good(false), true).await;
    let rest = &lab.plane.rest;
    assert_eq!(
        rest.get("/assignments/a").await.text("/hash"),
        lab.candidate
    );
    let did = rest.post("/experiments/e/abort", "").await;
    assert!(did.text("/did").contains("base ("), "{did:?}");
    let refused = rest.post("/assignments/a/rollback", "").await;
    refused.refused(409, "no-earlier-pipeline");
    let said = refused.text("/error/message");
    assert!(said.contains(&lab.candidate[..12]), "{said}");
    let shown = rest.get("/assignments/a").await;
    assert_eq!(shown.text("/hash"), lab.baseline);
    assert_eq!(shown.text("/pipelineName"), "base");

    // Nor can an abort lead to what is not there any more.
    lab.start().await;
    lab.ends("e", good(false), true).await;
    let rest = &lab.plane.rest;
    assert_eq!(rest.delete("/pipelines/base").await.status, 204);
    let did = rest.post("/experiments/e/abort", "").await;
    assert_eq!(did.at("/changed").as_bool(), Some(false), "{did:?}");
    let said = did.text("/did");
    assert!(
        said.contains("was deleted") && said.contains("rollback a --to"),
        "{said}"
    );
    assert_eq!(lab.plane.pipeline("base", "debug.*").await, lab.baseline);
    rest.post("/experiments/e/abort", "").await;

    // Before the baseline there was another one; the candidate came in between, by hand, and was quarantined.
    let older = lab.plane.pipeline("older", "older.*").await;
    lab.plane.assign("a", "older", 0).await;
    lab.plane.assign("a", "cut", 0).await;
    lab.plane.assign("a", "base", 0).await;
    let to = |a: &crate::support::Answer| (a.text("/toName"), a.text("/to"));
    lab.quarantined().await;
    let back = rest.post("/assignments/a/rollback", "").await;
    assert_eq!(to(&back), ("older".into(), older.clone()), "{back:?}");
    assert_eq!(back.text("/fromName"), "base");
}

#[tokio::test]
async fn what_is_assigned_after_the_verdict_is_not_replaced_without_force() {
    let mut lab = lab().await;
    let other = lab.plane.pipeline("other", "other.*").await;
    // A baseline that is named and one that was assigned.
    for named in [false, true] {
        lab.plane.assign("a", "base", 0).await;
        let rest = &lab.plane.rest;
        let mut document = experiment("e", "cut");
        if named {
            document = document.replace("candidate:", "baseline: base, candidate:");
        }
        rest.put("/experiments/e", &document).await;
        let started = rest.post("/experiments/e/start", "").await;
        assert_eq!(started.status, 200, "{started:?}");
        lab.ends("e", good(false), false).await;
        lab.plane.assign("a", "other", 0).await;
        let rest = &lab.plane.rest;
        let refused = rest.post("/experiments/e/promote", "").await;
        refused.refused(409, "not-promotable");
        let said = refused.text("/error/message");
        let now = format!("assignment a leads agent n1 to other ({}", &other[..12]);
        assert!(said.contains("base (") && said.contains(&now), "{said}");
        assert_eq!(rest.get("/assignments/a").await.text("/hash"), other);
        // Back to what it was compared with: nothing stands against it.
        if named {
            lab.plane.assign("a", "base", 0).await;
        }
        let body = if named { "" } else { "{ \"force\": true }" };
        let promoted = lab.plane.rest.post("/experiments/e/promote", body).await;
        assert_eq!(promoted.text("/promotedTo"), "a", "{promoted:?}");
        lab.agent.baseline(&lab.candidate).await;
    }
}

#[tokio::test]
async fn with_a_baseline_that_is_named_what_was_assigned_before_stays_in_nobodys_way() {
    let lab = lab().await;
    let rest = &lab.plane.rest;
    let other = lab.plane.pipeline("other", "other.*").await;
    let document = experiment("e", "cut").replace("candidate:", "baseline: other, candidate:");
    for moved in [true, false] {
        lab.plane.assign("a", "base", 0).await;
        rest.put("/experiments/e", &document).await;
        let started = rest.post("/experiments/e/start", "").await;
        assert_eq!(started.text("/baselineHash"), other, "{started:?}");
        lab.ends("e", good(false), false).await;
        if moved {
            // An older one would take over.
            rest.delete("/assignments/a").await;
            let refused = rest.post("/experiments/e/promote", "").await;
            refused.refused(409, "not-promotable");
            let said = refused.text("/error/message");
            assert!(said.contains("nothing is assigned to agent n1"), "{said}");
        } else {
            // The same pipeline, of another priority.
            lab.plane.assign("a", "base", 7).await;
            let promoted = rest.post("/experiments/e/promote", "").await;
            assert_eq!(promoted.text("/promotedTo"), "a", "{promoted:?}");
        }
    }
}

#[tokio::test]
async fn an_assignment_that_leads_to_what_was_quarantined_is_shown_and_not_applied_again() {
    let mut lab = lab().await;
    lab.plane.assign("a", "cut", 0).await;
    lab.agent.baseline(&lab.candidate).await;
    let shown = async |lab: &Lab| {
        let agent = lab.plane.rest.get("/agents/n1").await;
        let assignment = lab.plane.rest.get("/assignments/a").await;
        [
            agent.at("/assignedQuarantined").clone(),
            assignment.at("/quarantined").clone(),
        ]
    };
    let nothing = [json!(null), json!(null)];
    assert_eq!(shown(&lab).await, nothing);
    lab.quarantined().await;
    let why = json!("experiment f found harm: it panics");
    assert_eq!(shown(&lab).await, [why.clone(), why]);
    let again = lab.plane.assign("a", "cut", 0).await;
    again.refused(409, "quarantined");
    lab.plane
        .assign("b", "cut", 1)
        .await
        .refused(409, "quarantined");
    lab.plane.rest.delete("/quarantine/cut").await;
    assert_eq!(shown(&lab).await, nothing);
    assert_eq!(lab.plane.assign("a", "cut", 0).await.status, 200);
}

#[tokio::test]
async fn a_candidate_that_is_assigned_already_is_promoted_without_a_change() {
    let mut lab = lab().await;
    let rest = &lab.plane.rest;
    // The experiment names its baseline; what is assigned is the candidate.
    let document = experiment("e", "cut").replace("candidate:", "baseline: base, candidate:");
    rest.put("/experiments/e", &document).await;
    lab.plane.assign("a", "cut", 0).await;
    let candidate = lab.candidate.clone();
    lab.agent.baseline(&candidate).await;
    rest.post("/experiments/e/start", "").await;
    lab.ends("e", good(true), false).await;
    let promoted = rest.post("/experiments/e/promote", "").await;
    assert_eq!(promoted.text("/promotedTo"), "a", "{promoted:?}");
    let history = rest.get("/assignments/a/history").await;
    assert_eq!(history.text("/0/cause"), "applied");
    // Nor is it taken away by who takes nothing but the promotion back.
    let did = rest.post("/experiments/e/abort", "").await;
    assert!(did.text("/did").contains("rollback a --to"), "{did:?}");
    assert_eq!(did.at("/changed").as_bool(), Some(false), "{did:?}");
    assert_eq!(rest.get("/assignments/a").await.text("/hash"), candidate);
}
