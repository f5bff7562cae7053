//! Experiments through the doors: documents, overlap, the candidate on its lease, windows, the end.

use crate::support::{FakeAgent, Plane, experiment};
use phoenix_proto::control::agent_message::Message as FromAgent;
use phoenix_proto::control::server_message::Message as ToAgent;
use phoenix_proto::control::{
    Arm, ArmReport, DesiredState, ExperimentAssignment, Goodbye, Ledger, Mode, PlanState, Volume,
    WindowReport,
};
use std::time::Duration;

pub struct Lab {
    pub plane: Plane,
    pub agent: FakeAgent,
    pub baseline: String,
    pub candidate: String,
}

pub async fn lab() -> Lab {
    lab_on(Plane::start().await).await
}

async fn lab_on(plane: Plane) -> Lab {
    let baseline = plane.pipeline("base", "debug.*").await;
    let candidate = plane.pipeline("cut", "trace.*").await;
    plane.assign("a", "base", 0).await;
    let mut agent = plane.agent("n1").await;
    agent.baseline(&baseline).await;
    agent.report(PlanState::Healthy, &baseline).await;
    Lab {
        plane,
        agent,
        baseline,
        candidate,
    }
}

impl Lab {
    /// Applies and starts `e`; the agent takes the candidate.
    pub async fn start(&mut self) -> ExperimentAssignment {
        let rest = &self.plane.rest;
        let put = rest.put("/experiments/e", &experiment("e", "cut")).await;
        assert!(matches!(put.status, 200 | 201), "{put:?}");
        let started = rest.post("/experiments/e/start", "").await;
        assert_eq!(started.text("/phase"), "Initializing", "{started:?}");
        let state = self.agent.desired(|d| d.experiment.is_some()).await;
        let given = state.experiment.unwrap();
        self.agent.report(PlanState::Active, &self.candidate).await;
        given
    }
}

pub fn none(state: &DesiredState) -> bool {
    state.experiment.is_none()
}

fn window(of: &ExperimentAssignment, baseline: &str, start: u64, out: u64) -> WindowReport {
    let candidate = of.candidate.as_ref().unwrap();
    let arm = |arm: Arm, exported: u64| ArmReport {
        arm: arm.into(),
        hash: match arm {
            Arm::Candidate => candidate.hash.clone(),
            _ => baseline.into(),
        },
        ledger: Some(Ledger {
            received: 100,
            exported,
            filtered: 100 - exported,
            ..Ledger::default()
        }),
        bytes_in: 1000,
        bytes_out: 10 * exported,
        ..ArmReport::default()
    };
    WindowReport {
        experiment: of.experiment.clone(),
        experiment_revision: of.experiment_revision,
        incarnation: "n1-1".into(),
        start_ms: start,
        end_ms: start + 1000,
        arms: vec![arm(Arm::Baseline, 100), arm(Arm::Candidate, out)],
        ..WindowReport::default()
    }
}

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

#[tokio::test]
async fn windows_are_stored_once_and_acknowledged_always() {
    let mut lab = lab().await;
    let given = lab.start().await;
    for start in [10_000, 11_000, 12_000, 12_000] {
        let ack = lab
            .agent
            .window(window(&given, &lab.baseline, start, 40))
            .await;
        assert_eq!(
            (ack.start_ms, ack.experiment.as_str()),
            (start, given.experiment.as_str())
        );
    }
    let rest = &lab.plane.rest;
    let windows = rest.get("/experiments/e/windows").await;
    assert_eq!(windows.body.as_array().unwrap().len(), 3);
    assert_eq!(
        windows.at("/1/candidate/ledger/exported").as_u64(),
        Some(40)
    );
    let events = rest.get("/events").await;
    let stored = events.body.as_array().unwrap().iter();
    assert_eq!(
        stored.filter(|e| e["kind"] == "experiment.window").count(),
        3
    );
    let live = rest.get("/experiments/e").await;
    // The first is warm-up, for the verdict and here.
    assert_eq!(live.at("/live/comparable").as_u64(), Some(2));
    assert_eq!(live.at("/live/void").as_u64(), Some(1));
    assert_eq!(live.at("/live/baseline/pointsOut").as_u64(), Some(200));
    assert_eq!(live.at("/live/candidate/pointsOut").as_u64(), Some(80));
    // Nobody measured it.
    assert!(live.at("/live/candidate/cpuSeconds").is_null());
    // Of an experiment that is not known: let go.
    let mut stray = window(&given, &lab.baseline, 13_000, 40);
    stray.experiment = "unknown".into();
    lab.agent.window(stray).await;
    // A new run leaves nothing of the last one behind.
    let rest = &lab.plane.rest;
    rest.post("/experiments/e/abort", "").await;
    rest.put("/experiments/e", &experiment("e", "cut")).await;
    let left = lab.plane.app.windows("default", &given.experiment).await;
    assert_eq!(left.unwrap().len(), 0);
}

/// `Queries` as agents of before read it.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Queries1 {
    step_ms: u64,
    names: serde_json::Value,
    inner: Vec<serde_json::Value>,
}

#[tokio::test]
async fn what_agents_of_before_do_not_know_is_not_in_what_they_read() {
    let mut lab = lab().await;
    let asks = "prometheus: { url: 'http://127.0.0.1:1' }, onSuccess";
    let text = experiment("e", "cut").replace("onSuccess", asks);
    let rest = &lab.plane.rest;
    assert_eq!(rest.put("/experiments/e", &text).await.status, 201);
    rest.post("/experiments/e/start", "").await;
    let state = lab.agent.desired(|d| d.experiment.is_some()).await;
    let given = state.experiment.unwrap();
    assert!(given.query_volume);
    let read: Queries1 = serde_json::from_str(&given.queries).unwrap();
    assert_eq!((read.step_ms, read.inner.len()), (1000, 0));
    assert!(read.names["promote"].is_array() && read.names["style"].is_string());
    assert_eq!(read.names.as_object().map(|names| names.len()), Some(2));
}

#[tokio::test]
async fn a_restart_in_the_middle_goes_on_with_the_experiment_and_its_windows() {
    let mut lab = lab().await;
    let given = lab.start().await;
    lab.agent
        .window(window(&given, &lab.baseline, 10_000, 40))
        .await;
    lab.plane = lab.plane.restart().await;
    lab.agent.connect().await.unwrap();
    let state = lab.agent.desired(|_| true).await;
    let again = state.experiment.unwrap();
    assert_eq!(again.experiment, given.experiment);
    // Sent again, because the acknowledgement may have been lost.
    lab.agent
        .window(window(&given, &lab.baseline, 10_000, 40))
        .await;
    let windows = lab.plane.rest.get("/experiments/e/windows").await;
    assert_eq!(windows.body.as_array().unwrap().len(), 1);
    while let Ok(word) = tokio::time::timeout(Duration::from_millis(50), lab.agent.next()).await {
        assert!(matches!(word.unwrap(), ToAgent::Desired(_)));
    }
}

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
    let runs = |a: &crate::support::Answer| a.at("/agents/0/state") == "runs";
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
    let deaths = |a: &crate::support::Answer| a.at("/agents/0/deaths").as_u64();
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
    let back = |a: &crate::support::Answer| a.body.to_string().contains("the-next");
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

#[tokio::test]
async fn live_figures_leave_out_what_is_out_of_scope_and_count_windows() {
    let mut lab = lab().await;
    let given = lab.start().await;
    let rest = &lab.plane.rest;
    let outside = Some(Volume {
        points_in: 30,
        points_out: 20,
        bytes_in: 300,
        bytes_out: 200,
        ..Volume::default()
    });
    for start in [10_000, 11_000, 12_000] {
        let mut report = window(&given, &lab.baseline, start, 40);
        report.arms[0].unassigned = outside;
        report.arms[0].compared_bytes_in = Some(700);
        report.arms[0].compared_bytes_out = Some(750);
        lab.agent.window(report).await;
    }
    let live = rest.get("/experiments/e").await;
    for (path, n) in [
        ("/live/windows", 2),
        ("/live/baseline/pointsIn", 140),
        ("/live/baseline/pointsOut", 160),
        ("/live/baseline/bytesOut", 1500),
        ("/live/candidate/pointsOut", 80),
        ("/live/candidate/bytesOut", 800),
    ] {
        assert_eq!(live.at(path).as_u64(), Some(n), "{path}: {live:?}");
    }
    // An agent of before they were counted: the rest of its bytes holds what surrounds points outside, too.
    let mut report = window(&given, &lab.baseline, 13_000, 40);
    report.arms[0].unassigned = outside;
    lab.agent.window(report).await;
    let live = rest.get("/experiments/e").await;
    assert!(live.at("/live/baseline/bytesOut").is_null(), "{live:?}");
    assert_eq!(live.at("/live/baseline/pointsOut").as_u64(), Some(240));
}
