//! Recorded traffic over pipelines that a user would write: the engine writes the model's points.
//!
//! Real captures hold few oddities and many series. Skipped, loudly, where there are none.

use super::duel::{model_settings, settings};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::MetricsData;
use phoenix_engine::compile::{self, compile};
use phoenix_engine::engine::Engine;
use phoenix_model::reference::compare::{Look, differences};
use phoenix_model::reference::point::points;
use phoenix_model::reference::{Model, Plan};
use prost::Message;
use std::path::{Path, PathBuf};

const PIPELINES: [&str; 12] = [
    "    - { id: t, transform: { match: { metric: \"process.*\" }, ops: [ { rename_metric: { from: \"process.*\", to: \"proc.*\" } }, { rename_attribute: { from: process.command, to: command } }, { set: { attribute: env, value: test, level: resource } }, { classify: { into: priority, rules: [ { match: { metric: \"*.cpu.*\" }, as: high } ], otherwise: low } } ] } }
    - { id: u, transform: { match: { type: [sum, histogram, exponential_histogram] }, ops: [ { normalise: { attribute: url.path, patterns: [ids, uuids, numbers] } }, { normalise: { attribute: process.executable.name, patterns: [versions, hex, numbers] } } ] } }
    - { id: a, aggregate: { match: { type: [sum, histogram, exponential_histogram] }, without: [customer.id, process.command_line], interval: 10s } }",
    "    - { id: f, filter: { drop: [ { metric: \"system.*\" }, { type: summary } ] } }
    - { id: n, sample: { match: { metric: \"process.*\" }, fraction: 0.3, entity: [process.pid] } }",
    "    - { id: e, sample: { match: { metric: \"*\" }, every: 30s } }",
    "    - { id: v, filter: { drop: [ { metric: \"*\", value: { lt: 10 } }, { attributes: { process.pid: { gte: 30000 }, container.id: { exists: false } } } ] } }
    - { id: i, filter: { match: { metric: \"process.*\" }, entity: [host.name, process.pid], drop_when: [ { metric: process.cpu.time, by: rate, below: 0.01 }, { metric: process.memory.usage, below: 50000000 } ], for: 20s, interval: 10s } }
    - { id: a, aggregate: { match: { metric: \"*\" }, without: [process.pid, customer.id], interval: 10s, function: sum } }",
    "    - { id: a, aggregate: { match: { metric: \"*\" }, without: [process.pid, process.parent_pid, process.command_line, process.command, customer.id, url.path], interval: 10s, function: sum } }",
    "    - { id: a, aggregate: { match: { metric: \"*\" }, by: [process.executable.name, service.name, http.request.method, host.name], interval: 30s, function: max } }
    - { id: b, aggregate: { match: { metric: \"*\" }, by: [host.name], interval: 60s, function: max, rename: \"all.{name}\" } }",
    "    - { id: q, quantise: { match: { type: gauge }, digits: 2 } }
    - { id: h, histogram: { match: { metric: \"*\" }, max_scale: 2, max_buckets: 30, bounds: [0.01, 0.1, 1, 10, 100, 1000] } }
    - { id: a, aggregate: { match: { metric: \"*\" }, without: [process.pid, process.command_line], interval: 10s, function: max } }",
    "    - { id: d, temporality: { match: { metric: \"*\" }, to: delta } }
    - { id: h, histogram: { match: { metric: \"*\" }, to: explicit, bounds: [0.01, 0.1, 1, 10, 100, 1000] } }
    - { id: t, temporality: { match: { type: histogram }, to: cumulative } }
    - { id: a, aggregate: { match: { metric: \"*\" }, without: [process.pid, process.command_line], interval: 10s, function: max } }",
    "    - { id: n, sample: { match: { metric: \"*\" }, fraction: 0.3, entity: [process.pid] } }
    - { id: a, aggregate: { match: { metric: \"*\" }, without: [process.pid, process.parent_pid, process.command_line, process.command, customer.id, url.path], interval: 10s, function: sum } }",
    "    - { id: u, sample: { match: { type: [sum, histogram, exponential_histogram, summary] }, unchanged: true } }
    - { id: d, sample: { match: { type: gauge }, deadband: { relative: 0.1 }, heartbeat: 60s } }
    - { id: a, aggregate: { match: { type: sum, monotonic: true }, without: [process.pid, process.command_line], interval: 30s } }",
    "    - { id: t, topk: { entity: [process.pid], rank: [ { metric: process.cpu.time, by: rate }, { metric: process.memory.usage, by: value } ], k: 10, hysteresis: 2, interval: 10s } }",
    "    - { id: l, limit: { series: 5, per: metric, interval: 10s, overflow: { keep: [service.name] } } }",
];

/// The folder of captures; where there is none, what uses it says so and skips.
fn captures() -> Option<PathBuf> {
    let here = std::env::var_os("PHOENIX_CAPTURES").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    let folder = here.unwrap_or_else(beside);
    if !folder.is_dir() {
        eprintln!(
            "SKIPPED: no captures at {}; set PHOENIX_CAPTURES",
            folder.display()
        );
        return None;
    }
    Some(folder)
}

/// Messages of a capture, at most `most`.
fn read(path: &Path, most: usize) -> Vec<Vec<u8>> {
    let packed = std::fs::read(path).expect("a capture");
    let bytes = zstd::decode_all(&packed[..]).expect("zstd");
    if path.to_string_lossy().contains(".json") {
        let text = String::from_utf8(bytes).expect("UTF-8");
        let parse = |line: &str| {
            let data: MetricsData = serde_json::from_str(line).expect("OTLP/JSON");
            data.encode_to_vec()
        };
        return text.lines().take(most).map(parse).collect();
    }
    let mut rest = &bytes[..];
    let mut all = Vec::new();
    while let (Some((length, tail)), true) = (rest.split_first_chunk::<4>(), all.len() < most) {
        let (message, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        all.push(message.to_vec());
        rest = tail;
    }
    all
}

fn replay(name: &str, messages: &[Vec<u8>], stages: &str) {
    let document = format!(
        "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: {{ name: p }}\nspec:\n  stages:\n{stages}\n"
    );
    let requests: Vec<(Bytes, ExportMetricsServiceRequest, u64)> = messages
        .iter()
        .map(|m| {
            let request = ExportMetricsServiceRequest::decode(&m[..]).expect("OTLP");
            let latest = points(&request).iter().map(|p| p.time).max().unwrap_or(0);
            (Bytes::from(m.clone()), request, latest)
        })
        .collect();
    let times = requests
        .iter()
        .flat_map(|(_, r, _)| points(r))
        .map(|p| p.time);
    let began = times.min().unwrap_or(0);
    let settings = settings(began);
    let pipeline = compile(&document).unwrap_or_else(|p| panic!("{p:?}"));
    let plan = compile::Plan::new(pipeline, None).expect("a plan");
    let model_plan = Plan {
        baseline: document,
        candidate: None,
    };
    let mut model = Model::new(model_plan, model_settings(&settings));
    let mut engine = Engine::new(settings, plan, began);
    let mut now = began;
    let mut written = 0;
    let look = Look::InARow;
    let check =
        |at: usize, emitted: &Bytes, expected: &[phoenix_model::reference::point::Point]| {
            let got = super::duel::decoded(emitted).expect("OTLP");
            let lines = differences(expected, &got, look);
            let shown: Vec<&String> = lines.iter().take(20).collect();
            assert!(
                lines.is_empty(),
                "{name}, message {at}: {} lines\n{shown:#?}\n{stages}",
                lines.len()
            );
            got.len()
        };
    for (at, (bytes, request, latest)) in requests.iter().enumerate() {
        now = now.max(*latest);
        let fed = engine.feed(bytes, now).expect("a valid request");
        written += check(at, &fed.emitted.out, &model.feed(request, now).out);
    }
    written += check(usize::MAX, &engine.finish(now).out, &model.finish(now).out);
    let ledger = engine.figures().baseline.ledger;
    let account = model.accounts().0;
    assert_eq!(ledger.imbalance(), 0);
    assert_eq!(
        (ledger.received, ledger.exported),
        (account.received, account.exported)
    );
    assert_eq!(
        (ledger.filtered, ledger.sampled_out),
        (account.filtered, account.sampled_out)
    );
    assert_eq!(ledger.merged, account.merged, "{name} {stages}");
    eprintln!("{name}: {} points in, {written} out", ledger.received);
}

#[test]
fn captures_are_cut_like_the_model_says() {
    let Some(folder) = captures() else { return };
    // A part of each shows every metric. More adds points, not kinds of points, and the model takes longer
    // with every series that it has met: 16 messages are a minute of CPU, 48 more than four.
    let most = std::env::var("PHOENIX_CASES")
        .ok()
        .and_then(|n| n.parse::<usize>().ok())
        .map_or(8, |cases| cases.min(24));
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of captures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(".zst"))
        .collect();
    files.sort();
    for file in files {
        let messages = read(&file, most);
        let name = file
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        for stages in PIPELINES {
            replay(&name, &messages, stages);
        }
    }
}
