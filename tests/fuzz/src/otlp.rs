//! Any bytes as a request: what the engine takes, the generated types take, and what it writes is what
//! the reference model writes. The first byte chooses the pipeline.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use phoenix_engine::compile::{self, compile};
use phoenix_engine::engine::{Engine, Refusal, Settings};
use phoenix_model::reference::compare::{Look, differences};
use phoenix_model::reference::point::points;
use phoenix_model::reference::{self, Model};
use prost::Message;

const NOW: u64 = 100_000_000_000_000;

/// Stages, and whether the model is compared point for point.
const PIPELINES: [(&str, bool); 13] = [
    ("[]", true),
    (
        "[ { id: f, filter: { drop: [ { metric: \"r*\" }, { attributes: { customer: \"7\" } } ] } } ]",
        true,
    ),
    (
        "[ { id: n, sample: { match: {}, fraction: 0.5, entity: [process.pid] } } ]",
        true,
    ),
    ("[ { id: e, sample: { match: {}, every: 10s } } ]", true),
    (
        "[ { id: a, aggregate: { match: {}, without: [process.pid, customer], interval: 10s, function: sum } } ]",
        true,
    ),
    (
        "[ { id: a, aggregate: { match: {}, by: [host.name], interval: 10s, function: max } }, { id: e, sample: { match: {}, every: 60s } } ]",
        true,
    ),
    (
        "[ { id: q, sample: { match: { type: sum }, unchanged: true } }, { id: d, quantise: { match: {}, digits: 2 } } ]",
        true,
    ),
    (
        "[ { id: h, histogram: { match: {}, max_scale: 2, max_buckets: 40, bounds: [1, 10] } }, { id: t, temporality: { match: {}, to: delta } } ]",
        true,
    ),
    (
        "[ { id: t, temporality: { match: {}, to: cumulative } }, { id: h, histogram: { match: {}, to: explicit, bounds: [1, 10] } } ]",
        true,
    ),
    (
        "[ { id: k, topk: { match: {}, entity: [process.pid], k: 1, rank: { metric: requests, by: rate } } } ]",
        true,
    ),
    (
        "[ { id: l, limit: { match: {}, series: 2, per: metric } } ]",
        true,
    ),
    (
        "[ { id: x, transform: { match: {}, ops: [ { rename_attribute: { from: customer, to: route } }, { rename_metric: { from: 'r*', to: 'x*' } } ] } } ]",
        true,
    ),
    (
        "[ { id: x, transform: { match: {}, ops: [ { normalise: { attribute: route, patterns: [uuids, versions, ids, hex, numbers] } } ] } }, { id: m, aggregate: { match: {}, without: [] } } ]",
        true,
    ),
];

fn document(stages: &str) -> String {
    format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec: {{ stages: {stages} }}\n"
    )
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, request)) = data.split_first() else {
        return;
    };
    let (stages, compared) = PIPELINES[usize::from(*choice) % PIPELINES.len()];
    let text = document(stages);
    let pipeline = compile(&text).unwrap_or_else(|problems| panic!("{stages}: {problems:?}"));
    let plan = compile::Plan::new(pipeline, None).expect("a plan");
    let settings = Settings {
        node: "n1".into(),
        began: NOW,
        ..Settings::default()
    };
    let mut model = Model::new(
        reference::Plan {
            baseline: text,
            candidate: None,
        },
        reference::Settings {
            node: settings.node.clone(),
            node_keys: settings.node_keys.clone(),
            fleet_seed: settings.fleet_seed,
            began: settings.began,
            attributes: settings.limits.attributes,
            value_bytes: settings.limits.value_bytes,
        },
    );
    let mut engine = Engine::new(settings, plan, NOW);
    let bytes = Bytes::copy_from_slice(request);
    let decoded = ExportMetricsServiceRequest::decode(bytes.clone());
    let fed = match (engine.feed(&bytes, NOW), &decoded) {
        (Ok(fed), Ok(_)) => fed,
        (Ok(_), Err(error)) => panic!("taken, but the generated types say: {error}"),
        (Err(Refusal::Malformed { offset, what }), Ok(_)) => {
            panic!("refused at byte {offset} ({what}), but the generated types take it")
        }
        (Err(_), _) => {
            let figures = engine.figures().baseline;
            assert_eq!(figures.ledger.received, 0, "a refusal changed the ledger");
            return;
        }
    };
    let decoded = decoded.expect("taken by both");
    let mut outs = vec![(
        fed.emitted.out,
        fed.emitted.points,
        model.feed(&decoded, NOW).out,
    )];
    let end = engine.finish(NOW);
    outs.push((end.out, end.points, model.finish(NOW).out));
    for (bytes, said, expected) in outs {
        let out = ExportMetricsServiceRequest::decode(bytes).expect("valid OTLP is written");
        let got = points(&out);
        assert_eq!(got.len() as u64, said, "counted otherwise than written");
        if compared {
            let lines = differences(&expected, &got, Look::Closely);
            assert!(lines.is_empty(), "{lines:#?}");
        }
    }
    let ledger = engine.figures().baseline.ledger;
    assert_eq!(ledger.imbalance(), 0, "{ledger:?}");
});
