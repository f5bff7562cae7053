//! What senders there are: resources, scopes, metrics and series of generated traffic.

use super::source::Source;
use super::{Features, Metric, Owner};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use std::rc::Rc;

/// A key with a value of any type.
pub fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        key_strindex: 0,
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// Name, unit, kind, temporality (1 delta, 2 cumulative, 0 none), monotonic.
const METRICS: [(&str, &str, &str, i32, bool); 13] = [
    ("requests", "1", "sum", 2, true),
    ("bytes", "By", "sum", 2, true),
    ("big", "1", "sum", 2, true),
    ("queue", "1", "sum", 2, false),
    ("events", "1", "sum", 1, true),
    ("balance", "1", "sum", 1, false),
    ("load", "1", "gauge", 0, false),
    ("latency", "ms", "histogram", 2, false),
    ("wait", "ms", "histogram", 1, false),
    ("size", "By", "exponential_histogram", 2, false),
    ("burst", "By", "exponential_histogram", 1, false),
    ("rpc", "ms", "summary", 0, false),
    ("strange", "1", "sum", 0, true),
];

/// Names of about half of the metrics, one at least.
pub fn some_metrics(rng: &mut ChaCha8Rng) -> Vec<String> {
    let half = METRICS.iter().filter(|_| rng.random_bool(0.5));
    let mut names: Vec<String> = half.map(|m| m.0.to_owned()).collect();
    if names.is_empty() {
        names.push("requests".into());
    }
    names
}

/// A few series of every kind, spread over resources and scopes.
pub fn sources(
    began: u64,
    foreign_bounds: bool,
    paths: bool,
    features: &mut Features,
    rng: &mut ChaCha8Rng,
) -> Vec<Source> {
    // All or none: which input of an output came first is not always defined.
    let with_refs = rng.random_bool(0.3);
    let owners: Vec<Rc<Owner>> = (0..rng.random_range(1..5))
        .map(|i| owner(i, with_refs, rng))
        .collect();
    if owners.len() > 1 {
        features.see("several resources or scopes");
    }
    let calm = rng.random_bool(0.15);
    let mut all = Vec::new();
    for _ in 0..rng.random_range(1..4) {
        let (name, unit, kind, temporality, monotonic) = *METRICS.choose(rng).expect("some");
        features.see(match (kind, temporality) {
            ("summary", _) => "summary",
            ("gauge", _) => "gauge",
            (_, 1) => "delta",
            (_, 2) => "cumulative",
            _ => "temporality unspecified",
        });
        for owner in &owners {
            let metric = Rc::new(Metric {
                owner: owner.clone(),
                name: name.into(),
                unit: unit.into(),
                description: format!("what {name} is"),
                kind,
                temporality,
                monotonic,
                big: name == "big",
                double: name != "big",
                wanders: matches!(name, "queue" | "balance" | "load"),
                delta: temporality == 1,
                foreign_bounds,
                oddity: if calm { 0.0 } else { 1.0 },
            });
            for point in series(paths, features, rng) {
                all.push(Source::new(metric.clone(), point, began, rng));
            }
        }
    }
    all
}

fn owner(i: usize, with_refs: bool, rng: &mut ChaCha8Rng) -> Rc<Owner> {
    let mut attributes = vec![text("service.name", ["shop", "cart"][i % 2])];
    if rng.random_bool(0.6) {
        attributes.push(text("host.name", ["h1", "h2"][i / 2 % 2]));
    }
    attributes.push(attribute("process.pid", Value::IntValue(100 + i as i64)));
    let refs = vec![
        EntityRef {
            r#type: "process".into(),
            id_keys: vec!["process.pid".into()],
            ..Default::default()
        },
        EntityRef {
            r#type: "service".into(),
            id_keys: vec!["service.name".into()],
            ..Default::default()
        },
    ];
    let scoped = rng.random_bool(0.5);
    Rc::new(Owner {
        resource: Resource {
            attributes,
            dropped_attributes_count: 0,
            entity_refs: if with_refs { refs } else { Vec::new() },
        },
        resource_schema_url: ["", "https://schema/1"][rng.random_range(0..2)].into(),
        scope: InstrumentationScope {
            name: "meter".into(),
            version: ["", "1.2"][usize::from(scoped)].into(),
            attributes: if scoped {
                vec![text("layer", "edge")]
            } else {
                Vec::new()
            },
            dropped_attributes_count: 0,
        },
        scope_schema_url: String::new(),
    })
}

/// What varies, and what only looks like it.
const PATHS: [&str; 8] = [
    "/users/17",
    "/users/18",
    "/users/me",
    "/v1.2/x-9",
    "/v1.3/x-10",
    "/o/0b9d3a5e-6a0f-4c5b-9b1e-3f6f6f0c9a11",
    "/o/507f1f77bcf86cd799439011",
    "eth0",
];

/// Attribute sets of the series of one metric, all different.
fn series(paths: bool, features: &mut Features, rng: &mut ChaCha8Rng) -> Vec<Vec<KeyValue>> {
    let mut all: Vec<Vec<KeyValue>> = Vec::new();
    for _ in 0..rng.random_range(1..5) {
        let mut one = Vec::new();
        if rng.random_bool(0.8) {
            one.push(text("route", ["/a", "/b"].choose(rng).expect("some")));
        }
        if paths && rng.random_bool(0.7) {
            one.push(text("path", PATHS.choose(rng).expect("some")));
        }
        if rng.random_bool(0.5) {
            one.push(text("method", ["GET", "PUT"].choose(rng).expect("some")));
        }
        if rng.random_bool(0.5) {
            features.see("retyped attribute");
            let id = match rng.random_range(0..4) {
                0 => Value::IntValue(7),
                1 => Value::StringValue("7".into()),
                2 => Value::DoubleValue(7.5),
                _ => Value::BoolValue(true),
            };
            one.push(attribute("customer", id));
        }
        if rng.random_bool(0.15) {
            features.see("nested attribute");
            let inner = KeyValueList {
                values: vec![text("b", "2"), text("a", "1")],
            };
            let list = ArrayValue {
                values: vec![
                    AnyValue {
                        value: Some(Value::KvlistValue(inner)),
                    },
                    AnyValue {
                        value: Some(Value::BytesValue(vec![0, 255])),
                    },
                    AnyValue { value: None },
                ],
            };
            one.push(attribute("tags", Value::ArrayValue(list)));
        }
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}
