//! Model and generator by themselves: they must be able to catch something.

use super::{PLAIN, Wanted, duel, for_all};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use phoenix_model::reference::compare::{Look, differences};
use phoenix_model::reference::point::points;
use phoenix_model::traffic::{Action, Case, Features, case, encode, request};
use prost::Message;

/// Everything that recorded traffic lacks; a generator that stops making one of these is broken.
const ODDITIES: [&str; 34] = [
    "NaN",
    "a little ahead",
    "bounds change",
    "cumulative",
    "delta",
    "duplicate",
    "duplicate singular fields",
    "empty messages",
    "exemplars",
    "future point",
    "gauge",
    "infinity",
    "int becomes double",
    "late point",
    "long varints",
    "near i64 overflow",
    "nested attribute",
    "no recorded value",
    "out of order",
    "reordered attributes",
    "reset, new start",
    "reset, start as before",
    "retyped attribute",
    "returned",
    "scale change",
    "several resources or scopes",
    "shuffled fields (split attribute regions, resource after scopes)",
    "stands still",
    "start moved, same epoch",
    "start unknown: the point's time",
    "start unknown: zero",
    "summary",
    "sum goes missing",
    "zero threshold change",
];

const REST: [&str; 6] = [
    "split singular messages",
    "temporality unspecified",
    "unknown fields",
    "unpacked buckets",
    "vanished for a while",
    "vanished past expiry",
];

#[test]
fn the_generator_makes_every_oddity() {
    let mut features = Features::default();
    let wanted = Wanted {
        shapes: true,
        ..PLAIN
    };
    let mut sent = 0;
    for seed in 0..100 {
        for action in case(seed, wanted, &mut features).actions {
            if let Action::Feed { points, .. } = action {
                sent += points.len();
            }
        }
    }
    eprintln!("in {sent} generated points:");
    for (what, n) in &features.all {
        eprintln!("{n:8} {what}");
    }
    for what in ODDITIES.into_iter().chain(REST) {
        assert!(
            features.all.get(what).is_some_and(|n| *n > 0),
            "never: {what}"
        );
    }
}

/// What a sender of any metric does.
const OF_EVERY_KIND: [&str; 14] = [
    "a little ahead",
    "duplicate",
    "future point",
    "late point",
    "no recorded value",
    "out of order",
    "reset, new start",
    "reset, start as before",
    "returned",
    "start moved, same epoch",
    "start unknown: the point's time",
    "start unknown: zero",
    "vanished for a while",
    "vanished past expiry",
];

/// What only some do.
const OF_SOME: [(&str, &[&str]); 11] = [
    ("gauge", NUMBERS),
    ("cumulative sum", NUMBERS),
    ("cumulative sum", &["near i64 overflow"]),
    ("cumulative sum that may fall", NUMBERS),
    ("delta sum", NUMBERS),
    ("delta sum that may fall", NUMBERS),
    ("cumulative histogram", EXPLICIT),
    ("delta histogram", EXPLICIT),
    ("cumulative exponential histogram", EXPONENTIAL),
    ("delta exponential histogram", EXPONENTIAL),
    ("summary", &["a summary's sum is NaN or infinite"]),
];
const NUMBERS: &[&str] = &["NaN", "infinity", "int becomes double", "exemplars"];
const EXPLICIT: &[&str] = &[
    "a histogram's sum is NaN or infinite",
    "bounds change",
    "exemplars",
    "sum goes missing",
];
const EXPONENTIAL: &[&str] = &[
    "a histogram's sum is NaN or infinite",
    "exemplars",
    "scale change",
    "sum goes missing",
    "zero threshold change",
];

#[test]
fn series_of_every_kind_do_every_odd_thing() {
    let mut features = Features::default();
    for seed in 0..400 {
        case(seed, PLAIN, &mut features);
    }
    let all = OF_SOME
        .iter()
        .flat_map(|(kind, some)| some.iter().chain(&OF_EVERY_KIND).map(|what| (*kind, *what)));
    for (kind, what) in all {
        let n = features.by_kind.get(&(kind, what)).copied().unwrap_or(0);
        eprintln!("{n:8} {kind}: {what}");
        assert!(n > 0, "never, of a {kind}: {what}");
    }
}

fn shapes_say_the_same(case: &Case) -> Result<(), String> {
    for action in &case.actions {
        let Action::Feed {
            points: sent,
            shape,
            ..
        } = action
        else {
            continue;
        };
        let bytes = Bytes::from(encode(sent, *shape));
        let read = ExportMetricsServiceRequest::decode(bytes).map_err(|e| e.to_string())?;
        let lines = differences(&points(&request(sent)), &points(&read), Look::Closely);
        if !lines.is_empty() {
            return Err(lines.join("\n"));
        }
    }
    Ok(())
}

#[test]
fn odd_encodings_say_the_same_points() {
    let wanted = Wanted {
        shapes: true,
        ..PLAIN
    };
    for_all("odd encodings", 100, wanted, shapes_say_the_same);
}

#[test]
fn a_case_is_the_same_each_time_it_is_made() {
    let make = || case(7, PLAIN, &mut Features::default());
    assert_eq!(duel::describe(&make()), duel::describe(&make()));
}
