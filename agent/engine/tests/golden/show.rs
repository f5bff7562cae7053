//! What an engine wrote, one line a point, in the order of the request.

use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::metrics::v1 as pb;
use pb::metric::Data;
use prost::Message;

pub fn lines(out: &[u8]) -> Vec<String> {
    let data = pb::MetricsData::decode(out).expect("valid OTLP");
    let mut lines = Vec::new();
    for r in &data.resource_metrics {
        let resource = r.resource.clone().unwrap_or_default();
        let url = match r.schema_url.as_str() {
            "" => String::new(),
            url => format!("|{url}"),
        };
        for scope in &r.scope_metrics {
            let kept = text(&scope.scope.clone().unwrap_or_default().attributes);
            let kept = if kept.is_empty() {
                kept
            } else {
                format!("|{kept}")
            };
            for metric in &scope.metrics {
                let unit = match metric.unit.as_str() {
                    "" => String::new(),
                    unit => format!(" {unit}"),
                };
                let about = about(&metric.description, &resource.entity_refs);
                for (attributes, value) in points(metric) {
                    lines.push(format!(
                        "{}{{{}{kept}|{}{url}}} {value}{unit}{about}",
                        metric.name,
                        text(&attributes),
                        text(&resource.attributes),
                    ));
                }
            }
        }
    }
    lines
}

/// What goes along with a series, where there is any.
fn about(description: &str, refs: &[common::EntityRef]) -> String {
    let mut text = String::new();
    if !description.is_empty() {
        text += &format!(" '{description}'");
    }
    for of in refs {
        text += &format!(" refs {}", of.id_keys.join("+"));
    }
    text
}

fn points(metric: &pb::Metric) -> Vec<(Vec<common::KeyValue>, String)> {
    let mut all = Vec::new();
    match metric.data.as_ref().expect("data") {
        Data::Gauge(pb::Gauge { data_points }) | Data::Sum(pb::Sum { data_points, .. }) => {
            for p in data_points {
                let value = match p.value {
                    None if p.flags == 1 => "ended".to_string(),
                    None => "nothing".to_string(),
                    Some(pb::number_data_point::Value::AsInt(n)) => n.to_string(),
                    Some(pb::number_data_point::Value::AsDouble(n)) => format!("{n:?}"),
                };
                let span = span(p.start_time_unix_nano, p.time_unix_nano);
                let exemplars = exemplars(&p.exemplars);
                all.push((p.attributes.clone(), format!("{span} = {value}{exemplars}")));
            }
        }
        Data::Histogram(h) => {
            for p in &h.data_points {
                let span = span(p.start_time_unix_nano, p.time_unix_nano);
                let mut value = format!(
                    "{span} = {} {:?} at {:?}",
                    p.count, p.bucket_counts, p.explicit_bounds
                );
                value += &optional("sum", p.sum);
                value += &optional("min", p.min);
                value += &optional("max", p.max);
                all.push((p.attributes.clone(), value));
            }
        }
        Data::ExponentialHistogram(h) => {
            for p in &h.data_points {
                let span = span(p.start_time_unix_nano, p.time_unix_nano);
                let positive = p.positive.clone().unwrap_or_default();
                let mut value = format!(
                    "{span} = {} scale {} zero {} to {:?} buckets {:?} from {}",
                    p.count,
                    p.scale,
                    p.zero_count,
                    p.zero_threshold,
                    positive.bucket_counts,
                    positive.offset
                );
                value += &optional("sum", p.sum);
                all.push((p.attributes.clone(), value));
            }
        }
        Data::Summary(s) => {
            for p in &s.data_points {
                let span = span(p.start_time_unix_nano, p.time_unix_nano);
                all.push((
                    p.attributes.clone(),
                    format!("{span} = summary of {:?}", p.sum),
                ));
            }
        }
    }
    all
}

fn optional(name: &str, value: Option<f64>) -> String {
    value.map_or(String::new(), |v| format!(" {name} {v:?}"))
}

fn exemplars(from: &[pb::Exemplar]) -> String {
    if from.is_empty() {
        return String::new();
    }
    let times: Vec<String> = from.iter().map(|e| seconds(e.time_unix_nano)).collect();
    format!(" exemplars {}", times.join(" "))
}

fn span(start: u64, time: u64) -> String {
    format!("{}..{}", seconds(start), seconds(time))
}

fn seconds(nanos: u64) -> String {
    (nanos as f64 / 1e9).to_string()
}

fn text(attributes: &[common::KeyValue]) -> String {
    use common::any_value::Value;
    let value = |kv: &common::KeyValue| match kv.value.as_ref().and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(s)) => s.clone(),
        Some(Value::BoolValue(b)) => b.to_string(),
        Some(Value::IntValue(n)) => n.to_string(),
        Some(Value::DoubleValue(n)) => format!("{n:?}"),
        other => format!("{other:?}"),
    };
    let pairs: Vec<String> = attributes
        .iter()
        .map(|kv| format!("{}={}", kv.key, value(kv)))
        .collect();
    pairs.join(",")
}
