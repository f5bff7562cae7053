//! Golden cases of the hash. A change here is a change of every pipeline's identity: agents, stores
//! and histories know pipelines by it.

#![allow(clippy::unwrap_used)]

use crate::document::parse;

const PLAIN: &str = r#"
apiVersion: phoenix/v1
kind: Pipeline
metadata: { name: golden, description: of no consequence }
spec:
  protect:
    - attributes: { process.executable.name: [postgres, nginx, nginx] }
  stages:
    - id: no-debug
      filter: { drop: [ { metric: "debug.*" } ] }
    - id: per-route
      aggregate: { match: { metric: "http.server.*" }, without: [url.full, client.address], interval: 60s }
    - id: some
      sample: { match: { type: [sum, gauge] }, fraction: 0.1, entity: [process.pid, host.name] }
    - id: slow
      sample: { match: { type: gauge }, every: 1m }
"#;

#[test]
fn the_canonical_form_is_sorted_and_without_defaults() {
    let expected = concat!(
        r#"{"apiVersion":"phoenix/v1","kind":"Pipeline","metadata":{"name":"golden"},"spec":{"#,
        r#""protect":[{"attributes":{"process.executable.name":["nginx","postgres"]}}],"stages":["#,
        r#"{"filter":{"drop":[{"metric":"debug.*"}]},"id":"no-debug"},"#,
        r#"{"aggregate":{"match":{"metric":"http.server.*"},"without":["client.address","url.full"]},"id":"per-route"},"#,
        r#"{"id":"some","sample":{"entity":["host.name","process.pid"],"fraction":0.1,"match":{"type":["gauge","sum"]}}},"#,
        r#"{"id":"slow","sample":{"every":"60s","match":{"type":"gauge"}}}]}}"#,
    );
    assert_eq!(parse(PLAIN).unwrap().canonical(), expected);
}

#[test]
fn hashes_stay_as_they_are() {
    let empty =
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {name: empty}\nspec: {stages: []}\n";
    for (text, hash) in [
        (
            PLAIN,
            "a649c967f0f253ae98580faf2057b624c49392063929a1587427a408a82284b0",
        ),
        (
            empty,
            "b517eeda40acdf7c2b0bea51f453c6ee6534feb89f8b62eb05f9298577912c08",
        ),
    ] {
        assert_eq!(parse(text).unwrap().hash(), hash);
    }
}

#[test]
fn what_means_the_same_has_the_same_hash() {
    let hash = parse(PLAIN).unwrap().hash();
    let json = serde_json::to_string_pretty(&parse(PLAIN).unwrap()).unwrap();
    let respelled = PLAIN
        .replace(
            "interval: 60s",
            "lateness: 5000ms, expiry: 5m, merged_later: false, weighted: true, interval: 1m",
        )
        .replace("every: 1m", "every: 30s 30s")
        .replace("type: gauge", "type: [gauge]")
        .replace("[postgres, nginx, nginx]", "[nginx, postgres]")
        .replace("of no consequence", "something else");
    for same in [json, respelled, format!("# a comment\n{PLAIN}")] {
        assert_eq!(parse(&same).unwrap().hash(), hash, "{same}");
    }
}

#[test]
fn the_order_of_functions_means_something() {
    let of = |functions: &str| {
        let stage = format!(
            "{{id: a, aggregate: {{match: {{type: gauge}}, without: [], functions: [{functions}]}}}}"
        );
        let text = format!(
            "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{name: p}}\nspec: {{stages: [{stage}]}}\n"
        );
        parse(&text).unwrap().canonical()
    };
    let (one, other) = (
        "{metric: 'a*', function: max}",
        "{metric: '*b', function: min}",
    );
    let text = of(&format!("{one}, {other}"));
    let functions =
        r#""functions":[{"function":"max","metric":"a*"},{"function":"min","metric":"*b"}]"#;
    assert!(text.contains(functions), "{text}");
    assert_ne!(text, of(&format!("{other}, {one}")));
}

#[test]
fn what_means_something_else_has_another_hash() {
    let hash = parse(PLAIN).unwrap().hash();
    for (from, to) in [
        ("name: golden", "name: other"),
        ("id: slow", "id: slower"),
        ("debug.*", "debug.?"),
        ("interval: 60s", "interval: 61s"),
        ("fraction: 0.1", "fraction: 0.11"),
        ("drop:", "keep:"),
        ("without:", "by:"),
    ] {
        let other = PLAIN.replace(from, to);
        assert_ne!(parse(&other).unwrap().hash(), hash, "{from} -> {to}");
    }
}
