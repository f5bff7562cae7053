//! Pipelines for generated traffic, kept in parts so that a failing case can lose stages.

use super::transforms::transform;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

/// A pipeline document in parts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parts {
    pub protect: Vec<String>,
    /// `id: ..` and the stage, in flow style.
    pub stages: Vec<String>,
}

/// Bounds of `histogram` stages. Traffic without foreign bounds has 5 and 10 in each histogram, so that
/// only what one stage leaves of these and another one of those has none in common.
const LOW: [&str; 1] = [", bounds: [1, 5]"];
const HIGH: [&str; 2] = [", bounds: [10]", ", bounds: [0, 2, 10, 99]"];
/// Bounds between what exponential histograms hold: which side of them a bucket lies hangs on the scale.
const BETWEEN: [&str; 1] = [", bounds: [0.4, 3.5, 7.5]"];

impl Parts {
    /// Adds a stage, unless what it does would depend on an order that is open.
    pub fn add(&mut self, mut stage: String) {
        let of = |stage: &String, kinds: &[&str]| kinds.iter().any(|kind| stage.contains(kind));
        let have = |kinds: &[&str]| self.stages.iter().any(|stage| of(stage, kinds));
        // Gauges that a gate holds back for longer than a window are not to be added up.
        if stage.contains("aggregate:") && have(&["deadband:", "unchanged:"]) {
            for adding in ["sum", "mean", "count"] {
                stage = stage.replace(&format!("function: {adding}"), "function: max");
            }
        }
        // In which order series come out of a window is open, and decides who has a place.
        let windows = have(&["aggregate:", "every:", "topk:", "limit:"]);
        let places = stage.contains("limit:") && windows;
        // And which of metrics that become one gives the description.
        let one = stage.contains("rename_metric: { to: all }") && windows;
        // So it is behind a stage that writes points anew; and of histograms without a bound in common
        // the first gives the output its bounds, while the others are not merged.
        let merges = of(&stage, &["aggregate:", "topk:", "limit:"]);
        let groups = [have(&LOW), have(&HIGH), have(&BETWEEN)];
        let foreign = merges && groups.into_iter().filter(|has| *has).count() > 1;
        if !places && !one && !foreign {
            self.stages.push(stage);
        }
    }

    /// The document.
    pub fn yaml(&self) -> String {
        let mut text = String::from(
            "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: generated }\nspec:\n",
        );
        text += "  protect:";
        text += if self.protect.is_empty() {
            " []\n"
        } else {
            "\n"
        };
        for rule in &self.protect {
            text += &format!("    - {rule}\n");
        }
        text += "  stages:";
        text += if self.stages.is_empty() {
            " []\n"
        } else {
            "\n"
        };
        for stage in &self.stages {
            text += &format!("    - {{ {stage} }}\n");
        }
        text
    }
}

/// What kinds of stages a property wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Menu {
    pub filter: bool,
    /// Filters that look at values.
    pub values: bool,
    /// Filters of whole entities.
    pub entities: bool,
    pub fraction: bool,
    pub every: bool,
    /// Dead-bands and unchanged values.
    pub quiet: bool,
    pub aggregate: bool,
    pub quantise: bool,
    pub histogram: bool,
    pub temporality: bool,
    pub topk: bool,
    pub limit: bool,
    pub transform: bool,
    pub most: usize,
}

impl Menu {
    /// Every kind of stage.
    pub const ALL: Menu = Menu {
        filter: true,
        values: true,
        entities: true,
        fraction: true,
        every: true,
        quiet: true,
        aggregate: true,
        quantise: true,
        histogram: true,
        temporality: true,
        topk: true,
        limit: true,
        transform: true,
        most: 4,
    };
}

/// Some pipeline from the menu.
pub fn pipeline(menu: Menu, rng: &mut ChaCha8Rng) -> Parts {
    let mut parts = Parts::default();
    if rng.random_bool(0.2) {
        parts.protect.push(rule(rng));
    }
    let mut kinds: Vec<fn(usize, &mut ChaCha8Rng) -> String> = Vec::new();
    let wanted: [(bool, fn(usize, &mut ChaCha8Rng) -> String); 12] = [
        (menu.filter, filter),
        (menu.values, values),
        (menu.entities, entities),
        (menu.fraction, fraction),
        (menu.every, every),
        (menu.quiet, quiet),
        (menu.aggregate, aggregate),
        (menu.quantise, quantise),
        (menu.histogram, histogram),
        (menu.temporality, temporality),
        (menu.topk, topk),
        (menu.limit, limit),
    ];
    for (wanted, make) in wanted {
        if wanted {
            kinds.push(make);
        }
    }
    if menu.aggregate {
        kinds.push(aggregate);
    }
    for i in 0..rng.random_range(0..=menu.most) {
        if menu.transform && rng.random_bool(if menu.values { 0.2 } else { 0.5 }) {
            for stage in transform(i, rng) {
                parts.add(stage);
            }
            continue;
        }
        let make = kinds.choose(rng).expect("a kind of stage");
        let stage = make(i, rng);
        parts.add(stage);
    }
    parts
}

fn rule(rng: &mut ChaCha8Rng) -> String {
    [
        "{ metric: requests }",
        "{ metric: \"b*\" }",
        "{ metric: [load, \"/l.*y/\"] }",
        "{ type: gauge }",
        "{ type: [histogram, exponential_histogram] }",
        "{ temporality: delta }",
        "{ monotonic: false }",
        "{ unit: By }",
        "{ attributes: { route: /a } }",
        "{ attributes: { customer: \"7\" } }",
        "{ attributes: { customer: [\"true\", \"7.5\"] } }",
        "{ attributes: { process.pid: \"10?\", method: GET } }",
        "{ attributes: { layer: edge } }",
        "{ attributes: { customer: { exists: true } } }",
        "{ attributes: { host.name: { exists: false }, route: \"*\" } }",
        "{ attributes: { customer: { gte: 7, lt: 7.5 } } }",
        "{ attributes: { process.pid: { gt: 101 } } }",
        "{ metric: \"?u*\", attributes: { service.name: \"/sh.p/\" } }",
    ]
    .choose(rng)
    .expect("a rule")
    .to_string()
}

pub(super) fn filter(i: usize, rng: &mut ChaCha8Rng) -> String {
    let how = if rng.random_bool(0.8) { "drop" } else { "keep" };
    let mut rules = vec![rule(rng)];
    if how == "keep" || rng.random_bool(0.3) {
        rules.push(rule(rng));
        rules.push(rule(rng));
    }
    format!("id: f{i}, filter: {{ {how}: [ {} ] }}", rules.join(", "))
}

/// A filter that looks at values.
fn values(i: usize, rng: &mut ChaCha8Rng) -> String {
    let how = if rng.random_bool(0.6) { "drop" } else { "keep" };
    let mut rules = Vec::new();
    for _ in 0..rng.random_range(1..=3) {
        let series = ["{ metric: \"*\" }", "{ type: gauge }", "{ metric: load }"]
            .choose(rng)
            .map_or_else(String::new, |text| text.to_string());
        let series = if rng.random_bool(0.7) {
            series
        } else {
            rule(rng)
        };
        let bounds = [
            "{ lt: 20 }",
            "{ gte: 100 }",
            "{ gt: -10, lte: 42.5 }",
            "{ eq: 5 }",
            "{ lt: 1000000 }",
        ]
        .choose(rng)
        .expect("bounds");
        // Of types that have no value a rule with one is refused.
        let refused = series.contains("histogram");
        let plain = refused || rng.random_bool(0.2);
        rules.push(if plain {
            series
        } else {
            series.replacen("{ ", &format!("{{ value: {bounds}, "), 1)
        });
    }
    if how == "keep" && rng.random_bool(0.7) {
        // What has no value would be gone altogether.
        rules.push("{ type: [sum, histogram, exponential_histogram, summary] }".into());
    }
    format!("id: v{i}, filter: {{ {how}: [ {} ] }}", rules.join(", "))
}

/// A filter of whole entities.
fn entities(i: usize, rng: &mut ChaCha8Rng) -> String {
    let entity = ["[process.pid]", "[service.name]", "[route]"]
        .choose(rng)
        .expect("one");
    let conditions = [
        "{ metric: requests, by: rate, below: 4.3 }",
        "{ metric: [requests, bytes, big], by: rate, below: 60.7 }",
        "{ metric: \"*\", by: rate, below: 11.1 }",
        "{ metric: events, by: rate, above: 0.7 }",
        "{ metric: load, below: 150.3 }",
        "{ metric: [queue, load, balance], above: -100.3, below: 400.1 }",
        "{ metric: \"?a*\", by: rate, below: 1.3 }",
    ];
    let mut when = vec![*conditions.choose(rng).expect("one")];
    if rng.random_bool(0.3) {
        when.push(conditions.choose(rng).expect("one"));
    }
    let (interval, lasting) = [
        ("10s", "10s"),
        ("10s", "20s"),
        ("25s", "25s"),
        ("60s", "60s"),
    ]
    .choose(rng)
    .expect("one");
    format!(
        "id: i{i}, filter: {{ match: {}, entity: {entity}, drop_when: [ {} ], for: {lasting}, interval: {interval} }}",
        matching(rng),
        when.join(", ")
    )
}

pub(super) fn matching(rng: &mut ChaCha8Rng) -> String {
    if rng.random_bool(0.5) {
        "{ metric: \"*\" }".into()
    } else {
        rule(rng)
    }
}

pub(super) fn fraction(i: usize, rng: &mut ChaCha8Rng) -> String {
    let entity = ["[process.pid]", "[route, process.pid]", "[customer]"]
        .choose(rng)
        .expect("one");
    let fraction = [0.0, 0.3, 0.4, 0.5, 0.7, 1.0][rng.random_range(0..6)];
    let weighted = if rng.random_bool(0.1) {
        ", weighted: false"
    } else {
        ""
    };
    format!(
        "id: n{i}, sample: {{ match: {}, fraction: {fraction:?}, entity: {entity}{weighted} }}",
        matching(rng)
    )
}

fn every(i: usize, rng: &mut ChaCha8Rng) -> String {
    let every = ["10s", "25s", "60s"].choose(rng).expect("one");
    format!(
        "id: e{i}, sample: {{ match: {}, every: {every} }}",
        matching(rng)
    )
}

fn quantise(i: usize, rng: &mut ChaCha8Rng) -> String {
    let matching = if rng.random_bool(0.5) {
        "{ type: gauge }".into()
    } else {
        matching(rng)
    };
    if matching.contains("temporality") || matching.contains("histogram") {
        return quantise(i, rng);
    }
    let digits = ["", ", digits: 1", ", digits: 2", ", digits: 15"][rng.random_range(0..4)];
    format!("id: q{i}, quantise: {{ match: {matching}{digits} }}")
}

fn histogram(i: usize, rng: &mut ChaCha8Rng) -> String {
    let matching = [
        "{ metric: \"*\" }",
        "{ type: [histogram, exponential_histogram] }",
        "{ metric: \"l*y\" }",
        "{ attributes: { method: GET } }",
    ];
    let matching = matching.choose(rng).expect("one");
    let exponential = [
        "",
        ", max_scale: 1",
        ", max_scale: -1",
        ", max_buckets: 4",
        ", max_scale: 2, max_buckets: 7",
    ];
    let exponential = exponential.choose(rng).expect("one");
    let explicit = ["", LOW[0], HIGH[0], HIGH[1]];
    let explicit = explicit.choose(rng).expect("one");
    if exponential.is_empty() && explicit.is_empty() {
        return histogram(i, rng);
    }
    // Either: what has become explicit has no scale.
    if !explicit.is_empty() && rng.random_bool(0.5) {
        let explicit = [explicit, &BETWEEN[0]][rng.random_range(0..2)];
        return format!("id: h{i}, histogram: {{ match: {matching}{explicit}, to: explicit }}");
    }
    format!("id: h{i}, histogram: {{ match: {matching}{exponential}{explicit} }}")
}

/// Cumulative to delta, or the other way.
fn temporality(i: usize, rng: &mut ChaCha8Rng) -> String {
    let matching = if rng.random_bool(0.6) {
        "{ metric: \"*\" }".into()
    } else {
        rule(rng)
    };
    let to = ["delta", "cumulative"].choose(rng).expect("one");
    if matching.contains("type: gauge") || matching.contains(&format!("temporality: {to}")) {
        return temporality(i, rng);
    }
    format!("id: m{i}, temporality: {{ match: {matching}, to: {to} }}")
}

fn quiet(i: usize, rng: &mut ChaCha8Rng) -> String {
    let how = [
        "deadband: { absolute: 40 }",
        "deadband: { absolute: 0.5 }",
        "deadband: { relative: 0.3 }",
        "unchanged: true",
        "unchanged: true",
    ];
    let heartbeat = ["", ", heartbeat: 20s", ", heartbeat: 2m"];
    format!(
        "id: q{i}, sample: {{ match: {}, {}{} }}",
        matching(rng),
        how.choose(rng).expect("one"),
        heartbeat.choose(rng).expect("one")
    )
}

fn aggregate(i: usize, rng: &mut ChaCha8Rng) -> String {
    let rule = matching(rng);
    aggregating(&format!("a{i}"), &rule, rng)
}

/// An aggregation of what `rule` matches.
pub(super) fn aggregating(id: &str, rule: &str, rng: &mut ChaCha8Rng) -> String {
    let keys = [
        "by: [service.name]",
        "by: [route, host.name]",
        "by: [process.pid, method]",
        "by: [layer]",
        "without: [route, customer, tags]",
        "without: [process.pid, customer]",
        "without: [host.name, process.pid, service.name]",
        "without: []",
    ];
    let interval = ["10s", "30s", "60s"].choose(rng).expect("one");
    let mut text = format!(
        "id: {id}, aggregate: {{ match: {rule}, {}, interval: {interval}",
        keys.choose(rng).expect("one")
    );
    let function = ["sum", "min", "max", "last", "mean", "count"]
        .choose(rng)
        .expect("one");
    let keeps = rng.random_bool(0.2);
    let needs_name = keeps || matches!(*function, "mean" | "count");
    if rng.random_bool(0.8) {
        text += &format!(", function: {function}");
    }
    if rng.random_bool(0.2) {
        let first = ["sum", "min", "max", "last"].choose(rng).expect("one");
        let names = ["load", "\"l*\"", "[requests, \"/lo.d/\"]", "events"];
        text += &format!(
            ", functions: [ {{ metric: {}, function: {first} }}, {{ metric: \"l*d\", function: last }} ]",
            names.choose(rng).expect("one")
        );
    }
    if keeps {
        text += ", keep_original: true";
    }
    if rng.random_bool(0.4) {
        text += ", summary: sum_count";
    }
    if needs_name || rng.random_bool(0.2) {
        text += &format!(", rename: \"{{name}}.{id}\"");
    }
    if rng.random_bool(0.3) {
        text += &format!(
            ", lateness: {}",
            ["0s", "2s", "15s"].choose(rng).expect("one")
        );
    }
    text += ", expiry: 100s";
    if rng.random_bool(0.2) {
        text += ", merged_later: true";
    }
    if rng.random_bool(0.1) {
        text += ", weighted: false";
    }
    text + " }"
}

fn topk(i: usize, rng: &mut ChaCha8Rng) -> String {
    let entity = [
        "[process.pid]",
        "[route]",
        "[process.pid, route]",
        "[host.name]",
    ]
    .choose(rng)
    .expect("one");
    let rank = [
        "{ metric: requests, by: rate }",
        "{ metric: \"*\", by: rate }",
        "{ metric: [load, queue], by: value }",
        "[ { metric: [bytes, events], by: rate }, { metric: load, by: value, weight: 3 } ]",
        "[ { metric: [latency, wait, size, burst], by: rate, weight: 0.5 }, { metric: \"*\", by: value } ]",
        "{ metric: requests, attributes: { route: \"*\" }, by: rate }",
        "{ metric: \"*\", attributes: { method: GET, customer: { exists: false } }, by: rate }",
        "[ { metric: \"*\", attributes: { route: /a }, by: rate }, { metric: load, attributes: { process.pid: \"10?\" }, by: value, weight: 2 } ]",
    ]
    .choose(rng)
    .expect("one");
    let many = [
        "k: 1",
        "k: 2",
        "k: 1, hysteresis: 1",
        "bands: { load: { metric: load, by: value }, steps: [ { above: 0, k: 2 }, { above: 5, k: 1 } ] }",
        "bands: { load: { metric: requests, by: rate, function: sum }, steps: [ { above: 0, k: 1 }, { above: 1, k: 3 } ] }",
        "bands: { load: { metric: load, attributes: { route: \"*\" }, by: value, function: mean }, steps: [ { above: 0, k: 1 }, { above: 60, k: 2 } ] }",
        "bands: { load: { metric: [requests, events, latency], attributes: { method: [GET, PUT] }, by: rate, function: mean }, steps: [ { above: 0, k: 2 }, { above: 0.7, k: 1 } ] }",
    ]
    .choose(rng)
    .expect("one");
    let matching: String = if rng.random_bool(0.7) {
        "{ metric: \"*\" }".into()
    } else {
        rule(rng)
    };
    // What does not match is not ranked: refused where it is clear from the rule.
    let rank = match matching.as_str() {
        "{ metric: \"*\" }" => rank,
        m if m.contains("gauge") || m.contains("monotonic") => &"{ metric: \"*\", by: value }",
        _ => &"{ metric: \"*\", by: rate }",
    };
    let mut text = format!(
        "id: t{i}, topk: {{ match: {matching}, entity: {entity}, rank: {rank}, {many}, interval: {}",
        ["10s", "30s", "60s"].choose(rng).expect("one")
    );
    text += [
        "",
        ", other: false",
        ", other: mean",
        ", other: min",
        ", other: max",
        ", other: last",
        ", other: { without: [customer] }",
    ]
    .choose(rng)
    .expect("one");
    if rng.random_bool(0.3) {
        text += &format!(
            ", lateness: {}",
            ["0s", "2s", "15s"].choose(rng).expect("one")
        );
    }
    text + ", expiry: 100s }"
}

fn limit(i: usize, rng: &mut ChaCha8Rng) -> String {
    let per = ["", ", per: metric", ", per: { attribute: route }"]
        .choose(rng)
        .expect("one");
    let mut text = format!(
        "id: l{i}, limit: {{ match: {}, series: {}{per}, interval: {}",
        matching(rng),
        rng.random_range(1..6),
        ["10s", "30s", "60s"].choose(rng).expect("one")
    );
    if rng.random_bool(0.4) {
        text += ", overflow: { keep: [host.name, route] }";
    }
    if rng.random_bool(0.4) {
        text += ", alarm: { new_series: 2 }";
    }
    if rng.random_bool(0.3) {
        text += &format!(
            ", lateness: {}",
            ["0s", "2s", "15s"].choose(rng).expect("one")
        );
    }
    text += &format!(", expiry: {}", ["70s", "100s"].choose(rng).expect("one"));
    text + " }"
}
