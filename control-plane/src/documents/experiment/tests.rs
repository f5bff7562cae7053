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
    assert!((spec.goal.target.unwrap().0 - 0.2).abs() < 1e-12);
    assert!((spec.guardrails.protected_retention.0 - 1.0).abs() < 1e-12);
    assert!((spec.guardrails.max_missing.0 - 0.5).abs() < 1e-12);
    assert_eq!(spec.guardrails.max_export_errors, ExportErrors::Compared);
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
fn a_word_that_is_unknown_and_a_goal_that_is_missing_hide_nothing_else() {
    let yaml = "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: { name: Bad Name }\n\
                spec: { candidate: '', window: soon, onSuccess: cheer, surprise: 1,\n\
                steps: [ { step: shadow }, { step: rmap, by: node }, { step: bake, to: [5%] } ],\n\
                guardrails: { maxCpuRatio: 0 } }\n";
    let mut found = paths(yaml);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "metadata.name",
            "spec.candidate",
            "spec.goal",
            "spec.guardrails.maxCpuRatio",
            "spec.onSuccess",
            "spec.steps[1].step",
            "spec.steps[2].to",
            "spec.surprise",
            "spec.window",
        ]
    );
    let goal = document("").replace("saving: points, target: 20%", "saving: dollars");
    assert_eq!(paths(&goal), ["spec.goal.saving"]);
}

#[test]
fn a_value_of_another_kind_is_told_with_what_to_write() {
    for (rails, path, told) in [
        (
            "maxCpuRatio: 150%",
            "maxCpuRatio",
            "expected a number, found the text `150%`: write 1.5",
        ),
        (
            "protect: { metric: a }",
            "protect",
            "expected a list (`[...]`), found a mapping: put it in brackets, `[ ... ]`",
        ),
        (
            "maxExportErrors: few",
            "maxExportErrors",
            "expected a whole number, 0 or more, found the text `few`",
        ),
        (
            "maxAddedLatency: 5",
            "maxAddedLatency",
            "5 is no duration: write 10s, 5m, 1h",
        ),
        (
            "maxRss: 300",
            "maxRss",
            "300 bytes are less than any agent takes: write 300MiB",
        ),
        (
            "maxRss: 512KiB",
            "maxRss",
            "524288 bytes are less than any agent takes: write 300MiB",
        ),
        (
            "maxRss: 300MB",
            "maxRss",
            "not a size: write 300MiB, 1GiB, or a number of bytes",
        ),
    ] {
        let text = document(&format!(", guardrails: {{ {rails} }}"));
        let problems = parse_experiment(&text).unwrap_err();
        let found = (problems[0].path.as_str(), problems[0].message.as_str());
        assert_eq!(found, (format!("spec.guardrails.{path}").as_str(), told));
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
    let text = document(", steps: [ { step: ramp, to: [ 50 ] } ]");
    let problems = parse_experiment(&text).unwrap_err();
    assert_eq!(problems[0].message, "50: write \"1 node\" or \"25%\"");
    let least = spec(", guardrails: { maxRss: 1MiB }").guardrails.max_rss;
    assert_eq!(least, Some(Bytes(1 << 20)));
}

#[test]
fn a_limit_of_failed_exports_that_is_left_out_is_neither_none_nor_a_number() {
    for (written, read) in [
        ("", ExportErrors::Compared),
        ("maxExportErrors: null", ExportErrors::NotJudged),
        ("maxExportErrors: 0", ExportErrors::AtMost(0)),
    ] {
        let spec = spec(&format!(", guardrails: {{ {written} }}"));
        assert_eq!(spec.guardrails.max_export_errors, read);
        let json = serde_json::to_string(&spec).unwrap();
        let again: ExperimentSpec = serde_json::from_str(&json).unwrap();
        assert_eq!(again.guardrails.max_export_errors, read, "{json}");
    }
}

#[test]
fn a_backend_is_named_by_its_address_and_everything_else_has_a_default() {
    let read = spec(", prometheus: { url: 'http://127.0.0.1:9090' }")
        .prometheus
        .unwrap();
    assert_eq!(
        (read.arm_label.as_str(), read.run_label.as_str()),
        ("phoenix_arm", "phoenix_run")
    );
    assert_eq!(read.delay, Span::from_secs(30));
    assert_eq!(read.on_disagreement, OnDisagreement::Show);
    assert_eq!(spec("").prometheus, None);
    let off = ", prometheus: { url: 'http://p.example.com/base', insecure: true, armLabel: a, runLabel: b }";
    assert!(parse_experiment(&document(off)).is_ok());
}

#[test]
fn every_mistake_about_the_backend_is_told_with_its_path() {
    let text = ", prometheus: { url: 'http://p.example.com', armLabel: '__a', runLabel: 'a-b', delay: 11m, \
                timeout: 1ms, tolerance: 1 }";
    let keys = [
        "url",
        "armLabel",
        "runLabel",
        "delay",
        "timeout",
        "tolerance",
    ];
    let expected: Vec<String> = keys.map(|k| format!("spec.prometheus.{k}")).into();
    assert_eq!(paths(&document(text)), expected);
    for url in [
        "p:9090",
        "ftp://p",
        "https://u:p@h",
        "https://h/?a=b",
        "",
        "/x",
    ] {
        let text = format!(", prometheus: {{ url: '{url}' }}");
        assert_eq!(paths(&document(&text)), ["spec.prometheus.url"], "{url}");
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

fn money(goal: &str, rest: &str) -> Vec<Problem> {
    let text = document(rest).replace("saving: points, target: 20%", goal);
    parse_experiment(&text).err().unwrap_or_default()
}

#[test]
fn a_goal_in_money_names_a_book_that_gives_an_amount() {
    assert_eq!(
        money(
            "saving: money, target: 20%, priceBook: grafana-cloud-pro",
            ""
        ),
        []
    );
    assert_eq!(
        money(
            "saving: money, perMonth: 500, priceBook: grafana-cloud-pro",
            ""
        ),
        []
    );
    assert_eq!(money("saving: samples, target: 20%", ""), []);
    let ramp = ", steps: [ { step: ramp, to: [1 node] } ]";
    for (goal, rest, path, words) in [
        (
            "saving: money, target: 20%",
            "",
            "priceBook",
            "phoenix prices list",
        ),
        (
            "saving: money, target: 20%, priceBook: nobodys",
            "",
            "priceBook",
            "grafana-cloud-pro",
        ),
        (
            "saving: money, target: 20%, priceBook: new-relic",
            "",
            "priceBook",
            "gives no amount",
        ),
        (
            "saving: money, target: 20%, priceBook: self-hosted-mimir",
            "",
            "priceBook",
            "no price",
        ),
        (
            "saving: money, target: 20%, priceBook: { kind: PriceBook }",
            "",
            "priceBook.spec",
            "missing",
        ),
        (
            "saving: money, priceBook: grafana-cloud-pro",
            "",
            "target",
            "perMonth",
        ),
        (
            "saving: money, perMonth: 0, priceBook: grafana-cloud-pro",
            "",
            "perMonth",
            "above 0",
        ),
        (
            "saving: money, perMonth: 5, priceBook: grafana-cloud-pro",
            ramp,
            "perMonth",
            "step: shadow",
        ),
        (
            "saving: points, target: 20%, priceBook: grafana-cloud-pro",
            "",
            "priceBook",
            "saving: money",
        ),
        (
            "saving: points, target: 20%, perMonth: 5",
            "",
            "perMonth",
            "saving: money",
        ),
        ("saving: points", "", "target", "20%"),
    ] {
        let problems = money(goal, rest);
        let path = format!("spec.goal.{path}");
        let found = problems.iter().find(|p| p.path == path);
        let found = found.unwrap_or_else(|| panic!("{goal}: {path} in {problems:?}"));
        assert!(found.message.contains(words), "{goal}: {found:?}");
    }
}

#[test]
fn a_settled_document_holds_the_book_itself() {
    let text = document("").replace(
        "saving: points, target: 20%",
        "saving: money, target: 20%, priceBook: grafana-cloud-pro",
    );
    let read = parse_experiment(&text).unwrap();
    let settled = Document {
        spec: read.spec.clone().settled(),
        ..read.clone()
    };
    let json = serde_json::to_string(&settled).unwrap();
    assert!(json.contains("1k series"), "{json}");
    let again = parse_experiment(&json).unwrap().spec;
    assert_eq!(again, settled.spec);
    assert_eq!(again.clone().settled(), again);
    assert_eq!(again.goal.judged(), read.spec.goal.judged());
}

#[test]
fn queries_that_no_step_can_evaluate_are_refused() {
    let asks = "guardrails: { queries: [ { name: q, expr: 'sum(rate(x_total[1m]))' } ] }";
    let ramp = "steps: [ { step: ramp, to: [1 node] } ]";
    assert_eq!(
        paths(&document(&format!(", {asks}, {ramp}"))),
        ["spec.guardrails.queries"]
    );
    let rules = "guardrails: { rules: 'groups: [ { rules: [ { alert: A, expr: x > 1 } ] } ]' }";
    assert_eq!(
        paths(&document(&format!(", {rules}, {ramp}"))),
        ["spec.guardrails.rules"]
    );
    for steps in [
        "[ { step: shadow } ]",
        "[ { step: replay }, { step: ramp, to: [1 node] } ]",
    ] {
        spec(&format!(", {asks}, steps: {steps}"));
    }
}

#[test]
fn queries_that_stay_unchecked_or_lie_outside_the_scope_are_warned_of() {
    let warned = |rest: &str| -> Vec<String> {
        let found = spec(rest).warnings();
        found
            .into_iter()
            .map(|p| format!("{}: {}", p.path, p.message))
            .collect()
    };
    let asks = |expr: &str| format!("guardrails: {{ queries: [ {{ name: q, expr: '{expr}' }} ] }}");
    let scope = |m: &str| format!("scope: {{ match: [ {{ metric: {m} }} ] }}");
    let cpu = asks("sum(rate(process_cpu_time_seconds_total[1m]))");
    assert_eq!(warned(&format!(", {cpu}")), [""; 0]);
    let unchecked = warned(&format!(", {}", asks("topk(3, x)")));
    assert!(unchecked[0].contains("not checked"), "{unchecked:?}");
    assert!(
        unchecked[0].starts_with("spec.guardrails.queries[0].expr"),
        "{unchecked:?}"
    );
    for inside in [
        "\"process.*\"",
        "process.cpu.time",
        "\"*.time\"",
        "\"/process.*/\"",
        "[\"a.*\", \"process.cpu.*\"]",
    ] {
        assert_eq!(
            warned(&format!(", {cpu}, {}", scope(inside))),
            [""; 0],
            "{inside}"
        );
    }
    for outside in ["\"http.*\"", "process.memory.usage", "[\"a.*\", \"b.*\"]"] {
        let found = warned(&format!(", {cpu}, {}", scope(outside)));
        assert!(
            found[0].contains("outside spec.scope.match"),
            "{outside}: {found:?}"
        );
    }
    let otel = asks("{\"process.cpu.time\"}");
    let otel = format!("{otel}, names: {{ style: otel }}");
    assert_eq!(
        warned(&format!(", {otel}, {}", scope("\"process.*\""))),
        [""; 0]
    );
    assert_eq!(
        warned(&format!(", {otel}, {}", scope("\"http.*\""))).len(),
        1
    );
    let alert = "guardrails: { rules: 'groups: [ { rules: [ { alert: A, expr: x > 1, keep_firing_for: 1m } ] } ]' }";
    let found = warned(&format!(", {alert}"));
    assert!(
        found[0].starts_with("spec.guardrails.rules.groups[0].rules[0].expr"),
        "{found:?}"
    );
}
