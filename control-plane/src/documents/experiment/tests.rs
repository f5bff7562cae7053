//! What an experiment's document says, what is filled in, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn document(spec: &str) -> String {
    format!(
        "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: e }}\n\
         spec: {{ candidate: c, goal: {{ saving: points, target: 20% }}{spec} }}\n"
    )
}

fn spec(rest: &str) -> ExperimentSpec {
    parse_experiment(&document(rest)).unwrap().spec
}

fn paths(text: &str) -> Vec<String> {
    let problems = parse_experiment(text).unwrap_err();
    problems.into_iter().map(|p| p.path).collect()
}

#[test]
fn defaults_of_an_experiment_are_those_of_the_reference() {
    let spec = spec("");
    assert_eq!(spec.scope, Scope::default());
    assert_eq!(spec.window, Span::from_secs(10));
    assert_eq!(spec.max_duration, Span::from_secs(3600));
    assert_eq!(spec.on_success, OnSuccess::Hold);
    assert_eq!(spec.on_failure, OnFailure::Rollback);
    assert!((spec.goal.target.0 - 0.2).abs() < 1e-12);
    assert!((spec.guardrails.protected_retention.0 - 1.0).abs() < 1e-12);
    assert!((spec.guardrails.max_missing.0 - 0.5).abs() < 1e-12);
    assert_eq!(spec.guardrails.max_export_errors, Some(0));
    let course = spec.course();
    assert_eq!(course.len(), 1);
    assert_eq!(
        (course[0].name.as_str(), course[0].min_windows),
        ("shadow", 6)
    );
}

#[test]
fn what_is_read_is_what_is_shown() {
    let text = document(", steps: [ { step: ramp, by: entity, entity: [a], to: [12.5%] } ]");
    let read = parse_experiment(&text).unwrap();
    let json = serde_json::to_string(&read).unwrap();
    assert_eq!(parse_experiment(&json).unwrap().spec, read.spec);
    assert!(json.contains(r#""to":["12.5%"]"#), "{json}");
}

#[test]
fn a_ramp_is_laid_out_portion_by_portion() {
    let steps = [StepSpec {
        entity: vec!["host.name".into()],
        by: Some(By::Entity),
        ..StepSpec::plain(Kind::Ramp)
    }];
    let names =
        |steps: &[StepSpec]| -> Vec<String> { course(steps).into_iter().map(|s| s.name).collect() };
    assert_eq!(
        names(&steps),
        ["ramp 5%", "ramp 25%", "ramp 50%", "ramp 100%"]
    );
    assert_eq!(course(&steps)[3].share, Share::Everything);
    let steps = [
        StepSpec::plain(Kind::Lint),
        StepSpec::plain(Kind::Ramp),
        StepSpec::plain(Kind::Bake),
    ];
    assert_eq!(
        names(&steps),
        [
            "lint",
            "ramp 1 node",
            "ramp 5%",
            "ramp 25%",
            "ramp 50%",
            "ramp 100%",
            "bake"
        ]
    );
    let compares: Vec<bool> = course(&steps).iter().map(Step::compares).collect();
    assert_eq!(compares, [false, true, true, true, true, false, false]);
}

#[test]
fn a_portion_is_at_least_one_node_and_at_most_all() {
    for (portion, nodes, expected) in [
        (Portion::Nodes(1), 3, 1),
        (Portion::Nodes(9), 3, 3),
        (Portion::Percent(5.0), 3, 1),
        (Portion::Percent(50.0), 3, 2),
        (Portion::Percent(100.0), 3, 3),
        (Portion::Percent(25.0), 0, 0),
    ] {
        assert_eq!(portion.of(nodes), expected, "{portion:?} of {nodes}");
    }
}

#[test]
fn every_mistake_of_an_experiment_is_told_at_once_with_its_path() {
    let yaml = "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: { name: Bad Name }\n\
                spec: { candidate: '', baseline: '', window: 100ms, maxDuration: 100ms,\n\
                scope: { match: [ { metrc: x } ] },\n\
                steps: [ { step: shadow, minWindows: 0, to: [5%], entity: [x], by: node, mode: split, percent: 3 },\n\
                { step: ramp, by: both, percent: 120, to: [50%, 1 node, 0 nodes, 300%] },\n\
                { step: aa, mode: split }, { step: aa }, { step: lint, dwell: 1s, minWindows: 2 } ],\n\
                goal: { saving: points, target: 150% },\n\
                guardrails: { protectedRetention: 2, maxMissing: -1, maxCpuRatio: 0, protect: [ 3 ] } }\n";
    let found = paths(yaml);
    for path in [
        "metadata.name",
        "spec.candidate",
        "spec.baseline",
        "spec.scope.match[0].metrc",
        "spec.window",
        "spec.maxDuration",
        "spec.steps[0].minWindows",
        "spec.steps[0].to",
        "spec.steps[0].by",
        "spec.steps[0].mode",
        "spec.steps[0].entity",
        "spec.steps[0].percent",
        "spec.steps[1].entity",
        "spec.steps[1].percent",
        "spec.steps[1].to[1]",
        "spec.steps[1].to[2]",
        "spec.steps[1].to[3]",
        "spec.steps[2].step",
        "spec.steps[2].entity",
        "spec.steps[3].step",
        "spec.steps[4].step",
        "spec.steps[4].dwell",
        "spec.steps[4].minWindows",
        "spec.goal.target",
        "spec.guardrails.protectedRetention",
        "spec.guardrails.maxMissing",
        "spec.guardrails.maxCpuRatio",
        "spec.guardrails.protect[0]",
    ] {
        assert!(found.iter().any(|p| p == path), "{path} in {found:#?}");
    }
}

#[test]
fn steps_that_never_compare_and_steps_that_outlast_the_run_are_refused() {
    for steps in ["[ { step: lint } ]", "[]", "[ { step: ramp, to: [100%] } ]"] {
        assert_eq!(
            paths(&document(&format!(", steps: {steps}"))),
            ["spec.steps"]
        );
    }
    let long = ", maxDuration: 5m, steps: [ { step: shadow, dwell: 5m } ]";
    assert_eq!(paths(&document(long)), ["spec.maxDuration"]);
}

#[test]
fn keys_of_before_there_were_steps_are_refused_with_where_they_went() {
    let old = ", selector: {}, mode: split, entity: [a], percent: 50, minWindows: 3";
    let problems = parse_experiment(&document(old)).unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert_eq!(problems[0].path, "spec.selector");
    assert!(problems[0].message.contains("spec.scope.selector"));
}
