//! The three layers of settings: file, then `PHOENIX_*` variables, then flags.

use super::{Settings, SettingsError};
use phoenix_engine::document::Problem;
use phoenix_engine::yaml::{self, Node};
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
    "exporters.remote_write.endpoint",
    "exporters.remote_write.version",
    "exporters.remote_write.timeout",
    "exporters.remote_write.insecure",
    "exporters.remote_write.tls.ca_file",
    "exporters.remote_write.tls.cert_file",
    "exporters.remote_write.tls.key_file",
    "exporters.remote_write.queue.bytes",
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

/// An empty file is a file without settings.
fn tree(text: &str) -> Result<Node, Vec<Problem>> {
    let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    if text.lines().all(is_comment) {
        return Ok(Node::Null);
    }
    yaml::read(text)
}

/// Sets one scalar, making the mappings on the way to it.
fn put(root: &mut Node, path: &str, value: &str) -> Result<(), Problem> {
    let mut at = root;
    for key in path.split('.') {
        if *at == Node::Null {
            *at = Node::Map(Vec::new());
        }
        let Node::Map(map) = at else {
            return Err(Problem {
                path: path.to_owned(),
                message: "cannot be set: a part of this path is no mapping".to_owned(),
            });
        };
        let found = map.iter().position(|(k, _)| k == key);
        let index = found.unwrap_or_else(|| {
            map.push((key.to_owned(), Node::Null));
            map.len() - 1
        });
        at = &mut map[index].1;
    }
    *at = Node::Text(value.to_owned());
    Ok(())
}
