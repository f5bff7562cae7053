//! Experiments through the doors: documents, overlap, the candidate on its lease, the end.

use crate::support::{FakeAgent, Lab, Plane, experiment, lab, none};
use phoenix_proto::control::{DesiredState, Mode, PlanState};
use std::time::Duration;

#[tokio::test]
async fn an_experiment_with_mistakes_or_without_its_pipelines_is_refused() {
    let plane = Plane::start().await;
    let rest = &plane.rest;
    let answer = rest
        .put("/experiments/e", "kind: Experiment\nspec: { window: 1 }")
        .await;
    answer.refused(422, "invalid-document");
    assert!(
        answer.at("/error/problems").as_array().unwrap().len() > 2,
        "{answer:?}"
    );
    let answer = rest
        .put("/experiments/e", &experiment("e", "nowhere"))
        .await;
    answer.refused(422, "invalid-document");
    assert_eq!(answer.text("/error/problems/0/path"), "spec.candidate");
    plane.pipeline("cut", "x").await;
    assert_eq!(
        rest.put("/experiments/e", &experiment("e", "cut"))
            .await
            .status,
        201
    );
    assert_eq!(
        rest.put("/experiments/e", &experiment("e", "cut"))
            .await
            .status,
        200
    );
    // Nobody to run it on.
    rest.post("/experiments/e/start", "")
        .await
        .refused(409, "no-agents");
    let shown = rest.get("/experiments/e").await;
    assert_eq!(shown.text("/document/spec/window"), "1s");
    assert!(shown.at("/verdict").is_null() && shown.at("/live").is_null());
}

#[tokio::test]
async fn a_goal_in_money_keeps_the_book_that_it_was_applied_with_and_warnings_are_shown() {
    let plane = Plane::start().await;
    let rest = &plane.rest;
    plane.pipeline("cut", "x").await;
    let goal = |book: &str| {
        let goal = format!("goal: {{ saving: money, target: 20%, priceBook: {book} }}");
        experiment("e", "cut").replace("goal: { saving: points, target: 20% }", &goal)
    };
    let refused = rest.put("/experiments/e", &goal("new-relic")).await;
    refused.refused(422, "invalid-document");
    assert_eq!(
        refused.text("/error/problems/0/path"),
        "spec.goal.priceBook"
    );
    assert!(
        refused
            .text("/error/problems/0/message")
            .contains("gives no amount")
    );
    let asks = "guardrails: { queries: [ { name: q, expr: 'topk(3, x)' } ] }, onSuccess";
    let text = goal("grafana-cloud-pro").replace("onSuccess", asks);
    let put = rest.put("/experiments/e", &text).await;
    assert_eq!(put.status, 201, "{put:?}");
    let book = put.at("/document/spec/goal/priceBook");
    assert_eq!(book["metadata"]["name"], "grafana-cloud-pro", "{book}");
    assert!(put.text("/warnings/0").contains("not checked"), "{put:?}");
    // By its name it is the same document.
    assert_eq!(rest.put("/experiments/e", &text).await.status, 200);
    let shown = rest.get("/experiments/e").await;
    assert_eq!(shown.at("/money").as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn an_agent_is_in_one_experiment_at_a_time() {
    let plane = Plane::start().await;
    plane.pipeline("cut", "x").await;
    let rest = &plane.rest;
    let _agent = plane.agent("n1").await;
    for name in ["e", "f"] {
        let put = rest
            .put(&format!("/experiments/{name}"), &experiment(name, "cut"))
            .await;
        assert_eq!(
            put.status, 201,
            "one that waits is in nobody's way: {put:?}"
        );
    }
    let started = rest.post("/experiments/e/start", "").await;
    assert_eq!(started.status, 200, "{started:?}");
    let other = rest.post("/experiments/f/start", "").await;
    other.refused(409, "experiment-overlap");
    assert!(other.text("/error/message").contains("experiment e runs"));
    let again = rest.post("/experiments/e/start", "").await;
    again.refused(409, "experiment-not-pending");
    assert!(!again.text("/error/message").contains("apply it again"));
    rest.post("/experiments/e/abort", "").await;
    let started = rest.post("/experiments/f/start", "").await;
    assert_eq!(started.status, 200, "{started:?}");
}

#[tokio::test]
async fn a_ramp_that_takes_every_agent_has_them_watch_what_the_next_hop_refuses() {
    let Lab {
        plane,
        agent,
        baseline,
        candidate,
    } = lab().await;
    let mut agents = vec![agent];
    for (all, leaves) in [(true, false), (false, false), (false, true)] {
        if agents.len() == 1 && !all {
            let mut other = plane.agent("n2").await;
            other.baseline(&baseline).await;
            other.report(PlanState::Healthy, &baseline).await;
            agents.push(other);
        }
        let steps = "step: ramp, by: node, to: [50%]";
        let document = experiment("e", "cut").replace("step: shadow", steps);
        let put = plane.rest.put("/experiments/e", &document).await;
        assert!(matches!(put.status, 200 | 201), "{put:?}");
        let started = plane.rest.post("/experiments/e/start", "").await;
        let chosen = started.text("/chosen/0");
        let id = started.text("/id");
        let agent = agents.iter_mut().find(|a| chosen.ends_with(&a.node));
        let of_run = |d: &DesiredState| d.experiment.as_ref().is_some_and(|e| e.experiment == id);
        let given = agent.unwrap().desired(of_run).await.experiment.unwrap();
        let rails = given.guardrails.unwrap();
        assert_eq!(rails.end_if_refused, all, "{chosen} of {}", agents.len());
        if leaves {
            // The other is gone before the step runs: nobody is left after all.
            let (chosen, others): (Vec<_>, Vec<_>) =
                agents.iter_mut().partition(|a| chosen.ends_with(&a.node));
            others.into_iter().for_each(FakeAgent::disconnect);
            let [agent] = <[_; 1]>::try_from(chosen).ok().unwrap();
            agent.report(PlanState::Active, &candidate).await;
            let watches = |d: &DesiredState| {
                let rails = d.experiment.as_ref().and_then(|e| e.guardrails.as_ref());
                rails.is_some_and(|rails| rails.end_if_refused)
            };
            agent.desired(watches).await;
        }
        plane.rest.post("/experiments/e/abort", "").await;
    }
}

#[tokio::test]
async fn the_candidate_comes_with_its_terms_and_its_lease_is_renewed() {
    let mut lab = lab().await;
    let given = lab.start().await;
    assert_eq!(given.candidate.as_ref().unwrap().hash, lab.candidate);
    assert_eq!(given.mode(), Mode::Shadow);
    assert_eq!((given.window_ms, given.lease_ms), (1000, 600));
    assert_eq!(given.protect, "[]");
    let revision = lab.agent.desired.revision;
    let begin = tokio::time::Instant::now();
    // Some may come because documents change: the step begins to run.
    for _ in 0..5 {
        let renewed = lab.agent.desired(|_| true).await;
        assert_eq!(
            (renewed.revision, renewed.experiment.is_some()),
            (revision, true)
        );
    }
    // A third of the lease each.
    assert!(
        begin.elapsed() >= Duration::from_millis(300),
        "{:?}",
        begin.elapsed()
    );
    let shown = lab.plane.rest.get("/experiments/e").await;
    assert_eq!(shown.text("/id"), given.experiment);
    assert_eq!(shown.text("/baselineHash"), lab.baseline);
    lab.plane
        .rest
        .delete("/experiments/e")
        .await
        .refused(409, "experiment-running");
    lab.plane
        .rest
        .delete("/pipelines/cut")
        .await
        .refused(409, "pipeline-in-experiment");
}

#[tokio::test]
async fn a_running_experiment_of_a_server_before_takes_its_file_again() {
    let lab = lab().await;
    let rest = &lab.plane.rest;
    let file = experiment("e", "cut");
    // As it was stored where nothing was written.
    let stored = file.replacen("window", "guardrails: { maxExportErrors: 0 }, window", 1);
    rest.put("/experiments/e", &stored).await;
    let id = rest.post("/experiments/e/start", "").await.text("/id");
    let again = rest.put("/experiments/e", &file).await;
    assert_eq!((again.status, again.text("/id")), (200, id), "{again:?}");
    for other in [
        "maxExportErrors: 1",
        "maxExportErrors: null",
        "maxSilent: 1",
    ] {
        let other = file.replacen("window", &format!("guardrails: {{ {other} }}, window"), 1);
        let refused = rest.put("/experiments/e", &other).await;
        refused.refused(409, "experiment-running");
    }
}

#[tokio::test]
async fn aborting_takes_the_candidate_back_at_once() {
    let mut lab = lab().await;
    lab.start().await;
    let rest = &lab.plane.rest;
    let ended = rest
        .post("/experiments/e/abort", "{ \"reason\": \"enough\" }")
        .await;
    assert_eq!(
        (
            ended.text("/experiment/phase"),
            ended.text("/experiment/reason"),
        ),
        ("Cancelled".into(), "enough".into())
    );
    lab.agent.desired(none).await;
    // Said twice is said once.
    let again = rest.post("/experiments/e/abort", "").await;
    assert_eq!(again.text("/experiment/reason"), "enough");
    assert_eq!(again.at("/changed").as_bool(), Some(false));
    rest.post("/experiments/e/start", "")
        .await
        .refused(409, "experiment-not-pending");
    rest.post("/experiments/e/promote", "")
        .await
        .refused(409, "not-promotable");
    // Applied again it is a new run under a new id.
    let again = rest.put("/experiments/e", &experiment("e", "cut")).await;
    assert_ne!(again.text("/id"), ended.text("/experiment/id"));
    assert_eq!(again.text("/phase"), "Pending");
}

#[tokio::test]
async fn a_change_of_the_assignment_takes_effect_and_ends_the_experiment() {
    let mut lab = lab().await;
    lab.start().await;
    let next = lab.plane.pipeline("base", "other.*").await;
    let state = lab.agent.baseline(&next).await;
    assert!(none(&state));
    let shown = lab.plane.rest.get("/experiments/e").await;
    assert_eq!(shown.text("/phase"), "Cancelled");
    assert!(shown.text("/reason").contains("n1"), "{shown:?}");
}

#[tokio::test]
async fn a_candidate_that_the_agent_refused_is_taken_back_from_it() {
    let mut lab = lab().await;
    lab.start().await;
    let candidate = lab.candidate.clone();
    lab.agent.report(PlanState::RolledBack, &candidate).await;
    let state = lab.agent.desired(none).await;
    assert_eq!(state.baseline.unwrap().hash, lab.baseline);
}
