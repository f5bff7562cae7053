//! `phoenix prices`, and prices in a replay.

use crate::support::{Folder, counter, json, phoenix};
use phoenix_agent::capture::Writer;

fn out(arguments: &[&str]) -> String {
    let run = phoenix(arguments);
    assert!(run.ok, "{}", run.stderr);
    run.stdout
}

#[test]
fn books_are_listed_and_what_is_shown_can_be_given_back() {
    let list = out(&["prices", "list"]);
    assert!(list.contains("grafana-cloud-pro"), "{list}");
    assert!(
        list.contains("max of active series, data points per minute"),
        "{list}"
    );
    assert!(list.contains("needs a figure of yours"), "{list}");
    let folder = Folder::new();
    let shown = out(&["prices", "show", "grafana-cloud-pro"]);
    let mine = folder.write(
        "mine.yaml",
        shown.replace("name: grafana-cloud-pro", "name: mine"),
    );
    let empty = folder.write("empty.yaml", EMPTY);
    let capture = capture(&folder);
    let found = json(&[
        "replay", "-p", &empty, &capture, "--book", &mine, "-o", "json",
    ]);
    assert_eq!(found["prices"][0]["book"], "mine");
    let wrong = folder.write("wrong.yaml", shown.replace("per: 1000", "per: -1"));
    let run = phoenix(&["replay", "-p", &empty, &capture, "--book", &wrong]);
    assert!(
        !run.ok && run.stderr.contains("spec.charges[0].per"),
        "{}",
        run.stderr
    );
    let run = phoenix(&["prices", "show", "nobodys"]);
    assert!(run.stderr.contains("phoenix prices list"));
}

const EMPTY: &str =
    "apiVersion: phoenix/v1\nkind: Pipeline\nmetadata: { name: empty }\nspec: { stages: [] }\n";

/// Two series, a point each at second 0 and 3600.
fn capture(folder: &Folder) -> String {
    let path = folder.path("c.binpb");
    let mut writer = Writer::create(std::path::Path::new(&path)).unwrap();
    for second in [1_000_000_000u64, 1_000_003_600] {
        for name in ["keep", "debug.noise"] {
            writer.write(&counter(name, 1, second, second)).unwrap();
        }
    }
    writer.finish().unwrap();
    path
}

#[test]
fn a_replay_tells_what_the_cut_is_worth_with_the_meter_and_the_date() {
    let folder = Folder::new();
    let capture = capture(&folder);
    let cut = EMPTY.replace(
        "stages: []",
        "stages: [ { id: f, filter: { drop: [ { metric: \"debug.*\" } ] } } ]",
    );
    let cut = folder.write("cut.yaml", &cut);
    let found = json(&[
        "replay",
        "-p",
        &cut,
        &capture,
        "--prices",
        "cloudwatch-otlp",
        "-o",
        "json",
    ]);
    assert_eq!(found["received"]["samples"], 4);
    assert_eq!(found["exported"]["samples"], 2);
    let estimate = &found["prices"][0];
    // 2 points an hour of 300 to 600 bytes at 0.50 a GB, 730 hours.
    let low = 2.0 * 730.0 * 300.0 / 1e9 * 0.50;
    let got = estimate["saved"]["low"].as_f64().unwrap();
    assert!((got - low).abs() < 1e-12, "{estimate}");
    let got = estimate["saved"]["high"].as_f64().unwrap();
    assert!((got - 2.0 * low).abs() < 1e-12, "{estimate}");
    assert_eq!(estimate["binds"], "bytes ingested");
    assert_eq!(estimate["hours"], 1.0);
    let page = out(&["replay", "-p", &cut, &capture, "--prices", "all"]);
    for words in [
        "What it is worth",
        "SAVED A MONTH",
        "2026-10-03",
        "new-relic: how many bytes",
        "extrapolated from 1.0 h",
    ] {
        assert!(page.contains(words), "{words} is not in:\n{page}");
    }
}

#[test]
fn an_experiment_may_give_the_path_of_its_book() {
    let folder = Folder::new();
    let shown = out(&["prices", "show", "azure-managed-prometheus"]);
    folder.write(
        "mine.yaml",
        shown.replace("name: azure-managed-prometheus", "name: mine"),
    );
    let document = |book: &str| {
        format!(
            "apiVersion: phoenix/v1\nkind: Experiment\nmetadata: {{ name: e }}\n\
             spec: {{ candidate: c, goal: {{ saving: money, target: 20%, priceBook: {book} }}, \
             guardrails: {{ queries: [ {{ name: q, expr: 'topk(3, x)' }} ] }} }}\n"
        )
    };
    let good = folder.write("e.yaml", document("./mine.yaml"));
    let said = out(&["validate", &good]);
    assert!(
        said.contains("is valid") && said.contains("(warning)"),
        "{said}"
    );
    let gone = folder.write("gone.yaml", document("./nobodys.yaml"));
    let run = phoenix(&["validate", &gone]);
    assert!(
        !run.ok
            && run.stdout.contains("spec.goal.priceBook")
            && run.stdout.contains("cannot be read"),
        "{}",
        run.stdout
    );
    folder.write("mine.yaml", shown.replace("price: 0.16", "price: -1"));
    let run = phoenix(&["validate", &good]);
    assert!(
        run.stdout
            .contains("spec.goal.priceBook.spec.charges[0].tiers[0].price"),
        "{}",
        run.stdout
    );
}
