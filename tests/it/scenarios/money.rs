//! A goal in money with a real agent: held against a price book, promoted on what two sinks counted, and judged
//! alike without a server.

use super::experiments::{begin, experiment, stream};
use super::world::{counts, pipeline};
use phoenix_tests::harness::eventually;
use reqwest::Method;

/// A million samples of a month cost 2 units, beyond a thousand.
const BOOK: &str = "{ apiVersion: phoenix/v1, kind: PriceBook, metadata: { name: ours }, spec: { \
    currency: EUR, date: 2026-11-26, source: contract, confidence: high, charges: [ { name: samples ingested, \
    counts: samples, how: every sample, per: 1000000, unit: 1 M samples, included: 1000, \
    tiers: [ { price: 2 } ] } ] } }";

/// Few points, and most of the samples.
const NO_HISTOGRAMS: &str = r#"  protect: [ { attributes: { process.executable.name: [nginx, postgres] } } ]
  stages:
    - id: cut
      filter: { drop: [ { type: [histogram, exponential_histogram] }, { metric: "process.memory.*" } ] }"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goal_in_money_is_promoted_on_what_sinks_counted_and_judged_alike_offline() {
    let (world, fleet) = begin(&[]).await;
    world.apply(&pipeline("cut", NO_HISTOGRAMS)).await;
    let rest = |book: &str| {
        format!(
            "steps: [ {{ step: shadow, minWindows: 6 }} ], maxDuration: 60s, onSuccess: promote, \
             goal: {{ saving: money, target: 10%, perMonth: 1, priceBook: {book} }}"
        )
    };
    let document = experiment("worth", "cut", &rest("new-relic"));
    let refused = document.trim_start_matches("---\n").to_owned();
    let api = &world.control.api;
    let (status, body) = api
        .send(Method::PUT, "/experiments/worth", Some(refused))
        .await;
    assert!(status.is_client_error(), "{status} {body}");
    assert!(body.to_string().contains("gives no amount"), "{body}");

    let document = experiment("worth", "cut", &rest(BOOK));
    let ended = world.run("worth", &document).await;
    let verdict = &ended["verdict"];
    assert_eq!(verdict["outcome"], "promote", "{ended:#}");
    world
        .active(ended["candidateHash"].as_str().expect("hash"))
        .await;

    // What both sinks counted in the windows that were used, as a bill.
    let windows = world.windows("worth").await;
    let used: Vec<_> = windows.iter().filter(|w| w["voidReason"] == "").collect();
    let mut sums = [0u64; 2];
    for window in &used {
        let arms = [("baseline", &world.sink), ("candidate", &world.shadow)];
        for (sum, (arm, sink)) in sums.iter_mut().zip(arms) {
            let (from, to) = stream(&window[arm]);
            let counted = eventually("the window to arrive at the sink", async || {
                counts(sink, |s| s.totals().points >= to)
                    .then(|| counts(sink, |s| s.range(from, to)))
            })
            .await
            .expect("a window's edges are edges of requests");
            assert_eq!(window[arm]["samplesOut"].as_u64(), Some(counted.samples));
            *sum += counted.samples;
        }
    }
    let hours = used.len() as f64 / 3600.0;
    let bill = |samples: u64| (samples as f64 * 730.0 / hours - 1000.0) / 1e6 * 2.0;
    let money = &ended["money"][0];
    assert_eq!(
        (&money["book"], &money["binds"]),
        (&"ours".into(), &"samples ingested".into())
    );
    let near = |found: &serde_json::Value, expected: f64| {
        let found = found.as_f64().expect("a number");
        assert!(
            (found - expected).abs() < 1e-9 * expected,
            "{found} {expected}"
        );
    };
    near(&money["before"]["low"], bill(sums[0]));
    let counted = bill(sums[0]) - bill(sums[1]);
    near(&money["saved"]["low"], counted);
    near(&money["saved"]["high"], counted);
    let points = verdict["savings"]["points"]["saving"].as_f64();
    let share = money["share"]["low"].as_f64();
    assert!(
        share > points,
        "the meter decides, not the points: {share:?} {points:?}"
    );
    let shown = ended["money"].as_array().expect("a list");
    assert!(
        shown.iter().any(|m| m["book"] == "grafana-cloud-pro"),
        "{shown:#?}"
    );

    // The same windows, elsewhere.
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let lines: Vec<String> = windows.iter().map(ToString::to_string).collect();
    let windows = at("windows.jsonl", &lines.join("\n"));
    let document = at("worth.yaml", &document);
    let (code, out) = world
        .control
        .cli(&["judge", "--experiment", &document, &windows, "-o", "json"])
        .await;
    assert_eq!(code, 0, "{out}");
    let offline: serde_json::Value = serde_json::from_str(&out).expect("a verdict");
    assert_eq!(offline["reason"], verdict["reason"]);
    assert_eq!(offline["money"], verdict["money"]);
    fleet.tell("/stop").await;
    world.ledger().await;
}
