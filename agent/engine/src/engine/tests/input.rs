//! Requests: what is refused whole, what is rejected one by one, what survives.

use super::*;

fn feed(engine: &mut Engine, bytes: Vec<u8>) -> Result<Fed, Refusal> {
    engine.feed(&Bytes::from(bytes), 10 * S)
}

fn decoded(points: &[P]) -> pb::MetricsData {
    pb::MetricsData::decode(&request(points)[..]).unwrap()
}

#[test]
fn every_cut_and_every_wrong_byte_is_refused_or_read_and_never_panics() {
    let mut engine = engine(alone(stages(FOLD)));
    let sent = request(&[
        c("a", 5, 5),
        P {
            metric: "g",
            ..c("b", 5, 1)
        },
    ])
    .to_vec();
    for end in 0..sent.len() {
        let cut = sent[..end].to_vec();
        assert_eq!(
            feed(&mut engine, cut.clone()).is_ok(),
            pb::MetricsData::decode(&cut[..]).is_ok(),
            "{end}"
        );
    }
    for at in 0..sent.len() {
        for flip in 1..=255u8 {
            let mut wrong = sent.clone();
            wrong[at] ^= flip;
            let ours = feed(&mut engine, wrong.clone());
            let theirs = pb::MetricsData::decode(&wrong[..]);
            assert_eq!(
                ours.is_ok(),
                theirs.is_ok(),
                "{at} {flip:02x}: {:?} {:?}",
                ours.err(),
                theirs.err()
            );
        }
    }
    balanced(&engine.cut().baseline);
}

#[test]
fn a_refused_request_leaves_no_trace() {
    let mut engine = engine(alone(stages("[]")));
    let mut sent = request(&[c("a", 5, 5)]).to_vec();
    sent.extend_from_slice(&[0x0a, 0x7f]);
    let refusal = feed(&mut engine, sent).unwrap_err();
    assert!(matches!(refusal, Refusal::Malformed { .. }), "{refusal}");
    assert_eq!(engine.cut().baseline.ledger, Default::default());
    assert_eq!(engine.state_size().0, 0);
}

#[test]
fn ten_megabytes_of_empty_messages_are_too_many_elements() {
    let mut engine = engine(alone(stages("[]")));
    let limit = Limits::default().elements;
    let refusal = feed(&mut engine, [0x0a, 0].repeat(5_000_000)).unwrap_err();
    assert_eq!(refusal, Refusal::TooManyElements { limit });
    // and deeper: one metric with millions of empty points
    let mut out = Vec::new();
    let opens = [1, 2, 2, 5].map(|n| crate::wire::write::begin(&mut out, n));
    out.extend([0x0a, 0].repeat(5_000_000));
    opens
        .into_iter()
        .rev()
        .for_each(|open| crate::wire::write::end(&mut out, open));
    assert_eq!(
        feed(&mut engine, out).unwrap_err(),
        Refusal::TooManyElements { limit }
    );
}

#[test]
fn limits_on_one_point_reject_that_point_and_tell_why() {
    let mut engine = engine(alone(stages("[]")));
    let many = P {
        keys: (0..1_025).map(|n| ("k", format!("{n}"))).collect(),
        ..c("", 5, 1)
    };
    let long = c(&"x".repeat(70_000), 5, 1);
    let fed = feed(
        &mut engine,
        request(&[c("a", 5, 5), many, long, c("b", 5, 5)]).to_vec(),
    )
    .unwrap();
    assert_eq!((fed.received, fed.rejected, fed.emitted.points), (4, 2, 2));
    assert_eq!(
        fed.reason.unwrap(),
        "a point of `c` has more than 1024 attributes"
    );
    assert!(fed.emitted.out == request(&[c("a", 5, 5), c("b", 5, 5)]));
    let ledger = engine.cut().baseline.ledger;
    assert_eq!(
        (
            ledger.received,
            ledger.exported,
            ledger.rejected,
            ledger.imbalance()
        ),
        (4, 2, 2, 0)
    );
}

#[test]
fn a_metric_without_data_and_a_point_without_value_are_rejected() {
    let mut engine = engine(alone(stages("[]")));
    let mut data = decoded(&[c("a", 5, 5), c("b", 5, 5), c("c", 5, 5)]);
    let metrics = &mut data.resource_metrics[0].scope_metrics[0].metrics;
    metrics[0].data = None;
    match metrics[1].data.as_mut().unwrap() {
        pb::metric::Data::Sum(sum) => sum.data_points[0].value = None,
        other => panic!("{other:?}"),
    }
    let fed = feed(&mut engine, data.encode_to_vec()).unwrap();
    assert_eq!((fed.received, fed.rejected, fed.emitted.points), (3, 2, 1));
    assert_eq!(fed.reason.as_deref(), Some("metric `c` has no data"));
    assert!(fed.emitted.out == request(&[c("c", 5, 5)]));
}

#[test]
fn unknown_fields_survive_a_cut() {
    let mut engine = engine(alone(stages(
        "[{id: f, filter: {drop: [{attributes: {k: b}}]}}]",
    )));
    let mut sent = request(&[c("a", 5, 5)]).to_vec();
    let dropped = request(&[c("b", 5, 5)]);
    let unknown = [0xfa, 0x06, 2, 0xca, 0xfe]; // field 111, two bytes
    sent.extend_from_slice(&unknown);
    let both = [&sent[..], &dropped[..]].concat();
    assert!(feed(&mut engine, both).unwrap().emitted.out == sent);
}

#[test]
fn rare_shapes_are_read_as_prost_reads_them() {
    let mut engine = engine(alone(stages(
        "[{id: f, filter: {drop: [{attributes: {k: b}}]}}]",
    )));
    let split = {
        // the attribute region in two pieces, a time between
        let mut point = Vec::new();
        crate::wire::write::put_bytes(
            &mut point,
            7,
            &attributes(&[("a", "1".into())])[0].encode_to_vec(),
        );
        crate::wire::write::put_fixed64(&mut point, 3, 5 * S);
        crate::wire::write::put_bytes(
            &mut point,
            7,
            &attributes(&[("k", "z".into())])[0].encode_to_vec(),
        );
        crate::wire::write::put_fixed64(&mut point, 6, 9);
        point
    };
    let mut out = Vec::new();
    let outer = [1, 2].map(|n| crate::wire::write::begin(&mut out, n));
    for point in [split, request_point("b")] {
        let opens = [2, 7].map(|n| crate::wire::write::begin(&mut out, n));
        crate::wire::write::put_bytes(&mut out, 1, &point);
        opens
            .into_iter()
            .rev()
            .for_each(|open| crate::wire::write::end(&mut out, open));
    }
    outer
        .into_iter()
        .rev()
        .for_each(|open| crate::wire::write::end(&mut out, open));
    // a resource after its scopes, and twice: prost merges both
    let resource = |key: &'static str| {
        let mut body = Vec::new();
        crate::wire::write::put_bytes(
            &mut body,
            1,
            &attributes(&[(key, "v".into())])[0].encode_to_vec(),
        );
        body
    };
    let mut body = out[3..].to_vec();
    assert_eq!(out[0], 0x0a);
    if out[1] < 0x80 {
        body = out[2..].to_vec();
    }
    crate::wire::write::put_bytes(&mut body, 1, &resource("r1"));
    crate::wire::write::put_bytes(&mut body, 1, &resource("r2"));
    let mut sent = Vec::new();
    crate::wire::write::put_bytes(&mut sent, 1, &body);
    let mut expected = pb::MetricsData::decode(&sent[..]).unwrap();
    expected.resource_metrics[0].scope_metrics[0]
        .metrics
        .truncate(1);
    assert_eq!(
        expected.resource_metrics[0]
            .resource
            .as_ref()
            .unwrap()
            .attributes
            .len(),
        2
    );
    let fed = feed(&mut engine, sent).unwrap();
    assert_eq!(fed.emitted.points, 1);
    assert_eq!(
        pb::MetricsData::decode(&fed.emitted.out[..]).unwrap(),
        expected
    );
}

fn request_point(key: &str) -> Vec<u8> {
    let data = decoded(&[c(key, 5, 5)]);
    match data.resource_metrics[0].scope_metrics[0].metrics[0]
        .data
        .as_ref()
        .unwrap()
    {
        pb::metric::Data::Sum(sum) => sum.data_points[0].encode_to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn attributes_in_another_order_are_the_same_series() {
    let mut engine = engine(alone(stages("[]")));
    let keys = |a: (&'static str, &str), b: (&'static str, &str)| P {
        keys: vec![(a.0, a.1.into()), (b.0, b.1.into())],
        ..c("", 5, 1)
    };
    let points = [
        keys(("a", "1"), ("b", "2")),
        keys(("b", "2"), ("a", "1")),
        keys(("a", "2"), ("b", "1")),
    ];
    feed(&mut engine, request(&points).to_vec()).unwrap();
    assert_eq!(engine.cut().baseline.series_in.exact, Some(2));
}

#[test]
fn a_full_series_table_changes_no_filter_and_passes_new_counters_unaggregated() {
    let settings = Settings {
        limits: Limits {
            series: 10,
            ..Limits::default()
        },
        ..Settings::default()
    };
    let spec = "[{id: f, filter: {drop: [{attributes: {k: '*3'}}]}}, {id: a, aggregate: {match: {metric: c}, without: [k], interval: 10s}}]";
    let mut engine = Engine::new(settings, alone(stages(spec)), 0);
    let points: Vec<P> = (0..30).map(|n| c(&format!("e{n}"), 5, 5)).collect();
    for _ in 0..2 {
        let fed = engine.feed(&request(&points), 5 * S).unwrap();
        assert_eq!(
            fed.emitted.points, 18,
            "30 less 10 tracked, less e13 and e23"
        );
    }
    let figures = engine.cut().baseline;
    balanced(&figures);
    assert_eq!(figures.stages[1].counts["table_full"], 36);
    assert_eq!(figures.ledger.filtered, 6);
    assert_eq!(figures.series_in.exact, None);
    assert!((figures.series_in.sketch.estimate() - 30.0).abs() < 2.0);
}

#[test]
fn times_and_counts_are_told_without_an_engine() {
    let sent = request(&[c("a", 5, 5), c("b", 9, 5)]);
    assert_eq!(earliest_time(&sent), Ok(Some(5 * S)));
    assert_eq!(latest_time(&sent), Ok(Some(9 * S)));
    assert_eq!(count_points(&sent), Ok(2));
    assert_eq!(latest_time(&[]), Ok(None));
    assert!(count_points(&[0x0a]).is_err());
}

/// `levels` lists inside each other, each with the next twice under one key: equal keys are put in order by value.
fn lists(levels: usize) -> common::AnyValue {
    use common::any_value::Value;
    let mut value = None;
    for _ in 0..levels {
        let pair = |value| common::KeyValue {
            key: String::new(),
            value,
            ..Default::default()
        };
        let values = vec![pair(value), pair(Some(common::AnyValue::default()))];
        value = Some(common::AnyValue {
            value: Some(Value::KvlistValue(common::KeyValueList { values })),
        });
    }
    value.unwrap_or_default()
}

/// One gauge whose resource, scope, metadata, point or exemplar has an attribute of so many lists.
fn nested(place: usize, levels: usize) -> Vec<u8> {
    let attribute = vec![common::KeyValue {
        key: "k".into(),
        value: Some(lists(levels)),
        ..Default::default()
    }];
    let mut at = vec![Vec::new(); 5];
    at[place] = attribute;
    let mut at = at.into_iter();
    let mut next = || at.next().unwrap_or_default();
    let (resource, scope, metadata, attributes, filtered_attributes) =
        (next(), next(), next(), next(), next());
    let point = pb::NumberDataPoint {
        time_unix_nano: 5 * S,
        value: Some(pb::number_data_point::Value::AsInt(1)),
        attributes,
        exemplars: vec![pb::Exemplar {
            filtered_attributes,
            ..Default::default()
        }],
        ..Default::default()
    };
    let metric = pb::Metric {
        name: "g".into(),
        metadata,
        data: Some(pb::metric::Data::Gauge(pb::Gauge {
            data_points: vec![point],
        })),
        ..Default::default()
    };
    let scope = common::InstrumentationScope {
        attributes: scope,
        ..Default::default()
    };
    let resource = opentelemetry_proto::tonic::resource::v1::Resource {
        attributes: resource,
        ..Default::default()
    };
    pb::MetricsData {
        resource_metrics: vec![pb::ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![pb::ScopeMetrics {
                scope: Some(scope),
                metrics: vec![metric],
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
    .encode_to_vec()
}

#[test]
fn attributes_as_deep_as_the_generated_types_take_are_taken_and_at_once() {
    for place in 0..5 {
        let mut deepest = 0;
        for levels in 0..40 {
            let sent = nested(place, levels);
            let takes = pb::MetricsData::decode(&sent[..]).is_ok();
            let mut engine = engine(alone(stages(FOLD)));
            let fed = feed(&mut engine, sent);
            assert_eq!(fed.is_ok(), takes, "{levels} levels at {place}: {fed:?}");
            if takes {
                deepest = levels;
            }
        }
        assert!((30..34).contains(&deepest), "{deepest} at {place}");
    }
}

#[test]
fn a_histogram_with_more_buckets_than_a_value_may_be_long_is_rejected() {
    for kind in 0..2 {
        for (bytes, rejected) in [(65_536, 0), (65_544, 1)] {
            let data = if kind == 0 {
                let point = pb::ExponentialHistogramDataPoint {
                    time_unix_nano: 5 * S,
                    positive: Some(pb::exponential_histogram_data_point::Buckets {
                        offset: 0,
                        bucket_counts: vec![0; bytes],
                    }),
                    ..Default::default()
                };
                pb::metric::Data::ExponentialHistogram(pb::ExponentialHistogram {
                    data_points: vec![point],
                    aggregation_temporality: 2,
                })
            } else {
                let point = pb::HistogramDataPoint {
                    time_unix_nano: 5 * S,
                    bucket_counts: vec![0; bytes / 8],
                    explicit_bounds: (1..bytes / 8).map(|n| n as f64).collect(),
                    ..Default::default()
                };
                pb::metric::Data::Histogram(pb::Histogram {
                    data_points: vec![point],
                    aggregation_temporality: 2,
                })
            };
            let metric = pb::Metric {
                name: "h".into(),
                data: Some(data),
                ..Default::default()
            };
            let sent = pb::MetricsData {
                resource_metrics: vec![pb::ResourceMetrics {
                    scope_metrics: vec![pb::ScopeMetrics {
                        metrics: vec![metric],
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
            };
            let mut engine = engine(alone(stages(FOLD)));
            let fed = feed(&mut engine, sent.encode_to_vec()).unwrap();
            assert_eq!(
                (fed.received, fed.rejected),
                (1, rejected),
                "{kind} {bytes}"
            );
            let reason = (rejected > 0)
                .then(|| "a histogram of `h` has more than 65536 bytes of buckets".into());
            assert_eq!(fed.reason, reason);
        }
    }
}

#[test]
fn what_a_copy_puts_deeper_does_not_stop_what_goes_on_beside_it() {
    // As deep as a resource's attribute may be: too deep for one of a point, had a sender written it there.
    let held = "[ { id: x, transform: { match: {}, ops: [ { copy: { from: k, to: k2, level: point } } ] } }, { id: e, sample: { match: {}, every: 10s } } ]";
    let mut engine = engine(alone(stages(held)));
    feed(&mut engine, nested(0, 32)).unwrap();
    feed(&mut engine, request(&[c("a", 5, 5)]).to_vec()).unwrap();
    let out = engine.finish(20 * S);
    assert_eq!(out.points, 2);
    assert_eq!(engine.cut().baseline.ledger.imbalance(), 0);
}
