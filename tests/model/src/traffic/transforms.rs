//! Transforms for generated traffic. Those that can make series equal come with an aggregation.

use super::pipelines::{aggregating, filter, fraction, matching};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// Operations that keep apart what is apart, also in this traffic.
const SAFE: [&str; 22] = [
    "rename_metric: { to: \"t.{name}\" }",
    "rename_metric: { from: requests, to: reqs }",
    "rename_metric: { from: \"b*\", to: \"x.*\" }",
    "rename_metric: { from: \"*y\", to: \"*\" }",
    "rename_attribute: { from: route, to: http.route }",
    "rename_attribute: { from: customer, to: tenant }",
    "rename_attribute: { from: method, to: route }",
    "rename_attribute: { from: process.pid, to: pid }",
    "rename_attribute: { from: layer, to: tier }",
    "rename_attribute: { from: tags, to: labels }",
    "set: { attribute: env, value: prod }",
    "set: { attribute: env, value: 3, level: resource }",
    "set: { attribute: env, value: true, level: scope }",
    "set: { attribute: layer, value: edge, level: scope }",
    "set: { attribute: host.name, value: 1.5, level: resource }",
    "copy: { from: service.name, to: app }",
    "copy: { from: process.pid, to: pid, level: point }",
    "copy: { from: route, to: place, level: resource }",
    "remove: { attribute: service.name, constant: shop }",
    "remove: { attribute: layer, constant: edge, level: scope }",
    "remove: { attribute: process.pid, constant: 7 }",
    "classify: { into: priority, rules: [ { match: { metric: \"?e*\" }, as: high }, { match: { attributes: { route: /a } }, as: low } ] }",
];

const MORE: [&str; 2] = [
    "classify: { into: priority, rules: [ { match: { attributes: { env: prod } }, as: critical } ], otherwise: low, level: resource }",
    "classify: { into: layer, rules: [ { match: { type: gauge }, as: state } ], otherwise: edge }",
];

/// Operations that can make series equal.
const LOSSY: [&str; 8] = [
    "normalise: { attribute: path, patterns: [ids, uuids] }",
    "normalise: { attribute: path, patterns: [ids, numbers, versions, hex] }",
    "normalise: { attribute: route, rules: [ { replace: \"/^.([ab])$/\", with: \"/x\" } ] }",
    "normalise: { attribute: customer, patterns: [numbers] }",
    "normalise: { attribute: host.name, rules: [ { replace: \"/h[0-9]/\", with: hN } ] }",
    "rename_metric: { to: all }",
    "set: { attribute: route, value: one, overwrite: true }",
    "set: { attribute: process.pid, value: 1, overwrite: true }",
];

fn safe(rng: &mut ChaCha8Rng) -> String {
    let all: Vec<&&str> = SAFE.iter().chain(&MORE).collect();
    (**all.choose(rng).expect("some")).to_string()
}

/// A transform, and what has to come behind it.
pub fn transform(i: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut ops: Vec<String> = (0..rng.random_range(1..4)).map(|_| safe(rng)).collect();
    let lossy = rng.random_bool(0.5);
    if lossy {
        let at = rng.random_range(0..=ops.len());
        ops.insert(at, LOSSY.choose(rng).expect("some").to_string());
    }
    let ops: Vec<String> = ops.iter().map(|op| format!("{{ {op} }}")).collect();
    let mut stages = vec![format!(
        "id: t{i}, transform: {{ match: {}, ops: [ {} ] }}",
        matching(rng),
        ops.join(", ")
    )];
    if lossy {
        match rng.random_range(0..4) {
            0 => stages.push(filter(100 + i, rng)),
            1 => stages.push(fraction(100 + i, rng)),
            _ => {}
        }
        let all = ["{}", "{ metric: \"*\" }"].choose(rng).expect("some");
        stages.push(aggregating(&format!("m{i}"), all, rng));
    }
    stages
}
