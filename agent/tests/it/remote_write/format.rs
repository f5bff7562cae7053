//! What a request becomes, read back by a decoder of its own.

use super::messages::{Request2, TimeSeries, WriteRequest, labels};
use super::*;
use phoenix_agent::remote_write::{STALE, Translation, one, translate, two};
use phoenix_engine::prometheus::Naming;
use prost::Message;
use std::collections::BTreeMap;

/// 2026-11-25T00:00:00Z
const T: u64 = 1_795_564_800_000_000_000;
const MS: i64 = 1_795_564_800_000;

fn plain() -> Naming {
    Naming {
        promote: Vec::new(),
        scope: false,
    }
}

fn translated(metrics: Vec<Metric>) -> Translation {
    let bytes = request(metrics).encode_to_vec();
    translate(&bytes, &plain(), &BTreeMap::new()).unwrap()
}

fn as_one(translation: &Translation) -> WriteRequest {
    let bytes = one(translation.series.iter(), translation.families.iter());
    WriteRequest::decode(&bytes[..]).unwrap()
}

fn as_two(translation: &Translation) -> Request2 {
    let bytes = two(translation.series.iter(), &translation.families);
    Request2::decode(&bytes[..]).unwrap()
}

/// `name{labels} value@time` of every sample, without what is the same for all.
fn samples(translation: &Translation) -> Vec<String> {
    let shown = |series: &TimeSeries| {
        let labels = labels(&series.labels).replace("instance=i-1,job=shop/checkout", "..");
        let values = series.samples.iter().map(|s| {
            let value = if s.value.to_bits() == STALE {
                "stale".to_owned()
            } else {
                s.value.to_string()
            };
            format!("{labels} {value}@{}", s.timestamp - MS)
        });
        values.collect::<Vec<_>>()
    };
    as_one(translation)
        .timeseries
        .iter()
        .flat_map(shown)
        .collect()
}

#[test]
fn numbers_are_samples_of_their_series_in_the_order_of_time() {
    let points = vec![
        number(2.0, T + 5_000_000_000, &[("http.method", "GET")]),
        number(1.0, T, &[("http.method", "GET")]),
        number(7.0, T, &[("http.method", "PUT")]),
    ];
    let found = translated(vec![
        metric("http.requests", "{request}", sum(points, CUMULATIVE)),
        metric("cpu.utilization", "1", gauge(vec![number(0.5, T, &[])])),
    ]);
    assert_eq!(
        samples(&found),
        [
            "http_requests_total{http_method=GET,..} 1@0",
            "http_requests_total{http_method=GET,..} 2@5000",
            "http_requests_total{http_method=PUT,..} 7@0",
            "cpu_utilization_ratio{..} 0.5@0",
        ]
    );
    assert_eq!(found.unfit_points(), 0);
}

#[test]
fn a_histogram_is_cumulative_buckets_a_sum_and_a_count() {
    let found = translated(vec![metric("http.duration", "s", explicit(T))]);
    let name = "http_duration_seconds";
    assert_eq!(
        samples(&found),
        [
            format!("{name}_bucket{{http_route=/,..,le=0.5}} 1@0"),
            format!("{name}_bucket{{http_route=/,..,le=1}} 3@0"),
            format!("{name}_bucket{{http_route=/,..,le=+Inf}} 4@0"),
            format!("{name}_sum{{http_route=/,..}} 2.75@0"),
            format!("{name}_count{{http_route=/,..}} 4@0"),
        ]
    );
    let read = as_one(&found);
    let exemplars: Vec<usize> = read.timeseries.iter().map(|s| s.exemplars.len()).collect();
    assert_eq!(exemplars, [0, 1, 0, 0, 0]);
    let exemplar = &read.timeseries[1].exemplars[0];
    assert_eq!((exemplar.value, exemplar.timestamp), (0.75, MS - 1000));
    assert_eq!(
        labels(&exemplar.labels),
        format!(
            "{{span_id={},trace_id={},user_id=7}}",
            "cd".repeat(8),
            "ab".repeat(16)
        )
    );
}

#[test]
fn a_summary_is_a_series_a_quantile_a_sum_and_a_count() {
    let found = translated(vec![metric("gc", "ms", summary(T))]);
    assert_eq!(
        samples(&found),
        [
            "gc_milliseconds{..,quantile=0.5} 2@0",
            "gc_milliseconds{..,quantile=0.99} 9@0",
            "gc_milliseconds_sum{..} 24@0",
            "gc_milliseconds_count{..} 8@0",
        ]
    );
}

#[test]
fn an_exponential_histogram_is_one_native_histogram() {
    let found = translated(vec![metric("size", "By", exponential(T, 3))]);
    let read = as_one(&found);
    assert_eq!(read.timeseries.len(), 1);
    let histogram = &read.timeseries[0].histograms[0];
    assert_eq!(histogram.schema, 3);
    assert_eq!((histogram.count_int, histogram.sum), (10, 12.5));
    assert_eq!(
        (histogram.zero_count_int, histogram.zero_threshold),
        (1, 1e-128)
    );
    assert_eq!(histogram.timestamp, MS);
    // Index i of OTLP is i + 1 here; four empty buckets begin a new run.
    let spans = |spans: &[messages::BucketSpan]| {
        spans
            .iter()
            .map(|s| (s.offset, s.length))
            .collect::<Vec<_>>()
    };
    assert_eq!(spans(&histogram.positive_spans), [(0, 2), (4, 1)]);
    assert_eq!(histogram.positive_deltas, [2, 1, 0]);
    assert_eq!(spans(&histogram.negative_spans), [(3, 1)]);
    assert_eq!(histogram.negative_deltas, [1]);
    assert_eq!(
        as_two(&found).timeseries[0].histograms[0].start_timestamp,
        MS - 60_000
    );
}

#[test]
fn what_is_finer_than_prometheus_finest_is_made_coarser_and_keeps_its_counts() {
    let found = translated(vec![metric("size", "By", exponential(T, 10))]);
    let histogram = &as_one(&found).timeseries[0].histograms[0];
    assert_eq!(histogram.schema, 8);
    // Two scales down: -1 -> -1 (0 here), 0..=3 -> 0 (1 here), 5 -> 1 (2 here).
    let spans: Vec<_> = histogram
        .positive_spans
        .iter()
        .map(|s| (s.offset, s.length))
        .collect();
    assert_eq!(spans, [(0, 3)]);
    assert_eq!(histogram.positive_deltas, [2, 1, 0]);
    let buckets = histogram.positive_deltas.iter().scan(0, |count, delta| {
        *count += delta;
        Some(*count)
    });
    assert_eq!(buckets.sum::<i64>(), 8);
}

#[test]
fn short_gaps_are_written_out() {
    let mut data = exponential(T, 0);
    if let Data::ExponentialHistogram(h) = &mut data {
        h.data_points[0].positive = Some(Buckets {
            offset: 4,
            bucket_counts: vec![0, 5, 0, 0, 2, 0],
        });
    }
    let found = translated(vec![metric("size", "", data)]);
    let histogram = &as_one(&found).timeseries[0].histograms[0];
    let span = &histogram.positive_spans[0];
    assert_eq!((span.offset, span.length), (6, 4));
    assert_eq!(histogram.positive_deltas, [5, -5, 0, 2]);
}

#[test]
fn a_point_without_a_recorded_value_ends_every_series_of_its_own() {
    let mut ended = number(0.0, T, &[]);
    ended.value = None;
    ended.flags = 1;
    let mut histogram = explicit(T);
    if let Data::Histogram(h) = &mut histogram {
        h.data_points[0].flags = 1;
        // As the Collector's Prometheus receiver ends one.
        h.data_points[0].sum = None;
    }
    let mut native = exponential(T, 3);
    if let Data::ExponentialHistogram(h) = &mut native {
        h.data_points[0].flags = 1;
    }
    let found = translated(vec![
        metric("up", "", gauge(vec![ended])),
        metric("d", "s", histogram),
        metric("size", "By", native),
    ]);
    let samples = samples(&found);
    assert_eq!(samples.len(), 6);
    assert!(
        samples.iter().all(|s| s.ends_with(" stale@0")),
        "{samples:?}"
    );
    let native = &as_one(&found).timeseries[6].histograms[0];
    assert_eq!(native.sum.to_bits(), STALE);
}

#[test]
fn what_has_no_form_is_counted_by_its_reason() {
    let mut empty = number(0.0, T, &[]);
    empty.value = None;
    let found = translated(vec![
        metric(
            "a",
            "",
            sum(
                vec![number(1.0, T, &[]), number(2.0, T, &[("x", "y")])],
                DELTA,
            ),
        ),
        metric("b", "", sum(vec![number(1.0, T, &[])], 0)),
        metric("@", "", gauge(vec![number(1.0, T, &[])])),
        metric("c", "", exponential(T, -5)),
        metric("d", "", gauge(vec![empty])),
        metric("e", "", gauge(vec![number(1.0, T, &[])])),
    ]);
    assert_eq!(found.unfit, [3, 1, 1, 1]);
    assert_eq!(samples(&found), ["e{..} 1@0"]);
}

#[test]
fn version_two_says_the_same_with_symbols_metadata_and_starts() {
    let found = translated(vec![
        metric(
            "http.requests",
            "By",
            sum(vec![number(3.0, T, &[("a", "b")])], CUMULATIVE),
        ),
        metric("http.duration", "s", explicit(T)),
        metric("gc", "ms", summary(T)),
        metric("cpu", "1", gauge(vec![number(0.5, T, &[])])),
    ]);
    let (one, two) = (as_one(&found), as_two(&found));
    assert_eq!(two.symbols[0], "");
    let mut symbols = two.symbols.clone();
    symbols.sort();
    symbols.dedup();
    assert_eq!(symbols.len(), two.symbols.len(), "each once");
    assert_eq!(one.timeseries.len(), two.timeseries.len());
    let mut told = Vec::new();
    for (one, series) in one.timeseries.iter().zip(&two.timeseries) {
        assert_eq!(labels(&one.labels), two.labels(&series.labels_refs));
        for (a, b) in one.samples.iter().zip(&series.samples) {
            assert_eq!((a.value, a.timestamp), (b.value, b.timestamp));
            assert_eq!(a.start_timestamp, 0, "1.0 has none");
        }
        for (a, b) in one.exemplars.iter().zip(&series.exemplars) {
            assert_eq!(labels(&a.labels), two.labels(&b.labels_refs));
            assert_eq!((a.value, a.timestamp), (b.value, b.timestamp));
        }
        let metadata = series.metadata.as_ref().unwrap();
        told.push((
            metadata.kind,
            two.symbol(metadata.help_ref).to_owned(),
            two.symbol(metadata.unit_ref).to_owned(),
            series.samples[0].start_timestamp,
        ));
    }
    let start = MS - 60_000;
    let row = |kind, name: &str, unit: &str, start| {
        (kind, format!("Help of {name}"), unit.to_owned(), start)
    };
    assert_eq!(told[0], row(1, "http.requests", "bytes", start));
    assert_eq!(told[1], row(3, "http.duration", "seconds", start));
    // A quantile has no start, sum and count of the summary have.
    assert_eq!(told[6], row(5, "gc", "milliseconds", 0));
    assert_eq!(told[8], row(5, "gc", "milliseconds", start));
    assert_eq!(told[10], row(2, "cpu", "", 0));
    let families: Vec<_> = one
        .metadata
        .iter()
        .map(|m| (m.metric_family_name.as_str(), m.kind, m.unit.as_str()))
        .collect();
    assert_eq!(
        families,
        [
            ("http_requests_bytes_total", 1, "bytes"),
            ("http_duration_seconds", 3, "seconds"),
            ("gc_milliseconds", 5, "milliseconds"),
            ("cpu_ratio", 2, ""),
            ("target_info", 6, ""),
        ]
    );
}

#[test]
fn a_resource_is_told_of_once_and_external_labels_yield() {
    let points = vec![
        number(1.0, T, &[("zone", "own")]),
        number(1.0, T + 9_000_000, &[]),
    ];
    let bytes = request(vec![metric("a", "", gauge(points))]).encode_to_vec();
    let external = BTreeMap::from([("zone".to_owned(), "external".to_owned())]);
    let naming = Naming {
        promote: vec!["host.name".into()],
        scope: true,
    };
    let found = translate(&bytes, &naming, &external).unwrap();
    let shown = |series: &[phoenix_agent::remote_write::Series]| {
        let bytes = one(series.iter(), std::iter::empty());
        let read = WriteRequest::decode(&bytes[..]).unwrap().timeseries;
        read.iter().map(|s| labels(&s.labels)).collect::<Vec<_>>()
    };
    let rest = "host_name=h1,instance=i-1,job=shop/checkout,otel_scope_name=lib";
    assert_eq!(
        shown(&found.series),
        [
            format!("a{{{rest},zone=own}}"),
            format!("a{{{rest},zone=external}}")
        ]
    );
    assert_eq!(
        shown(&found.targets),
        ["target_info{host_name=h1,instance=i-1,job=shop/checkout,zone=external}"]
    );
    assert_eq!(found.targets[0].samples[0].time, MS + 9);
}
