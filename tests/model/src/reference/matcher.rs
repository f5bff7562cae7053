//! Whether a rule speaks of a series: every condition given must hold.

use super::document::{Match, Texts};
use super::identity::{Identity, Kind, Temporality, Val};
use std::cell::RefCell;
use std::collections::HashMap;

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
        && rule.attributes.iter().all(|(key, texts)| {
            let value = series.lookup(key).and_then(text);
            fits(&Some(texts.clone()), value.as_deref())
        })
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

fn fits(condition: &Option<Texts>, value: Option<&str>) -> bool {
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
