//! What the reader and the compiler say about right and wrong transforms.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::compile::{Candidate, Division, Plan, compile};
use crate::document::{Document, Problem, parse};

fn document(stages: &str) -> String {
    format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec: {{ stages: [ {stages} ] }}\n"
    )
}

fn of(ops: &str) -> String {
    format!("{{ id: t, transform: {{ match: {{ metric: m }}, ops: {ops} }} }}")
}

#[track_caller]
fn expect(stages: &str, path: &str, words: &str) {
    let problems: Vec<Problem> = compile(&document(stages)).expect_err("it is wrong");
    let [problem] = problems.as_slice() else {
        panic!("expected one problem: {problems:#?}");
    };
    assert_eq!(problem.path, path, "{}", problem.message);
    assert!(
        problem.message.contains(words),
        "`{}` lacks `{words}`",
        problem.message
    );
}

#[track_caller]
fn wrong(op: &str, rest: &str, words: &str) {
    let path = format!("spec.stages[0].transform.ops[0]{rest}");
    expect(&of(&format!("[ {{ {op} }} ]")), &path, words);
}

#[test]
fn every_mistake_says_what_to_write() {
    let path = "spec.stages[0].transform.ops";
    expect(&of("[]"), path, "empty");
    expect(&of("{ set: {} }"), path, "list");
    expect("{ id: t, transform: { match: {} } }", path, "missing");
    expect(
        "{ id: t, transform: { ops: [ { copy: { from: a, to: b } } ] } }",
        "spec.stages[0].transform.match",
        "missing",
    );
    wrong("rename: { from: a, to: b }", ".rename", "rename_metric");
    wrong("normalize: {}", ".normalize", "normalise");
    wrong("renam_attribute: {}", ".renam_attribute", "did you mean");
    wrong(
        "copy: { from: a, to: b }, set: { attribute: a, value: 1 }",
        "",
        "one key",
    );
    wrong("rename_metric: { from: a }", ".rename_metric.to", "missing");
    wrong("rename_metric: { to: \"\" }", ".rename_metric.to", "empty");
    wrong(
        "rename_metric: { to: \"a{nam}\" }",
        ".rename_metric.to",
        "{name}",
    );
    wrong(
        "rename_metric: { from: \"a*b*\", to: x }",
        ".rename_metric.from",
        "one `*`",
    );
    wrong(
        "rename_metric: { from: \"/a/\", to: x }",
        ".rename_metric.from",
        "expression",
    );
    wrong(
        "rename_metric: { from: a, to: \"x*\" }",
        ".rename_metric.to",
        "fewer",
    );
    wrong(
        "rename_metric: { from: \"a*\", to: \"{name}\" }",
        ".rename_metric.to",
        "write `*`",
    );
    wrong(
        "rename_attribute: { from: a, to: a }",
        ".rename_attribute.to",
        "another",
    );
    wrong(
        "rename_attribute: { from: \"a*\", to: b }",
        ".rename_attribute.from",
        "glob",
    );
    wrong("copy: { from: a }", ".copy.to", "missing");
    wrong(
        "copy: { from: a, to: b, level: points }",
        ".copy.level",
        "did you mean `point`?",
    );
    wrong("set: { attribute: a }", ".set.value", "missing");
    wrong("set: { attribute: a, value: [1] }", ".set.value", "a list");
    wrong("set: { attribute: a, value: .nan }", ".set.value", "finite");
    wrong(
        "set: { attribute: a, value: 9999999999999999999 }",
        ".set.value",
        "64 bits",
    );
    wrong(
        "set: { key: a, attribute: a, value: 1 }",
        ".set.key",
        "write `attribute`",
    );
    wrong("remove: { attribute: a }", ".remove.constant", "aggregate");
    wrong("normalise: { attribute: a }", ".normalise", "patterns");
    wrong(
        "normalise: { attribute: a, patterns: [] }",
        ".normalise.patterns",
        "empty",
    );
    wrong(
        "normalise: { attribute: a, patterns: [id] }",
        ".normalise.patterns[0]",
        "did you mean `ids`?",
    );
    wrong(
        "normalise: { attribute: a, rules: [ { replace: \"a\", with: b } ] }",
        ".normalise.rules[0].replace",
        "/a/",
    );
    wrong(
        "normalise: { attribute: a, rules: [ { replace: \"/a/\", with: \"$1\" } ] }",
        ".normalise.rules[0].with",
        "no group",
    );
    wrong("classify: { into: p }", ".classify.rules", "missing");
    wrong(
        "classify: { into: p, rules: [ { match: {} } ] }",
        ".classify.rules[0].as",
        "missing",
    );
    wrong(
        "classify: { into: p, rules: [ { match: { metric: /(/ }, as: x } ] }",
        ".classify.rules[0].match.metric",
        "regular expression",
    );
    // By what a series is called, never by its values: it would change its identity over time.
    wrong(
        "classify: { into: p, rules: [ { match: { value: { gt: 1 } }, as: x } ] }",
        ".classify.rules[0].match.value",
        "no one value",
    );
}

#[test]
fn what_is_written_out_is_read_back() {
    let ops = "[ { rename_metric: { from: \"a*\", to: \"b*\" } }, { set: { attribute: a, value: 1.0, overwrite: true } }, \
               { set: { attribute: b, value: \"1\", level: scope } }, { remove: { attribute: c, constant: true } }, \
               { copy: { from: a, to: d, level: point } }, \
               { normalise: { attribute: e, patterns: [numbers, ids, ids], rules: [ { replace: /x/, with: y } ] } }, \
               { classify: { into: f, rules: [ { match: { type: gauge }, as: g } ], otherwise: h, level: resource } } ]";
    let text = document(&of(ops));
    let document = parse(&text).unwrap();
    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(parse(&json).unwrap(), document);
    assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
    let canonical = document.canonical();
    assert!(
        canonical.contains(r#""patterns":["ids","numbers"]"#),
        "{canonical}"
    );
    assert!(canonical.contains(r#""value":1.0"#), "{canonical}");
}

const LOSSY: &str = "[ { normalise: { attribute: path, patterns: [ids] } } ]";

fn merged(rule: &str) -> String {
    format!("{{ id: a, aggregate: {{ match: {rule}, without: [] }} }}")
}

#[test]
fn what_can_become_one_needs_an_aggregation_behind_it() {
    let path = "spec.stages[0].transform.ops[0].normalise";
    let lossy = of(LOSSY);
    expect(
        &lossy,
        path,
        r#"aggregate: { match: {"metric":"m"}, without: [] }"#,
    );
    for rule in [
        "{}",
        "{ metric: m }",
        "{ metric: \"*\" }",
        "{ metric: [m, n] }",
        "{ metric: /m/ }",
    ] {
        compile(&document(&format!("{lossy}, {}", merged(rule))))
            .unwrap_or_else(|p| panic!("{rule}: {p:?}"));
    }
    for (rule, condition) in [
        ("{ metric: n }", "`metric`"),
        ("{ type: sum }", "`type`"),
        ("{ unit: s }", "`unit`"),
        ("{ temporality: delta }", "`temporality`"),
        ("{ monotonic: true }", "`monotonic`"),
        ("{ attributes: { path: \"/*\" } }", "`attributes.path`"),
    ] {
        expect(&format!("{lossy}, {}", merged(rule)), path, condition);
    }
    // A stage between that looks at one point after the other.
    let every = "{ id: e, sample: { match: {}, every: 10s } }";
    expect(
        &format!("{lossy}, {every}, {}", merged("{}")),
        path,
        "`e` (spec.stages[1])",
    );
    let values = "{ id: v, filter: { drop: [ { value: { lt: 1 } } ] } }";
    expect(
        &format!("{lossy}, {values}, {}", merged("{}")),
        path,
        "`v` (spec.stages[1])",
    );
    let others = "{ id: f, filter: { drop: [ { type: gauge } ] } }, { id: s, sample: { match: {}, fraction: 0.5, entity: [path] } }";
    compile(&document(&format!("{lossy}, {others}, {}", merged("{}")))).unwrap();
    // Before it does not do.
    expect(
        &format!("{}, {lossy}", merged("{}")),
        "spec.stages[1].transform.ops[0].normalise",
        "-merged",
    );
}

#[test]
fn names_are_followed_through_renames() {
    let stage =
        |rule: &str, ops: &str| format!("{{ id: t, transform: {{ match: {rule}, ops: {ops} }} }}");
    let ok = |stages: String| compile(&document(&stages)).map(drop);
    for (rule, op) in [
        ("{ metric: a }", "{ to: b }"),
        ("{}", "{ to: \"b.{name}\" }"),
        ("{}", "{ from: a, to: b }"),
        ("{}", "{ from: \"a*\", to: \"b*\" }"),
        ("{ metric: a }", "{ from: \"a*\", to: b }"),
    ] {
        ok(stage(rule, &format!("[ {{ rename_metric: {op} }} ]")))
            .unwrap_or_else(|p| panic!("{op}: {p:?}"));
    }
    for (rule, op) in [
        ("{ metric: [a, b] }", "{ to: c }"),
        ("{ metric: \"a*\" }", "{ to: c }"),
        ("{}", "{ to: c }"),
        ("{}", "{ from: \"a*\", to: c }"),
    ] {
        let problems = ok(stage(rule, &format!("[ {{ rename_metric: {op} }} ]"))).unwrap_err();
        assert!(
            problems[0].message.contains("several metrics"),
            "{problems:?}"
        );
    }
    let ops = "[ { rename_metric: { from: \"a_*\", to: \"a.*\" } }, { set: { attribute: x, value: y, overwrite: true } } ]";
    ok(format!(
        "{}, {}",
        stage("{ metric: \"a_*\" }", ops),
        merged("{ metric: \"a.*\" }")
    ))
    .unwrap();
    ok(format!(
        "{}, {}",
        stage("{ metric: \"a_*\" }", ops),
        merged("{ metric: \"a_*\" }")
    ))
    .unwrap_err();
    // A rename between may touch only some of them: the aggregation must take both.
    let between = "{ id: u, transform: { match: { type: sum }, ops: [ { rename_metric: { to: \"z.{name}\" } } ] } }";
    let lossy = of(LOSSY);
    ok(format!(
        "{lossy}, {between}, {}",
        merged("{ metric: [m, z.m] }")
    ))
    .unwrap();
    ok(format!("{lossy}, {between}, {}", merged("{ metric: m }"))).unwrap_err();
}

#[test]
fn a_split_refuses_a_transform_of_its_entity() {
    let stages = of("[ { copy: { from: a, to: process.pid } } ]");
    let pipeline = compile(&document(&stages)).unwrap();
    let candidate = |division| Candidate {
        pipeline: pipeline.clone(),
        experiment: "e".into(),
        division,
        protect: Vec::new(),
        scope: Vec::new(),
    };
    let split = |key: &str| Division::Split {
        entity: vec![key.to_string()],
        percent: 50.0,
    };
    let none = crate::compile::Pipeline::pass_through();
    let problems = Plan::new(none.clone(), Some(candidate(split("process.pid")))).unwrap_err();
    assert_eq!(problems[0].path, "candidate.spec.stages[0].transform");
    Plan::new(none.clone(), Some(candidate(split("host.name")))).unwrap();
    Plan::new(none, Some(candidate(Division::Shadow))).unwrap();
}
