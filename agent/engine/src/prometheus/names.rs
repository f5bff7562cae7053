//! Names of metric families and labels, and the words of units.

use crate::view::{MetricType, MetricView};

/// UCUM units and the words of Prometheus. `KBy` and `kBy` are both met in the wild; `TiBy` has the
/// word that released translators write, not the prefix's right one.
const UNITS: [(&str, &str); 27] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("kBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// Units after a slash.
const PER: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The family's name: `http.server.duration` in `s` is `http_server_duration_seconds`; a monotonic
/// sum ends in `_total`, a gauge in `1` in `_ratio`. `None`: nothing of the name can be kept.
pub fn family(metric: &MetricView<'_>) -> Option<String> {
    let mut tokens: Vec<&str> = metric
        .name
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'))
        .filter(|token| !token.is_empty())
        .collect();
    if tokens.is_empty() {
        return None;
    }
    let (main, per) = unit_parts(metric.unit);
    for part in [&main, &per] {
        if !part.is_empty() && !tokens.contains(&part.as_str()) {
            tokens.push(part);
        }
    }
    // The specification only adds a suffix that is missing; both translators also take the word out
    // of the middle.
    let suffix = match metric.kind {
        MetricType::Sum if metric.monotonic => Some("total"),
        MetricType::Gauge if metric.unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(suffix) = suffix {
        tokens.retain(|token| *token != suffix);
        tokens.push(suffix);
    }
    let mut name = tokens.join("_");
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    Some(name)
}

/// A unit in words, as in `# UNIT` lines: `By/s` is `bytes_per_second`; empty for `1` and `{call}`.
pub fn unit_words(unit: &str) -> String {
    let (main, per) = unit_parts(unit);
    match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        _ => per,
    }
}

/// What stands before and after a slash, each as a suffix; empty where there is nothing to say.
fn unit_parts(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let main = clean(word(main, &UNITS));
    let per = clean(word(per, &PER));
    let per = match per.is_empty() {
        true => per,
        false => format!("per_{per}"),
    };
    (main, per)
}

fn word<'a>(unit: &'a str, words: &[(&str, &'a str)]) -> &'a str {
    let unit = unit.trim();
    if unit.contains(['{', '}']) {
        return "";
    }
    let known = words.iter().find(|(short, _)| *short == unit);
    known.map_or(unit, |(_, long)| long)
}

/// Only what a name may hold, single underscores between.
fn clean(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let tokens: Vec<&str> = text
        .split(|c: char| !allowed(c))
        .filter(|token| !token.is_empty())
        .collect();
    tokens.join("_")
}

/// A label's name: `http.method` is `http_method`. Runs of other characters become one underscore,
/// also at the ends; before a digit stands `key_`; `__reserved__` keeps its underscores. `None`:
/// only underscores would be left.
pub fn label_name(key: &str) -> Option<String> {
    let inner = key
        .strip_prefix("__")
        .and_then(|rest| rest.strip_suffix("__"));
    let mut name = String::with_capacity(key.len() + 4);
    let mut kept = false;
    for c in inner.unwrap_or(key).chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c);
            kept = true;
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    if !kept {
        return None;
    }
    if inner.is_some() {
        return Some(format!("__{name}__"));
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "key_");
    }
    Some(name)
}
