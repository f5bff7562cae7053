//! Names and labels against vectors written by hand from the specification and from what the
//! Collector's and Prometheus' translators are documented to give.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::view::{PointView, SeriesView};
use crate::wire::AnyValue;
use opentelemetry_proto::tonic::common::v1::{self as common, any_value::Value as V};
use opentelemetry_proto::tonic::metrics::v1 as pb;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

fn metric<'a>(name: &'a str, unit: &'a str, kind: MetricType) -> MetricView<'a> {
    MetricView {
        name,
        description: "",
        unit,
        kind,
        temporality: Temporality::Cumulative,
        monotonic: kind == MetricType::Sum,
        head: &[],
        tail: &[],
    }
}

fn gauge(name: &str, unit: &str) -> String {
    family(&metric(name, unit, MetricType::Gauge)).unwrap_or_default()
}

fn counter(name: &str, unit: &str) -> String {
    family(&metric(name, unit, MetricType::Sum)).unwrap_or_default()
}

fn kv(key: &str, value: V) -> common::KeyValue {
    common::KeyValue {
        key: key.into(),
        value: Some(common::AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

fn text(key: &str, value: &str) -> common::KeyValue {
    kv(key, V::StringValue(value.into()))
}

/// Resource, scope and point bodies of one series.
struct Made {
    resource: Vec<u8>,
    scope: Vec<u8>,
    point: Vec<u8>,
}

impl Made {
    fn new(resource: &[common::KeyValue], point: &[common::KeyValue]) -> Made {
        Made {
            resource: Resource {
                attributes: resource.to_vec(),
                ..Default::default()
            }
            .encode_to_vec(),
            scope: Vec::new(),
            point: pb::NumberDataPoint {
                attributes: point.to_vec(),
                ..Default::default()
            }
            .encode_to_vec(),
        }
    }

    fn view(&self) -> SeriesView<'_> {
        SeriesView {
            resource: &self.resource,
            resource_schema_url: "",
            scope: &self.scope,
            scope_schema_url: "https://example.org/1.0",
            metric: metric("m", "", MetricType::Gauge),
            point: &self.point,
        }
    }
}

fn shown(labels: &Labels) -> Vec<String> {
    labels.iter().map(|(k, v)| format!("{k}={v}")).collect()
}

#[test]
fn a_unit_becomes_a_word_at_the_end_unless_the_name_has_it() {
    for (name, unit, expected) in [
        (
            "system.filesystem.usage",
            "By",
            "system_filesystem_usage_bytes",
        ),
        ("\t system.usage   ", "  By\t", "system_usage_bytes"),
        ("response_time_seconds", "s", "response_time_seconds"),
        (
            "network.packets.dropped",
            "packets",
            "network_packets_dropped",
        ),
        ("network.dropped", "packets", "network_dropped_packets"),
        ("network.dropped", "{packets}", "network_dropped"),
        ("speed", "km/h", "speed_km_per_hour"),
        ("light.speed", "m/s", "light_speed_meters_per_second"),
        ("requests", "1/s", "requests_per_second"),
        ("asserts", "{assertions}/s", "asserts_per_second"),
        ("throughput", "By/{call}", "throughput_bytes"),
        ("a", " By / s ", "a_bytes_per_second"),
        ("a", "By/", "a_bytes"),
        ("a", "/", "a"),
        ("temperature", "°F", "temperature_F"),
        ("weird", "+=.,!* & #", "weird"),
        ("redundant", "__test $/°C", "redundant_test_per_C"),
        ("data", "MiBy", "data_mebibytes"),
        ("data", "kBy", "data_kilobytes"),
        ("latency", "us", "latency_microseconds"),
        ("hit_ratio", "%", "hit_ratio_percent"),
    ] {
        assert_eq!(gauge(name, unit), expected, "{name} in {unit}");
    }
    assert_eq!(unit_words("By/s"), "bytes_per_second");
    assert_eq!(unit_words("1/s"), "per_second");
    assert_eq!(unit_words("1"), "");
    assert_eq!(unit_words("{call}"), "");
}

#[test]
fn counters_end_in_total_and_gauges_in_1_in_ratio() {
    assert_eq!(counter("system.io", "By"), "system_io_bytes_total");
    assert_eq!(counter("io_bytes_total", "By"), "io_bytes_total");
    assert_eq!(counter("requests", "1"), "requests_total");
    assert_eq!(counter("total.requests", ""), "requests_total");
    assert_eq!(counter("requests", "1/s"), "requests_per_second_total");
    assert_eq!(gauge("cpu.utilization", "1"), "cpu_utilization_ratio");
    assert_eq!(gauge("fan.speed_ratio", "1"), "fan_speed_ratio");
    assert_eq!(gauge("requests_total", ""), "requests_total");
    let mut falls = metric("connections", "1", MetricType::Sum);
    falls.monotonic = false;
    assert_eq!(family(&falls).unwrap(), "connections");
    let duration = metric("http.server.request.duration", "s", MetricType::Histogram);
    assert_eq!(
        family(&duration).unwrap(),
        "http_server_request_duration_seconds"
    );
}

#[test]
fn a_name_holds_only_what_a_name_may_hold() {
    assert_eq!(gauge("3.14 digits", ""), "_3_14_digits");
    assert_eq!(gauge("envoy__zlib", ""), "envoy_zlib");
    assert_eq!(gauge("job:rate:sum", ""), "job:rate:sum");
    assert_eq!(gauge("mäßig", ""), "m_ig");
    assert_eq!(family(&metric("@#$%", "By", MetricType::Gauge)), None);
    assert_eq!(family(&metric("", "", MetricType::Gauge)), None);
}

#[test]
fn a_label_holds_only_what_a_label_may_hold() {
    for (key, expected) in [
        ("http.method", Some("http_method")),
        ("with:colons", Some("with_colons")),
        ("a__b", Some("a_b")),
        ("test_/", Some("test_")),
        ("_private", Some("_private")),
        ("__two", Some("_two")),
        ("123label", Some("key_123label")),
        ("__reserved__", Some("__reserved__")),
        ("label_字符", Some("label_")),
        ("ようこそ", None),
        ("__", None),
        ("____", None),
        ("", None),
    ] {
        assert_eq!(label_name(key).as_deref(), expected, "{key}");
    }
}

#[test]
fn job_and_instance_come_from_the_service_and_go_before_the_points_own() {
    let resource = [
        text("service.name", "checkout"),
        text("service.namespace", "shop"),
        text("service.instance.id", "627cc493"),
        text("k8s.pod.name", "checkout-1"),
        text("host.name", "h1"),
    ];
    let point = [text("job", "mine"), text("k8s.pod.name", "of the point")];
    let made = Made::new(&resource, &point);
    let naming = Naming {
        promote: vec!["k8s.pod.name".into(), "host.name".into()],
        scope: false,
    };
    assert_eq!(
        shown(&labels(&made.view(), &naming)),
        [
            "host_name=h1",
            "instance=627cc493",
            "job=shop/checkout",
            "k8s_pod_name=of the point"
        ]
    );
    assert_eq!(
        shown(&target_labels(&made.view()).unwrap()),
        [
            "host_name=h1",
            "instance=627cc493",
            "job=shop/checkout",
            "k8s_pod_name=checkout-1"
        ]
    );
    let nameless = Made::new(&[text("host.name", "h1")], &[]);
    assert_eq!(target_labels(&nameless.view()), None);
    let only_name = Made::new(&resource[..1], &[]);
    assert_eq!(target_labels(&only_name.view()), None);
    assert_eq!(shown(&labels(&only_name.view(), &naming)), ["job=checkout"]);
}

#[test]
fn the_scope_becomes_labels_unless_it_is_switched_off() {
    let mut made = Made::new(&[], &[]);
    made.scope = common::InstrumentationScope {
        name: "otelhttp".into(),
        version: String::new(),
        attributes: vec![text("name", "impostor"), text("mascot", "bear")],
        ..Default::default()
    }
    .encode_to_vec();
    assert_eq!(
        shown(&labels(&made.view(), &Naming::default())),
        [
            "otel_scope_mascot=bear",
            "otel_scope_name=otelhttp",
            "otel_scope_schema_url=https://example.org/1.0"
        ]
    );
    let off = Naming {
        scope: false,
        ..Naming::default()
    };
    assert!(labels(&made.view(), &off).is_empty());
}

#[test]
fn keys_that_become_one_label_are_joined_in_the_order_of_the_keys() {
    let point = [
        text("http_method", "third"),
        text("http.method", "first"),
        text("http/method", "second"),
        text("empty", ""),
        text("__name__", "impostor"),
        text("ようこそ", "lost"),
    ];
    let made = Made::new(&[], &point);
    let naming = Naming {
        scope: false,
        ..Naming::default()
    };
    assert_eq!(
        shown(&labels(&made.view(), &naming)),
        ["http_method=first;second;third"]
    );
}

#[test]
fn values_of_every_type_are_text_as_the_specification_has_it() {
    let array = V::ArrayValue(common::ArrayValue {
        values: [
            V::IntValue(-1),
            V::DoubleValue(1.5),
            V::StringValue("\"x\"".into()),
        ]
        .map(|value| common::AnyValue { value: Some(value) })
        .to_vec(),
    });
    let list = V::KvlistValue(common::KeyValueList {
        values: vec![
            kv("b", V::BoolValue(true)),
            kv("a", V::BytesValue(vec![0xff, 0, 7, 1])),
        ],
    });
    let made = |value: V| Made::new(&[], &[kv("k", value)]);
    for (given, expected) in [
        (V::BoolValue(true), "true"),
        (V::IntValue(-42), "-42"),
        (V::DoubleValue(1.0), "1"),
        (V::DoubleValue(2.5e21), "2.5e+21"),
        (V::DoubleValue(1e-7), "1e-7"),
        (V::DoubleValue(f64::INFINITY), "Infinity"),
        (V::BytesValue(vec![]), ""),
        (V::BytesValue(b"f".to_vec()), "Zg=="),
        (V::BytesValue(b"fo".to_vec()), "Zm8="),
        (V::BytesValue(b"foobar".to_vec()), "Zm9vYmFy"),
        (array, r#"[-1,1.5,"\"x\""]"#),
        (list, r#"{"a":"/wAHAQ==","b":true}"#),
    ] {
        let made = made(given);
        let view = made.view();
        let found: Vec<AnyValue<'_>> = view.point_attributes().map(|(_, v)| v).collect();
        assert_eq!(value(found[0]), expected);
    }
    assert_eq!(float(0.005), "0.005");
    assert_eq!(float(10.0), "10");
    assert_eq!(float(1e21), "1000000000000000000000");
    assert_eq!(float(f64::INFINITY), "+Inf");
    assert_eq!(float(f64::NAN), "NaN");
}

#[test]
fn only_what_is_cumulative_has_a_form_and_its_samples_are_counted() {
    let mut delta = metric("m", "", MetricType::Sum);
    delta.temporality = Temporality::Delta;
    assert_eq!(Kind::of(&delta), Err(Unfit::NotCumulative));
    let number = pb::NumberDataPoint {
        value: Some(pb::number_data_point::Value::AsInt(1)),
        ..Default::default()
    };
    let histogram = pb::HistogramDataPoint {
        count: 3,
        sum: Some(1.0),
        explicit_bounds: vec![1.0, 2.0, 5.0],
        bucket_counts: vec![1, 1, 1, 0],
        ..Default::default()
    };
    let bare = pb::HistogramDataPoint {
        count: 3,
        ..Default::default()
    };
    let summary = pb::SummaryDataPoint {
        quantile_values: vec![Default::default(); 2],
        ..Default::default()
    };
    let count = |kind: MetricType, body: &[u8]| samples(&PointView::of(kind, body));
    assert_eq!(count(MetricType::Sum, &number.encode_to_vec()), 1);
    assert_eq!(count(MetricType::Gauge, &[]), 0);
    assert_eq!(count(MetricType::Histogram, &histogram.encode_to_vec()), 6);
    assert_eq!(count(MetricType::Histogram, &bare.encode_to_vec()), 2);
    let coarse = |scale| pb::ExponentialHistogramDataPoint {
        scale,
        ..Default::default()
    };
    let kind = MetricType::ExponentialHistogram;
    assert_eq!(count(kind, &[]), 1);
    assert_eq!(count(kind, &coarse(-4).encode_to_vec()), 1);
    assert_eq!(count(kind, &coarse(-5).encode_to_vec()), 0);
    assert_eq!(count(MetricType::Summary, &summary.encode_to_vec()), 4);
}
