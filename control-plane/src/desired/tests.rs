//! Cases of the one function that decides what an agent runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::documents::{
    AssignmentSpec, By, ExportErrors, Kind, Selector, StepSpec, parse_experiment,
};
use crate::model::{AgentStatus, Quarantined};

fn selector(pairs: &[(&str, &str)]) -> Selector {
    Selector {
        match_labels: pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect(),
    }
}

fn assignment(name: &str, labels: &[(&str, &str)], hash: &str, priority: i64) -> Assignment {
    Assignment {
        tenant: "default".into(),
        name: name.into(),
        row: 1,
        spec: AssignmentSpec {
            selector: selector(labels),
            pipeline: hash.into(),
            priority,
        },
        hash: hash.into(),
        updated_ms: 0,
        actor: "admin".into(),
    }
}

fn agent(labels: &[(&str, &str)]) -> Agent {
    Agent {
        identity: Identity {
            tenant: "default".into(),
            cluster: "default".into(),
            node: "n1".into(),
        },
        row: 1,
        labels: selector(labels).match_labels,
        version: "1".into(),
        incarnation: "i".into(),
        first_seen_ms: 0,
        last_seen_ms: 0,
        superseded: 0,
        revision: 0,
        content: String::new(),
        status: AgentStatus::default(),
        healthy_hash: None,
        quarantine: Vec::new(),
        away: false,
        lost_ms: None,
        says_goodbye: false,
        stopped: String::new(),
        died: None,
    }
}

fn running(labels: &str, baseline: Option<&str>, candidate: &str) -> Experiment {
    let text = format!(
        "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: e }}\nspec: {{ scope: {{ selector: \
         {{ matchLabels: {labels} }} }}, candidate: c, goal: {{ saving: points, target: 0.2 }} }}"
    );
    Experiment {
        tenant: "default".into(),
        name: "e".into(),
        id: "uuid".into(),
        revision: 1,
        row: 1,
        spec: parse_experiment(&text).unwrap().spec,
        holds: false,
        taken_back: false,
        phase: Phase::Running,
        step: "shadow".into(),
        at: 0,
        chosen: vec!["default/default/n1".into()],
        chosen_all: false,
        assigned: Default::default(),
        results: Vec::new(),
        step_started_ms: None,
        reason: String::new(),
        baseline_hash: baseline.map(Into::into),
        candidate_hash: candidate.into(),
        created_ms: 0,
        phase_ms: 0,
        started_ms: Some(0),
        ended_ms: None,
        promoted_to: None,
        witness: Vec::new(),
        verdict: None,
        memory: serde_json::Value::Null,
        actor: "admin".into(),
    }
}

fn refused(hash: &str, state: &str, boots: u32) -> Quarantined {
    Quarantined {
        hash: hash.into(),
        state: state.into(),
        reason: String::new(),
        version: "1".into(),
        boots,
        incarnation: "i".into(),
    }
}

#[test]
fn without_an_assignment_nothing_is_desired() {
    let other = [assignment("a", &[("env", "prod")], "h1", 0)];
    assert_eq!(desired(&other, &[], &agent(&[])), Desired::default());
}

#[test]
fn the_highest_priority_that_matches_wins() {
    let all = [
        assignment("low", &[], "h1", 0),
        assignment("high", &[("env", "prod")], "h2", 5),
        assignment("other", &[("env", "test")], "h3", 9),
    ];
    let got = desired(&all, &[], &agent(&[("env", "prod")]));
    assert_eq!(got.baseline.as_deref(), Some("h2"));
    assert_eq!(
        desired(&all, &[], &agent(&[])).baseline.as_deref(),
        Some("h1")
    );
}

#[test]
fn a_node_can_be_selected_by_its_name() {
    let all = [
        assignment("all", &[], "h1", 0),
        assignment("one", &[("phoenix.node", "n1")], "h2", 1),
    ];
    assert_eq!(
        desired(&all, &[], &agent(&[])).baseline.as_deref(),
        Some("h2")
    );
}

#[test]
fn the_assignments_of_another_tenant_do_not_count() {
    let mut foreign = assignment("a", &[], "h1", 0);
    foreign.tenant = "acme".into();
    assert_eq!(desired(&[foreign], &[], &agent(&[])).baseline, None);
}

#[test]
fn two_selectors_tie_unless_a_label_tells_them_apart() {
    let all = [assignment("a", &[("env", "prod")], "h1", 0)];
    assert!(tie(&all, &assignment("b", &[("zone", "1")], "h2", 0)).is_some());
    assert!(tie(&all, &assignment("b", &[("env", "test")], "h2", 0)).is_none());
    assert!(tie(&all, &assignment("b", &[("zone", "1")], "h2", 1)).is_none());
    assert!(tie(&all, &assignment("a", &[("env", "prod")], "h2", 0)).is_none());
}

#[test]
fn a_running_experiment_adds_its_candidate_where_its_selector_matches() {
    let all = [assignment("a", &[], "h1", 0)];
    let e = [running("{ env: prod }", Some("h1"), "h2")];
    let arm = desired(&all, &e, &agent(&[("env", "prod")]))
        .experiment
        .unwrap();
    assert_eq!((arm.candidate.as_str(), arm.window_ms), ("h2", 10_000));
    assert_eq!(desired(&all, &e, &agent(&[])).experiment, None);
}

#[test]
fn an_agent_acts_on_failed_exports_where_the_document_has_a_number_and_it_runs_the_candidate() {
    let all = [assignment("a", &[], "a", 0)];
    let limit = |written: ExportErrors, chosen: &[&str]| {
        let mut e = running("{}", None, "c");
        e.baseline_hash = Some("a".into());
        e.spec.guardrails.max_export_errors = written;
        e.spec.steps = vec![StepSpec::plain(Kind::Ramp)];
        e.chosen = chosen.iter().map(|c| (*c).into()).collect();
        let wanted = desired(&all, &[e], &agent(&[]));
        wanted.experiment.unwrap().guardrails.max_export_errors
    };
    let it = ["default/default/n1"];
    assert_eq!(limit(ExportErrors::default(), &it), None);
    assert_eq!(limit(ExportErrors::AtMost(0), &it), Some(0));
    assert_eq!(limit(ExportErrors::AtMost(0), &[]), None, "the baseline's");
}

#[test]
fn a_candidate_that_is_refused_ends_by_itself_where_no_other_agent_runs_the_baseline() {
    let all = [assignment("a", &[], "a", 0)];
    let ends_of = |step: StepSpec, written: ExportErrors, chosen_all: bool| {
        let mut e = running("{}", None, "c");
        e.baseline_hash = Some("a".into());
        e.chosen_all = chosen_all;
        e.spec.guardrails.max_export_errors = written;
        e.spec.steps = vec![step];
        let wanted = desired(&all, &[e], &agent(&[]));
        wanted.experiment.unwrap().guardrails.end_if_refused
    };
    let ends = |step: StepSpec, written: ExportErrors| ends_of(step, written, false);
    let compared = ExportErrors::default();
    let ramp = |by| StepSpec {
        by: Some(by),
        entity: vec!["host.name".into()],
        ..StepSpec::plain(Kind::Ramp)
    };
    assert!(ends(StepSpec::plain(Kind::Bake), compared));
    assert!(ends(ramp(By::Entity), compared));
    assert!(!ends(ramp(By::Node), compared), "the judge compares");
    assert!(!ends(ramp(By::Both), compared));
    assert!(!ends(StepSpec::plain(Kind::Shadow), compared));
    assert!(!ends(StepSpec::plain(Kind::Aa), compared));
    assert!(!ends(StepSpec::plain(Kind::Bake), ExportErrors::NotJudged));
    assert!(
        !ends(StepSpec::plain(Kind::Bake), ExportErrors::AtMost(9)),
        "a number of its own"
    );
    // A portion that is all there are: nobody runs the baseline alone.
    for by in [By::Node, By::Both] {
        assert!(ends_of(ramp(by), compared, true), "{by:?}");
        assert!(!ends_of(ramp(by), ExportErrors::NotJudged, true));
    }
    assert!(!ends_of(StepSpec::plain(Kind::Shadow), compared, true));
}

#[test]
fn only_while_it_begins_or_runs_an_experiment_has_a_candidate() {
    let all = [assignment("a", &[], "h1", 0)];
    for phase in [Phase::Pending, Phase::Analyzing, Phase::Cancelled] {
        let mut e = running("{}", Some("h1"), "h2");
        e.phase = phase;
        assert_eq!(
            desired(&all, &[e], &agent(&[])).experiment,
            None,
            "{phase:?}"
        );
    }
}

#[test]
fn an_agent_that_runs_another_baseline_is_not_in_the_experiment() {
    let all = [
        assignment("a", &[], "h1", 0),
        assignment("b", &[("phoenix.node", "n1")], "h9", 1),
    ];
    let e = [running("{}", Some("h1"), "h2")];
    assert_eq!(desired(&all, &e, &agent(&[])).experiment, None);
}

#[test]
fn a_named_baseline_takes_the_place_of_the_assigned_one_while_it_runs() {
    let all = [assignment("a", &[], "h1", 0)];
    let mut e = running("{}", Some("h7"), "h2");
    e.spec.baseline = Some("p7".into());
    let got = desired(&all, &[e], &agent(&[]));
    assert_eq!(got.baseline.as_deref(), Some("h7"));
    assert!(got.experiment.is_some());
}

#[test]
fn a_refused_pipeline_gives_way_to_the_last_healthy_one() {
    let all = [assignment("a", &[], "bad", 0)];
    for state in ["rejected", "rolled-back"] {
        let mut a = agent(&[]);
        a.quarantine = vec![refused("bad", state, 0)];
        assert_eq!(desired(&all, &[], &a).baseline, None);
        a.healthy_hash = Some("good".into());
        assert_eq!(desired(&all, &[], &a).baseline.as_deref(), Some("good"));
    }
}

#[test]
fn an_unproven_pipeline_is_sent_twice_more_each_time_as_new_content() {
    let all = [assignment("a", &[], "h1", 0)];
    let mut seen = std::collections::BTreeSet::new();
    for boots in 0..3 {
        let mut a = agent(&[]);
        a.quarantine = vec![refused("h1", "unproven", boots)];
        let got = desired(&all, &[], &a);
        assert_eq!(got.baseline.as_deref(), Some("h1"));
        assert!(seen.insert(got.content()), "attempt {boots} is not new");
    }
    let mut a = agent(&[]);
    a.quarantine = vec![refused("h1", "unproven", 3)];
    assert_eq!(desired(&all, &[], &a).baseline, None);
}

#[test]
fn a_candidate_that_the_agent_refused_is_not_sent_again() {
    let all = [assignment("a", &[], "h1", 0)];
    let e = [running("{}", Some("h1"), "h2")];
    let mut a = agent(&[]);
    a.quarantine = vec![refused("h2", "rolled-back", 0)];
    let got = desired(&all, &e, &a);
    assert_eq!(
        (got.baseline.as_deref(), got.experiment),
        (Some("h1"), None)
    );
}

#[test]
fn the_fingerprint_follows_the_content_and_nothing_else() {
    let all = [assignment("a", &[], "h1", 0)];
    let one = desired(&all, &[], &agent(&[("env", "prod")]));
    let two = desired(&all, &[], &agent(&[("env", "test")]));
    assert_eq!(one.content(), two.content());
    let e = [running("{}", Some("h1"), "h2")];
    assert_ne!(one.content(), desired(&all, &e, &agent(&[])).content());
}
