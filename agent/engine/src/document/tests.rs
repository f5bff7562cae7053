//! What the reader says about right and wrong documents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod filters;

use super::*;
use crate::compile::compile;

fn document(stages: &str) -> String {
    format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec:\n  stages:\n{stages}"
    )
}

/// Paths and messages of what is wrong with these stages.
fn problems(stages: &str) -> Vec<(String, String)> {
    compile(&document(stages))
        .expect_err("the document is wrong")
        .into_iter()
        .map(|p| (p.path, p.message))
        .collect()
}

#[track_caller]
fn expect(stages: &str, path: &str, words: &str) {
    let problems = problems(stages);
    let [(found, message)] = problems.as_slice() else {
        panic!("expected one problem: {problems:?}");
    };
    assert_eq!(found, path, "{message}");
    assert!(message.contains(words), "`{message}` lacks `{words}`");
}

#[test]
fn a_document_of_every_stage_is_read() {
    let text = r#"
apiVersion: phoenix/v1
kind: Pipeline
metadata: { name: process-topk, description: "keep the busiest processes, fold the rest" }
spec:
  protect:
    - attributes: { process.executable.name: [nginx, postgres] }
  stages:
    - id: no-debug
      filter: { drop: [ { metric: "debug.*" } ] }
    - id: per-route
      aggregate: { match: { metric: "http.server.*" }, without: [client.address, url.full], interval: 60s }
    - id: slow-gauges
      sample: { match: { type: gauge }, every: 60s }
"#;
    let document = parse(text).unwrap();
    assert_eq!(document.metadata.name, "process-topk");
    assert_eq!(document.spec.stages.len(), 3);
    let pipeline = compile(text).unwrap();
    assert_eq!(pipeline.stages[1].kind(), "aggregate");
}

#[test]
fn five_mistakes_are_five_problems() {
    let text = r#"
apiVersion: phoenix/v1
kind: Pipeline
metadata: { name: Bad_Name }
spec:
  protect:
    - atributes: { a: b }
  stages:
    - id: one
      aggregate: { match: { metric: m }, by: [""], interval: 60 }
    - id: one
      filtr: { drop: [] }
"#;
    let problems = compile(text).unwrap_err();
    let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "metadata.name",
            "spec.protect[0].atributes",
            "spec.stages[0].aggregate.by[0]",
            "spec.stages[0].aggregate.interval",
            "spec.stages[1].filtr",
            "spec.stages[1].id",
        ],
        "{problems:#?}"
    );
    assert!(problems[1].message.contains("did you mean `attributes`?"));
    assert!(problems[3].message.contains("60s"));
    assert!(problems[4].message.contains("did you mean `filter`?"));
}

#[test]
fn an_empty_or_other_document_says_what_to_write() {
    for (text, path, words) in [
        ("", "", "empty"),
        (
            "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {name: a, description: this, and that}\nspec: {stages: []}",
            "metadata[\"and that\"]",
            "quotes",
        ),
        ("just text", "", "mapping"),
        ("a: [", "", "line"),
        ("kind: Pipeline", "apiVersion", "phoenix/v1"),
        (
            "apiVersion: phoenix/v2\nkind: Pipeline\nmetadata: {name: a}\nspec: {stages: []}",
            "apiVersion",
            "phoenix/v1",
        ),
        (
            "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {name: a}\nspec: {stages: }",
            "spec.stages",
            "stages: []",
        ),
        (
            "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {name: a}\nspec: {stages: {}}",
            "spec.stages",
            "list",
        ),
        (
            "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {name: 1}\nspec: {stages: []}",
            "metadata.name",
            "quotes",
        ),
        (
            "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {name: a}\nspec: {stages: []}\nspec: {}",
            "spec",
            "twice",
        ),
    ] {
        let problems = parse(text).unwrap_err();
        assert_eq!(problems[0].path, path, "{text}: {problems:?}");
        assert!(problems[0].message.contains(words), "{text}: {problems:?}");
    }
}

#[test]
fn stages_are_checked() {
    expect(
        "    - id: A\n      filter: {drop: [{}]}",
        "spec.stages[0].id",
        "lower-case",
    );
    expect("    - filter: {drop: [{}]}", "spec.stages[0].id", "missing");
    expect("    - id: a", "spec.stages[0]", "does nothing");
    expect(
        "    - id: a\n      enrich: {}",
        "spec.stages[0].enrich",
        "filter, aggregate, sample, quantise, histogram",
    );
    expect(
        "    - id: a\n      filter: {drop: [{}]}\n      sample: {match: {}, every: 60s}",
        "spec.stages[0]",
        "of its own",
    );
}

#[test]
fn filters_are_checked() {
    let path = |rest: &str| format!("spec.stages[0].filter{rest}");
    let stage = |body: &str| format!("    - id: a\n      filter: {body}");
    expect(&stage("{}"), &path(""), "drop");
    expect(&stage("{drop: []}"), &path(".drop"), "empty");
    expect(&stage("{drop: [{}], keep: [{}]}"), &path(""), "not both");
    expect(
        &stage("{drop: [{metric: /(/}]}"),
        &path(".drop[0].metric"),
        "regular expression",
    );
    expect(
        &stage("{drop: [{metric: [a, 'b[c]*']}]}"),
        &path(".drop[0].metric[1]"),
        "glob knows",
    );
    expect(
        &stage("{drop: [{type: guage}]}"),
        &path(".drop[0].type"),
        "did you mean `gauge`?",
    );
    expect(
        &stage("{drop: [{name: a}]}"),
        &path(".drop[0].name"),
        "write `metric`",
    );
    expect(
        &stage("{drop: [{metric: }]}"),
        &path(".drop[0].metric"),
        "no value",
    );
    expect(
        &stage("{drop: [{attributes: {http.route: }}]}"),
        &path(".drop[0].attributes[\"http.route\"]"),
        "any value",
    );
    expect(
        &stage("{drop: [{attributes: {a: 1.10}}]}"),
        &path(".drop[0].attributes.a"),
        "quotes",
    );
    expect(
        &stage("{drop: [{attributes: {a: []}}]}"),
        &path(".drop[0].attributes.a"),
        "empty",
    );
    expect(
        &stage("{drop: [{monotonic: yes}]}"),
        &path(".drop[0].monotonic"),
        "true or false",
    );
    expect(
        &stage("{drop: [{temporality: both}]}"),
        &path(".drop[0].temporality"),
        "cumulative, delta",
    );
}

#[test]
fn aggregations_are_checked() {
    let path = |rest: &str| format!("spec.stages[0].aggregate{rest}");
    let stage = |body: &str| format!("    - id: a\n      aggregate: {body}");
    expect(&stage("{by: [a]}"), &path(".match"), "missing");
    expect(&stage("{match: {}}"), &path(""), "by");
    expect(
        &stage("{match: {}, by: [a], without: [b]}"),
        &path(""),
        "not both",
    );
    expect(&stage("{match: {}, by: [a, a]}"), &path(".by[1]"), "twice");
    expect(&stage("{match: {}, by: ['a.*']}"), &path(".by[0]"), "glob");
    expect(
        &stage("{match: {}, by: [], interval: 0s}"),
        &path(".interval"),
        "short",
    );
    expect(
        &stage("{match: {}, by: [], interval: soon}"),
        &path(".interval"),
        "60s",
    );
    expect(
        &stage("{match: {}, by: [], function: avg}"),
        &path(".function"),
        "mean",
    );
    expect(
        &stage("{match: {}, by: [], function: mean}"),
        &path(".function"),
        "rename",
    );
    expect(
        &stage("{match: {metric: m}, by: [], function: count, rename: m}"),
        &path(".function"),
        "rename",
    );
    expect(
        &stage("{match: {metric: m, type: sum}, by: [], function: max}"),
        &path(".function"),
        "gauges",
    );
    expect(
        &stage("{match: {metric: 'm.*'}, by: [], rename: x}"),
        &path(".rename"),
        "{name}",
    );
    expect(
        &stage("{match: {metric: m}, by: [], rename: 'x{nam}'}"),
        &path(".rename"),
        "{name}",
    );
}

#[test]
fn samples_are_checked() {
    let path = |rest: &str| format!("spec.stages[0].sample{rest}");
    let stage = |body: &str| format!("    - id: a\n      sample: {body}");
    expect(&stage("{match: {}}"), &path(""), "every");
    expect(
        &stage("{match: {}, fraction: 10, entity: [a]}"),
        &path(".fraction"),
        "0.1",
    );
    expect(
        &stage("{match: {}, fraction: .nan, entity: [a]}"),
        &path(".fraction"),
        "share",
    );
    expect(
        &stage("{match: {}, fraction: 0.1}"),
        &path(".entity"),
        "keys",
    );
    expect(
        &stage("{match: {}, every: 60s, weighted: false}"),
        &path(".weighted"),
        "fraction",
    );
    let band = |body: &str| stage(&format!("{{match: {{}}, deadband: {body}}}"));
    expect(&band("{}"), &path(".deadband"), "absolute: 0.5");
    expect(
        &band("{absolute: 1, relative: 0.1}"),
        &path(".deadband"),
        "not both",
    );
    expect(
        &band("{absolute: 0}"),
        &path(".deadband.absolute"),
        "unchanged: true",
    );
    expect(&band("{relative: 5}"), &path(".deadband.relative"), "0.05");
    expect(
        &band("{percent: 5}"),
        &path(".deadband.percent"),
        "relative",
    );
    expect(
        &stage("{match: {type: histogram}, deadband: {absolute: 1}}"),
        &path(".deadband"),
        "unchanged: true",
    );
    expect(
        &stage("{match: {temporality: delta}, deadband: {absolute: 1}}"),
        &path(".deadband"),
        "cumulative",
    );
    expect(&stage("{match: {}, unchanged: false}"), &path(""), "every");
    expect(
        &stage("{match: {}, unchanged: true, every: 60s}"),
        &path(""),
        "`every` and `unchanged`",
    );
    expect(
        &stage("{match: {}, unchanged: true, heartbeat: 10ms}"),
        &path(".heartbeat"),
        "too short",
    );
    expect(
        &stage("{match: {}, every: 60s, heartbeat: 60s}"),
        &path(".heartbeat"),
        "belongs to",
    );
    expect(
        &stage("{match: {}, every: 60s, entity: [a]}"),
        &path(".entity"),
        "leave it out",
    );
    expect(
        &stage("{match: {}, every: 60s, fraction: 0.1, entity: [a]}"),
        &path(""),
        "not both",
    );
}

#[test]
fn rules_on_their_own_are_read_from_yaml_and_json() {
    let rules = parse_matchers("- metric: a*\n- attributes: {k: [1, true, x]}\n").unwrap();
    assert_eq!(rules.len(), 2);
    let json = serde_json::to_string(&[rules[0].rule(), rules[1].rule()]).unwrap();
    assert_eq!(parse_matchers(&json).unwrap(), rules);
    assert!(parse_matchers("").unwrap().is_empty());
    let problems = parse_matchers("- metric: /(/\n- other: 1\n").unwrap_err();
    let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["[0].metric", "[1].other"]);
}

#[test]
fn a_document_written_out_is_read_back() {
    let text = document(
        "    - id: a\n      aggregate: {match: {type: [sum, gauge], attributes: {a: [x, y]}}, without: [b], interval: 10s, \
         merged_later: true}\n    - id: b\n      sample: {match: {unit: By}, fraction: 1, entity: [z, a], weighted: false}\n    - id: c\n      sample: {match: {}, deadband: {relative: 0.05}, \
         heartbeat: 60s}\n    - id: d\n      sample: {match: {}, unchanged: true}\n",
    );
    let document = parse(&text).unwrap();
    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(parse(&json).unwrap(), document);
    assert_eq!(serde_json::from_str::<Document>(&json).unwrap(), document);
    let yaml = serde_yaml::to_string(&document).unwrap();
    assert_eq!(parse(&yaml).unwrap(), document);
    let error = serde_json::from_str::<Document>("{\"kind\":\"Other\"}")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("kind: `Other`") && error.contains("spec"),
        "{error}"
    );
}

#[test]
fn what_is_rounded_is_checked() {
    let stage = |body: &str| format!("    - id: a\n      quantise: {body}");
    let path = |rest: &str| format!("spec.stages[0].quantise{rest}");
    expect(&stage("{}"), &path(".match"), "is missing");
    expect(
        &stage("{match: {type: [sum, histogram]}}"),
        &path(".match.type"),
        "only gauges are rounded",
    );
    expect(
        &stage("{match: {temporality: delta}}"),
        &path(".match"),
        "only gauges are rounded",
    );
    for digits in ["0", "16", "2.5", "many"] {
        let text = stage(&format!("{{match: {{}}, digits: {digits}}}"));
        expect(&text, &path(".digits"), "from 1 to 15");
    }
    expect(
        &stage("{match: {}, precision: 3}"),
        &path(".precision"),
        "write `digits`",
    );
    let default = compile(&document(&stage("{match: {}}"))).unwrap();
    let given = compile(&document(&stage("{match: {}, digits: 3}"))).unwrap();
    assert_eq!(default.hash, given.hash);
}

#[test]
fn buckets_are_checked() {
    let stage = |body: &str| format!("    - id: a\n      histogram: {body}");
    let path = |rest: &str| format!("spec.stages[0].histogram{rest}");
    expect(
        &stage("{match: {}}"),
        &path(""),
        "the stage changes nothing",
    );
    expect(
        &stage("{match: {type: sum}, max_scale: 1}"),
        &path(".match.type"),
        "no histogram is of this type",
    );
    expect(
        &stage("{match: {type: histogram}, bounds: [1], max_scale: 1}"),
        &path(".max_scale"),
        "is for the type `exponential_histogram`",
    );
    for (key, value, at) in [
        ("max_scale", "21", ".max_scale"),
        ("max_scale", "1.5", ".max_scale"),
        ("max_buckets", "0", ".max_buckets"),
    ] {
        let text = stage(&format!("{{match: {{}}, {key}: {value}}}"));
        expect(&text, &path(at), "expected a whole number");
    }
    expect(
        &stage("{match: {}, bounds: []}"),
        &path(".bounds"),
        "at least one",
    );
    expect(
        &stage("{match: {}, bounds: [1, 1]}"),
        &path(".bounds[1]"),
        "bounds grow",
    );
    expect(
        &stage("{match: {}, bounds: [1, .inf]}"),
        &path(".bounds[1]"),
        "a bound is finite",
    );
}

#[test]
fn mistakes_in_a_topk_are_told() {
    let stage = |body: &str| format!("    - {{ id: t, topk: {{ {body} }} }}\n");
    let good = "entity: [pid], rank: { metric: cpu, by: rate }";
    let path = |field: &str| format!("spec.stages[0].topk{field}");
    let cases = [
        (
            "rank: { metric: cpu, by: rate }, k: 1".to_string(),
            ".entity",
            "`entity` is missing",
        ),
        (
            "entity: [], rank: { metric: cpu, by: rate }, k: 1".into(),
            ".entity",
            "no attribute key",
        ),
        (
            "entity: [\"p*\"], rank: { metric: cpu, by: rate }, k: 1".into(),
            ".entity[0]",
            "is a glob",
        ),
        ("entity: [pid], k: 1".into(), ".rank", "`rank` is missing"),
        (
            "entity: [pid], rank: [], k: 1".into(),
            ".rank",
            "at least one",
        ),
        (
            "entity: [pid], rank: { metric: cpu }, k: 1".into(),
            ".rank.by",
            "`by` is missing",
        ),
        (
            "entity: [pid], rank: { metric: cpu, by: rate, weight: 0 }, k: 1".into(),
            ".rank.weight",
            "above 0",
        ),
        (good.into(), ".k", "`k` is missing"),
        (format!("{good}, k: 0"), ".k", "whole number from 1"),
        (
            format!("{good}, k: 1, hysteresis: 0.5"),
            ".hysteresis",
            "whole number from 0",
        ),
        (
            format!("{good}, k: 1, other: 7"),
            ".other",
            "how gauges are merged",
        ),
        (
            format!("{good}, k: 1, other: median"),
            ".other",
            "unknown value",
        ),
        (
            format!("{good}, k: 1, rest: true"),
            ".rest",
            "write `other`",
        ),
        (
            format!(
                "{good}, k: 1, bands: {{ load: {{ metric: l, by: value }}, steps: [ {{ above: 0, k: 1 }} ] }}"
            ),
            "",
            "not both",
        ),
        (
            format!(
                "{good}, bands: {{ load: {{ metric: l, by: value }}, steps: [ {{ above: 1, k: 1 }}, {{ above: 1, k: 2 }} ] }}"
            ),
            ".bands.steps[1].above",
            "steps go up",
        ),
        (
            format!("{good}, bands: {{ load: {{ metric: l, by: value }}, steps: [] }}"),
            ".bands.steps",
            "empty",
        ),
    ];
    for (body, field, words) in cases {
        expect(&stage(&body), &path(field), words);
    }
}

#[test]
fn mistakes_in_a_limit_are_told() {
    let stage = |body: &str| format!("    - {{ id: l, limit: {{ {body} }} }}\n");
    let path = |field: &str| format!("spec.stages[0].limit{field}");
    let cases = [
        ("per: metric", ".series", "`series` is missing"),
        ("series: 0", ".series", "whole number from 1"),
        ("series: 5, per: attribute", ".per", "name the attribute"),
        (
            "series: 5, per: { attribute: \"\" }",
            ".per.attribute",
            "not empty",
        ),
        (
            "series: 5, per: node",
            ".per",
            "write `{ attribute: node }`",
        ),
        (
            "series: 5, overflow: { keep: [\"a*\"] }",
            ".overflow.keep[0]",
            "is a glob",
        ),
        ("series: 5, alarm: {}", ".alarm.new_series", "is missing"),
        ("budget: 5, series: 5", ".budget", "write `series`"),
    ];
    for (body, field, words) in cases {
        expect(&stage(body), &path(field), words);
    }
    expect(
        "    - { id: a, limit: { series: 5 } }\n    - { id: b, limit: { match: { metric: x }, series: 5 } }\n",
        "spec.stages[1].limit",
        "the same overflow series",
    );
}

#[test]
fn a_topk_and_a_limit_written_out_are_read_back() {
    let text = document(
        "    - { id: t, topk: { match: { metric: \"p.*\" }, entity: [b, a], rank: [ { metric: p.cpu, by: rate }, { metric: p.mem, \
         attributes: { state: used }, by: value, weight: 2 } ], bands: { load: { metric: l, by: value, function: mean }, steps: \
         [ { above: 0, k: 9 }, { above: 0.5, k: 3 } ] }, hysteresis: 1, other: { gauges: mean, without: [c] }, interval: 30s } }\n    \
         - { id: u, topk: { entity: [pid], rank: { metric: cpu, by: rate }, k: 3, other: false } }\n    \
         - { id: l, limit: { series: 5, per: { attribute: k }, overflow: { keep: [x] }, alarm: { new_series: 3 } } }\n",
    );
    let document = parse(&text).unwrap();
    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(parse(&json).unwrap(), document);
    let yaml = serde_yaml::to_string(&document).unwrap();
    assert_eq!(parse(&yaml).unwrap(), document);
}
