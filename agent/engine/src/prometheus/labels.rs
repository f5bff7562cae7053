//! Labels of a series: the point's attributes, the scope, what the resource gives.

use super::names::label_name;
use super::text::value;
use crate::view::SeriesView;
use crate::wire::AnyValue;
use std::collections::BTreeMap;

/// Labels by name. A label without a value is no label in Prometheus: there are none here.
pub type Labels = BTreeMap<String, String>;

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE: &str = "service.instance.id";

/// What of resource and scope becomes labels of every series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Resource attributes that become labels; the others are only on `target_info`.
    pub promote: Vec<String>,
    /// Whether the scope does: `otel_scope_name`, `otel_scope_version`, `otel_scope_schema_url`
    /// and `otel_scope_` with each of its attributes.
    pub scope: bool,
}

impl Default for Naming {
    fn default() -> Naming {
        Naming {
            promote: Vec::new(),
            scope: true,
        }
    }
}

/// The labels of a series, without `__name__`, `le` and `quantile`.
///
/// A point's attribute goes before a promoted one of the same name; scope, `job` and `instance` go
/// before both. Attributes whose keys become one name are joined by `;` in the order of their keys.
pub fn labels(series: &SeriesView<'_>, naming: &Naming) -> Labels {
    let mut labels = merged(series.point_attributes());
    if !naming.promote.is_empty() {
        let wanted = |key: &str| naming.promote.iter().any(|promoted| promoted == key);
        for (name, text) in merged(series.resource_attributes().filter(|(key, _)| wanted(key))) {
            labels.entry(name).or_insert(text);
        }
    }
    if naming.scope {
        put_scope(&mut labels, series);
    }
    put_target(&mut labels, series);
    labels
}

/// The labels of the resource's `target_info`: every attribute that is not in `job` and `instance`,
/// and these two. `None` where there is no such attribute, or nothing to join by.
pub fn target_labels(series: &SeriesView<'_>) -> Option<Labels> {
    let identity = [SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE];
    let others = series
        .resource_attributes()
        .filter(|(key, _)| !identity.contains(key));
    let mut labels = merged(others);
    if labels.is_empty() {
        return None;
    }
    let mut target = Labels::new();
    put_target(&mut target, series);
    if target.is_empty() {
        return None;
    }
    labels.append(&mut target);
    Some(labels)
}

/// `job` is `namespace/name`, `instance` the instance's id.
fn put_target(labels: &mut Labels, series: &SeriesView<'_>) {
    let (mut name, mut namespace, mut instance) = (None, None, None);
    for (key, found) in series.resource_attributes() {
        match key {
            SERVICE_NAME => name = Some(found),
            SERVICE_NAMESPACE => namespace = Some(found),
            SERVICE_INSTANCE => instance = Some(found),
            _ => {}
        }
    }
    let text = |found: Option<AnyValue<'_>>| found.map(|v| value(v).into_owned());
    if let Some(name) = text(name) {
        let job = match text(namespace).filter(|namespace| !namespace.is_empty()) {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        };
        set(labels, "job", job);
    }
    if let Some(instance) = text(instance) {
        set(labels, "instance", instance);
    }
}

fn put_scope(labels: &mut Labels, series: &SeriesView<'_>) {
    for (key, found) in series.scope_attributes() {
        if let Some(name) = label_name(&format!("otel_scope_{key}")) {
            set(labels, &name, value(found).into_owned());
        }
    }
    let (name, version) = series.scope_name_version();
    // After the attributes: a scope attribute `name` must not pose as the scope's name.
    for (label, text) in [
        ("otel_scope_name", name),
        ("otel_scope_version", version),
        ("otel_scope_schema_url", series.scope_schema_url),
    ] {
        set(labels, label, text.to_owned());
    }
}

fn set(labels: &mut Labels, name: &str, text: String) {
    if text.is_empty() {
        labels.remove(name);
    } else {
        labels.insert(name.to_owned(), text);
    }
}

fn merged<'a>(attributes: impl Iterator<Item = (&'a str, AnyValue<'a>)>) -> Labels {
    let mut sorted: Vec<(&str, AnyValue<'_>)> = attributes.collect();
    sorted.sort_by_key(|(key, _)| *key);
    let mut labels = Labels::new();
    for (key, found) in sorted {
        // The metric's name is no attribute's to give.
        let Some(name) = label_name(key).filter(|name| name != super::NAME) else {
            continue;
        };
        let text = value(found);
        match labels.get_mut(&name) {
            Some(before) => {
                before.push(';');
                before.push_str(&text);
            }
            None if text.is_empty() => {}
            None => {
                labels.insert(name, text.into_owned());
            }
        }
    }
    labels
}
