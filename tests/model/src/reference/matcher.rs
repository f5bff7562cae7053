//! Whether a rule speaks of a series: every condition given must hold.

use super::document::{Match, Texts};
use super::filter::within;
use super::identity::{Identity, Kind, Temporality, Val};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

/// All conditions of `rule` hold for `series`.
pub fn matches(rule: &Match, series: &Identity) -> bool {
    let kind = match series.kind {
        Kind::Gauge => "gauge",
        Kind::Sum => "sum",
        Kind::Histogram => "histogram",
        Kind::Exponential => "exponential_histogram",
        Kind::Summary => "summary",
    };
    let temporality = match series.temporality {
        Temporality::Delta => "delta",
        Temporality::Cumulative => "cumulative",
        Temporality::Unspecified => "",
    };
    fits(&rule.metric, Some(&series.name))
        && fits(&rule.unit, Some(&series.unit))
        && fits(&rule.kind, Some(kind))
        && fits(&rule.temporality, Some(temporality))
        && rule.monotonic.is_none_or(|m| series.monotonic == m)
        && rule
            .attributes
            .iter()
            .all(|(key, condition)| attribute(condition, series.lookup(key)))
}

/// `{ exists: .. }`, a comparison, or texts.
fn attribute(condition: &Texts, value: Option<&Val>) -> bool {
    if let Texts::One(serde_yaml::Value::Mapping(of)) = condition {
        if let Some(exists) = of.get("exists") {
            return value.is_some() == exists.as_bool().expect("true or false");
        }
        let bounds: BTreeMap<String, f64> = of
            .iter()
            .map(|(how, bound)| {
                let how = how.as_str().expect("a bound");
                (how.to_string(), bound.as_f64().expect("a number"))
            })
            .collect();
        return value
            .and_then(number)
            .is_some_and(|number| within(&bounds, number));
    }
    let value = value.and_then(text);
    fits(&Some(condition.clone()), value.as_deref())
}

fn number(value: &Val) -> Option<f64> {
    let number = match value {
        Val::Int(n) => *n as f64,
        Val::Double(bits) => f64::from_bits(*bits),
        // `inf` and `nan` are words, not numbers.
        Val::Str(s) if !s.contains(['n', 'N']) => s.parse().ok()?,
        _ => return None,
    };
    (!number.is_nan()).then_some(number)
}

/// One of the rules.
pub fn any(rules: &[Match], series: &Identity) -> bool {
    rules.iter().any(|rule| matches(rule, series))
}

fn text(value: &Val) -> Option<String> {
    match value {
        Val::Str(_) | Val::Bool(_) | Val::Int(_) | Val::Double(_) => Some(value.to_string()),
        _ => None,
    }
}

/// One of the texts fits the value.
pub fn fits(condition: &Option<Texts>, value: Option<&str>) -> bool {
    let Some(texts) = condition else { return true };
    let Some(value) = value else { return false };
    texts.list().iter().any(|pattern| fits_one(pattern, value))
}

thread_local! {
    /// To compile one takes longer than all the rest.
    static REGEXES: RefCell<HashMap<String, regex::Regex>> = RefCell::default();
}

fn fits_one(pattern: &str, value: &str) -> bool {
    if pattern.len() >= 2 && pattern.starts_with('/') && pattern.ends_with('/') {
        return REGEXES.with_borrow_mut(|known| {
            let anchored = format!("^(?:{})$", &pattern[1..pattern.len() - 1]);
            let make = |text: &String| regex::Regex::new(text).expect("a regular expression");
            let regex = known.entry(anchored).or_insert_with_key(make);
            regex.is_match(value)
        });
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let value: Vec<char> = value.chars().collect();
    glob(&pattern, &value)
}

/// `*` any text, `?` any one character, everything else itself.
fn glob(pattern: &[char], value: &[char]) -> bool {
    match pattern.split_first() {
        None => value.is_empty(),
        Some(('*', rest)) => (0..=value.len()).any(|skip| glob(rest, &value[skip..])),
        Some((one, rest)) => value
            .split_first()
            .is_some_and(|(v, tail)| (*one == '?' || one == v) && glob(rest, tail)),
    }
}
