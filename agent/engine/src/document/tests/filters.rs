//! What the reader says about filters, and about conditions in general.

use super::*;

#[test]
fn a_condition_on_values_says_what_is_wrong_with_it() {
    let rule = |rule: &str| format!("    - {{ id: f, filter: {{ drop: [ {rule} ] }} }}\n");
    let at = "spec.stages[0].filter.drop[0].value";
    for (value, path, words) in [
        ("{}", at.to_string(), "has no bound"),
        ("5", at.to_string(), "expected a mapping"),
        ("{ gt: 1, gte: 1 }", at.to_string(), "not both"),
        ("{ lt: 1, lte: 1 }", at.to_string(), "not both"),
        ("{ eq: 1, lt: 2 }", at.to_string(), "says it all"),
        ("{ gt: 1, lt: 1 }", at.to_string(), "no number keeps"),
        ("{ gte: 2, lte: 1 }", at.to_string(), "no number keeps"),
        ("{ gt: \"1\" }", format!("{at}.gt"), "expected a number"),
        ("{ gt: .nan }", format!("{at}.gt"), "finite"),
        ("{ above: 1 }", format!("{at}.above"), "write `gt`"),
    ] {
        expect(
            &rule(&format!("{{ metric: m, value: {value} }}")),
            &path,
            words,
        );
    }
    for conditions in [
        "type: histogram",
        "type: [sum, summary], temporality: cumulative, monotonic: true",
        "temporality: cumulative, monotonic: true",
    ] {
        expect(
            &rule(&format!("{{ {conditions}, value: {{ lt: 1 }} }}")),
            at,
            "no point can match",
        );
    }
    let fine = "{ monotonic: true, value: { gte: 1, lte: 1 } }";
    parse(&document(&rule(fine))).expect("a delta sum can match");
}

#[test]
fn values_are_for_filters_only() {
    let words = "only `drop` and `keep` rules of a filter compare values";
    expect(
        "    - { id: s, sample: { match: { value: { gt: 1 } }, every: 60s } }\n",
        "spec.stages[0].sample.match.value",
        words,
    );
    let problems = parse_matchers("[ { value: { gt: 1 } } ]").unwrap_err();
    assert!(problems[0].message.contains(words), "{problems:?}");
}

#[test]
fn a_condition_on_an_attribute_says_what_is_wrong_with_it() {
    let stage = |condition: &str| {
        format!(
            "    - {{ id: f, filter: {{ keep: [ {{ attributes: {{ k: {condition} }} }} ] }} }}\n"
        )
    };
    let at = "spec.stages[0].filter.keep[0].attributes.k";
    for (condition, path, words) in [
        ("{ exists: 1 }", format!("{at}.exists"), "true or false"),
        (
            "{ exist: true }",
            format!("{at}.exist"),
            "did you mean `exists`",
        ),
        ("{ exists: true, gt: 1 }", at.into(), "leave `exists` out"),
        ("{ exists: true, of: 1 }", at.into(), "stands alone"),
        ("{}", at.into(), "has no bound"),
        ("{ gt: 1, gte: 2 }", at.into(), "not both"),
        ("{ gt: 2, lt: 1 }", at.into(), "no number keeps"),
        ("{ gt: many }", format!("{at}.gt"), "expected a number"),
        ("{ \">\": 1 }", format!("{at}[\">\"]"), "write `gt`"),
    ] {
        expect(&stage(condition), &path, words);
    }
}

#[test]
fn conditions_on_attributes_have_one_canonical_form() {
    let canonical = |attributes: &str| {
        let stage = format!(
            "    - {{ id: f, filter: {{ drop: [ {{ attributes: {{ {attributes} }} }} ] }} }}\n"
        );
        parse(&document(&stage)).unwrap().spec.stages[0].canonical()
    };
    assert_eq!(
        canonical("b: { lt: 1e1, gte: -0.0 }, a: { exists: false }, c: x"),
        concat!(
            r#"{"filter":{"drop":[{"attributes":{"a":{"exists":false},"b":{"gte":0.0,"lt":10.0},"c":"x"}}]},"#,
            r#""id":"f"}"#
        )
    );
    assert_eq!(canonical("b: { lt: 10 }"), canonical("b: { lt: 10.0 }"));
}

/// A filter of entities with one thing replaced.
fn idle(from: &str, to: &str) -> String {
    let stage = concat!(
        "    - { id: i, filter: { match: { metric: \"process.*\" }, entity: [host.name, process.pid], ",
        "drop_when: [ { metric: process.cpu.time, by: rate, below: 0.01 } ], for: 5m, interval: 60s } }\n",
    );
    assert!(stage.contains(from), "{from}");
    stage.replace(from, to)
}

#[test]
fn a_filter_of_entities_is_read_and_says_what_is_wrong_with_it() {
    let fine = parse(&document(&idle("for", "for"))).unwrap();
    assert_eq!(
        fine.spec.stages[0].canonical(),
        concat!(
            r#"{"filter":{"drop_when":[{"below":0.01,"by":"rate","metric":"process.cpu.time"}],"#,
            r#""entity":["host.name","process.pid"],"match":{"metric":"process.*"}},"id":"i"}"#
        )
    );
    let at = "spec.stages[0].filter";
    let when = format!("{at}.drop_when[0]");
    for (from, to, path, words) in [
        (
            "match: { metric: \"process.*\" }, ",
            "",
            format!("{at}.match"),
            "is missing",
        ),
        (
            "entity: [host.name, process.pid], ",
            "",
            format!("{at}.entity"),
            "is missing",
        ),
        (
            "[host.name, process.pid]",
            "[]",
            format!("{at}.entity"),
            "is empty",
        ),
        (
            "for: 5m",
            "for: 90s",
            format!("{at}.for"),
            "whole number of windows",
        ),
        (
            "for: 5m",
            "during: 5m",
            format!("{at}.during"),
            "write `for`",
        ),
        (
            "interval: 60s",
            "interval: 1ms",
            format!("{at}.interval"),
            "too short",
        ),
        (
            "metric: process.cpu.time, ",
            "",
            format!("{when}.metric"),
            "is missing",
        ),
        (
            "below: 0.01",
            "above: .inf",
            format!("{when}.above"),
            "finite",
        ),
        (", below: 0.01", "", when.clone(), "write `below"),
        (
            "below: 0.01",
            "below: 1, above: 2",
            when.clone(),
            "swap them",
        ),
        (
            "by: rate",
            "by: speed",
            format!("{when}.by"),
            "unknown value",
        ),
        (
            "by: rate",
            "type: gauge, by: rate",
            format!("{when}.by"),
            "no rate",
        ),
        (
            "by: rate",
            "type: histogram",
            format!("{when}.by"),
            "by: rate",
        ),
        (
            "below: 0.01",
            "below: 1, value: { gt: 1 }",
            format!("{when}.value"),
            "compare values",
        ),
        (
            "[ { metric: process.cpu.time, by: rate, below: 0.01 } ]",
            "[]",
            format!("{at}.drop_when"),
            "at least one",
        ),
    ] {
        expect(&idle(from, to), &path, words);
    }
}
