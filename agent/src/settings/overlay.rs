//! The three layers of settings: file, then `PHOENIX_*` variables, then flags.

use super::{Settings, SettingsError};
use phoenix_engine::document::Problem;
use serde_yaml::{Mapping, Value};
use std::path::Path;

/// Settings that a variable can set: `node.name` is `PHOENIX_NODE_NAME`. Other `PHOENIX_*`
/// variables are left alone (Kubernetes makes such for a service named phoenix).
const SCALARS: &[&str] = &[
    "node.name",
    "node.tenant",
    "node.cluster",
    "receivers.otlp.grpc",
    "receivers.otlp.http",
    "receivers.otlp.max_request",
    "receivers.host.every",
    "receivers.host.root_path",
    "receivers.file.path",
    "exporters.otlp.endpoint",
    "exporters.otlp.protocol",
    "exporters.otlp.compression",
    "exporters.otlp.timeout",
    "exporters.otlp.insecure",
    "exporters.otlp.tls.ca_file",
    "exporters.otlp.tls.cert_file",
    "exporters.otlp.tls.key_file",
    "exporters.otlp.queue.bytes",
    "exporters.file.path",
    "pipeline.file",
    "control_plane.endpoint",
    "control_plane.token_file",
    "control_plane.insecure",
    "state",
    "admin",
    "workers",
    "drain",
    "limits.memory",
    "limits.series",
    "limits.in_flight",
];

/// Reads the file and lays `over` (path, value) upon it, later ones winning.
///
/// # Errors
/// The file cannot be read, or any mistake in the result.
pub fn load(file: Option<&Path>, over: &[(String, String)]) -> Result<Settings, SettingsError> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?,
        None => String::new(),
    };
    let mut root = tree(&text).map_err(SettingsError::Wrong)?;
    for (path, value) in over {
        put(&mut root, path, value).map_err(|p| SettingsError::Wrong(vec![p]))?;
    }
    super::check::check(root).map_err(SettingsError::Wrong)
}

/// The settings that variables of the environment give.
pub fn environment(vars: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut found: Vec<_> = vars
        .filter_map(|(name, value)| {
            let path = SCALARS.iter().find(|p| variable(p) == name)?;
            Some(((*path).to_owned(), value))
        })
        .collect();
    found.sort();
    found
}

/// The variable of a setting.
fn variable(path: &str) -> String {
    format!("PHOENIX_{}", path.replace('.', "_").to_ascii_uppercase())
}

fn tree(text: &str) -> Result<Value, Vec<Problem>> {
    serde_yaml::from_str(text).map_err(|e| {
        vec![Problem {
            path: String::new(),
            message: format!("is no valid YAML: {e}"),
        }]
    })
}

/// Sets one scalar, making the mappings on the way to it.
fn put(root: &mut Value, path: &str, value: &str) -> Result<(), Problem> {
    let wrong = || Problem {
        path: path.to_owned(),
        message: "cannot be set: a part of this path is no mapping".to_owned(),
    };
    let mut at = root;
    let mut keys = path.split('.').peekable();
    while let Some(key) = keys.next() {
        if at.is_null() {
            *at = Value::Mapping(Mapping::new());
        }
        let map = at.as_mapping_mut().ok_or_else(wrong)?;
        let slot = map.entry(Value::from(key)).or_insert(Value::Null);
        if keys.peek().is_none() {
            *slot = Value::from(value);
            return Ok(());
        }
        at = slot;
    }
    Err(wrong())
}
