//! Tests of OTLP/JSON both ways, on the captures and by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use phoenix_proto::otlp::metrics::v1::MetricsData;
use phoenix_proto::otlp::metrics::v1::metric::Data;
use prost::Message;

fn decoded(json: &str) -> Decoded {
    decode(json.as_bytes(), Limits::default()).unwrap()
}

fn refused(json: &str) -> String {
    decode(json.as_bytes(), Limits::default())
        .unwrap_err()
        .to_string()
}

fn points(data: &MetricsData) -> u64 {
    let metrics = data
        .resource_metrics
        .iter()
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics);
    metrics
        .map(|m| match m.data.as_ref().unwrap() {
            Data::Gauge(d) => d.data_points.len() as u64,
            Data::Sum(d) => d.data_points.len() as u64,
            Data::Histogram(d) => d.data_points.len() as u64,
            Data::ExponentialHistogram(d) => d.data_points.len() as u64,
            Data::Summary(d) => d.data_points.len() as u64,
        })
        .sum()
}

fn metrics(inner: &str) -> String {
    format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{inner}]}}]}}]}}"#)
}

fn gauge(points: &str) -> String {
    metrics(&format!(
        r#"{{"name":"g","gauge":{{"dataPoints":[{points}]}}}}"#
    ))
}

/// The one point of the first metric, as the generated types read it.
fn number(json: &str) -> phoenix_proto::otlp::metrics::v1::NumberDataPoint {
    let data = MetricsData::decode(decoded(json).bytes).unwrap();
    let metric = &data.resource_metrics[0].scope_metrics[0].metrics[0];
    match metric.data.as_ref().unwrap() {
        Data::Gauge(d) => d.data_points[0].clone(),
        Data::Sum(d) => d.data_points[0].clone(),
        _ => panic!("not a number"),
    }
}

/// Points in the captures as their README counts them.
#[test]
fn captures_of_a_collector_are_stable_from_json_to_protobuf_and_back() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    let folder = std::env::var("PHOENIX_CAPTURES").map_or(folder, Into::into);
    for (name, expected) in [("node-c-host", 5_916), ("node-c-app", 6_819)] {
        let Ok(file) = std::fs::File::open(folder.join(format!("{name}.json.zst"))) else {
            eprintln!(
                "skipped: no capture {name} in {} (PHOENIX_CAPTURES)",
                folder.display()
            );
            continue;
        };
        let text = zstd::decode_all(file).unwrap();
        let mut total = 0;
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            let first = decode(line, Limits::default()).unwrap();
            assert_eq!((first.rejected, first.reason), (0, None));
            let json = encode(&first.bytes).unwrap();
            let second = decode(&json, Limits::default()).unwrap();
            assert_eq!(first.bytes, second.bytes);
            // The Collector's own text, member for member, whatever the order and number format.
            let theirs: serde_json::Value = serde_json::from_slice(line).unwrap();
            let ours: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(normal(theirs), normal(ours));
            let data = MetricsData::decode(first.bytes.clone()).unwrap();
            assert_eq!(
                data.encoded_len(),
                first.bytes.len(),
                "as compact as prost writes it"
            );
            total += points(&data);
        }
        assert_eq!(total, expected, "{name}");
    }
}

/// Numbers as doubles, and without members that say nothing (the Collector writes some).
fn normal(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(k, v)| (k, normal(v)))
                .filter(|(k, v)| {
                    k == "resource"
                        || k == "scope"
                        || k == "value"
                        || *v != Value::Object(Default::default())
                })
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.into_iter().map(normal).collect()),
        Value::Number(n) => serde_json::json!(n.as_f64().unwrap()),
        other => other,
    }
}

#[test]
fn sixty_four_bit_numbers_come_as_strings_or_numbers() {
    use phoenix_proto::otlp::metrics::v1::number_data_point::Value::{AsDouble, AsInt};
    for (text, value) in [
        (r#""asInt":"-9223372036854775808""#, AsInt(i64::MIN)),
        (r#""asInt":9223372036854775807"#, AsInt(i64::MAX)),
        (r#""asInt":5.0"#, AsInt(5)),
        (r#""asInt":1e3"#, AsInt(1000)),
        (r#""asDouble":"Infinity""#, AsDouble(f64::INFINITY)),
        (r#""asDouble":"-Infinity""#, AsDouble(f64::NEG_INFINITY)),
        (r#""asDouble":"2.5""#, AsDouble(2.5)),
        (r#""asDouble":7"#, AsDouble(7.0)),
        (r#""asDouble":1.7976931348623157e308"#, AsDouble(f64::MAX)),
        (r#""asDouble":5e-324"#, AsDouble(5e-324)),
    ] {
        let json = gauge(&format!(r#"{{"timeUnixNano":1795447374214456574,{text}}}"#));
        let point = number(&json);
        assert_eq!(point.value, Some(value), "{text}");
        assert_eq!(point.time_unix_nano, 1_795_447_374_214_456_574);
        let again = decode(&encode(&decoded(&json).bytes).unwrap(), Limits::default()).unwrap();
        assert_eq!(again.bytes, decoded(&json).bytes, "{text}");
    }
    let nan = number(&gauge(r#"{"asDouble":"NaN"}"#));
    assert!(matches!(nan.value, Some(AsDouble(v)) if v.is_nan()));
}

#[test]
fn unknown_members_and_nulls_are_ignored() {
    let plain = gauge(r#"{"timeUnixNano":"1","asInt":"1"}"#);
    let noisy = metrics(
        r#"{"x":[{"y":[1,-2.5e3,true,false,null,"\u00e9"]}],"name":"g","unit":null,"data_points":3,
            "gauge":{"newer":{},"dataPoints":[{"as_int":7,"timeUnixNano":"1","asInt":"1","asDouble":null}]}}"#,
    );
    assert_eq!(decoded(&plain), decoded(&noisy));
}

#[test]
fn a_wrong_field_of_a_point_rejects_that_point_alone() {
    for bad in [
        r#"{"asInt":"many"}"#,
        r#"{"asInt":true}"#,
        r#"{"asInt":"1.5"}"#,
        r#"{"asInt":"1","asDouble":1}"#,
        r#"{"asInt":"1","asInt":"2"}"#,
        r#"{"asInt":9223372036854775808}"#,
        r#"{"asDouble":"inf"}"#,
        r#"{"timeUnixNano":-1}"#,
        r#"{"timeUnixNano":{}}"#,
        r#"{"flags":4294967296}"#,
        r#"{"attributes":{}}"#,
        r#"{"attributes":[{"key":5}]}"#,
        r#"{"attributes":[{"key":"k","value":"bare"}]}"#,
        r#"{"attributes":[{"key":"k","value":{"intValue":"x"}}]}"#,
        r#"{"attributes":[{"key":"k","value":{"bytesValue":"*"}}]}"#,
        r#"{"exemplars":[{"traceId":"zz"}]}"#,
        r#"{"exemplars":[{"spanId":"0102"}]}"#,
        "5",
        "null",
    ] {
        let good = r#"{"timeUnixNano":"1","asInt":"1"}"#;
        let found = decoded(&gauge(&format!("{good},{bad},{good},{bad}")));
        assert_eq!(found.rejected, 2, "{bad}");
        let reason = found.reason.unwrap();
        let place = "resourceMetrics[0].scopeMetrics[0].metrics[0].gauge.dataPoints[1]";
        assert!(reason.starts_with(place), "{bad}: {reason}");
        assert_eq!(
            found.bytes,
            decoded(&gauge(&format!("{good},{good}"))).bytes
        );
    }
}

#[test]
fn a_wrong_field_of_a_metric_rejects_all_of_its_points() {
    let good = r#"{"name":"g","gauge":{"dataPoints":[{"asInt":"1"}]}}"#;
    for (bad, count) in [
        (
            r#"{"name":5,"sum":{"dataPoints":[{"asInt":"1"},{"asInt":"x"},{}]}}"#,
            3,
        ),
        (
            r#"{"sum":{"aggregationTemporality":"sideways","dataPoints":[{},{}]}}"#,
            2,
        ),
        (
            r#"{"sum":{"dataPoints":[{"asInt":"x"},{}],"isMonotonic":"yes"}}"#,
            2,
        ),
        (
            r#"{"gauge":{"dataPoints":[{}]},"sum":{"dataPoints":[{}]}}"#,
            2,
        ),
        (r#"{"name":"m","histogram":"none"}"#, 1),
        (r#"{"name":"m","gauge":{"dataPoints":{}}}"#, 1),
    ] {
        let found = decoded(&metrics(&format!("{good},{bad}")));
        assert_eq!(found.rejected, count, "{bad}");
        assert!(
            found
                .reason
                .unwrap()
                .starts_with("resourceMetrics[0].scopeMetrics[0].metrics[1]")
        );
        assert_eq!(found.bytes, decoded(&metrics(good)).bytes, "{bad}");
    }
}

#[test]
fn wrong_types_above_the_metrics_refuse_the_request_with_the_place() {
    for (json, place) in [
        ("[]", "the request: expected an object, found an array"),
        (
            r#"{"resourceMetrics":{}}"#,
            "resourceMetrics: expected an array",
        ),
        (
            r#"{"resourceMetrics":[7]}"#,
            "resourceMetrics[0]: expected an object",
        ),
        (
            r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":true}]}}]}"#,
            "resourceMetrics[0].resource.attributes[0].key: expected a string",
        ),
        (
            r#"{"resourceMetrics":[{},{"scopeMetrics":[{"metrics":"x"}]}]}"#,
            "resourceMetrics[1].scopeMetrics[0].metrics: expected an array",
        ),
        (
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[3]}]}]}"#,
            "resourceMetrics[0].scopeMetrics[0].metrics[0]: expected an object",
        ),
    ] {
        let error = refused(json);
        assert!(error.contains(place), "{json}: {error}");
    }
}

#[test]
fn broken_text_refuses_the_request_even_inside_a_point() {
    for json in [
        "",
        "{",
        "{}}",
        r#"{"resourceMetrics":[],}"#,
        r#"{"resourceMetrics":[,]}"#,
        &gauge(r#"{"asInt":01}"#),
        &gauge(r#"{"asInt":"1" "flags":0}"#),
        &gauge(r#"{"asDouble":.5}"#),
        &gauge(r#"{"asDouble":NaN}"#),
        &gauge(r#"{"x":"\ud800"}"#),
        &gauge("{\"x\":\"\n\"}"),
        &format!("{}{}", r#"{"x":"#.repeat(200), "}".repeat(200)),
    ] {
        assert!(refused(json).starts_with("malformed JSON"), "{json}");
    }
    let error = decode(b"{\"\xff\":1}", Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "malformed JSON at byte 2: not UTF-8");
}

#[test]
fn limits_refuse_a_bomb_before_memory_is_taken() {
    let bomb = metrics(&vec!["{}"; 400_000].join(","));
    let limits = Limits {
        elements: 1_000,
        bytes: 1 << 20,
    };
    assert_eq!(
        decode(bomb.as_bytes(), limits),
        Err(JsonError::TooManyElements { limit: 1_000 })
    );
    let bounds = vec!["1"; 500_000].join(",");
    let wide = metrics(&format!(
        r#"{{"histogram":{{"dataPoints":[{{"explicitBounds":[{bounds}]}}]}}}}"#
    ));
    assert_eq!(
        decode(wide.as_bytes(), limits),
        Err(JsonError::TooLarge { limit: 1 << 20 })
    );
}

#[test]
fn strings_bytes_ids_and_nested_values_survive_a_round_trip() {
    let json = gauge(
        r#"{"asInt":"0","flags":1,"attributes":[
            {"key":"s","value":{"stringValue":"a\"\\\/\b\f\n\r\té😀\ud83d\ude00\u0001"}},
            {"key":"e","value":{"stringValue":""}},{"key":"n"},{"key":"o","value":{}},
            {"key":"b","value":{"boolValue":false}},{"key":"y","value":{"bytesValue":"_-8="}},
            {"key":"l","value":{"arrayValue":{"values":[{"intValue":-1},{"doubleValue":-0.0},{"arrayValue":{}}]}}},
            {"key":"k","value":{"kvlistValue":{"values":[{"key":"x","value":{"intValue":"7"}}]}}}],
           "exemplars":[{"asDouble":1,"timeUnixNano":"5","traceId":"0102030405060708090A0b0c0d0e0f10","spanId":"0102030405060708",
             "filteredAttributes":[{"key":"f","value":{"stringValue":"v"}}]}]}"#,
    );
    let first = decoded(&json);
    assert_eq!(first.reason, None);
    let again = decode(&encode(&first.bytes).unwrap(), Limits::default()).unwrap();
    // The order of members differs, and with it that of the fields.
    let message = |d: &Decoded| MetricsData::decode(d.bytes.clone()).unwrap();
    assert_eq!(message(&first), message(&again));
    let point = number(&json);
    let value = |at: usize| point.attributes[at].value.clone().unwrap().value;
    use phoenix_proto::otlp::common::v1::any_value::Value;
    let text = "a\"\\/\u{8}\u{c}\n\r\té😀😀\u{1}";
    assert_eq!(value(0), Some(Value::StringValue(text.into())));
    assert_eq!(value(1), Some(Value::StringValue(String::new())));
    assert_eq!(value(3), None);
    assert_eq!(value(4), Some(Value::BoolValue(false)));
    assert_eq!(value(5), Some(Value::BytesValue(vec![0xff, 0xef])));
    assert_eq!(point.exemplars[0].trace_id[9], 10);
}

#[test]
fn temporality_is_taken_as_a_number_or_a_name() {
    let sum = |t: &str| {
        let json = metrics(&format!(
            r#"{{"sum":{{"aggregationTemporality":{t},"isMonotonic":true,"dataPoints":[{{}}]}}}}"#
        ));
        decoded(&json).bytes
    };
    assert_eq!(sum("2"), sum(r#""AGGREGATION_TEMPORALITY_CUMULATIVE""#));
    assert_ne!(sum("2"), sum("1"));
}
