//! Price books: every shipped figure was seen somewhere, and bills are what a hand calculation gives.
#![allow(clippy::unwrap_used, clippy::panic)]

use phoenix_analysis::criteria::{Criteria, Goal, Measure, Mode};
use phoenix_analysis::prices::{PriceBook, Usage, Use, estimate, find, read, shipped};
use phoenix_analysis::verdict::{Outcome, Saving, Savings, Verdict, Windows};

fn project(path: &str) -> String {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn book(name: &str) -> PriceBook {
    read(find(name).unwrap()).unwrap()
}

/// The row of the collection that a book is of.
fn row(name: &str) -> &'static str {
    match name {
        "amazon-managed-prometheus" => "Amazon Managed Service for Prometheus",
        "azure-managed-prometheus" => "Azure Monitor managed Prometheus",
        "cloudwatch-custom-metrics" => "Amazon CloudWatch classic",
        "cloudwatch-otlp" => "Amazon CloudWatch **OTLP**",
        "datadog-custom-metrics" => "Datadog custom metrics (cardinality plan)",
        "elastic-serverless" => "Elastic Observability Serverless",
        "google-managed-prometheus" => "Google Managed Service for Prometheus",
        "grafana-cloud-pro" => "Grafana Cloud Pro",
        "new-relic" => "New Relic",
        "self-hosted-mimir" => "Mimir, self-hosted",
        "self-hosted-prometheus" => "Prometheus, self-hosted",
        "self-hosted-victoriametrics" => "VictoriaMetrics, self-hosted",
        other => panic!("{other} has no row"),
    }
}

/// A number as the collection may write it: 0.9, 0.90, 10k, 2 B, 100 000.
fn forms(number: f64) -> Vec<String> {
    let mut forms = vec![
        number.to_string(),
        format!("{number:.2}"),
        format!("{number:.3}"),
    ];
    for (unit, names) in [
        (1e3, &["k", " KB", "k "][..]),
        (1e6, &["M", " M"][..]),
        (1e9, &[" B"][..]),
    ] {
        let short = number / unit;
        if short >= 1.0 && (short * 1000.0).fract() == 0.0 {
            forms.extend(names.iter().map(|name| format!("{short}{name}")));
        }
    }
    if number == 100_000.0 {
        forms.push("100 000".into());
    }
    forms
}

/// Whether a text has the number as a number of its own.
fn has(text: &str, number: f64) -> bool {
    let own = |form: &String| {
        text.match_indices(form.as_str()).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + form.len()..].chars().next();
            !before.is_some_and(|c| c.is_ascii_digit() || c == '.')
                && !after.is_some_and(|c| c.is_ascii_digit())
        })
    };
    forms(number).iter().any(own)
}

#[test]
fn every_figure_of_a_shipped_book_is_in_the_collection_of_list_prices() {
    let sources = project("prices/SOURCES.md");
    let datadog = sources
        .lines()
        .find(|l| l.starts_with("- **Datadog.**"))
        .unwrap();
    for book in shipped().unwrap() {
        let name = book.name.as_str();
        let start = format!("| {}", row(name));
        let mut text = sources
            .lines()
            .find(|l| l.starts_with(&start))
            .unwrap()
            .to_owned();
        if name.starts_with("datadog") {
            text.push_str(datadog);
        }
        let seen = |what: &str, number: f64| {
            assert!(
                has(&text, number),
                "{name}: {what} {number} is not in:\n{text}"
            );
        };
        let date = book.spec.date.split_whitespace().last().unwrap();
        assert!(sources.contains(date), "{name}: {date}");
        for charge in &book.spec.charges {
            // What a GB is, and one, are no figures of anybody.
            if charge.unit.starts_with("GB") {
                assert!(charge.per == 1e9, "{name}");
            } else if charge.per != 1.0 {
                let million = charge.per == 1e6 && text.contains("per million");
                assert!(
                    million || has(&text, charge.per),
                    "{name}: per {}",
                    charge.per
                );
            }
            if charge.included > 0.0 {
                let gb = charge.included / charge.per;
                let as_gb = charge.unit == "GB" && text.contains(&format!("{gb} GB"));
                assert!(
                    as_gb || has(&text, charge.included),
                    "{name}: {}",
                    charge.included
                );
            }
            for factor in [charge.times.from, charge.times.to] {
                let multiple = text.contains(&format!("= x{factor} per tag set"));
                assert!(
                    factor == 1.0 || multiple || has(&text, factor),
                    "{name}: {factor}"
                );
            }
            let mut before = 0.0;
            for tier in &charge.tiers {
                seen("price", tier.price);
                if let Some(bound) = tier.up_to {
                    let next = bound - before;
                    assert!(
                        has(&text, bound) || has(&text, next),
                        "{name}: up to {bound}"
                    );
                    before = bound;
                }
            }
        }
    }
}

#[test]
fn the_check_of_figures_can_fail() {
    assert!(has("| $6.50 / $5.90 per 1k series", 6.5));
    assert!(has("first 2 B, next 250 B", 250e9));
    assert!(!has("| $6.50 / $5.90", 6.4));
    assert!(!has("| $16.50 / $5.90", 6.5));
    assert!(!has("| $0.125 /", 0.12));
}

/// 720 hours seen as they are: 1 month of 730 h.
fn usage(series: (u64, u64), samples: (u64, u64), points: (u64, u64)) -> Usage {
    Usage::counted(730.0, Some(series), Some(samples), points, (0, 0))
}

fn near(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!(
        (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
        "{found} is not {expected}"
    );
}

#[test]
fn a_bill_is_what_lies_in_each_tier_beyond_what_is_included() {
    // 3 B samples: 40 M free, up to 2 B at 0.90, the rest at 0.35 for 10 M; then 1 B.
    let found = estimate(
        &book("amazon-managed-prometheus"),
        &usage((0, 0), (3_000_000_000, 1_000_000_000), (0, 0)),
    );
    let before = 196.0 * 0.90 + 100.0 * 0.35;
    let after = 96.0 * 0.90;
    near(found.before.unwrap().low, before);
    near(found.saved.unwrap().low, before - after);
    near(found.share.unwrap().low, 1.0 - after / before);
    near(found.saved.unwrap().high, before - after);
    assert_eq!(found.binds.as_deref(), Some("samples ingested"));
    assert_eq!(found.unknown, None);
    // Below what is included a cut saves nothing.
    let small = estimate(
        &book("amazon-managed-prometheus"),
        &usage((0, 0), (30_000_000, 1_000), (0, 0)),
    );
    near(small.saved.unwrap().high, 0.0);
    assert_eq!(small.binds, None);
    assert_eq!(small.nothing.as_deref(), Some("within what is included"));
}

#[test]
fn why_nothing_is_saved_is_what_is_so() {
    let amazon = book("amazon-managed-prometheus");
    let why = |book: &PriceBook, usage: &Usage| {
        let found = estimate(book, usage);
        (found.binds, found.nothing.unwrap_or_default())
    };
    // Paid for, and the same is sent: it is not for what is included.
    let same = usage((1, 1), (3_000_000_000, 3_000_000_000), (0, 0));
    let (binds, nothing) = why(&amazon, &same);
    assert_eq!(binds.as_deref(), Some("samples ingested"));
    assert_eq!(nothing, "samples ingested decides it and stays the same");
    let (binds, nothing) = why(&amazon, &usage((1, 1), (0, 0), (0, 0)));
    assert_eq!(
        (binds, nothing.as_str()),
        (None, "nothing was sent that it counts")
    );
    // Of the largest: another meter than the one that was cut.
    let month = |dpm: u64| dpm * 43_800;
    let slower = usage((20_000, 20_000), (month(15_000), month(10_000)), (1, 1));
    let (binds, nothing) = why(&book("grafana-cloud-pro"), &slower);
    assert_eq!(binds.as_deref(), Some("active series"));
    assert_eq!(nothing, "active series decides it and stays the same");
    let small = usage((9_000, 1), (month(9_000), month(1)), (1, 1));
    assert_eq!(
        why(&book("grafana-cloud-pro"), &small).1,
        "within what is included"
    );
    let free = find("azure-managed-prometheus")
        .unwrap()
        .replace("price: 0.16", "price: 0");
    let (_, nothing) = why(&read(&free).unwrap(), &usage((1, 1), (5, 3), (1, 1)));
    assert_eq!(nothing, "what it counts costs nothing");
    // Something is saved, or it costs more: there is nothing to explain.
    assert_eq!(
        why(&amazon, &usage((1, 1), (3_000_000_000, 1), (0, 0))).1,
        ""
    );
    assert_eq!(
        why(&amazon, &usage((1, 1), (1, 3_000_000_000), (0, 0))).1,
        ""
    );
}

#[test]
fn the_meter_that_binds_is_named_and_may_change() {
    // 20 000 series at 4 points a minute: data points bind; at 1 a minute of 15 000 series they do not.
    let month = |dpm: u64| dpm * 43_800;
    let seen = usage((20_000, 15_000), (month(80_000), month(15_000) - 1), (1, 1));
    let found = estimate(&book("grafana-cloud-pro"), &seen);
    assert_eq!(found.binds.as_deref(), Some("data points per minute"));
    assert_eq!(found.binds_after.as_deref(), Some("active series"));
    near(found.before.unwrap().low, 70.0 * 6.50);
    near(found.saved.unwrap().low, 70.0 * 6.50 - 5.0 * 6.50);
    // Halving the rate saves nothing where series bind.
    let slow = usage((20_000, 20_000), (month(20_000), month(10_000)), (1, 1));
    let found = estimate(&book("grafana-cloud-pro"), &slow);
    near(found.saved.unwrap().high, 0.0);
    assert_eq!(found.binds_after, None);
}

#[test]
fn what_is_known_as_a_range_is_priced_as_one() {
    let found = estimate(
        &book("datadog-custom-metrics"),
        &usage((1000, 400), (1, 1), (1, 1)),
    );
    near(found.saved.unwrap().low, 6.0 * 5.0);
    near(found.saved.unwrap().high, 5.0 * 6.0 * 5.0);
    // A histogram is counted by the buckets that are not empty.
    let seen = usage((1, 1), (10_000_000, 4_000_000), (2_000_000, 1_000_000));
    let found = estimate(&book("google-managed-prometheus"), &seen);
    near(found.saved.unwrap().low, 1.0 * 0.060);
    near(found.saved.unwrap().high, 6.0 * 0.060);
    let found = estimate(
        &book("cloudwatch-otlp"),
        &usage((1, 1), (1, 1), (2_000_000_000, 1_000_000_000)),
    );
    near(found.saved.unwrap().low, 300.0 * 0.50);
    near(found.saved.unwrap().high, 600.0 * 0.50);
}

#[test]
fn without_a_figure_there_is_no_number_and_the_reason_is_told() {
    let seen = usage((1000, 400), (1_000_000, 1_000), (1_000_000, 1_000));
    let found = estimate(&book("new-relic"), &seen);
    assert_eq!((found.saved, found.before), (None, None));
    assert!(found.unknown.unwrap().contains("was not seen"));
    assert_eq!(found.charges[0].before, None);
    // No price: quantities.
    let found = estimate(
        &book("self-hosted-mimir"),
        &usage((1_000_000, 400_000), (1, 1), (1, 1)),
    );
    assert_eq!(found.saved, None);
    assert!(found.unknown.unwrap().contains("no price"));
    near(found.charges[0].before.unwrap().low, 25.0);
    near(found.charges[0].after.unwrap().high, 10.0);
    near(found.charges[1].before.unwrap().low, 10.0);
    // Not measured.
    let seen = Usage::counted(1.0, Some((5, 5)), None, (5, 5), (5, 5));
    let found = estimate(&book("azure-managed-prometheus"), &seen);
    assert_eq!(found.saved, None);
    assert!(found.unknown.unwrap().contains("was not measured"));
}

#[test]
fn a_book_of_ones_own_is_read_and_its_mistakes_are_named() {
    let mine = find("self-hosted-mimir")
        .unwrap()
        .replace("unit: core", "unit: core\n      tiers: [ { price: 20 } ]");
    let mine = mine.replace(
        "unit: GB of RAM",
        "unit: GB of RAM\n      tiers: [ { price: 3 } ]",
    );
    let found = estimate(
        &read(&mine).unwrap(),
        &usage((1_000_000, 400_000), (1, 1), (1, 1)),
    );
    near(found.saved.unwrap().low, 15.0 * 3.0 + 6.0 * 20.0);
    let wrong = find("grafana-cloud-pro")
        .unwrap()
        .replace("2026-09-15\"\n", "last year\"\n")
        .replace("upTo: 200000", "upTo: 20")
        .replace(
            "per: 1000\n      unit: 1k DPM",
            "per: 0\n      unit: 1k DPM",
        );
    let problems = read(&wrong).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "spec.date",
            "spec.charges[0].tiers[1].upTo",
            "spec.charges[1].per",
            "spec.charges[1].tiers[1].upTo"
        ]
    );
    let unknown = find("new-relic").unwrap().replace("included:", "includes:");
    assert_eq!(
        read(&unknown).unwrap_err()[0].path,
        "spec.charges[0].includes"
    );
}

fn verdict(mode: Mode, saving: Saving) -> Verdict {
    let goal = Goal::new(Measure::Points, 0.2);
    Verdict {
        outcome: Outcome::Promote,
        reason: String::new(),
        harm: false,
        criteria: Vec::new(),
        savings: Savings {
            points: saving.clone(),
            series: saving,
            ..Savings::default()
        },
        money: Vec::new(),
        windows: Windows {
            used: 36,
            ..Windows::default()
        },
        judge_version: 1,
        asked: Criteria::new(mode, 100_000, 6, goal),
    }
}

#[test]
fn a_verdict_is_extrapolated_to_a_month_with_the_bounds_of_its_saving() {
    let saving = Saving {
        baseline_in: Some(720),
        baseline: Some(360),
        candidate_in: Some(720),
        candidate: Some(180),
        saving: Some(0.5),
        lower: Some(0.4),
        upper: None,
        exact: true,
    };
    // 36 windows of 100 s are an hour.
    let found = Usage::of(&verdict(Mode::Shadow, saving.clone()));
    assert_eq!(found.hours, 1.0);
    let points = Use {
        before: 360.0 * 730.0,
        after: 180.0 * 730.0,
        least: None,
        most: Some(0.6 * 360.0 * 730.0),
    };
    assert_eq!(found.points, Some(points));
    assert_eq!(found.series.map(|s| (s.before, s.after)), Some((10.0, 5.0)));
    assert_eq!((found.samples, found.bytes), (None, None));
    // Each arm had half of what came in: on the baseline the fleet would have had twice its half.
    let split = Usage::of(&verdict(Mode::Split, saving));
    assert_eq!(split.points.unwrap().before, 2.0 * 360.0 * 730.0);
    // An end that is not known stays open.
    let found = estimate(
        &book("cloudwatch-custom-metrics"),
        &Usage {
            series: Some(Use {
                before: 1000.0,
                after: 500.0,
                least: None,
                most: Some(600.0),
            }),
            ..found
        },
    );
    let saved = found.saved.unwrap();
    assert_eq!((saved.low, saved.high), (None, None));
}
