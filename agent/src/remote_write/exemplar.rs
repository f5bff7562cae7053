//! Exemplars of counters and histograms.

use super::Exemplar;
use phoenix_engine::prometheus::{label_name, value};
use phoenix_engine::view::MetricType;
use phoenix_engine::view::PointView;
use phoenix_engine::wire::otlp::{exemplar, exponential_point, histogram_point, number_point};
use phoenix_engine::wire::{attributes, fields};
use std::collections::BTreeMap;

/// Most characters of an exemplar's labels (OpenMetrics 1.0); attributes that do not fit stay away.
const MOST: usize = 128;

/// The exemplars of a point, in the order of time.
pub fn exemplars(point: &PointView<'_>) -> Vec<Exemplar> {
    let number = match point.kind {
        MetricType::Sum => number_point::EXEMPLARS,
        MetricType::Histogram => histogram_point::EXEMPLARS,
        MetricType::ExponentialHistogram => exponential_point::EXEMPLARS,
        MetricType::Gauge | MetricType::Summary => return Vec::new(),
    };
    if !point.exemplars {
        return Vec::new();
    }
    let mut found: Vec<Exemplar> = fields(point.body)
        .filter(|field| field.number == number)
        .filter_map(|field| field.value.bytes())
        .filter_map(read)
        .collect();
    found.sort_by_key(|exemplar| exemplar.time);
    found
}

fn read(body: &[u8]) -> Option<Exemplar> {
    let mut labels = BTreeMap::new();
    let (mut found, mut time) = (None, 0);
    for field in fields(body) {
        match field.number {
            exemplar::TIME => time = super::translate::millis(field.value.bits()),
            exemplar::AS_DOUBLE => found = Some(field.value.double()),
            exemplar::AS_INT => found = Some(field.value.bits().cast_signed() as f64),
            exemplar::TRACE_ID | exemplar::SPAN_ID => {
                let id = field.value.bytes().unwrap_or_default();
                let name = ["trace_id", "span_id"][usize::from(field.number == exemplar::SPAN_ID)];
                if id.iter().any(|byte| *byte != 0) {
                    labels.insert(name.to_owned(), hex(id));
                }
            }
            _ => {}
        }
    }
    let mut length = characters(labels.iter());
    let mut more = BTreeMap::new();
    for (key, text) in attributes(body, exemplar::FILTERED_ATTRIBUTES) {
        if let Some(name) = label_name(key).filter(|name| !labels.contains_key(name)) {
            more.insert(name, value(text).into_owned());
        }
    }
    more.retain(|_, text| !text.is_empty());
    length += characters(more.iter());
    if length <= MOST {
        labels.append(&mut more);
    }
    Some(Exemplar {
        labels: labels.into_iter().collect(),
        value: found?,
        time,
    })
}

fn characters<'a>(labels: impl Iterator<Item = (&'a String, &'a String)>) -> usize {
    labels
        .map(|(k, v)| k.chars().count() + v.chars().count())
        .sum()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
