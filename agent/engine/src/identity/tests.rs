//! Test vectors, computed with another implementation of XXH3 from bytes put together by hand.

use super::*;
use crate::wire::index::Index;
use crate::wire::walk::{NoMemo, walk};
use opentelemetry_proto::tonic::common::v1::{self as common, any_value::Value as V};
use opentelemetry_proto::tonic::metrics::v1 as pb;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

fn any(value: V) -> common::AnyValue {
    common::AnyValue { value: Some(value) }
}

fn kv(key: &str, value: common::AnyValue) -> common::KeyValue {
    common::KeyValue {
        key: key.into(),
        value: Some(value),
        ..Default::default()
    }
}

fn text(text: &str) -> common::AnyValue {
    any(V::StringValue(text.into()))
}

/// A sum of every type of attribute, none of them in canonical order.
fn request() -> Vec<u8> {
    let array = vec![any(V::IntValue(-1)), any(V::DoubleValue(1.5)), text("é")];
    let list = vec![
        kv("y", common::AnyValue { value: None }),
        kv("x", any(V::BytesValue(vec![0xff, 0]))),
    ];
    let point = pb::NumberDataPoint {
        attributes: vec![
            kv(
                "b",
                any(V::KvlistValue(common::KeyValueList { values: list })),
            ),
            kv(
                "a",
                any(V::ArrayValue(common::ArrayValue { values: array })),
            ),
        ],
        value: Some(pb::number_data_point::Value::AsInt(1)),
        ..Default::default()
    };
    pb::MetricsData {
        resource_metrics: vec![pb::ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    kv("process.pid", any(V::IntValue(42))),
                    kv("host.name", text("h1")),
                ],
                ..Default::default()
            }),
            schema_url: "is no identity".into(),
            scope_metrics: vec![pb::ScopeMetrics {
                scope: Some(common::InstrumentationScope {
                    name: "scope".into(),
                    version: "1.0".into(),
                    attributes: vec![kv("lib", any(V::BoolValue(true)))],
                    ..Default::default()
                }),
                metrics: vec![pb::Metric {
                    name: "m".into(),
                    description: "is no identity".into(),
                    unit: "By".into(),
                    data: Some(pb::metric::Data::Sum(pb::Sum {
                        data_points: vec![point],
                        aggregation_temporality: 2,
                        is_monotonic: true,
                    })),
                    ..Default::default()
                }],
                ..Default::default()
            }],
        }],
    }
    .encode_to_vec()
}

fn with_series(bytes: &[u8], what: impl Fn(&SeriesView<'_>)) {
    let mut index = Index::default();
    let walked = walk(bytes, &Default::default(), &mut NoMemo, &mut index);
    assert_eq!(walked, Ok(()));
    let series: Vec<_> = index
        .points
        .iter()
        .filter_map(|p| index.series(p, bytes))
        .collect();
    assert_eq!(series.len(), 1);
    series.iter().for_each(what);
}

#[test]
fn a_series_with_every_type_of_attribute() {
    let canonical = "0200000009000000686f73742e6e616d65010200000068310b00000070726f636573732e706964032a\
        000000000000000500000073636f706503000000312e3001000000030000006c6962020101000000\
        6d020000004279020201020000000100000061050300000003ffffffffffffffff04000000000000\
        f83f0102000000c3a90100000062060200000001000000780702000000ff00010000007900";
    with_series(&request(), |series| {
        let mut buffer = Canonical::default();
        let identity = buffer.identity(series, 0);
        let hex: String = buffer
            .bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, canonical);
        assert_eq!(
            format!("{identity:032x}"),
            "9ff0792a7bfebe1a79e61efa1781be8c"
        );
        let seeded = buffer.identity(series, 7);
        assert_eq!(format!("{seeded:032x}"), "dd0a17b98911f756885e028b1bced15e");
    });
}

#[test]
fn a_series_with_nothing_but_a_name() {
    let metric = pb::Metric {
        name: "m".into(),
        data: Some(pb::metric::Data::Gauge(pb::Gauge {
            data_points: vec![pb::NumberDataPoint {
                value: Some(pb::number_data_point::Value::AsInt(1)),
                ..Default::default()
            }],
        })),
        ..Default::default()
    };
    let scope = pb::ScopeMetrics {
        metrics: vec![metric],
        ..Default::default()
    };
    let resource = pb::ResourceMetrics {
        scope_metrics: vec![scope],
        ..Default::default()
    };
    let bytes = pb::MetricsData {
        resource_metrics: vec![resource],
    }
    .encode_to_vec();
    with_series(&bytes, |series| {
        let identity = Canonical::default().identity(series, 0);
        assert_eq!(
            format!("{identity:032x}"),
            "ce7b99200852b1ce14c59549344416e9"
        );
    });
}

#[test]
fn an_entity_is_hashed_by_its_keys_wherever_they_are() {
    let seed = entity_seed("s1");
    assert_eq!(seed, 0x9a27_5e3f_4549_30d1);
    with_series(&request(), |series| {
        let mut buffer = Canonical::default();
        let keys = ["host.name", "process.pid"].map(String::from);
        let hash = buffer.entity_hash(series, &keys, seed);
        assert_eq!(hash, Some(0x99ca_b49a_d2a4_b62a));
        assert_eq!(hash.map(share), Some(0.600_749_290_274_182_7));
        let keys = ["host.name", "no.such.key"].map(String::from);
        assert_eq!(buffer.entity_hash(series, &keys, seed), None);
    });
}
