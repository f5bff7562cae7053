//! What only shows when stages, or arms, are seen together.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn pipeline(stages: &[&str]) -> Result<Arc<Pipeline>, Vec<Problem>> {
    let stages: Vec<String> = stages
        .iter()
        .enumerate()
        .map(|(i, body)| format!("    - id: s{i}\n      {body}\n"))
        .collect();
    let list = if stages.is_empty() { " []" } else { "" };
    compile(&format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec:\n  stages:{list}\n{}",
        stages.concat()
    ))
}

#[track_caller]
fn overlap(first: &str, second: &str, expected: bool) {
    match pipeline(&[
        &format!("aggregate: {first}"),
        &format!("aggregate: {second}"),
    ]) {
        Ok(_) => assert!(!expected, "let through: {first} and {second}"),
        Err(problems) => {
            assert!(expected, "refused: {first} and {second}: {problems:?}");
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].path, "spec.stages[1].aggregate");
            assert!(problems[0].message.contains("`s1`") && problems[0].message.contains("`s0`"));
        }
    }
}

#[test]
fn two_aggregations_that_can_write_one_series_are_refused() {
    let one = "{match: {metric: http.a}, without: [k]}";
    overlap(one, one, true);
    overlap(one, "{match: {metric: 'http.*'}, without: [k]}", true);
    overlap(one, "{match: {}, without: [k]}", true);
    overlap(
        one,
        "{match: {metric: '/http[.].*/'}, without: [k], interval: 10s}",
        true,
    );
    overlap("{match: {}, by: [a, b]}", "{match: {}, by: [b, a]}", true);
    overlap(
        one,
        "{match: {metric: http.b}, without: [k], rename: http.a}",
        true,
    );
    overlap(
        "{match: {metric: '*.a'}, by: [k], rename: 'x.{name}'}",
        "{match: {metric: 'x.*'}, by: [k]}",
        true,
    );
    for (left, right, meet) in [
        ("{exists: true}", "{exists: false}", false),
        ("{exists: true}", "x", true),
        ("{exists: false}", "{lt: 1}", false),
        ("{lt: 5}", "{gte: 5}", false),
        ("{lte: 5}", "{gte: 5}", true),
        ("{lt: 5, gte: 1}", "{gt: 0, lte: 1}", true),
        ("{gt: 5}", "{eq: 5}", false),
        ("{gt: 5}", "{gt: 9}", true),
        ("{gt: 5}", "[\"3\", x]", false),
        ("{gt: 5}", "[\"3\", \"*\"]", true),
    ] {
        let of =
            |condition: &str| format!("{{match: {{attributes: {{k: {condition}}}}}, by: [k]}}");
        overlap(&of(left), &of(right), meet);
        overlap(&of(right), &of(left), meet);
    }
    // Apart on a key that is removed: the outputs meet.
    overlap(
        "{match: {attributes: {k: x}}, without: [k]}",
        "{match: {attributes: {k: y}}, without: [k]}",
        true,
    );
}

#[test]
fn aggregations_that_cannot_meet_are_let_through() {
    let one = "{match: {metric: http.a}, without: [k]}";
    overlap(one, "{match: {metric: http.b}, without: [k]}", false);
    overlap(one, "{match: {metric: 'db.*'}, without: [k]}", false);
    overlap(one, "{match: {metric: '/db[.].*/'}, without: [k]}", false);
    overlap(one, "{match: {metric: http.a}, without: [l]}", false);
    overlap(
        one,
        "{match: {metric: http.a}, without: [k], rename: '{name}.b'}",
        false,
    );
    overlap(
        "{match: {type: sum}, by: [a]}",
        "{match: {type: gauge}, by: [a], function: sum}",
        false,
    );
    overlap(
        "{match: {temporality: delta}, by: [a]}",
        "{match: {temporality: cumulative}, by: [a]}",
        false,
    );
    overlap(
        "{match: {attributes: {a: x}}, by: [a]}",
        "{match: {attributes: {a: [y, z]}}, by: [a]}",
        false,
    );
}

#[test]
fn what_is_extracted_of_summaries_has_names_that_can_meet() {
    let extracted = "{match: {metric: rpc}, by: [a], summary: sum_count}";
    overlap(extracted, "{match: {metric: rpc.count}, by: [a]}", true);
    overlap("{match: {metric: '*.sum'}, by: [a]}", extracted, true);
    overlap(extracted, "{match: {metric: rpc.max}, by: [a]}", false);
    overlap(
        extracted,
        "{match: {metric: rpc.count, type: gauge}, by: [a], function: sum}",
        true,
    );
    let summaries = "{match: {metric: rpc, type: summary}, by: [a], summary: sum_count}";
    overlap(summaries, "{match: {metric: rpc}, by: [a]}", false);
    overlap(
        summaries,
        "{match: {metric: rpc.count, type: gauge}, by: [a], function: sum}",
        false,
    );
}

#[test]
fn an_overlap_is_told_beside_other_mistakes() {
    let same = "aggregate: {match: {}, by: [a]}";
    let problems = pipeline(&["enrich: {}", same, same]).unwrap_err();
    let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["spec.stages[0].enrich", "spec.stages[2].aggregate"]);
}

fn split(baseline: &[&str], candidate: &[&str], entity: &[&str], percent: f64) -> Vec<Problem> {
    let candidate = Candidate {
        pipeline: pipeline(candidate).unwrap(),
        experiment: "e".into(),
        division: Division::Split {
            entity: entity.iter().map(ToString::to_string).collect(),
            percent,
        },
        protect: Vec::new(),
        scope: Vec::new(),
    };
    Plan::new(pipeline(baseline).unwrap(), Some(candidate))
        .err()
        .unwrap_or_default()
}

#[test]
fn a_split_keeps_its_entities_whole() {
    let keeps = "aggregate: {match: {}, without: [other]}";
    let loses = "aggregate: {match: {}, by: [host.name]}";
    assert!(split(&[keeps], &[keeps], &["process.pid"], 50.0).is_empty());
    let problems = split(&[], &[keeps, loses], &["process.pid", "host.name"], 50.0);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].path, "candidate.spec.stages[1].aggregate");
    for word in ["`s1`", "process.pid", "use shadow"] {
        assert!(problems[0].message.contains(word), "{problems:?}");
    }
    assert!(
        split(&[loses], &[], &["process.pid"], 50.0)[0]
            .path
            .starts_with("baseline")
    );
    assert_eq!(split(&[], &[], &[], 40.0)[0].path, "entity");
    assert_eq!(split(&[], &[], &["a"], 100.0).len(), 1);
    assert_eq!(split(&[], &[], &["a"], f64::NAN).len(), 1);
}

#[test]
fn a_shadow_may_lose_any_key() {
    let candidate = Candidate {
        pipeline: pipeline(&["aggregate: {match: {}, by: []}"]).unwrap(),
        experiment: "e".into(),
        division: Division::Shadow,
        protect: Vec::new(),
        scope: Vec::new(),
    };
    assert!(Plan::new(pipeline(&[]).unwrap(), Some(candidate)).is_ok());
}

#[test]
fn a_node_without_an_entity_is_on_one_side_as_a_whole() {
    let loses = "aggregate: {match: {}, by: [host.name]}";
    for percent in [0.0, 100.0] {
        assert!(split(&[loses], &[loses], &[], percent).is_empty());
    }
    assert_eq!(split(&[], &[], &[], f64::NAN).len(), 1);
}

#[test]
fn a_scope_must_stay_known_behind_every_stage() {
    let of = |scope: &str, stage: &str| {
        let candidate = Candidate {
            pipeline: pipeline(&[stage]).unwrap(),
            experiment: "e".into(),
            division: Division::Shadow,
            protect: Vec::new(),
            scope: crate::document::parse_matchers(scope).unwrap(),
        };
        let plan = Plan::new(Pipeline::pass_through(), Some(candidate));
        let problems = plan.err().unwrap_or_default();
        problems
            .first()
            .map(|p| format!("{}: {}", p.path, p.message))
    };
    let (by_name, by_key) = ("[{metric: a*}]", "[{attributes: {k: x}}]");
    let fold = "aggregate: {match: {}, without: [k]}";
    assert_eq!(of("", fold), None);
    assert_eq!(of(by_name, fold), None);
    let found = of(by_key, fold).unwrap();
    assert!(
        found.starts_with("candidate.spec.stages[0].aggregate: "),
        "{found}"
    );
    assert!(found.contains("removes k"), "{found}");
    assert_eq!(of(by_key, "aggregate: {match: {}, without: [other]}"), None);
    let renames = "aggregate: {match: {}, without: [other], rename: \"{name}.all\"}";
    assert_eq!(of(by_key, renames), None);
    assert!(of(by_name, renames).unwrap().contains("other names"));
    let sets = "transform: {match: {}, ops: [{set: {attribute: k, value: y}}]}";
    assert!(of(by_key, sets).unwrap().contains("changes k"));
    let idle = "filter: {match: {}, entity: [k], drop_when: [{metric: m, below: 1}]}";
    assert_eq!(of(by_key, idle), None);
    assert!(of(by_name, idle).unwrap().contains("whole entities"));
    // Places that series outside take are not the same in both arms.
    let topk = |of: &str, more: &str| {
        format!("topk: {{match: {of}, entity: [k], rank: {{metric: a1, by: value}}, {more}}}")
    };
    let load = "bands: {load: {metric: l, by: value}, steps: [{above: 0, k: 1}]}";
    for (scope, stage) in [
        (by_name, "limit: {series: 5}".to_owned()),
        (
            by_name,
            "limit: {match: {type: gauge}, series: 5}".to_owned(),
        ),
        (
            by_name,
            "limit: {series: 5, per: {attribute: k}}".to_owned(),
        ),
        (
            "[{metric: a*, type: gauge}]",
            "limit: {series: 5, per: metric}".to_owned(),
        ),
        (
            by_key,
            "limit: {series: 5, overflow: {keep: [k]}}".to_owned(),
        ),
        (
            by_key,
            "limit: {series: 5, per: {attribute: other}, overflow: {keep: [k]}}".to_owned(),
        ),
        (
            by_key,
            "limit: {match: {attributes: {k: y}}, series: 5, overflow: {keep: [k]}}".to_owned(),
        ),
        (by_name, topk("{}", "k: 1")),
        (by_key, topk("{}", "k: 1, other: false")),
        (by_name, topk("{metric: a*}", load)),
    ] {
        let found = of(scope, &stage).unwrap_or_default();
        assert!(
            found.contains("gives its places to series outside"),
            "{scope} {stage}: {found}"
        );
    }
    for (scope, stage) in [
        (
            by_name,
            "limit: {match: {metric: a*, type: gauge}, series: 5}".to_owned(),
        ),
        (by_name, "limit: {series: 5, per: metric}".to_owned()),
        (
            "[{metric: a}, {metric: [b, c]}]",
            "limit: {match: {metric: b}, series: 5}".to_owned(),
        ),
        (
            by_key,
            "limit: {match: {attributes: {k: x}}, series: 5, overflow: {keep: [k]}}".to_owned(),
        ),
        (
            by_key,
            "limit: {series: 5, per: {attribute: k}, overflow: {keep: [k]}}".to_owned(),
        ),
        (by_name, topk("{metric: a*}", "k: 1")),
    ] {
        assert_eq!(of(scope, &stage), None, "{scope} {stage}");
    }
}

#[test]
fn a_stage_is_known_again_by_its_fingerprint() {
    let print = |stage: &str| pipeline(&[stage]).unwrap().stages[0].fingerprint.clone();
    let stage = "aggregate: {match: {metric: a}, by: [x, y]}";
    assert_eq!(
        print(stage),
        print("aggregate: {by: [y, x], match: {metric: [a]}, interval: 1m}")
    );
    assert_ne!(
        print(stage),
        print("aggregate: {match: {metric: a}, by: [x]}")
    );
}

#[test]
fn a_stage_waits_as_long_as_those_before_it_and_is_another_then() {
    let filter = "filter: {match: {}, entity: [k], drop_when: [{metric: m, below: 1}], for: 1m}";
    let behind = [
        "aggregate: {match: {metric: b}, by: [x], lateness: 2s}",
        "topk: {entity: [k], rank: {metric: m, by: value}, k: 1, lateness: 2s}",
        "limit: {series: 9}",
        "sample: {match: {metric: b}, every: 60s}",
        filter,
    ];
    for stage in behind {
        let alone = |first: &str| {
            pipeline(&[first, stage]).unwrap().stages[1]
                .fingerprint
                .clone()
        };
        let waits = |lateness: &str| {
            alone(&format!(
                "aggregate: {{match: {{metric: a}}, by: [x], lateness: {lateness}}}"
            ))
        };
        assert_eq!(waits("1s"), waits("0s"), "{stage}");
        assert_ne!(waits("6s"), waits("1s"), "{stage}");
        assert_ne!(waits("7s"), waits("6s"), "{stage}");
    }
    let stages = [
        "aggregate: {match: {metric: a}, by: [x], lateness: 30s}",
        "topk: {entity: [k], rank: {metric: m, by: value}, k: 1}",
        "sample: {match: {metric: b}, every: 60s}",
        filter,
        "aggregate: {match: {metric: b}, by: [x], lateness: 40s}",
    ];
    let pipeline = pipeline(&stages).unwrap();
    let waits: Vec<u64> = pipeline
        .stages
        .iter()
        .map(|stage| stage.waits().1)
        .collect();
    let seconds = |n: u64| n * 1_000_000_000;
    assert_eq!(waits, [30, 30, 30, 0, 40].map(seconds));
}

#[test]
fn a_split_must_not_divide_the_entities_of_a_filter() {
    let of = |entity: &str| {
        let stage = format!(
            "filter: {{match: {{}}, entity: {entity}, drop_when: [{{metric: m, below: 1}}]}}"
        );
        let candidate = Candidate {
            pipeline: pipeline(&[&stage]).unwrap(),
            experiment: "x".into(),
            division: Division::Split {
                entity: vec!["host.name".into()],
                percent: 50.0,
            },
            protect: Vec::new(),
            scope: Vec::new(),
        };
        Plan::new(Pipeline::pass_through(), Some(candidate))
    };
    assert!(of("[host.name, process.pid]").is_ok());
    let problems = of("[process.pid]").unwrap_err();
    assert_eq!(problems[0].path, "candidate.spec.stages[0].filter.entity");
    assert!(problems[0].message.contains("host.name"));
}

/// Where the problems of these stages are.
fn paths(stages: &[&str]) -> Vec<String> {
    let problems = pipeline(stages).err().unwrap_or_default();
    problems.into_iter().map(|p| p.path).collect()
}

#[test]
fn a_gate_before_what_adds_up_gauges_is_refused_only_where_it_surely_holds_them_back() {
    let sum = "aggregate: {match: {type: gauge}, by: [k], function: sum}";
    let at = |gate: &str, behind: &str| paths(&[gate, behind]);
    let refused = ["spec.stages[0].sample.heartbeat"];
    let all = "sample: {match: {}, unchanged: true}";
    assert_eq!(at(all, sum), refused);
    assert_eq!(paths(&[all, "quantise: {match: {}}", sum]), refused);
    for function in ["mean", "count"] {
        let renamed = format!(
            "aggregate: {{match: {{}}, by: [k], function: {function}, rename: '{{name}}.x'}}"
        );
        assert_eq!(at(all, &renamed), refused, "{function}");
    }
    let of = |rule: &str| format!("sample: {{match: {rule}, deadband: {{relative: 0.1}}}}");
    for rule in [
        "{metric: 'a.*'}",
        "{metric: a.b}",
        "{metric: '*.b', attributes: {k: v}}",
    ] {
        let named =
            "aggregate: {match: {metric: 'a*', attributes: {k: 'v*'}}, by: [k], function: sum}";
        assert_eq!(at(&of(rule), named), refused, "{rule}");
    }
    let listed = "aggregate: {match: {}, by: [k], functions: [{metric: a, function: sum}, {metric: '*', function: max}]}";
    assert_eq!(at(&of("{metric: 'a*'}"), listed), refused);

    for gate in [
        "sample: {match: {}, unchanged: true, heartbeat: 60s}",
        "sample: {match: {type: sum}, unchanged: true}",
        "sample: {match: {temporality: cumulative}, unchanged: true}",
        "sample: {match: {}, every: 5m}",
    ] {
        assert!(at(gate, sum).is_empty(), "{gate}");
    }
    assert!(paths(&[sum, all]).is_empty());
    assert!(at(all, "aggregate: {match: {}, by: [k], function: max}").is_empty());
    assert!(at(all, "aggregate: {match: {}, by: [k]}").is_empty());
    assert!(at(&of("{metric: b}"), listed).is_empty());
    let b = "aggregate: {match: {metric: b}, by: [k], function: sum}";
    assert!(at(&of("{metric: a}"), b).is_empty());
    assert!(
        at(
            &of("{metric: '/a.*/'}"),
            "aggregate: {match: {metric: 'a*c'}, by: [k], function: sum}"
        )
        .is_empty()
    );
    let renamed = "transform: {match: {}, ops: [{rename_metric: {from: a, to: c}}]}";
    assert!(paths(&[all, renamed, sum]).is_empty());
}

#[test]
fn a_rank_is_refused_only_where_it_surely_is_never_measured() {
    let topk =
        |rest: &str, rank: &str| format!("topk: {{entity: [pid], k: 1, rank: {rank}{rest}}}");
    let cpu = &topk("", "{metric: cpu, by: rate}");
    let either = &topk("", "{metric: [cpu, io], by: rate}");
    let memory = &topk("", "{metric: memory, by: value}");
    let refused = ["spec.stages[1].topk.rank"];
    let merge = "aggregate: {match: {}, by: [host.name]}";
    for (before, rank) in [
        ("filter: {drop: [{metric: 'c*'}]}", cpu),
        ("filter: {drop: [{metric: cpu}, {metric: io}]}", either),
        ("filter: {keep: [{metric: io}, {type: gauge}]}", cpu),
        (
            "filter: {drop: [{attributes: {pid: '*'}}]}",
            &topk(
                ", match: {attributes: {pid: '1?'}}",
                "{metric: cpu, by: rate}",
            ),
        ),
        (merge, cpu),
        (
            "aggregate: {match: {}, without: [pid], function: max}",
            memory,
        ),
    ] {
        assert_eq!(paths(&[before, rank]), refused, "{before} {rank}");
    }
    for (before, rank) in [
        (
            "filter: {drop: [{metric: cpu, attributes: {state: idle}}]}",
            cpu,
        ),
        ("filter: {drop: [{metric: memory, value: {lt: 5}}]}", memory),
        ("filter: {drop: [{metric: cpu}]}", either),
        ("filter: {keep: [{metric: '/c.*/'}]}", cpu),
        ("aggregate: {match: {}, without: [state]}", cpu),
        ("aggregate: {match: {metric: 'io*'}, without: [pid]}", cpu),
        // A gauge passes it as it is.
        ("aggregate: {match: {}, without: [pid]}", memory),
        (
            "aggregate: {match: {}, by: [pid], keep_original: true, rename: '{name}.x'}",
            cpu,
        ),
        (
            "transform: {match: {}, ops: [{copy: {from: thread, to: pid}}]}",
            cpu,
        ),
    ] {
        assert_eq!(
            paths(&[before, rank]),
            Vec::<String>::new(),
            "{before} {rank}"
        );
    }
    let renamed = "transform: {match: {}, ops: [{rename_metric: {from: load, to: cpu}}]}";
    assert!(paths(&["filter: {drop: [{metric: cpu}]}", renamed, cpu]).is_empty());
    let own = "topk: {entity: [phoenix.node], k: 1, rank: {metric: cpu, by: rate}}";
    assert!(paths(&["aggregate: {match: {}, by: []}", own]).is_empty());
}

#[test]
fn what_a_stage_goes_by_is_refused_only_where_it_surely_never_comes() {
    let drops = "filter: {drop: [{metric: m}]}";
    let merges = "aggregate: {match: {}, without: [pid], function: sum}";
    let counters = "aggregate: {match: {type: sum}, without: [pid]}";
    let idle =
        "filter: {match: {metric: other}, entity: [pid], drop_when: [{metric: m, below: 1}]}";
    let busy = "filter: {match: {}, entity: [pid], drop_when: [{metric: m, type: sum, by: rate, below: 1}]}";
    let load = "topk: {entity: [pid], rank: {metric: r, by: value}, bands: {load: {metric: m, by: value}, \
                steps: [{above: 0, k: 1}]}}";
    let share = "sample: {match: {type: [gauge, sum]}, fraction: 0.1, entity: [pid]}";
    let budget = "limit: {match: {type: [gauge, sum]}, series: 9, per: {attribute: pid}}";
    for (before, stage, field) in [
        (drops, idle, "filter.drop_when[0]"),
        (drops, load, "topk.bands.load"),
        (merges, idle, "filter.drop_when[0]"),
        (merges, share, "sample.entity"),
        (merges, budget, "limit.per"),
        (counters, busy, "filter.drop_when[0]"),
    ] {
        let path = format!("spec.stages[1].{field}");
        assert_eq!(paths(&[before, stage]), [path], "{before} {stage}");
        assert_eq!(
            paths(&[stage, before]),
            Vec::<String>::new(),
            "{stage} {before}"
        );
    }
    for (before, stage) in [
        // What is dropped before them is nothing to share out.
        (drops, share),
        (drops, budget),
        // Gauges pass.
        (counters, idle),
        (counters, share),
        (counters, budget),
        (
            merges,
            "limit: {match: {type: summary}, series: 9, per: {attribute: pid}}",
        ),
        (
            "filter: {drop: [{metric: m, attributes: {pid: \"1\"}}]}",
            load,
        ),
    ] {
        assert_eq!(
            paths(&[before, stage]),
            Vec::<String>::new(),
            "{before} {stage}"
        );
    }
}

#[test]
fn what_only_an_expression_holds_is_no_metric_name() {
    let of = |key: &str, text: &str| {
        paths(&[&format!("filter: {{drop: [{{{key}: '{text}'}}]}}")]).is_empty()
    };
    for name in [
        "^a.*$", "a.*$", "a.(b)", "a.+", "a\\.b", "a\\d*", "a[bc]", "a{2}", "a|b", "a*\\.b",
    ] {
        assert!(!of("metric", name), "{name}");
    }
    for name in [
        "http.server_request-count/x",
        "job:rate:5m",
        "com.shop.Cart$Item.count",
        "com.shop.Cart$*",
        "a\\*b*",
        "/^a.(b|c)+$/",
        "100%",
    ] {
        assert!(of("metric", name), "{name}");
    }
    assert!(!of("unit", "^By$"));
    for value in [
        "C:\\Program Files (x86)\\*",
        "^a",
        "$5",
        "a+b",
        "a|b",
        "[a]",
    ] {
        assert!(of("unit", value), "{value}");
    }
}
